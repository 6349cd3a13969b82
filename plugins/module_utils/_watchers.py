# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Which Ceph clients have which RBD image open. Whoever opens one for writing watches its header object.

Two ways that find the same: every OSD tells all its watchers (C(ceph tell osd.N dump_watchers), one call an OSD, for a key that
may), or every image is asked for its own (C(rbd status), one call an image, for a key that may only read).
"""

from __future__ import annotations

import re
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
_ENOENT, _FORBIDDEN = 2, (1, 13)  # EPERM, EACCES
_NAMED = 20
_HEADER = re.compile(r"rbd_header\.(?P<id>.+)|(?P<old>.+)\.rbd")


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
    images = [f"{place}/{name}" for place in look.places for name in ceph.json("rbd", "ls", place)]
    for image, found in ceph.at_once(lambda image: ceph.json("rbd", "status", image)["watchers"], images):
        if not isinstance(found, CephError):
            look.images = (look.images or 0) + 1
            look.watchers += _of_status(image, found)
        elif found.status != _ENOENT:  # else removed since it was listed
            look.missing.append(str(found))
    return look


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
        raise refused[0]  # this key may not
    look.missing += [str(answer) for answer in answers if isinstance(answer, CephError)]
    rows = [row for answer in answers if not isinstance(answer, CephError) for row in answer]
    objects = [(str(row.get("namespace") or ""), str(row["object"])) for row in rows]
    images = ceph.at_once(lambda one: _image_of(ceph, one[0], one[1], places, others), list(dict.fromkeys(objects)))
    silent = [image for _object, image in images if isinstance(image, CephError)]
    if silent:
        raise silent[0]
    names = dict(images)
    look.watchers += [
        Watcher(names[one], _client_of(row), _address_of(row)) for one, row in zip(objects, rows) if names[one] is not None
    ]
    return look


def _client_of(row: dict[str, t.Any]) -> str:
    name = row.get("entity_name") or {}
    return f"{name.get('type', 'client')}.{name.get('num', 'unknown')}"


def _address_of(row: dict[str, t.Any]) -> str:
    address = row.get("entity_addr_t") or {}
    return printable(f"{address.get('addr', 'unknown')}/{address.get('nonce', '')}")


def _image_of(
    ceph: Ceph, namespace: str, name: str, places: list[tuple[str, str]], others: list[tuple[str, str]]
) -> str | None:
    """The image of a header object, by the directories of the pools; None for what is no header or lies where nobody looks.

    An OSD names no pool, so each pool that has the namespace is asked. A header that none knows is told as it is: it counts.
    """
    header = _HEADER.fullmatch(name)
    if not header:
        return None
    if header["old"]:
        return printable(header["old"], 200)
    for wanted, group in ((True, places), (False, others)):
        for pool, space in group:
            found = directory_entry(ceph, pool, namespace, header["id"]) if space == namespace else ""
            if found:
                return f"{place_of(pool, namespace)}/{found}" if wanted else None
    return printable(f"{namespace}/{name}" if namespace else name, 200)


def directory_entry(ceph: Ceph, pool: str, namespace: str, identity: str) -> str:
    """The name of an image by its id, empty when the pool has none."""
    space = ["--namespace", namespace] if namespace else []
    try:
        value = ceph.raw("rados", "--pool", pool, *space, "getomapval", "rbd_directory", f"id_{identity}", "/dev/stdout")
    except CephError as exc:
        if exc.status is None:
            raise
        return ""
    size = int.from_bytes(value[:4], "little")
    return printable(value[4 : 4 + size].decode("utf-8", "replace"), 200)


def look(ceph: Ceph, pools: list[str], way: str) -> Look:
    """Who has an image open now. With C(auto) every OSD is asked, and every image where the key may not do that."""
    chosen = rbd_pools(ceph, pools)
    if not chosen:
        nothing = "no pool has the application rbd, so no image was looked at. Name the pools with images: ceph_maint_rbd_pools"
        return Look(IMAGE, [], missing=[nothing])
    places = [(pool, space) for pool in chosen for space in namespaces(ceph, pool)]
    refused = ""
    if way != IMAGE:
        others = [(pool, space) for pool in rbd_pools(ceph, []) if pool not in chosen for space in namespaces(ceph, pool)]
        try:
            return by_osd(ceph, places, others)
        except CephError as exc:
            if way == OSD or exc.status is None:
                raise
            refused = "this key may not ask them" if exc.status in _FORBIDDEN else str(exc)
    found = by_image(ceph, places)
    if refused:
        found.note = f"each image was asked, as the OSDs could not be ({refused})"
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
                f"rbd lock rm {image} '{printable(row.get('id'))}' {printable(row.get('locker'))}"
                for row in rows
            ]
    except (CephError, AttributeError, KeyError, TypeError) as exc:
        lines.append(f"Locks and blocklisted clients could not be looked for: {exc}")
    return lines
