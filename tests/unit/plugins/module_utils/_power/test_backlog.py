# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls the platform may still hold in a queue of its own, with an invented clock."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError
from ansible_collections.pilw.maintenance.plugins.module_utils._power.backlog import Backlog
from ansible_collections.pilw.maintenance.plugins.module_utils._power.batch import Batch

PLACE, TIMEOUT = 90.0, 600.0
GATEWAY = ApiError("POST", "/x", status=504, detail="words")


def asked(uuids, at=0.0, gateway=60.0):
    """These were sent one after another, and a gateway gave up on each."""
    backlog = Backlog(PLACE, TIMEOUT)
    for uuid in uuids:
        backlog.sent(uuid, at)
    for uuid in uuids:
        gave_up(backlog, uuid, at + gateway)
    return backlog


def gave_up(backlog, uuid, now):
    backlog.answered(uuid, now, taken=True, done=False, timed_out=True)


def ended(backlog, uuid, now, done=True):
    backlog.answered(uuid, now, taken=True, done=done, timed_out=False)


def reached(backlog, uuids):
    return "".join(uuid for uuid in uuids if backlog.reached_at(uuid) is not None)


def test_first_call_is_worked_on_and_later_ones_may_wait():
    backlog = asked("abc")
    assert (reached(backlog, "abc"), backlog.reached_at("a"), backlog.queued(60.0)) == ("a", 0.0, 2)


def test_finished_call_shows_that_all_before_it_were_begun():
    backlog = asked("abcd")
    backlog.listed(lambda uuid: uuid == "c", 70.0)
    assert (reached(backlog, "ab"), backlog.reached_at("b"), backlog.reached_at("d"), backlog.last_done) == ("ab", 70.0, None, 70.0)


def test_next_call_is_begun_when_all_before_it_are_finished():
    backlog = asked("abc")
    backlog.listed(lambda uuid: uuid == "a", 70.0)
    assert (backlog.reached_at("b"), backlog.reached_at("c")) == (70.0, None)


def test_call_that_nothing_ends_gives_way_after_its_time():
    backlog = asked("abc")
    for now, words in ((599.0, "a"), (600.0, "ab"), (1199.0, "ab"), (1200.0, "abc")):
        backlog.listed(lambda uuid: False, now)
        assert reached(backlog, "abc") == words, now


def test_open_calls_that_a_later_one_overtakes_show_how_many_are_worked_on():
    backlog = Backlog(PLACE, TIMEOUT)
    for uuid in "abcd":
        backlog.sent(uuid, 0.0)
    ended(backlog, "d", 22.0)
    assert backlog.workers == 4
    for uuid in "abc":
        gave_up(backlog, uuid, 60.0)
    backlog.sent("e", 61.0)
    assert reached(backlog, "abc") == "abc" and backlog.queued(61.0) == 0


def test_answer_at_once_does_not_end_the_work():
    backlog = Backlog(PLACE, TIMEOUT)
    for uuid in "abc":
        backlog.sent(uuid, 0.0)
        ended(backlog, uuid, 0.1, done=False)
    assert (backlog.workers, backlog.queued(1.0)) == (1, 2)


def test_answer_after_the_usual_time_ends_the_work_whatever_it_shows():
    backlog = Backlog(PLACE, TIMEOUT)
    for uuid in "ab":
        backlog.sent(uuid, 0.0)
    ended(backlog, "a", 22.0)
    ended(backlog, "b", 60.0, done=False)
    assert backlog.queued(60.0) == 0 and backlog.reached_at("b") == float("-inf")


def test_much_sooner_answer_shows_nothing_of_the_queue():
    backlog = Backlog(PLACE, TIMEOUT)
    for uuid, now in (("a", 0.0), ("b", 30.0), ("c", 30.0)):
        backlog.sent(uuid, now)
        if uuid == "a":
            ended(backlog, "a", 22.0)
    ended(backlog, "c", 30.2)
    assert (backlog.workers, backlog.reached_at("b")) == (1, float("-inf"))
    gave_up(backlog, "b", 90.0)
    assert backlog.reached_at("b") == 30.0


@pytest.mark.parametrize("act", ["refused", "forgotten", "sent again"])
def test_call_that_was_not_taken_holds_no_place(act):
    backlog = asked("ab")
    if act == "refused":
        backlog.sent("b", 61.0)
        backlog.answered("b", 62.0, taken=False, done=False, timed_out=False)
    elif act == "forgotten":
        backlog.forget("b")
    else:
        backlog.sent("b", 61.0)
    assert backlog.queued(62.0) == 0


def test_place_is_free_again_after_as_long_as_a_call_may_block():
    backlog = asked("ab")
    assert [backlog.queued(now) for now in (149.0, 150.0)] == [1, 0]


def test_queue_is_idle_when_nothing_was_finished_for_as_long_as_a_call_is_held():
    backlog = asked("abc")
    backlog.listed(lambda uuid: uuid == "a", 100.0)
    assert [backlog.idle("b", now) for now in (699.0, 700.0)] == [False, True]
    assert not backlog.idle("unknown", 9999.0)


def queue_of(uuids):
    batch = Batch(False, False, TIMEOUT, 2, 5.0)
    for uuid in uuids:
        batch.add(uuid, f"VM {uuid}")
        batch.sent(batch.items[uuid], 0.0)
    for uuid in uuids:
        batch.answered(batch.items[uuid], GATEWAY, None, 60.0)
    return batch


def test_time_of_a_vm_does_not_run_while_others_before_it_are_finished():
    batch = queue_of("abcd")
    running, now = set("abcd"), 60.0
    for uuid in "abc":
        now += 550.0
        running.discard(uuid)
        settled = batch.listed(running, now, now, dict.fromkeys(set("abcd") - running, "stopped"))
        assert [one.outcome for one in settled] == ["clean"]
    assert batch.listed({"d"}, now + 599.0, now + 599.0, {}) == []
    assert [one.outcome for one in batch.listed({"d"}, now + 600.0, now + 600.0, {})] == ["would_not_stop"]


def test_vm_behind_one_that_does_not_obey_is_not_given_up_with_it():
    batch = queue_of("ab")
    assert [one.item.uuid for one in batch.listed(set("ab"), 700.0, 700.0, {})] == ["a"]
    assert not batch.items["b"].outlived


def test_vms_of_an_idle_queue_have_timed_out_when_the_group_ends():
    batch = queue_of("abc")
    batch.listed(set("abc"), 700.0, 700.0, {})
    left = batch.out_of_time(2000.0)
    assert {one.item.uuid: (one.outcome, one.item.outlived) for one in left} == {"b": ("would_not_stop", True), "c": ("would_not_stop", True)}


def test_vms_of_a_working_queue_have_not_timed_out_when_the_group_ends():
    batch = queue_of("abc")
    batch.listed(set("bc"), 1900.0, 1900.0, {"a": "stopped"})
    assert [one.item.outlived for one in batch.out_of_time(2000.0)] == [False, False]
