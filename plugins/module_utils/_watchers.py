# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Which Ceph clients have which RBD image open. Whoever opens one for writing watches its header object.

Two ways: every OSD tells all its watchers (C(ceph tell osd.N dump_watchers), one call an OSD, for a key that may), or every image is
asked for its own (C(rbd status), one call an image, for a key that may only read). Both find the same clients that live. One that was
frozen before its OSD was restarted is told by its image only: the OSD has not loaded that object since (seen on 16.2).
"""

from __future__ import annotations

import re
import shlex
import typing as t
from dataclasses import dataclass, field

from ansible_collections.pilw.maintenance.plugins.module_utils import _pace
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import Ceph, is_active
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError, InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._model import is_uuid, printable

OSD, IMAGE, AUTO = "osd", "image", "auto"
# The watcher of a client that died stays for 30 s (osd_client_watch_timeout), and comes back as long after an outage.
LINGER = 35.0
_AGAIN = 5.0  # seconds between two looks at watchers that may be of clients that died
_ENOENT = 2
_NAMED = 20
_HEADER = re.compile(r"rbd_header\.(?P<id>.+)|(?P<old>.+)\.rbd")
# How C(rados listomapvals) writes a value: offset, at most 16 bytes, and the same as text.
_HEX = re.compile(r"[0-9a-f]{8}  (?P<bytes>[0-9a-f ]{48})")


@dataclass(frozen=True)
class Watcher:
    """One client that has one image open. C(image): pool/image, pool/namespace/image, or the header object of an unknown one."""

    image: str
    client: str
    address: str


@dataclass
class Look:
    """What was found. C(missing): what could not be asked, so that the look proves nothing. C(images): None when they were not counted."""

    way: str
    places: list[str]
    images: int | None = None
    watchers: list[Watcher] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    note: str = ""


def rbd_pools(ceph: Ceph, wanted: list[str]) -> list[str]:
    """The pools to look at: those with the rbd application, or just the wanted ones."""
    rows = ceph.json("ceph", "osd", "pool", "ls", "detail")
    pools = {str(row["pool_name"]): row.get("application_metadata") or {} for row in rows}
    unknown = [name for name in wanted if name not in pools]
    if unknown:
        raise InputError(f"pools: Ceph has no pool {', '.join(map(repr, unknown))}. Nothing was asked of its images.")
    return list(dict.fromkeys(wanted)) or [name for name, uses in pools.items() if "rbd" in uses]


def namespaces(ceph: Ceph, pool: str) -> list[str]:
    """Every namespace of a pool; the first, without a name, is the pool itself."""
    return ["", *(str(row["name"]) for row in ceph.json("rbd", "namespace", "ls", pool))]


def place_of(pool: str, namespace: str) -> str:
    return f"{pool}/{namespace}" if namespace else pool


def by_image(ceph: Ceph, places: list[tuple[str, str]]) -> Look:
    """Ask each image for its watchers."""
    look = Look(IMAGE, [place_of(*place) for place in places], 0)
    images = _listed(ceph, look.places)
    gone: dict[str, str] = {}
    for image, found in ceph.at_once(lambda image: ceph.json("rbd", "status", image)["watchers"], images):
        if not isinstance(found, CephError):
            look.images = (look.images or 0) + 1
            look.watchers += _of_status(image, found)
        elif found.status == _ENOENT:
            gone[image] = str(found)
        else:
            look.missing.append(str(found))
    # Removed since it was listed, unless it is listed still: then it is half removed, or its header is lost.
    still = set(_listed(ceph, look.places)) if gone else set()
    look.missing += [text for image, text in gone.items() if image in still]
    return look


def _listed(ceph: Ceph, places: list[str]) -> list[str]:
    return [f"{place}/{name}" for place in places for name in ceph.json("rbd", "ls", place)]


def _of_status(image: str, found: t.Any) -> list[Watcher]:
    rows = found.values() if isinstance(found, dict) else found
    return [Watcher(image, f"client.{row['client']}", printable(row["address"])) for row in rows]


def by_osd(ceph: Ceph, places: list[tuple[str, str]], others: list[tuple[str, str]]) -> Look:
    """Ask each OSD that is up for all its watchers. C(others): where images lie that are not looked at."""
    look = Look(OSD, [place_of(*place) for place in places])
    osds = ceph.json("ceph", "osd", "dump")["osds"]
    up = [row["osd"] for row in osds if row["up"]]
    down = [f"osd.{row['osd']}" for row in osds if row["in"] and not row["up"]]
    if down or not up:
        # What is open in its placement groups may be known to nobody.
        which = f"{', '.join(down[:_NAMED])} down" if down else "no OSD that is up"
        raise CephError(ceph.argv("ceph", "osd", "dump"), f"shows {which}, so the OSDs cannot tell of every image", status=0)
    groups = ceph.json("ceph", "pg", "stat")
    groups = groups.get("pg_summary", groups)["num_pg_by_state"]
    if not groups or not all(is_active(row["name"]) for row in groups):
        raise CephError(ceph.argv("ceph", "pg", "stat"), "shows placement groups that are not active, so the OSDs cannot tell of every image", status=0)
    answers = [answer for _osd, answer in ceph.at_once(lambda osd: ceph.json("ceph", "tell", f"osd.{osd}", "dump_watchers"), up)]
    refused = [answer for answer in answers if isinstance(answer, CephError) and answer.status is not None]
    if refused:
        raise refused[0]
    look.missing += [str(answer) for answer in answers if isinstance(answer, CephError)]
    rows = [row for answer in answers if not isinstance(answer, CephError) for row in answer]
    objects = [(str(row.get("namespace") or ""), str(row["object"])) for row in rows]
    names = _images_of(ceph, objects, places, others)
    look.watchers += [Watcher(names[one], _client_of(row), _address_of(row)) for one, row in zip(objects, rows) if names[one]]
    return look


def _client_of(row: dict[str, t.Any]) -> str:
    name = row.get("entity_name") or {}
    return f"{name.get('type', 'client')}.{name.get('num', 'unknown')}"


def _address_of(row: dict[str, t.Any]) -> str:
    address = row.get("entity_addr_t") or {}
    return printable(f"{address.get('addr', 'unknown')}/{address.get('nonce', '')}")


def _images_of(
    ceph: Ceph, objects: list[tuple[str, str]], places: list[tuple[str, str]], others: list[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """The image of each header object (namespace, name), by the directories of the pools; empty for what is no header or lies elsewhere.

    An OSD names no pool, so each pool that has the namespace is asked. A header that none knows is told as it is: it counts.
    """
    headers = {one: header for one in objects if (header := _HEADER.fullmatch(one[1]))}
    spaces = {space for (space, _name), header in headers.items() if header["id"]}
    asked = ceph.at_once(lambda place: directory(ceph, *place), [place for place in [*places, *others] if place[1] in spaces])
    silent = [found for _place, found in asked if isinstance(found, CephError)]
    if silent:
        raise silent[0]
    known: dict[tuple[str, str], str] = {}
    for place, names in asked:
        for identity, name in names.items():
            # The pools that are looked at come first.
            known.setdefault((place[1], identity), f"{place_of(*place)}/{name}" if place in places else "")
    images = dict.fromkeys(objects, "")
    for (space, name), header in headers.items():
        whole = printable(f"{space}/{name}" if space else name, 200)
        images[space, name] = printable(header["old"], 200) if header["old"] else known.get((space, header["id"]), whole)
    return images


def directory(ceph: Ceph, pool: str, namespace: str) -> dict[str, str]:
    """The names of a pool's images by their ids, empty when it has no directory."""
    space = ["--namespace", namespace] if namespace else []
    try:
        text = ceph.raw("rados", "--pool", pool, *space, "listomapvals", "rbd_directory").decode("utf-8", "replace")
    except CephError as exc:
        if exc.status is None:
            raise
        return {}  # status 1 without a directory and without the right to read it: then nothing maps, and all counts
    values: dict[str, bytes] = {}
    for block in text.split("\n\n"):
        key, _newline, dump = block.strip().partition("\n")
        if key.startswith("id_"):
            values[key[3:]] = b"".join(bytes.fromhex(row["bytes"]) for row in _HEX.finditer(dump))
    # The name behind its length of 4 bytes.
    return {
        identity: printable(value[4 : 4 + int.from_bytes(value[:4], "little")].decode("utf-8", "replace"), 200)
        for identity, value in values.items()
    }


