# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises under random use. `make soak` runs this for longer, with other seeds."""

from __future__ import annotations

import collections

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.machine import Maintenance

# What must have happened at least for a run to have shown anything.
LEAST = {
    "safe said": 20, "calls to force": 20, "calls to stop": 300, "calls to start": 200, "kills": 50, "takeovers": 3,
    "refusals with items": 5, "ends without some": 3, "closed": 3,
}  # fmt: skip


def test_the_promises_hold_whatever_happens() -> None:
    class Counted(Maintenance):
        totals: collections.Counter[str] = collections.Counter()

    chosen = settings(
        max_examples=80, stateful_step_count=12, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Counted, settings=chosen)
    print(dict(Counted.totals))
    idle = {what: Counted.totals[what] for what, least in LEAST.items() if Counted.totals[what] < least}
    assert not idle, f"too little happened for the run to show anything: {idle}"
