# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a record says is on the disk, not only in the memory of the machine: a power cut takes none of it."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record

EXTRA = 3  # PRAGMA synchronous: the folder is synced too after the journal is removed


def made(folder, **options):
    record = Record.create(os.path.join(str(folder), "record.sqlite"), api_host="h", location="", reason="", **options)
    return record, record.begin_run("ann", "prepare")


def vm(uuid):
    return parse_vm({"uuid": uuid, "status": "running"})


@pytest.fixture
def synced(monkeypatch):
    """The files and folders that were synced, in that order, and how long each file was."""
    seen, plain = [], os.fsync

    def noted(handle):
        seen.append((os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), os.fstat(handle).st_size))
        plain(handle)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


@pytest.mark.parametrize("how", ["created", "opened again"])
def test_each_commit_is_on_disk(tmp_path, how):
    record, _token = made(tmp_path)
    if how == "opened again":
        record.close()
        record = Record(record.path)
    assert record._db.execute("PRAGMA synchronous").fetchone()[0] == EXTRA
    assert record._db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    record.close()


def test_the_file_itself_is_made_durably(tmp_path, monkeypatch, synced):
    """All of it, before it gets its name; and its name."""
    statements, plain = [], sqlite3.connect

    class Noted(sqlite3.Connection):
        def execute(self, sql, *values):
            statements.append(sql)
            return super().execute(sql, *values)

        def executescript(self, sql):
            statements.append(sql)
            return super().executescript(sql)

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: plain(*given, **more, factory=Noted))
    record, _token = made(tmp_path)
    assert statements[0] == "PRAGMA synchronous=EXTRA", "before the tables are written"
    assert synced[-1][0] == tmp_path.name
    record.close()


def test_the_list_is_on_disk_before_a_vm_counts_as_recorded(tmp_path, synced):
    """And its name in its folder: a rename alone may be lost."""
    folder = tmp_path / "beside"
    folder.mkdir()
    record, token = made(folder)
    del synced[:]
    record.add_running(token, [vm("a"), vm("b")], late=False)
    names = [name for name, _size in synced]
    assert ("running_vms.json.new", (folder / "running_vms.json").stat().st_size) in synced, "not synced with all that it holds"
    assert "beside" in names[names.index("running_vms.json.new") :], "its name in the folder was not synced"
    record.close()


def test_the_second_copy_is_on_disk_too(tmp_path, synced):
    for name in ("beside", "copies"):
        (tmp_path / name).mkdir()
    record, token = made(tmp_path / "beside", copy_dir=str(tmp_path / "copies"))
    del synced[:]
    record.add_running(token, [vm("a")], late=False)
    counts = Counter(name for name, _size in synced)
    assert counts["running_vms.json.new"] == 2 and counts["hosts_to_open.json.new"] == 2
    assert [name for name, _size in synced][-1] == "copies", "the copy of the database comes last"
    record.close()
