# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform that works on a few stops at once, while its gateway answers 504 for those that wait their turn."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from harness.fast_clock import Desk, GiveDesk, desks

# Seconds of the platform, of which ten are one second here: two stops at once of 1 s each, a gateway of 2 s, a stop timeout of 8 s.
QUEUE = {"vms": 60, "stop_seconds": 1, "force_seconds": 0.2, "power_queue": 2, "time_scale": 0.1}
GATEWAY = {"power_mode": "gateway", "gateway_patience": 2}
ASYNCHRONOUS = {"power_mode": "early", "transitional_states": True}
TIMEOUT = {"stop_timeout": 0.8, "force_timeout": 0.8, "concurrency": 20, "lease": 60.0, "request_timeout": 4.0, "max_force_percentage": 100.0}


@pytest.fixture
def desk(tmp_path: Path) -> t.Iterator[GiveDesk]:
    yield from desks(tmp_path)


def forced(at: Desk) -> set[str]:
    return {entry.uuid for entry in at.cloud.journal.of("admin_vm_stop") if entry.params.get("force")}


def prepare(at: Desk) -> tuple[set[str], float]:
    """The VMs that were forced off, and how long it took."""
    began = time.monotonic()
    out = at.crew.prepare(force=True)
    took = time.monotonic() - began
    print(f"{len(forced(at))} forced off, rc {out.rc}, after {took:.1f} s")
    assert out.rc == 0, out.text
    return forced(at), took


@pytest.mark.parametrize("answers", [GATEWAY, ASYNCHRONOUS], ids=["gateway", "asynchronous"])
@pytest.mark.parametrize("places", [1, 2, 5])
def test_no_guest_that_obeys_is_forced_off_behind_a_queue(desk: GiveDesk, places: int, answers: dict[str, t.Any]) -> None:
    at = desk(**{**QUEUE, **answers, "power_queue": places}, **TIMEOUT)
    unneeded, took = prepare(at)
    assert unneeded == set() and at.sent("stop") == dict.fromkeys(at.running, 1)
    assert took < 60 / places * 0.1 + 6


@pytest.mark.parametrize("answers", [GATEWAY, ASYNCHRONOUS], ids=["gateway", "asynchronous"])
@pytest.mark.parametrize("hold", [6, 20], ids=["given-up-before-the-timeout", "given-up-long-after"])
def test_only_unresponsive_guests_are_forced_off_behind_a_queue(desk: GiveDesk, hold: float, answers: dict[str, t.Any]) -> None:
    at = desk(**QUEUE, **answers, **TIMEOUT, deaf=0.2, deaf_seconds=hold)
    deaf = {vm.uuid for vm in at.cloud.vms if "deaf" in vm.traits}
    assert prepare(at)[0] == deaf and len(deaf) == 12


@pytest.mark.parametrize("places", [0, 2], ids=["all-at-once", "two-at-once"])
def test_group_of_unresponsive_guests_is_forced_off_in_the_end(desk: GiveDesk, places: int) -> None:
    at = desk(**{**QUEUE, **GATEWAY, "vms": 12, "power_queue": places}, **TIMEOUT, deaf=1.0, deaf_seconds=6)
    assert prepare(at)[0] == at.running
