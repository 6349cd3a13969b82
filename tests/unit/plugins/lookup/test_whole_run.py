# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no play of this collection begins with: parts left out, or groups that are not its own."""

from __future__ import annotations

import pytest
from ansible import context
from ansible.errors import AnsibleError

from ansible_collections.pilw.maintenance.plugins.lookup import whole_run

WHOLE = {"tags": ["all"], "skip_tags": [], "start_at_task": None, "subset": None, "step": False}


@pytest.fixture
def look(monkeypatch):
    """Looks at a run with the given arguments and groups, the first time in this process."""
    monkeypatch.setattr(whole_run.LookupModule, "looked", False)

    def run(*groups, **arguments):
        monkeypatch.setattr(context, "CLIARGS", {**WHOLE, **arguments})
        return whole_run.LookupModule().run(["localhost"], {"groups": {name: [] for name in ("all", "ungrouped", *groups)}})

    return run


def test_a_whole_run_gives_back_its_terms(look):
    assert look("ceph") == ["localhost"]


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--tags", {"tags": ["always"]}),
        ("--skip-tags", {"skip_tags": ["always"]}),
        ("--start-at-task", {"start_at_task": "Prepare"}),
        ("--limit", {"subset": "ceph"}),
        ("--step", {"step": True}),
    ],
)
def test_what_leaves_parts_out_is_refused(look, option, given):
    with pytest.raises(AnsibleError, match=f"A maintenance runs whole, so that no guard is left out: {option} is refused"):
        look(**given)


@pytest.mark.parametrize("group", ["ceph_maint_hosts", "ceph_maint_safe", "ceph_maint_restored"])
def test_a_group_of_the_inventory_is_not_taken_for_one_of_ours(look, group):
    for _each_time in range(2):
        with pytest.raises(AnsibleError, match=f"The inventory has a group called {group}, .* Rename it there"):
            look(group)
    assert look() == ["localhost"]
    assert look(group) == ["localhost"], "made by our own plays since the first look"
