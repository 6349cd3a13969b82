# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGKILL at each call that changes a file: whatever is half done, the same again goes on, and no row is lost.

In SQLite's own writes it is for SQLite to hold that; here it is about what is done around it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import tempfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import PilwError
from ansible_collections.pilw.maintenance.plugins.module_utils._record.exports import copy_of
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from scenarios.record.fire import PLACE, enter, host, vm

CALLS = ("open", "replace", "rename", "link", "unlink", "fsync", "mkdir", "rmdir")
MEMORY = Path("/dev/shm")
VMS = {"a", "b"}


@pytest.fixture
def folder(tmp_path: Path) -> t.Iterator[Path]:
    """In memory where it can be: each run syncs dozens of files."""
    made = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path))
    yield made
    shutil.rmtree(made)


def in_child(work: t.Callable[[], object], killed_at: int) -> int:
    """Do it in a child that is killed just before its n-th call (0: never). Returns how many calls it made, or -1 when killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        count = 0

        def counted(plain: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
            def call(*given: t.Any, **more: t.Any) -> t.Any:
                nonlocal count
                count += 1
                if count == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return plain(*given, **more)

            return call

        try:
            for name in CALLS:
                setattr(os, name, counted(getattr(os, name)))
            work()
            os.write(writer, str(count).encode())
        except BaseException as exc:
            os.write(writer, f"{type(exc).__name__}: {exc}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    _pid, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return -1
    assert said.isdigit(), said
    return int(said)


def begin(folder: Path) -> None:
    """A prepare, as far as the record sees it."""
    found = enter(folder / "records", record_copy=str(folder / "copies"))
    record = Record(found["record"], copy_of(found["record"]))
    with contextlib.closing(record):
        run = found["run"]
        record.remember_hosts(run, [host("h1")], ())
        record.closing_host(run, "h1")
        record.host_written(run, "h1", False)
        record.add_running(run, [vm(uuid) for uuid in sorted(VMS)], late=False)
        record.write_safe(run, "SAFE", [])
        record.end_run(run)


def end(folder: Path) -> None:
    """A restore that puts the record away."""
    found = enter(folder / "records", record_copy=str(folder / "copies"), purpose="restore")
    record = Record(found["record"], copy_of(found["record"]))
    with contextlib.closing(record):
        run = found["run"]
        record.write(run, [Change(uuid, {"start_outcome": "running"}) for uuid in VMS])
        record.host_written(run, "h1", True)
        record.write_done(run)
        record.write_report({"what": "came of it"}, "", "")
        record.export()
        record.archive()


def rows_of(path: Path) -> set[str]:
    record = Record(str(path))
    with contextlib.closing(record):
        record.check()
        assert [one.uuid for one in record.hosts() if one.closed_by_us] == ["h1"]
        return {one.uuid for one in record.vms()}


def test_killed_while_the_record_is_made_and_filled(folder: Path) -> None:
    count = in_child(lambda: begin(folder / "0"), 0)
    assert count > 30
    for number in range(1, count + 1):
        inside = folder / str(number)
        assert in_child(functools.partial(begin, inside), number) == -1, number
        before = known(inside)
        begin(inside)
        for place in (inside / "records" / PLACE, inside / "copies" / PLACE):
            assert rows_of(place / "record.sqlite") == VMS >= before, number
            assert {row["uuid"] for row in json.loads((place / "running_vms.json").read_text())} == VMS, number
            assert [row["uuid"] for row in json.loads((place / "hosts_to_open.json").read_text())] == ["h1"], number
        shutil.rmtree(inside)


def known(inside: Path) -> set[str]:
    """What the record knew when it was killed."""
    path = inside / "records" / PLACE / "record.sqlite"
    if not path.exists():
        return set()
    record = Record(str(path))
    with contextlib.closing(record):
        record.check()
        return {one.uuid for one in record.vms()}


def test_killed_while_the_record_is_put_away(folder: Path) -> None:
    begin(folder / "begun")
    shutil.copytree(folder / "begun", folder / "0")
    note(folder / "0")
    count = in_child(lambda: end(folder / "0"), 0)
    assert count > 20
    for number in range(1, count + 1):
        inside = folder / str(number)
        shutil.copytree(folder / "begun", inside)
        note(inside)
        assert in_child(functools.partial(end, inside), number) == -1, number
        if (inside / "records" / PLACE / "record.sqlite").exists():
            assert rows_of(inside / "records" / PLACE / "record.sqlite") == VMS, number
        try:
            end(inside)
        except PilwError as exc:
            assert "There is no open record in" in str(exc), number
        (kept,) = (inside / "records" / PLACE).glob("*.record.sqlite")
        assert rows_of(kept) == VMS, number
        begin(inside)  # the next maintenance
        assert kept.exists() and rows_of(kept) == VMS, number
        shutil.rmtree(inside)


def note(inside: Path) -> None:
    """The copy lies where this one's does."""
    path = inside / "records" / PLACE / "copy_dir"
    path.write_text(str(inside / "copies" / PLACE))
