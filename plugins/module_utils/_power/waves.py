# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Which recorded VMs get which power call, in which order. Pure: the record's rows and one list in, waves out."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from types import MappingProxyType

from .. import _accept
from .._api import model
from .._api.model import parse_vm
from .._api.selection import group_names, in_scope, longest
from .._errors import InputError
from .._record.record import HELD
from .._record.rows import Change, RecordedVm, now_text
from .engine import Target, Wave
from .settlement import States, is_coming_up

# No group can have this name.
REST = ""


def within(recorded: list[RecordedVm], query: str, exclude: str) -> list[RecordedVm]:
    """The recorded VMs that the scope of this run leaves in."""
    if not query and not exclude:
        return recorded
    chosen = in_scope([vm for vm in (parse_vm(one.row) for one in recorded) if vm is not None], query, exclude)
    return [vm for vm in recorded if vm.uuid in chosen]


def to_stop(
    recorded: list[RecordedVm], states: States, accepted: t.Container[str]
) -> tuple[list[RecordedVm], list[Change]]:
    """VMs to stop gracefully, and what to write down of those that are down already. A VM in any other state gets its stop too."""
    targets, changes = [], []
    for vm in recorded:
        if _accept.VM(vm.uuid) in accepted:
            continue
        if states.get(vm.uuid) not in model.RELEASED or vm.start_unclear:
            targets.append(vm)
        elif not vm.stop_done:
            changes.append(down(vm))
    return targets, changes


def to_force(recorded: list[RecordedVm], states: States, accepted: t.Container[str]) -> list[RecordedVm]:
    """VMs that did not shut down in time and are not down: the only ones that may be forced off."""
    return [vm for vm in recorded if vm.outlived and states.get(vm.uuid) not in model.RELEASED and _accept.VM(vm.uuid) not in accepted]


def to_start(
    recorded: list[RecordedVm], running: t.Container[str], accepted: t.Container[str]
) -> tuple[list[RecordedVm], list[Change]]:
    """VMs to start, those never tried first, and what to write down of those that run already."""
    targets, changes = [], []
    for vm in recorded:
        if vm.uuid in running:
            if not vm.start_done or vm.start.outcome == model.VANISHED:
                # Running after a start of ours that nobody saw end: that start did it.
                word = model.STARTED if vm.start.sent_at else model.ALREADY_RUNNING
                columns = {"start_outcome": word, "start_error": None, "started_at": now_text(), "outlived_at": None}
                changes.append(Change(vm.uuid, columns, f"start: {word}"))
        elif vm.start.outcome != model.VANISHED and _accept.LOST(vm.uuid) not in accepted:
            targets.append(vm)
    targets.sort(key=lambda vm: vm.start.sent_at is not None)
    return targets, changes


def held(vm: RecordedVm, why: str) -> Change:
    """A VM that must not be started now."""
    return Change(vm.uuid, {"start_outcome": model.FAILED, "start_error": why}, HELD, why)


def first(waves: list[Wave], limit: int) -> tuple[list[Wave], int]:
    """The first C(limit) targets (all with 0), and how many are left. A wave that is cut has its delay with its end."""
    total = sum(len(wave.targets) for wave in waves)
    if not limit or total <= limit:
        return waves, 0
    chosen: list[Wave] = []
    room = limit
    for wave in waves:
        if len(wave.targets) > room:
            chosen.append(replace(wave, targets=wave.targets[:room], delay=0.0))
            break
        chosen.append(wave)
        room -= len(wave.targets)
    return [wave for wave in chosen if wave.targets], total - limit


def vanished(vm: RecordedVm) -> Change:
    """A VM whose own detail says that it is no more."""
    return Change(vm.uuid, {"stop_outcome": model.VANISHED, "stop_error": None, "outlived_at": None}, "vanished")


def down(vm: RecordedVm) -> Change:
    """A VM that is down while the record does not know why: a call of ours that nobody saw end, or its owner."""
    if vm.force_sent_at:
        word = model.FORCED
    elif vm.stop.sent_at:
        word = model.CLEAN
    else:
        word = model.ALREADY_STOPPED
    columns = {"stop_outcome": word, "stop_error": None, "stopped_at": now_text(), "outlived_at": None}
    return Change(vm.uuid, columns, f"stop: {word}")


