# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What maintenances that have ended tell the next one: starts that nobody has seen end, and how long a stop and a start took."""

from __future__ import annotations

import contextlib
import os
import statistics
from dataclasses import dataclass, field

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import DamagedRecord, RecordError
from ansible_collections.pilw.maintenance.plugins.module_utils._folders import RECORD_NAME
from ansible_collections.pilw.maintenance.plugins.module_utils._model import CLEAN, STARTED
from ansible_collections.pilw.maintenance.plugins.module_utils._record import DONE, Record, age_seconds

# No platform is thought to be at work on one start for longer. In seconds.
AT_WORK = 24 * 3600.0
# Fewer VMs than this tell nothing of the next maintenance.
ENOUGH = 5


@dataclass
class Earlier:
    """C(starts): by uuid, in words, of the VMs that may still come up. C(unread): kept records that cannot tell."""

    starts: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


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
        try:
            with contextlib.closing(Record(os.path.join(folder, name))) as record:
                if record.phase == DONE and age_seconds(record.maintenance["done_at"]) <= AT_WORK:
                    _read(record, found)
        except RecordError as exc:
            why = exc.why if isinstance(exc, DamagedRecord) else str(exc)
            found.unread.append(f"The kept record {name} cannot be read, so starts that it may have left at work are not known: {why}")
    return found


def _read(record: Record, found: Earlier) -> None:
    identity = record.maintenance["id"]
    for vm in record.vms():
        sent_at = vm.columns["start_sent_at"]
        if vm.may_come_up and age_seconds(sent_at) <= AT_WORK:
            found.starts[vm.uuid] = (
                f"VM {vm.label()} may still come up: the ended maintenance {identity} sent it a start at {sent_at}, and nobody has "
                "seen that end. See on the platform that nothing is at work on it"
            )
        elif vm.stop_done or vm.start_done:
            found.starts.pop(vm.uuid, None)


def measured(folder: str) -> tuple[float | None, float | None]:
    """Seconds that a stop and a start took in the median, in the last maintenance that stopped enough VMs to tell."""
    for name in reversed(kept_records(folder)):
        with contextlib.suppress(RecordError):  # the other function tells of it
            with contextlib.closing(Record(os.path.join(folder, name))) as record:
                vms = record.vms() if record.phase == DONE else []
            stops = _median([(vm.columns["stop_sent_at"], vm.columns["stopped_at"]) for vm in vms if vm.columns["stop_outcome"] == CLEAN])
            if stops:
                columns = [vm.columns for vm in vms if vm.columns["start_outcome"] == STARTED]
                return stops, _median([(one["start_sent_at"], one["started_at"]) for one in columns])
    return None, None


def _median(spans: list[tuple[str | None, str | None]]) -> float | None:
    """Of the seconds between two times of the record, where there are enough of them."""
    seconds = [age_seconds(begin) - age_seconds(end) for begin, end in spans if begin and end]
    return max(1.0, float(round(statistics.median(seconds), 1))) if len(seconds) >= ENOUGH else None
