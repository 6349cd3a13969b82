# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ansible-playbook processes, killed at random moments: at a request, or at a write of the record; all of it or its job only.

What is run again goes on with what they left, and is the modules' work alone.

PILW_TEST_KILLED_MINUTES: goes on with new seeds for so long (make soak). Otherwise the same seed each time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
import typing as t
from pathlib import Path

import pytest

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, open_hosts, wait_until

Platform = t.Callable[..., Operator]
MINUTES = float(os.environ.get("PILW_TEST_KILLED_MINUTES", "0"))
FIXED = (2,)  # only the job is killed, in the prepare and in the restore


def moment(op: Operator, chance: random.Random) -> tuple[str, t.Callable[[], bool]]:
    """When to kill: after so many more requests, or so many more events of the record."""
    if chance.random() < 0.5:
        until = len(op.cloud.journal) + chance.randint(1, 45)
        return f"request {until}", lambda: len(op.cloud.journal) >= until
    rows = op.ask("SELECT count(*) FROM events")
    until = (rows[0][0] if rows else 0) + chance.randint(1, 45)

    def reached() -> bool:
        now = op.ask("SELECT count(*) FROM events")
        return bool(now) and now[0][0] >= until

    return f"event {until}", reached


def killed_somewhere(op: Operator, playbook: str, chance: random.Random, **variables: str) -> str:
    """Run a playbook and kill it, or with it or instead of it the job that does its work."""
    name, when = moment(op, chance)
    whom = chance.choice(["all", "playbook", "job"])
    job: list[int] = []

    def now() -> bool:
        if not when():
            return False
        found = op.holder()
        if found and whom in ("all", "job"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)
                job.append(found)
        return whom != "job"

    run = op.killed(playbook, now, chance.choice([signal.SIGKILL, signal.SIGINT]), may_end=True, ceph_maint_confirm="true", **variables)
    return f"{playbook} {whom} at {name} (rc {run.rc})"


def run_until_it_goes(play: t.Callable[[], t.Any]) -> t.Any:
    """The same command again, as the documentation says: a job that was left behind may need its lease to end."""
    for _attempt in range(3):
        run = play()
        if run.rc == 0:
            return run
    return run


def maintenance(platform: Platform, seed: int) -> None:
    chance = random.Random(seed)
    op = platform(
        seed=seed, vms=12, running=chance.randint(6, 12), hosts=4, closed_hosts=chance.randint(0, 2), time_scale=0.02,
        list_seconds=2.0, deaf=chance.choice([0, 0, 1]), locked=chance.choice([0, 2]), locked_seconds=20.0,
    )  # fmt: skip
    before, hosts, quick = op.cloud.in_state("running"), open_hosts(op.cloud), QuickOperator(op.cloud, op.folder)
    told = [f"seed {seed}"]
    fast = {"ceph_maint_concurrency": "3", "ceph_maint_lease": "4"}
    told.append(killed_somewhere(op, "ceph_maint_prepare", chance, ceph_maint_force="true", **fast))
    recorded = op.recorded()
    if chance.random() < 0.7:
        run = run_until_it_goes(lambda: quick.prepare(ceph_maint_force="true", **fast))
        assert run.rc == 0, f"{told}\n{run.text}"
        assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text and op.cloud.in_state("running") == set(), told
        assert op.recorded() == before, told
    told.append(killed_somewhere(op, "ceph_maint_restore", chance, ceph_maint_ceph_is_back="true", **fast))
    assert recorded <= op.recorded() or op.phase() in ("", "done"), f"{told}: lost from the record"
    wait_until(lambda: op.holder() is None, limit=60)
    if op.phase() not in ("", "done"):
        run = run_until_it_goes(lambda: quick.restore(**fast))
        assert run.rc == 0, f"{told}\n{run.text}"
    assert op.cloud.in_state("running") == before, told
    assert open_hosts(op.cloud) == hosts, told
    assert {entry.uuid for entry in op.cloud.journal.power()} <= before, told
    assert op.cloud.journal.max_open_power <= 3, told


@pytest.mark.skipif(MINUTES > 0, reason="chosen seeds are for the short run")
@pytest.mark.parametrize("seed", FIXED)
def test_killed_anywhere_it_goes_on(platform: Platform, seed: int) -> None:
    maintenance(platform, seed)


if MINUTES > 0:

    def test_killed_anywhere_for_long(platform: Platform, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
        end, first, count = time.monotonic() + MINUTES * 60, random.SystemRandom().randrange(10**6), 0
        for seed in itertools.count(first):
            maintenance(platform, seed)
            count += 1
            (tmp_path / "records").rename(tmp_path / f"records-{seed}")
            if time.monotonic() > end:
                break
        print(f"{count} maintenances, each killed twice, seeds {first} to {first + count - 1}")
