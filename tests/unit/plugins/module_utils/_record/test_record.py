# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record: never shrinks, refuses a stale run, survives a crash, and says safe only after a proof."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import DamagedRecord, RecordError, StaleRun
from ansible_collections.pilw.maintenance.plugins.module_utils._record import exports
from ansible_collections.pilw.maintenance.plugins.module_utils._record import record as _record
from ansible_collections.pilw.maintenance.plugins.module_utils._record import rows as _rows
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from ansible_collections.pilw.maintenance.plugins.module_utils._record.spared_vms import SparedVms

CALM = settings(deadline=None, database=None, derandomize=True)


def vm(uuid, status="running", **row):
    return parse_vm({"uuid": uuid, "status": status, "user_id": 8, **row})


def host(uuid, accepting=True):
    return Host(uuid, f"name-{uuid}", accepting, "", {})


def make(folder, **options):
    path = os.path.join(str(folder), "record.sqlite")
    record = Record.create(path, api_host="api.example.com", location="", reason="", **options)
    return record, record.begin_run("ann", "prepare")


@pytest.fixture
def made(tmp_path):
    record, token = make(tmp_path)
    yield record, token
    record.close()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_new_record(made, tmp_path):
    record, _token = made
    assert record.phase == "closing"
    assert record.maintenance["api_host"] == "api.example.com"
    assert (record.vms(), record.hosts(), record.accepted(), record.seen()) == ([], [], [], {})
    assert mode(record.path) == 0o600
    assert os.listdir(tmp_path) == ["record.sqlite"]


def test_a_record_opens_again_with_all_that_it_held(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    record.close()
    again = Record(record.path)
    assert [one.uuid for one in again.vms()] == ["a"]
    assert again.run()["token"] == token
    again.close()


def test_a_record_of_a_newer_version_is_left_alone(made):
    record, _token = made
    with sqlite3.connect(record.path) as db:
        db.execute("PRAGMA user_version=99")
    before = open(record.path, "rb").read()
    with pytest.raises(RecordError) as caught:
        Record(record.path)
    assert str(caught.value) == (
        f"The record {record.path} has schema 99, this version of pilw.maintenance knows 1. "
        "Nothing was changed. Go on with the version that made it."
    )
    assert open(record.path, "rb").read() == before


@pytest.mark.parametrize("content", [b"", b"no database, but a longer text " * 200, None])
def test_a_record_that_is_none_is_an_error_with_a_way_on(tmp_path, content):
    path = tmp_path / "record.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        Record(str(path))
    assert "Nothing was changed." in str(caught.value)
    assert path.exists() is (content is not None)


def test_making_a_record_over_a_planted_link_spares_its_target(tmp_path):
    (tmp_path / "victim").write_text("keep")
    (tmp_path / "record.sqlite.new").symlink_to(tmp_path / "victim")
    make(tmp_path)[0].close()
    assert (tmp_path / "victim").read_text() == "keep"


def test_a_path_with_signs_of_a_uri(tmp_path):
    folder = tmp_path / "a?mode=ro#%41"
    folder.mkdir()
    record, token = make(folder)
    record.add_running(token, [vm("a")], late=False)
    assert [one.name for one in tmp_path.iterdir()] == ["a?mode=ro#%41"]
    record.close()


# Nothing forgotten.

LISTS = st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=4), max_size=6)


@settings(CALM, max_examples=25)
@given(LISTS, st.booleans())
def test_no_sequence_of_lists_removes_or_overwrites_a_vm(lists, reopen):
    with tempfile.TemporaryDirectory() as folder:
        record, token = make(folder)
        first = {}
        for number, rows in enumerate(lists):
            for uuid, name in rows:
                first.setdefault(uuid, {"uuid": uuid, "status": "running", "user_id": 8, "name": name})
            added = record.add_running(token, [vm(uuid, name=name) for uuid, name in rows], late=number > 0)
            assert added <= len(rows)
            if reopen:
                record.close()
                record = Record(record.path)
                token = record.begin_run("bob", "prepare")
            assert [one.uuid for one in record.vms()] == list(first)
            assert [one.row for one in record.vms(rows=True)] == list(first.values())
            with open(os.path.join(folder, "running_vms.json"), encoding="utf-8") as handle:
                assert json.load(handle) == list(first.values())
        record.close()


