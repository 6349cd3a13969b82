# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pocket cloud is real: guests on RBD write, stop, are cut and come back, and the disks tell which was which."""

from __future__ import annotations

import time
import typing as t

import pytest
import requests

from e2e.claims import assert_kept, wrote_on
from e2e.cluster import Cluster
from e2e.operators import PocketOperator
from e2e.real_platform import PocketCloud, image_of
from e2e.waits import wait_for
from harness.operator import open_hosts

Pocket = t.Callable[..., PocketCloud]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked directly, whatever the machine's proxies."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def power(cloud: PocketCloud, word: str, name: str, **more: str) -> requests.Response:
    data = {"uuid": cloud.vm(name).uuid, **more}
    return requests.post(f"{cloud.url}/v1/user-resource/admin/vm/{word}", data=data, headers={"apikey": cloud.key}, timeout=240)


def answered(answer: requests.Response) -> tuple[int, str]:
    """Status, and the state that the VM's row shows if there is one."""
    return answer.status_code, answer.json().get("status", answer.text)


def test_a_guest_that_is_asked_stops_clean_and_goes_on_later(ceph: Cluster, pocket: Pocket) -> None:
    cloud = pocket(vms=1, power_mode="blocking")
    wrote_on(cloud, "vm-0")
    image = image_of(cloud.vm("vm-0").uuid)
    assert len(ceph.watchers(image)) == 1
    assert answered(power(cloud, "stop", "vm-0")) == (200, "stopped")
    assert not cloud.guest("vm-0").alive
    assert ceph.watchers(image) == []
    first = cloud.guest("vm-0").verify()
    assert first.clean
    assert_kept(first)
    assert answered(power(cloud, "start", "vm-0")) == (200, "running")
    wrote_on(cloud, "vm-0")
    cloud.shut_down_inside("vm-0")
    assert cloud.vm("vm-0").state == "stopped"
    assert [event.cause for event in cloud.events] == ["stop", "start", "itself"]
    second = cloud.guest("vm-0").verify()
    assert second.clean
    assert second.records > first.records
    assert_kept(second)


def test_a_deaf_guest_holds_its_call_and_only_force_ends_it(ceph: Cluster, pocket: Pocket) -> None:
    cloud = pocket(vms=1, deaf=1, gateway_patience=8.0, deaf_seconds=90.0)
    wrote_on(cloud, "vm-0")
    begun = time.monotonic()
    assert power(cloud, "stop", "vm-0").status_code == 504
    assert time.monotonic() - begun >= 8
    assert power(cloud, "stop", "vm-0").status_code == 409, "the first stop is still held"
    wrote_on(cloud, "vm-0")
    assert cloud.vm("vm-0").state == "running"
    assert answered(power(cloud, "stop", "vm-0", force="true")) == (200, "stopped")
    assert not cloud.guest("vm-0").alive
    assert ceph.watchers(image_of(cloud.vm("vm-0").uuid)) == [], "its image was closed"
    verdict = cloud.guest("vm-0").verify()
    assert not verdict.clean
    assert_kept(verdict)


def test_lost_records_are_seen(ceph: Cluster, pocket: Pocket) -> None:
    """The proof can fail: a disk that went back in time is told from one that did not."""
    cloud = pocket(vms=1, running=0)
    image = image_of(cloud.vm("vm-0").uuid)
    ceph.rbd("snap", "create", "--no-progress", f"rbd/{image}@before")
    cloud.act("start", vm="vm-0")
    wrote_on(cloud, "vm-0")
    cloud.act("stop", vm="vm-0")
    assert cloud.guest("vm-0").verify().lost == ()
    ceph.rbd("snap", "rollback", "--no-progress", f"rbd/{image}@before")
    assert 0 in cloud.guest("vm-0").verify().lost


@pytest.mark.full
def test_what_happens_to_guests_behind_the_platform(ceph: Cluster, pocket: Pocket) -> None:
    cloud = pocket(vms=3, running=["vm-0", "vm-1"], power_mode="blocking")
    frozen, killed, unseen = (cloud.vm(name).uuid for name in ("vm-0", "vm-1", "vm-2"))
    cloud.start_unseen("vm-2")
    wrote_on(cloud, "vm-2")
    assert cloud.vm("vm-2").state == "stopped"
    assert len(ceph.watchers(image_of(unseen))) == 1
    cloud.kill_guest("vm-1")
    assert cloud.vm("vm-1").state == "stopped"
    assert len(ceph.watchers(image_of(killed))) == 1, "Ceph does not know yet"
    cloud.freeze_guest("vm-0")
    assert cloud.in_state("running") == {frozen}
    assert cloud.running_guests() == {frozen, unseen}
    cloud.thaw_guest("vm-0")
    wrote_on(cloud, "vm-0")
    cloud.freeze_guest("vm-0")
    assert power(cloud, "stop", "vm-0", force="true").status_code == 200
    assert cloud.in_state("running") == set()
    wait_for("Ceph to forget the killed", lambda: " ".join(ceph.watchers(image_of(killed))), 60, 1)
    for name in ("vm-0", "vm-1"):
        verdict = cloud.guest(name).verify()
        assert not verdict.clean
        assert_kept(verdict)


@pytest.mark.full
def test_a_start_without_ceph_is_not_called_running(ceph: Cluster, pocket: Pocket, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = pocket(vms=1, running=0, power_mode="blocking")
    monkeypatch.setattr("cloud.guests.START_PATIENCE", 6.0)
    ceph.stop()
    answer = power(cloud, "start", "vm-0")
    assert answer.status_code == 500
    assert cloud.vm("vm-0").state == "stopped"
    assert cloud.running_guests() == set()


@pytest.mark.full
def test_the_whole_maintenance_without_a_ceph_host(ceph: Cluster, platform: t.Callable[..., PocketOperator]) -> None:
    """Twelve guests run, three of them deaf and one slow, three are off, one host is closed; Ceph goes down and comes back."""
    op = platform(vms=15, running=12, deaf=3, slow=1, slow_seconds=5.0, hosts=3, closed_hosts=1)
    cloud = op.cloud
    before, hosts = cloud.in_state("running"), open_hosts(cloud)
    deaf = {vm.uuid for vm in cloud.vms if "deaf" in vm.traits}
    assert (len(before), len(hosts), len(deaf), len(cloud.vms)) == (12, 2, 3, 15)

    run = op.prepare(ceph_maint_force="true")
    assert run.rc == 0, run.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text
    assert cloud.running_guests() == set()
    assert open_hosts(cloud) == set()
    assert op.stop_outcomes() == {uuid: "forced" if uuid in deaf else "clean" for uuid in before}
    assert {uuid for uuid in before if ceph.watchers(image_of(uuid))} == set()
    verdicts = {uuid: cloud.guest(uuid).verify() for uuid in before}
    assert {uuid for uuid, verdict in verdicts.items() if not verdict.clean} == deaf

    ceph.stop()
    assert ceph.running() == set()
    ceph.start()
    ceph.wait_clean()

    run = op.restore()
    assert run.rc == 0, run.text
    assert op.phase() == "", "the record is still open"
    assert cloud.in_state("running") == cloud.running_guests() == before
    assert open_hosts(cloud) == hosts
    for uuid in before:
        wrote_on(cloud, uuid, 1)
        cloud.act("stop", vm=uuid)
    for uuid in before:
        verdict = cloud.guest(uuid).verify()
        assert verdict.records > verdicts[uuid].records
        assert_kept(verdict)
