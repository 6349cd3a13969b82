# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each write leaves on disk, column by column, and the event that tells it. Nothing else may change."""

from __future__ import annotations

import sqlite3
import time

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._record import record as _record
from ansible_collections.pilw.maintenance.plugins.module_utils._record import rows
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record

KEYS = {"maintenance": "id", "runs": "token", "accepted": "item", "hosts": "uuid", "vms": "uuid", "seen": "uuid", "osd_flags": "name", "events": "number"}
NEW_VM = {
    **dict.fromkeys(
        "stop_sent_at stop_sent_clock stop_answered_at stop_outcome stop_error stopped_at outlived_at force_sent_at "
        "start_sent_at start_answered_at start_outcome start_error started_at".split()
    ),
    "first_seen": "now",
    "state_at": "now",
}
NEW_HOST = {"error": None, "at": "now"}


def listed(**states):
    return parse_vm_list([{"uuid": uuid, "status": state} for uuid, state in states.items()])


def vm(uuid, status="running"):
    return parse_vm({"uuid": uuid, "status": status, "user_id": 8, "name": f"name-{uuid}"})


def host(uuid, accepting=True):
    return Host(uuid, f"name-{uuid}", accepting, "", {})


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "now_text", lambda: "then")
    monkeypatch.setattr(_record, "steady_now", lambda: "boot 7.0")
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api.example.com", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.remember_hosts(token, [host("open"), host("shut", False), host("dark", None), host("kept")], {"kept"})
    record.add_running(token, [vm("a"), vm("b")], late=False)
    record.note_states(token, listed(a="running", b="running", x="running"))
    monkeypatch.setattr(_record, "now_text", lambda: "now")
    monkeypatch.setattr(_record, "steady_now", lambda: "boot 9.0")
    yield record, token
    record.close()


def tables(record):
    with sqlite3.connect(record.path) as db:
        db.row_factory = sqlite3.Row
        return {
            table: {row[key]: dict(row) for row in db.execute(f"SELECT * FROM {table}")}
            for table, key in KEYS.items()
        }  # fmt: skip


def left_by(record, token, write):
    """What C(write) changes: columns as {(table, key): {column: value}}, and its events as (what, uuid, detail)."""
    before = tables(record)
    write(record, token)
    after = tables(record)
    changed = {}
    for table, key in KEYS.items():
        assert before[table].keys() <= after[table].keys(), f"rows of {table} are gone"
        for name, row in after[table].items():
            old = before[table].get(name, {})
            columns = {column: value for column, value in row.items() if column != key and (name not in before[table] or old[column] != value)}
            if columns:
                changed[table, name] = columns
    events = [changed.pop(place) for place in sorted(changed) if place[0] == "events"]
    assert all((event["at"], event["run"]) == ("now", token) for event in events)
    identity = record.maintenance["id"]
    named = {(table, {identity: "it", token: "run"}.get(name, name)): columns for (table, name), columns in changed.items()}
    return named, [(event["what"], event["uuid"], event["detail"]) for event in events]