def test_the_list_beside_it_is_exactly_the_platforms_rows(made, tmp_path):
    record, token = made
    row = {"uuid": "a", "status": "Running", "name": "Ülo\u202e\n", "storage": [{"size": 20}], "odd": None}
    record.add_running(token, [parse_vm(row)], late=False)
    record.remember_hosts(token, [host("open"), host("closed", False), host("unknown", None), host("kept")], {"kept"})
    assert json.loads((tmp_path / "running_vms.json").read_text()) == [row]
    hosts = json.loads((tmp_path / "hosts_to_open.json").read_text())
    assert [one["uuid"] for one in hosts] == ["open", "unknown"]
    assert mode(tmp_path / "running_vms.json") == mode(tmp_path / "hosts_to_open.json") == 0o600


def test_late_vms_are_known_as_such(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    record.add_running(token, [vm("a"), vm("b")], late=True)
    assert [(one.uuid, one.late) for one in record.vms()] == [("a", False), ("b", True)]
    assert record.phase == "recorded"


def test_what_a_host_was_before_is_never_overwritten(made):
    record, token = made
    record.remember_hosts(token, [host("h", True), host("k", None)], ())
    record.closing_host(token, "h")
    record.host_written(token, "h", False)
    record.remember_hosts(token, [host("h", False), host("k", False)], {"k"})
    first, second = record.hosts()
    assert (first.before, first.now, first.closed_by_us) == (True, False, True)
    assert (second.before, second.keep_closed) == (None, True)


@pytest.mark.parametrize(
    ("before", "keep", "opened"), [(True, False, True), (None, False, True), (False, False, False), (True, True, False)]
)
def test_which_hosts_are_to_be_opened(before, keep, opened):
    assert _rows.RecordedHost("h", "", before, False, keep, True, None, "").to_open is opened


def test_a_copy_of_all_is_kept(tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (tmp_path / "r").mkdir()
    record, token = make(tmp_path / "r", copy_dir=str(copy))
    record.add_running(token, [vm("a")], late=False)
    assert sorted(os.listdir(copy)) == ["hosts_to_open.json", "maintenance_id", "record.sqlite", "running_vms.json"]
    assert {mode(copy / name) for name in os.listdir(copy)} == {0o600}
    other = Record(str(copy / "record.sqlite"))
    assert [one.uuid for one in other.vms()] == ["a"]
    other.close()
    record.close()


def test_a_lost_second_disk_is_told_and_stops_nothing(tmp_path):
    (tmp_path / "r").mkdir()
    record, token = make(tmp_path / "r", copy_dir=str(tmp_path / "gone"))
    record.add_running(token, [vm("a")], late=False)
    record.copy()
    assert [one.uuid for one in record.vms()] == ["a"]
    assert record.warnings and str(tmp_path / "gone") in record.warnings[0]
    record.close()


@pytest.mark.parametrize("error", [DamagedRecord("copy", "spoilt"), RecordError("The record copy cannot be read: disk I/O error.")])
def test_a_copy_that_its_disk_spoils_is_told_and_the_former_one_stays(tmp_path, monkeypatch, error):
    copy = tmp_path / "copy"
    copy.mkdir()
    (tmp_path / "r").mkdir()
    record, token = make(tmp_path / "r", copy_dir=str(copy))
    record.add_running(token, [vm("a")], late=False)
    former, real = (copy / "record.sqlite").read_bytes(), _record.schema.check

    def spoilt(db, path):
        if db is not record._db:
            raise error
        real(db, path)

    monkeypatch.setattr(_record.schema, "check", spoilt)
    record.add_running(token, [vm("b")], late=False)
    (warning,) = record.warnings
    assert warning.startswith(f"The second copy of the record in {copy} could not be written: what was written there is not whole. ")
    assert (copy / "record.sqlite").read_bytes() == former
    assert sorted(os.listdir(copy)) == ["hosts_to_open.json", "maintenance_id", "record.sqlite", "running_vms.json"]
    record.close()


def test_two_maintenances_with_one_folder_for_their_copies(tmp_path):
    """Neither replaces what the other has last written, and neither puts it away as its own."""
    copy, made = tmp_path / "copy", {}
    for name in ("copy", "r1", "r2"):
        (tmp_path / name).mkdir()
    for name in ("r1", "r2"):
        made[name] = make(tmp_path / name, copy_dir=str(copy))
    for number in range(3):
        for name, (record, token) in made.items():
            record.add_running(token, [vm(f"{name}-{number}")], late=False)
    first, second = (record.maintenance["id"] for record, _token in made.values())
    for name, end in ((second, ""), (first, f".{first}")):
        folder = "r1" if name == first else "r2"
        rows = json.loads((copy / f"running_vms.json{end}").read_text())
        assert [row["uuid"] for row in rows] == [f"{folder}-{number}" for number in range(3)]
        kept = Record(str(copy / f"record.sqlite{end}"))
        assert (kept.maintenance["id"], kept.count_vms()) == (name, 3)
        kept.close()
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    made["r1"][0].archive()
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    for record, _token in made.values():
        record.close()


@pytest.mark.parametrize("note", [bytes(64), b"\xff\xfe", b"copies", b"/a\x1b[2J", b""])
def test_a_note_that_names_no_folder_names_no_copy(tmp_path, note):
    (tmp_path / "copy_dir").write_bytes(note)
    assert exports.copy_of(str(tmp_path / "record.sqlite")) is None


def test_the_folder_of_the_record_is_none_for_its_copy(tmp_path):
    (tmp_path / "copy_dir").write_text(f"{tmp_path}/../{tmp_path.name}\n")
    assert exports.copy_of(str(tmp_path / "record.sqlite")) is None


def test_lists_are_put_away_before_their_record(made, tmp_path, monkeypatch):
    """Lists without a record mean that it was lost."""
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    order, real = [], os.rename
    monkeypatch.setattr(os, "rename", lambda one, two: order.append(os.path.basename(one)) or real(one, two))
    record.archive()
    assert order == [
        *("notices", "running_vms.json", "hosts_to_open.json", "report.json", "report.html", "vms.csv", "summary.md"),
        *("maintenance_id", "record.sqlite"),
    ]


def test_a_record_that_an_earlier_version_made_can_be_gone_on_with(made):
    """The collection may be renewed between a prepare and its restore."""
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    record.close()
    with contextlib.closing(sqlite3.connect(record.path)) as db:
        db.execute("ALTER TABLE maintenance DROP COLUMN ceph_fsid")
        db.execute("ALTER TABLE maintenance DROP COLUMN never_force")
        db.execute("DROP TABLE spared")
        db.execute("ALTER TABLE runs DROP COLUMN window")
        db.execute("ALTER TABLE accepted DROP COLUMN reason")
        db.executemany("INSERT INTO accepted VALUES (?, 'then', 'former')", [("vm:a",), ("unhealthy:OSD_DOWN",), ("host:h",), ("room:x",)])
        db.commit()
    old = Record(record.path)
    old.check()
    assert old.reasons() == {"vm:a": "", "health:OSD_DOWN": "", "lost:h": ""}
    assert (old.maintenance["ceph_fsid"], old.run()["window"]) == ("", 0.0), "read as it is"
    assert (old.never_force(), old.spared(), old.forced()) == ([], {}, set())
    token = old.begin_run("ann on box", "restore")
    old.set_window(token, 60.0)
    old.remember_cluster(token, "a-1")
    old.spare(token, ["9"], {"a": "its group"})
    assert (old.maintenance["ceph_fsid"], old.run()["window"], old.count_vms()) == ("a-1", 60.0, 1)
    assert (old.never_force(), old.spared()) == (["9"], {"a": "its group"})
    old.accept(token, ["vm:a", "watcher:rbd/a"], "a backup")
    assert old.reasons() == {"vm:a": "a backup", "lost:h": "", "watcher:rbd/a": "a backup"}, "what acts once is not replaced"
    old.accept(token, ["vm:a"])
    assert old.reasons() == {"vm:a": "a backup", "lost:h": ""}
    old.close()


def test_reason_of_an_override_stays_its_own(made):
    """Printed arguments name all that was accepted, with a placeholder for the reason."""
    record, token = made
    record.accept(token, ["vm:a", "old:x"])
    record.accept(token, None, "asked by phone")
    assert record.reasons() == {"vm:a": "asked by phone", "old:x": ""}, "a reason alone is for what has none"
    record.accept(token, ["vm:a", "vm:b", "old:x"], "is mine")
    record.accept(token, ["vm:a", "vm:b", "old:x"], "REASON")
    assert record.reasons() == {"vm:a": "asked by phone", "vm:b": "is mine", "old:x": "is mine"}


def test_override_that_means_nothing_any_more_was_not_withdrawn(made):
    record, token = made
    record._db.execute("INSERT INTO accepted (item, at, run) VALUES ('self:u', 'then', 'former')")
    record.accept(token, None)
    assert "override withdrawn" not in [event["what"] for event in record.events()]


def test_what_is_never_forced_stays_until_it_is_given_anew(made):
    record, token = made
    record.add_running(token, [vm("a"), vm("b", user_id=9)], late=False)
    record.spare(token, ["9"], {"a": "its group"})
    record.spare(token, None, None)
    assert record.spared() == {"a": "its group", "b": "ceph_maint_never_force names 9"}
    record.spare(token, [], None)
    assert record.spared() == {"a": "its group"}
    record.spare(token, None, {})
    assert record.spared() == {}


def test_a_rebuilt_record_takes_nothing_for_true_that_may_be_past(made):
    record, token = made
    record.remember_hosts(token, [host("open"), host("closed", False), host("kept")], {"kept"})
    record.add_running(token, [vm("a"), vm("b")], late=False)
    record.write(token, [Change("a", {"outlived_at": "t", "stop_outcome": "would_not_stop"}), Change("b", {"start_outcome": "started"})])
    record.write_safe(token, "SAFE", [])
    record.rebuilt(token, "/copy", ["closed", "kept"])
    assert (record.phase, record.maintenance["headline"], record.maintenance["adopted_from"]) == ("stopping", "", "/copy")
    assert record.maintenance["safe_at"], "the gate of a restore knows that Ceph may have been down"
    assert [(one.outlived, one.start_done) for one in record.vms()] == [(False, False)] * 2
    assert [one.closed_by_us for one in record.hosts()] == [True, True, False], "a list that says open counts more than an old flag"
    assert all(one.stop_pending and one.stop_sent_ago < 60 for one in record.vms()), "a stop may have been sent a moment ago"


# Two operators at once.

WRITES = {
    "end_run": lambda record, token: record.end_run(token),
    "announce_step": lambda record, token: record.announce_step(token, "checking Ceph", 60.0),
    "accept": lambda record, token: record.accept(token, ["vm:x"]),
    "note_gone": lambda record, token: record.note_gone(token, ["x"]),
    "note_told": lambda record, token: record.note_told(token, "before", ["x"]),
    "disown_flags": lambda record, token: record.disown_flags(token, ["noout"]),
    "forget_flags": lambda record, token: record.forget_flags(token, ["noout"]),
    "remember_flags": lambda record, token: record.remember_flags(token, ["noout"]),
    "remember_cluster": lambda record, token: record.remember_cluster(token, "a-1"),
    "set_window": lambda record, token: record.set_window(token, 60.0),
    "set_scope": lambda record, token: record.set_scope(token, "q", "e"),
    "set_phase": lambda record, token: record.set_phase(token, "stopping"),
    "back_to_stopping": lambda record, token: record.back_to_stopping(token),
    "rebuilt": lambda record, token: record.rebuilt(token, "/list"),
    "write_safe": lambda record, token: record.write_safe(token, "SAFE", ["p"]),
    "write_not_safe": lambda record, token: record.write_not_safe(token, "x"),
    "write_done": lambda record, token: record.write_done(token),
    "remember_hosts": lambda record, token: record.remember_hosts(token, [host("h")], ()),
    "closing_host": lambda record, token: record.closing_host(token, "h"),
    "host_seen": lambda record, token: record.host_seen(token, "h", True),
    "keep_closed": lambda record, token: record.keep_closed(token, ["h"]),
    "host_written": lambda record, token: record.host_written(token, "h", True),
    "add_running": lambda record, token: record.add_running(token, [vm("b")], late=False),
    "note_states": lambda record, token: record.note_states(token, parse_vm_list([{"uuid": "a", "status": "stopped"}])),
    "spare": lambda record, token: record.spare(token, ["8"], {"a": "its group"}),
    "write": lambda record, token: record.write(token, [Change("a", {"state": "x"}, "e")]),
}


def dump(record):
    with sqlite3.connect(record.path) as db:
        return list(db.iterdump())


def test_every_method_that_takes_a_token_is_tried_below():
    taking = {
        name
        for name, method in {**vars(Record), **vars(SparedVms)}.items()
        if callable(method) and "token" in getattr(method, "__code__", make.__code__).co_varnames[1:2] and name[0] != "_"
    }
    assert taking - {"check_run"} == set(WRITES)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_stale_run_writes_nothing(made, name):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    other = Record(record.path)
    other.begin_run("bob on box", "restore")
    before = dump(record)
    with pytest.raises(StaleRun) as caught:
        WRITES[name](record, token)
    assert dump(record) == before
    assert str(caught.value).startswith("Another run has taken over the maintenance: bob on box (restore, since 2")
    assert "This run sends nothing more." in str(caught.value)
    assert "pilw.maintenance.ceph_maint_status" in str(caught.value)
    other.close()


@pytest.mark.parametrize("name", sorted(WRITES))
def test_the_run_that_holds_the_record_may(made, name):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    WRITES[name](record, token)


# Phases.


def test_only_a_proof_leads_to_safe(made):
    record, token = made
    with pytest.raises(ValueError):
        record.set_phase(token, "safe")
    with pytest.raises(ValueError):
        record.set_phase(token, "nonsense")
    for phase in ("recorded", "stopping", "opening", "starting"):
        record.set_phase(token, phase)
        assert (record.phase, record.maintenance["safe_at"]) == (phase, None)
    record.write_safe(token, "SAFE TO TAKE CEPH DOWN", ["proof one"])
    assert record.phase == "safe"
    assert record.maintenance["headline"] == "SAFE TO TAKE CEPH DOWN"
    assert record.maintenance["safe_at"].endswith("Z")
    assert record.events()[-1]["detail"] == "SAFE TO TAKE CEPH DOWN: proof one"


def test_a_failed_proof_ends_safe_and_the_time_of_safe_stays_known(made):
    record, token = made
    record.write_safe(token, "SAFE", [])
    since = record.maintenance["safe_at"]
    record.write_not_safe(token, "VM a")
    assert (record.phase, record.maintenance["safe_at"]) == ("stopping", since)


def test_a_failed_proof_moves_no_other_phase(made):
    record, token = made
    record.set_phase(token, "starting")
    record.write_not_safe(token, "VM a")
    assert record.phase == "starting"


@pytest.mark.parametrize("phase", ["recorded", "stopping", "opening", "starting"])
def test_a_prepare_goes_back_to_stopping_with_the_same_set(made, phase):
    record, token = made
    record.add_running(token, [vm("done"), vm("unclear")], late=False)
    record.write(token, [Change("done", {"start_sent_at": "t", "start_outcome": "running", "started_at": "t"})])
    record.write(token, [Change("unclear", {"start_sent_at": "t"})])
    record.set_phase(token, phase)
    record.back_to_stopping(token)
    done, unclear = record.vms()
    assert record.phase == "stopping"
    assert (done.start_done, done.start_unclear, done.start.sent_at) == (False, False, None)
    assert unclear.start_unclear


def test_a_prepare_that_had_not_listed_yet_lists_first(made):
    record, token = made
    record.back_to_stopping(token)
    assert record.phase == "closing"


def test_safe_was_reached_stays_known_for_the_gate_of_a_restore(made):
    record, token = made
    record.write_safe(token, "SAFE", [])
    record.back_to_stopping(token)
    assert record.maintenance["headline"] == ""
    assert record.maintenance["safe_at"] is not None


def test_after_a_restore_power_is_cut_only_after_a_new_graceful_stop(made):
    record, token = made
    record.add_running(token, [vm("a"), vm("b")], late=False)
    outlived = {"outlived_at": "t", "stop_outcome": "would_not_stop"}
    record.write(token, [Change(uuid, outlived) for uuid in "ab"])
    record.write(token, [Change("a", {"start_outcome": "already_running"})])
    record.back_to_stopping(token)
    after_restore, still_stopping = record.vms()
    assert still_stopping.outlived
    assert not after_restore.outlived


def test_a_vm_seen_down_has_outlived_nothing(made):
    record, token = made
    record.add_running(token, [vm("a"), vm("b")], late=False)
    record.write(token, [Change(uuid, {"outlived_at": "t"}) for uuid in "ab"])
    record.note_states(token, parse_vm_list([{"uuid": "a", "status": "stopped"}, {"uuid": "b", "status": "paused"}]))
    assert [(one.state, one.outlived) for one in record.vms()] == [("stopped", False), ("paused", True)]
    assert record.seen() == {"a": "stopped", "b": "paused"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_all_are_read_in_pieces(made, tmp_path, monkeypatch, count):
    monkeypatch.setattr(_record, "_PIECE", 2)
    record, token = made
    rows = [{"uuid": f"v{number}", "status": "running", "name": "\u00dc\n"} for number in range(count)]
    record.add_running(token, parse_vm_list(rows).vms.values(), late=False)
    record.check()
    assert [vm.row for vm in record.vms(rows=True)] == rows
    assert record.uuids() == {row["uuid"] for row in rows}
    text = (tmp_path / "running_vms.json").read_text()
    assert json.loads(text) == rows
    assert len(text.splitlines()) == (count + 2 if count else 1), "each row has a line of its own"
    assert [event["uuid"] for event in record.events() if event["what"] == "recorded"] == [row["uuid"] for row in rows]


def test_the_row_of_the_platform_is_there_only_for_who_asks(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    assert record.vms()[0].api_row == ""
    assert record.vms(rows=True)[0].row["uuid"] == "a"


def test_what_is_at_rest_is_read_once(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    with record.at_rest():
        assert record.vms() is record.vms()
        assert record.vms(rows=True)[0].row["uuid"] == "a"
    record.write(token, [Change("a", {"state": "stopped"})])
    assert record.vms()[0].state == "stopped"


def test_a_list_that_shows_nothing_new_writes_nothing(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    found = parse_vm_list([{"uuid": "a", "status": "running"}, {"uuid": "b", "status": "stopped"}])
    record.note_states(token, found)
    before = record._db.total_changes
    record.note_states(token, found)
    record.add_running(token, [vm("a")], late=True)
    assert record._db.total_changes == before


def test_since_when_the_phase_is(made, monkeypatch):
    record, token = made
    assert record.phase_since() == record.maintenance["opened_at"]
    for number, phase in enumerate(["stopping", "opening", "stopping"]):
        monkeypatch.setattr(_record, "now_text", lambda number=number: f"2026-11-24T01:02:0{number}Z")
        record.set_phase(token, phase)
    assert record.phase_since() == "2026-11-24T01:02:02Z"


def test_done(made):
    record, token = made
    record.write_done(token)
    assert record.phase == "done"
    assert record.maintenance["done_at"]


def test_accepted_items_are_kept_once(made):
    record, token = made
    record.accept(token, ["vm:a", "old:x"])
    record.accept(token, ["vm:a", "list:row-y"])
    assert record.accepted() == ["vm:a", "old:x", "list:row-y"]


# Crashes.


def test_an_error_inside_a_transaction_leaves_the_former_content(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    before = dump(record)
    with pytest.raises(ValueError):
        record.write(token, [Change("a", {"state": "gone wrong"}, "event"), Change("a", {"api_row": "{}"})])
    assert dump(record) == before
    record.write(token, [Change("a", {"state": "fine"})])
    assert record.vms()[0].state == "fine"


UUIDS = ["a", "b", "c"]


@CALM
@given(
    st.lists(
        st.builds(
            Change,
            uuid=st.sampled_from(UUIDS),
            columns=st.dictionaries(st.sampled_from(["stopped_at", "stop_outcome", "stop_error"]), st.sampled_from(["x", None]), max_size=2),
            event=st.sampled_from(["", "sent", "answered"]),
            detail=st.sampled_from(["", "why"]),
        )
    )
)
def test_many_changes_in_one_write_are_the_same_as_each_in_its_own(changes):
    with pytest.MonkeyPatch.context() as few:
        few.setattr(_record, "_ROWS", 2)  # of one statement
        at_once, one_by_one = _written(changes)
    assert at_once == one_by_one


def _written(changes):
    """Rows and events after one write of all, and after one of each."""
    found = []
    for writes in ([changes], [[change] for change in changes]):
        with tempfile.TemporaryDirectory() as folder:
            record, token = make(folder)
            record.add_running(token, [vm(uuid) for uuid in UUIDS], late=False)
            for write in writes:
                record.write(token, write)
            rows = [(one.uuid, one.stop) for one in record.vms()]
            events = [(event["uuid"], event["what"], event["detail"]) for event in record.events()]
            found.append((rows, events))
            record.close()
    return found


def test_as_many_changes_as_there_may_be_are_written_at_once(made):
    record, token = made
    if hasattr(record._db, "setlimit"):  # from Python 3.11 on: values that one statement of older SQLite takes
        record._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    many = [f"{number:06}" for number in range(10_000)]
    record.add_running(token, [vm(uuid) for uuid in many], late=False)
    record.write(token, [Change(uuid, {"stop_sent_at": "t", "stop_outcome": None}, "stop sent") for uuid in many])
    assert {one.stop.sent_at for one in record.vms()} == {"t"}
    assert [event["uuid"] for event in record.events() if event["what"] == "stop sent"] == many


def test_a_kill_inside_a_transaction_leaves_the_former_content(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    before = dump(record)
    pid = os.fork()
    if not pid:
        db = sqlite3.connect(record.path, isolation_level=None)
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM vms")
        db.executemany("INSERT INTO seen VALUES (?,?,?)", [(str(n), "x" * 500, "t") for n in range(200)])
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    record.close()
    again = Record(record.path)
    assert dump(again) == before
    again.close()


def test_a_full_disk_is_named_and_nothing_is_lost(made):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    pages = record._db.execute("PRAGMA page_count").fetchone()[0]
    record._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(RecordError) as caught:
        record.add_running(token, [vm(f"n{number}", name="x" * 900) for number in range(300)], late=False)
    assert "database or disk is full" in str(caught.value)
    assert "What it held before is whole." in str(caught.value)
    assert [one.uuid for one in record.vms()] == ["a"]


def test_a_list_that_cannot_be_exported_is_an_error_and_the_record_is_whole(made, tmp_path):
    record, token = made
    (tmp_path / "running_vms.json.new").mkdir()
    with pytest.raises(RecordError, match="The list beside the record cannot be written"):
        record.add_running(token, [vm("a")], late=False)
    assert [one.uuid for one in record.vms()] == ["a"]


def test_age(monkeypatch):
    monkeypatch.setattr(_rows._clock.pace, "wall", lambda: 1767225600.0 + 90)
    assert _record.age_seconds("2026-01-01T00:00:00Z") == 90
    assert _record.age_seconds("2026-01-02T00:00:00Z") == 0


def test_an_item_may_be_accepted_twice(made):
    record, token = made
    record.accept(token, ["vm:a", "vm:a"])
    record.accept(token, ["vm:a", "vm:b"])
    assert record.accepted() == ["vm:a", "vm:b"]


@pytest.mark.parametrize(
    ("columns", "may"),
    [
        ({}, False),
        ({"start_sent_at": "t"}, True),
        ({"start_sent_at": "t", "start_outcome": "failed"}, True),
        ({"start_sent_at": "t", "start_outcome": "refused"}, False),
        ({"start_sent_at": "t", "start_outcome": "running"}, False),
        ({"start_sent_at": "t", "start_outcome": "already_running"}, False),
    ],
)
def test_a_start_that_did_not_end_well_may_still_work(made, columns, may):
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    record.write(token, [Change("a", columns)])
    assert record.vms()[0].may_come_up is may


@pytest.mark.parametrize(("boot", "ago"), [("this", 40.0), ("an earlier one", 7.0)])
def test_how_long_ago_a_stop_was_sent_does_not_hang_on_the_wall_clock(made, monkeypatch, boot, ago):
    """Unless the machine was started anew since: then there is no other."""
    record, token = made
    record.add_running(token, [vm("a")], late=False)
    wall, steady = [1767225600.0], [100.0]
    monkeypatch.setattr(_rows._clock.pace, "boot", lambda: "this")
    monkeypatch.setattr(_rows._clock.pace, "wall", lambda: wall[0])
    monkeypatch.setattr(_rows._clock.pace, "monotonic", lambda: steady[0])
    clock = _record.steady_now().replace("this", boot)
    record.write(token, [Change("a", {"stop_sent_at": _record.now_text(), "stop_sent_clock": clock})])
    wall[0], steady[0] = wall[0] + 7.0, steady[0] + 40.0
    assert record.vms()[0].stop_sent_ago == ago


def test_what_became_of_a_host_is_told_in_the_events(made):
    record, token = made
    record.remember_hosts(token, [host("h")], ())
    record.host_written(token, "h", False)
    record.host_written(token, "h", True)
    record.host_written(token, "h", True, "words")
    assert [event["what"] for event in record.events()][-3:] == ["host closed", "host opened", "host not written"]


def test_what_an_owner_was_told_last(made):
    record, token = made
    assert record.told() == {}
    record.note_told(token, "before", ["a", "b"])
    record.note_told(token, "not_started", ["a"])
    record.note_told(token, "after", ["b"])
    assert record.told() == {"a": "not_started", "b": "after"}
    with pytest.raises(StaleRun):
        record.note_told("another", "after", ["a"])
    assert [event["what"] for event in record.events()][-4:] == ["told before", "told before", "told not_started", "told after"]
