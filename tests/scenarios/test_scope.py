# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scope that matches nothing is rejected before a record is made, and plain lists hold through to the restore."""

from __future__ import annotations

import typing as t

import pytest

from harness.operator import Operator, open_hosts

Platform = t.Callable[..., Operator]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ceph_maint_exclude": "[?user_id=='8']"}, "numbers stand in backticks: [?user_id==`8`]"),
        ({"ceph_maint_query": "[?user_id=='8']"}, "matches no VM, in any state."),
        ({"ceph_maint_groups": [{"name": "db", "query": "[?user_id=='8']"}]}, "The group db"),
        ({"ceph_maint_exclude_vms": ["vm-99"]}, "vm-99 is no uuid or name of a VM"),
        ({"ceph_maint_only_owners": "8\n88\n"}, "88 is no owner of a VM"),
    ],
    ids=["exclude", "query", "group", "vm", "owner"],
)
def test_what_matches_nothing_is_rejected_until_accepted(quick: Platform, given: dict[str, t.Any], text: str) -> None:
    op = quick(vms=6)
    run = op.prepare(**given)
    assert run.rc == 2 and text in run.text, run.text
    assert not op.cloud.journal.writes() and not op.place.exists()
    name, item = run.accept_argument().split("=", 1)
    assert item.startswith("no-match:")
    # The number is still no text, and all the same nothing else is refused.
    run = op.prepare("--check", **given, **{name: item})
    assert run.rc == 0, run.text


def test_on_an_open_record_what_matches_nothing_is_a_line(quick: Platform) -> None:
    op = quick(vms=6, deaf=["vm-1"])
    assert op.prepare().rc == 2 and op.phase() == "stopping"
    run = op.prepare("--check", ceph_maint_exclude_vms="vm-99", ceph_maint_groups=[{"name": "db", "query": "[?name=='nodb']"}])
    assert run.rc == 0, run.text
    assert "Note: ceph_maint_exclude_vms: vm-99 is no uuid or name of a VM" in run.text and "Note: The group db" in run.text


def test_plan_shows_the_groups_in_their_order(quick: Platform) -> None:
    op = quick(vms=6, running=6)
    last = sum(vm.owner == 8 for vm in op.cloud.vms)
    groups = [{"name": "db", "query": "[?user_id==`8`]"}, {"name": "none", "query": "[?name=='x']", "optional": True}]
    run = op.play("ceph_maint_plan", ceph_maint_groups=groups)
    assert run.rc == 0 and f"Group db: {last} VMs, stopped last, started first" in run.text, run.text
    assert "Group none: 0 VMs, stopped before db, started after db" in run.text


def test_list_of_vms_holds_through_to_the_restore(quick: Platform) -> None:
    """The names are uuids in the record: another VM by that name changes nothing."""
    op = quick(vms=6, running=6)
    before, hosts, spared = op.cloud.in_state("running"), open_hosts(op.cloud), op.cloud.vm("vm-2").uuid
    run = op.prepare(ceph_maint_exclude_vms="- vm-2\n")
    assert run.rc == 2 and "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN" in run.text, run.text
    assert "ceph_maint_exclude_vms: vm-2" in run.text
    assert op.cloud.in_state("running") == {spared} and spared not in op.recorded()
    assert spared in op.ask("SELECT exclude FROM maintenance")[0][0]
    run = op.restore()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before and open_hosts(op.cloud) == hosts
