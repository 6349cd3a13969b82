# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In check mode pilw_vm_power says how many calls it would send, and sends and records nothing."""

from __future__ import annotations

import os

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._power.engine import Orders
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_power

STATES = {"a": "running", "b": "running", "c": "stopped", "d": "running"}


class Platform:
    """Shows VMs; whoever sends a power call fails."""

    def vms(self, rows_kept=True):
        return VmList({uuid: parse_vm({"uuid": uuid, "status": state}) for uuid, state in STATES.items()})

    def running_vms(self, rows_kept=True):
        return VmList({uuid: vm for uuid, vm in self.vms().vms.items() if vm.state == "running"})

    def vm(self, uuid):
        return self.vms().vms.get(uuid)

    def power(self, *call, **options):
        raise AssertionError(f"sent in check mode: {call}")


def orders(start=False, force=False):
    return Orders(
        start=start, force=force, concurrency=2, timeout=1.0, poll_interval=0.1, retries=0, max_fail_percentage=100.0, call_seconds=1.0
    )


@pytest.mark.parametrize(("start", "calls"), [(False, 2), (True, 1)])
def test_of_given_vms(start, calls):
    found = pilw_vm_power.run({"vms": ["a", "b", "c", "a"], "state": "any", "never_force": None}, Platform(), orders(start), True)
    assert found == {"changed": True, "counts": {}, "exceptions": [], "unsettled": 0, "calls": calls}


def test_of_given_vms_that_are_so_already():
    found = pilw_vm_power.run({"vms": ["c"], "state": "stopped", "never_force": None}, Platform(), orders(), True)
    assert (found["changed"], found["calls"]) == (False, 0)


def test_given_vms_that_are_never_forced_off_are_rejected():
    given = {"vms": ["a", "b"], "state": "stopped", "never_force": "b"}
    assert pilw_vm_power.run(given, Platform(), orders(), True)["calls"] == 2, "a graceful stop is sent all the same"
    with pytest.raises(Refused, match=r"^vms: these are never to be forced off .ceph_maint_never_force names b.: owner unknown: b. Nothing was sent.$"):
        pilw_vm_power.run(given, Platform(), orders(force=True), False)


def test_a_wrong_uuid_is_an_error_in_check_mode_too():
    with pytest.raises(InputError, match="knows no VM z"):
        pilw_vm_power.run({"vms": ["z"], "state": "stopped"}, Platform(), orders(), True)


@pytest.fixture
def made(tmp_path):
    """C(a) and C(b) were seen running, C(b) outlived its stop, C(c) is down, C(d) is nobody we know."""
    record = Record.create(os.path.join(str(tmp_path), "record.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": uuid, "status": "running"}) for uuid in "abc"], late=False)
    record.write(token, [Change("b", {"stop_outcome": "would_not_stop", "outlived_at": "t"}), Change("c", {"stop_outcome": "clean"})])
    yield record, token
    record.close()


@pytest.mark.parametrize(
    ("what", "calls"),
    [({"start": False}, 2), ({"force": True}, 1), ({"start": True}, 1)],
    ids=["stop", "force", "start"],
)
def test_of_a_record(made, what, calls):
    record, token = made
    with open(record.path, "rb") as file:
        before = file.read()
    look = {"which": "pending", "at_most": 0, "ceph_host": None, "ceph": None}
    limits = {"canary_vms": None, "never_force": None, "max_force_percentage": 20.0}
    params = {**look, **limits, "groups": None, "canary": 3, "record": record.path, "run": token, "lease": 5.0}
    found = pilw_vm_power.run_recorded(params, Platform(), orders(**what), record, True)
    assert found == {"changed": True, "counts": {}, "exceptions": [], "unsettled": 0, "calls": calls, "left": 0}
    with open(record.path, "rb") as file:
        assert file.read() == before
    assert record.phase == "recorded"
