# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan shows of reasons against it."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.module_utils._operations.plan import refused_lines


def test_reasons_are_numbered():
    assert refused_lines(["no disk", "no host"]) == ["Refused, because:", "  1. no disk", "  2. no host"]


def test_of_very_many_reasons_a_screen_is_shown_and_the_others_are_counted():
    lines = refused_lines([f"VM {number} is odd" for number in range(500)])
    assert len(lines) == 42
    assert lines[40] == "  40. VM 39 is odd"
    assert lines[41] == "  and 460 more reasons; -e ceph_maint_plan_file=/path/plan.json has all of them"
