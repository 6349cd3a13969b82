# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""To end a maintenance that is not restored takes an override that names it, and what it leaves can be brought back."""

from __future__ import annotations

import shlex
import typing as t

import pytest

from harness import in_process as crew
from harness.fast_clock import Desk, GiveDesk, desks
from harness.in_process_operator import QuickOperator
from harness.operator import Operator

desk = pytest.fixture(desks)


def identity_of(at: Desk) -> str:
    return str(at.ask("SELECT id FROM maintenance")[0][0])


def variables(command: str) -> dict[str, str]:
    """The ``-e`` arguments of a printed command, as a shell reads them."""
    words = shlex.split(command)
    return dict(word.split("=", 1) for before, word in zip(words, words[1:]) if before == "-e")


def bring_back(at: Desk, lines: list[str]) -> crew.Outcome:
    """Paste the command that was printed."""
    (line,) = [line for line in lines if "-e ceph_maint_running_vms=" in line]
    given = variables(line[line.index("ansible-playbook") :])
    assert given["ceph_maint_confirm"] == given["ceph_maint_ceph_is_back"] == "true"
    at.crew.settings.update(running_vms=given["ceph_maint_running_vms"], open_hosts=given["ceph_maint_open_hosts"])
    return at.crew.restore()


def test_close_right_after_safe_is_rejected(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    identity = identity_of(at)
    for given in ((), ("give-up:another",)):
        out = at.crew.close(accept=given)
        assert out.refused and at.phase() == "safe", out.text
        assert "6 VMs would stay down and 2 hosts closed. Nothing was changed." in out.error
        assert "ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_confirm=true -e ceph_maint_ceph_is_back=true" in out.error
        assert out.error.endswith(f"ceph_maint_close -e ceph_maint_confirm=true -e ceph_maint_accept=give-up:{identity}")
    assert not at.ask("SELECT * FROM runs WHERE purpose='close'"), "not even a run was begun"


def test_given_up_maintenance_is_brought_back_from_its_files(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    out = at.crew.close(accept=[f"give-up:{identity_of(at)}"])
    assert out.rc == 0, out.text
    assert "ENDED. 6 VMS STAY DOWN, 2 HOSTS STAY CLOSED." in out.lines
    assert out.results["close"]["headline"] == "ENDED. 6 VMS STAY DOWN, 2 HOSTS STAY CLOSED."
    assert not at.cloud.in_state("running")
    assert bring_back(at, out.lines).rc == 0
    assert at.cloud.in_state("running") == at.running
    assert all(host.accepting for host in at.cloud.hosts)


def test_next_commands_know_what_was_given_up(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    identity = identity_of(at)
    assert at.crew.close(accept=[f"give-up:{identity}"]).rc == 0
    planned = at.crew.plan()
    assert f"The last maintenance, {identity}, ended at 2" in planned.text
    assert "gave up 6 VMs that are still down and 2 hosts that are not shown as open" in planned.text
    restore = at.crew.restore()
    assert restore.refused and "to bring back the 6 VMs and 2 hosts that the last maintenance gave up: ansible-playbook" in restore.text
    assert bring_back(at, [line for line in planned.lines if "gave up" in line]).rc == 0
    assert at.cloud.in_state("running") == at.running
    at.crew.settings.update(running_vms=None, open_hosts=None)
    assert "gave up" not in at.crew.plan().text


def test_close_of_a_restore_but_for_named_vms_needs_no_override(desk: GiveDesk) -> None:
    at = desk(fail_start=["vm-0"], fail_start_times=3)
    assert at.crew.prepare().safe
    failed = at.crew.restore()
    assert failed.rc == 2 and "ceph_maint_close -e ceph_maint_confirm=true; " in failed.error
    assert failed.accept_argument() == [f"lost:{at.uuid('vm-0')}"], "the last argument gives up least"
    out = at.crew.close()
    assert out.rc == 0, out.text
    assert out.lines[-len(out.results["close"]["lines"])] == "ENDED. 1 VMS STAY DOWN, 0 HOSTS STAY CLOSED."
    assert "To end without them" not in "\n".join(out.results["close"]["lines"])
    at.act("clear_faults")
    assert bring_back(at, out.lines).rc == 0
    assert at.cloud.in_state("running") == at.running


@pytest.mark.parametrize("left", ["host", "vms"])
def test_close_with_a_closed_host_or_untried_vms_is_rejected(desk: GiveDesk, left: str) -> None:
    at = desk(fail_start=1.0 if left == "vms" else 0, fail_start_times=9, canary=1, max_fail_percentage=20.0)
    assert at.crew.prepare().safe
    if left == "host":
        at.act("fault", route="host_flags", uuid=at.cloud.hosts[0].uuid, status=403, times=-1)
    assert at.crew.restore().rc == 2
    out = at.crew.close()
    assert out.refused and at.phase() == "starting", out.text
    assert ("0 VMs would stay down and 1 hosts closed" if left == "host" else "6 VMs would stay down and 0 hosts closed") in out.error


def test_close_of_an_aborted_prepare_counts_what_runs_as_running(desk: GiveDesk) -> None:
    at = desk(deaf=["vm-0"])
    assert at.crew.prepare().rc == 2
    out = at.crew.close()
    assert out.refused and "5 VMs would stay down and 2 hosts closed" in out.error, out.text
    out = at.crew.close(accept=out.accept_argument())
    assert out.rc == 0 and "ENDED. 5 VMS STAY DOWN, 2 HOSTS STAY CLOSED." in out.lines


def test_old_record_is_not_sent_to_close_alone(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    identity = identity_of(at)
    at.crew.settings["max_age"] = 0.0
    for out in (at.crew.plan(), at.crew.verify()):
        assert out.rc == 2 or "Refused, because:" in out.text
        assert f"ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_accept=old:{identity};" in out.text, out.text
        assert f"ceph_maint_close -e ceph_maint_confirm=true -e ceph_maint_accept=give-up:{identity};" in out.text
        assert out.accept_argument() == [f"old:{identity}"], "what is pasted gives up nothing"


@pytest.mark.smoke
def test_close_playbook_wants_the_maintenance_named(platform: t.Callable[..., Operator]) -> None:
    op = platform(vms=2, hosts=1)
    assert QuickOperator(op.cloud, op.folder).prepare().rc == 0
    for arguments in (("--check",), ()):
        run = op.play("ceph_maint_close", *arguments, ceph_maint_confirm="true")
        assert run.rc == 2 and "2 VMs would stay down and 1 hosts closed" in run.text, run.text
    name, value = run.accept_argument().split("=")
    run = op.play("ceph_maint_close", ceph_maint_confirm="true", **{name: value})
    assert run.rc == 0 and '"ENDED. 2 VMS STAY DOWN, 1 HOSTS STAY CLOSED."' in run.text, run.text
