# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan or a status as a file: written beside everything else or not at all, and never a reason to fail."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.pilw.maintenance.plugins.modules.pilw_maintenance_info import write_file


def given(tmp_path, path):
    (tmp_path / "records" / "h").mkdir(parents=True, exist_ok=True)
    record, copies = tmp_path / "records" / "h" / "record.sqlite", tmp_path / "copies"
    named = {"record": str(record), "record_dir": None, "record_dir_persistent": False, "record_copy": str(copies)}
    return {"file": path and str(path), "api_host": "h", "location": "", **named}


@pytest.mark.parametrize("path", [None, ""])
def test_nothing_is_written_that_nobody_asked_for(tmp_path, path):
    assert write_file(given(tmp_path, path), {"a": 1}) == []


def test_it_is_private_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "plan.json"
    for number in (1, 2):
        assert write_file(given(tmp_path, path), {"a": number}) == []
        assert json.loads(path.read_text()) == {"a": number}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["relative", "link", "pipe", "folder", "no folder", "record", "copy", "file as folder"])
def test_what_is_no_place_for_it_is_left_alone_and_told(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path, target = tmp_path / "plan.json", tmp_path / "target"
    params = given(tmp_path, path)
    target.write_text("keep")
    if kind == "relative":
        params["file"] = "plan.json"
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no folder":
        params["file"] = str(tmp_path / "none" / "plan.json")
    elif kind == "record":
        params["file"] = str(tmp_path / "records" / "h" / "report.json")
    elif kind == "copy":
        (tmp_path / "copies" / "h").mkdir(parents=True)
        params["file"] = str(tmp_path / "copies" / "h" / "record.sqlite")
    else:
        params["file"] = str(target / "plan.json")
    before = sorted(tmp_path.rglob("*"))
    (note,) = write_file(params, {"a": 1})
    assert note.startswith(f"Note: {params['file']} was not written: ") and note.endswith("on the maintenance host.")
    assert sorted(tmp_path.rglob("*")) == before and target.read_text() == "keep"
