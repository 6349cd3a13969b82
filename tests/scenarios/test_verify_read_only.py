# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof without a record, and with --check: the same headline and exit status, and nothing is written anywhere."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from harness.fast_clock import NOT_SAFE, Desk, GiveDesk, desks
from harness.in_process_operator import Rehearsal
from harness.operator import Operator
from scenarios.record.fire import content

desk = pytest.fixture(desks)
STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."
WITHOUT = "Proved without a record: this collection stopped and closed nothing, and ceph_maint_restore has nothing to bring back."


def rehearsing(at: Desk) -> Rehearsal:
    """The same operator with --check."""
    crew = Rehearsal(at.folder, at.cloud.url, at.cloud.key, **at.crew.settings)
    crew.record_dir = at.crew.record_dir
    return crew


def untouched(at: Desk, verify: t.Callable[[], t.Any]) -> t.Any:
    """Its outcome; neither the folder nor the platform was written to."""
    before, sent = content(at.folder), len(at.cloud.journal.writes())
    out = verify()
    assert content(at.folder) == before
    assert len(at.cloud.journal.writes()) == sent
    return out


def stop_all(at: Desk) -> None:
    """As the shell procedure does it."""
    for uuid in at.running:
        at.act("stop", vm=uuid)


@pytest.mark.parametrize("check", [False, True])
def test_proof_without_a_record_has_headline_and_status(desk: GiveDesk, check: bool) -> None:
    at = desk()
    operator = rehearsing(at) if check else at.crew
    out = untouched(at, operator.verify)
    assert (out.rc, out.headline) == (2, NOT_SAFE), out.text
    assert set(out.items) == {f"vm:{uuid}" for uuid in at.running}
    assert "Open to new VMs and not on record" not in out.text
    stop_all(at)
    out = untouched(at, operator.verify)
    assert (out.rc, out.headline) == (0, STOPPED), out.text
    assert WITHOUT in out.lines and "Open to new VMs and not on record: 2 hosts: " in out.text
    assert "ceph_maint_restore -e" not in out.text
    assert not at.crew.record_dir.exists()


def test_proof_without_a_record_takes_overrides_and_scope(desk: GiveDesk) -> None:
    at = desk()
    out = at.crew.verify()
    accepted = untouched(at, lambda: at.crew.verify(accept=out.accept_argument()))
    assert accepted.rc == 0 and accepted.headline.startswith("ALL VMS STOPPED EXCEPT 6 ACCEPTED: vm-0 (")
    at.crew.settings["exclude"] = "[?name=='vm-0']"
    for uuid in at.running - {at.uuid("vm-0")}:
        at.act("stop", vm=uuid)
    scoped = untouched(at, at.crew.verify)
    assert (scoped.rc, scoped.headline) == (2, "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN")
    assert scoped.accept_argument() == [f"vm:{at.uuid('vm-0')}"]


def test_proof_without_a_record_misses_no_vm_between_lists(desk: GiveDesk) -> None:
    """A VM that leaves the lists without a word is not gone."""
    at = desk()
    stop_all(at)
    at.act("fault", route="vm_all", kind="list", drop=[at.uuid("vm-0")], skip=2, times=-1)
    out = at.crew.verify()
    assert (out.rc, out.headline) == (2, NOT_SAFE), out.text


def test_check_makes_the_proof_of_an_open_record(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    out = untouched(at, rehearsing(at).verify)
    assert (out.rc, out.headline) == (0, STOPPED)
    assert "Read-only: the open record was not changed." in out.lines
    at.act("start", vm="vm-0")
    out = untouched(at, rehearsing(at).verify)
    assert (out.rc, out.headline, at.phase()) == (2, NOT_SAFE, "safe")
    assert at.crew.verify().rc == 2 and at.phase() == "stopping"


def test_check_makes_the_proof_beside_a_living_run(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk()
    beside: list[t.Any] = []

    def hook(notice: dict[str, t.Any]) -> None:
        if notice["event"] == "before" and not beside:
            beside.append(untouched(at, rehearsing(at).verify))

    from harness.in_process import telling

    at.crew.settings.update(telling(hook))
    assert at.crew.prepare().safe, "the living run goes on"
    assert (beside[0].rc, beside[0].headline) == (2, NOT_SAFE), beside[0].text


def test_record_under_another_name_is_named_not_ignored(desk: GiveDesk) -> None:
    at = desk(location="tll01")
    assert at.crew.prepare().safe
    at.crew.settings["location"] = None
    for operator in (at.crew, rehearsing(at)):
        out = untouched(at, operator.verify)
        assert out.rc == 2 and "To use it: -e ceph_maint_location=tll01" in out.text and not out.headline, out.text


@pytest.mark.smoke
def test_verify_playbook_without_a_record_writes_nothing(platform: t.Callable[..., Operator], tmp_path: Path) -> None:
    op = platform(vms=2, hosts=1)
    for state, expected in (("running", (2, NOT_SAFE)), ("stopped", (0, STOPPED))):
        for arguments in ((), ("--check",)):
            run = op.play("ceph_maint_verify", *arguments)
            assert (run.rc, f'"{expected[1]}"' in run.text) == (expected[0], True), run.text
            assert not op.records.exists() and not op.cloud.journal.writes()
        if state == "running":
            for uuid in op.cloud.in_state("running"):
                op.cloud.act("stop", vm=uuid)