def look(ceph: Ceph, pools: list[str], way: str) -> Look:
    """Who has an image open now. With C(auto) every OSD is asked, and every image where the key may not do that."""
    chosen = rbd_pools(ceph, pools)
    if not chosen:
        nothing = "no pool has the application rbd, so no image was looked at. Name the pools with images: ceph_maint_rbd_pools"
        return Look(IMAGE, [], missing=[nothing])
    places = [(pool, space) for pool in chosen for space in namespaces(ceph, pool)]
    left_out = [pool for pool in rbd_pools(ceph, []) if pool not in chosen] if pools else []
    notes = [f"not looked at: {', '.join(map(printable, left_out))}"] if left_out else []
    if way != IMAGE:
        others = [(pool, space) for pool in left_out for space in namespaces(ceph, pool)]
        try:
            found = by_osd(ceph, places, others)
            found.note = "; ".join(notes)
            return found
        except CephError as exc:
            if way == OSD or exc.status is None:
                raise
            why = "this key may not ask them" if exc.forbidden else str(exc)
            notes.append(f"each image was asked, as the OSDs could not be ({why})")
    found = by_image(ceph, places)
    found.note = "; ".join(notes)
    return found


def look_until_free(ceph: Ceph, pools: list[str], way: str, wait: float, expected: t.Callable[[Watcher], bool]) -> Look:
    """Look again for at most C(wait) seconds while somebody unexpected watches: clients that died do so for a while."""
    deadline = _pace.monotonic() + wait
    while True:
        found = look(ceph, pools, way)
        left = deadline - _pace.monotonic()
        if all(map(expected, found.watchers)) or found.missing or left <= 0:
            return found
        _pace.sleep(min(_AGAIN, left))


