# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full and read-only disks, planted files, foreign accounts, records in the wrong place: refused before anything is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import RecordError
from ansible_collections.pilw.maintenance.plugins.module_utils._record import paths
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from harness import in_process as crew
from harness.operator import wait_until
from scenarios.record.fire import OURS, PLACE, content, enter, fill, item_of, plan_for, refused, vm

NOBODY = 65534


# A disk that is full.


def test_a_full_disk_while_the_record_is_opened(small_disk) -> None:
    disk = small_disk("256k")
    records = disk / "r"
    records.mkdir(mode=0o700)
    ballast = fill(disk)
    text = refused(records)
    assert "No space left" in text or "disk is full" in text
    assert "Make room" in text and "run the same command again" in text
    assert not [name for name in content(records) if "unfinished" in name or name.endswith(".new")]
    ballast.unlink()
    assert enter(records)["created"]


@pytest.mark.parametrize("room", range(1, 40, 3))
def test_whatever_room_there_is_a_record_is_whole_or_not_there(small_disk, room) -> None:
    disk = small_disk("256k")
    records = disk / "r"
    records.mkdir(mode=0o700)
    ballast = fill(disk)
    os.truncate(ballast, ballast.stat().st_size - room * 4096)
    with contextlib.suppress(RecordError):
        enter(records)
    ballast.unlink()
    found = enter(records)
    record = Record(found["record"])
    record.check()
    assert record.phase == "closing"
    record.close()


def test_a_full_disk_while_the_vms_are_recorded(small_disk) -> None:
    disk = small_disk("512k")
    found = enter(disk / "r")
    record = Record(found["record"])
    record.add_running(found["run"], [vm("a")], late=False)
    ballast = fill(disk)
    with pytest.raises(RecordError, match=r"cannot be written: .*What it held before is whole\. Make room"):
        record.add_running(found["run"], [vm(f"n{number}", text="x" * 900) for number in range(50)], late=False)
    record.check()
    assert [one.uuid for one in record.vms()] == ["a"]
    assert [row["uuid"] for row in json.loads((disk / "r" / PLACE / "running_vms.json").read_text())] == ["a"]
    ballast.unlink()
    assert record.add_running(found["run"], [vm(f"n{number}", text="x" * 900) for number in range(50)], late=False) == 50
    record.close()


def test_a_list_for_which_there_is_no_room_leaves_the_former_one(small_disk) -> None:
    disk = small_disk("512k")
    found = enter(disk / "r")
    record = Record(found["record"])
    record.add_running(found["run"], [vm(f"n{number}") for number in range(50)], late=False)
    path = disk / "r" / PLACE / "running_vms.json"
    before = path.read_bytes()
    fill(disk)
    with pytest.raises(RecordError, match=r"The list beside the record cannot be written: .*is whole\. Make room"):
        record.export()
    with pytest.raises(RecordError, match="Make room"):
        record.write_report({"x": "y" * 9000}, "", "")
    assert path.read_bytes() == before
    assert not list((disk / "r" / PLACE).glob("*.new"))
    record.close()


def test_the_plan_refuses_a_disk_without_room_for_the_record(quick, small_disk) -> None:
    cloud = quick().cloud
    disk = small_disk("256k")
    found = plan_for(cloud, disk / "r")
    assert found["refused_items"] == []
    text = "has 0.2 MiB free, and 8 VMs may need 1 MiB. Make room, or choose another disk."
    assert found["refusals"] == [f"ceph_maint_record_dir {disk / 'r'} {text}"]
    found = plan_for(cloud, disk.parent / "r", record_copy=str(disk / "copy"))
    assert found["refusals"] == [f"ceph_maint_record_copy {disk / 'copy'} {text}"]


def test_a_nearly_full_disk_with_an_open_record_is_a_note(quick, small_disk) -> None:
    op = quick()
    disk = small_disk("512k")
    enter(disk / "r", api_host=op.cloud.url)
    fill(disk)
    found = plan_for(op.cloud, disk / "r")
    assert found["refusals"] == []
    assert [line for line in found["lines"] if line.startswith(f"Note: ceph_maint_record_dir {disk / 'r'} has 0.0 MiB free")]


# A second copy on the record's own disk.


