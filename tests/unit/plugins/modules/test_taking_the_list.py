# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list that a prepare takes: until nothing is being created and two lists agree."""

from __future__ import annotations

import os

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import Refused, StillWaiting
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_list


class Cloud:
    def __init__(self, *lists):
        self.lists, self.asked, self.now = list(lists), 0, 0.0

    def vms(self):
        self.asked += 1
        states = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        return parse_vm_list([{"uuid": uuid, "status": state} for uuid, state in states.items()])

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def made(tmp_path):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    yield record, record.begin_run("ann", "prepare")
    record.close()


def take(made, cloud, exclude="", **wait):
    record, token = made
    params = {"run": token, "query": "", "exclude": exclude, "settle_timeout": 60.0, "poll_interval": 5.0, "_wait": wait}
    return pilw_vm_list.take(params, cloud, record, cloud.clock, cloud.sleep)


def uuids(made):
    return [vm.uuid for vm in made[0].vms()]


def test_two_lists_that_agree_are_enough(made):
    cloud = Cloud({"a": "running", "b": "stopped"})
    result = take(made, cloud)
    assert (cloud.asked, cloud.now) == (2, 5.0)
    assert (result["added"], result["recorded"], result["changed"]) == (1, 1, True)
    assert uuids(made) == ["a"]
    assert made[0].seen() == {"a": "running", "b": "stopped"}


def test_what_two_lists_disagree_about_is_kept(made):
    cloud = Cloud({"a": "running"}, {"b": "running"}, {"c": "running"}, {"c": "running"})
    take(made, cloud)
    assert uuids(made) == ["a", "b", "c"]


def test_a_vm_being_created_is_waited_for(made):
    cloud = Cloud({"a": "creating"}, {"a": "creating"}, {"a": "running"})
    take(made, cloud)
    assert uuids(made) == ["a"]


def test_waiting_for_it_has_an_end_and_a_way_on(made):
    cloud = Cloud({"a": "creating", "b": "running"})
    made[0].accept(made[1], ["old:x"])
    with pytest.raises(Refused) as caught:
        take(made, cloud)
    assert 60 < cloud.now <= 70
    assert caught.value.items == ["vm:a"]
    assert str(caught.value) == (
        "Still being created after 60 s: a (no name, owner unknown, creating). The list is not complete, so this run has stopped "
        "no VM; hosts are closed. Run the same command again, or leave them out: -e ceph_maint_accept=old:x,vm:a -e \"ceph_maint_accept_reason='REASON'\""
    )
    made[0].accept(made[1], caught.value.items)
    take(made, cloud)
    assert uuids(made) == ["b"]


def test_owners_who_start_and_stop_all_the_time_do_not_hold_it_up(made):
    cloud = Cloud(*({"a": "running", f"n{number}": "running"} for number in range(100)))
    take(made, cloud)
    assert cloud.now <= 70
    assert len(uuids(made)) == cloud.asked + 1


def test_a_scope_records_only_its_own(made):
    take(made, Cloud({"a": "running", "b": "running"}), exclude="[?uuid=='b']")
    assert uuids(made) == ["a"]


def test_a_second_list_never_shrinks_the_first(made):
    take(made, Cloud({"a": "running"}))
    result = take(made, Cloud({"b": "running"}))
    assert uuids(made) == ["a", "b"] and result["added"] == 1
    assert [vm.late for vm in made[0].vms()] == [False, True]


def test_check_mode_tells_and_writes_nothing(made):
    record, token = made
    params = {"run": token, "query": "", "exclude": ""}
    result = pilw_vm_list.predict(params, Cloud({"a": "running"}), record)
    assert (result["added"], result["changed"], uuids(made), record.seen()) == (1, True, [], {})


def test_a_long_wait_is_told_of_and_gone_on_with(made):
    """What the first call has added counts as added by the whole."""
    cloud = Cloud({"a": "running", "b": "creating"})
    with pytest.raises(StillWaiting, match=r"^After 15 of at most 60 s: 1 VMs are being created, the first is b \("):
        take(made, cloud, piece=15.0)
    assert uuids(made) == ["a"]
    result = take(made, Cloud({"a": "running", "b": "running"}), piece=15.0, waited=16.0)
    assert (result["added"], result["recorded"]) == (2, 2)
    with pytest.raises(Refused, match="Still being created after 60 s"):
        take(made, cloud, piece=15.0, waited=61.0)


def test_lists_that_take_long_are_compared_all_the_same(made):
    """A call that came back after each list would never have two of them, and would say that they do not agree."""
    cloud = Cloud({"a": "running"})
    listed = cloud.vms
    cloud.vms = lambda: (cloud.sleep(20.0), listed())[1]
    result = take(made, cloud, piece=15.0)
    assert (cloud.asked, result["recorded"]) == (2, 1)
