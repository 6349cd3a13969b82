# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What a prepare would do, and everything that blocks it. Pure: facts in, plan out."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from .._accept import LIST, OPEN_HOST, VM, Accepted
from .._api.endpoints import HostList
from .._api.model import CREATING, DELETED, RUNNING, STOPPED, Host, Vm, VmList, count_by
from .._api.selection import group_names, in_scope, matching, right_form
from .._defaults import DEFAULTS
from .._environment.machine import matches
from .._errors import InputError
from .._record import force_limit
from .._record.rows import RecordedHost, RecordedVm
from .estimates import STOP_TIME, likely, prepare_seconds, settled_seconds, time_line, window_note
from .limits import SHOWN, group_lines, left_lines, owner_lines, spared_lines
from .preconditions import Refusal
from .scope import given_lines, group_order


@dataclass
class Settings:
    """What the operator asked for. C(keep_closed) None: the question was not answered."""

    api_host: str
    location: str = ""
    query: str = ""
    exclude: str = ""
    hosts_query: str = ""
    keep_closed: list[str] | None = None
    accept: list[str] = field(default_factory=list)
    groups: list[dict] = field(default_factory=list)
    concurrency: int = DEFAULTS["concurrency"]
    stop_timeout: float = DEFAULTS["stop_timeout"]
    force_timeout: float = DEFAULTS["force_timeout"]
    start_timeout: float = DEFAULTS["start_timeout"]
    settle_timeout: float = DEFAULTS["settle_timeout"]
    proof_interval: float = DEFAULTS["proof_interval"]
    hold: float = DEFAULTS["hold"]
    canary: int = 0
    canary_vms: list[str] = field(default_factory=list)
    force: bool = DEFAULTS["force"]
    max_force_percentage: float = DEFAULTS["max_force_percentage"]
    never_force: list[str] | None = None
    scope_lines: list[str] = field(default_factory=list)  # the scope as it was given; ``exclude`` stands for its lists too
    record_copy: str = ""
    window: float = 0.0  # seconds that the run may take; 0: nobody has said

    @functools.cached_property
    def accepted(self) -> Accepted:
        """For many questions, which are remembered."""
        return Accepted(self.accept)

    @property
    def place(self) -> str:
        return f"{self.api_host}@{self.location}" if self.location else self.api_host


@dataclass
class LocationFacts:
    """What one location's admin lists gave: uuids and counts, or why not."""

    slug: str
    vms: frozenset[str] = frozenset()
    hosts: int = 0
    problem: str = ""


@dataclass
class RecordFacts:
    """An open record, as a plan needs it."""

    identity: str
    phase: str
    opened_at: str
    safe_at: str | None
    age: float
    adopted_from: str | None
    hosts: list[RecordedHost]
    vms: list[RecordedVm]
    accepted: list[str] = field(default_factory=list)
    osd_flags: list[str] = field(default_factory=list)
    ceph_fsid: str = ""
    force: force_limit.Kept = field(default_factory=force_limit.Kept)


