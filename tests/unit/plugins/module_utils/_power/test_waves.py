# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which recorded VMs get which call, in which order."""

from __future__ import annotations

import json

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._power import waves as _waves
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import RecordedVm

COLUMNS = (
    "stop_sent_at stop_sent_clock stop_answered_at stop_outcome stop_error stopped_at outlived_at force_sent_at "
    "start_sent_at start_answered_at start_outcome start_error started_at"
).split()
GROUPS = [
    {"name": "db", "query": "[?kind=='db']", "delay": 5.0},
    {"name": "app", "query": "[?kind=='app']", "delay": 0.0},
]


def vm(uuid, owner="8", kind="", name="", **columns):
    row = json.dumps({"uuid": uuid, "kind": kind})
    return RecordedVm.of({**dict.fromkeys(COLUMNS), "uuid": uuid, "owner": owner, "name": name, "late": 0, "state": "", **columns}, row)


def uuids(vms):
    return [one.uuid for one in vms]


def told(waves):
    return [(wave.name, "".join(target.uuid for target in wave.targets)) for wave in waves]


def test_to_stop_takes_all_that_run_and_nothing_else():
    recorded = [
        vm("runs"),
        vm("again", stop_outcome="clean"),
        vm("accepted"),
        vm("down"),
        vm("was-asked", stop_sent_at="t"),
        vm("was-cut", stop_sent_at="t", force_sent_at="t"),
        vm("done", stop_outcome="forced"),
        vm("starting", start_sent_at="t"),
        vm("paused"),
        vm("unread", stop_outcome="clean"),
    ]
    states = {**dict.fromkeys(("runs", "again", "accepted", "stranger"), "running"), "paused": "paused"}
    states.update(dict.fromkeys(("down", "was-asked", "was-cut", "done", "starting"), "stopped"))
    targets, changes = _waves.to_stop(recorded, states, ["vm:accepted"])
    assert uuids(targets) == ["runs", "again", "starting", "paused", "unread"]
    assert {change.uuid: change.columns["stop_outcome"] for change in changes} == {
        "down": "already_stopped",
        "was-asked": "clean",
        "was-cut": "forced",
    }


def test_a_vm_whose_start_is_unclear_gets_a_call_even_when_it_shows_down():
    waves = _waves.stop_waves([vm("a", start_sent_at="t"), vm("b")], [])
    assert [(target.uuid, target.must_send) for target in waves[0].targets] == [("a", True), ("b", False)]


def test_a_start_that_is_unclear_is_no_reason_to_start_what_runs():
    waves = _waves.start_waves([vm("a", start_sent_at="t"), vm("b")], [], 0)
    assert [target.must_send for wave in waves for target in wave.targets] == [False, False]


@pytest.mark.parametrize(
    ("columns", "state", "at_work"),
    [
        ({"stop_sent_at": "t"}, "stopping", True),
        ({"stop_sent_at": "t"}, "running", False),
        ({"stop_sent_at": "t"}, "paused", False),
        ({}, "stopping", False),
        ({"stop_sent_at": "t", "stop_outcome": "refused"}, "stopping", False),
        ({"stop_sent_at": "t", "outlived_at": "t"}, "stopping", False),
    ],
)
def test_stop_of_an_earlier_run_that_works_is_not_sent_again(columns, state, at_work):
    (wave,) = _waves.stop_waves([vm("a", **columns)], [], states={"a": state})
    assert [(target.at_work, target.heard) for target in wave.targets] == [(at_work, at_work)]


@pytest.mark.parametrize(
    ("columns", "state", "at_work"),
    [
        ({"start_sent_at": "t"}, "starting", True),
        ({"start_sent_at": "t"}, "stopping", False),
        ({"start_sent_at": "t"}, "stopped", False),
        ({"start_sent_at": "t", "start_outcome": "failed"}, "starting", False),
    ],
)
def test_start_of_an_earlier_run_that_works_is_not_sent_again(columns, state, at_work):
    (wave,) = _waves.start_waves([vm("a", **columns)], [], 0, states={"a": state})
    assert [target.at_work for target in wave.targets] == [at_work]


