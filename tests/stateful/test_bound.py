# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slowest platform that is still put up with: what the plan prints as its bound must be enough for it."""

from __future__ import annotations

import typing as t
from concurrent.futures import Executor
from pathlib import Path
from tempfile import TemporaryDirectory

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import POWER_TIMEOUT
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError
from ansible_collections.pilw.maintenance.plugins.module_utils._power.batch import OUTAGE_LIMIT, group_seconds
from stateful.invariants import Watcher
from stateful.platform_model import Call, Host, Vm, World
from stateful.state_machine import FAST_DISK, HOST, Operator, _Jobs
from stateful.virtual_time import Process, Virtual

ROUNDS = 3  # of the prepare
BUSY_FOR = 2 * Operator.SETTINGS["stop_timeout"] - 65  # less than a pause between two tries
AWAY_FOR = OUTAGE_LIMIT - 15


class SlowWorld(World):
    """Each stop: busy until just before it is given up, then a call that hangs, then an outage that is just borne.

    The guest obeys only then; and as long as there is a round left, it comes up again while the proof is made.
    """

    first_asked: float | None = None
    obeyed = 0

    def _answer(self, call: Call, method: str, path: str, timeout: float) -> t.Any:
        if call.action != "stop":
            return super()._answer(call, method, path, timeout)
        if self.first_asked is None:
            self.first_asked = self.time.now
        if self.time.now - self.first_asked < BUSY_FOR:
            self.time.sleep(0.2)
            raise ApiError(method, path, status=409, detail="Server is locked")
        self.first_asked = None
        self.time.later(timeout + 5.0, lambda: setattr(self, "away_until", self.time.now + AWAY_FOR))
        self.time.later(timeout + 5.0 + AWAY_FOR, lambda: self._obeys(self.vms[call.uuid]))
        self.time.sleep(timeout)
        raise ApiError(method, path, detail=f"nothing came within {timeout:g} s", timed_out=True)

    def _obeys(self, vm: Vm) -> None:
        self.becomes(vm, "stopped")
        vm.down_since = self.time.now
        self.obeyed += 1
        if self.obeyed < ROUNDS:
            self.time.later(25.0, lambda: self.owner_starts(vm.uuid))


def test_the_bound_of_the_plan_is_enough_for_the_slowest_platform() -> None:
    with TemporaryDirectory(prefix="pilw-", dir=FAST_DISK) as folder:
        slow_prepare(Path(folder))


def slow_prepare(folder: Path) -> None:
    time = Virtual()
    world = SlowWorld(time, vms={"vm-0": Vm("vm-0", "7", "running")}, hosts={"host-0": Host("host-0", True)})
    crew = Operator(folder, HOST, "key", concurrency=1)
    crew.jobs_of_all = jobs = _Jobs(time)
    crew.jobs = lambda: t.cast(Executor, jobs)
    watcher, process = Watcher(time, world, folder / "records" / HOST, crew.settings), Process("ansible-playbook")
    with watcher.watching():
        future = time.start(process, crew.prepare)
        time.run(future.done)
        outcome = future.result()
        assert outcome.safe, outcome.text
        assert world.obeyed == ROUNDS
        took = [seconds for _whose, _count, seconds in watcher.engine_took]
        bound = group_seconds(1, 1, crew.settings["stop_timeout"], POWER_TIMEOUT)
        assert min(took) > 0.7 * bound, f"{took}: not slow enough to try the bound of {bound}"
        watcher.planned(process, outcome, time.now - outcome.results["plan"]["shown_at"])
        watcher.after()
