# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ended maintenances leave for the next one."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._plan.earlier_records import earlier, kept_records, starts_text
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record


def ago(hours):
    return (datetime.now(timezone.utc) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ended(folder, name, done=True, **vms):
    """A kept record, and what came of each VM's start or stop in it."""
    with contextlib.closing(Record.create(str(folder / f"{name}.record.sqlite"), api_host="a", location="", reason="")) as record:
        token = record.begin_run("ann", "restore")
        rows = [parse_vm({"uuid": uuid, "user_id": "7", "name": "n", "status": "running"}) for uuid in vms]
        record.add_running(token, rows, late=False)
        record.write(token, [Change(uuid, columns) for uuid, columns in vms.items()])
        if done:
            record.write_done(token)


UNCLEAR = {"stop_outcome": "clean", "start_sent_at": ago(1)}


@pytest.mark.parametrize(
    ("columns", "left"),
    [
        (UNCLEAR, True),
        ({**UNCLEAR, "start_outcome": "failed"}, True),
        ({**UNCLEAR, "start_sent_at": ago(23.9)}, True),
        ({**UNCLEAR, "start_sent_at": ago(24.1)}, False),
        ({**UNCLEAR, "start_outcome": "running"}, False),
        ({**UNCLEAR, "start_outcome": "refused"}, False),
        ({**UNCLEAR, "start_outcome": "failed", "started_at": ago(0.5)}, False),  # seen running, then down again
        ({**UNCLEAR, "start_outcome": "failed", "started_at": ago(2)}, True),  # of an earlier start
        ({"stop_outcome": "clean"}, False),
    ],
)
def test_only_a_start_that_nobody_saw_end_is_left(tmp_path, columns, left):
    ended(tmp_path, "1", a=columns)
    found = earlier(str(tmp_path))
    assert bool(found.starts) is left
    assert found.unread == {} and found.uuids == (["a"] if left else [])
    if left:
        assert re.fullmatch(r"VM a \(n, owner 7\): the ended maintenance \S+ sent it a start at \S+", found.starts["start-left:a"])


@pytest.mark.parametrize("columns", [{"stop_outcome": "clean"}, {"stop_outcome": "would_not_stop", "start_outcome": "already_running"}])
def test_a_later_maintenance_that_saw_it_down_or_up_settles_it(tmp_path, columns):
    ended(tmp_path, "1", a=UNCLEAR, b=UNCLEAR)
    ended(tmp_path, "2", a=columns, b={})
    assert earlier(str(tmp_path)).uuids == ["b"]
    ended(tmp_path, "3", a=UNCLEAR)
    assert earlier(str(tmp_path)).uuids == ["b", "a"]


def test_an_open_record_is_no_earlier_one(tmp_path):
    ended(tmp_path, "1", done=False, a=UNCLEAR)
    assert earlier(str(tmp_path)).starts == {}


def spoiled(path, how):
    """A kept record that cannot be read any more, in one of several ways."""
    path.chmod(0o600)
    if how == "bytes":
        path.write_bytes(b"no database at all")
    elif how == "mode":
        path.chmod(0o644)
    else:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(how)
            db.commit()


@pytest.mark.parametrize(
    "how", ["bytes", "mode", "UPDATE maintenance SET done_at=NULL", "UPDATE vms SET start_sent_at='yesterday'", "PRAGMA user_version=99"]
)
def test_a_kept_record_that_cannot_be_read_hides_no_other_and_is_told_for_as_long_as_it_matters(tmp_path, how):
    ended(tmp_path, "1", a=UNCLEAR)
    ended(tmp_path, "2", b=UNCLEAR)
    path = tmp_path / "1.record.sqlite"
    spoiled(path, how)
    found = earlier(str(tmp_path))
    assert found.uuids == ["b"]
    assert list(found.unread) == ["start-left:1.record.sqlite"]
    told = "The kept record 1.record.sqlite cannot be read, so starts that it may have left at work are not known: "
    assert found.unread["start-left:1.record.sqlite"].startswith(told)
    day = path.stat().st_mtime - 24.1 * 3600
    os.utime(path, (day, day))
    assert earlier(str(tmp_path)).unread == {}


def test_the_open_record_is_told_of_by_whoever_opens_it(tmp_path):
    (tmp_path / "record.sqlite").write_bytes(b"no database at all")
    assert earlier(str(tmp_path)).unread == {}


def test_many_starts_are_one_line():
    text = starts_text([f"VM {number}" for number in range(3000)])
    assert text.startswith("3000 VMs may still come up, as nobody has seen the end of a start: VM 0; VM 1; ") and "; and 2980 more. See" in text


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert kept_records(str(tmp_path / "none")) == []