IT = ("maintenance", "it")
ROW = '{"uuid": "c", "status": "running", "user_id": 8, "name": "name-c"}'
# Name: what was written before, the write, the columns that it leaves changed, the events that it leaves.
CASES = {
    "a run ends": ((), lambda r, t: r.end_run(t), {("runs", "run"): {"ended": "now"}}, [("run ended", None, None)]),
    "two items are accepted": (
        (),
        lambda r, t: r.accept(t, ["vm:a", "lost:open"], "a backup"),
        {("accepted", item): {"at": "now", "run": "TOKEN", "reason": "a backup"} for item in ("vm:a", "lost:open")},
        [("accepted", None, "vm:a"), ("accepted", None, "lost:open")],
    ),
    "an item is accepted again": ((lambda r, t: r.accept(t, ["vm:a"]),), lambda r, t: r.accept(t, ["vm:a"]), {}, []),
    "flags of Ceph are ours": (
        (),
        lambda r, t: r.remember_flags(t, ["noout", "pause"]),
        {("osd_flags", "noout"): {"at": "now"}, ("osd_flags", "pause"): {"at": "now"}},
        [("flag of Ceph is being set", None, "noout"), ("flag of Ceph is being set", None, "pause")],
    ),
    "flags of Ceph are remembered once": (
        (lambda r, t: r.remember_flags(t, ["noout"]),),
        lambda r, t: r.remember_flags(t, ["noout", "nodown"]),
        {("osd_flags", "nodown"): {"at": "now"}},
        [("flag of Ceph is being set", None, "nodown")],
    ),
    "the scope": ((), lambda r, t: r.set_scope(t, "q", "e"), {IT: {"query": "q", "exclude": "e"}}, []),
    "a phase": ((), lambda r, t: r.set_phase(t, "stopping"), {IT: {"phase": "stopping"}}, [("phase stopping", None, None)]),
    "the same phase": ((), lambda r, t: r.set_phase(t, "recorded"), {}, []),
    "safe": (
        (),
        lambda r, t: r.write_safe(t, "SAFE", ["one", "two"]),
        {IT: {"phase": "safe", "safe_at": "now", "headline": "SAFE"}},
        [("phase safe", None, None), ("proved safe", None, "SAFE: one; two")],
    ),
    "safe no more": (
        (lambda r, t: r.write_safe(t, "SAFE", []),),
        lambda r, t: r.write_not_safe(t, "why"),
        {IT: {"phase": "stopping"}},
        [("phase stopping", None, None), ("not safe", None, "why")],
    ),
    "not safe yet": ((), lambda r, t: r.write_not_safe(t, "why"), {}, [("not safe", None, "why")]),
    "done": ((), lambda r, t: r.write_done(t), {IT: {"phase": "done", "done_at": "now"}}, [("phase done", None, None)]),
    "a host is being closed": (
        (),
        lambda r, t: r.closing_host(t, "open"),
        {("hosts", "open"): {"closed_by_us": 1, "now": None}},
        [("host is being closed", "open", None)],
    ),
    "a host was closed": (
        (),
        lambda r, t: r.host_written(t, "open", False),
        {("hosts", "open"): {"now": 0, "at": "now"}},
        [("host closed", "open", None)],
    ),
    "a host was not written": (
        (),
        lambda r, t: r.host_written(t, "open", None, "words"),
        {("hosts", "open"): {"now": None, "error": "words", "at": "now"}},
        [("host not written", "open", "words")],
    ),
    "a host is written after all": (
        (lambda r, t: r.host_written(t, "open", None, "words"),),
        lambda r, t: r.host_written(t, "open", True),
        {("hosts", "open"): {"now": 1, "error": None}},
        [("host opened", "open", None)],
    ),
    "a host needs no write": (
        (lambda r, t: r.host_written(t, "shut", None, "words"),),
        lambda r, t: r.host_seen(t, "shut", False),
        {("hosts", "shut"): {"now": 0, "error": None}},
        [],
    ),
    "a host that we closed is seen closed": (
        (lambda r, t: r.closing_host(t, "open"),),
        lambda r, t: r.host_seen(t, "open", False),
        {("hosts", "open"): {"now": 0, "at": "now"}},
        [],
    ),
    "a host that we closed and opened again is closed by somebody else": (
        (lambda r, t: r.closing_host(t, "open"), lambda r, t: r.host_written(t, "open", True)),
        lambda r, t: r.host_seen(t, "open", False),
        {("hosts", "open"): {"now": 0, "closed_by_us": 0, "before": 0}},
        [],
    ),
    "a host that we closed and opened again is open": (
        (lambda r, t: r.closing_host(t, "open"), lambda r, t: r.host_written(t, "open", True)),
        lambda r, t: r.host_seen(t, "open", True),
        {},
        [],
    ),
    "hosts are kept closed": ((), lambda r, t: r.keep_closed(t, ["open", "dark"]), {
        ("hosts", "open"): {"keep_closed": 1}, ("hosts", "dark"): {"keep_closed": 1},
    }, []),
    "hosts are remembered once": (
        (),
        lambda r, t: r.remember_hosts(t, [host("open", False), host("new")], (), ours=True),
        {("hosts", "new"): {**NEW_HOST, "name": "name-new", "before": 1, "now": 1, "keep_closed": 0, "closed_by_us": 1}},
        [],
    ),
    "a remembered host is to stay closed after all": (
        (),
        lambda r, t: r.remember_hosts(t, [host("open"), host("new", None)], {"open", "new"}),
        {
            ("hosts", "open"): {"keep_closed": 1},
            ("hosts", "new"): {**NEW_HOST, "name": "name-new", "before": None, "now": None, "keep_closed": 1, "closed_by_us": 0},
        },
        [],
    ),
    "the first VMs": (
        (lambda r, t: r.set_phase(t, "closing"),),
        lambda r, t: r.add_running(t, [vm("a"), vm("c")], late=False),
        {
            ("vms", "c"): {**NEW_VM, "owner": "8", "name": "name-c", "api_row": ROW, "late": 0, "state": "running"},
            IT: {"phase": "recorded"},
        },
        [("recorded", "c", None), ("phase recorded", None, None)],
    ),
    "a late VM, from a list": (
        (),
        lambda r, t: r.add_running(t, [vm("c")], late=True, adopted_from="/list"),
        {
            ("vms", "c"): {**NEW_VM, "owner": "8", "name": "name-c", "api_row": ROW, "late": 1, "state": "running"},
            IT: {"adopted_from": "/list"},
        },
        [("recorded late", "c", None)],
    ),
    "what a list shows": (
        (lambda r, t: r.write(t, [Change("a", {"outlived_at": "then"}), Change("b", {"outlived_at": "then"})]),),
        lambda r, t: r.note_states(t, listed(a="stopped", b="running", y="paused")),
        {
            ("vms", "a"): {"state": "stopped", "state_at": "now", "outlived_at": None},
            ("seen", "a"): {"state": "stopped", "at": "now"},
            ("seen", "y"): {"state": "paused", "at": "now"},
        },
        [],
    ),
    "VMs that are gone": (
        (), lambda r, t: r.note_gone(t, ["a", "x", "never seen"]),
        {("seen", "a"): {"state": "deleted", "at": "now"}, ("seen", "x"): {"state": "deleted", "at": "now"}},
        [],
    ),
    "changes to VMs": (
        (),
        lambda r, t: r.write(t, [
            Change("a", {"stop_sent_at": "now", "stop_outcome": None}, "stop sent"),
            Change("b", {}, "stop answered", "accepted"),
            Change("b", {"state": "stopped"}),
        ]),
        {("vms", "a"): {"stop_sent_at": "now"}, ("vms", "b"): {"state": "stopped"}},
        [("stop sent", "a", None), ("stop answered", "b", "accepted")],
    ),
    "back to stopping": (
        (
            lambda r, t: r.write_safe(t, "SAFE", []),
            lambda r, t: r.set_phase(t, "starting"),
            lambda r, t: r.write(t, [
                Change(uuid, {
                    "start_sent_at": "then", "start_answered_at": "then", "start_outcome": outcome, "start_error": "e",
                    "started_at": "then", "outlived_at": "then", "stop_outcome": "clean",
                })
                for uuid, outcome in (("a", "running"), ("b", "failed"))
            ]),
        ),
        lambda r, t: r.back_to_stopping(t),
        {
            ("vms", "a"): dict.fromkeys(
                ["start_sent_at", "start_answered_at", "start_outcome", "start_error", "started_at", "outlived_at"]
            ),
            ("vms", "b"): dict.fromkeys(["start_answered_at", "start_outcome", "start_error", "started_at", "outlived_at"]),
            IT: {"phase": "stopping", "headline": ""},
        },
        [("phase stopping", None, None)],
    ),
    "back to stopping from closing, and a VM outlives its stop": (
        (lambda r, t: r.set_phase(t, "closing"), lambda r, t: r.write(t, [Change("a", {"outlived_at": "then", "start_sent_at": "then"})])),
        lambda r, t: r.back_to_stopping(t),
        {},
        [],
    ),
    "made again from what was left": (
        (
            lambda r, t: r.closing_host(t, "open"),
            lambda r, t: r.write_safe(t, "SAFE", []),
            lambda r, t: r.write(t, [Change("a", {
                "start_sent_at": "then", "start_answered_at": "then", "start_outcome": "running", "start_error": "e",
                "started_at": "then", "outlived_at": "then", "stop_outcome": "clean", "stop_error": "e", "stopped_at": "then",
                "stop_sent_at": "then", "stop_sent_clock": "boot 7.0", "stop_answered_at": "then", "force_sent_at": "then",
            })]),
        ),
        lambda r, t: r.rebuilt(t, "/copy", ["shut", "open"]),
        {
            ("vms", "a"): {
                **dict.fromkeys(
                    "outlived_at start_outcome start_error started_at start_answered_at stop_outcome stop_error stopped_at".split()
                ),
                "stop_sent_at": "now",
                "stop_sent_clock": "boot 9.0",
            },
            ("vms", "b"): {"stop_sent_at": "now", "stop_sent_clock": "boot 9.0"},
            ("hosts", "shut"): {"before": None, "closed_by_us": 1, "now": None},
            ("hosts", "dark"): {"closed_by_us": 1},
            IT: {"phase": "stopping", "headline": "", "adopted_from": "/copy"},
        },
        [("phase stopping", None, None), ("record rebuilt", None, "/copy")],
    ),
    "made again before anything was recorded": (
        (lambda r, t: r.set_phase(t, "closing"), lambda r, t: r.keep_closed(t, ["open", "dark"])),
        lambda r, t: r.rebuilt(t, "/copy"),
        {
            ("vms", "a"): {"stop_sent_at": "now", "stop_sent_clock": "boot 9.0"},
            ("vms", "b"): {"stop_sent_at": "now", "stop_sent_clock": "boot 9.0"},
            IT: {"adopted_from": "/copy"},
        },
        [("record rebuilt", None, "/copy")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_write_leaves_just_this(made, name):
    record, token = made
    before, write, columns, events = CASES[name]
    for one in before:
        one(record, token)
    found, told = left_by(record, token, write)
    expected = {place: {name: token if value == "TOKEN" else value for name, value in row.items()} for place, row in columns.items()}
    assert (found, told) == (expected, events)


def test_a_run_begins_with_who_and_what_for(made):
    record, _token = made
    second = record.begin_run("bob on box", "restore", "boot 17 4")
    whom = {"token": second, "actor": "bob on box", "purpose": "restore", "controller": "boot 17 4", "since": "now"}
    assert record.run() == {**whom, "ended": None, "window": 0.0, "step": "", "step_at": "", "step_until": ""}
    last = record.events()[-1]
    assert (last["run"], last["what"], last["uuid"], last["detail"]) == (second, "run began: restore", None, "bob on box")


def test_events_are_told_in_their_order_and_the_last_says_when(made, monkeypatch):
    record, token = made
    assert record.last_event_at() == "then"
    record.end_run(token)
    assert record.last_event_at() == "now"
    numbers = [event["number"] for event in record.events()]
    assert numbers == sorted(numbers) and len(numbers) >= 5


def test_a_record_without_events_is_as_old_as_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "now_text", lambda: "2026-11-24T01:02:03Z")
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api.example.com", location="tll01", reason="disks")
    assert record.last_event_at() == "2026-11-24T01:02:03Z"
    assert record.run() is None
    found = record.maintenance
    assert (found["location"], found["reason"], found["opened_at"]) == ("tll01", "disks", "2026-11-24T01:02:03Z")
    assert found["id"].startswith("20261124T010203Z-")
    record.close()


def test_how_many_and_how_they_are_called(made):
    record, _token = made
    assert record.count_vms() == 2
    assert [one.label() for one in record.vms()] == ["a (name-a, owner 8)", "b (name-b, owner 8)"]
    assert record.seen() == {"a": "running", "b": "running", "x": "running"}


def test_a_vm_without_a_name_is_told_as_such(made):
    record, token = made
    record.add_running(token, [parse_vm({"uuid": "c", "status": "running", "user_id": 8})], late=False)
    assert record.vms()[-1].label() == "c (no name, owner 8)"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("UPDATE maintenance SET phase='odd'", "its phase is 'odd'"),
        ("UPDATE events SET at='yesterday'", "yesterday"),
        ("UPDATE vms SET api_row='{\"uuid\": \"z\", \"status\": \"running\"}' WHERE uuid='a'", "the row of VM a is not what the platform gave"),
        ("UPDATE vms SET api_row='{}' WHERE uuid='b'", "the row of VM b is not what the platform gave"),
        ("UPDATE vms SET api_row='{' WHERE uuid='b'", ""),
        ("UPDATE vms SET stop_error=CAST(x'ff' AS TEXT) WHERE uuid='b'", ""),
        ("DELETE FROM maintenance", "it does not hold exactly one maintenance"),
    ],
)
def test_a_record_that_says_what_no_record_says_is_damaged(tmp_path, spoil, words):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api.example.com", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [vm("a"), vm("b")], late=False)
    record.check()
    with sqlite3.connect(record.path) as db:
        db.execute(spoil)
    with pytest.raises(_record.DamagedRecord) as caught:
        record.check()
    assert words in str(caught.value)
    assert f"The record {record.path} is damaged" in str(caught.value)
    record.close()


