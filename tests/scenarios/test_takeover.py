# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that lives is not taken over without the override that names it, also while no module of it is at work; one that is gone is."""

from __future__ import annotations

import os
import signal
import sqlite3
import typing as t

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._record import controller as _controller
from ansible_collections.pilw.maintenance.plugins.module_utils._record.rows import steady_now
from harness import in_process as crew
from harness.ceph_in_process import AsksCeph
from harness.ceph_operator import QuickStorageOperator
from harness.operator import Operator, open_hosts

Platform = t.Callable[..., Operator]
HOOK = "telling owners through ceph_maint_notify_tasks, for at most "


def crew_of(op: Operator, actor: str, **settings: t.Any) -> crew.Crew:
    """An operator by name, whose modules run in this process."""
    return crew.Crew(op.folder, op.cloud.url, op.cloud.key, actor=actor, **{**crew.Crew.FAST, **settings})


def everything(operator: crew.Crew) -> dict[str, crew.Outcome]:
    """What an operator may launch beside a run."""
    names = ("prepare", "verify", "restore", "status")
    return {**{name: getattr(operator, name)() for name in names}, "close": operator.close(accept=operator.close().accept_argument())}


def assert_kept_out(tried: dict[str, crew.Outcome], step: str) -> None:
    for name, run in tried.items():
        if name == "status":
            assert f"At work now: ann on {os.uname().nodename}, {step}" in run.text, run.text
            continue
        assert run.refused, f"{name} went on:\n{run.text}"
        assert f"Another run is at work on this maintenance: ann on {os.uname().nodename}, {step}" in run.text, run.text
        assert run.accept_argument()[-1].startswith("takeover:"), run.text


@pytest.mark.parametrize("when", ["started", "owner", "safe"])
def test_run_in_a_notify_hook_is_not_taken_over(quick: Platform, when: str) -> None:
    """Its controller is not known here, as on another machine."""
    op = quick(vms=4, running=4)
    before, tried = op.cloud.in_state("running"), {}

    def hook(notice: dict[str, t.Any]) -> None:
        if not tried and when in (notice["event"], "owner" if "owner" in notice else ""):
            tried.update(everything(crew_of(op, "bob")))

    ann = crew_of(op, "ann", **crew.telling(hook))
    assert ann.prepare().safe
    assert_kept_out(tried, HOOK)
    assert op.cloud.in_state("running") == set()
    status = ann.status()
    assert "At work now: nobody" in status.text, status.text
    assert crew_of(op, "bob").restore().rc == 0, "what was announced is over"
    assert op.cloud.in_state("running") == before


def test_takeover_of_a_run_in_a_notify_hook_ends_it(quick: Platform) -> None:
    op = quick(vms=4, running=4)
    bob, taken = crew_of(op, "bob"), []

    def hook(notice: dict[str, t.Any]) -> None:
        if not taken:
            taken.append(bob.restore(accept=bob.restore().accept_argument()))

    run = crew_of(op, "ann", **crew.telling(hook)).prepare()
    assert taken[0].rc == 0, taken[0].text
    assert (run.rc == 2 and "Another run has taken over" in run.text) or "There is no record" in run.text, run.text
    assert not op.cloud.journal.of("admin_vm_stop")


def test_each_question_to_ceph_of_a_run_is_announced(quick_storage: t.Callable[..., QuickStorageOperator], monkeypatch: pytest.MonkeyPatch) -> None:
    op, steps = quick_storage(vms=3), []
    plain = AsksCeph._call

    def call(*arguments: t.Any) -> t.Any:
        steps.extend(op.ask("SELECT purpose, step FROM runs WHERE ended IS NULL AND rowid=(SELECT max(rowid) FROM runs)"))
        return plain(*arguments)

    monkeypatch.setattr(AsksCeph, "_call", call)
    assert op.prepare().rc == 0
    assert op.restore(ceph_maint_ceph_wave="2").rc == 0
    checked, waited = "checking Ceph on the host", "waiting for Ceph on the host"
    assert set(steps) == {("prepare", checked), ("prepare", "setting flags of Ceph on the host"), ("restore", waited), ("restore", checked)}


def test_run_of_an_earlier_version_is_resumed(quick: Platform) -> None:
    """Its record has no column for what is announced."""
    op = quick(vms=3)
    before = op.cloud.in_state("running")
    assert crew_of(op, "ann").prepare().safe
    with sqlite3.connect(op.place / "record.sqlite") as db:
        for column in ("controller", "step", "step_at", "step_until"):
            db.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    assert "At work now: nobody" in crew_of(op, "bob").status().text
    assert crew_of(op, "bob").restore().rc == 0
    assert op.cloud.in_state("running") == before


@pytest.mark.every_core
def test_ctrl_c_in_a_notify_hook_needs_no_override(platform: Platform) -> None:
    """While it lives it is named, beyond what is announced too; once it is gone the same command resumes at once."""
    op = platform(vms=3, running=3)
    before, hosts, tried, times = op.cloud.in_state("running"), open_hosts(op.cloud), {}, []
    (op.folder / "hook.yml").write_text("- name: Hang\n  ansible.builtin.command: sleep 500\n", encoding="utf-8")
    op.extra_environment = {"USER": "ann", "LOGNAME": "ann", "ANSIBLE_REMOTE_TMP": str(op.folder / "tmp-ann")}

    def hanging() -> bool:
        if not op.ask("SELECT 1 FROM runs WHERE step LIKE 'telling%'"):
            return False
        (controller,) = op.ask("SELECT controller FROM runs")[0]
        assert _controller.lives(controller) is True
        tried.update(everything(crew_of(op, "bob")))
        with sqlite3.connect(op.place / "record.sqlite") as db:
            db.execute("UPDATE runs SET step_until=''")
        times.append(crew_of(op, "bob").prepare())
        return True

    given = {"ceph_maint_notify_tasks": op.folder / "hook.yml", "ceph_maint_notify_timeout": "400"}
    op.killed("ceph_maint_prepare", hanging, signal.SIGINT, ceph_maint_confirm="true", **given)
    assert_kept_out(tried, HOOK)
    assert_kept_out({"prepare": times[0]}, "prepare, between two steps, since ")
    with sqlite3.connect(op.place / "record.sqlite") as db:
        db.execute("UPDATE runs SET step_until=?", (steady_now(90000),))
    run = op.prepare()
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == set()
    assert crew_of(op, "ann").restore().rc == 0
    assert (op.cloud.in_state("running"), open_hosts(op.cloud)) == (before, hosts)
