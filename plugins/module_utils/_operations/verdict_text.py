# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What is said at the end of a proof: that it is safe, or what stands against it and each way on."""

from __future__ import annotations

from .. import _accept
from .._api import model
from .._api.endpoints import Api
from .._errors import ApiError
from .._record.record import Record
from .._report import data
from .verify import Verdict

NO_RECORD = "Proved without a record: this collection stopped and closed nothing, and ceph_maint_restore has nothing to bring back."


def safe_lines(verdict: Verdict, api: Api, record: Record, is_open: bool = True) -> list[str]:
    """The summary at the end of a prepare or a verify that found everything down.

    C(is_open): a maintenance is open; without one nothing is said of a restore.
    """
    maintenance = record.maintenance
    lines = [verdict.headline(), *_accept.danger_lines(record.reasons(), data.SHOWN)]
    if verdict.safe:
        lines.append(f"Proved at {maintenance['safe_at']}: {'; '.join(verdict.proofs)}.")
    else:
        lines.append(f"The scope is down. {len(verdict.outside)} VMs outside of it are not stopped, so Ceph must stay up.")
    lines += verdict.notes
    if verdict.safe and not verdict.ceph_checked:
        lines.append(
            "Before Ceph goes down, check on the Ceph side that no client has an image open. To have it proved: set ceph_maint_ceph_host, "
            "then run ansible-playbook pilw.maintenance.ceph_maint_verify"
        )
    lines.append(covered(api))
    lines += [f"  accepted: {item}" for item in record.accepted()]
    lines += [f"  left as it is: {what}" for what in verdict.excepted.values()]
    if not verdict.safe:
        lines.append(f"If Ceph may go down in spite of those left out, each named: {_accept.accept_argument(record.accepted(), verdict.items)}")
    if not is_open:
        return [*lines, NO_RECORD]
    lines += data.stop_lines(record)
    closed = sum(1 for host in record.hosts() if host.closed_by_us and host.now is not True)
    down = sum(1 for vm in record.vms() if vm.stop_done)
    lines.append(
        f"If this run ends here: {closed} hosts are closed by us and {down} VMs are down. Nothing comes back by itself."
    )
    if verdict.safe:
        lines.append("Just before Ceph goes down, prove it again: ansible-playbook pilw.maintenance.ceph_maint_verify")
        lines.append(f"When Ceph is back, or to call it off: {data.restore_command(record)}")
    else:
        lines.append(f"To bring the scope back: {data.restore_command(record)}")
    lines.append(data.SAME_SETTINGS)
    return lines


def covered(api: Api) -> str:
    """Which locations the proof speaks of."""
    here = api.location or "the default location"
    try:
        locations = api.locations()
    except ApiError as exc:
        return f"Covered: {here}. Which other locations there are could not be read: {exc}."
    slugs = [one.slug for one in locations]
    if not api.location:
        here = next((one.slug for one in locations if one.is_default), slugs[0] if len(slugs) == 1 else here)
    others = [slug for slug in slugs if slug != here]
    return f"Covered: {here}. Not looked at: {', '.join(others) if others else 'no other location is listed'}."


def not_safe_lines(verdict: Verdict, record: Record) -> list[str]:
    """The summary when something stands against safe, with each way on."""
    reasons = verdict.reasons()
    lines = [verdict.headline(), f"What stands against it: {len(reasons)}"]
    lines += [f"  {reason}" for reason in reasons[: data.SHOWN]]
    if len(reasons) > data.SHOWN:
        lines.append(f"  and {len(reasons) - data.SHOWN} more")
    lines += verdict.notes
    timed_out = [vm for vm in record.vms() if vm.outlived and vm.uuid in verdict.holding]
    spared = record.spared()
    outlived = sum(1 for vm in timed_out if vm.uuid not in spared)
    if outlived < len(timed_out):
        lines.append(
            f"{len(timed_out) - outlived} of them did not shut down in time and are never forced off (ceph_maint_never_force, or their group). "
            "Ask their owners to shut them down, then rerun the same command."
        )
    if outlived:
        lines.append(f"{outlived} of them outlived their stop timeout. To cut their power, at once: -e ceph_maint_force=true")
    refused = sum(1 for vm in record.vms() if vm.stop.outcome == model.REFUSED and vm.uuid in verdict.holding)
    if refused:
        lines.append(f"The stop of {refused} of them was refused, so their guests were never asked and their power is not cut.")
    lines.append(
        "To leave them as they are (Ceph going down will hang them; the headline will name them): "
        + _accept.accept_argument(record.accepted(), verdict.items)
    )
    return lines
