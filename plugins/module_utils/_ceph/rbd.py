# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Where RBD images are named: the pools that may hold them, their namespaces, and the directory and the trash of each.

The objects of a pool are never listed: there may be many millions.
"""

from __future__ import annotations

import errno
import re
import typing as t

from .._api.model import printable
from .._errors import CephError, InputError
from .command import Ceph

# Applications as C(ceph osd pool ls detail) shows them; Pacific's device_health_metrics has the last one.
_OTHER_USES = frozenset(("cephfs", "rgw", "nfs", "mgr", "mgr_devicehealth"))
# How C(rados listomapvals) writes a value: offset, at most 16 bytes, and the same as text.
_HEX = re.compile(r"[0-9a-f]{8}  (?P<bytes>[0-9a-f ]{48})")


class Place(t.NamedTuple):
    """One namespace of a pool; the one without a name is the pool itself."""

    pool: str
    namespace: str = ""

    @property
    def name(self) -> str:
        """As C(rbd) takes it."""
        return f"{self.pool}/{self.namespace}" if self.namespace else self.pool

    def rados(self, *words: str) -> list[str]:
        """Words of C(rados) for this place."""
        return ["--pool", self.pool, *(["--namespace", self.namespace] if self.namespace else []), *words]


class Pools(t.NamedTuple):
    """C(chosen) are checked. C(left_out) may hold images and were not wanted; C(other_uses) are those of other applications."""

    chosen: list[str]
    left_out: list[str]
    other_uses: list[str]


def may_hold_images(uses: t.Iterable[str] | None) -> bool:
    """Whether a pool with these applications may hold RBD images: one without any, or with an unknown one, may."""
    return not uses or not _OTHER_USES.issuperset(uses)


def pools(ceph: Ceph, wanted: list[str]) -> Pools:
    """Sort the cluster's pools. C(wanted): just these are checked; all that may hold images when empty."""
    rows = ceph.json("ceph", "osd", "pool", "ls", "detail")
    uses = {str(row["pool_name"]): row.get("application_metadata") for row in rows}
    unknown = [name for name in wanted if name not in uses]
    if unknown:
        raise InputError(f"pools: Ceph has no pool {', '.join(map(repr, unknown))}. Nothing was asked of its images.")
    possible = [name for name, found in uses.items() if may_hold_images(found)]
    chosen = list(dict.fromkeys(wanted)) or possible
    left_out = [name for name in possible if name not in chosen]
    return Pools(chosen, left_out, [name for name in uses if name not in chosen and name not in left_out])


def places(ceph: Ceph, names: list[str]) -> tuple[list[Place], dict[str, str]]:
    """The places of some pools, and the pools that the key may not read, each with why."""
    found, unread = ask_readable(ceph, lambda pool: ceph.json("rbd", "namespace", "ls", pool), names)
    spaces = {pool: ["", *(str(row["name"]) for row in rows)] for pool, rows in found}
    return [Place(pool, space) for pool, some in spaces.items() for space in some], unread


def ask_readable(
    ceph: Ceph, work: t.Callable[[t.Any], t.Any], items: list[t.Any]
) -> tuple[list[tuple[t.Any, t.Any]], dict[t.Any, str]]:
    """What C(work) gives for each item that the key may read, and the others, each with why. Other errors of Ceph are raised."""
    asked = ceph.at_once(work, items)
    unread = {}
    for item, result in asked:
        if isinstance(result, CephError):
            if not result.forbidden:
                raise result
            unread[item] = str(result)
    # Once none of many may be asked, the rest is not.
    unread.update(dict.fromkeys(items[len(asked) :], "not asked, as the key may not read any pool before it"))
    return [(item, result) for item, result in asked if item not in unread], unread


def directory(ceph: Ceph, place: Place) -> dict[str, str]:
    """The names of a place's images by their ids, of those in the format of today; empty when it has no directory."""
    try:
        text = ceph.raw("rados", *place.rados("listomapvals", "rbd_directory")).decode("utf-8", "replace")
    except CephError as exc:
        if exc.status == errno.ENOENT:
            return {}
        raise
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


def trash(ceph: Ceph, place: Place) -> dict[str, str]:
    """The names of all images in a place's trash by their ids: removed by users, half removed, or sources of a migration.

    They are written C(trash:ID/NAME): several may have had one name.
    """
    rows = ceph.rows("rbd", "trash", "ls", "--all", place.name)
    return {str(row["id"]): printable(f"trash:{row['id']}/{row['name']}", 200) for row in rows}


def images_by_id(ceph: Ceph, place: Place) -> dict[str, str]:
    """The names of a place's images by their ids, with those in the trash, as POOL/NAMESPACE/IMAGE.

    The directory is read first: what is moved to the trash meanwhile is in both.
    """
    listed = directory(ceph, place)
    return {identity: f"{place.name}/{name}" for identity, name in {**trash(ceph, place), **listed}.items()}


def names(ceph: Ceph, place: Place) -> list[str]:
    """The images of a place that are no trash, those of the old format too."""
    return [str(name) for name in ceph.json("rbd", "ls", place.name)]
