# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises under random use. `make soak` runs this for longer, with other seeds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.machine import Maintenance


def test_the_promises_hold_whatever_happens() -> None:
    chosen = settings(
        max_examples=60, stateful_step_count=12, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Maintenance, settings=chosen)
