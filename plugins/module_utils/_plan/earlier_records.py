# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What maintenances that have ended tell the next one: starts that nobody has seen end."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field

from .. import _accept, _clock
from .._errors import DamagedRecord, RecordError
from .._record.paths import RECORD_NAME
from .._record.record import DONE, Record
from .._record.rows import age_seconds

# No platform is thought to be at work on one start for longer. In seconds.
AT_WORK = 24 * 3600.0
# Of many VMs, so many are named.
SHOWN = 20
# What a file that is no record any more can do to its reader.
_UNREADABLE = (RecordError, TypeError, ValueError, KeyError)


@dataclass
class Earlier:
    """By accept item, in words: C(starts) of VMs that may still come up, and C(unread) records that cannot tell.

    C(lost): failed starts of VMs that the operator has accepted as lost, by uuid. C(names): of VMs, by uuid.
    """

    starts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def uuids(self) -> list[str]:
        return [item.partition(":")[2] for item in self.starts]


def starts_text(texts: list[str]) -> str:
    """What a reader must know of starts that are left."""
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return (
        f"{len(texts)} VMs may still come up, as nobody has seen the end of a start: {'; '.join(texts[:SHOWN])}{more}. See on the platform "
        "that nothing is at work on them"
    )


def kept_records(folder: str) -> list[str]:
    """Names of the records of maintenances that have ended, the last one last."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    # One that ended and could not be put away any more still has its first name.
    return sorted(name for name in names if name.endswith(RECORD_NAME))


def earlier(folder: str) -> Earlier:
    """Read the records that ended lately. A later one that saw a VM down or up again settles what an earlier one left open."""
    found = Earlier()
    for name in kept_records(folder):
        path = os.path.join(folder, name)
        try:
            with contextlib.closing(Record(path)) as record:
                if record.phase == DONE and age_seconds(record.maintenance["done_at"]) <= AT_WORK:
                    _read(record, found)
        except _UNREADABLE as exc:
            why = exc.why if isinstance(exc, DamagedRecord) else str(exc).rstrip(".")
            if name != RECORD_NAME and _lately(path):  # of that one whoever opens it tells
                found.unread[_accept.START_LEFT(name)] = (
                    f"The kept record {name} cannot be read, so starts that it may have left at work are not known: {why}"
                )
    return found


def _lately(path: str) -> bool:
    """Whether a file was written in the time in which a start may be at work; in doubt it was."""
    try:
        return _clock.wall() - os.lstat(path).st_mtime <= AT_WORK
    except OSError:
        return True


def _read(record: Record, found: Earlier) -> None:
    identity, accepted = record.maintenance["id"], set(record.accepted())
    for vm in record.vms():
        sent_at, started_at = vm.start.sent_at, vm.start.done_at
        seen_up = started_at and sent_at and started_at >= sent_at
        found.names[vm.uuid] = vm.name
        if vm.may_come_up and sent_at and not seen_up and age_seconds(sent_at) <= AT_WORK:
            text = f"VM {vm.label()}: the ended maintenance {identity} sent it a start at {sent_at}"
            if _accept.LOST(vm.uuid) in accepted and not vm.start_unclear:
                found.lost[vm.uuid] = text  # its start failed, and the operator has said to end without it
                found.starts.pop(_accept.START_LEFT(vm.uuid), None)
            else:
                found.starts[_accept.START_LEFT(vm.uuid)] = text
        elif vm.stop_done or vm.start_done or seen_up:
            found.starts.pop(_accept.START_LEFT(vm.uuid), None)
            found.lost.pop(vm.uuid, None)
