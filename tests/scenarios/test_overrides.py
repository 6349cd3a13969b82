# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overrides on an open record: what the plan shows is what the run does."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import typing as t

import pytest

from harness import in_process as crew
from harness.operator import Operator

Platform = t.Callable[..., Operator]
KINDS = ["vm:x", "list:row-x", "watcher:pool/image", "open-host:x", "start-left:x", "lost:x", "old:x", "takeover:x", "health:osd-1", "health:A"]


def crew_of(op: Operator, **settings: t.Any) -> crew.Crew:
    return crew.Crew(op.folder, op.cloud.url, op.cloud.key, **{**crew.Crew.FAST, **settings})


def vms(op: Operator) -> list[str]:
    return sorted(op.cloud.in_state("running"))


@pytest.mark.parametrize("now", [[], ["none"], ["vm:y"], ["vm:y", "lost:y"], KINDS], ids=str)
@pytest.mark.parametrize("purpose", ["prepare", "restore"])
def test_plan_and_run_agree_on_what_is_accepted(quick: Platform, purpose: str, now: list[str]) -> None:
    op = quick(vms=2)
    operator = crew_of(op)
    assert operator.prepare(accept=KINDS).safe
    assert set(operator.status().results["status"]["status"]["accepted"]) == set(KINDS)
    planned = getattr(operator, purpose)(accept=now, check=True).results["plan"]["accepted"]
    run = getattr(operator, purpose)(accept=now)
    assert run.rc == 0, run.text
    assert run.results["open"]["accepted"] == planned == run.results["plan"]["accepted"]


def test_withdrawn_override_stops_the_vm_as_the_plan_says(quick: Platform) -> None:
    op = quick(vms=3, running=3)
    spared = vms(op)[0]
    operator = crew_of(op)
    run = operator.prepare(accept=[f"vm:{spared}"])
    assert run.rc == 0 and run.headline.startswith("ALL VMS STOPPED EXCEPT 1 "), run.text
    assert "Left running, as accepted: 1 VMs of 1 owners" in run.text and "To stop: 2 VMs of " in run.text
    assert f"  vm:{spared}: given now, may destroy data" in run.lines
    run = operator.prepare()
    assert run.headline.startswith("ALL VMS STOPPED EXCEPT 1 "), "not given, it stays"
    assert f"  vm:{spared}: recorded, may destroy data" in run.lines and "Left running, as accepted: 1 VMs" in run.text
    assert vms(op) == [spared]
    plan = operator.prepare(accept=["none"], check=True)
    assert f"  vm:{spared}: withdrawn now, may destroy data" in plan.lines and "To stop: 1 VMs of 1 owners" in plan.text
    assert "Left running" not in plan.text
    run = operator.prepare(accept=["none"])
    assert run.headline == "ALL VMS STOPPED. CEPH WAS NOT CHECKED.", run.text
    assert vms(op) == []
    assert op.ask("SELECT detail FROM events WHERE what='override withdrawn'") == [(f"vm:{spared}",)]


def test_list_of_overrides_replaces_the_recorded_one(quick: Platform) -> None:
    op = quick(vms=3, running=3)
    first, second, _third = vms(op)
    operator = crew_of(op)
    assert operator.prepare(accept=[f"vm:{first}"]).rc == 0
    op.cloud.act("start", vm=second)
    run = operator.prepare(accept=[f"vm:{second}"])
    assert run.rc == 0 and run.headline.startswith("ALL VMS STOPPED EXCEPT 1 "), run.text
    assert vms(op) == [second], "the first is not spared any more"