@pytest.mark.parametrize(
    ("columns", "state", "accepted", "cut"),
    [
        ({"outlived_at": "t"}, "running", [], True),
        ({"outlived_at": "t"}, "stopping", [], True),
        ({"outlived_at": "t"}, "paused", [], True),
        ({"outlived_at": "t"}, "stopped", [], False),
        ({"outlived_at": "t"}, "deleted", [], False),
        ({"outlived_at": "t"}, "running", ["vm:a"], False),
        ({}, "running", [], False),
        ({"stop_sent_at": "t"}, "stopping", [], False),
        ({"stop_outcome": "would_not_stop"}, "running", [], False),
        ({"stop_outcome": "refused"}, "running", [], False),
    ],
)
def test_power_is_cut_only_where_a_graceful_stop_was_outlived(columns, state, accepted, cut):
    assert uuids(_waves.to_force([vm("a", **columns)], {"a": state}, accepted)) == (["a"] if cut else [])


def test_to_start_takes_all_that_do_not_run_those_never_tried_first():
    recorded = [
        vm("failed", start_sent_at="t", start_outcome="failed"),
        vm("vanished", start_outcome="vanished"),
        vm("runs"),
        vm("started", start_sent_at="t"),
        vm("back", start_outcome="vanished"),
        vm("known", start_outcome="running", start_sent_at="t"),
        vm("fresh"),
        vm("fell", start_outcome="running", start_sent_at="t"),
        vm("given", start_outcome="failed", start_sent_at="t"),
    ]
    targets, changes = _waves.to_start(recorded, {"runs", "started", "back", "known", "stranger"}, ["lost:given"])
    assert uuids(targets) == ["fresh", "failed", "fell"]
    assert {change.uuid: change.columns["start_outcome"] for change in changes} == {
        "runs": "already_running",
        "started": "running",
        "back": "already_running",
    }


VMS = [vm("a"), vm("b", kind="db"), vm("c", kind="app"), vm("d", kind="db"), vm("e")]


def test_groups_start_in_order_and_stop_in_reverse():
    assert told(_waves.start_waves(VMS, GROUPS, 0)) == [("db", "bd"), ("app", "c"), ("all others", "ae")]
    assert told(_waves.stop_waves(VMS, GROUPS)) == [("all others", "ae"), ("app", "c"), ("db", "bd")]
    assert [wave.delay for wave in _waves.start_waves(VMS, GROUPS, 0)] == [5.0, 0.0, 0.0]
    assert told(_waves.start_waves(VMS, [], 0)) == told(_waves.stop_waves(VMS, [])) == [("all others", "abcde")]
    assert _waves.start_waves([], GROUPS, 3) == _waves.stop_waves([], GROUPS) == []


def test_a_group_may_have_any_name():
    groups = [{"name": "all others", "query": "[?kind=='db']", "delay": 0.0}]
    assert [uuids for _name, uuids in told(_waves.start_waves(VMS, groups, 0))] == ["bd", "ace"]


def test_canaries_come_first_and_once():
    waves = _waves.start_waves(VMS, GROUPS, 1)
    assert told(waves) == [("canary", "a"), ("db", "bd"), ("app", "c"), ("all others", "e")]
    assert [wave.canary for wave in waves] == [True, False, False, False]


def test_canaries_are_of_what_starts_last_and_of_different_owners():
    vms = [vm("a", "1"), vm("b", "1"), vm("c", "2"), vm("d", "1")]
    assert uuids(_waves.canaries(vms, [], 2)) == ["a", "c"]
    assert uuids(_waves.canaries(vms, [], 3)) == ["a", "c", "b"]
    assert uuids(_waves.canaries(VMS, GROUPS, 3)) == ["a", "e"]
    assert uuids(_waves.canaries(VMS[1:4], GROUPS, 3)) == ["c"]
    assert uuids(_waves.canaries([VMS[1], VMS[3]], GROUPS, 3)) == ["b", "d"]
    assert uuids(_waves.canaries([vm("a", start_sent_at="t"), vm("b")], [], 3)) == ["b"]
    assert _waves.canaries(vms, [], 0) == _waves.canaries([], [], 3) == []


