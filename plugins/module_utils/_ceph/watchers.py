# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Which Ceph clients have which RBD image open. Whoever opens one for writing watches its header object.

Two ways: every OSD tells all its watchers (C(ceph tell osd.N dump_watchers), one call an OSD, for a key that may), or every image is
asked for its own (C(rados listwatchers) of its header, one call an image, for a key that may only read). Both find the same clients
that live. One that was frozen before its OSD was restarted is told by its image only: the OSD has not loaded that object since (seen
on 16.2).
"""

from __future__ import annotations

import errno
import re
import typing as t
from dataclasses import dataclass, field

from .. import _clock
from .._api.model import is_uuid, printable
from .._errors import CephError, InputError
from . import rbd
from .command import Ceph, is_active
from .rbd import Place

OSD, IMAGE, AUTO = "osd", "image", "auto"
_AGAIN = 5.0  # seconds between two looks at watchers that may be of clients that died
_NAMED = 20
_HEADER = re.compile(r"rbd_header\.(?P<id>.+)|(?P<old>.+)\.rbd")
# A line of C(rados listwatchers).
_WATCHER = re.compile(r"watcher=(?P<address>\S+) client\.(?P<client>\d+) cookie=\d+")


@dataclass(frozen=True)
class Watcher:
    """One client that has one image open. C(image): pool/image, pool/namespace/image, or the header object of an unknown one."""

    image: str
    client: str
    address: str


@dataclass
class Look:
    """What was found. C(images): None when they were not counted. C(without_header): images of which only the name is left.

    C(missing): what could not be asked, so that the look proves nothing. C(unread): places that the key may not read, each with why.
    C(unchecked): sentences on what this look does not cover.
    """

    way: str
    places: list[str]
    images: int | None = None
    watchers: list[Watcher] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    note: str = ""
    unread: dict[str, str] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    without_header: list[str] = field(default_factory=list)


class _Image(t.NamedTuple):
    """C(identity) names the header object; empty for an image of the old format."""

    place: Place
    name: str
    identity: str


def by_image(ceph: Ceph, places: list[Place]) -> Look:
    """Ask each image for its watchers, by its header: an image in the trash has no other name."""
    look = Look(IMAGE, [], 0)
    images: list[_Image] = []
    found, unread = rbd.ask_readable(ceph, lambda place: _images_in(ceph, place), places)
    look.unread.update({place.name: why for place, why in unread.items()})
    for place, some in found:
        look.places.append(place.name)
        images += some
    gone: list[_Image] = []
    asked = ceph.at_once(lambda image: _watchers_of(ceph, image), images)
    for image, result in asked:
        if not isinstance(result, CephError):
            look.images = (look.images or 0) + 1
            look.watchers += result
        elif result.status == errno.ENOENT:
            gone.append(image)
        else:
            look.missing.append(str(result))
    if len(asked) < len(images) and not look.missing:
        look.missing.append(f"{len(images) - len(asked)} images were not asked")
    # Removed since it was listed, unless it is listed still: then only its name is left, and no client can watch it.
    again = {place: {one.name for one in _images_in(ceph, place)} for place in dict.fromkeys(image.place for image in gone)}
    look.without_header = [image.name for image in gone if image.name in again[image.place]]
    return look


def _images_in(ceph: Ceph, place: Place) -> list[_Image]:
    """All that the directory, the trash and C(rbd ls) of a place name. The last alone knows images of the old format."""
    known = rbd.images_by_id(ceph, place)
    images = [_Image(place, name, identity) for identity, name in known.items()]
    named = set(known.values())
    listed = [f"{place.name}/{name}" for name in rbd.names(ceph, place)]
    return images + [_Image(place, name, "") for name in listed if name not in named]


def _watchers_of(ceph: Ceph, image: _Image) -> list[Watcher]:
    if not image.identity:
        return _of_status(image.name, ceph.json("rbd", "status", image.name)["watchers"])
    words = image.place.rados("listwatchers", f"rbd_header.{image.identity}")
    text = ceph.raw("rados", *words).decode("utf-8", "replace")
    rows = [_WATCHER.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    if not all(rows):
        why = f"gave an answer in a form that this version does not know: {printable(text, 200)}"
        raise CephError(ceph.argv("rados", *words), why, unreadable=True)
    return [Watcher(image.name, f"client.{row['client']}", printable(row["address"])) for row in rows if row]


def _of_status(image: str, found: t.Any) -> list[Watcher]:
    rows = found.values() if isinstance(found, dict) else found
    return [Watcher(image, f"client.{row['client']}", printable(row["address"])) for row in rows]


def by_osd(ceph: Ceph, places: list[Place], others: list[Place]) -> Look:
    """Ask each OSD that is up for all its watchers. C(others): where images lie that are not looked at."""
    look = Look(OSD, [place.name for place in places])
    osds = ceph.json("ceph", "osd", "dump")["osds"]
    up = [row["osd"] for row in osds if row["up"]]
    down = [f"osd.{row['osd']}" for row in osds if row["in"] and not row["up"]]
    if down or not up:
        # What is open in its placement groups may be known to nobody.
        which = f"{', '.join(down[:_NAMED])} down" if down else "no OSD that is up"
        raise CephError(ceph.argv("ceph", "osd", "dump"), f"shows {which}, so the OSDs cannot tell of every image", status=0)
    groups = ceph.group_states()
    if not groups or not all(map(is_active, groups)):
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
    ceph: Ceph, objects: list[tuple[str, str]], places: list[Place], others: list[Place]
) -> dict[tuple[str, str], str]:
    """The image of each header object (namespace, name), by the directories and the trash of the pools; empty for others.

    An OSD names no pool, so each pool that has the namespace is asked. A header that none knows is told as it is: it counts.
    """
    headers = {one: header for one in objects if (header := _HEADER.fullmatch(one[1]))}
    spaces = {space for (space, _name), header in headers.items() if header["id"]}
    # Where the key may not read, nothing maps, and all counts.
    asked, _unread = rbd.ask_readable(
        ceph, lambda place: rbd.images_by_id(ceph, place), [place for place in [*places, *others] if place.namespace in spaces]
    )
    known: dict[tuple[str, str], str] = {}
    for place, names in asked:
        for identity, name in names.items():
            # The pools that are looked at come first.
            known.setdefault((place.namespace, identity), name if place in places else "")
    images = dict.fromkeys(objects, "")
    for (space, name), header in headers.items():
        whole = printable(f"{space}/{name}" if space else name, 200)
        images[space, name] = printable(header["old"], 200) if header["old"] else known.get((space, header["id"]), whole)
    return images


def look(ceph: Ceph, wanted: list[str], way: str) -> Look:
    """Who has an image open now. With C(auto) every OSD is asked, and every image where the key may not do that."""
    pools = rbd.pools(ceph, wanted)
    if not pools.chosen:
        nothing = "no pool may hold RBD images: all are of CephFS, RGW, NFS or the manager. Name the pools with images: ceph_maint_rbd_pools"
        return Look(IMAGE, [], missing=[nothing])
    places, unread = rbd.places(ceph, pools.chosen)
    note = ""
    if way != IMAGE:
        others, _unread = rbd.places(ceph, pools.left_out if wanted else [])
        try:
            found = by_osd(ceph, places, others)
            found.unchecked = _left_out(pools)
            return found
        except CephError as exc:
            if way == OSD or exc.status is None:
                raise
            why = "this key may not ask them" if exc.forbidden else str(exc)
            note = f"each image was asked, as the OSDs could not be ({why})"
    found = by_image(ceph, places)
    found.note = note
    found.unread = {**unread, **found.unread}
    found.unchecked = [*_left_out(pools), *_out_of_reach(pools, found.without_header)]
    return found


def _left_out(pools: rbd.Pools) -> list[str]:
    return [f"Not checked, as ceph_maint_rbd_pools leaves them out: the pools {_some(pools.left_out)}"] if pools.left_out else []


def _out_of_reach(pools: rbd.Pools, without_header: list[str]) -> list[str]:
    """Return what asking each image cannot show."""
    lines = []
    if pools.other_uses:
        lines.append(f"Not checked, as only CephFS, RGW, NFS or the manager use them: the pools {_some(pools.other_uses)}")
    if without_header:
        lines.append(f"Half removed, without a header that a client could have open: {_some(without_header)}")
    return [*lines, "Not checked, as each image was asked: images that neither rbd_directory nor rbd_trash of their pool names"]


def _some(names: list[str]) -> str:
    shown = ", ".join(printable(name, 200) for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def look_until_free(ceph: Ceph, pools: list[str], way: str, wait: float, expected: t.Callable[[Watcher], bool]) -> Look:
    """Look again for at most C(wait) seconds while somebody unexpected watches: clients that died do so for a while."""
    deadline = _clock.monotonic() + wait
    while True:
        found = look(ceph, pools, way)
        left = deadline - _clock.monotonic()
        if all(map(expected, found.watchers)) or found.missing or left <= 0:
            return found
        _clock.sleep(min(_AGAIN, left))


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
