# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many VMs may be forced off, and which never are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._record import force_limit


@dataclass(frozen=True)
class Vm:
    uuid: str
    owner: str = "8"
    name: str = ""


def vms(count, owner="8"):
    return [Vm(f"u{number:03}", owner) for number in range(count)]


@pytest.mark.parametrize(
    ("running", "percentage", "most"),
    [(0, 20, 10), (12, 20, 10), (50, 20, 10), (54, 20, 10), (55, 20, 11), (1000, 20, 200), (1000, 0, 10), (1000, 100, 1000), (300, 0.7, 10), (3, 100, 10)],
)
def test_limit_is_a_share_of_the_recorded_and_at_least_ten(running, percentage, most):
    assert force_limit.most(running, percentage) == most


def test_up_to_the_limit_all_that_timed_out_are_chosen():
    assert force_limit.choose(vms(10), (), (), 12, 20) == vms(10)
    assert force_limit.choose(vms(20), (), (), 100, 20) == vms(20)
    assert force_limit.choose([], (), vms(50), 12, 0) == []


def test_above_the_limit_none_is_chosen_and_each_is_named():
    with pytest.raises(Refused) as caught:
        force_limit.choose([Vm("a", "9", "web"), *vms(11)], (), (), 40, 20)
    text = str(caught.value)
    assert text.startswith("12 VMs did not shut down in time: more than the 10 of 40 VMs that may be forced off ")
    assert "None of them was forced off now: owner 8: u000, u001, " in text and "; owner 9: a web. " in text
    assert text.endswith("To force them off all the same: -e ceph_maint_force=true -e ceph_maint_max_force_percentage=30")
    assert len(force_limit.choose([Vm("a", "9", "web"), *vms(11)], (), (), 40, 30)) == 12, "the printed argument continues"


def test_those_forced_off_before_count():
    assert force_limit.choose(vms(10)[5:], (), {vm.uuid for vm in vms(5)}, 40, 20) == vms(10)[5:]
    with pytest.raises(Refused, match=r"^6 VMs did not shut down in time, with 5 forced off before: more than the 10 of 40 "):
        force_limit.choose(vms(11)[5:], (), {vm.uuid for vm in vms(5)}, 40, 20)
    assert force_limit.choose(vms(10), (), {vm.uuid for vm in vms(10)}, 40, 20) == vms(10), "none of them counts twice"


def test_spared_vms_are_not_chosen_and_do_not_count():
    never = {vm.uuid: "x" for vm in vms(11)[1:]}
    assert force_limit.choose(vms(11), never, (), 40, 20) == vms(11)[:1]


def test_list_of_never_names_uuids_names_and_owners():
    some = [Vm("a", "8", "web"), Vm("b", "9", "db"), Vm("c", "9"), Vm("d", "7")]
    found = force_limit.spared(some, ["9", "web", "d"])
    assert found == {
        "a": "ceph_maint_never_force names web",
        "b": "ceph_maint_never_force names 9",
        "c": "ceph_maint_never_force names 9",
        "d": "ceph_maint_never_force names d",
    }
    assert force_limit.spared(some, []) == {}


def test_entry_that_no_vm_has_is_rejected():
    force_limit.check_entries(["8", "a", "web"], [Vm("a", "8", "web")])
    with pytest.raises(InputError, match=r"^ceph_maint_never_force: no VM has the uuid, name or owner 88, wbe, so it would spare none."):
        force_limit.check_entries(["8", "88", "wbe"], [Vm("a", "8", "web")])


def test_group_can_say_that_its_vms_are_never_forced():
    groups = [{"name": "db", "force": "never"}, {"name": "web", "force": "allowed"}]
    assert force_limit.spared_by_group({"a": "db", "b": "web"}, groups) == {"a": "its group db has force: never"}


def test_many_vms_are_named_up_to_a_screen():
    assert force_limit.by_owner(vms(22)).endswith("u019; and 2 more")


def test_plan_states_the_limit():
    limit = "at most 24 of 120 VMs (ceph_maint_max_force_percentage=20)"
    assert force_limit.line(120, 20, 0, True) == f"Force: {limit}"
    assert force_limit.line(120, 20, 3, True) == f"Force: {limit}, 3 of them forced off already"
    assert force_limit.line(120, 20, 0, False) == f"Force: none (ceph_maint_force=false); with it {limit}"
