# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A maintenance that asks Ceph: safe is said on its word too, and nothing is started before it serves.

What the modules decide on that word is told by the quick operator; with ansible-playbook it is what the roles and Ansible add.
"""

from __future__ import annotations

import typing as t

import pytest

from harness.ceph_operator import HOST, REGEX, StorageOperator
from harness.operator import open_hosts

Storage = t.Callable[..., StorageOperator]
SAFE = '"SAFE TO TAKE CEPH DOWN"'
STRAY = "volume-0a1b2c3d-0000-4000-8000-00000000000a"


def starts(op: StorageOperator) -> list[str]:
    return [entry.uuid for entry in op.cloud.journal.of("admin_vm_start")]


# With ansible-playbook.


@pytest.mark.smoke
def test_the_whole_maintenance_with_ceph(storage: Storage) -> None:
    """Through cephadm. A flag that was set before is not ours: it stays."""
    op = storage(vms=5, running=4, hosts=2)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    op.ceph.set(flags=["norebalance"])
    words = {"ceph_maint_ceph_command": ["cephadm", "shell", "--", "ceph"], "ceph_maint_osd_flags": ["noout", "norebalance"]}
    run = op.prepare(**words)
    assert run.rc == 0 and SAFE in run.text, run.text
    assert "Ceph, asked on mon1: HEALTH_WARN, 3 of 3 OSDs up, 3 in; images open: 4" in run.text, "the plan shows what Ceph says"
    assert "no client has an image open in the pools vms (each OSD asked, at " in run.text, "safe names this proof"
    assert op.flags() == {"noout", "norebalance"}
    assert op.ceph.writes == ["ceph osd set noout"]
    assert op.ceph.calls[-2:] != op.ceph.calls[:2] and "ceph tell osd.2 dump_watchers" in op.ceph.calls
    run = op.restore(**words)
    assert run.rc == 0, run.text
    assert "Ceph serves." in run.text and "not proved: that a write comes back" in run.text
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts
    assert op.flags() == {"norebalance"}
    assert op.ceph.writes == ["ceph osd set noout", "ceph osd unset noout"]
    assert op.phase() == "", "the record is put away"
    fronts = [call for call in op.ceph.calls if call.startswith("cephadm")]
    assert len(fronts) * 2 == len(op.ceph.calls), "each call went through the command"


@pytest.mark.smoke
def test_restore_waits_until_ceph_serves(storage: Storage) -> None:
    """An OSD is down as the restore begins and comes up while it waits, so the run goes on by itself."""
    op = storage(vms=2, hosts=1)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert op.quickly().prepare(ceph_maint_osd_flags="noout,nodown").rc == 0
    op.ceph.set(osds={"0": "up", "1": "down", "2": "up"})
    op.ceph.then("ceph quorum_status", nth=2, osds={"0": "up", "1": "up", "2": "up"})
    run = op.restore()
    assert run.rc == 0 and "Ceph serves." in run.text, run.text
    assert op.ceph.writes[2:] == ["ceph osd unset nodown", "ceph osd unset noout"]
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts


@pytest.mark.edge_cores
def test_a_ceph_host_that_is_lost_is_never_passed_over(storage: Storage) -> None:
    """Before the proof, and between two waves of starts: to ansible-core 2.16 that is a failure, and later no contact."""
    op = storage(vms=4, hosts=1)
    op.ceph.then("ceph tell osd.2 dump_watchers", nth=2, touch=op.cut)
    run = op.prepare()
    assert run.rc != 0 and "NOT SAFE TO TAKE CEPH DOWN" in run.text and SAFE not in run.text, run.text
    assert run.accept_argument() == f"ceph_maint_accept=ceph:{HOST}"
    op.cut.unlink()
    op.ceph.then("ceph status", nth=2, touch=op.cut)
    run = op.restore(ceph_maint_ceph_wave="3")
    assert run.rc != 0 and ("mon1 was not reached" in run.text or "Connection timed out" in run.text), run.text
    assert len(starts(op)) == 3
    assert op.ask("SELECT ended FROM runs ORDER BY rowid DESC LIMIT 1") != [(None,)], "the run has let go of the record"


def test_an_answer_that_ansible_gives_up_waiting_for_is_no_proof(storage: Storage) -> None:
    """Where the connection itself gives no sign. And a host that the inventory does not have is refused."""
    op = storage(vms=2, hosts=1)
    run = op.play("ceph_maint_plan", ceph_maint_ceph_host="mon9")
    assert run.rc != 0 and "ceph_maint_ceph_host is mon9, and the inventory has no such host" in run.text, run.text
    op.ceph.set(hang=["ceph", "rbd"])
    run = op.play("ceph_maint_plan", ceph_maint_ceph_timeout="300", __ceph_maint_look_patience="2")
    assert run.rc != 0 and f"ceph_maint_accept=ceph:{HOST}" in run.text and "Refused. The reasons" in run.text, run.text


# What the modules decide.


def test_check_mode_a_plan_and_a_verify_write_nothing_to_ceph(quick_storage: Storage) -> None:
    op = quick_storage(vms=3, running=2, hosts=1)
    podman = {"ceph_maint_ceph_command": "podman,exec,-i,ceph,ceph,--name,client.x", "ceph_maint_probe_pool": "scratch"}
    assert op.prepare("--check", **podman).rc == 0
    assert op.ceph.calls and not op.ceph.writes
    assert op.prepare(**podman, ceph_maint_osd_flags="none").rc == 0
    run = op.play("ceph_maint_verify", **podman)
    assert run.rc == 0 and SAFE in run.text, run.text
    assert op.restore("--check", **podman).rc == 0
    assert not op.ceph.writes and not starts(op)
    op.ceph.set(flags=["noout"])
    run = op.restore(**podman)
    assert run.rc == 0 and "not proved" not in run.text, run.text
    assert [call.split()[3] for call in op.ceph.writes] == ["put", "rm"] and not op.ceph.state["objects"]
    assert op.flags() == {"noout"}, "somebody else has set it"


def test_a_client_that_is_no_vm_is_refused_by_the_plan(quick_storage: Storage) -> None:
    op = quick_storage(vms=3, hosts=2)
    op.ceph.set(watchers=[[STRAY, 77]])
    run = op.prepare()
    assert run.rc != 0
    assert f"image vms/{STRAY} is open at client.77 (10.0.0.9:0/77)" in run.text
    assert not op.cloud.journal.writes() and not op.ceph.writes and not op.records.exists()
    name, value = run.accept_argument().split("=")
    assert value == f"watcher:vms/{STRAY}"
    run = op.prepare(**{name: value})
    assert run.rc == 0, run.text
    assert f"SAFE EXCEPT 1 ACCEPTED: watcher:vms/{STRAY}" in run.text and SAFE not in run.text
    assert "except those accepted" in run.text


def test_without_a_pattern_the_proof_finds_what_the_plan_could_not_tell(quick_storage: Storage) -> None:
    """And at the restore, an image that is open before the first start may be that of any VM."""
    op = quick_storage(vms=3, hosts=1)
    before = op.cloud.in_state("running")
    plain = {"ceph_maint_rbd_image_regex": ""}
    op.ceph.set(watchers=[["iso", 77]])
    run = op.prepare(**plain)
    assert run.rc != 0 and "NOT SAFE TO TAKE CEPH DOWN" in run.text and SAFE not in run.text
    assert "ceph_maint_rbd_image_regex would tell" in run.text, "the plan has said so"
    assert "image vms/iso is open at client.77 (10.0.0.9:0/77)" in run.text
    assert run.accept_argument() == "ceph_maint_accept=watcher:vms/iso"
    assert not op.flags(), "not safe, so nothing is set"
    op.ceph.set(watchers=[])
    run = op.prepare(**plain)
    assert run.rc == 0 and SAFE in run.text, run.text
    op.ceph.set(watchers=[["iso", 78]])
    run = op.restore(**plain)
    assert run.rc != 0 and "Before anything was started, image vms/iso is open at client.78" in run.text, run.text
    assert not starts(op)
    name, value = run.accept_argument().split("=")
    run = op.restore(**plain, **{name: value})
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before


def test_a_vm_that_the_api_hides_is_caught(quick_storage: Storage) -> None:
    """Every list and every detail says that it does not run. Its image is open."""
    op = quick_storage(vms=3, hosts=1)
    hidden = op.cloud.vm("vm-1").uuid
    op.cloud.act("fault", kind="list", route="vm_all", drop=[hidden], times=-1)
    for regex in (REGEX, ""):
        run = op.prepare(ceph_maint_rbd_image_regex=regex)
        assert run.rc != 0 and SAFE not in run.text, run.text
        assert f"image vms/volume-{hidden} is open at client.5001" in run.text
        assert run.accept_argument() == f"ceph_maint_accept=watcher:vms/volume-{hidden}"
        assert bool(op.cloud.journal.writes()) is (not regex), "where images tell their VM, the plan refuses it"


def test_a_ceph_host_that_is_not_reached_is_refused_until_accepted(quick_storage: Storage) -> None:
    """And the restore asks it all the same, before it opens or starts anything."""
    op = quick_storage(vms=3, hosts=2)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    op.cut.touch()
    run = op.prepare()
    assert run.rc != 0 and SAFE not in run.text, run.text
    assert "could not be asked on mon1 who has images open" in run.text and "Connection timed out" in run.text
    name, value = run.accept_argument().split("=")
    assert value == f"ceph:{HOST}"
    assert not op.cloud.journal.writes()
    run = op.prepare(**{name: value})
    assert run.rc == 0 and '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text and f"accepted: ceph:{HOST}" in run.text, run.text
    assert SAFE not in run.text
    assert not op.ceph.writes, "nothing is set on a cluster that was not asked"
    run = op.restore()
    assert run.rc != 0 and "mon1 was not reached, so whether Ceph serves is not known" in run.text, run.text
    assert not starts(op) and not open_hosts(op.cloud)
    op.cut.unlink()
    run = op.restore()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts


def test_a_look_in_the_wrong_place_is_refused(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    run = op.prepare(ceph_maint_rbd_pools="backup")
    assert run.rc != 0 and "2 VMs are up, and no client has an image open in the pools backup" in run.text, run.text
    assert run.accept_argument() == f"ceph_maint_accept=unchecked:host-{HOST}"
    assert "Not checked, as ceph_maint_rbd_pools leaves them out: the pools vms" in run.text
    run = op.prepare(ceph_maint_rbd_pools="vmz")
    assert run.rc != 0 and "Ceph has no pool 'vmz'" in run.text and "ceph_maint_accept=" not in run.text, run.text
    assert not op.cloud.journal.writes()
    run = op.play("ceph_maint_plan", ceph_maint_ceph_host="")
    assert run.rc == 0 and "Ceph, asked on" not in run.text, run.text
    run = op.prepare(ceph_maint_rbd_pools="backup", ceph_maint_accept=f"unchecked:host-{HOST}")
    assert f"SAFE EXCEPT 1 ACCEPTED: unchecked:host-{HOST}" in run.text, run.text


def test_a_flag_that_somebody_sets_during_the_proof_is_left_to_him(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    # The plan reads the flags once, the proof a second time, and the task that sets them a third.
    op.ceph.then("ceph osd dump", nth=5, flags=["noout"])
    assert op.prepare().rc == 0
    assert op.flags() == {"noout"} and op.ceph.writes == [], "it was set already"
    assert op.restore().rc == 0
    assert op.flags() == {"noout"} and op.ceph.writes == []


def test_a_ceph_that_hangs_is_given_up_and_never_passed_over(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    op.ceph.then("ceph status", nth=2, hang=["ceph", "rbd"])
    run = op.prepare(ceph_maint_ceph_timeout=6)
    assert run.rc != 0 and "NOT SAFE TO TAKE CEPH DOWN" in run.text and SAFE not in run.text, run.text
    assert "ceph status --format json gave no answer within 6 s" in run.text
    assert run.accept_argument() == f"ceph_maint_accept=ceph:{HOST}"
    run = op.play("ceph_maint_plan", ceph_maint_ceph_timeout=6)
    assert f"ceph_maint_accept=ceph:{HOST}" in run.text


def test_an_ill_cluster_is_refused_before_any_host_is_closed(quick_storage: Storage) -> None:
    """And a key that may not ask the OSDs asks each image, and says so."""
    op = quick_storage(vms=2, hosts=1)
    op.ceph.set(checks={"PG_DEGRADED": "Degraded data redundancy: 7 pgs undersized"}, flags=["noscrub"], refuse={"ceph tell": 13})
    run = op.prepare()
    assert run.rc != 0 and "Ceph is not well (HEALTH_WARN: Degraded data redundancy: 7 pgs undersized)" in run.text, run.text
    assert run.accept_argument() == "ceph_maint_accept=health:PG_DEGRADED", "that flags are set is no illness"
    assert not op.cloud.journal.writes()
    op.ceph.set(checks={})
    run = op.prepare()
    assert run.rc == 0 and SAFE in run.text, run.text
    assert "2 images asked one by one" in run.text and "each image was asked, as" in run.text
    name, value = op.play("ceph_maint_close", ceph_maint_confirm="true").accept_argument().split("=")
    run = op.play("ceph_maint_close", ceph_maint_confirm="true", **{name: value})
    assert run.rc == 0 and "ceph osd unset noout" in run.text, run.text
    assert op.flags() == {"noout", "noscrub"}
