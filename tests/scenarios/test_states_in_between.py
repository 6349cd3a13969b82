# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are neither running nor stopped: asynchronous power calls, a VM that is stuck, one that is paused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from harness.fast_clock import NOT_SAFE, STOP_TIMEOUT, Desk, GiveDesk, desks

ONE = "vm-0"
ASYNCHRONOUS = {"power_mode": "early", "transitional_states": True}
GROUPS = [{"name": "databases", "query": "[?user_id==`8`]"}]


@pytest.fixture
def desk(tmp_path: Path) -> t.Iterator[GiveDesk]:
    yield from desks(tmp_path)


def down_before(at: Desk, first: set[str], second: set[str]) -> bool:
    """Whether all VMs of the first set were stopped before any of the second was asked to stop."""
    by_correlation = [event for event in at.cloud.events if event.state == "stopped"]
    last_down = max(event.time for event in by_correlation if event.uuid in first)
    return all(asked > last_down for uuid, asked in at.asked_at("stop").items() if uuid in second)


def test_asynchronous_platform_is_safe_only_when_all_are_down(desk: GiveDesk) -> None:
    at = desk(**ASYNCHRONOUS, stop_seconds=30)
    out = at.crew.prepare()
    assert (out.rc, at.outcomes("stop")) == (0, {("clean", None): at.running})
    assert at.sent("stop") == dict.fromkeys(at.running, 1)
    out = at.crew.restore()
    assert (out.rc, at.cloud.in_state("running")) == (0, at.running)
    assert at.sent("start") == dict.fromkeys(at.running, 1)


def test_group_waits_until_the_former_group_is_stopped(desk: GiveDesk) -> None:
    """On an asynchronous platform a VM leaves the list of running VMs long before it is down."""
    at = desk(**ASYNCHRONOUS, stop_seconds=40, groups=GROUPS)
    databases = {vm.uuid for vm in at.cloud.vms if vm.owner == 8}
    assert at.crew.prepare().rc == 0
    assert down_before(at, at.running - databases, databases)


def test_vm_stuck_in_stopping_times_out_and_can_be_forced_off(desk: GiveDesk) -> None:
    at = desk(stuck=[ONE])
    out = at.crew.prepare()
    assert (out.rc, out.headline) == (2, NOT_SAFE), out.text
    error = f"not done {STOP_TIMEOUT:g} s after its graceful stop was taken; it is stopping"
    assert at.one("stop", ONE) == ("would_not_stop", error)
    assert any("-e ceph_maint_force=true" in line for line in out.lines), out.text
    out = at.crew.prepare(force=True)
    assert (out.rc, at.one("stop", ONE)[0], at.cloud.in_state("stopped")) == (0, "forced", at.running), out.text


def test_vm_that_is_paused_during_prepare_gets_its_stop(desk: GiveDesk) -> None:
    at = desk()
    at.cloud.schedule("state", when="admin_vm_stop", vm=ONE, state="paused")
    at.crew.concurrency = 1
    out = at.crew.prepare()
    assert (out.rc, at.one("stop", ONE)[0]) == (0, "clean"), out.text
    assert at.sent("stop")[at.uuid(ONE)] == 1


def test_vm_that_is_paused_before_the_first_stop_gets_its_stop(desk: GiveDesk) -> None:
    """It was recorded as running, and the record is resumed by a second run."""
    at = desk(deaf=[ONE])
    assert at.crew.prepare().rc == 2
    at.act("state", vm=ONE, state="paused")
    at.act("trait", vm=ONE, trait="deaf", on=False)
    out = at.crew.prepare()
    assert (out.rc, at.one("stop", ONE)[0]) == (0, "clean"), out.text


def test_paused_vm_that_does_not_obey_is_forced_off_with_permission(desk: GiveDesk) -> None:
    at = desk(deaf=[ONE])
    assert at.crew.prepare().rc == 2
    at.act("state", vm=ONE, state="paused")
    out = at.crew.prepare(force=True)
    assert (out.rc, at.one("stop", ONE)[0]) == (0, "forced"), out.text


def test_vm_that_pauses_after_its_stop_call_is_named_with_its_state(desk: GiveDesk) -> None:
    at = desk(deaf=[ONE])
    at.cloud.schedule("state", when="admin_vm_stop", match={"uuid": at.uuid(ONE)}, vm=ONE, state="paused")
    out = at.crew.prepare()
    assert (out.rc, out.headline) == (2, NOT_SAFE)
    assert "; it is paused" in at.one("stop", ONE)[1]
    assert at.sent("stop")[at.uuid(ONE)] == 1


@pytest.mark.parametrize("refuses", [True, False], ids=["busy-refuses", "busy-joins"])
def test_no_second_start_is_sent_while_a_vm_is_starting(desk: GiveDesk, refuses: bool) -> None:
    at = desk(**ASYNCHRONOUS, stop_seconds=5, start_seconds=60, busy_refuses=refuses)
    assert at.crew.prepare().rc == 0
    out = at.crew.restore()
    assert (out.rc, at.sent("start")) == (0, dict.fromkeys(at.running, 1)), out.text


def test_vm_stuck_in_starting_fails_after_its_time_and_is_named(desk: GiveDesk) -> None:
    at = desk(stuck=[ONE], stuck_actions=["start"], start_retries=0)
    assert at.crew.prepare().rc == 0
    out = at.crew.restore()
    assert (out.rc, at.sent("start")) == (2, dict.fromkeys(at.running, 1)), out.text
    outcome, error = at.one("start", ONE)
    assert outcome == "failed" and error.startswith(f"not done {STOP_TIMEOUT:g} s after its start was taken")


def test_start_that_ends_in_another_state_is_retried_and_named(desk: GiveDesk) -> None:
    at = desk(fail_start=[ONE], fail_start_status=200)
    assert at.crew.prepare().rc == 0
    assert at.crew.restore().rc == 2
    assert at.sent("start")[at.uuid(ONE)] >= 3
    assert at.one("start", ONE)[1] == "the platform answered the start with state stopped"
