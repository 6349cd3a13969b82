# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where images can be when each is asked: pools of any application, the trash, and pools that the key may not read."""

from __future__ import annotations

import typing as t

import pytest

from harness.ceph_operator import HOST, StorageOperator

Storage = t.Callable[..., StorageOperator]
SAFE = "SAFE TO TAKE CEPH DOWN"
IMAGE = {"ceph_maint_watchers_way": "image"}
STRAY = "volume-0a1b2c3d-0000-4000-8000-00000000000a"
NO_OSDS = {"ceph tell": 13}  # the key may not ask them


def refused_plan(op: StorageOperator, item: str, **variables: t.Any) -> str:
    """A prepare that its plan refuses with one item. Returns what it printed."""
    run = op.prepare(**variables)
    assert run.rc != 0 and SAFE not in run.text, run.text
    assert run.accept_argument() == f"ceph_maint_accept={item}", run.text
    assert not op.cloud.journal.writes() and not op.ceph.writes
    return run.text


@pytest.mark.parametrize("uses", [["volumes"], [], ["cephfs", "volumes"]])
@pytest.mark.parametrize("way", ["image", "auto"])
def test_image_in_a_pool_without_application_rbd_blocks_safe(quick_storage: Storage, uses: list[str], way: str) -> None:
    op = quick_storage(vms=2, hosts=1)
    op.ceph.set(uses={"vms": ["rbd"], "volumes": uses, "files": ["cephfs"]}, watchers=[[f"volumes/{STRAY}", 77]], refuse=NO_OSDS)
    text = refused_plan(op, f"watcher:volumes/{STRAY}", ceph_maint_watchers_way=way)
    assert f"image volumes/{STRAY} is open at client.77" in text
    assert "Not checked, as only CephFS, RGW, NFS or the manager use them: the pools files" in text


@pytest.mark.parametrize("way", ["image", "osd"])
def test_image_in_the_trash_blocks_safe(quick_storage: Storage, way: str) -> None:
    op = quick_storage(vms=2, hosts=1)
    op.ceph.set(watchers=[[f"vms/trash:{STRAY}", 77]])
    identity = STRAY.encode().hex()
    text = refused_plan(op, f"watcher:vms/trash:{identity}/{STRAY}", ceph_maint_watchers_way=way)
    assert "the disk of VM 0a1b2c3d-0000-4000-8000-00000000000a" in text, "its name tells the VM as before"


def test_plan_and_summary_name_what_was_not_checked(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    op.ceph.set(without_header=["half"])
    run = op.prepare(**IMAGE)
    assert run.rc == 0 and SAFE in run.text, run.text
    for line in (
        "Not checked, as only CephFS, RGW, NFS or the manager use them: the pools backup",
        "Half removed, without a header that a client could have open: vms/half",
        "Not checked, as each image was asked: images that neither rbd_directory nor rbd_trash of their pool names",
    ):
        assert run.text.count(line) == 2, f"in plan and summary: {line}"


def test_unread_pool_needs_its_override(quick_storage: Storage) -> None:
    """Accepted before safe, it starts nothing: an image there may be open still."""
    op = quick_storage(vms=2, hosts=1)
    before = op.cloud.in_state("running")
    op.ceph.set(uses={"vms": ["rbd"], "glance": []}, refuse={"rbd namespace ls glance": 1, **NO_OSDS})
    text = refused_plan(op, "unchecked:glance")
    assert "may not read the pools glance" in text
    run = op.prepare(ceph_maint_accept="unchecked:glance")
    assert run.rc == 0 and "SAFE EXCEPT 1 ACCEPTED: unchecked:glance" in run.text, run.text
    assert op.flags() == {"noout"}
    run = op.restore()
    assert run.rc != 0 and "may not read the pools glance" in run.text, run.text
    assert f"start:{HOST}" in run.accept_argument() and not op.cloud.journal.of("admin_vm_start")
    run = op.restore(ceph_maint_rbd_pools="vms")
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text


def test_unread_pool_is_seen_where_it_comes_up_after_the_plan(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    op.ceph.set(uses={"vms": ["rbd"], "glance": []})
    op.ceph.then("rbd namespace ls glance", nth=2, refuse={"rbd trash ls --all glance": 1})
    run = op.prepare(**IMAGE)
    assert run.rc != 0 and "NOT SAFE TO TAKE CEPH DOWN" in run.text, run.text
    assert run.accept_argument() == "ceph_maint_accept=unchecked:glance"


def test_unreadable_answer_is_not_blamed_on_the_monitors(quick_storage: Storage) -> None:
    op = quick_storage(vms=2, hosts=1)
    before = op.cloud.in_state("running")
    assert op.prepare(ceph_maint_osd_flags="none").rc == 0
    op.ceph.set(texts={"ceph osd dump": "<html>not Ceph</html>"})
    run = op.restore(ceph_maint_ceph_wait="1")
    assert run.rc != 0 and "gave an answer that is not JSON: <html>not Ceph</html>" in run.text, run.text
    assert "monitors" not in run.text and not op.cloud.journal.of("admin_vm_start")
    op.ceph.set(texts={})
    assert op.restore().rc == 0 and op.cloud.in_state("running") == before
