# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an override comes from: what may destroy data is decided for one run, on the command line or in a survey."""

from __future__ import annotations

import json
import types

import pytest
from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars

from ansible_collections.pilw.maintenance.plugins.lookup import variable_problems

REASON = {"ceph_maint_accept_reason": "a backup"}


@pytest.fixture
def problems(monkeypatch):
    """What is wrong with variables, those of the inventory and those of the command line."""

    def found(inventory, command_line):
        monkeypatch.setattr(load_extra_vars, "extra_vars", None, raising=False)
        monkeypatch.setattr(context, "CLIARGS", {"extra_vars": [json.dumps(command_line)]})
        lookup = variable_problems.LookupModule(loader=DataLoader(), templar=types.SimpleNamespace(template=lambda value: value))
        return lookup.run([], {**inventory, **command_line})

    return found


@pytest.mark.parametrize(
    ("inventory", "command_line", "named"),
    [
        ({"ceph_maint_accept": "old:x,vm:a", **REASON}, {}, "ceph_maint_accept and ceph_maint_accept_reason must"),
        ({"ceph_maint_accept": ["vm:a"]}, REASON, "ceph_maint_accept must"),
        (REASON, {"ceph_maint_accept": "vm:a"}, "ceph_maint_accept_reason must"),
    ],
)
def test_what_may_destroy_data_is_not_read_from_an_inventory(problems, inventory, command_line, named):
    (text,) = problems(inventory, command_line)
    assert text.startswith(f"{named} be given on the command line or in a survey, and not in the inventory or a playbook")
    assert "may destroy data: vm:a. Nothing was changed." in text
    assert text.endswith("vm:a -e \"ceph_maint_accept_reason='REASON'\"")


@pytest.mark.parametrize("items", ["vm:a", ["old:x", "watcher:rbd/a"]])
def test_what_may_destroy_data_is_read_from_the_command_line(problems, items):
    assert problems({}, {"ceph_maint_accept": items, **REASON}) == []


def test_other_overrides_may_stand_anywhere(problems):
    assert problems({"ceph_maint_accept": "old:x,health:OSD_DOWN", **REASON}, {}) == []


def test_unknown_kind_is_rejected_before_anything_is_asked(problems):
    with pytest.raises(AnsibleError, match="wacher:rbd/a is not an override of this collection"):
        problems({}, {"ceph_maint_accept": "wacher:rbd/a"})
