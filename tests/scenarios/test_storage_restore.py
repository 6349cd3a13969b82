# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that asks Ceph: it waits until Ceph serves, starts no VM whose disk is in use, and looks again between the waves."""

from __future__ import annotations

import threading
import typing as t

import pytest

from scenarios.desk import open_hosts, wait_until
from scenarios.quick import QuickOperator
from scenarios.storage_desk import StorageOperator

Storage = t.Callable[..., StorageOperator]
WELL = {"osds": {"0": "up", "1": "up", "2": "up"}, "groups": {"2.0": "active+clean", "3.0": "active+clean"}}


def brought_down(op: StorageOperator) -> set[str]:
    """What ran, by a prepare that knows nothing of Ceph: the restore asks it all the same."""
    before = op.cloud.in_state("running")
    assert QuickOperator(op.cloud, op.folder).prepare().rc == 0
    return before


def starts(op: StorageOperator) -> list[str]:
    return [entry.uuid for entry in op.cloud.journal.of("admin_vm_start")]


def test_nothing_is_opened_or_started_before_ceph_serves(storage: Storage) -> None:
    """HEALTH_OK all the time. Flags of ours under which no write ends go before it is waited for, the others after."""
    op = storage(vms=3, hosts=2)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    flags = {"ceph_maint_osd_flags": "noout,nodown,pause"}
    run = op.prepare(**flags)
    assert run.rc == 0 and op.flags() == {"noout", "nodown", "pause"}, run.text
    op.ceph.set(osds={**WELL["osds"], "1": "down"}, groups={"2.0": "peering", "3.0": "active+clean"})
    op.ceph.then("ceph quorum_status", flags=["noout", "noup"])
    run = op.restore(**flags, ceph_maint_ceph_wait="1")
    assert run.rc != 0 and "Ceph does not serve as it should after 1 s" in run.text, run.text
    for words in ("osd.1 is down", "pool vms: placement groups are not active: 1 peering", "the flag noup is set (ceph osd unset noup)"):
        assert words in run.text
    assert set(run.accept_argument().partition("=")[2].split(",")) >= {"osd:1", "pgs:vms", "flag:noup"}
    assert not starts(op) and not open_hosts(op.cloud) and op.phase() == "safe"
    assert op.ceph.writes[3:] == ["ceph osd unset nodown", "ceph osd unset pause"] or op.ceph.writes[3:] == [
        "ceph osd unset pause", "ceph osd unset nodown",
    ]  # fmt: skip
    asked = [call for call in op.ceph.calls if call.startswith(("ceph osd unset", "ceph quorum_status"))]
    assert asked[2] == "ceph quorum_status", "unset before it is waited"
    # A silent one is waited for too, and is mended while it is waited for: the run goes on by itself.
    op.ceph.set(**{**WELL, "osds": {**WELL["osds"], "1": "silent"}}, flags=["noout"])
    op.ceph.then("ceph tell osd.1 version", nth=2, **WELL)
    run = op.restore(**flags, ceph_maint_ceph_timeout="2", ceph_maint_ceph_wait="60")
    assert run.rc == 0 and "Ceph serves." in run.text, run.text
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts and op.flags() == set()
    last = [call for call in op.ceph.calls if call.startswith(("ceph osd unset", "ceph tell osd.1 version"))]
    assert last[-1] == "ceph osd unset noout", "not before every placement group was active"


def test_another_cluster_than_the_one_of_the_proof_is_refused_untouched(storage: Storage) -> None:
    """A second site, a copied inventory: the flags of the one must not be unset, nor its word be taken for the other."""
    op = storage(vms=2, hosts=1)
    before = op.cloud.in_state("running")
    flags = {"ceph_maint_osd_flags": "noout,nodown"}
    assert op.prepare(**flags).rc == 0 and op.flags() == {"noout", "nodown"}
    writes = len(op.ceph.writes)
    op.ceph.set(fsid="bbbb-2")
    for run in (op.restore(**flags), op.restore(**flags)):
        assert run.rc != 0 and "another cluster answers than the one of which safe was proved: bbbb-2, and not aaaa-1" in run.text, run.text
        assert "No flag was changed." in run.text and run.accept_argument() == "ceph_maint_accept=cluster:bbbb-2"
        assert len(op.ceph.writes) == writes and not starts(op) and not open_hosts(op.cloud) and op.phase() == "safe"
    again = op.prepare(**flags)
    assert again.rc != 0 and "Correct ceph_maint_ceph_host" in again.text and "cluster:bbbb-2" in again.accept_argument(), again.text
    op.ceph.set(fsid="aaaa-1")
    run = op.restore(**flags)
    assert run.rc == 0 and op.cloud.in_state("running") == before and op.flags() == set(), run.text