def stop_waves(
    vms: list[RecordedVm], groups: list[dict], of_group: str = "stop_timeout", states: States = MappingProxyType({})
) -> list[Wave]:
    """All that are in no group, then the groups in reverse order. C(of_group): the time limit that a group may have of its own."""
    waves = _by_group(vms, groups, of_group, states, stop=True)
    return [wave for wave in [waves.pop(REST), *reversed(list(waves.values()))] if wave.targets]


def start_waves(
    vms: list[RecordedVm], groups: list[dict], canary: int, canary_vms: t.Sequence[str] = (), states: States = MappingProxyType({})
) -> list[Wave]:
    """A few first, then the groups in order, then all others."""
    first = canaries(vms, groups, canary, canary_vms)
    names = {vm.uuid for vm in first}
    waves = _by_group([vm for vm in vms if vm.uuid not in names], groups, "start_timeout", states)
    ordered = [*(wave for name, wave in waves.items() if name != REST), waves[REST]]
    targets = [_target(vm, states, stop=False) for vm in first]
    trial = Wave("canary", targets, canary=True, timeout=canary_timeout(first, groups))
    return [wave for wave in [trial, *ordered] if wave.targets]


def canaries(vms: list[RecordedVm], groups: list[dict], count: int, named: t.Sequence[str] = ()) -> list[RecordedVm]:
    """The first to start, alone. C(vms): those that are to be started. C(count) 0 is off.

    The VMs that the operator named, where one of them is still to be started. Else a few that no start was sent to yet, of different
    owners where possible: of those in no group, or of the last group, so that the most important VMs are not the trial.
    """
    if count <= 0:
        return []
    chosen = [vm for vm in vms if vm.uuid in named or vm.name in named]
    if chosen:
        return chosen
    vms = [vm for vm in vms if vm.start.sent_at is None]
    if not vms:
        return []
    names = group_of(vms, groups)
    order = [group["name"] for group in groups] + [REST]
    last = max(order.index(names.get(vm.uuid, REST)) for vm in vms)
    pool = [vm for vm in vms if names.get(vm.uuid, REST) == order[last]]
    owners: set[str] = set()
    fresh: list[RecordedVm] = []
    others: list[RecordedVm] = []
    for vm in pool:
        (others if vm.owner in owners else fresh).append(vm)
        owners.add(vm.owner)
    return (fresh + others)[:count]


def canary_timeout(vms: list[RecordedVm], groups: list[dict]) -> float:
    """The longest time limit that a group of these VMs has of its own, 0 when none has one."""
    names = set(group_of(vms, groups).values())
    return longest([group for group in groups if group["name"] in names], "start_timeout", 0.0)


def check_canaries(named: t.Sequence[str], vms: t.Iterable[t.Any]) -> None:
    """Raise InputError for entries that are neither the uuid nor the name of a recorded VM."""
    known = {text for vm in vms for text in (vm.uuid, vm.name)}
    unknown = [entry for entry in named if entry not in known]
    if unknown:
        raise InputError(
            f"ceph_maint_canary_vms: no VM of the record has the uuid or name {', '.join(unknown)}. Correct the list; without it some VMs "
            "of the last group are tried first. Nothing was started."
        )


def group_of(vms: list[RecordedVm], groups: list[dict]) -> dict[str, str]:
    """The group of each recorded VM, by uuid. C(vms) with the platform's rows where there are groups."""
    return group_names([vm for vm in (parse_vm(vm.row) for vm in vms) if vm is not None], groups) if groups else {}


def _by_group(vms: list[RecordedVm], groups: list[dict], of_group: str, states: States, stop: bool = False) -> dict[str, Wave]:
    names = group_of(vms, groups)
    waves = {
        group["name"]: Wave(
            group["name"], [], group["delay"], timeout=group.get(of_group, 0.0), concurrency=group.get("concurrency", 0)
        )
        for group in groups
    }
    waves[REST] = Wave("all others", [])
    for vm in vms:
        waves[names.get(vm.uuid, REST)].targets.append(_target(vm, states, stop))
    return waves


def _target(vm: RecordedVm, states: States, stop: bool) -> Target:
    at_work = _at_work(vm, states.get(vm.uuid, ""), stop)
    return Target(vm.uuid, vm.label(), must_send=stop and vm.start_unclear, heard=at_work if stop else vm.may_come_up, at_work=at_work)


def _at_work(vm: RecordedVm, state: str, stop: bool) -> bool:
    """Whether the platform shows that it works on a call of an earlier run, so that a second one would be one too many."""
    if stop:
        return state == "stopping" and vm.stop_pending and not vm.stop.outcome and not vm.start_unclear
    return is_coming_up(state) and not vm.start.outcome
