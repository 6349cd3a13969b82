# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises under random use. `make soak` runs this for longer, with other seeds."""

from __future__ import annotations

import collections

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.machine import Maintenance

SEEDS = (1, 2, 3, 4)
# What must have happened at least for a run to have shown anything.
LEAST = {
    "safe said": 20, "calls to force": 10, "calls to stop": 100, "calls to start": 100, "kills": 25, "takeovers": 2,
    "refusals with items": 5, "closed": 1,
}  # fmt: skip


class Counted(Maintenance):
    """The same, with counts of its own."""

    totals: collections.Counter[str] = collections.Counter()


def test_the_promises_hold_whatever_happens() -> None:
    chosen = settings(
        max_examples=12, stateful_step_count=16, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    for number in SEEDS:
        run_state_machine_as_test(seed(number)(Counted), settings=chosen)
    print(", ".join(f"{what} {count}" for what, count in sorted(Counted.totals.items())))
    idle = {what: Counted.totals[what] for what, least in LEAST.items() if Counted.totals[what] < least}
    assert not idle, f"too little happened for the run to show anything: {idle}"