def test_times_are_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        monkeypatch.setattr(rows._clock.pace, "wall", lambda: 1_800_000_000.0)
        assert _record.age_seconds(_record.now_text()) == 0.0
        assert _record.age_seconds("2027-01-15T07:59:00Z") == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_record_is_put_away_under_its_own_id(made, tmp_path):
    record, _token = made
    identity = record.maintenance["id"]
    record.archive()
    assert (tmp_path / f"{identity}.record.sqlite").exists()
    assert not (tmp_path / "record.sqlite").exists()


def test_a_copy_that_fails_names_the_record_that_it_is_of(made, tmp_path):
    record, _token = made
    with open(record.path, "r+b") as stream:
        stream.seek(4096)
        stream.write(bytes(4096 * 8))
    with pytest.raises(_record.DamagedRecord) as caught:
        record.copy_to(str(tmp_path / "kept.sqlite"))
    assert f"The record {record.path} is damaged" in str(caught.value)
    assert not (tmp_path / "kept.sqlite").exists()


def test_a_copy_under_another_name_is_a_record_too(made, tmp_path):
    record, _token = made
    record.copy_to(str(tmp_path / "kept.sqlite"))
    other = Record(str(tmp_path / "kept.sqlite"))
    assert tables(other) == tables(record)
    other.close()


