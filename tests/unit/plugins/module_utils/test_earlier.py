# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ended maintenances leave for the next one."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._earlier import earlier, kept_records, measured
from ansible_collections.pilw.maintenance.plugins.module_utils._model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record import Change, Record


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
        ({"stop_outcome": "clean"}, False),
    ],
)
def test_only_a_start_that_nobody_saw_end_is_left(tmp_path, columns, left):
    ended(tmp_path, "1", a=columns)
    found = earlier(str(tmp_path))
    assert bool(found.starts) is left
    assert found.unread == []
    if left:
        assert re.fullmatch(
            r"VM a \(n, owner 7\) may still come up: the ended maintenance \S+ sent it a start at \S+, and nobody has seen that end\. .+",
            found.starts["a"],
        )


@pytest.mark.parametrize("columns", [{"stop_outcome": "clean"}, {"stop_outcome": "would_not_stop", "start_outcome": "already_running"}])
def test_a_later_maintenance_that_saw_it_down_or_up_settles_it(tmp_path, columns):
    ended(tmp_path, "1", a=UNCLEAR, b=UNCLEAR)
    ended(tmp_path, "2", a=columns, b={})
    assert list(earlier(str(tmp_path)).starts) == ["b"]
    ended(tmp_path, "3", a=UNCLEAR)
    assert list(earlier(str(tmp_path)).starts) == ["b", "a"]


def test_an_open_record_is_no_earlier_one(tmp_path):
    ended(tmp_path, "1", done=False, a=UNCLEAR)
    assert earlier(str(tmp_path)).starts == {}


def test_a_kept_record_that_cannot_be_read_hides_no_other(tmp_path):
    (tmp_path / "1.record.sqlite").write_bytes(b"no database at all")
    (tmp_path / "1.record.sqlite").chmod(0o600)
    ended(tmp_path, "2", a=UNCLEAR)
    found = earlier(str(tmp_path))
    assert list(found.starts) == ["a"]
    assert found.unread == [
        "The kept record 1.record.sqlite cannot be read, so starts that it may have left at work are not known: file is not a database"
    ]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert kept_records(str(tmp_path / "none")) == []


def took(stop, start=4, outcome="clean"):
    begin = datetime(2026, 1, 1, tzinfo=timezone.utc)
    at = [(begin + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ") for seconds in (0, stop, 100, 100 + start)]
    return {
        "stop_outcome": outcome, "stop_sent_at": at[0], "stopped_at": at[1],
        "start_outcome": "running", "start_sent_at": at[2], "started_at": at[3],
    }  # fmt: skip


def test_what_a_stop_and_a_start_took_is_measured_by_the_last_maintenance_that_can_tell(tmp_path):
    assert measured(str(tmp_path)) == (None, None)
    ended(tmp_path, "1", a=took(20), b=took(22), c=took(31, 7), d=took(90, 9), e=took(40, 8), f=took(1000, outcome="would_not_stop"))
    assert measured(str(tmp_path)) == (31.0, 5.5)
    ended(tmp_path, "2", a=took(1), b=took(1), c=took(1), d=took(1))  # a trial with four VMs
    (tmp_path / "3.record.sqlite").write_bytes(b"no database at all")
    ended(tmp_path, "4", done=False, **{uuid: took(5) for uuid in "abcdef"})
    assert measured(str(tmp_path)) == (31.0, 5.5)