def test_copy_on_the_disk_of_the_record_is_rejected(quick, one_disk) -> None:
    op = quick(vms=3)
    copy = op.folder / "usb" / "copy"
    operator = crew.Crew(op.folder, op.cloud.url, op.cloud.key, record_copy=str(copy), **crew.Crew.FAST)
    run = operator.prepare()
    assert (run.refused, run.items, op.cloud.journal.writes()) == (True, [f"same-disk:{copy}"], [])
    assert f"ceph_maint_record_copy {copy} lies on the file system of the record (" in run.text
    mount = next(line for line in run.lines if line.startswith(f"Second copy of the record: {copy} (on "))
    assert paths.describe_disk(str(op.folder), paths.read_mounts()) in mount
    # A play of somebody's own opens the record and shows no plan.
    assert f"To accept this: -e ceph_maint_accept=same-disk:{copy}" in refused(op.records, record_copy=str(copy))
    assert not copy.exists() and not op.place.exists()
    assert operator.prepare(accept=run.accept_argument()).safe


def test_copy_on_the_disk_of_an_open_record_is_a_warning(quick, one_disk) -> None:
    op = quick(vms=3)
    before = op.cloud.in_state("running")
    operator = crew.Crew(op.folder, op.cloud.url, op.cloud.key, **crew.Crew.FAST)
    assert operator.prepare().safe
    operator.settings["record_copy"] = str(op.folder / "copy")
    run = operator.prepare()
    assert run.safe, run.text
    assert "Note: ceph_maint_record_copy" in run.text and "so that one failure would lose both" in run.text
    opened = run.results["open"]
    assert [text for text in opened["warnings"] if "lies on the file system of the record" in text], opened
    assert operator.restore().rc == 0
    assert op.cloud.in_state("running") == before


def test_copy_on_another_disk_is_shown_and_kept(quick, one_disk, small_disk) -> None:
    op = quick(vms=3)
    copy = small_disk("8m") / "copy"
    operator = crew.Crew(op.folder, op.cloud.url, op.cloud.key, record_copy=str(copy), **crew.Crew.FAST)
    run = operator.prepare()
    assert run.safe, run.text
    assert f"Second copy of the record: {copy} (on {copy.parent}, tmpfs, tmpfs); the record: {op.place} (on " in run.text
    assert f"{copy} lies in memory (tmpfs at {copy.parent})" in run.text
    assert (copy / op.place.name / "record.sqlite").exists()


def test_a_disk_that_fills_up_while_vms_are_stopped(quick, small_disk) -> None:
    """Nothing more is sent, what was recorded is whole, and after room was made the same command ends it."""
    op = quick(vms=30, running=30, time_scale=0.02)
    disk = small_disk("4m")
    op.records = disk / "r"
    before = op.cloud.in_state("running")
    with ThreadPoolExecutor(1) as runner:
        running = runner.submit(op.prepare, ceph_maint_concurrency=2)
        wait_until(lambda: len(op.cloud.journal.of("admin_vm_stop")) >= 6 or running.done())
        ballast = fill(disk)
        sent = len(op.cloud.journal.of("admin_vm_stop"))
        run = running.result(200)
    assert run.rc != 0, run.text
    stopped = len(op.cloud.journal.of("admin_vm_stop"))
    assert stopped <= sent + 2, "no more than what was on its way"
    assert stopped < 30
    assert "Make room" in run.text, run.text
    record = Record(str(op.place / "record.sqlite"))
    record.check()
    assert {one.uuid for one in record.vms()} == before
    record.close()
    ballast.unlink()
    run = op.prepare()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == set()
    assert op.recorded() == before


# Folders and files that are not ours alone.


def test_a_disk_mounted_read_only(quick, small_disk) -> None:
    disk = small_disk("2m")
    cloud = quick().cloud
    (disk / "r").mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "cannot be written. Set ceph_maint_record_dir" in refused(disk / "r")
    assert "cannot be made in" in plan_for(cloud, disk / "new")["refusals"][0]
    found = plan_for(cloud, disk / "r")
    assert f"The folder {disk}/r cannot be written. Set ceph_maint_record_dir to one that can." in found["refusals"]


