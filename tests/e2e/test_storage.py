# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenances with a Ceph host: the storage itself is asked who still works on it, and whether it is back."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
import requests

from e2e.ceph_work import CephWork, timeline
from e2e.claims import assert_back, assert_kept, assert_named, assert_not_safe, assert_safe, started, wrote_on
from e2e.cluster import MON, Cluster
from e2e.holders import Holders
from e2e.operators import StorageOperator
from e2e.real_platform import PocketCloud, image_of
from e2e.waits import wait_for
from harness.operator import open_hosts

Storage = t.Callable[..., StorageOperator]
AT_ONCE = {"ceph_maint_watchers_linger": 2}  # for watchers that would not go away either
FORGOTTEN = 60  # seconds until Ceph has long forgotten a client that does not answer: it takes 30


def until_forgotten(ceph: Cluster, uuid: str) -> None:
    wait_for("Ceph to forget a client", lambda: " ".join(ceph.watchers(image_of(uuid))), FORGOTTEN, 1)


def lists_go_on_saying(cloud: PocketCloud, uuid: str) -> None:
    """Whatever becomes of a VM that is off now: the platform's answers go on showing it so."""
    answer = requests.get(f"{cloud.url}/v1/user-resource/vm/all", headers={"apikey": cloud.key}, timeout=60)
    row = next(row for row in answer.json() if row["uuid"] == uuid)
    cloud.act("fault", kind="list", route="vm_all", param={"status": "running"}, drop=[uuid], times=-1)
    cloud.act("fault", kind="list", route="vm_all", drop=[uuid], add=[row], times=-1)
    cloud.act("fault", kind="status", status=200, route="admin_vm_show", uuid=uuid, body=json.dumps(row), times=-1)


