# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform that refuses calls: who has to wait for it, and how often it is asked."""

from __future__ import annotations

import random
import typing as t
from collections import Counter

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Vm, VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError
from ansible_collections.pilw.maintenance.plugins.module_utils._power import engine as _engine
from stateful.virtual_time import Process, Virtual

STOP, REFUSAL, LIST, DETAIL = 22.0, 0.05, 0.5, 0.05  # seconds that they take
HOUR = 3600.0
STATUS = pytest.mark.parametrize("status", [429, 503])


class Refusing:
    """A platform. C(refuses): whether it does so for a call to that VM, C(seconds) that it takes for that.

    C(obeys): the VM goes down all the same, so many seconds later. C(down): when each went down.
    """

    def __init__(
        self, time: Virtual, vms: int, refuses: t.Callable[[str], bool], status: int, seconds: float, list_seconds: float, obeys: float | None,
    ) -> None:
        self.time, self.refuses, self.status, self.seconds, self.list_seconds, self.obeys = time, refuses, status, seconds, list_seconds, obeys
        self.names = [f"vm-{number:04}" for number in range(vms)]
        self.up = set(self.names)
        self.calls: list[tuple[float, str]] = []
        self.down: dict[str, float] = {}
        self.outcomes: Counter[str] = Counter()

    def power(self, uuid: str, action: str, force: bool = False) -> str:
        self.calls.append((self.time.now, uuid))
        if self.refuses(uuid):
            self.time.sleep(self.seconds)
            if self.obeys is not None:
                self.time.later(self.obeys, lambda: self.up.discard(uuid))
            raise ApiError("POST", "/stop", status=self.status, detail="too much")
        self.time.sleep(STOP)
        self.up.discard(uuid)
        self.down[uuid] = self.time.now
        return "stopped"

    def _vm(self, uuid: str) -> Vm:
        return t.cast("Vm", parse_vm({"uuid": uuid, "status": "running" if uuid in self.up else "stopped"}))

    def vm_now(self, uuid: str) -> Vm:
        shown = self._vm(uuid)
        self.time.sleep(DETAIL)
        return shown

    def vms_now(self) -> VmList:
        shown = {uuid: self._vm(uuid) for uuid in self.names}
        self.time.sleep(self.list_seconds)
        return VmList(shown)

    def running_vms_now(self) -> VmList:
        shown = {uuid: self._vm(uuid) for uuid in self.up}
        self.time.sleep(self.list_seconds)
        return VmList(shown)


def stop_all(
    monkeypatch: pytest.MonkeyPatch, vms: int, at_once: int, refuses: t.Callable[[str], bool], status: int,
    timeout: float = 600.0, seconds: float = REFUSAL, list_seconds: float = LIST, obeys: float | None = None,
) -> Refusing:
    """All VMs of it, by one engine."""
    time = Virtual()
    monkeypatch.setattr(_clock, "pace", time)
    platform = Refusing(time, vms, refuses, status, seconds, list_seconds, obeys)
    orders = _engine.Orders(start=False, concurrency=at_once, timeout=timeout)
    engine = _engine.Engine(t.cast("t.Any", platform), orders, _engine.Journal())
    wave = _engine.Wave("all", [_engine.Target(uuid, uuid) for uuid in sorted(platform.up)])
    future = time.start(Process("ansible-playbook"), lambda: engine.run([wave]))
    time.run(future.done)
    assert future.result().ended is None
    platform.outcomes = Counter(outcome for outcome, _error in future.result().outcomes.values())
    return platform


