# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises under random use. `make soak` runs this for longer, with other seeds."""

from __future__ import annotations

import collections

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from stateful.state_machine import Maintenance

# What must have happened at least in four seeds of twelve fleets each for them to have shown anything.
LEAST = {
    "safe said": 20, "calls to force": 10, "calls to stop": 100, "calls to start": 100, "kills": 25, "takeovers": 2,
    "refusals with items": 5, "closed": 1,
}  # fmt: skip


@pytest.mark.parametrize(("seeds", "fleets"), [((1,), 3), pytest.param((1, 2, 3, 4), 12, marks=pytest.mark.long)])
def test_the_promises_hold_whatever_happens(seeds: tuple[int, ...], fleets: int) -> None:
    chosen = settings(
        max_examples=fleets, stateful_step_count=16, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    totals: collections.Counter[str] = collections.Counter()
    counted = type("Counted", (Maintenance,), {"totals": totals})
    for number in seeds:
        run_state_machine_as_test(seed(number)(counted), settings=chosen)
    print(", ".join(f"{what} {count}" for what, count in sorted(totals.items())))
    idle = {what: totals[what] for what, least in LEAST.items() if totals[what] < least * len(seeds) * fleets // 48}
    assert not idle, f"too little happened for the run to show anything: {idle}"
