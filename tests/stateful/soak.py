# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The random tests for as long as wanted, each round with a seed of its own: python soak.py MINUTES [SEED ...]

Says the seeds and what happened in them. A round that fails prints the shrunk steps, and the seed that finds them again.
"""

from __future__ import annotations

import random
import sys
import time

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from stateful.state_machine import Maintenance

ROUND = 40  # fleets in a round


def main(minutes: float, seeds: list[int]) -> int:
    end, rounds, failed = time.monotonic() + minutes * 60, [], []
    while seeds or time.monotonic() < end:
        number = seeds.pop(0) if seeds else random.SystemRandom().randrange(10**9)
        rounds.append(number)
        chosen = settings(
            max_examples=ROUND, stateful_step_count=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        try:
            run_state_machine_as_test(seed(number)(Maintenance), settings=chosen)
        except Exception:
            failed.append(number)
            sys.excepthook(*sys.exc_info())
        print(f"seed {number}: {'FAILED' if number in failed else 'passed'}", flush=True)
    print(f"{len(rounds)} rounds, seeds: {' '.join(map(str, rounds))}")
    print(", ".join(f"{what} {count}" for what, count in sorted(Maintenance.totals.items())))
    print(f"{len(rounds) - len(failed)} passed, {len(failed)} failed {failed or ''}".strip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), [int(word) for word in sys.argv[2:]]))
