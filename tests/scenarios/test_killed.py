# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook is killed in each phase; the same command again ends in the same state."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import threading
import time
import typing as t

import pytest

from scenarios.desk import Operator, open_hosts, wait_until
from scenarios.quick import QuickOperator

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
    # What goes on is the modules' work; once it is ansible-playbook that is run again, and at once.
    quick = QuickOperator(op.cloud, op.folder)
    if moment != "stopping":
        wait_until(lambda: op.holder() is None)
    run = (op if moment == "stopping" else quick).prepare(ceph_maint_concurrency="5")
    assert run.rc == 0, run.text
    assert '"SAFE TO TAKE CEPH DOWN"' in run.text
    assert op.cloud.in_state("running") == set()
    assert op.recorded() == before
    run = quick.restore()
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
    quick = QuickOperator(op.cloud, op.folder)
    assert quick.prepare().rc == 0

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
    if how != signal.SIGINT:
        wait_until(lambda: op.holder() is None)
    run = (op if how == signal.SIGINT else quick).restore()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    assert op.phase() == ""


LEASE = 8  # seconds, which a busy machine keeps while the playbook lives
MANY = 240  # more than can be sent until a slow machine has come to the kill and the lease is over


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGKILL, id="SIGKILL", marks=pytest.mark.every_core),
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGHUP, id="SIGHUP"),
    ],
)
def test_a_killed_prepare_stops_sending_within_its_lease(platform: Platform, how: int) -> None:
    """The job on the maintenance host outlives ansible-playbook; it must end by itself."""
    op = platform(vms=MANY, time_scale=0.05)
    before = op.cloud.in_state("running")
    assert_ends_by_itself(op, "ceph_maint_prepare", "admin_vm_stop", how)
    assert op.cloud.in_state("running"), "something was left to do"
    run = QuickOperator(op.cloud, op.folder).prepare()
    assert run.rc == 0, run.text
    assert op.recorded() == before


def test_a_killed_restore_stops_sending_within_its_lease(platform: Platform) -> None:
    op = platform(vms=MANY, stop_seconds=2, start_seconds=22, time_scale=0.05)
    before, quick = op.cloud.in_state("running"), QuickOperator(op.cloud, op.folder)
    assert quick.prepare().rc == 0
    assert_ends_by_itself(op, "ceph_maint_restore", "admin_vm_start", signal.SIGTERM, ceph_maint_ceph_is_back="true")
    assert op.cloud.in_state("running") < before, "something was left to do"
    run = quick.restore()
    assert run.rc == 0, run.text
    assert (op.cloud.in_state("running"), op.phase()) == (before, "")


def assert_ends_by_itself(op: Operator, playbook: str, kind: str, how: int, **variables: str) -> None:
    """Killed amid its sending, it sends for its lease at most. The last renewal may be the one that was under way at the kill."""
    killed_at: list[float] = []
    lease = op.place / "lease"

    def sending() -> bool:
        if len(op.cloud.journal.of(kind)) < 4 or not lease.exists():
            return False
        killed_at.append(time.time())
        return True

    settings = {"ceph_maint_confirm": "true", "ceph_maint_concurrency": "2", "ceph_maint_lease": str(LEASE), **variables}
    op.killed(playbook, sending, how, **settings)
    renewals = {lease.read_text()}

    def ended() -> bool:
        renewals.add(lease.read_text())
        return op.holder() is None

    wait_until(ended)
    assert len(renewals) <= 2, "somebody still asked for the work of a run that was killed"
    last = max(entry.started for entry in op.cloud.journal.of(kind))
    # How long that look took, the machine decides; then it is the lease, and one look at it each half second.
    assert last - max(killed_at[0], lease.stat().st_mtime) <= LEASE + 1.5
    assert len(op.cloud.journal.of(kind)) < MANY, "it had ended its work before"


@contextlib.contextmanager
def first_seen(look: t.Callable[[], t.Any]) -> t.Iterator[list[t.Any]]:
    """What a look first finds while other things go on, and when."""
    found: list[t.Any] = []
    over = threading.Event()

    def watch() -> None:
        while not found and not over.wait(0.02):
            seen_now = None
            with contextlib.suppress(sqlite3.Error, KeyError):  # just being written
                seen_now = look()
            if seen_now:
                found.extend([seen_now, time.time()])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def as_user(op: Operator, name: str) -> dict[str, str]:
    # No such account is there: Ansible would make a folder of the name ~bob where the playbook lies.
    return {"USER": name, "LOGNAME": name, "ANSIBLE_REMOTE_TMP": str(op.folder / f"tmp-{name}")}