def as_nobody(work: t.Callable[[], object]) -> str:
    """The words of the error that another account gets; root passes every check."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        text = "no error"
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        except BaseException as exc:
            text = f"{type(exc).__name__}: {exc}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return text


@pytest.fixture
def shared() -> t.Iterator[Path]:
    """A folder that every account gets into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_what_another_account_may_not_write(shared) -> None:
    text = as_nobody(lambda: enter(shared / "r"))
    assert text.startswith(f"Refused: The folder {shared}/r does not exist and cannot be made in {shared}.")
    (shared / "r").mkdir(mode=0o700)
    text = as_nobody(lambda: enter(shared / "r"))
    assert f"belongs to user id 0, and this is user id {NOBODY}. Run as that user" in text
    os.chown(shared / "r", NOBODY, NOBODY)
    (shared / "r").chmod(0o500)
    text = as_nobody(lambda: enter(shared / "r"))
    assert "cannot be written. Set ceph_maint_record_dir to one that can. Nothing was changed." in text
    (shared / "r").chmod(0o700)
    assert as_nobody(lambda: enter(shared / "r")) == "no error"


@pytest.mark.parametrize("name", OURS)
def test_a_file_that_others_can_read(held, records, name) -> None:
    path = held[0] / name
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        text = refused(records)
        assert text == (
            f"Others can get at the file {path}. If it is the right file, close it with: chmod 600 {path} Nothing was changed."
        )
    path.chmod(0o600)
    assert not enter(records)["created"]


@pytest.mark.parametrize("name", OURS)
def test_a_file_of_another_account(held, records, name) -> None:
    os.chown(held[0] / name, NOBODY, NOBODY)
    assert f"belongs to user id {NOBODY}, and this is user id 0. Run as that user" in refused(records)


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
@pytest.mark.parametrize("name", [*OURS, "record.sqlite-journal", "record.sqlite.new", "running_vms.json.new"])
def test_a_planted_file_is_not_followed(held, records, tmp_path, name, kind) -> None:
    path, victim = held[0] / name, tmp_path / "victim"
    if path.exists():
        shutil.move(path, victim)
    else:
        victim.write_text("keep")
    before = victim.read_bytes()
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(mode=0o700)
    text = refused(records)
    assert text.startswith(f"{path} is not a plain file (a link is not followed). Find out who put it there, and move it away.")
    assert victim.read_bytes() == before
    assert not (tmp_path / "nothing").exists()
    if name == "record.sqlite":
        with pytest.raises(RecordError, match="is not a plain file"):
            Record(str(path))


COPIED = ("record.sqlite", "running_vms.json", "hosts_to_open.json", "report.json", "vms.csv", "summary.md", "maintenance_id")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
@pytest.mark.parametrize("name", [*COPIED, "record.sqlite-journal", *(f"{name}.new" for name in COPIED), "record.sqlite.new-journal"])
def test_a_file_planted_where_the_copies_lie_is_not_followed(held, records, tmp_path, name, kind) -> None:
    """Its disk may be another's. Nothing is written through it: it is refused, or told, or gone with a whole copy in its place."""
    copies = records.parent / "copies"
    path, victim = copies / PLACE / name, tmp_path / "victim"
    if path.exists():
        shutil.move(path, victim)
    else:
        victim.write_text("keep")
    before = victim.read_bytes()
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(mode=0o700)
    told: list[str] = []
    try:
        found = enter(records, record_copy=str(copies))
    except RecordError as exc:
        told.append(str(exc))
    else:
        record = Record(found["record"], str(copies / PLACE))
        record.add_running(found["run"], [vm("c")], late=True)
        record.write_report({"x": 1}, "", "")
        told += [*found["notes"], *record.warnings]
        assert {one.uuid for one in record.vms()} == {"a", "b", "c"}
        record.close()
    assert victim.read_bytes() == before
    assert not (tmp_path / "nothing").exists()
    if name.endswith("-journal") or name == "maintenance_id.new":
        return  # of files that this run neither opens nor writes there
    if not told:
        assert not path.is_symlink(), "it is still there, and nobody says so"
        copy = Record(str(copies / PLACE / "record.sqlite"))
        assert {one.uuid for one in copy.vms()} == {"a", "b", "c"}
        copy.close()
        rows = json.loads((copies / PLACE / "running_vms.json").read_text())
        assert {row["uuid"] for row in rows} == {"a", "b", "c"}
    else:
        assert any(str(copies / PLACE) in text for text in told), told


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_journal_planted_beside_the_copy_holds_no_run_that_needs_it(held, records, tmp_path, kind) -> None:
    """SQLite would wait for the other end of a pipe, for ever, and no signal ends that."""
    journal, victim = records.parent / "copies" / PLACE / "record.sqlite-journal", tmp_path / "victim"
    victim.write_text("keep")
    if kind == "link":
        journal.symlink_to(victim)
    else:
        os.mkfifo(journal, 0o600)
    shutil.rmtree(held[0])
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            refused(records, record_copy=str(records.parent / "copies"))
            os._exit(0)
        os._exit(1)
    deadline, status = time.monotonic() + 30, None
    while status is None and time.monotonic() < deadline:
        found, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if found else None
        time.sleep(0.05)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert status == 0, "it hangs" if status is None else "it was not refused"
    assert victim.read_text() == "keep"


