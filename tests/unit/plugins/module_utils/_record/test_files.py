# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the files of a record are written and read."""

from __future__ import annotations

import json
import os
import stat

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._record import files


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_json_is_replaced_whole_and_private(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o644)
    (tmp_path / "victim").write_text("keep")
    (tmp_path / "a.json.new").symlink_to(tmp_path / "victim")
    files.write_json(str(path), [{"name": "Ülo\x1b"}])
    assert mode(path) == 0o600
    assert path.read_bytes().isascii()
    assert json.loads(path.read_text()) == [{"name": "Ülo\x1b"}]
    assert (tmp_path / "victim").read_text() == "keep"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.json", "victim"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "[]\n"),
        ({}, "{}\n"),
        (None, "null\n"),
        ("\u00dc", '"\\u00dc"\n'),
        ([{"a": [1, 2]}, "b"], '[\n{"a": [1, 2]},\n"b"\n]\n'),
        ({"a": [1, {"b": []}], "c": {"d": [1]}, "e": []}, '{\n"a": [\n1,\n{"b": []}\n],\n"c": {"d": [1]},\n"e": []\n}\n'),
    ],
)
def test_each_entry_of_a_list_has_a_line_of_its_own(tmp_path, data, text):
    assert "".join(files.json_text(data)) == text
    assert json.loads(text) == data
    files.write_text(str(tmp_path / "a.json"), files.json_text(data))
    assert (tmp_path / "a.json").read_text() == text


def test_a_write_in_pieces_that_fails_leaves_the_former_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_text(str(path), "old")

    def broken():
        yield "new"
        raise ValueError

    with pytest.raises(ValueError):
        files.write_text(str(path), broken())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(str(path), [1])

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(str(path), [2])
    assert json.loads(path.read_text()) == [1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"[{", "is not JSON"),
        (b"\xff\xfe[]", "is not JSON"),
        (b'[{"uuid": "a"}, {"uuid": "a b"}]', ": entry 2 of 2 has no usable uuid. Mend the list, then run the same command again. Nothing was changed."),
        (b'[5]', ": entry 1 of 1 has no usable uuid. Mend the list, then run the same command again. Nothing was changed."),
        (b'{"uuid": "a"}', "is not a JSON list of VM rows, as vm/all gives. Mend the list, then run the same command again. Nothing was changed."),
    ],
)
def test_a_hand_made_list_that_is_none(tmp_path, content, words):
    path = tmp_path / "running_vms.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        files.read_running_vms(str(path))
    assert str(caught.value).startswith(f"running_vms {path}")
    assert words in str(caught.value)


def test_a_hand_made_list(tmp_path):
    path = tmp_path / "running_vms.json"
    path.write_text('[{"uuid": "a"}]')
    assert files.read_running_vms(str(path)) == [{"uuid": "a"}]
    with pytest.raises(InputError, match=r"running_vms .*none cannot be read: "):
        files.read_running_vms(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("content", "line", "entry"),
    [
        (b'[{"name": 1}]', 1, "1 of 1"),
        (b'[{"uuid": "a"},\r\n\r\n {"uuid": "b", "c": ["]",\n"}"]}\n,\n5, 6]', 6, "3 of 4"),
        (b'\xef\xbb\xbf\n[\n\n{"uuid": ""}]', 4, "1 of 1"),
    ],
)
def test_a_row_without_a_uuid_is_named_with_its_line(content, line, entry):
    with pytest.raises(ValueError) as caught:
        files.read_rows(content)
    assert str(caught.value) == f"line {line}: entry {entry} has no usable uuid"


def test_a_private_file_is_read_through_no_link(tmp_path):
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    assert files.read_private(str(tmp_path / "real")) == b"x"
    for name in ("link", "pipe", "none", "."):
        with pytest.raises(OSError):
            files.read_private(str(tmp_path / name))


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_is_replaced_is_kept_under_its_mark(tmp_path, monkeypatch, hard_links):
    path = tmp_path / "a.json"
    files.write_json(str(path), [1])
    if not hard_links:

        def refuse(*_arguments, **_options):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(files.os, "link", refuse)
    assert files.keep(str(path), "m") == f"{path}.m"
    files.write_json(str(path), [2])
    assert (tmp_path / "a.json.m").read_text() == "[\n1\n]\n"
    assert mode(tmp_path / "a.json.m") == 0o600
    if hard_links:
        assert files.keep(str(tmp_path / "none"), "m") is None