@STATUS
@pytest.mark.parametrize(("vms", "at_once", "refused"), [(300, 20, 5), (300, 20, 20), (300, 20, 40), (400, 64, 64), (400, 64, 100)])
def test_vms_that_are_always_refused_hold_nobody_up(status: int, vms: int, at_once: int, refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a hypervisor that is dead, or of an owner with a limit of his own."""
    bad = {f"vm-{number:04}" for number in random.Random(2).sample(range(vms), refused)}
    platform = stop_all(monkeypatch, vms, at_once, bad.__contains__, status)
    assert set(platform.down) == {f"vm-{number:04}" for number in range(vms)} - bad
    assert max(platform.down.values()) < 2.5 * (vms / at_once + 1) * STOP


@pytest.mark.parametrize("seconds", [REFUSAL, 5.0, STOP])
@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.parametrize("bad", [3, 20, 60])
def test_vms_that_are_always_busy_or_unclear_hold_nobody_up(bad: int, status: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a hypervisor that is sick, or locked by a backup. They are the first, and each may keep its place for long."""
    platform = stop_all(monkeypatch, 300, 20, lambda uuid: uuid < f"vm-{bad:04}", status, seconds=seconds)
    assert set(platform.down) == {f"vm-{number:04}" for number in range(bad, 300)}
    assert max(platform.down.values()) < 2.5 * (300 / 20 + 1) * STOP


@STATUS
def test_refusals_by_chance_take_no_time(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(1)
    platform = stop_all(monkeypatch, 600, 64, lambda uuid: source.random() < 0.3, status)
    assert len(platform.down) == 600
    assert max(platform.down.values()) < 1.2 * 600 / 64 * STOP
    assert len(platform.calls) < 1.1 * 600 / 0.7


@STATUS
@pytest.mark.parametrize(("at_once", "first_minute", "a_minute"), [(64, 120, 8), (20, 35, 2), (1, 10, 1)])
def test_a_platform_that_refuses_all_is_hardly_asked(status: int, at_once: int, first_minute: int, a_minute: int, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = stop_all(monkeypatch, 100, at_once, lambda uuid: True, status, timeout=HOUR / 2)
    minutes = Counter(int(moment // 60) for moment, _uuid in platform.calls)
    later = sum(minutes[minute] for minute in range(5, 30))
    assert 0 < minutes[0] <= first_minute
    assert 0 < later <= 1.1 * 25 * a_minute


@pytest.mark.parametrize("seconds", [REFUSAL, STOP])
@pytest.mark.parametrize("minutes", [2, 4])
@pytest.mark.parametrize("vms", [5, 60, 400])
@pytest.mark.parametrize("taken", [0.0, 0.1])
def test_a_platform_that_is_ill_for_minutes_uses_nobody_up(
    vms: int, minutes: int, seconds: float, taken: float, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gives lists, and answers most calls with 500. Each VM has three tries only, after which its power may be cut."""
    source = random.Random(3)
    platform = stop_all(
        monkeypatch, vms, 20, lambda uuid: _clock.monotonic() < 60 * minutes and source.random() >= taken, 500, seconds=seconds,
    )
    assert platform.outcomes == {"clean": vms}
    assert len(platform.calls) <= 3 * vms
    assert max(platform.down.values()) < 60 * minutes + 300 + 1.3 * (vms / 20 + 1) * STOP


@pytest.mark.parametrize("later", [0.0, 20.0])
@pytest.mark.parametrize("seconds", [REFUSAL, STOP])
def test_a_platform_that_obeys_and_says_otherwise_takes_no_time(seconds: float, later: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is answered with 500, and each VM goes down."""
    platform = stop_all(monkeypatch, 600, 64, lambda uuid: True, 500, seconds=seconds, obeys=later)
    assert platform.outcomes == {"clean": 600}
    assert max(moment for moment, _uuid in platform.calls) < 1.5 * (600 / 64 + 1) * (STOP + later)
    assert len(platform.calls) <= 2 * 600


def test_a_vm_that_went_down_late_is_looked_at_however_slow_lists_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a list of 110 s the next is due 1,100 s after its begin: here not before the time of the group is over."""
    platform = stop_all(monkeypatch, 20, 20, lambda uuid: uuid == "vm-0000" and _clock.monotonic() < 1150, 429, list_seconds=110.0)
    assert 1150 < platform.down["vm-0000"] < 1300
    assert platform.outcomes == {"clean": 20}