@dataclass
class Plan:
    """C(refusals) are texts; C(items) what the operator can accept; C(lines) the plan as read by people."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    stop: list[Vm] = field(default_factory=list)
    start: list[RecordedVm] = field(default_factory=list)
    close_hosts: list[Host] = field(default_factory=list)
    open_hosts: list[RecordedHost] = field(default_factory=list)
    worst_seconds: float = 0.0  # until all that is known now is stopped, or started
    whole_seconds: float = 0.0  # until the run has ended, whatever comes up meanwhile

    def refuse(self, text: str, accepted: t.Container[str], *items: str) -> None:
        """Refuse, unless every item is accepted. Without an item there is another way on, and the text says it."""
        open_items = [item for item in items if item not in accepted]
        if items and not open_items:
            self.warnings.append(f"Accepted: {text}")
        else:
            self.refusals.append(text)
            self.items += open_items

    def collect(self, refusals: t.Iterable[Refusal], accepted: t.Container[str]) -> None:
        """Refuse for each of these preconditions that does not hold and is not accepted."""
        for text, item in refusals:
            self.refuse(text, accepted, *filter(None, [item]))


def plan_prepare(
    settings: Settings, hosts: HostList, vms: VmList, locations: list[LocationFacts], record: RecordFacts | None, machines: list[dict]
) -> Plan:
    """Everything that would later stand in the way of safe is refused here, before any host is closed."""
    plan, accepted = Plan(), settings.accepted
    scope = in_scope(vms.vms.values(), settings.query, settings.exclude)
    chosen = [vm for vm in vms.vms.values() if vm.uuid in scope]
    recorded = {vm.uuid for vm in record.vms} if record else set()
    plan.stop = [vm for vm in chosen if _to_stop(vm, recorded) and VM(vm.uuid) not in accepted]
    names_of = group_names(chosen, settings.groups)
    _check_locations(plan, settings, locations)
    _check_rows(plan, settings, hosts, vms)
    for vm in chosen:
        if vm.state not in (RUNNING, STOPPED, CREATING, DELETED) and vm.uuid not in recorded:
            plan.refuse(f"VM {vm.label()} is neither running nor stopped and would hold Ceph open.", accepted, VM(vm.uuid))
    for found in matches(chosen, machines):
        text = f"VM {found.vm.label()} has the {found.by} of {found.machine}"
        if found.sure and found.vm.holds_storage:
            plan.refuse(
                f"{text}, the machine that runs this: it would stop itself. Run from a machine outside this cloud, or leave this VM running.",
                accepted,
                VM(found.vm.uuid),
            )
        elif not found.sure:
            plan.warnings.append(f"{text}. A private address proves nothing; see that it is another machine.")
    for machine in machines:
        if machine.get("unread"):
            plan.warnings.append(
                f"Not proven that {machine.get('name', '?')} is no VM of this cloud: not readable there: "
                f"{', '.join(machine['unread'])}."
            )
    _plan_hosts(plan, settings, hosts, record)
    if not settings.record_copy:
        plan.warnings.append("No second copy of the record is kept. Set ceph_maint_record_copy to a folder on another disk.")
    _describe_prepare(plan, settings, vms, chosen, scope, record)
    _describe_force(plan, settings, vms, names_of, record)
    return plan


def _to_stop(vm: Vm, recorded: t.Container[str]) -> bool:
    """Whether a stop is sent to it: it runs, or it was seen running before and is not down."""
    return vm.state == RUNNING or (vm.uuid in recorded and vm.holds_storage)


def _check_locations(plan: Plan, settings: Settings, locations: list[LocationFacts]) -> None:
    slugs = [location.slug for location in locations]
    if len(slugs) > 1 and not settings.location:
        plan.refuse(
            f"The platform has {len(slugs)} locations ({', '.join(slugs)}) and one run covers one of them. "
            "Choose with -e ceph_maint_location=SLUG",
            (),
        )
    if settings.location and slugs and settings.location not in slugs:
        plan.refuse(
            f"The platform does not list a location {settings.location}; it lists {', '.join(slugs)}.",
            settings.accepted,
            LIST(f"location-{settings.location}"),
        )
    for number, one in enumerate(locations):
        for other in locations[number + 1 :]:
            if one.vms & other.vms:
                plan.refuse(
                    f"The locations {one.slug} and {other.slug} show the same VMs: this platform seems to ignore the "
                    "location in admin lists, so what a list covers is not known.",
                    settings.accepted,
                    LIST(f"same-rows-{one.slug}+{other.slug}"),
                )


def _check_rows(plan: Plan, settings: Settings, hosts: HostList, vms: VmList) -> None:
    if not vms.vms and not vms.unreadable:
        plan.refuse(
            f"The platform {settings.place} shows no VM at all. A key without admin rights or a wrong location looks the "
            "same.",
            settings.accepted,
            LIST(f"empty-{settings.place}"),
        )
    if not hosts.hosts and not hosts.unreadable:
        plan.refuse(
            f"The platform {settings.place} shows no hypervisor host, so none can be closed to new VMs.",
            settings.accepted,
            OPEN_HOST(settings.place),
        )
    for row in (*vms.unreadable, *hosts.unreadable):
        plan.refuse(f"A row of a list has no usable uuid ({row}) and cannot be acted on.", settings.accepted, LIST(f"row-{row}"))


def choose_hosts(hosts: HostList, query: str) -> list[Host]:
    """The hosts that a run closes: all, or those of the query."""
    if not query:
        return list(hosts.hosts.values())
    uuids = matching([host.row for host in hosts.hosts.values()], query, "hosts_query")
    return [host for uuid, host in hosts.hosts.items() if uuid in uuids]


def hosts_named(hosts: HostList, names: list[str], option: str) -> set[str]:
    """The uuids of hosts given by uuid or name; a name that fits none is an error."""
    by_name: dict[str, set[str]] = {}
    for uuid, host in hosts.hosts.items():
        for name in (uuid, host.name):
            by_name.setdefault(name, set()).add(uuid)
    found = set()
    for name in names:
        if name not in by_name:
            raise InputError(f"{option}: no host has the uuid or name {name}. Nothing was changed.")
        found |= by_name[name]
    return found


def none_open(hosts: HostList) -> bool:
    """Whether the platform shows of every host that it takes no workloads, those aside that it works on itself."""
    return all(host.accepting is False for host in hosts.hosts.values() if not host.untouchable)


def _plan_hosts(plan: Plan, settings: Settings, hosts: HostList, record: RecordFacts | None) -> None:
    chosen = choose_hosts(hosts, settings.hosts_query)
    keep = hosts_named(hosts, settings.keep_closed or [], "hosts_keep_closed")
    remembered = {host.uuid: host for host in record.hosts} if record else {}
    plan.close_hosts = [host for host in chosen if not host.untouchable and host.accepting is not False]
    if hosts.hosts and not chosen:
        plan.refuse(
            f"No host is chosen by ceph_maint_hosts_query, so all {len(hosts.hosts)} would go on taking new VMs."
            + right_form([host.row for host in hosts.hosts.values()], settings.hosts_query),
            settings.accepted,
            OPEN_HOST(settings.place),
        )
    named = {host.uuid for host in chosen}
    left_open = [uuid for uuid, host in hosts.hosts.items() if host.accepting and uuid not in named]
    if left_open:
        plan.warnings.append(f"{len(left_open)} hosts that ceph_maint_hosts_query leaves out stay open to new VMs.")
    odd = [host.label() for host in chosen if host.untouchable and host.accepting]
    if odd:
        plan.warnings.append(
            f"Shown as MAINTENANCE or OFFLINE, so left alone, and yet shown as open to new VMs: {', '.join(odd[:SHOWN])}. If one comes up "
            "there, verify names it."
        )
    unknown = [host for host in chosen if host.accepting is None and not host.untouchable and host.uuid not in remembered]
    way = (
        "Say which hosts are to stay closed at the end: -e ceph_maint_hosts_keep_closed=UUID,UUID (or none, when all of "
        "them took workloads before)"
    )
    if settings.keep_closed is None and unknown:
        plan.refuse(
            f"The platform does not show whether {len(unknown)} of {len(chosen)} hosts take workloads, so what to put back "
            f"is not known. {way}",
            (),
        )
    elif settings.keep_closed is None and chosen and record is None and none_open(hosts):
        plan.refuse(
            "No host takes workloads now, and there is no record that says why: an earlier maintenance may have closed "
            f"them. {way}",
            (),
        )
    closed = [host for host in chosen if host.accepting is False]
    away = [host for host in chosen if host.untouchable]
    plan.lines.append(
        f"Hosts: {len(chosen)} of {len(hosts.hosts)}; to close {len(plan.close_hosts)}, closed already {len(closed)}, left "
        f"alone (MAINTENANCE, OFFLINE) {len(away)}, to stay closed at the end {len(keep)}"
    )
    plan.lines += named_lines([host.label() for host in plan.close_hosts], "  to close: ")
    plan.lines += named_lines([host.label() for host in closed], "  closed already: ")
    plan.lines += named_lines([host.label() for host in away], "  left alone: ")


def _describe_prepare(
    plan: Plan, settings: Settings, vms: VmList, chosen: list[Vm], scope: set[str], record: RecordFacts | None
) -> None:
    lines = plan.lines
    lines.insert(0, f"Platform: {settings.place}")
    if record:
        lines.insert(
            1,
            f"Open record: {record.identity}, phase {record.phase}, since {record.opened_at}, {len(record.vms)} VMs recorded: "
            "this run goes on with it",
        )
    states = count_by(vm.state for vm in vms.vms.values())
    shown = ", ".join(f"{state} {count}" for state, count in states.items()) or "none"
    lines.append(f"VMs: {len(vms.vms)} of {len({vm.owner for vm in vms.vms.values()})} owners: {shown}")
    owners = count_by(vm.owner for vm in plan.stop)
    lines.append(f"To stop: {len(plan.stop)} VMs of {len(owners)} owners")
    lines += owner_lines(plan.stop) + group_order(settings.groups, chosen, {vm.uuid for vm in plan.stop})
    lines += left_lines([vm for vm in chosen if vm.state == RUNNING and VM(vm.uuid) in settings.accepted])
    creating = [vm for vm in chosen if vm.state == CREATING]
    if creating:
        lines.append(f"Being created, waited for before the list is taken: {len(creating)}")
    outside = [vm for vm in vms.holding if vm.uuid not in scope]
    if settings.query or settings.exclude:
        lines.append(f"Left out by the scope: {len(outside)} VMs that are not stopped, so the end will not be safe for Ceph")
        lines += settings.scope_lines or given_lines(settings.query, settings.exclude, {})
    lines += group_lines(settings.groups)
    stop = settled_seconds(plan.stop, settings.groups, settings.concurrency, settings.stop_timeout, "stop_timeout")
    force = settled_seconds(plan.stop, settings.groups, settings.concurrency, settings.force_timeout) if settings.force else 0.0
    plan.worst_seconds = stop + force
    plan.whole_seconds = prepare_seconds(stop, force, settings.settle_timeout, settings.proof_interval)
    times = time_line(len(plan.stop), STOP_TIME, settings.concurrency, plan.worst_seconds, plan.whole_seconds)
    needed = likely(len(plan.stop), STOP_TIME, settings.concurrency) + 2 * settings.proof_interval
    plan.warnings += filter(None, [window_note(settings.window, needed)])
    lines.append(f"Time to stop: {times}")
    lines.append(
        "VMs that do not stop in time: "
        + ("their power is cut" if settings.force else "named; their power is not cut (ceph_maint_force=false)")
    )


def _describe_force(plan: Plan, settings: Settings, vms: VmList, names_of: t.Mapping[str, str], record: RecordFacts | None) -> None:
    """The limit of what may be forced off, and the VMs that never are."""
    kept, recorded = (record.force, record.vms) if record else (force_limit.Kept(), [])
    entries = kept.entries if settings.never_force is None else settings.never_force
    if entries != kept.entries:
        force_limit.check_entries(entries, [*vms.vms.values(), *recorded])
    by_group = force_limit.spared_by_group(names_of, settings.groups) if settings.groups else kept.by_group
    running = len({*in_scope(vms.running, settings.query, settings.exclude), *(vm.uuid for vm in recorded)})
    plan.lines.append(force_limit.line(running, settings.max_force_percentage, len(kept.forced), settings.force))
    plan.lines += spared_lines(plan.stop, {**by_group, **force_limit.spared(plan.stop, entries)})


def named_lines(labels: list[str], lead: str) -> list[str]:
    shown = [lead + label for label in labels[:SHOWN]]
    return shown + ([f"{lead}and {len(labels) - SHOWN} more"] if len(labels) > SHOWN else [])