def test_the_report_lies_beside_the_record(made, tmp_path):
    record, _token = made
    record.write_report({"a": 1}, "uuid\r\n", "# it\n")
    assert (tmp_path / "report.json").read_text().split() == '{ "a": 1 }'.split()
    record.close()


def test_flags_of_ceph_are_told_in_their_order(made):
    record, token = made
    assert record.osd_flags() == []
    record.remember_flags(token, ["noout", "nodown"])
    record.remember_flags(token, ["nobackfill", "noout"])
    assert record.osd_flags() == ["noout", "nodown", "nobackfill"]
    # What an earlier run has set is ours, also where a later one finds it set.
    later = record.begin_run("ann", "prepare")
    record.remember_flags(later, ["noout", "norebalance"])
    record.disown_flags(later, ["noout", "norebalance"])
    assert record.osd_flags() == ["noout", "nodown", "nobackfill"]
    record.forget_flags(later, ["nodown", "other"])
    assert record.osd_flags() == ["noout", "nobackfill"]


def test_events_are_asked_for_by_run_and_word(made):
    record, token = made
    record.write(token, [Change("a", {}, "start sent"), Change("a", {}, "start sent"), Change("b", {}, "start settled")])
    assert record.named_in(token, "start sent") == {"a"}
    assert record.named_in(token, "start") == set()
    second = record.begin_run("bob", "restore")
    assert record.named_in(second, "start sent") == set(), "what another run did is not counted as tried"
    record.write(second, [Change("b", {}, "start sent")])
    assert (record.named_in(second, "start sent"), record.named_in(token, "start sent")) == ({"b"}, {"a"})


def test_the_window_is_that_of_the_run_that_gave_it(made):
    record, token = made
    record.set_window(token, 5400.0)
    assert record.run()["window"] == 5400.0
    record.begin_run("bob on box", "restore")
    assert record.run()["window"] == 0.0
