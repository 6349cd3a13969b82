# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""A plan as data, with every host and VM: what is to become of each, and why of some nothing. Pure."""

from __future__ import annotations

import typing as t

from .._accept import LOST, VM
from .._api.endpoints import HostList
from .._api.model import CREATING, DELETED, STOPPED, VANISHED, Host, Vm, VmList
from .._api.selection import in_scope
from .._record.rows import RecordedVm
from .plan import Plan, RecordFacts, Settings, choose_hosts


def prepare_data(plan: Plan, settings: Settings, hosts: HostList, vms: VmList, may_come_up: t.Container[str] = ()) -> dict[str, t.Any]:
    """C(what) is one of: close, closed_already, left_alone, left_out.

    Of VMs: stop, may_come_up, down_already, left_out, waited_for, accepted, in_the_way.
    """
    chosen = {host.uuid for host in choose_hosts(hosts, settings.hosts_query)}
    close = {host.uuid for host in plan.close_hosts}
    scope, stop = in_scope(vms.vms.values(), settings.query, settings.exclude), {vm.uuid for vm in plan.stop}

    def of_host(host: Host) -> str:
        if host.uuid in close:
            return "close"
        if host.uuid not in chosen:
            return "left_out"
        return "left_alone" if host.untouchable else "closed_already"

    def of_vm(vm: Vm) -> str:
        if vm.uuid in stop:
            return "stop"
        if vm.uuid in may_come_up:
            return "may_come_up"
        if vm.state in (STOPPED, DELETED):
            return "down_already"
        if vm.uuid not in scope:
            return "left_out"
        if vm.state == CREATING:
            return "waited_for"
        return "accepted" if VM(vm.uuid) in settings.accepted else "in_the_way"

    return {
        "hosts": [
            {"uuid": host.uuid, "name": host.name, "status": host.state, "accepting": host.accepting, "what": of_host(host)}
            for host in hosts.hosts.values()
        ],
        "vms": [{**vm.brief(), "what": of_vm(vm)} for vm in vms.vms.values()],
    }


def restore_data(plan: Plan, record: RecordFacts | None, accepted: t.Container[str] = ()) -> dict[str, t.Any]:
    """C(what) is one of: open, left_as_it_is; and of VMs: start, runs_already, gone, given_up. Nothing of a hand-made list."""
    opened, start = {host.uuid for host in plan.open_hosts}, {vm.uuid for vm in plan.start}

    def of_vm(vm: RecordedVm) -> str:
        if vm.uuid not in start:
            return "runs_already"
        if vm.start.outcome == VANISHED:
            return "gone"
        return "given_up" if LOST(vm.uuid) in accepted else "start"

    return {
        "hosts": [
            {"uuid": host.uuid, "name": host.name, "what": "open" if host.uuid in opened else "left_as_it_is"}
            for host in (record.hosts if record else [])
        ],
        "vms": [
            {"uuid": vm.uuid, "user_id": vm.owner, "name": vm.name, "what": of_vm(vm)}
            for vm in (record.vms if record else [])
        ],
    }
