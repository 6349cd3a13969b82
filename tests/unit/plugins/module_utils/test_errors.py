# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument that accepts what was refused: whole, and one that a shell and the kernel take."""

from __future__ import annotations

import json
import shlex
import uuid

import pytest
import yaml

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import accept_argument

# What Linux takes as one argument (MAX_ARG_STRLEN), with the name before it.
MOST_BYTES = 128 * 1024 - 1
ODD = ["empty:127.0.0.1:8080", "empty:https://api.example.com@tll01", "old:20260101T000000Z-abc", "room:ceph_maint_record_dir-0a"]


def test_all_items_in_one_word():
    assert accept_argument([], ["vm:a"]) == "-e ceph_maint_accept=vm:a"
    assert accept_argument(["old:x", "vm:a"], ["vm:b", "vm:a"]) == "-e ceph_maint_accept=old:x,vm:a,vm:b"


@pytest.mark.parametrize("count", [1, 2000, 2400, 2560, 3000, 10000])
def test_however_many_there_are_the_way_on_can_be_gone(count):
    accepted = [*ODD, *(f"vm:{uuid.UUID(int=number)}" for number in range(count // 2))]
    items = [f"vm:{uuid.UUID(int=number)}" for number in range(count // 2, count)]
    argument = accept_argument(accepted, items)
    if not argument.startswith("-e @accept.yml, "):
        word = argument.removeprefix("-e ")
        assert len(word.encode()) <= MOST_BYTES and not word.split()[1:]
        assert _argspec.words(word.partition("=")[2], "accept") == [*accepted, *items]
        return
    assert count > 2000
    line = argument.split(" one line: ")[1]
    assert yaml.safe_load(line) == {"ceph_maint_accept": [*accepted, *items]}


@pytest.mark.parametrize("name", ["disk of ann", "a,b", "it's", "x;reboot", "$(reboot)", "`id`", 'say "no"', "näme"])
def test_a_name_that_a_shell_would_read_is_quoted(name):
    items = [f"watcher:rbd/{name}", "vm:a"]
    option, value, *more = shlex.split(accept_argument([], items))
    assert (option, more) == ("-e", [])
    assert json.loads(value) == {"ceph_maint_accept": items}
