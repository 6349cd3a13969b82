# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook is killed in each phase; the same command again ends in the same state."""

from __future__ import annotations

import signal
import time
import typing as t

import pytest

from scenarios.desk import Operator, open_hosts, wait_until

Platform = t.Callable[..., Operator]
# The long proof gives room to kill in it.
SLOW_PROOF = {"ceph_maint_proof_interval": "2"}


def seen(op: Operator, kind: str, count: int) -> t.Callable[[], bool]:
    return lambda: len(op.cloud.journal.of(kind)) >= count


@pytest.mark.parametrize(
    ("moment", "kind", "count"),
    [
        ("closing the hosts", "host_flags", 2),
        ("recording", "vm_all", 3),
        ("stopping", "admin_vm_stop", 4),
        ("proving", "vm_all", 9),
    ],
)
def test_prepare_killed(platform: Platform, moment: str, kind: str, count: int) -> None:
    op = platform(vms=12, running=10, hosts=4, closed_hosts=1, time_scale=0.05, list_seconds=2.0)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    op.killed("ceph_maint_prepare", seen(op, kind, count), ceph_maint_confirm="true", ceph_maint_concurrency="2", **SLOW_PROOF)
    run = op.prepare(ceph_maint_concurrency="5")
    assert run.rc == 0, run.text
    assert '"SAFE TO TAKE CEPH DOWN"' in run.text
    assert op.cloud.in_state("running") == set()
    assert op.recorded() == before
    run = op.restore()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts


@pytest.mark.parametrize(
    ("moment", "kind", "count", "how"),
    [
        ("opening the hosts", "host_flags", 4, signal.SIGKILL),
        ("starting", "admin_vm_start", 3, signal.SIGKILL),
        ("starting", "admin_vm_start", 3, signal.SIGINT),
        ("verifying", "vm_all", 1, signal.SIGKILL),
    ],
)
def test_restore_killed(platform: Platform, moment: str, kind: str, count: int, how: int) -> None:
    op = platform(vms=12, running=10, hosts=4, closed_hosts=1, time_scale=0.05, list_seconds=2.0)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert op.prepare().rc == 0

    def moment_has_come() -> bool:
        if moment == "verifying":
            return op.cloud.in_state("running") == before
        return seen(op, kind, count)()

    op.killed(
        "ceph_maint_restore",
        moment_has_come,
        how,
        ceph_maint_confirm="true",
        ceph_maint_ceph_is_back="true",
        ceph_maint_concurrency="2",
        ceph_maint_verify_hold="3",
    )
    run = op.restore()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    assert op.phase() == ""


@pytest.mark.every_core
def test_a_killed_run_stops_sending_within_its_lease(platform: Platform) -> None:
    """The job on the maintenance host outlives ansible-playbook; it must end by itself."""
    op = platform(vms=60, time_scale=0.05)
    op.killed("ceph_maint_prepare", seen(op, "admin_vm_stop", 4), ceph_maint_confirm="true", ceph_maint_concurrency="2", ceph_maint_lease="3")
    killed_at = time.monotonic()
    before = op.cloud.in_state("running")
    holder = op.place / "lock"
    wait_until(lambda: _free(holder), limit=20)
    ended_after = time.monotonic() - killed_at
    sent = len(op.cloud.journal.power())
    assert sent < 60, "it was still at work when it was killed"
    # Lease 3 s, one look at it a half second, and the calls that were open: 22 s at the scale of the platform.
    assert ended_after < 3 + 1 + 2 * 22 * 0.05 + 3
    assert before, "something was left to do"
    run = op.prepare()
    assert run.rc == 0, run.text
    assert len(op.recorded()) == 60


def test_a_second_operator_is_refused_with_who_and_since_when(platform: Platform) -> None:
    op = platform(vms=60, time_scale=0.05)
    seconds: list[t.Any] = []

    def second_comes() -> bool:
        if not seen(op, "admin_vm_stop", 6)():
            return False
        seconds.append(op.prepare(ceph_maint_concurrency="2"))
        seconds.append(op.play("ceph_maint_status"))
        return True

    op.killed("ceph_maint_prepare", second_comes, ceph_maint_confirm="true", ceph_maint_concurrency="1", ceph_maint_lease="12")
    refused, status = seconds
    assert refused.rc != 0
    assert "Another run is at work on this maintenance" in refused.text
    assert "stopping VMs since 2" in refused.text
    assert refused.accept_argument().startswith("ceph_maint_accept=takeover:")
    assert status.rc == 0, status.text
    assert "At work now:" in status.text
    assert "stopping VMs since" in status.text


def test_a_restore_calls_off_a_living_prepare(platform: Platform) -> None:
    op = platform(vms=60, time_scale=0.05)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    ends: list[t.Any] = []

    def called_off() -> bool:
        if not seen(op, "admin_vm_stop", 6)():
            return False
        refused = op.play("ceph_maint_restore", ceph_maint_confirm="true")
        assert refused.rc != 0
        name, value = refused.accept_argument().split("=")
        ends.append(op.play("ceph_maint_restore", ceph_maint_confirm="true", **{name: value}))
        return True

    op.killed("ceph_maint_prepare", called_off, may_end=True, ceph_maint_confirm="true", ceph_maint_concurrency="1", ceph_maint_lease="12")
    (run,) = ends
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    assert len(op.cloud.journal.of("admin_vm_stop")) < 60


def _free(path: t.Any) -> bool:
    import fcntl

    with open(path, "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
