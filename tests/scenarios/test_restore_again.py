# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second restore after a complete one changes nothing, and ends well only while all is as the first one left it."""

from __future__ import annotations

import typing as t

import pytest

from harness.fast_clock import Desk, GiveDesk, desks
from harness.operator import Operator, open_hosts

desk = pytest.fixture(desks)


def restored(at: Desk) -> str:
    """A maintenance that ended complete. Returns its id."""
    assert at.crew.prepare().safe
    assert at.crew.restore().rc == 0
    return str(at.ask("SELECT id FROM maintenance")[0][0])


def test_second_restore_finds_nothing_to_do(desk: GiveDesk) -> None:
    at = desk()
    identity = restored(at)
    sent = len(at.cloud.journal.writes())
    for check in (False, True):
        out = at.crew.restore(ceph_is_back=False, check=check)
        assert out.rc == 0, out.text
        assert f"Restored already: maintenance {identity} ended complete at 2" in out.text
        assert list(out.results) == ["plan"] and not out.results["plan"]["changed"]
    assert len(at.cloud.journal.writes()) == sent


@pytest.mark.parametrize("lost", [False, True])
def test_second_restore_bears_what_was_accepted_and_deleted(desk: GiveDesk, lost: bool) -> None:
    at = desk(fail_start=["vm-0"] if lost else 0, fail_start_times=3)
    assert at.crew.prepare().safe
    at.act("delete", vm=at.uuid("vm-1"))
    out = at.crew.restore()
    if lost:
        assert out.rc == 2
        out = at.crew.restore(accept=[f"lost:{at.uuid('vm-0')}"])
    assert out.rc == 0, out.text
    again = at.crew.restore()
    assert again.rc == 0 and "Restored already" in again.text, again.text


def change_vm(at: Desk) -> str:
    at.act("stop", vm="vm-0")
    return f"VM {at.uuid('vm-0')} (vm-0, owner {at.cloud.vm('vm-0').owner}) was left running and is stopped now"


def change_host(at: Desk) -> str:
    at.act("host", host=at.cloud.hosts[0].uuid, accepting=False)
    return f"host {at.cloud.hosts[0].uuid} was left open and is closed now"


def remove_host(at: Desk) -> str:
    at.act("fault", route="host_list", kind="list", drop=[at.cloud.hosts[0].uuid], times=-1)
    return f"host {at.cloud.hosts[0].uuid} is not listed any more"


@pytest.mark.parametrize("change", [change_vm, change_host, remove_host])
def test_second_restore_is_rejected_when_something_changed(desk: GiveDesk, change: t.Callable[[Desk], str]) -> None:
    at = desk()
    restored(at)
    difference = change(at)
    sent = len(at.cloud.journal.writes())
    out = at.crew.restore()
    assert out.refused and "There is no open record in" in out.text
    assert f"  {difference}" in out.lines, out.text
    assert len(at.cloud.journal.writes()) == sent


def test_second_restore_after_max_age_is_rejected(desk: GiveDesk) -> None:
    at = desk()
    restored(at)
    at.crew.settings["max_age"] = 0.0
    out = at.crew.restore()
    assert out.refused and "There is no open record in" in out.text


def test_second_restore_from_a_list_is_not_taken_for_the_first(desk: GiveDesk) -> None:
    at = desk()
    restored(at)
    (listed,) = at.folder.glob("records/*/*.running_vms.json")
    at.crew.settings.update(running_vms=str(listed), open_hosts="none")
    out = at.crew.restore()
    assert out.rc == 0 and "Hand-made list" in out.text and "open" in out.results


@pytest.mark.smoke
def test_second_restore_playbook_changes_nothing(platform: t.Callable[..., Operator]) -> None:
    op = platform(vms=2, hosts=1)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert op.prepare().rc == 0
    assert op.restore().rc == 0
    run = op.play("ceph_maint_restore")
    assert run.rc == 0, run.text
    assert "Restored already" in run.text and "changed=0" in run.recap
    assert (op.cloud.in_state("running"), open_hosts(op.cloud)) == (before, hosts)