def test_a_second_operator_is_refused_and_takes_the_shift_over(platform: Platform) -> None:
    """Who, where, since when; and once the first is gone, the second goes on without another word."""
    op = platform(vms=60, time_scale=0.05)
    before, ann, bob = op.cloud.in_state("running"), f"ann on {os.uname().nodename}", f"bob on {os.uname().nodename}"
    op.extra_environment = as_user(op, "ann")
    seconds: list[t.Any] = []

    def second_comes() -> bool:
        if not seen(op, "admin_vm_stop", 6)():
            return False
        seconds.append(op.holder())
        seconds.append(op.prepare(env=as_user(op, "bob")))
        seconds.append(QuickOperator(op.cloud, op.folder).play("ceph_maint_status"))
        return True

    # Calm enough that ann is still at work when bob has come and gone, and a lease that a busy machine keeps.
    settings = {"ceph_maint_confirm": "true", "ceph_maint_concurrency": "1"}
    op.killed("ceph_maint_prepare", second_comes, ceph_maint_lease="12", **settings)
    assert op.holder() == seconds[0], "the engine lives on for its lease"
    engine, refused, status = seconds
    assert refused.rc != 0
    who = rf"{ann}, stopping VMs since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(process {engine}\)"
    assert re.search(rf"Another run is at work on this maintenance: {who}\. Nothing was changed\.", refused.text), refused.text
    assert refused.accept_argument().startswith("ceph_maint_accept=takeover:")
    assert status.rc == 0, status.text
    assert re.search(f"At work now: {who}", status.text), status.text
    with first_seen(lambda: op.ask("SELECT 1 FROM runs WHERE actor LIKE 'bob %'") and (op.holder(),)) as began:
        run = op.prepare(env=as_user(op, "bob"))
    assert run.rc == 0, run.text
    assert '"SAFE TO TAKE CEPH DOWN"' in run.text
    assert began and began[0] != (engine,), "it did not wait for the dying engine"
    assert op.ask("SELECT actor, purpose FROM runs") == [(ann, "prepare"), (bob, "prepare")]
    assert (op.recorded(), op.cloud.in_state("running")) == (before, set())
    stops = [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop")]
    assert sorted(stops) == sorted(before), "one was asked twice"


def test_a_restore_calls_off_a_living_prepare(platform: Platform) -> None:
    op = platform(vms=60, time_scale=0.05)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    ends: list[t.Any] = []

    def called_off() -> bool:
        """Never to be killed: the prepare ends by itself."""
        if ends or not seen(op, "admin_vm_stop", 6)():
            return False
        refused = QuickOperator(op.cloud, op.folder).play("ceph_maint_restore", ceph_maint_confirm="true")
        assert refused.rc != 0
        name, value = refused.accept_argument().split("=")
        with first_seen(lambda: op.ask("SELECT 1 FROM runs WHERE purpose='restore'")) as opened:
            run = op.play("ceph_maint_restore", ceph_maint_confirm="true", **{name: value})
        ends.extend([run, opened])
        return False

    settings = {"ceph_maint_confirm": "true", "ceph_maint_concurrency": "1", "ceph_maint_lease": "12"}
    prepare = op.killed("ceph_maint_prepare", called_off, may_end=True, **settings)
    run, opened = ends
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    stops = op.cloud.journal.of("admin_vm_stop")
    opening = [entry for entry in op.cloud.journal.of("host_flags") if entry.params["is_accepting_workloads"] == "1"]
    first = min(entry.number for entry in [*opening, *op.cloud.journal.of("admin_vm_start")])
    assert opening and stops[-1].number < first, "a stop was sent after the restore had begun to bring things back"
    assert len([entry for entry in stops if entry.started > opened[1]]) <= 1, "more than the stop that was being sent"
    assert prepare.rc != 0
    assert "Another run has taken over the maintenance: " in prepare.text, prepare.text
    assert "(restore, since " in prepare.text
    assert "This run sends nothing more" in prepare.text
