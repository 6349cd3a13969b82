# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far it is, in one line."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._operations.progress import RECENT, progress, totals
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record, RecordedVm, age_seconds, now_text

COLUMNS = (
    "stop_sent_at stop_sent_clock stop_answered_at stop_outcome stop_error stopped_at outlived_at force_sent_at "
    "start_sent_at start_answered_at start_outcome start_error started_at"
).split()
NOW = 1000  # times of these records are four digits


def vm(uuid, **columns):
    """Times are given as seconds before now."""
    texts = {name: f"{NOW - value:04d}" if isinstance(value, int) else value for name, value in columns.items()}
    return RecordedVm.of({**dict.fromkeys(COLUMNS), "uuid": uuid, "owner": "7", "name": f"name-{uuid}", "late": 0, "state": "running", **texts})


def line(*vms, starting=False):
    return progress(list(vms), starting, lambda text: NOW - float(text)).line()


def down(uuid, ago=20, asked=42):
    return vm(uuid, stop_sent_at=asked, stop_answered_at=ago, stop_outcome="clean", stopped_at=ago)


def test_nothing_was_asked_yet():
    assert line(vm("a"), vm("b")) == "Stopping: 0 of 2 VMs are down, 2 still run"


def test_a_stop_under_way():
    vms = [
        *(down(f"d{number}") for number in range(7)),
        vm("e", stop_sent_at=30),
        vm("f", stop_sent_at=95, stop_answered_at=60),
        vm("g", stop_sent_at=700, stop_answered_at=640, stop_outcome="would_not_stop"),
        *(vm(f"w{number}") for number in range(11)),
    ]
    assert line(*vms) == (
        "Stopping: 7 of 21 VMs are down, 14 still run; asked 2 (no answer yet 1); failed 1; 10 a minute, about 78 s left; "
        "longest: f (name-f, owner 7) for 95 s"
    )


def test_the_last_few_are_named_longest_first():
    vms = [vm(f"w{number}", stop_sent_at=100 + number) for number in range(5)]
    assert line(down("a", 200, 250), *vms) == (
        "Stopping: 1 of 6 VMs are down, 5 still run; asked 5 (no answer yet 5); longest: w4 (name-w4, owner 7) for 104 s, "
        "w3 (name-w3, owner 7) for 103 s, w2 (name-w2, owner 7) for 102 s"
    )


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"outlived_at": 300, "force_sent_at": 5}, "0 of 1 VMs are down, 1 still run; asked 1 (no answer yet 1); longest: a (name-a, owner 7) for 5 s"),
        ({"outlived_at": 1, "force_sent_at": 300}, "0 of 1 VMs are down, 1 still run; failed 1"),
        ({"force_sent_at": 30, "stop_outcome": "forced", "stopped_at": 10}, "1 of 1 VMs are down, 0 still run"),
    ],
)
def test_a_power_cut_is_under_way_until_it_is_settled(columns, told):
    given = {"stop_sent_at": 900, "stop_answered_at": 800, "stop_outcome": "would_not_stop", **columns}
    assert line(vm("a", **given)) == f"Stopping: {told}"


def test_a_start_under_way():
    vms = [
        vm("a", stop_outcome="clean", start_sent_at=10, start_answered_at=6, start_outcome="running", started_at=4),
        vm("b", stop_outcome="clean", start_sent_at=8),
        vm("c", stop_outcome="clean", start_sent_at=300, start_outcome="failed"),
        vm("d", stop_outcome="clean"),
        vm("e", start_outcome="already_running", started_at=1),
        vm("f", start_outcome="vanished"),
    ]
    assert line(*vms, starting=True) == (
        "Starting: 3 of 6 VMs are up or gone, 3 are down; asked 1 (no answer yet 1); failed 1; 6 a minute, about 20 s left; "
        "longest: b (name-b, owner 7) for 8 s"
    )


def test_those_that_take_longer_than_the_others_did_are_not_counted_out_by_their_rate():
    others = [down(f"d{number}", 20, 42) for number in range(10)]
    assert "; the others took 22 s each, these take longer; longest: a " in line(*others, vm("a", stop_sent_at=45, stop_answered_at=43))
    assert " a minute, about " in line(*others, vm("a", stop_sent_at=30)), "it may still be one like the others"
    assert " a minute, about " in line(*others, vm("a", stop_sent_at=45), vm("b")), "one was not asked yet"
    assert progress([*others, vm("a", stop_sent_at=45)], False, lambda text: NOW - float(text)).seconds_left is None


