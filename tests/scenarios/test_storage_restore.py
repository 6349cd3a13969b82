# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that asks Ceph: it waits until Ceph serves, starts no VM whose disk is in use, and looks again between the waves.

What its modules decide, by the quick operator; test_storage.py has the same restore with ansible-playbook.
"""

from __future__ import annotations

import typing as t
from types import ModuleType

import pytest

from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_status
from harness import in_process as crew
from harness.ceph_operator import StorageOperator
from harness.in_process_operator import QuickOperator
from harness.operator import open_hosts

Storage = t.Callable[..., StorageOperator]
WELL = {"osds": {"0": "up", "1": "up", "2": "up"}, "groups": {"2.0": "active+clean", "3.0": "active+clean"}}


def brought_down(op: StorageOperator) -> set[str]:
    """What ran, by a prepare that knows nothing of Ceph: the restore asks it all the same."""
    before = op.cloud.in_state("running")
    assert QuickOperator(op.cloud, op.folder).prepare().rc == 0
    return before


def starts(op: StorageOperator) -> list[str]:
    return [entry.uuid for entry in op.cloud.journal.of("admin_vm_start")]


def test_nothing_is_opened_or_started_before_ceph_serves(quick_storage: Storage) -> None:
    """HEALTH_OK all the time. Flags of ours under which no write ends go before it is waited for, the others after."""
    op = quick_storage(vms=3, hosts=2)
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
    assert set(run.accept_argument().partition("=")[2].split(",")) >= {"health:osd-1", "health:pgs-vms", "health:flag-noup"}
    assert not starts(op) and not open_hosts(op.cloud) and op.phase() == "safe"
    assert sorted(op.ceph.writes[3:]) == ["ceph osd unset nodown", "ceph osd unset pause"]
    asked = [call for call in op.ceph.calls if call.startswith(("ceph osd unset", "ceph quorum_status"))]
    assert asked[2] == "ceph quorum_status", "unset before it is waited"
    # A silent one is waited for too, and is mended while it is waited for: the run goes on by itself.
    op.ceph.set(**{**WELL, "osds": {**WELL["osds"], "1": "silent"}}, flags=["noout"])
    op.ceph.then("ceph tell osd.1 version", nth=2, **WELL)
    run = op.restore(**flags)
    assert run.rc == 0 and "Ceph serves." in run.text, run.text
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts and op.flags() == set()
    last = [call for call in op.ceph.calls if call.startswith(("ceph osd unset", "ceph tell osd.1 version"))]
    assert last[-1] == "ceph osd unset noout", "not before every placement group was active"


def test_another_cluster_than_the_one_of_the_proof_is_refused_untouched(quick_storage: Storage) -> None:
    """A second site, a copied inventory: the flags of the one must not be unset, nor its word be taken for the other."""
    op = quick_storage(vms=2, hosts=1)
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


def test_where_another_cluster_is_accepted_its_own_flags_stay(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    assert op.prepare().rc == 0 and op.flags() == {"noout"}
    op.ceph.set(fsid="bbbb-2")  # there its own people have set it
    run = op.prepare(ceph_maint_accept="cluster:bbbb-2")
    assert run.rc == 0 and "SAFE EXCEPT 1 ACCEPTED: cluster:bbbb-2" in run.text, run.text
    assert "Flags that this maintenance set on the Ceph cluster aaaa-1 are not unset on bbbb-2. Unset them there by hand: noout." in run.text
    run = op.restore()
    assert run.rc == 0 and op.flags() == {"noout"}, run.text


def test_a_vm_whose_disk_is_in_use_is_held_back_until_it_is_not(quick_storage: Storage) -> None:
    """A hypervisor that was frozen writes on. The platform does not show that guest."""
    op = quick_storage(vms=4, hosts=1)
    before, held = brought_down(op), op.cloud.vm("vm-2").uuid
    op.ceph.set(watchers=[[op.image("vm-2"), 77]])
    run = op.restore(ceph_maint_ceph_wave="1")
    assert run.rc != 0, run.text
    assert f"held back, as image vms/volume-{held} is open at client.77 (10.0.0.9:0/77)" in run.text
    assert f"ceph_maint_accept=start:vms/volume-{held}" in run.text
    assert op.cloud.in_state("running") == before - {held} and held not in starts(op)
    assert "ceph osd blocklist range rm 10.1.114.0/24" in run.text
    assert "ceph osd blocklist rm 10.0.0.9:0/1" in run.text and f"rbd lock rm vms/volume-{held} 'auto 1' client.7" in run.text
    op.ceph.set(watchers=[])
    count = len(starts(op))
    run = op.restore()
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert starts(op)[count:] == [held]


WAVE = {"ceph_maint_ceph_wave": "3", "ceph_maint_watchers_way": "osd"}


def test_between_the_waves_ceph_is_looked_at_again(quick_storage: Storage) -> None:
    op = quick_storage(vms=7, hosts=1)
    before = brought_down(op)
    # The first call of ceph status is the look at the watchers, the second the one before the second wave.
    op.ceph.then("ceph status", nth=2, osds={**WELL["osds"], "2": "down"})
    run = op.restore(**WAVE, ceph_maint_ceph_wait="0.5")
    assert run.rc != 0 and "osd.2 is down. Nothing more was started" in run.text, run.text
    assert "ceph_maint_accept=health:osd-2" in run.text
    assert len(starts(op)) == 3 == len(op.cloud.in_state("running"))
    assert "VMs recorded 7: not tried 4, running again 3" in run.text, "the summary is shown all the same"
    op.ceph.set(**WELL)
    # The host is lost before the next wave.
    op.ceph.then("ceph status", nth=2, touch=op.cut)
    run = op.restore(**WAVE)
    assert run.rc != 0 and "mon1 was not reached, so whether Ceph still serves is not known. Nothing more was started" in run.text, run.text
    assert len(starts(op)) == 6
    op.cut.unlink()
    count = op.ceph.calls.count("ceph status")
    run = op.restore(**{**WAVE, "ceph_maint_ceph_wave": "1"})
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert sorted(starts(op)) == sorted(before), "each once"
    assert op.ceph.calls.count("ceph status") - count == 1, "one, and further ones for each further wave"


def test_a_vm_that_falls_down_after_its_start_is_started_once_more(quick_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It obeys a stop of before the outage, now that its disk answers again."""
    op = quick_storage(vms=3, hosts=1)
    before, falls = brought_down(op), op.cloud.vm("vm-1").uuid
    plain = crew.run_module

    def falling(module: ModuleType, options: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        if options.get("hold") and module is pilw_vm_status:
            op.cloud.act("stop", vm=falls)
        return plain(module, options, **more)

    monkeypatch.setattr(crew, "run_module", falling)
    run = op.restore()
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    assert starts(op).count(falls) == 2 and len(starts(op)) == 4
    named = run.text.split("Went down again after they ran, and were started once more: 1")
    assert len(named) == 2 and falls in named[1], "it is named"
