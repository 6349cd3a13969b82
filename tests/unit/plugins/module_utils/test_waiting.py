# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a call comes back from a wait, and with which words."""

from __future__ import annotations

import math

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import StillWaiting
from ansible_collections.pilw.maintenance.plugins.module_utils._waiting import Patience, of


def test_it_comes_back_when_its_piece_is_over_and_says_how_long_all_has_lasted():
    now = [1000.0]
    patience = Patience(45.0, 15.0, lambda: now[0])
    now[0] += 14.9
    patience.check(1800, "no answer")
    now[0] += 0.1
    assert patience.passed == pytest.approx(60)
    with pytest.raises(StillWaiting) as told:
        patience.check(1800, "no answer", run="t0k")
    assert told.value.facts() == {"waiting": "After 60 of at most 1800 s: no answer", "carried": {"run": "t0k"}}


def test_without_a_piece_it_waits_to_the_end():
    now = [0.0]
    patience = Patience(clock=lambda: now[0])
    now[0] = 1e6
    patience.check(1, "no answer")
    assert patience.left == math.inf
    assert of({"_wait": {"waited": 3.0}}).waited == 3.0
