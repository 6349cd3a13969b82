# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What one job of a workflow tells the next: the id of the record, its phase and counts. A controller keeps it for all to read."""

from __future__ import annotations

import typing as t

from .._api import model
from .._record.record import SAFE, Record
from . import data

NOTHING_OPEN = {"record_id": "", "phase": "none"}


def of_record(record: Record) -> dict[str, t.Any]:
    """Where a maintenance stands."""
    maintenance, outcome, spared = record.maintenance, data.Outcome(record), record.spared()
    return {
        "record_id": maintenance["id"],
        "phase": maintenance["phase"],
        "ceph_checked": maintenance["phase"] == SAFE and not maintenance["headline"].endswith(model.CEPH_UNCHECKED),
        "hosts_recorded": len(record.hosts()),
        "hosts_left_closed": len(outcome.ours),
        "vms_recorded": len(outcome.vms),
        "vms_down": sum(1 for vm in outcome.vms if vm.stop_done),
        "vms_forced": sum(1 for vm in outcome.vms if vm.stop.outcome == model.FORCED),
        "vms_outlived": sum(1 for vm in outcome.vms if vm.outlived and vm.uuid not in spared),
        "vms_left": len(outcome.left),
    }


def of_plan(identity: str, phase: str, counts: dict[str, int], refusals: int) -> dict[str, t.Any]:
    """What a plan would do. C(identity): that of the open record, if there is one."""
    return {"record_id": identity, "phase": phase or "none", "hosts_planned": counts["hosts"], "vms_planned": counts["vms"], "refusals": refusals}
