# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Polls: how often lists are read, and how many details."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import MAX_UNREAD
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError
from ansible_collections.pilw.maintenance.plugins.module_utils._power.polls import MAX_DETAILS, Polls, read_states


def error(status=502, kind=ApiError):
    return kind("GET", "/x", status=status, detail="words")


class Platform:
    """VMs by uuid and state. C(unread): details that cannot be read. Each list takes C(took) seconds."""

    def __init__(self, states, took=0.5, unread=(), lists=()):
        self.states, self.took, self.unread, self.lists = states, took, set(unread), list(lists)
        self.now, self.asked = 100.0, []

    def _list(self, kind, wanted):
        self.asked.append(kind)
        self.now += self.took
        if self.lists and (problem := self.lists.pop(0)):
            raise problem
        return VmList({uuid: parse_vm({"uuid": uuid, "status": state}) for uuid, state in self.states.items() if wanted(state)})

    def running_vms_now(self):
        return self._list("running", lambda state: state == "running")

    def vms_now(self):
        return self._list("complete", lambda state: state != "hidden")

    def vms(self, rows_kept):
        return self.vms_now()

    def vm_now(self, uuid):
        self.asked.append(uuid)
        if uuid in self.unread:
            raise error()
        state = self.states.get(uuid)
        return parse_vm({"uuid": uuid, "status": state}) if state else None

    vm = vm_now


def submit(work, *given):
    future = Future()
    try:
        future.set_result(work(*given))
    except Exception as exc:
        future.set_exception(exc)
    return future


def polls_of(platform):
    return Polls(platform, 5.0, lambda: platform.now)


def poll(polls, platform, uuids, last=False):
    polls.begin(submit)
    return polls.take(submit, lambda running: [uuid for uuid in uuids if uuid not in running], last)


def names(count):
    return [f"v{number:03}" for number in range(count)]


def test_failed_list_is_repeated_after_the_interval():
    platform = Platform({}, lists=[error()])
    polls = polls_of(platform)
    assert poll(polls, platform, ["a"]) is None
    assert (polls.ok, polls.next_at) == (False, platform.now + 5.0)


@pytest.mark.parametrize(("took", "next_at"), [(0.5, 105.0), (3.0, 130.0)])
def test_lists_take_at_most_a_tenth_of_the_time(took, next_at):
    platform = Platform({}, took)
    polls = polls_of(platform)
    poll(polls, platform, [])
    assert (polls.ok, polls.next_at) == (True, next_at)


def test_refused_list_is_raised():
    platform = Platform({}, lists=[error(403, AuthError)])
    with pytest.raises(AuthError):
        poll(polls_of(platform), platform, [])


def test_vms_that_run_need_no_detail():
    platform = Platform({"a": "running"})
    found = poll(polls_of(platform), platform, ["a"])
    assert (platform.asked, found.states, found.began) == (["running"], {}, 100.0)


def test_few_vms_are_explained_by_details():
    platform = Platform({"a": "stopping", "b": "stopped"})
    found = poll(polls_of(platform), platform, ["a", "b", "gone"])
    assert found.states == {"a": "stopping", "b": "stopped", "gone": "deleted"}
    assert platform.asked == ["running", "a", "b", "gone"]


def test_many_vms_are_explained_by_one_complete_list():
    platform = Platform(dict.fromkeys(names(300), "stopped"))
    found = poll(polls_of(platform), platform, names(300))
    assert (len(found.states), platform.asked) == (300, ["running", "complete"])


def test_complete_lists_are_ten_times_their_duration_apart():
    platform = Platform(dict.fromkeys(names(300), "stopping"), took=2.0)
    polls = polls_of(platform)
    poll(polls, platform, names(300))
    platform.now += 5.0
    assert len(poll(polls, platform, names(300)).states) == MAX_DETAILS
    assert platform.asked.count("complete") == 1
    platform.now += 20.0
    assert len(poll(polls, platform, names(300)).states) == 300


def test_last_poll_reads_a_complete_list_whenever_it_needs_one():
    platform = Platform(dict.fromkeys(names(300), "stopping"), took=2.0)
    polls = polls_of(platform)
    for _each in range(2):
        assert len(poll(polls, platform, names(300), last=True).states) == 300


def test_details_take_turns_where_not_all_can_be_read():
    platform = Platform(dict.fromkeys(names(60), "stopping"), took=100.0)
    polls = polls_of(platform)
    poll(polls, platform, names(60))
    platform.asked.clear()
    for _each in range(3):
        platform.took = 0.0
        poll(polls, platform, names(60))
    assert sorted(uuid for uuid in platform.asked if uuid != "running") == names(60)


def test_details_that_cannot_be_read_are_replaced_by_a_complete_list():
    platform = Platform(dict.fromkeys(names(10), "stopped"), unread=names(10))
    polls = polls_of(platform)
    assert poll(polls, platform, names(10)).states == {}
    assert len(platform.asked) == 1 + MAX_UNREAD
    assert len(poll(polls, platform, names(10)).states) == 10


def test_failed_complete_list_leaves_the_details():
    platform = Platform(dict.fromkeys(names(30), "stopped"), lists=[None, error()])
    assert len(poll(polls_of(platform), platform, names(30)).states) == MAX_DETAILS


def test_states_of_recorded_vms_come_from_a_list_and_the_details_of_missing_ones():
    platform = Platform({"a": "running", "b": "paused", "c": "hidden", "d": "hidden"}, unread=["d"])
    assert read_states(platform, ["a", "b", "c", "d", "gone"]) == {"a": "running", "b": "paused", "c": "hidden", "gone": "deleted"}
