# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What a restore would do, and what the end of an earlier maintenance means for the next. Pure: facts in, plan out."""

from __future__ import annotations

import typing as t

from .. import _accept
from .._api.endpoints import HostList
from .._api.model import STOPPED, VmList, parse_vm
from .._api.selection import longest
from .._power import waves
from .estimates import START_TIME, likely, restore_seconds, settled_seconds, time_line, trial_seconds, window_note
from .history import Ended
from .limits import SHOWN, group_lines
from .plan import Plan, RecordFacts, Settings, named_lines
from .preconditions import CEPH_NOT_BACK, HOSTS_NOT_SAID, Refusal, not_running
from .scope import group_order


def nothing_to_restore(folder: str, ended: Ended | None, elsewhere: str) -> Plan:
    """Without a record and without a list. C(ended): the last maintenance there. C(elsewhere): open records under other names, as text."""
    plan = Plan()
    plan.refuse(
        f"There is no open record in {folder}, so nothing is known that could be brought back. "
        + (f"The last maintenance, {ended.identity}, ended at {ended.done_at}. " if ended else "")
        + "If the record lies "
        "elsewhere, set ceph_maint_record_dir, ceph_maint_api_host and ceph_maint_location as they were in the prepare. "
        "To restore from a hand-made list: -e ceph_maint_running_vms=/path/running_vms.json" + elsewhere
        + (
            f"; to bring back the {len(ended.down)} VMs and {len(ended.closed)} hosts that the last maintenance gave up: "
            f"{ended.bring_back()}"
            if ended and not ended.complete
            else ""
        ),
        (),
    )
    return plan


def plan_adoption(settings: Settings, path: str, rows: list[dict], open_hosts: list[str] | None, ceph_is_back: bool) -> Plan:
    """A restore from a hand-made list. C(open_hosts) None: the question was not answered."""
    plan = Plan()
    plan.lines = [
        f"Platform: {settings.place}",
        f"Hand-made list {path}: {len(rows)} VMs to bring back",
        f"Hosts to open: {', '.join(open_hosts or []) or 'none'}",
    ]
    unmet = ([] if ceph_is_back else [Refusal(CEPH_NOT_BACK)]) + ([Refusal(HOSTS_NOT_SAID)] if open_hosts is None else [])
    plan.collect([*unmet, *not_running(rows, path)], settings.accepted)
    return plan


def plan_restore(
    settings: Settings, record: RecordFacts, running: VmList | None, listed: HostList | None, adopting: str, ceph_is_back: bool
) -> Plan:
    """The gate before anything is opened or started. C(running) or C(listed) None: the API does not answer yet."""
    plan = Plan()
    if adopting and record.adopted_from != adopting:
        plan.refuse(
            f"There is an open record ({record.identity}, phase {record.phase}, {len(record.vms)} VMs), and it knows more than "
            f"{adopting}. Restore without ceph_maint_running_vms: -e ceph_maint_running_vms=",
            (),
        )
        return plan
    if (record.safe_at or record.adopted_from) and not ceph_is_back:
        plan.refuse(CEPH_NOT_BACK, ())
    plan.open_hosts = [host for host in record.hosts if host.to_open_by_us]
    kept_closed = _kept_closed(plan, settings, record, listed)
    gone = [host for host in plan.open_hosts if listed is not None and host.uuid not in listed.hosts]
    plan.open_hosts = [host for host in plan.open_hosts if host.uuid not in kept_closed and host not in gone]
    if gone:
        items = [_accept.LOST(host.uuid) for host in gone]
        plan.warnings.append(
            f"{len(gone)} hosts that this maintenance closed are not listed by the platform any more and cannot be opened: "
            f"{', '.join(host.label() for host in gone[:SHOWN])}. If they were removed for good: "
            f"{_accept.accept_argument(settings.accept, items)}"
        )
    plan.start = [vm for vm in record.vms if running is None or vm.uuid not in running.vms]
    coming: list[t.Any] = plan.start
    ordered: list[str] = []
    if settings.groups:
        known = [vm for vm in (parse_vm(one.row) for one in record.vms) if vm is not None]
        starting = {vm.uuid for vm in plan.start}
        coming = [vm for vm in known if vm.uuid in starting]
        ordered = group_order(settings.groups, known, starting)
    plan.worst_seconds = settled_seconds(coming, settings.groups, settings.concurrency, settings.start_timeout, "start_timeout")
    waves.check_canaries(settings.canary_vms, record.vms)
    first = waves.canaries(plan.start, settings.groups, settings.canary, settings.canary_vms)
    limit = max(settings.start_timeout, waves.canary_timeout(first, settings.groups))
    plan.worst_seconds += trial_seconds(len(first), settings.concurrency, limit)
    plan.whole_seconds = restore_seconds(plan.worst_seconds, max(settings.hold, longest(settings.groups, "stop_timeout", settings.stop_timeout)))
    times = time_line(len(plan.start), START_TIME, settings.concurrency, plan.worst_seconds, plan.whole_seconds)
    needed = likely(len(plan.start), START_TIME, settings.concurrency) + settings.hold
    plan.warnings += filter(None, [window_note(settings.window, needed)])
    plan.lines = [
        f"Platform: {settings.place}",
        f"Record: {record.identity}, phase {record.phase}, since {record.opened_at}",
        f"Hosts to open: {len(plan.open_hosts)} of {len(record.hosts)} recorded",
        *named_lines([host.label() for host in plan.open_hosts], "  to open: "),
        *named_lines([host.label() for host in record.hosts if host.uuid in kept_closed], "  to stay closed: "),
        f"VMs to start: {len(plan.start)} of {len(record.vms)} recorded"
        + (" (the API does not answer yet)" if running is None else ""),
        *([f"Started first, alone, as a trial: {len(first)} VMs"] if first else []),
        *named_lines([vm.label() for vm in first], "  first: "),
        *group_lines(settings.groups),
        *ordered,
        f"Time to start: {times}",
    ]
    return plan


def note_ended(plan: Plan, ended: Ended | None, vms: VmList, hosts: HostList) -> None:
    """Report what the last maintenance gave up and what is still as it left it: this one does not bring it back."""
    if ended is None or ended.complete:
        return
    down = [vm for vm in ended.down if vm.uuid in vms.vms and vms.vms[vm.uuid].state == STOPPED]
    closed = [host for host in ended.closed if host["uuid"] in hosts.hosts and hosts.hosts[host["uuid"]].accepting is not True]
    if down or closed:
        plan.warnings.append(
            f"The last maintenance, {ended.identity}, ended at {ended.done_at} and gave up {len(down)} VMs that are still down and "
            f"{len(closed)} hosts that are not shown as open. This one does not bring them back. To bring them back first: {ended.bring_back()}"
        )


def _kept_closed(plan: Plan, settings: Settings, record: RecordFacts, listed: HostList | None) -> set[str]:
    """The uuids of recorded hosts that are to stay closed, as said now or in the prepare. A name that fits no host is refused."""
    known = {name for host in record.hosts for name in (host.uuid, host.name)}
    shown = {name for uuid, host in listed.hosts.items() for name in (uuid, host.name)} if listed else set()
    names = settings.keep_closed or []
    unknown = [name for name in names if listed is not None and name not in known | shown]
    if unknown:
        plan.refuse(f"hosts_keep_closed: no host has the uuid or name {', '.join(unknown)}. Correct ceph_maint_hosts_keep_closed.", ())
    return {host.uuid for host in record.hosts if host.keep_closed or {host.uuid, host.name} & set(names)}