def test_planted_files_are_named_by_the_plan(quick, tmp_path) -> None:
    op = quick()
    op.records.mkdir(mode=0o700)
    op.place.mkdir(mode=0o700)
    (tmp_path / "victim").write_text("keep")
    (op.place / "record.sqlite").symlink_to(tmp_path / "victim")
    for purpose in ("prepare", "restore"):
        found = plan_for(op.cloud, op.records, purpose=purpose)
        assert found["refusals"] == [
            f"{op.place}/record.sqlite is not a plain file (a link is not followed). Find out who put it there, and move it away."
        ]


# Where it lies.


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs"])
def test_a_network_disk_is_a_warning(quick, tmp_path, monkeypatch, kind) -> None:
    cloud = quick().cloud
    monkeypatch.setattr(paths, "read_mounts", lambda: f"/dev/sda / ext4 rw 0 0\nfiler:/x {tmp_path} {kind} rw 0 0\n")
    found = plan_for(cloud, tmp_path / "r")
    assert found["refusals"] == []
    (line,) = [line for line in found["lines"] if "network file system" in line]
    assert line.startswith(f"Note: ceph_maint_record_dir {tmp_path}/r lies on a network file system ({kind}, filer:/x). File locks")


@pytest.mark.parametrize("mount", ["/dev/rbd0 {} ext4", "/dev/mapper/ceph-x {} xfs", "mon:/ {} ceph", "ceph-fuse {} fuse.ceph-fuse"])
def test_a_disk_on_ceph_is_refused_by_name(quick, tmp_path, monkeypatch, mount) -> None:
    cloud = quick().cloud
    monkeypatch.setattr(paths, "read_mounts", lambda: f"/dev/sda / ext4 rw 0 0\n{mount.format(tmp_path)} rw 0 0\n")
    found = plan_for(cloud, tmp_path / "r")
    assert "lies on Ceph" in found["refusals"][0] and found["refused_items"][0].startswith("disk:ceph_maint_record_dir-")


# A record of another platform.


def test_a_record_in_the_folder_of_another_platform(held, records) -> None:
    for other, given in (("api.other.com", {}), (f"{PLACE}@tll01", {"location": "tll01"})):
        shutil.copytree(held[0], records / other)
        wanted = {"api_host": other.split("@", maxsplit=1)[0], **given}
        text = refused(records, **wanted)
        assert f"is that of the platform {PLACE}, and it lies in the folder of {other}. Nothing was changed." in text
        assert item_of(text) == f"record-of:{PLACE}"
        enter(records, accept=item_of(text), **wanted)
        assert not enter(records, **wanted)["created"], "what was accepted stays so"


@pytest.mark.parametrize("spelling", ["API.Example.COM", "https://api.example.com/v1/", "api.example.com:443", " HTTPS://api.example.com:443"])
def test_one_record_however_the_host_is_spelt(held, records, spelling) -> None:
    assert enter(records, api_host=spelling)["record"] == held[1]["record"]
    assert [path.name for path in records.iterdir()] == [PLACE]


@pytest.mark.parametrize("location", ["../x", "a/b", "..", "a b"])
def test_a_location_leads_out_of_no_folder(records, location) -> None:
    records.mkdir(mode=0o700)
    assert "is not a location slug" in refused(records, location=location)
