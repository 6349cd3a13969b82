# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a long wait lasts the operator reads what it is for, and for how long; a short one is not talked about."""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._record.lock import Lock
from ansible_collections.pilw.maintenance.plugins.modules import pilw_maintenance
from harness import in_process as crew
from harness.in_process_operator import QuickOperator
from harness.operator import Operator, wait_until

Platform = t.Callable[..., Operator]
NAMED = r"VM [0-9a-f-]{36} \(.+, owner \d+, migrating\)"

AT_WORK = {"run": "another", "actor": "ann on box", "what": "stopping VMs", "since": "long ago", "pid": os.getpid()}
NAMED_RUN = rf"ann on box, stopping VMs since long ago \(process {os.getpid()}\)"


def opening(op: Operator, **more: t.Any) -> dict[str, t.Any]:
    """Options that open the record, as a run that was killed has done."""
    place = {"api_host": op.cloud.url, "api_key": op.cloud.key, "record_dir": str(op.records)}
    return {**place, "state": "opened", "purpose": "verify", **more}


def told(text: str, pattern: str) -> list[tuple[str, ...]]:
    """The groups of each whole line of the output that is so."""
    return [found.groups() for found in re.finditer(f"^  {pattern}$", text, re.MULTILINE)]


@pytest.fixture(name="impatient")
def made_impatient(platform: Platform) -> Platform:
    """An operator to whom a second is a long wait."""

    def make(**options: t.Any) -> Operator:
        op = platform(**options)
        op.extra_environment = {
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "soon",
            "PILW_TEST_LINE": "1",
            "PYTHONUNBUFFERED": "1",  # a test reads meanwhile what is said
        }
        return op

    return make


def test_a_verify_says_whom_it_waits_for_and_why_the_proof_is_begun_anew(impatient: Platform) -> None:
    op = impatient(vms=6, running=4)
    assert QuickOperator(op.cloud, op.folder).prepare().rc == 0
    moving = next(iter(op.cloud.in_state("stopped")))
    op.cloud.act("state", vm=moving, state="migrating")
    op.cloud.schedule("state", when="vm_all", nth=3, vm=moving, state="stopped")
    crew.run_module(pilw_maintenance, opening(op))
    with contextlib.ExitStack() as held:
        held.enter_context(Lock(str(op.place)).held(AT_WORK))

        def ends_once_it_was_named() -> bool:
            if "the former run is to end" in (op.folder / "killed.log").read_text(encoding="utf-8"):
                held.close()
            return False

        settings = {"ceph_maint_proof_interval": "3", "ceph_maint_settle_timeout": "60"}
        run = op.killed("ceph_maint_verify", ends_once_it_was_named, may_end=True, **settings)
    assert run.rc == 0, run.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text
    assert told(run.text, rf"After (\d+) of at most 132 s: the former run is to end: {NAMED_RUN}"), run.text
    assert len(op.ask("SELECT 1 FROM runs WHERE purpose='verify'")) == 2
    anew = told(run.text, rf"Proof begun anew for (\d+) of at most 60 s: {NAMED}; the next list in [0-3] s")
    assert anew, run.text
    assert told(run.text, r"Proof begun anew for \d+ of at most 60 s: ([12]) of 3 lists; the next list in [0-3] s"), run.text
    assert len(told(run.text, "(Proof) .+")) < 20, "a quiet output"


def test_a_restore_says_that_it_waits_for_the_api_and_for_the_hold_time(impatient: Platform) -> None:
    op = impatient(vms=6, running=4)
    before = op.cloud.in_state("running")
    assert QuickOperator(op.cloud, op.folder).prepare().rc == 0
    op.cloud.act("fault", kind="html", status=404, times=12)
    run = op.restore(ceph_maint_api_wait="100", ceph_maint_verify_hold="4")
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    waits = told(run.text, rf"After (\d+) of at most 100 s: {re.escape(op.cloud.url)} gives no list of VMs: GET .+ answered 404.*")
    assert waits and [int(one[0]) for one in waits] == sorted(int(one[0]) for one in waits), run.text
    assert told(run.text, r"After (\d+) of at most 4 s: VMs are looked at again when the hold time is over"), run.text
    assert "fatal:" not in run.text and "failed=0" in run.recap


def test_the_api_that_stays_away_is_named_in_the_end(quick: Platform) -> None:
    op = quick(vms=3)
    assert op.prepare().rc == 0
    op.cloud.act("fault", kind="html", status=404, times=-1)
    run = op.restore(ceph_maint_api_wait="1")
    assert run.rc == 2
    assert "The API has not answered for 1 s: GET " in run.text, run.text


def test_a_proof_that_is_killed_says_nothing_and_ends_within_its_lease(platform: Platform) -> None:
    op = platform(vms=4, deaf=["vm-1"])
    before, quick = op.cloud.in_state("running"), QuickOperator(op.cloud, op.folder)
    assert quick.prepare(ceph_maint_stop_timeout="1").rc == 2
    op.cloud.act("stop", vm="vm-1")  # so nothing but the proof is left to do

    def proving() -> bool:
        try:
            about = json.loads((op.place / "lock").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return about.get("says", "").startswith("Proof: 1 of 3")

    op.killed("ceph_maint_verify", proving, ceph_maint_proof_interval="60", ceph_maint_lease="5")
    asked = len(op.cloud.journal.of("vm_all"))
    wait_until(lambda: op.holder() is None, limit=30)
    assert op.phase() == "stopping"
    assert op.ask("SELECT safe_at FROM maintenance") in ([(None,)], [("",)])
    assert len(op.cloud.journal.of("vm_all")) == asked, "the second list was asked for"
    run = quick.prepare()
    assert run.rc == 0, run.text
    assert (op.phase(), op.recorded(), op.cloud.in_state("running")) == ("safe", before, set())


def test_who_takes_over_is_the_same_run_in_each_call(quick: t.Callable[..., QuickOperator]) -> None:
    """A takeover is written down before the former run has ended; the calls that wait for that go on with it."""
    op = quick(vms=3)
    assert op.prepare().rc == 0
    given = opening(op, _wait={"piece": 0.3})
    former = crew.run_module(pilw_maintenance, given)["run"]
    with Lock(str(op.place)).held(AT_WORK):
        first = crew.run_module(pilw_maintenance, {**given, "accept": f"takeover:{former}"})
        words = f"After 0 of at most 150 s: the former run is to end: {NAMED_RUN}"
        assert first["failed"] and re.fullmatch(words, first["waiting"]), first
        again = {**given, **first["carried"], "accept": f"takeover:{former}", "_wait": {"waited": 0.4, "piece": 0.3}}
        second = crew.run_module(pilw_maintenance, again)
        assert second["carried"] == first["carried"]
        late = crew.run_module(pilw_maintenance, {**again, "_wait": {"waited": 1000.0, "piece": 0.3}})
        assert late["msg"].startswith("The former run was told to stop and has not ended yet: ann on box"), late
    third = crew.run_module(pilw_maintenance, again)
    assert third["run"] == first["carried"]["run"]
    assert len(op.ask("SELECT 1 FROM runs WHERE purpose='verify'")) == 2
    assert op.phase() == "safe"


def test_a_maintenance_that_ended_between_two_calls_is_not_begun_anew(quick: t.Callable[..., QuickOperator]) -> None:
    op = quick(vms=3)
    result = crew.run_module(pilw_maintenance, opening(op, purpose="prepare", _wait={"waited": 15.0, "piece": 0.3}))
    assert result["msg"].startswith("The other run has ended this maintenance in the meantime; this one changed nothing."), result
    assert op.phase() == ""
