# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many VMs are forced off, which never are, and what groups and the first starts decide for themselves."""

from __future__ import annotations

import re

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._record import force_limit
from harness.fast_clock import NOT_SAFE, Desk, GiveDesk, desks

desk = pytest.fixture(desks)
QUICK = {"deaf_seconds": 5, "poll_interval": 0.02, "stop_timeout": 0.4, "force_timeout": 0.6}


def forced(at: Desk) -> set[str]:
    """VMs that were asked to go off by force."""
    return {entry.uuid for entry in at.cloud.journal.of("admin_vm_stop") if entry.params.get("force")}


def unresponsive(at: Desk) -> set[str]:
    return {vm.uuid for vm in at.cloud.vms if "deaf" in vm.traits}


def owned(at: Desk, owner: str) -> set[str]:
    return {vm.uuid for vm in at.cloud.vms if str(vm.owner) == owner}


def test_above_the_limit_none_is_forced_and_the_argument_continues(desk: GiveDesk) -> None:
    at = desk(vms=14, deaf=11, **QUICK)
    limit = "at most 10 of 14 VMs (ceph_maint_max_force_percentage=20)"
    assert f"Force: none (ceph_maint_force=false); with it {limit}" in at.crew.plan().lines
    out = at.crew.prepare(force=True)
    assert (out.rc, forced(at), at.cloud.in_state("running")) == (2, set(), unresponsive(at)), out.text
    assert out.error.startswith("11 VMs did not shut down in time: more than the 10 of 14 VMs that may be forced off"), out.text
    assert all(f"owner {at.cloud.vm(uuid).owner}: " in out.error and uuid in out.error for uuid in unresponsive(at))
    assert at.phase() == "stopping"
    out = at.crew.force()
    assert (out.rc, forced(at)) == (2, set()), "the force playbook has the same limit"
    (percent,) = re.findall(r"-e ceph_maint_max_force_percentage=(\d+)$", out.error)
    at.crew.settings["max_force_percentage"] = float(percent)
    out = at.crew.force()
    assert (out.safe, forced(at)) == (True, unresponsive(at)), out.text


def test_those_forced_off_in_an_earlier_round_count(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(force_limit, "ALWAYS", 1)
    at = desk(vms=6, deaf=["vm-0", "vm-1"], **QUICK)
    at.act("stop", vm="vm-1")
    assert at.crew.prepare(force=True).safe
    assert forced(at) == {at.uuid("vm-0")}
    at.act("start", vm="vm-1")
    out = at.crew.prepare(force=True)
    assert (out.rc, forced(at)) == (2, {at.uuid("vm-0")}), out.text
    assert out.error.startswith("1 VMs did not shut down in time, with 1 forced off before: more than the 1 of 6 VMs that may be forced off")
    at.crew.settings["max_force_percentage"] = 34.0
    assert at.crew.prepare(force=True).safe
    assert forced(at) == unresponsive(at)


def test_vms_of_the_list_are_never_forced_in_any_path(desk: GiveDesk) -> None:
    at = desk(vms=6, owners=2, deaf=6, never_force=["vm-1", "8"], **QUICK)
    never = owned(at, "8") | {at.uuid("vm-1")}
    out = at.crew.prepare(force=True)
    assert (out.rc, out.headline, forced(at), at.cloud.in_state("running")) == (2, NOT_SAFE, at.running - never, never), out.text
    assert f"{len(never)} of them did not shut down in time and are never forced off" in out.text
    assert "To cut their power" not in out.text, "nothing is offered that is not done"
    assert f"{at.uuid('vm-1')} vm-1: would not stop: " in out.text and "; never forced off: ceph_maint_never_force names vm-1" in out.text
    at.crew.settings["never_force"] = None
    assert at.crew.status().results["status"]["outlived"] == 0, "a workflow does not ask to force them off"
    assert at.crew.force().refused
    out = at.crew.prepare(force=True)
    assert (out.rc, forced(at)) == (2, at.running - never), "a run that is not given the list spares them too"
    at.crew.settings["never_force"] = "none"
    out = at.crew.prepare(force=True)
    assert (out.safe, forced(at)) == (True, at.running), out.text


def test_an_entry_that_no_vm_has_is_rejected_before_any_write(desk: GiveDesk) -> None:
    at = desk(never_force=["8", "databse"])
    out = at.crew.prepare(force=True)
    assert (out.rc, at.cloud.journal.writes()) == (2, []), out.text
    assert out.error.startswith("ceph_maint_never_force: no VM has the uuid, name or owner databse")


def test_group_has_limits_of_its_own(desk: GiveDesk) -> None:
    groups = [{"name": "db", "query": "[?user_id==`8`]", "stop_timeout": 3, "concurrency": 1, "force": "never"}]
    at = desk(vms=9, owners=3, slow=["vm-0", "vm-3"], slow_seconds=60, deaf=["vm-6", "vm-7"], groups=groups, **QUICK)
    assert "Group db: stop_timeout 3, concurrency 1, force never" in at.crew.plan().lines
    out = at.crew.prepare(force=True)
    assert (out.rc, forced(at), at.cloud.in_state("running")) == (2, {at.uuid("vm-7")}, {at.uuid("vm-6")}), out.text
    assert {at.one("stop", f"vm-{number}")[0] for number in (0, 3)} == {"clean"}, "the run's own limit was over long before"
    assert "never forced off: its group db has force: never" in out.text
    calls = sorted((entry.started, entry.ended) for entry in at.cloud.journal.of("admin_vm_stop") if entry.uuid in owned(at, "8"))
    assert all(before[1] <= after[0] for before, after in zip(calls, calls[1:])), "one call at a time"


def starts(at: Desk) -> list[str]:
    return [entry.uuid for entry in at.cloud.journal.of("admin_vm_start")]


def test_first_starts_are_of_what_starts_last(desk: GiveDesk) -> None:
    groups = [{"name": "db", "query": "[?user_id==`8`]"}]
    at = desk(vms=6, owners=2, groups=groups, canary=1)
    assert at.crew.prepare().safe
    out = at.crew.restore()
    first = starts(at)[0]
    assert out.rc == 0 and first not in owned(at, "8"), out.text
    assert f"  first: {first} ({at.cloud.vm(first).name}, owner {at.cloud.vm(first).owner})" in out.lines


def test_first_starts_are_those_that_the_operator_names(desk: GiveDesk) -> None:
    at = desk(vms=6, canary=1, canary_vms="vm-3,vm-4", fail_start=["vm-3", "vm-4"], start_timeout=0.3, start_retries=0, max_fail_percentage=20)
    assert at.crew.prepare().safe
    out = at.crew.restore()
    named = {at.uuid("vm-3"), at.uuid("vm-4")}
    assert (out.rc, set(starts(at))) == (2, named), "they do not start, so nothing else is"
    at.crew.settings["canary_vms"] = ["vm-9"]
    out = at.crew.restore()
    assert (out.rc, set(starts(at))) == (2, named), out.text
    assert out.error.startswith("ceph_maint_canary_vms: no VM of the record has the uuid or name vm-9")
