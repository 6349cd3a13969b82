# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook is killed at its work: that ends by itself, and the same command again, or another operator, goes on.

Killed at any other moment: test_kill_each_phase.py.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import sqlite3
import threading
import time
import typing as t

import pytest

from harness import in_process as crew
from harness.in_process_operator import QuickOperator
from harness.operator import Operator, open_hosts, wait_until

Platform = t.Callable[..., Operator]


def seen(op: Operator, kind: str, count: int) -> t.Callable[[], bool]:
    return lambda: len(op.cloud.journal.of(kind)) >= count


LEASE = 5  # seconds, which a busy machine keeps while the playbook lives
MANY = 60  # more than can be sent until a slow machine has come to the kill and the lease is over


@pytest.mark.smoke
def test_an_interrupted_prepare_stops_sending_within_its_lease(platform: Platform) -> None:
    """By Ctrl-C; SIGTERM is what a cancelled job gets: test_runner.py."""
    op = platform(vms=MANY, time_scale=0.05)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_ends_by_itself(op, "ceph_maint_prepare", "admin_vm_stop", signal.SIGINT)
    assert op.cloud.in_state("running"), "something was left to do"
    run = op.prepare()
    assert run.rc == 0, run.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text
    assert (op.recorded(), op.cloud.in_state("running")) == (before, set())
    run = QuickOperator(op.cloud, op.folder).restore()
    assert run.rc == 0, run.text
    assert (op.cloud.in_state("running"), open_hosts(op.cloud)) == (before, hosts)


@pytest.mark.edge_cores
def test_a_killed_restore_stops_sending_within_its_lease(platform: Platform) -> None:
    """The job on the maintenance host outlives ansible-playbook; it must end by itself."""
    op = platform(vms=MANY, stop_seconds=2, start_seconds=22, time_scale=0.05)
    before, hosts, quick = op.cloud.in_state("running"), open_hosts(op.cloud), QuickOperator(op.cloud, op.folder)
    assert quick.prepare().rc == 0
    assert_ends_by_itself(op, "ceph_maint_restore", "admin_vm_start", signal.SIGKILL, ceph_maint_ceph_is_back="true")
    assert op.cloud.in_state("running") < before, "something was left to do"
    run = quick.restore()
    assert run.rc == 0, run.text
    assert (op.cloud.in_state("running"), open_hosts(op.cloud), op.phase()) == (before, hosts, "")


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


def crew_of(op: Operator, actor: str, **settings: t.Any) -> crew.Crew:
    """An operator by name, whose modules run in this process."""
    return crew.Crew(op.folder, op.cloud.url, op.cloud.key, actor=actor, **{**crew.Crew.FAST, "stop_timeout": 20.0, **settings})


def test_a_second_operator_is_refused_and_takes_the_shift_over(platform: Platform) -> None:
    """Who, where, since when; and once the first is gone, the second goes on without another word."""
    op = platform(vms=30, time_scale=0.05)
    before, ann, bob = op.cloud.in_state("running"), f"ann on {os.uname().nodename}", f"bob on {os.uname().nodename}"
    # No such account is there: Ansible would make a folder of the name ~ann where the playbook lies.
    op.extra_environment = {"USER": "ann", "LOGNAME": "ann", "ANSIBLE_REMOTE_TMP": str(op.folder / "tmp-ann")}
    second = crew_of(op, "bob")
    seconds: list[t.Any] = []

    def second_comes() -> bool:
        if not seen(op, "admin_vm_stop", 4)():
            return False
        seconds.extend([op.holder(), second.prepare(), second.status()])
        return True

    # Calm enough that ann is still at work when bob has come and gone.
    settings = {"ceph_maint_confirm": "true", "ceph_maint_concurrency": "1"}
    op.killed("ceph_maint_prepare", second_comes, ceph_maint_lease=str(LEASE), **settings)
    assert op.holder() == seconds[0], "the engine lives on for its lease"
    engine, refused, status = seconds
    assert refused.rc != 0
    who = rf"{ann}, stopping VMs since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(process {engine}\)"
    assert re.search(rf"Another run is at work on this maintenance: {who}\. Nothing was changed\.", refused.text), refused.text
    assert refused.accept_argument()[0].startswith("takeover:")
    assert status.rc == 0, status.text
    assert re.search(f"At work now: {who}", status.text), status.text
    with first_seen(lambda: op.ask("SELECT 1 FROM runs WHERE actor LIKE 'bob %'") and (op.holder(),)) as began:
        taken = second.prepare()
    assert taken.safe, taken.text
    assert began and began[0] != (engine,), "it did not wait for the dying engine"
    assert op.ask("SELECT actor, purpose FROM runs") == [(ann, "prepare"), (bob, "prepare")]
    assert (op.recorded(), op.cloud.in_state("running")) == (before, set())
    stops = [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop")]
    assert sorted(stops) == sorted(before), "one was asked twice"


def test_a_restore_calls_off_a_living_prepare(quick: Platform) -> None:
    op = quick(vms=30, time_scale=0.05)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    other = crew_of(op, "bob")
    with concurrent.futures.ThreadPoolExecutor(1) as first:
        called_off = first.submit(crew_of(op, "ann", concurrency=1).prepare)
        wait_until(seen(op, "admin_vm_stop", 2))
        refused = other.restore()
        assert refused.rc != 0
        with first_seen(lambda: op.ask("SELECT 1 FROM runs WHERE purpose='restore'")) as opened:
            run = other.restore(accept=refused.accept_argument())
        prepare = called_off.result()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    stops = op.cloud.journal.of("admin_vm_stop")
    opening = [entry for entry in op.cloud.journal.of("host_flags") if entry.params["is_accepting_workloads"] == "1"]
    first_back = min(entry.number for entry in [*opening, *op.cloud.journal.of("admin_vm_start")])
    assert opening and stops[-1].number < first_back, "a stop was sent after the restore had begun to bring things back"
    assert len(stops) < len(before)
    assert len([entry for entry in stops if entry.started > opened[1]]) <= 1, "more than the stop that was being sent"
    assert prepare.rc != 0
    assert f"Another run has taken over the maintenance: bob on {os.uname().nodename} (restore, since " in prepare.text, prepare.text
    assert "This run sends nothing more" in prepare.text
