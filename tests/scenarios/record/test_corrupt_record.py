# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged, lost and outdated records: left alone, and gone on from when the operator says so."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import DamagedRecord, RecordError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._operations import plan
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from ansible_collections.pilw.maintenance.plugins.module_utils._record.recovery import look
from ansible_collections.pilw.maintenance.plugins.modules import pilw_maintenance_info
from harness.operator import open_hosts
from scenarios.record.fire import PLACE, content, enter, item_of, options, plan_for, refused, vm


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path, page: int) -> None:
    with open(path, "r+b") as handle:
        handle.seek(page * 4096)
        handle.write(b"\xa5garbage" * 512)


def execute(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(sql)
        db.commit()


DAMAGE: dict[str, t.Callable[[Path], object]] = {
    "truncated": truncate,
    "cut to its first page": lambda path: os.truncate(path, 4096),
    "empty": lambda path: os.truncate(path, 0),
    "no database": lambda path: path.write_bytes(b"no database at all, but a longer text " * 500),
    "first page": lambda path: overwrite(path, 0),
    **{f"page {page}": lambda path, page=page: overwrite(path, page) for page in range(1, 14)},
    "no table": lambda path: execute(path, "DROP TABLE vms"),
    "no maintenance": lambda path: execute(path, "DELETE FROM maintenance"),
    "unknown phase": lambda path: execute(path, "UPDATE maintenance SET phase='x'"),
    "no time": lambda path: execute(path, "UPDATE events SET at='x'"),
    "row": lambda path: execute(path, "UPDATE vms SET api_row='{'"),
    "row of another": lambda path: execute(path, "UPDATE vms SET api_row='[]'"),
    "no text": lambda path: execute(path, "UPDATE vms SET name=CAST(x'ff' AS TEXT)"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_record_is_refused_by_everyone_and_left_alone(held, records, how) -> None:
    path = held[0] / "record.sqlite"
    DAMAGE[how](path)
    texts = [refused(records, purpose=purpose) for purpose in ("prepare", "restore", "verify", "force", "close")]
    with pytest.raises(Refused) as caught:
        plan.open_record(options(records))
    for text in (*texts, str(caught.value)):
        assert text.startswith(f"The record {path} is damaged: ")
        assert "Nothing was changed." in text
        assert item_of(text).startswith("damaged:")
    assert "To go on: -e ceph_maint_accept=" in texts[0]
    assert "ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_accept=" in texts[2]
    for purpose in ("verify", "force", "close"):
        assert "Neither status, verify, force nor close" in refused(records, purpose=purpose, accept=item_of(texts[0]))
    assert "is damaged" in refused(records, accept="damaged:0123456789ab"), "one item accepts one damage"


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("purpose", ["prepare", "restore"])
def test_a_damaged_record_is_gone_on_from_its_copy(held, records, how, purpose) -> None:
    path, copy = held[0] / "record.sqlite", records.parent / "copies" / PLACE / "record.sqlite"
    DAMAGE[how](path)
    damaged, item = path.read_bytes(), item_of(refused(records, purpose=purpose))
    found = enter(records, purpose=purpose, accept=item)
    assert (held[0] / f"record.sqlite.{item.replace(':', '-')}").read_bytes() == damaged
    assert f"This run goes on from {copy}." in found["notes"][0]
    assert not found["created"]
    check_rebuilt(found, str(copy))


def check_rebuilt(found: dict[str, t.Any], source: str) -> Record:
    """Nothing forgotten, nothing extra, and nothing taken for true that may be behind what happened."""
    record = Record(found["record"])
    record.check()
    record.check_run(found["run"])
    assert [one.uuid for one in record.vms()] == ["a", "b"]
    assert not any(one.outlived for one in record.vms()), "no power is cut on the word of an old copy"
    assert all(one.stop_pending and one.stop_sent_ago < 60 for one in record.vms()), "each may have been asked to stop just now"
    assert not [item for item in record.accepted() if not item.startswith("damaged:")]
    assert [(one.uuid, one.closed_by_us, one.now) for one in record.hosts()] == [("h1", True, None), ("h2", True, None)]
    assert record.maintenance["adopted_from"] == source
    assert record.phase in ("recorded", "stopping")
    assert record.maintenance["headline"] == ""
    folder = Path(found["record"]).parent
    assert [row["uuid"] for row in json.loads((folder / "running_vms.json").read_text())] == ["a", "b"]
    assert [row["uuid"] for row in json.loads((folder / "hosts_to_open.json").read_text())] == ["h1", "h2"]
    assert not list(folder.glob("unfinished.*"))
    record.close()
    return record


def copies_of(records: Path) -> Path:
    return records.parent / "copies" / PLACE


def of_another(copy: Path) -> None:
    """Its disk was away since; all that it knows is known to this maintenance too."""
    execute(copy / "record.sqlite", "UPDATE maintenance SET id='another'")
    execute(copy / "record.sqlite", "UPDATE hosts SET before=0")
    execute(copy / "record.sqlite", "INSERT INTO accepted (item, at, run) VALUES ('lost:b', 't', 'r')")
    (copy / "maintenance_id").write_text("another")


def stranger_without_id(copy: Path) -> None:
    execute(copy / "record.sqlite", "UPDATE vms SET uuid='z', api_row='{\"uuid\": \"z\"}' WHERE uuid='b'")
    for folder in (copy, copy.parents[1] / "records" / PLACE):
        (folder / "maintenance_id").unlink()


def forget_one(copy: Path) -> None:
    execute(copy / "record.sqlite", "DELETE FROM vms WHERE uuid='b'")
    execute(copy / "record.sqlite", "DELETE FROM hosts WHERE uuid='h2'")


# What became of the copy, and what the run goes on from.
LEFT: dict[str, tuple[t.Callable[[Path], object], str]] = {
    "copy behind": (forget_one, "copies/api.example.com/record.sqlite"),
    "no copy": (shutil.rmtree, "records/api.example.com/running_vms.json"),
    "copy damaged": (lambda copy: truncate(copy / "record.sqlite"), "records/api.example.com/running_vms.json"),
    "copy of another maintenance": (of_another, "records/api.example.com/running_vms.json"),
    "copy that knows strangers": (stranger_without_id, "records/api.example.com/running_vms.json"),
    "copy of one that ended": (
        lambda copy: execute(copy / "record.sqlite", "UPDATE maintenance SET phase='done'"),
        "records/api.example.com/running_vms.json",
    ),
    "copy readable by others": (
        lambda copy: (copy / "record.sqlite").chmod(0o644),
        "records/api.example.com/running_vms.json",
    ),
}


@pytest.mark.parametrize("left", LEFT)
def test_what_a_run_goes_on_from(held, records, left) -> None:
    truncate(held[0] / "record.sqlite")
    break_copy, source = LEFT[left]
    break_copy(copies_of(records))
    before = content(records.parent / "copies")
    item = item_of(refused(records, purpose="restore"))
    found = enter(records, purpose="restore", accept=item)
    check_rebuilt(found, str(records.parent / source))
    kept = content(records.parent / "copies")
    for name, data in before.items():
        if Path(name).name == "maintenance_id":
            continue
        assert data in (kept.get(name), kept.get(f"{name}.{item.replace(':', '-')}")), "copies are kept too"


def test_lists_of_the_copy_serve_when_those_beside_are_damaged(held, records) -> None:
    truncate(held[0] / "record.sqlite")
    truncate(copies_of(records) / "record.sqlite")
    for name in ("running_vms.json", "hosts_to_open.json"):
        truncate(held[0] / name)
    item = item_of(refused(records, purpose="restore"))
    found = enter(records, purpose="restore", accept=item)
    check_rebuilt(found, str(copies_of(records) / "running_vms.json"))


def test_what_a_restore_of_it_asks_for(held, records) -> None:
    truncate(held[0] / "record.sqlite")
    item = item_of(refused(records, purpose="restore"))
    assert "When Ceph is back: -e ceph_maint_ceph_is_back=true" in refused(
        records, purpose="restore", accept=item, ceph_is_back=False
    )


def test_nothing_whole_is_left(held, records) -> None:
    for folder in (held[0], copies_of(records)):
        for name in ("record.sqlite", "running_vms.json", "hosts_to_open.json"):
            truncate(folder / name)
    text = refused(records, purpose="restore")
    assert "There is nothing whole to go on from. With a list of your own: -e ceph_maint_running_vms=" in text
    assert str(held[0] / "running_vms.json") in text and str(copies_of(records) / "record.sqlite") not in text.split("There is")[1]
    assert "There is nothing whole" in refused(records, purpose="restore", accept=item_of(text))


def test_a_hand_made_list_takes_the_place_of_a_damaged_record(held, records, quick, tmp_path) -> None:
    op = quick()
    shutil.move(held[0], records / op.place.name)
    folder, hand = records / op.place.name, tmp_path / "hand.json"
    (folder / "copy_dir").unlink()
    damaged = {name: truncate(folder / name) or (folder / name).read_bytes() for name in ("record.sqlite", "running_vms.json")}
    hand.write_text('[{"uuid": "a"}]')
    given = {
        "purpose": "restore", "running_vms": str(hand), "open_hosts": "none", "api_host": op.cloud.url, "api_key": op.cloud.key,
    }  # fmt: skip
    item = item_of(refused(records, **given))
    found = enter(records, accept=item, **given)
    record = Record(found["record"])
    assert ([one.uuid for one in record.vms()], record.maintenance["adopted_from"]) == (["a"], str(hand))
    record.close()
    for name, data in damaged.items():
        assert (folder / f"{name}.{item.replace(':', '-')}").read_bytes() == data


def test_a_record_that_is_gone_while_its_lists_are_there(held, records) -> None:
    """A new prepare would write over the only list of what is down."""
    (held[0] / "record.sqlite").unlink()
    for purpose in ("prepare", "restore", "verify"):
        text = refused(records, purpose=purpose)
        assert "is missing: the file is gone, and the lists of its maintenance lie there still." in text
        folders = f"{held[0]} and {copies_of(records)}"
        assert f"If no maintenance is open any more, move what lies in {folders} to another folder." in text
    found = enter(records, accept=item_of(text))
    check_rebuilt(found, str(copies_of(records) / "record.sqlite"))


@pytest.mark.parametrize("lost", ["folder", "record_dir", "mistyped"])
@pytest.mark.parametrize("purpose", ["prepare", "restore"])
def test_a_folder_that_is_lost_while_its_copy_is_there(held, records, lost, purpose) -> None:
    """A new record would take the place of the only one that knows what is down."""
    copies, before = records.parent / "copies", content(records.parent / "copies")
    given = {"record_copy": str(copies)}
    if lost == "mistyped":
        records = records.parent / "recrods"
    else:
        shutil.rmtree(held[0] if lost == "folder" else records)
    records.mkdir(mode=0o700, exist_ok=True)
    texts = [refused(records, purpose=one, **given) for one in ("prepare", "restore", "verify", "close")]
    with pytest.raises(Refused, match="holds the second copy of a maintenance that is open"):
        plan.open_record(options(records, **given))
    for text in texts:
        assert f"no file is there, and {copies / PLACE} holds the second copy of a maintenance that is open. Nothing was changed." in text
        assert "If the record is whole and lies elsewhere, set ceph_maint_record_dir as it was in the prepare." in text
        assert f"If no maintenance is open any more, move what lies in {copies / PLACE} to another folder." in text
    assert content(copies) == before
    found = enter(records, purpose=purpose, accept=item_of(texts[0]), **given)
    check_rebuilt(found, str(copies / PLACE / "record.sqlite"))
    kept = content(copies)
    mark = item_of(texts[0]).replace(":", "-")
    assert kept[f"{PLACE}/record.sqlite.{mark}"] == before[f"{PLACE}/record.sqlite"]


def test_lists_of_a_copy_alone_are_a_lost_record_too(held, records) -> None:
    shutil.rmtree(held[0])
    (copies_of(records) / "record.sqlite").unlink()
    given = {"record_copy": str(records.parent / "copies")}
    check_rebuilt(enter(records, accept=item_of(refused(records, **given)), **given), str(copies_of(records) / "running_vms.json"))


def test_a_copy_that_its_disk_kept_beyond_the_end_is_no_lost_record(held, records) -> None:
    identity = (held[0] / "maintenance_id").read_text()
    shutil.rmtree(held[0])
    held[0].mkdir(mode=0o700)
    (held[0] / f"{identity}.record.sqlite").touch(mode=0o600)
    assert enter(records, record_copy=str(records.parent / "copies"))["created"]
    kept = Record(str(copies_of(records) / f"record.sqlite.{identity}"))
    assert kept.count_vms() == 2
    kept.close()


def test_a_copy_that_leads_to_the_record_itself(quick, records, tmp_path) -> None:
    records.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(records)
    cloud = quick().cloud
    for copy in (records, tmp_path / "link", f"{records}/../records/"):
        text = refused(records, record_copy=str(copy))
        assert text.startswith("ceph_maint_record_copy leads to ") and text.endswith("or leave it out. Nothing was changed.")
        found = plan_for(cloud, records, record_copy=str(copy))
        assert "where the record itself lies, so that there would be no second copy" in found["refusals"][-1]
    assert enter(records, record_copy=str(tmp_path / "other"))["created"]


def test_lists_that_name_nothing_are_no_lost_record(records) -> None:
    found = enter(records)
    os.unlink(found["record"])
    assert enter(records)["created"]


def test_an_ended_maintenance_is_no_lost_record(held, records) -> None:
    execute(held[0] / "record.sqlite", "UPDATE maintenance SET phase='done'")
    assert enter(records)["created"], "what lay beside went with it"


def test_the_journal_of_a_damaged_record_does_not_reach_the_new_one(held) -> None:
    """SQLite uses it up where it can; what it could not use is kept with the file that it belongs to."""
    path = held[0] / "record.sqlite"
    salvage = look(DamagedRecord(str(path), "for a test"))
    (held[0] / "record.sqlite-journal").write_bytes(b"torn")
    salvage.put_aside()
    assert not (held[0] / "record.sqlite-journal").exists()
    assert Path(f"{salvage.kept}-journal").read_bytes() == b"torn"
    assert Path(salvage.kept).read_bytes() == path.read_bytes()


def test_what_changed_since_it_was_looked_at_is_not_replaced(held) -> None:
    path = held[0] / "record.sqlite"
    salvage = look(DamagedRecord(str(path), "for a test"))
    path.write_bytes(b"another")
    with pytest.raises(Refused, match="has changed in the meantime"):
        salvage.put_aside()
    assert path.read_bytes() == b"another"


def test_a_rebuilding_that_is_cut_off_begins_anew(held, records, monkeypatch) -> None:
    truncate(held[0] / "record.sqlite")
    damaged, item = (held[0] / "record.sqlite").read_bytes(), item_of(refused(records))

    def power_cut(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", power_cut)
        with pytest.raises(KeyboardInterrupt):
            enter(records, accept=item)
    assert (held[0] / "record.sqlite").read_bytes() == damaged, "there is no moment without a record"
    check_rebuilt(enter(records, accept=item), str(copies_of(records) / "record.sqlite"))


def test_damage_is_not_copied_over_the_second_copy(held, records) -> None:
    copy = copies_of(records)
    before = content(copy)
    record = Record(held[1]["record"], str(copy))
    overwrite(held[0] / "record.sqlite", 5)
    with pytest.raises(DamagedRecord):
        record.copy()
    record.close()
    assert content(copy) == before


def test_a_record_damaged_while_it_is_worked_on_is_not_called_whole(held) -> None:
    record = Record(held[1]["record"])
    for page in range(1, 14):
        overwrite(held[0] / "record.sqlite", page)
    with pytest.raises(DamagedRecord) as caught:
        record.add_running(record.begin_run("ann", "prepare"), [vm("c")], late=True)
    assert "is damaged" in str(caught.value) and "nothing more is sent" in str(caught.value)
    record.close()


def test_a_lost_disk_of_the_copy_stops_no_restore(held, records) -> None:
    shutil.rmtree(records.parent / "copies")
    (records.parent / "copies").write_text("no folder any more")
    text = "There will be no second copy of the record: "
    found = enter(records, purpose="restore", record_copy=str(records.parent / "copies"))
    assert found["notes"][0].startswith(text)


def test_a_lost_disk_of_the_copy_is_refused_at_the_beginning(records) -> None:
    (records.parent / "copies").write_text("no folder")
    records.mkdir(mode=0o700)
    with pytest.raises(RecordError, match="ceph_maint_record_copy"):
        enter(records, record_copy=str(records.parent / "copies"))


def test_a_newer_schema_is_no_damage(held, records) -> None:
    execute(held[0] / "record.sqlite", "PRAGMA user_version=99")
    for purpose in ("prepare", "restore", "verify"):
        assert "has schema 99" in refused(records, purpose=purpose)
        assert "damaged:" not in refused(records, purpose=purpose)


def test_a_record_damaged_after_the_stop_and_the_way_back(quick) -> None:
    """What an operator does at night: restore, read, paste, done."""
    op = quick(vms=9, running=6, closed_hosts=1, hosts=3)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert op.prepare().rc == 0
    overwrite(op.place / "record.sqlite", 3)
    damaged = (op.place / "record.sqlite").read_bytes()
    sent = len(op.cloud.journal.writes())
    status = op.play("ceph_maint_status")
    assert status.rc != 0
    assert "is damaged" in status.text and "ceph_maint_restore -e ceph_maint_accept=damaged:" in status.text
    run = op.restore()
    assert run.rc != 0
    assert "Refused, because:" in run.text and "is damaged" in run.text
    assert "VMs to start: 6 of 6 recorded" in run.text, "the plan shows what accepting it would do"
    assert len(op.cloud.journal.writes()) == sent
    assert (op.place / "record.sqlite").read_bytes() == damaged
    item = run.accept_argument().removeprefix("ceph_maint_accept=")
    run = op.restore(ceph_maint_accept=item, ceph_maint_stop_timeout=1)
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    assert op.phase() == "", "the record is still open"
    assert f"This run goes on from {op.place}/running_vms.json" in run.text.replace("\n", " ")
    assert f"Taken over from {op.place}/running_vms.json: what became of each VM before is not known" in run.text
    assert (op.place / f"record.sqlite.{item.replace(':', '-')}").read_bytes() == damaged


@pytest.mark.parametrize(("how", "where"), [("damaged", "as noted"), ("gone", "given again"), ("folder gone", "given again")])
def test_the_way_back_from_the_second_copy(quick, how, where) -> None:
    """With one, it is what is gone on from, and what is said to be."""
    op = quick(vms=9, running=6, closed_hosts=1, hosts=3)
    before, hosts, copies = op.cloud.in_state("running"), open_hosts(op.cloud), op.folder / "copies"
    copy = copies / op.place.name / "record.sqlite"
    given: dict[str, t.Any] = {"ceph_maint_stop_timeout": 1}
    given.update({"ceph_maint_record_copy": copies} if where == "given again" else {})
    assert op.prepare(ceph_maint_record_copy=copies).rc == 0
    if how == "damaged":
        overwrite(op.place / "record.sqlite", 3)
    elif how == "gone":
        (op.place / "record.sqlite").unlink()
    else:
        shutil.rmtree(op.place)
    sent = len(op.cloud.journal.writes())
    run = op.restore(**given)
    assert run.rc != 0
    assert f"is {'damaged' if how == 'damaged' else 'missing'}: " in run.text and f"The run can go on from {copy}." in run.text
    assert "VMs to start: 6 of 6 recorded" in run.text
    assert len(op.cloud.journal.writes()) == sent
    name, value = run.accept_argument().split("=")
    assert value.startswith("damaged:")
    run = op.restore(**{name: value}, **given)
    assert run.rc == 0, run.text
    assert f"This run goes on from {copy}." in run.text
    assert f"Taken over from {copy}: what became of each VM before is not known" in run.text
    assert (op.cloud.in_state("running"), open_hosts(op.cloud)) == (before, hosts)
    assert {entry.uuid for entry in op.cloud.journal.of("admin_vm_start")} == before
    assert op.phase() == "", "the record is still open"
    assert not copy.exists() and list(copy.parent.glob("*.record.sqlite")), "the copy was not put away with it"


def test_a_prepare_goes_on_from_what_is_left(quick) -> None:
    op = quick(vms=6, running=6, deaf=["vm-1"])
    assert op.prepare(ceph_maint_record_copy=op.folder / "copies", ceph_maint_stop_timeout=1).rc != 0
    before = op.recorded()
    truncate(op.place / "record.sqlite")
    refusal = op.prepare()
    assert refusal.rc != 0
    run = op.prepare(
        ceph_maint_accept=refusal.accept_argument().removeprefix("ceph_maint_accept="), ceph_maint_force="true", ceph_maint_stop_timeout=1
    )
    assert run.rc == 0, run.text
    assert len(op.recorded()) == 6 and before <= op.recorded()
    forced = [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop") if entry.params.get("force")]
    assert forced == [op.cloud.vm("vm-1").uuid]
    asked = [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop") if not entry.params.get("force")]
    assert asked.count(forced[0]) >= 2, "it was asked again before its power was cut"


def test_the_progress_of_a_damaged_record_says_so(held) -> None:
    DAMAGE["no database"](held[0] / "record.sqlite")
    with pytest.raises(DamagedRecord, match=r"pilw\.maintenance\.ceph_maint_restore"):
        pilw_maintenance_info.progress({"record": held[1]["record"], "run": held[1]["run"], "lease": 5.0})
