# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated platform with states in between, asynchronous power calls and a queue."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import pytest
import requests

from simulator.backends.base import Vm
from simulator.server import Cloud


def power(cloud: Cloud, vm: Vm, word: str = "stop", **more: str) -> requests.Response:
    url = f"{cloud.url}/v1/user-resource/admin/vm/{word}"
    return requests.post(url, headers={"apikey": cloud.key}, data={"uuid": vm.uuid, **more}, timeout=20)


def states(cloud: Cloud) -> list[str]:
    return [vm.state for vm in cloud.vms]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("mode", ["blocking", "early"])
@pytest.mark.parametrize(("word", "between", "end"), [("stop", "stopping", "stopped"), ("start", "starting", "running")])
def test_vm_shows_the_state_in_between(mode: str, word: str, between: str, end: str) -> None:
    options = {"running": int(word == "stop"), "stop_seconds": 0.5, "start_seconds": 0.5}
    with Cloud(vms=1, power_mode=mode, transitional_states=True, **options) as cloud, ThreadPoolExecutor(1) as pool:
        call = pool.submit(power, cloud, cloud.vms[0], word)
        until(lambda: states(cloud) == [between])
        assert call.result().json()["status"] == (between if mode == "early" else end)
        until(lambda: states(cloud) == [end])


def test_deaf_vm_runs_again_once_its_stop_is_given_up() -> None:
    with Cloud(vms=1, deaf=1, deaf_seconds=0.2, transitional_states=True) as cloud:
        assert power(cloud, cloud.vms[0]).json()["status"] == "running"


def test_failed_start_leaves_the_vm_stopped() -> None:
    with Cloud(vms=1, fail_start=1, stop_seconds=0.1, start_seconds=0.1, transitional_states=True) as cloud:
        power(cloud, cloud.vms[0])
        assert power(cloud, cloud.vms[0], "start").status_code == 500
        assert states(cloud) == ["stopped"]


def test_stuck_vm_stays_in_stopping_until_it_is_forced_off() -> None:
    with Cloud(vms=1, stuck=1, force_seconds=0) as cloud:
        assert power(cloud, cloud.vms[0]).json()["status"] == "stopping"
        assert power(cloud, cloud.vms[0]).json()["status"] == "stopping"
        assert power(cloud, cloud.vms[0], force="True").json()["status"] == "stopped"


def test_vm_goes_to_paused_when_a_request_arrives() -> None:
    with Cloud(vms=2, stop_seconds=0.1) as cloud:
        cloud.schedule("state", when="admin_vm_stop", vm=1, state="paused")
        power(cloud, cloud.vms[0])
        assert cloud.vms[1].state == "paused"


def test_queue_works_on_two_calls_at_once_in_order() -> None:
    with Cloud(vms=6, stop_seconds=0.4, power_queue=2, power_mode="gateway", gateway_patience=0.6) as cloud:
        with ThreadPoolExecutor(6) as pool:
            calls = []
            for vm in cloud.vms:
                calls.append(pool.submit(power, cloud, vm))
                until(lambda: len(cloud.journal.power()) == len(calls))
            assert [call.result().status_code for call in calls] == [200, 200, 504, 504, 504, 504]
        until(lambda: states(cloud) == ["stopped"] * 6)
        order = [event.uuid for event in cloud.events]
        assert [set(order[at : at + 2]) for at in (0, 2, 4)] == [{vm.uuid for vm in cloud.vms[at : at + 2]} for at in (0, 2, 4)]
