# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that the random tests found, or that they reach too seldom, as plain tests."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

import pytest

from stateful.platform_model import Host, Vm
from stateful.state_machine import Maintenance


@contextlib.contextmanager
def platform(*vms: Vm, stop_seconds: float = 22.0, start_seconds: float = 4.0) -> t.Iterator[Maintenance]:
    """With one host that takes workloads."""
    state = Maintenance()
    state.begin(
        fleet=list(vms), estate=[Host("", True)], concurrency=4, groups=None, copied=False, flags_shown=True,
        stop_seconds=stop_seconds, start_seconds=start_seconds, drops_deleted=False, first=None,
    )  # fmt: skip
    try:
        yield state
        state.nothing_is_lost()
    finally:
        state.teardown()


def test_a_start_still_at_work_is_not_forgotten_when_a_later_one_is_refused_as_busy() -> None:
    with platform(Vm("", "7", "running"), start_seconds=5000.0) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)  # its start outlives its time
        state.restore(kill=None, acts=[], go_on=False)  # 409 for as long as it is tried again
        state.prepare(force=False, acts=[])  # the first start is still at work


def test_a_start_still_at_work_is_not_forgotten_when_its_maintenance_is_given_up() -> None:
    with platform(Vm("", "7", "running"), Vm("", "8", "running"), start_seconds=5000.0) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)  # its starts outlive their time
        state.close(sure=True, kill=None, mended=True)
        out = state._play(state.crew.prepare)  # the starts are still at work
        assert out and out.items == ["start-left:vm-0", "start-left:vm-1"], out
        assert "may still come up" in " ".join(out.lines)
        safe_said = state.watcher.safe_said
        accepted = state._play(lambda: state.crew.prepare(accept=out.accept_argument()))
        expected = r"ALL VMS STOPPED EXCEPT 2 ACCEPTED: .*vm-0\b.*, .*vm-1\b.*\. CEPH WAS NOT CHECKED\."
        assert accepted and re.fullmatch(expected, accepted.headline), accepted
        assert state.watcher.safe_said == safe_said + 1


@pytest.mark.parametrize("accepted", [True, False])
def test_a_start_of_an_ended_maintenance_that_came_up_meanwhile_is_stopped_like_any_vm(accepted: bool) -> None:
    """Also where its refusal was accepted just before: that it may come up was accepted, not that it runs."""
    with platform(Vm("", "7", "running"), start_seconds=5000.0) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)
        state.close(sure=True, kill=None, mended=True)
        out = state._play(state.crew.prepare)
        assert out and out.items == ["start-left:vm-0"]
        state.time.pass_time(5000.0)
        again = state._play(lambda: state.crew.prepare(accept=out.accept_argument() if accepted else ()))
        assert again and again.headline == "ALL VMS STOPPED. CEPH WAS NOT CHECKED." and state.world.vms["vm-0"].state == "stopped"


def test_a_kept_record_that_nobody_can_read_stands_against_safe_as_long_as_it_may_matter() -> None:
    with platform(Vm("", "7", "running"), start_seconds=5000.0) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)
        state.close(sure=True, kill=None, mended=True)
        (kept,) = state._archived()
        kept.chmod(0o644)
        os.utime(kept, (state.time.wall(), state.time.wall()))
        out = state._play(state.crew.prepare)
        assert out and out.items == [f"start-left:{kept.name}"]
        kept.chmod(0o600)  # as it says
        assert state._play(state.crew.prepare).items == ["start-left:vm-0"]


@pytest.mark.parametrize(("owner", "left"), [("7", "vm-0"), ("8", "vm-1")])
def test_a_start_that_the_scope_leaves_out_is_told_of_only(owner: str, left: str) -> None:
    with platform(Vm("", "7", "running"), Vm("", "8", "running"), start_seconds=5000.0) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)
        state.close(sure=True, kill=None, mended=True)
        state.crew.settings["query"] = f"[?user_id=='{owner}']"
        out = state._play(state.crew.plan)
        assert out and out.items == [f"start-left:{left}"]
        assert any("left out by the scope: 1 starts" in line for line in out.lines), out.lines


def test_a_start_of_an_ended_maintenance_is_not_held_against_a_later_one_for_ever() -> None:
    with platform(Vm("", "7", "running", dead_starts=99), Vm("", "8", "running")) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)
        state.close(sure=True, kill=None, mended=True)
        state.time.pass_time(25 * 3600.0)
        assert state._play(state.crew.prepare).headline == "ALL VMS STOPPED. CEPH WAS NOT CHECKED."


@pytest.mark.parametrize("answered", ["undone-empty", "undone-hang", "done-empty"])
def test_a_host_whose_opening_was_answered_and_not_read_back_is_not_taken_for_open(answered: str) -> None:
    for point in range(8, 24):  # on both sides of the write
        with platform(Vm("", "7", "running")) as state:
            state.prepare(force=False, acts=[])
            state.answers_will_fail(writes=[answered], reads=[])
            state.restore(kill=(point, "machine"), acts=[], go_on=False)
            state.restore(kill=None, acts=[], go_on=False)
            assert state.world.hosts["host-0"].accepting, point


def test_what_a_restore_prints_at_its_end_is_pasted_and_ends_it() -> None:
    with platform(Vm("", "7", "running", dead_starts=99), Vm("", "8", "running")) as state:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=False)
        state.restore_without_some()
        assert state.count["ends without some"] == 1


def test_a_restore_that_is_broken_off_names_each_vm_and_each_host() -> None:
    dead = [Vm("", owner, "running", dead_starts=3) for owner in "78789"]
    with platform(*dead) as state:
        state.prepare(force=False, acts=[])
        state.answers_will_fail(writes=["undone-403"] * 5, reads=[])  # the host is not opened
        state.restore(kill=None, acts=[], go_on=False)  # the first few do not start, the rest is not tried
        assert state.watcher.still_closed() == ["host-0"]
        assert state.watcher.ask("SELECT 1 FROM vms WHERE start_outcome IS NULL")


def test_a_host_in_maintenance_that_somebody_opens_gets_no_write_and_does_not_stand_against_safe() -> None:
    state = Maintenance()
    state.begin(
        fleet=[Vm("", "7", "running")], estate=[Host("", True), Host("", True, "MAINTENANCE")], concurrency=4, groups=None, copied=False,
        flags_shown=True, stop_seconds=22.0, start_seconds=4.0, drops_deleted=False, first=None,
    )  # fmt: skip
    try:
        state.prepare(force=False, acts=[])
        state.restore(kill=None, acts=[], go_on=True)
        state.others("admin opens", 1)
        state.prepare(force=False, acts=[])
        assert state.watcher.safe_said == 2
        assert not [call for call in state.world.calls if call.uuid == "host-1"]
    finally:
        state.teardown()
