# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which overrides are in effect, and which of them have none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _overrides
from ansible_collections.pilw.maintenance.plugins.module_utils._overrides import Overrides, effective, notes, plan_lines

RECORDED = ["vm:a", "takeover:1", "old:2", "lost:c", "damaged:d", "watcher:i"]


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (None, RECORDED),
        ([], []),
        (["vm:b"], ["takeover:1", "old:2", "lost:c", "damaged:d", "vm:b"]),
        (["vm:a", "lost:c"], ["vm:a", "takeover:1", "old:2", "lost:c", "damaged:d"]),
    ],
)
def test_list_replaces_what_does_not_act_once(now, found):
    assert effective(RECORDED, now) == found


def test_override_that_was_asked_for_has_an_effect():
    accepted = Overrides(["vm:a", "vm:b", "watcher:i", "osd:1"])
    assert "vm:a" in accepted and "vm:c" not in accepted
    assert list(accepted) == ["vm:a", "vm:b", "watcher:i", "osd:1"] and len(accepted) == 4
    assert accepted.unused(_overrides.PREPARE) == ["vm:b"], "the plan does not ask for the others"
    assert accepted.unused(_overrides.PROOF) == ["vm:b", "watcher:i"]


def test_given_without_effect_differs_from_recorded_and_over():
    assert notes(["vm:a", "vm:b", "lost:c"], ["vm:a"]) == [
        "Override without effect: vm:a. Nothing that it accepts was found.",
        "The recorded override vm:b has no effect any more. To withdraw it, give ceph_maint_accept without it, or none.",
    ]


def test_plan_shows_recorded_given_and_withdrawn_overrides():
    assert plan_lines(["vm:a", "vm:b"], ["vm:a", "vm:c"], 20) == [
        "Overrides: 2 in effect",
        "  vm:a: given now",
        "  vm:c: given now",
        "  vm:b: withdrawn now",
    ]
    assert plan_lines(["vm:a"], None, 20) == ["Overrides: 1 in effect", "  vm:a: recorded"]
    assert plan_lines(["vm:a"], [], 20) == ["Overrides: 0 in effect", "  vm:a: withdrawn now"]
    assert plan_lines([], None, 20) == []
    assert plan_lines([f"vm:{number}" for number in range(30)], None, 20)[-1] == "  and 10 more"


def test_each_kind_of_the_table_is_asked_for():
    """A kind that nothing asks for any more would be reported always."""
    folder = Path(_overrides.__file__).parent
    texts = "".join(path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.parent.glob("modules/*.py")])
    kinds = {"on-ceph", *re.findall(r'f"([a-z-]+):\{', texts)}
    assert set(_overrides._PLACES) <= kinds
