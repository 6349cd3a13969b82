# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenances with a Ceph host that go wrong: Ceph comes back broken or goes away in between, runs are killed, guests die."""

from __future__ import annotations

import time
import typing as t

import pytest

from e2e.claims import assert_back, assert_named, assert_not_safe, assert_safe, started, wrote_on
from e2e.cluster import MGR, MON, Cluster
from e2e.operators import CEPH_HOST, StorageOperator
from e2e.real_platform import image_of
from e2e.waits import wait_for
from harness.operator import open_hosts

pytestmark = pytest.mark.full

Storage = t.Callable[..., StorageOperator]
HASTY = {"ceph_maint_ceph_timeout": 10, "ceph_maint_ceph_wait": 15}


def without_an_osd(ceph: Cluster) -> None:
    ceph.stop()
    for name in (MON, MGR, "osd.0", "osd.2"):
        ceph.start_daemon(name)


def with_nothing_but_a_monitor(ceph: Cluster) -> None:
    ceph.kill()
    ceph.start_daemon(MON)
    assert ceph.health()[1] <= {"OSDMAP_FLAGS"}, "it calls a dead cluster well"


def with_nodown(ceph: Cluster) -> None:
    ceph.ceph("osd", "set", "nodown")


def with_pause(ceph: Cluster) -> None:
    ceph.ceph("osd", "set", "pause")


def without_quorum(ceph: Cluster) -> None:
    ceph.stop_daemon(MON)


# How Ceph comes back, and the item that names what is missing.
BROKEN = {
    without_an_osd: "health:osd-1",
    with_nothing_but_a_monitor: "health:manager-silent",
    with_nodown: "health:flag-nodown",
    with_pause: "health:flag-pause",
    without_quorum: "health:monitors-silent",
}


def test_a_restore_waits_for_what_is_missing(ceph: Cluster, storage: Storage) -> None:
    """Nothing is opened or started on a Ceph that does not serve, whatever it says of itself; once it is mended, it goes on."""
    op = storage(vms=2, running=2)
    cloud, before, hosts = op.cloud, op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    for broken, item in BROKEN.items():
        broken(ceph)
        run = op.restore(**HASTY)
        assert run.rc != 0, f"{broken.__name__}:\n{run.text}"
        assert item in run.accept_argument(), f"{broken.__name__}:\n{run.text}"
        assert (started(cloud), open_hosts(cloud), op.phase()) == (set(), set(), "safe"), broken.__name__
        ceph.mend()
        ceph.ceph("osd", "set", "noout")  # it was mended too, and is that of this maintenance

    calls = op.log_calls()
    without_quorum(ceph)
    with op.going("ceph_maint_restore", ceph_maint_ceph_timeout=10) as going:
        looks = "quorum_status"
        going.comes_to("its second look", lambda: sum(looks in call for call in calls()) >= 2)
        assert started(cloud) == set()
        ceph.start_daemon(MON)
        run = going.end()
    assert_back(op, run, before)
    assert open_hosts(cloud) == hosts
    assert "noout" not in ceph.flags()


def test_runs_that_are_killed_go_on(ceph: Cluster, storage: Storage) -> None:
    """Prepare and restore are killed while guests stop and boot; the same command again ends as if nothing had been."""
    op = storage(vms=7, running=6, slow=1, slow_seconds=10.0)
    cloud, before, hosts = op.cloud, op.cloud.in_state("running"), open_hosts(op.cloud)
    with op.going("ceph_maint_prepare", ceph_maint_concurrency=2) as going:
        going.comes_to("its first stopped VM", lambda: len(cloud.in_state("running")) < len(before))
        going.kill()
    assert cloud.in_state("running"), "something was left to do"
    assert_safe(op.prepare())
    assert op.recorded() == before
    assert set(op.stop_outcomes().values()) == {"clean"}
    ceph.stop()
    ceph.start()
    with op.going("ceph_maint_restore", ceph_maint_concurrency=2) as going:
        going.comes_to("its first started VM", lambda: bool(cloud.in_state("running")))
        going.kill()
    assert cloud.in_state("running") != before, "something was left to do"
    assert_back(op, op.restore(), before)
    assert open_hosts(cloud) == hosts
    assert "noout" not in ceph.flags()


def test_ceph_dies_while_vms_are_started(ceph: Cluster, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The starts hang and are called what they are, no more of them are asked; when Ceph is back, it goes on."""
    monkeypatch.setattr("cloud.guests.START_PATIENCE", 25.0)
    op = storage(vms=6, running=6)
    cloud, before = op.cloud, op.cloud.in_state("running")
    assert_safe(op.prepare())
    few = {"ceph_maint_ceph_wave": 2, "ceph_maint_canary": 0, "ceph_maint_start_timeout": 40, **HASTY}
    with op.going("ceph_maint_restore", **few) as going:
        going.comes_to("its second wave", lambda: len(started(cloud)) > 2)
        ceph.kill()
        run = going.end()
    assert run.rc != 0, run.text
    asked, up = started(cloud), cloud.in_state("running")
    assert len(asked) == 4, "no third wave"
    outcomes = op.start_outcomes()
    assert {uuid for uuid in before if outcomes[uuid][0] in ("started", "running")} <= up, run.text
    assert_named(run, *(before - up))

    monkeypatch.undo()
    ceph.start()
    assert_back(op, op.restore(), before)


def test_ceph_is_gone_before_prepare(ceph: Cluster, storage: Storage) -> None:
    """Somebody stopped Ceph under running guests: nothing can be proved, no guest can stop, and it is said so."""
    op = storage(vms=2, running=2)
    cloud, before = op.cloud, op.cloud.in_state("running")
    for uuid in before:
        wrote_on(cloud, uuid, 1)
    ceph.stop()
    run = op.prepare(**HASTY)
    item = f"ceph:{CEPH_HOST}"
    assert_not_safe(op, run, "could not be asked")
    assert item in run.accept_argument()
    assert cloud.journal.writes() == []
    run = op.prepare(ceph_maint_accept=item, **HASTY)
    assert_not_safe(op, run, *before)
    assert cloud.running_guests() == before

    # What was asked of a guest that hangs is done when it can be.
    ceph.start()
    wait_for("the guests to obey", lambda: " ".join(cloud.running_guests()), 120, 1)
    ceph.wait_healthy()
    assert_safe(op.prepare())
    assert_back(op, op.restore(), before)


def test_the_watcher_of_a_dead_guest_is_waited_out(ceph: Cluster, storage: Storage) -> None:
    """QEMU is killed while others stop: Ceph takes its image for open for another 30 s, which is neither safe nor a refusal."""
    op = storage(vms=3, running=3, slow=["vm-2"], slow_seconds=30.0)
    cloud, before, dead = op.cloud, op.cloud.in_state("running"), op.cloud.vm("vm-2").uuid
    for uuid in before:
        wrote_on(cloud, uuid, 1)
    with op.going("ceph_maint_prepare") as going:
        going.comes_to("its first stop", lambda: bool(cloud.journal.of("admin_vm_stop")))
        cloud.kill_guest(dead)
        died = time.monotonic()
        run = going.end()
    assert_safe(run)
    assert time.monotonic() - died > 25, "the watcher lived on until then"
    assert ceph.watchers(image_of(dead)) == []
    assert_back(op, op.restore(), before)