def test_named_canaries_replace_those_that_are_chosen():
    vms = [vm("a"), vm("b", kind="db", name="test-1"), vm("c"), vm("d", start_sent_at="t", start_outcome="failed")]
    assert uuids(_waves.canaries(vms, GROUPS, 1, ["test-1", "d"])) == ["b", "d"], "also when a start of one failed before"
    assert uuids(_waves.canaries(vms, GROUPS, 1, ["runs"])) == ["a"], "where those named run, others are the trial"
    assert _waves.canaries(vms, GROUPS, 0, ["test-1"]) == []
    assert told(_waves.start_waves(vms, GROUPS, 1, ["test-1"]))[0] == ("canary", "b")


def test_canary_that_is_not_on_record_is_rejected():
    _waves.check_canaries(["a", "test-1"], [vm("a"), vm("b", name="test-1")])
    with pytest.raises(InputError, match=r"^ceph_maint_canary_vms: no VM of the record has the uuid or name x, y. "):
        _waves.check_canaries(["a", "x", "y"], [vm("a")])


def test_groups_give_their_own_limits_to_their_stage():
    groups = [{**GROUPS[0], "stop_timeout": 90.0, "start_timeout": 1800.0, "concurrency": 2}, GROUPS[1]]

    def limits(waves):
        return [(wave.name, wave.timeout, wave.concurrency) for wave in waves]

    assert limits(_waves.stop_waves(VMS, groups)) == [("all others", 0.0, 0), ("app", 0.0, 0), ("db", 90.0, 2)]
    assert limits(_waves.stop_waves(VMS, groups, ""))[-1] == ("db", 0.0, 2), "a call that forces off has the limit of the run"
    assert limits(_waves.start_waves(VMS, groups, 0)) == [("db", 1800.0, 2), ("app", 0.0, 0), ("all others", 0.0, 0)]
    assert limits(_waves.start_waves(VMS, groups, 1, ["a", "b"]))[0] == ("canary", 1800.0, 0)
    assert limits(_waves.first(_waves.start_waves(VMS, groups, 0), 1)[0]) == [("db", 1800.0, 2)]


# The storage side: some at a time, and some not at all.


def waves_of(*sizes, delay=5.0):
    waves, names = [], iter("abcdefghijklmnopqrstuvwxyz")
    for number, size in enumerate(sizes):
        waves += _waves.start_waves([vm(next(names)) for _one in range(size)], [], 0)
        waves[-1] = _waves.Wave(f"w{number}", waves[-1].targets, delay, number == 0)
    return waves


@pytest.mark.parametrize(
    ("sizes", "limit", "chosen", "left"),
    [
        ((2, 3, 4), 0, [("w0", "ab"), ("w1", "cde"), ("w2", "fghi")], 0),
        ((2, 3, 4), 9, [("w0", "ab"), ("w1", "cde"), ("w2", "fghi")], 0),
        ((2, 3, 4), 4, [("w0", "ab"), ("w1", "cd")], 5),
        ((2, 3, 4), 5, [("w0", "ab"), ("w1", "cde")], 4),
        ((2, 3, 4), 1, [("w0", "a")], 8),
        ((), 3, [], 0),
    ],
)
def test_the_first_of_several_waves(sizes, limit, chosen, left):
    waves, rest = _waves.first(waves_of(*sizes), limit)
    assert (told(waves), rest) == (chosen, left)
    assert sum(len(wave.targets) for wave in waves) + rest == sum(sizes), "none is lost between two calls"


def test_a_wave_that_is_cut_has_its_delay_with_its_end():
    assert [wave.delay for wave in _waves.first(waves_of(2, 3), 4)[0]] == [5.0, 0.0]
    assert [wave.delay for wave in _waves.first(waves_of(2, 3), 2)[0]] == [5.0]
    assert [wave.canary for wave in _waves.first(waves_of(2, 3), 1)[0]] == [True]


def test_a_vm_that_is_held_back_counts_as_failed_and_says_why():
    change = _waves.held(vm("a"), "held back: x")
    assert (change.uuid, change.columns) == ("a", {"start_outcome": "failed", "start_error": "held back: x"})
    assert (change.event, change.detail) == ("start held back", "held back: x")
