# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often long work is told of."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.plugin_utils.leased_job import between_lines


def lines(seconds):
    shown, count = 0.0, 0
    while shown + between_lines(shown) <= seconds:
        shown, count = shown + between_lines(shown), count + 1
    return count


@pytest.mark.parametrize(("seconds", "most"), [(4, 0), (60, 12), (600, 60), (2 * 3600, 170), (24 * 3600, 1500)])
def test_an_hour_of_work_fills_no_screen_after_screen(seconds, most):
    assert most * 2 / 3 <= lines(seconds) <= most


def test_nobody_waits_longer_than_a_minute_for_a_sign():
    assert max(between_lines(passed) for passed in range(0, 10000, 7)) == 60
