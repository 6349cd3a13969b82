# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as data: every host and every VM, with what is to become of it."""

from __future__ import annotations

import types

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import HostList
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_host, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import plan as _plan
from ansible_collections.pilw.maintenance.plugins.module_utils._plan.details import prepare_data, restore_data
from ansible_collections.pilw.maintenance.plugins.module_utils._record.rows import Attempt, RecordedHost

HOSTS = [
    {"uuid": "open", "name": "rack1", "is_accepting_workloads": True},
    {"uuid": "shut", "name": "rack1", "is_accepting_workloads": False},
    {"uuid": "away", "name": "rack1", "status": "OFFLINE"},
    {"uuid": "other", "name": "rack2", "is_accepting_workloads": True},
]
VMS = [
    {"uuid": uuid, "status": status, "user_id": owner, "name": uuid}
    for uuid, status, owner in [
        ("runs", "running", 8), ("taken", "running", 8), ("other", "running", 9), ("down", "stopped", 9), ("gone", "deleted", 8),
        ("left", "stopped", 8), ("made", "creating", 8), ("odd", "paused", 8), ("odd-taken", "paused", 8),
    ]
]  # fmt: skip


def what(rows):
    return {row["uuid"]: row["what"] for row in rows}


def test_of_a_prepare_every_host_and_vm_has_its_lot():
    settings = _plan.Settings(
        api_host="a", query="[?user_id==`8`]", hosts_query="[?name=='rack1']", accept=["vm:taken", "vm:odd-taken"], record_copy="/c"
    )
    hosts = HostList({row["uuid"]: parse_host(row) for row in HOSTS}, ())
    vms = parse_vm_list(VMS)
    data = prepare_data(_plan.plan_prepare(settings, hosts, vms, [], None, []), settings, hosts, vms, {"left"})
    assert what(data["hosts"]) == {"open": "close", "shut": "closed_already", "away": "left_alone", "other": "left_out"}
    assert what(data["vms"]) == {
        "runs": "stop", "taken": "accepted", "other": "left_out", "down": "down_already", "gone": "down_already",
        "left": "may_come_up", "made": "waited_for", "odd": "in_the_way", "odd-taken": "accepted",
    }  # fmt: skip
    assert data["vms"][0] == {"uuid": "runs", "user_id": "8", "name": "runs", "status": "running", "what": "stop"}
    assert data["hosts"][0] == {"uuid": "open", "name": "rack1", "status": "", "accepting": True, "what": "close"}


@pytest.mark.parametrize("known", [True, False])
def test_of_a_restore_too(known):
    host, other = (RecordedHost(uuid, "rack1", True, False, False, True, None, "") for uuid in ("h", "i"))
    outcomes = {"a": None, "b": "running", "c": "vanished", "d": "failed"}
    vms = [types.SimpleNamespace(uuid=uuid, owner="8", name="n", start=Attempt(one)) for uuid, one in outcomes.items()]
    plan = _plan.Plan(open_hosts=[host], start=[vm for vm in vms if vm.uuid != "b"])
    record = types.SimpleNamespace(hosts=[host, other], vms=vms)
    data = restore_data(plan, record if known else None, ["lost:d"])
    assert what(data["hosts"]) == ({"h": "open", "i": "left_as_it_is"} if known else {})
    assert what(data["vms"]) == ({"a": "start", "b": "runs_already", "c": "gone", "d": "given_up"} if known else {})