def test_override_without_effect_is_named_by_plan_and_run(quick: Platform) -> None:
    op = quick(vms=3, running=2)
    (down,), spared = sorted(op.cloud.in_state("stopped")), vms(op)[0]
    operator = crew_of(op)
    run = operator.prepare(accept=[f"vm:{down}", f"vm:{spared}", "takeover:another"])
    assert run.rc == 0, run.text
    without = f"Override without effect: vm:{down}. Nothing that it accepts was found."
    assert run.lines.count(f"Note: {without}") == 1, "the plan"
    assert [line for line in run.lines if line.strip() == without], f"the run:\n{run.text}"
    assert f"Override without effect: vm:{spared}" not in run.text
    op.cloud.act("stop", vm=spared)
    run = operator.verify()
    assert f"The recorded override vm:{spared} has no effect any more." in run.text
    run = operator.prepare(accept=["takeover:another"])
    assert "Override without effect: takeover:another." in run.text


def test_printed_argument_keeps_what_is_recorded(quick: Platform) -> None:
    """A list replaces what is recorded, so an argument without it would withdraw it."""
    op = quick(vms=3, running=2)
    spared, (odd,) = vms(op)[0], op.cloud.in_state("stopped")
    operator = crew_of(op)
    assert operator.prepare(accept=[f"vm:{spared}"]).rc == 0
    op.cloud.act("state", vm=odd, state="paused")
    run = operator.prepare()
    assert run.refused and set(run.accept_argument()) == {f"vm:{spared}", f"vm:{odd}"}, run.text


def test_old_record_is_not_accepted_by_what_was_accepted_before(quick: Platform) -> None:
    op = quick(vms=2)
    operator = crew_of(op)
    assert operator.prepare().safe
    (identity,) = op.ask("SELECT id FROM maintenance")[0]
    operator.settings["max_age"] = 1e-9
    assert operator.prepare(accept=[f"old:{identity}"]).safe
    refused = operator.prepare()
    assert refused.refused and refused.items == [f"old:{identity}"], refused.text


def test_what_may_destroy_data_is_refused_without_a_reason_and_named_with_it(quick: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    op = quick(vms=3, running=2)
    spared, operator = vms(op)[0], crew_of(op)
    with monkeypatch.context() as patch:
        patch.setattr(crew, "REASON", "")
        for play in (operator.prepare, operator.verify):
            run = play(accept=[f"vm:{spared}"])
            assert run.rc == 2 and f"vm:{spared} may destroy data and needs a reason" in run.text, run.text
        assert op.cloud.journal.writes() == []
    run = operator.prepare(accept=[f"vm:{spared}"])
    named = f"Accepted, may destroy data: vm:{spared}. Reason: {crew.REASON}"
    assert run.lines[run.lines.index(run.headline) + 1] == named, run.text
    with monkeypatch.context() as patch:
        patch.setattr(crew, "REASON", "")
        assert named in operator.prepare(accept=[f"vm:{spared}", "lost:x"]).lines, "what is recorded has its reason"
    run = operator.restore()
    assert run.rc == 0 and named in run.lines, run.text
    (report,) = op.place.glob("*.report.json")
    attention = json.loads(report.read_text(encoding="utf-8"))["attention"]["Accepted"]
    assert {entry["id"]: entry["why"] for entry in attention}[f"vm:{spared}"] == crew.REASON


def test_overrides_of_a_former_version_stay_accepted(quick: Platform) -> None:
    op = quick(vms=3, running=2)
    operator = crew_of(op)
    assert operator.prepare().safe
    with contextlib.closing(sqlite3.connect(op.place / "record.sqlite")) as db:
        db.executemany("INSERT INTO accepted (item, at, run) VALUES (?, 'then', 'former')", [("unhealthy:OSD_DOWN",), ("self:x",), ("room:x",)])
        db.commit()
    plan = operator.prepare(check=True)
    assert [line for line in plan.lines if "recorded" in line and ":" in line and line.startswith("  ")] == ["  health:OSD_DOWN: recorded"]
    assert operator.prepare().results["open"]["accepted"] == ["health:OSD_DOWN"]
    assert operator.prepare(accept=["none"]).results["open"]["accepted"] == []
    assert operator.restore().rc == 0
