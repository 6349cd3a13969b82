# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What keeps VMs from coming back after an outage: blocklisted clients, and locks on images. Only shown; nothing is removed."""

from __future__ import annotations

import errno
import re
import shlex
import typing as t

from .._api.model import printable
from .._errors import CephError, InputError
from . import rbd
from .command import Ceph
from .watchers import image_pattern, vm_of

_NAMED = 20
# C(osd blocklist ls) writes 10.1.114.0:0/24, of later releases cidr:10.1.114.0:0/24; C(range rm) takes 10.1.114.0/24 (seen on 16.2).
_RANGE = re.compile(r"(?:cidr:)?\[?(?P<address>.+?)\]?:\d+/(?P<prefix>\d+)")


def lines(ceph: Ceph, pools: list[str], image_regex: str | None, vms: list[str]) -> list[str]:
    """Blocklisted clients, and locks on the images of VMs that did not come back: what is there, and the command that ends it."""
    found: list[str] = []
    pattern = image_pattern(image_regex)
    for part in (lambda: _blocklisted(ceph), lambda: _locked(ceph, pools, pattern, set(vms) if pattern else set())):
        try:
            found += part()
        except (CephError, InputError, AttributeError, KeyError, TypeError) as exc:
            found.append(f"Locks and blocklisted clients could not be looked for: {exc}")
    return found


def _blocklisted(ceph: Ceph) -> list[str]:
    rows = ceph.json("ceph", "osd", "blocklist", "ls")
    found = [_blocklisted_line(row) for row in rows[:_NAMED]]
    return [*found, f"and {len(rows) - _NAMED} more blocklisted (ceph osd blocklist ls)"] if len(rows) > _NAMED else found


def _blocklisted_line(row: dict[str, t.Any]) -> str:
    if row.get("addr"):
        address = printable(row["addr"])
        return f"Blocklisted, so nothing there can write: {address}. If that client is dead: ceph osd blocklist rm {address}"
    cidr = _RANGE.fullmatch(printable(row.get("range")))
    if cidr:
        network = f"{cidr['address']}/{cidr['prefix']}"
        return (
            f"Blocklisted, so no client in this range can write: {network}. If all clients there are dead: "
            f"ceph osd blocklist range rm {network}"
        )
    return f"Blocklisted, in a form that this version does not know: {printable(row, 200)}. See ceph osd blocklist ls"


def _locked(ceph: Ceph, pools: list[str], pattern: t.Pattern[str] | None, wanted: set[str]) -> list[str]:
    if not wanted:
        return []
    places, unread = rbd.places(ceph, rbd.pools(ceph, pools).chosen)
    listed, more = rbd.ask_readable(ceph, lambda place: rbd.names(ceph, place), places)
    images = [f"{place.name}/{name}" for place, some in listed for name in some if vm_of(name, pattern) in wanted]
    hidden = ", ".join(map(printable, [*unread, *(place.name for place in more)]))
    found = [f"Locks in the pools {hidden} could not be looked for: the key may not read them."] if hidden else []
    asked = ceph.at_once(lambda image: ceph.rows("rbd", "lock", "ls", image), images)
    for image, locks in asked:
        if isinstance(locks, CephError):
            if locks.status != errno.ENOENT:
                found.append(f"Locks of {image} could not be looked for: {locks}")
            continue
        found += [
            f"Locked: {image} by {printable(row.get('locker'))} ({printable(row.get('address'))}). If that client is dead: "
            + shlex.join(["rbd", "lock", "rm", image, printable(row.get("id"), 200), printable(row.get("locker"), 200)])
            for row in locks
        ]
    if len(asked) < len(images):
        found.append(f"Locks of {len(images) - len(asked)} more images were not looked for, as Ceph does not answer.")
    return found