def vm_of(image: str, pattern: t.Pattern[str] | None) -> str:
    """The uuid of the VM whose disk an image is, empty where the pattern does not tell."""
    found = pattern.search(image.rpartition("/")[2]) if pattern else None
    uuid = (found.group(1) or "").lower() if found else ""
    return uuid if is_uuid(uuid) else ""


def image_pattern(text: str | None) -> t.Pattern[str] | None:
    """A regular expression over image names, whose first group is the uuid of the VM."""
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as exc:
        raise InputError(f"image_regex {text} is no regular expression: {exc}. Nothing was asked.") from exc
    if pattern.groups < 1:
        raise InputError(f"image_regex {text} needs a group that is the uuid of the VM. Nothing was asked.")
    return pattern


def leftovers(ceph: Ceph, pools: list[str], image_regex: str | None, vms: list[str]) -> list[str]:
    """Blocklisted clients, and locks on the images of VMs that did not come back: what is there, and the command that ends it."""
    pattern, lines = image_pattern(image_regex), []
    try:
        blocked = [printable(row.get("addr")) for row in ceph.json("ceph", "osd", "blocklist", "ls")]
        lines += [f"Blocklisted, so nothing there can write: {addr}. If that client is dead: ceph osd blocklist rm {addr}" for addr in blocked[:_NAMED]]
        if len(blocked) > _NAMED:
            lines.append(f"and {len(blocked) - _NAMED} more blocklisted (ceph osd blocklist ls)")
        wanted = set(vms) if pattern else set()
        places = [place_of(pool, space) for pool in rbd_pools(ceph, pools) for space in namespaces(ceph, pool)] if wanted else []
        images = [f"{place}/{name}" for place in places for name in ceph.json("rbd", "ls", place) if vm_of(str(name), pattern) in wanted]
        for image, locks in ceph.at_once(lambda image: ceph.json("rbd", "lock", "ls", image), images):
            rows = [] if isinstance(locks, CephError) else locks.values() if isinstance(locks, dict) else locks
            lines += [
                f"Locked: {image} by {printable(row.get('locker'))} ({printable(row.get('address'))}). If that client is dead: "
                + shlex.join(["rbd", "lock", "rm", image, printable(row.get("id"), 200), printable(row.get("locker"), 200)])
                for row in rows
            ]
    except (CephError, InputError, AttributeError, KeyError, TypeError) as exc:
        lines.append(f"Locks and blocklisted clients could not be looked for: {exc}")
    return lines
