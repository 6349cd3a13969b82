# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which recorded VMs are started when a look at Ceph says that some of their disks are in use."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import FELL, Change, Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_power


@pytest.fixture
def made(tmp_path):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api.example.com", location="", reason="")
    token = record.begin_run("ann", "restore")
    record.add_running(token, [parse_vm({"uuid": uuid, "status": "running", "user_id": 8, "name": uuid}) for uuid in "abcd"], late=False)
    yield record, token
    record.close()


def look(*vms, unknown=0, mapped=True, **more):
    rows = [{"image": f"vms/{vm or 'x'}", "client": "client.4", "address": "10.0.0.4:0/7", "vm": vm} for vm in [*vms, *[""] * unknown]]
    watchers = {"way": "osd", "pools": ["vms"], "count": len(rows), "open": rows, "missing": [], "mapped": mapped, **more}
    return {"problem": "", "health": {"status": "HEALTH_OK"}, "flags": [], "watchers": watchers}


def to_start(made, ceph, running=(), which="pending"):
    """Whom it starts; what it writes down of the others is written down."""
    record, token = made
    params = {"run": token, "which": which, "ceph_host": "mon1", "ceph": ceph}
    targets, changes = pilw_vm_power.to_start(params, record, record.vms(), set(running))
    record.write(token, changes)
    return "".join(vm.uuid for vm in targets)


def tell(made, uuid, event, **columns):
    record, token = made
    record.write(token, [Change(uuid, columns, event)])


def test_only_those_whose_disk_is_free_are_started(made):
    assert to_start(made, look("b")) == "acd"
    row = next(vm for vm in made[0].vms() if vm.uuid == "b")
    assert row.start.outcome == "failed" and "is open at client.4 (10.0.0.4:0/7)" in row.start.error


def test_what_runs_has_its_disk_open_and_is_not_held_back(made):
    assert to_start(made, look("b"), running="b") == "acd"
    row = next(vm for vm in made[0].vms() if vm.uuid == "b")
    assert row.start.outcome == "already_running"


def test_what_is_held_back_stays_so_in_the_next_waves(made):
    """A later look may name other open images only: those of the VMs that were started meanwhile are so many."""
    assert to_start(made, look("b")) == "acd"
    for uuid in "ac":
        tell(made, uuid, "start sent", start_sent_at="t")
    assert to_start(made, look(), running="ac", which="untried") == "d"


def test_what_another_run_held_back_is_tried_again(made):
    record, _token = made
    assert to_start(made, look("b")) == "acd"
    assert to_start((record, record.begin_run("ann", "restore")), look()) == "abcd"


@pytest.mark.parametrize("ceph", [look(unknown=1), look("e"), look("A")], ids=["no uuid", "no VM of the platform", "odd spelling"])
def test_an_image_of_no_known_vm_may_be_the_disk_of_any(made, ceph):
    """Also one whose name gives something that looks like a uuid and is none of a VM."""
    for which in ("pending", "untried"):
        if which == "pending":
            with pytest.raises(Refused, match="Before anything was started") as caught:
                to_start(made, ceph)
            assert len(caught.value.items) == 1 and caught.value.items[0].startswith("start:vms/")
        tell(made, "a", "start sent", start_sent_at="t")
        ceph["watchers"]["open"].append(look("a")["watchers"]["open"][0])
        ceph["watchers"]["count"] = len(ceph["watchers"]["open"])
        assert to_start(made, ceph, running="a", which="untried") == ""
    row = next(vm for vm in made[0].vms() if vm.uuid == "b")
    assert "held back" in row.start.error and "ceph_maint_accept=start:vms/" in row.start.error


def test_a_rerun_without_a_pattern_starts_nothing_beside_open_images_unless_accepted(made):
    """They may all be those of VMs that run again, or one that of a VM that is to be started: nobody can tell."""
    record, token = made
    tell(made, "a", "start sent", start_sent_at="t", start_outcome="running")
    ceph = look(unknown=1, mapped=False)
    with pytest.raises(Refused, match="of which VM is not known") as caught:
        to_start(made, ceph, running="a")
    assert caught.value.items == ["start:mon1"]
    record.accept(token, caught.value.items)
    assert to_start(made, ceph, running="a") == "bcd"
    assert to_start(made, look("b"), running="a") == "cd", "what is known to be open is held back all the same"


def test_a_vm_that_was_seen_and_not_recorded_is_known(made):
    """It was left out of the scope, and its disk is its own."""
    record, token = made
    record.note_states(token, parse_vm_list([{"uuid": "e", "status": "running"}]))
    assert to_start(made, look("e")) == "abcd"


def test_where_nothing_is_left_to_start_ceph_may_say_what_it_will(made):
    assert to_start(made, {"problem": "hangs"}, running="abcd") == ""
    with pytest.raises(Refused, match="nothing was started"):
        to_start(made, {"problem": "hangs"}, running="abc")


def test_those_that_fell_are_started_once_more_unless_their_disk_is_in_use(made):
    for uuid in "abc":
        tell(made, uuid, "start sent", start_sent_at="t")
    for uuid in "ab":
        tell(made, uuid, FELL, start_outcome="failed")
    assert to_start(made, look("b"), running="c", which="fallen") == "a"