def test_the_whole_maintenance(ceph: Cluster, storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve guests run, three of them deaf and one slow, three are off, one host is closed; Ceph really goes down in between."""
    op = storage(vms=15, running=12, deaf=3, slow=1, slow_seconds=5.0, hosts=3, closed_hosts=1)
    cloud = op.cloud
    before, hosts = cloud.in_state("running"), open_hosts(cloud)
    deaf = {vm.uuid for vm in cloud.vms if "deaf" in vm.traits}
    assert (len(before), len(hosts), len(deaf), len(cloud.vms)) == (12, 2, 3, 15)
    seen: dict[str, t.Any] = {}

    def look() -> None:
        seen.update(running=cloud.running_guests(), hosts=open_hosts(cloud), flags=ceph.flags(), outcomes=op.stop_outcomes())
        seen["watched"] = {uuid for uuid in before if ceph.watchers(image_of(uuid))}
        seen["disks"] = {uuid: cloud.guest(uuid).verify() for uuid in before}

    def up() -> None:
        seen["daemons"] = ceph.running()
        ceph.start_daemon(MON)
        seen["flags_kept"] = ceph.flags()
        ceph.start()

    begun = time.time()
    with CephWork(look, ceph.stop, up) as work:
        run = op.maintain(work, ceph_maint_force="true")
    ended = time.time()
    assert_safe(run)
    assert (seen["running"], seen["hosts"], seen["watched"], seen["daemons"]) == (set(), set(), set(), set())
    assert "noout" in seen["flags"], "set before Ceph goes down"
    assert "noout" in seen["flags_kept"]
    assert "noout" not in ceph.flags(), "and unset afterwards"
    assert seen["outcomes"] == {uuid: "forced" if uuid in deaf else "clean" for uuid in before}
    assert {uuid for uuid, disk in seen["disks"].items() if not disk.clean} == deaf
    for disk in seen["disks"].values():
        assert_kept(disk)
    assert_named(run, f"stopped clean {len(before - deaf)}, power cut {len(deaf)}")
    (report,) = op.place.glob("*.report.json")
    assert {vm["uuid"] for vm in json.loads(report.read_text(encoding="utf-8"))["vms"] if vm["stop"] == "forced"} == deaf
    assert open_hosts(cloud) == hosts
    assert_back(op, run, before)
    with capsys.disabled():
        print(f"\n{len(before)} guests, {len(deaf)} of them deaf:\n{timeline(cloud, work, begun, ended)}")


def test_a_guest_started_behind_the_platform_stands_in_the_way(ceph: Cluster, storage: Storage) -> None:
    """Only Ceph knows of it: before the maintenance nothing is begun, and in the middle of it nothing is called safe."""
    op = storage(vms=3, running=["vm-0", "vm-1"], slow=["vm-1"], slow_seconds=10.0)
    cloud = op.cloud
    unseen, image = cloud.vm("vm-2").uuid, f"rbd/{image_of(cloud.vm('vm-2').uuid)}"
    cloud.start_unseen("vm-2")
    (client,) = ceph.clients(image_of(unseen))
    run = op.prepare(**AT_ONCE)
    assert_not_safe(op, run, image, client, unseen)
    assert f"watcher:{image}" in run.accept_argument()
    assert cloud.journal.writes() == [], "no host was closed and nothing stopped"

    cloud.shut_down_inside("vm-2")
    with op.going("ceph_maint_prepare", **AT_ONCE) as going:
        going.comes_to("its first stop", lambda: bool(cloud.journal.of("admin_vm_stop")))
        cloud.start_unseen("vm-2")
        run = going.end()
    assert cloud.running_guests() == {unseen}
    (client,) = ceph.clients(image_of(unseen))
    assert_not_safe(op, run, image, client, unseen)

    cloud.shut_down_inside("vm-2")
    assert_safe(op.prepare(**AT_ONCE))
    assert unseen not in op.recorded(), "nobody saw it run, so nobody will start it"


@pytest.fixture
def other_pool(ceph: Cluster) -> t.Iterator[str]:
    """A pool of an application that Ceph does not know."""
    ceph.ceph("osd", "pool", "create", "volumes", "8")
    ceph.ceph("osd", "pool", "application", "enable", "volumes", "volumes")
    yield "volumes"
    ceph.remove_pool("volumes")


def test_images_that_no_plain_list_shows_block_safe(
    ceph: Cluster, other_pool: str, storage: Storage, holders: Holders
) -> None:
    """In the trash, and in a pool without the application rbd. The key may only read, so each image is asked."""
    op = storage(vms=2, running=["vm-0"])
    unseen = op.cloud.vm("vm-1").uuid
    image = image_of(unseen)
    ceph.rbd("create", "--size", "8M", f"{other_pool}/stray")
    holders.hold(f"rbd/{image}", f"{other_pool}/stray")
    ceph.rbd("trash", "mv", f"rbd/{image}")
    run = op.prepare(**AT_ONCE)
    holders.release()
    (identity,) = [row["id"] for row in json.loads(ceph.rbd("trash", "ls", "rbd", "--format", "json")) if row["name"] == image]
    ceph.rbd("trash", "restore", f"rbd/{identity}")
    assert_not_safe(op, run, f"{other_pool}/stray", f"rbd/trash:{identity}/{image}", unseen)
    assert "Not checked, as each image was asked: images that neither" in run.text
    assert op.cloud.journal.writes() == []


def test_lists_that_lie_are_caught(ceph: Cluster, storage: Storage) -> None:
    """An owner starts a VM while the others are stopped, and the platform's answers go on calling it stopped."""
    op = storage(vms=3, running=["vm-0", "vm-1"])
    cloud = op.cloud
    risen = cloud.vm("vm-2").uuid
    lists_go_on_saying(cloud, risen)
    cloud.schedule("start", when="admin_vm_stop", vm=risen)
    run = op.prepare(**AT_ONCE)
    assert cloud.running_guests() == {risen}
    (client,) = ceph.clients(image_of(risen))
    assert_not_safe(op, run, f"rbd/{image_of(risen)}", client, risen)

    cloud.act("clear_faults")
    assert_safe(op.prepare(**AT_ONCE))
    assert cloud.running_guests() == set()
    assert op.recorded() == {vm.uuid for vm in cloud.vms}
    assert op.stop_outcomes()[risen] == "clean"


def test_a_guest_that_thaws_after_the_outage_is_not_started_twice(ceph: Cluster, storage: Storage) -> None:
    """Its hypervisor hangs: the platform marks it stopped, Ceph forgets it, and when all is back it writes on."""
    op = storage(vms=3, running=3)
    cloud = op.cloud
    before, frozen = cloud.in_state("running"), cloud.vm("vm-0").uuid
    wrote_on(cloud, "vm-0")
    cloud.lose_guest("vm-0")
    assert_safe(op.prepare(ceph_maint_force="true"))
    assert cloud.running_guests() == {frozen}, "of which nobody can know"
    assert op.stop_outcomes()[frozen] == "forced"

    ceph.stop()
    ceph.start()
    ceph.wait_clean()
    cloud.thaw_guest("vm-0")
    wait_for("the frozen guest at its image", lambda: "" if ceph.watchers(image_of(frozen)) else "no watcher", FORGOTTEN, 1)
    wrote_on(cloud, "vm-0")
    (client,) = ceph.clients(image_of(frozen))

    run = op.restore(**AT_ONCE)
    assert run.rc != 0, run.text
    assert started(cloud) == before - {frozen}
    assert cloud.in_state("running") == before - {frozen}
    outcome, error = op.start_outcomes()[frozen]
    assert outcome not in ("started", "running")
    assert "held back" in error and client in error, error
    assert_named(run, frozen, "held back", client)

    cloud.shut_down_inside("vm-0")
    until_forgotten(ceph, frozen)
    assert_back(op, op.restore(), before)