@pytest.mark.full
def test_where_another_cluster_is_accepted_its_own_flags_stay(storage: Storage) -> None:
    op = storage(vms=2, hosts=1)
    assert op.prepare().rc == 0 and op.flags() == {"noout"}
    op.ceph.set(fsid="bbbb-2")  # there its own people have set it
    run = op.prepare(ceph_maint_accept="cluster:bbbb-2")
    assert run.rc == 0 and "SAFE EXCEPT 1 ACCEPTED: cluster:bbbb-2" in run.text, run.text
    assert "Flags that this maintenance set on the Ceph cluster aaaa-1 are not unset on bbbb-2. Unset them there by hand: noout." in run.text
    run = op.restore()
    assert run.rc == 0 and op.flags() == {"noout"}, run.text


def test_a_vm_whose_disk_is_in_use_is_held_back_until_it_is_not(storage: Storage) -> None:
    """A hypervisor that was frozen writes on. The platform does not show that guest."""
    op = storage(vms=4, hosts=1)
    before, held = brought_down(op), op.cloud.vm("vm-2").uuid
    op.ceph.set(watchers=[[op.image("vm-2"), 77]])
    run = op.restore(ceph_maint_ceph_wave="1")
    assert run.rc != 0, run.text
    assert f"held back, as image vms/volume-{held} is open at client.77 (10.0.0.9:0/77)" in run.text
    assert f"ceph_maint_accept=start:vms/volume-{held}" in run.text
    assert op.cloud.in_state("running") == before - {held} and held not in starts(op)
    assert "ceph osd blocklist rm 10.0.0.9:0/1" in run.text and f"rbd lock rm vms/volume-{held} 'auto 1' client.7" in run.text
    op.ceph.set(watchers=[])
    count = len(starts(op))
    run = op.restore()
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert starts(op)[count:] == [held]


WAVE = {"ceph_maint_ceph_wave": "3", "ceph_maint_watchers_way": "osd"}


def test_between_the_waves_ceph_is_looked_at_again(storage: Storage) -> None:
    op = storage(vms=10, hosts=1)
    before = brought_down(op)
    # The first call of ceph status is the look at the watchers, the second the one before the second wave.
    count = op.ceph.calls.count("ceph status")
    op.ceph.then("ceph status", nth=2, osds={**WELL["osds"], "2": "down"})
    run = op.restore(**WAVE, ceph_maint_ceph_wait="6")
    assert run.rc != 0 and "osd.2 is down. Nothing more was started" in run.text, run.text
    assert "ceph_maint_accept=osd:2" in run.text
    first = len(starts(op))
    assert first in (3, 6) and len(op.cloud.in_state("running")) == first
    assert "Did not come back" in run.text or "not started" in run.text or "recorded VMs" in run.text, "the summary is shown all the same"
    op.ceph.set(**WELL)
    count = op.ceph.calls.count("ceph status")
    run = op.restore(**WAVE)
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert sorted(starts(op)) == sorted(before), "each once"
    waves = -(-(10 - first) // 3)
    assert op.ceph.calls.count("ceph status") - count == 1 + 3 * (waves - 1), "one, and three for each further wave"


@pytest.mark.every_core
def test_the_host_that_is_asked_is_lost_between_two_waves(storage: Storage) -> None:
    op = storage(vms=10, hosts=1)
    brought_down(op)
    op.ceph.then("ceph status", nth=2, touch=op.cut)
    run = op.restore(**WAVE)
    # To ansible-core 2.16 a connection that is lost in the midst of a task is a failure, and the word is its own.
    assert run.rc != 0 and ("mon1 was not reached" in run.text or "Connection timed out" in run.text), run.text
    assert len(starts(op)) in (3, 6)
    assert op.ask("SELECT ended FROM runs ORDER BY rowid DESC LIMIT 1") != [(None,)], "the run has let go of the record"


@pytest.mark.full
def test_a_vm_that_falls_down_after_its_start_is_started_once_more(storage: Storage) -> None:
    """It obeys a stop of before the outage, now that its disk answers again."""
    op = storage(vms=3, hosts=1)
    before, falls = brought_down(op), op.cloud.vm("vm-1").uuid

    def fall() -> None:
        wait_until(lambda: len(op.ask("SELECT 1 FROM vms WHERE start_outcome='running'")) == 3)
        op.cloud.act("stop", vm=falls)

    thread = threading.Thread(target=fall)
    thread.start()
    run = op.restore(ceph_maint_verify_hold="5")
    thread.join()
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert starts(op).count(falls) == 2 and len(starts(op)) == 4
    named = run.text.split("Went down again after they ran, and were started once more: 1")
    assert len(named) == 2 and falls in named[1], "it is named"