def test_what_was_done_long_ago_says_nothing_of_the_rate():
    found = progress([down("a", 61, 80), vm("b")], False, lambda text: NOW - float(text))
    assert (found.a_minute, found.seconds_left) == (0.0, None)
    assert progress([down("a", 60, 80), vm("b")], False, lambda text: NOW - float(text)).seconds_left == 60.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((False, {"clean": 40, "would_not_stop": 2}, 0, 44, 25.3), "Stopping has ended after 25 s, 44 calls: stopped clean 40, would not stop 2"),
        ((True, {"running": 1}, 3, 4, 300), "Starting has ended after 5 min, 4 calls: running again 1, not settled 3"),
        ((True, {}, 3, 0, 300), "Starting has ended after 5 min, 0 calls: not settled 3"),
        ((True, {}, 0, 0, 1), ""),
    ],
)
def test_the_last_line_has_the_totals(given, told):
    assert totals(*given) == told


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (0.0, ""),
        (460.0, ""),
        (459.0, "TOO SLOW: the window of 8 min will be missed by about 1 s"),
        (60.0, "TOO SLOW: the window of 60 s will be missed by about 7 min"),
    ],
)
def test_a_window_that_will_be_missed_is_said_early(window, told):
    found = progress([down("a", 60, 80), vm("b")], False, lambda text: NOW - float(text))  # one a minute, one left
    assert found.late(f"{NOW - 400}", window, lambda text: NOW - float(text)) == told


def test_what_is_done_is_not_late():
    assert progress([down("a")], False, lambda text: NOW - float(text)).late("0", 1.0, lambda text: NOW - float(text)) == ""


MOMENTS = st.none() | st.sampled_from([0, 1, 30, 59, 60, 61, 62, 63, 600, -5])
OUTCOMES = {
    "stop": st.sampled_from([None, "clean", "forced", "already_stopped", "vanished", "would_not_stop", "refused"]),
    "start": st.sampled_from([None, "running", "already_running", "vanished", "failed", "refused"]),
}
CHANGES = st.fixed_dictionaries(
    {f"{verb}_outcome": outcomes for verb, outcomes in OUTCOMES.items()}
    | {name: MOMENTS for name in COLUMNS if name.endswith("_at")}
)


@settings(
    deadline=None, database=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(CHANGES, max_size=12), st.booleans())
def test_what_is_only_counted_tells_no_more_than_its_count(tmp_path_factory, monkeypatch, given_columns, starting):
    monkeypatch.setattr("ansible_collections.pilw.maintenance.plugins.module_utils._clock.pace.wall", lambda: 1_800_000_000.0)
    record = Record.create(str(tmp_path_factory.mktemp("record") / "record.sqlite"), api_host="x", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": f"v{number}"}) for number in range(len(given_columns))], late=False)
    for number, columns in enumerate(given_columns):
        texts = {name: now_text(value) if isinstance(value, int) else value for name, value in columns.items()}
        record.write(token, [Change(f"v{number}", texts)])
    vms, done, idle = record.vms_at_work(starting, now_text(RECENT + 1))
    assert sorted([*(one.uuid for one in vms), *done, *idle]) == sorted(record.uuids())
    assert progress(vms, starting, age_seconds, len(done), len(idle)) == progress(record.vms(), starting)
    record.close()


def test_a_vm_that_is_asked_during_the_look_is_counted_once(tmp_path, monkeypatch):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="x", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": uuid}) for uuid in "ab"], late=False)
    read = record._all

    def asked_after_the_first(*given):
        rows = read(*given)
        monkeypatch.setattr(record, "_all", read)
        record.write(token, [Change("a", {"stop_sent_at": now_text()})])
        return rows

    monkeypatch.setattr(record, "_all", asked_after_the_first)
    vms, done, idle = record.vms_at_work(False, now_text(RECENT + 1))
    assert ([vm.uuid for vm in vms], done, idle) == (["a"], [], ["b"])
    record.close()
