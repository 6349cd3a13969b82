# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do, or did before, while a maintenance goes on: hosts closed on purpose, owners' acts, odd rows, a second name."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._operations import open_run
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from harness import in_process as crew
from harness.fast_clock import NOT_SAFE, Desk, GiveDesk, desks
from simulator.server import Cloud

desk = pytest.fixture(desks)

ALL_STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."


def gone_from_lists(at: Desk, uuid: str, **fault: t.Any) -> None:
    """Its owner deletes a VM; it leaves the lists, and its own detail goes wrong for good."""
    at.act("delete", vm=uuid)
    at.act("fault", route="vm_all", kind="list", drop=[uuid], times=-1)
    at.act("fault", route="admin_vm_show", uuid=uuid, times=-1, **fault)


ODD_DETAILS: dict[str, dict[str, t.Any]] = {"500": {"status": 500}, "page": {"kind": "html"}}


@pytest.mark.parametrize("name", ODD_DETAILS)
def test_one_detail_that_cannot_be_read_is_named_and_can_be_accepted(desk: GiveDesk, name: str) -> None:
    at = desk()
    odd = at.uuid("vm-0")
    assert at.crew.prepare().safe
    gone_from_lists(at, odd, **ODD_DETAILS[name])
    out = at.crew.verify()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{odd}"]), out.text
    assert any(line.startswith(f"  VM {odd}: missing from the list, and its own detail cannot be read: GET ") for line in out.lines)
    accepted = at.crew.verify(accept=out.accept_argument())
    assert (accepted.rc, accepted.headline) == (0, f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: vm-0 ({odd}). CEPH WAS NOT CHECKED."), accepted.text


@pytest.mark.parametrize("name", ODD_DETAILS)
def test_one_detail_that_cannot_be_read_hides_no_other_vm_from_a_restore(desk: GiveDesk, name: str) -> None:
    at = desk(canary=0)
    odd, fallen = at.uuid("vm-0"), at.uuid("vm-1")
    assert at.crew.prepare().safe
    gone_from_lists(at, odd, **ODD_DETAILS[name])
    at.cloud.schedule("stop", when="admin_vm_show", match={"uuid": odd}, vm=fallen)  # after its start, before the last look
    out = at.crew.restore()
    assert out.rc == 2
    named = [line for line in out.lines if line.startswith("  owner ")]
    assert any(odd in line for line in named), out.text
    assert f"lost:{odd}" in out.accept_argument()
    assert at.cloud.in_state("running") == at.running - {odd}
    assert "Went down again after they ran, and were started once more: 1. Look at their file systems" in out.lines
    assert any(fallen in line and line.endswith(": running") for line in named), "it fell, was started again, and is named all the same"
    again = at.crew.restore(accept=[f"lost:{odd}"])
    assert (again.rc, at.cloud.in_state("running")) == (0, at.running - {odd}), again.text
    assert at.phase() == "done"


def test_a_host_closed_on_purpose_stays_closed_though_the_query_chooses_no_other(desk: GiveDesk) -> None:
    at = desk(hosts=3, hosts_keep_closed="hv-2", hosts_query="[?is_accepting_workloads==`false`]")
    first = at.cloud.hosts[0]
    at.crew.settings["hosts_keep_closed"] = at.cloud.hosts[1].uuid
    at.act("host", host=first.uuid, accepting=False)
    assert at.crew.prepare().rc == 0
    assert at.crew.restore().rc == 0
    assert [host.accepting for host in at.cloud.hosts] == [False, True, True]
    assert first.uuid not in {entry.uuid for entry in at.cloud.journal.of("host_flags")}


def test_a_host_that_was_left_open_once_is_not_left_closed_in_silence(desk: GiveDesk) -> None:
    """What was accepted to go on with a host open accepts nothing about how it ends."""
    at = desk()
    host = at.cloud.hosts[0].uuid
    at.act("fault", route="host_flags", uuid=host, status=403)
    out = at.crew.prepare()
    assert out.items == [f"open-host:{host}"]
    assert at.crew.prepare(accept=out.accept_argument()).rc == 0
    assert not any(host.accepting for host in at.cloud.hosts), "it was closed after all"
    at.act("fault", route="host_flags", uuid=host, status=403, times=-1)
    out = at.crew.restore()
    assert out.rc == 2
    assert f"lost:{host}" in out.accept_argument()
    assert at.phase() == "starting", "the record stays open"
    at.act("clear_faults")
    assert at.crew.restore().rc == 0
    assert all(host.accepting for host in at.cloud.hosts)


def test_a_host_that_somebody_opens_after_safe_stands_against_it(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    host = at.cloud.hosts[0]
    at.act("host", host=host.uuid, accepting=True)
    out = at.crew.verify()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"open-host:{host.uuid}"])
    assert f"  host {host.uuid} is open again, so that new VMs can come up; prepare closes it" in out.lines
    accepted = at.crew.verify(accept=out.accept_argument())
    assert (accepted.rc, accepted.headline) == (0, f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: {host.uuid}. CEPH WAS NOT CHECKED.")
    closed = at.crew.prepare()
    assert (closed.rc, [one.accepting for one in at.cloud.hosts]) == (0, [False, False]), closed.text


def test_a_host_list_that_fails_does_not_keep_a_record_safe(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    at.act("start", vm="vm-0")
    at.act("fault", route="host_list", status=500, times=-1)
    out = at.crew.verify()
    assert (out.rc, out.headline, at.phase()) == (2, NOT_SAFE, "stopping"), out.text


def test_a_status_never_says_safe_while_a_vm_runs(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    one = at.cloud.vm("vm-0")
    assert any(line.startswith("ALL VMS STOPPED. CEPH WAS NOT CHECKED, proved at 2") and line.endswith("ceph_maint_verify") for line in at.crew.status().lines)
    at.act("start", vm=one.uuid)
    lines = at.crew.status().lines
    assert not any(line.startswith(("SAFE", "ALL VMS STOPPED")) for line in lines)
    (line,) = [line for line in lines if line.startswith("NOT SAFE ANY MORE: ALL VMS STOPPED. CEPH WAS NOT CHECKED, proved at 2")]
    assert f"and 1 VMs are not stopped now: {one.uuid} (vm-0, owner {one.owner}, running)" in line
    at.act("fault", route="vm_all", status=500, times=-1)
    lines = at.crew.status().lines
    assert not any(line.startswith(("SAFE", "ALL VMS STOPPED")) for line in lines)
    assert any("cannot be verified now: ALL VMS STOPPED. CEPH WAS NOT CHECKED, proved at 2" in line for line in lines)


def test_a_vm_that_was_left_as_it_is_and_falls_comes_back_like_the_others(desk: GiveDesk) -> None:
    at = desk()
    one = at.uuid("vm-0")
    out = at.crew.prepare(accept=[f"vm:{one}"])
    assert (out.rc, out.headline) == (0, f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: vm-0 ({one}). CEPH WAS NOT CHECKED.")
    assert at.cloud.in_state("running") == {one} and one not in at.sent("stop")
    at.act("stop", vm=one)  # Ceph went down below it
    assert at.crew.restore().rc == 0
    assert at.cloud.in_state("running") == at.running


@pytest.mark.parametrize(("first", "second"), [(None, "tll01"), ("tll01", None)])
def test_a_location_has_one_record_whether_it_is_named_or_not(tmp_path: Path, first: str | None, second: str | None) -> None:
    with Cloud(vms=4, time_scale=0.01) as cloud:
        one = crew.Crew(tmp_path, cloud.url, cloud.key, **{**crew.Crew.FAST, "location": first})
        other = crew.Crew(tmp_path, cloud.url, cloud.key, **{**crew.Crew.FAST, "location": second})
        assert one.prepare().safe
        sent = len(cloud.journal.writes())
        out = other.prepare()
        assert out.refused and len(cloud.journal.writes()) == sent
        assert "This location has an open record under its other name." in out.text
        assert f"To use it: -e ceph_maint_location={first or ''}" in out.text
        assert one.restore().rc == 0
        assert other.prepare().safe, "an ended one stands in nobody's way"


def test_two_who_find_an_ended_record_at_once_lose_nothing(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore was killed before it put its record away. Who comes late must not put the next maintenance away instead."""
    at = desk()
    assert at.crew.prepare().safe
    put_away, archive = open_run.put_away, Record.archive

    def killed(record: Record) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Record, "archive", killed)
    with pytest.raises(KeyboardInterrupt):
        at.crew.restore()
    monkeypatch.setattr(Record, "archive", archive)
    assert at.phase() == "done"
    other = crew.Crew(at.folder, at.cloud.url, at.cloud.key, actor="bob", **at.crew.settings)
    others: list[crew.Outcome] = []

    def late(*args: t.Any) -> None:
        if not others:
            others.append(crew.Outcome())
            others[0] = other.prepare()
        put_away(*args)

    monkeypatch.setattr(open_run, "put_away", late)
    out = at.crew.prepare()
    assert others[0].safe
    assert out.rc == 2 and "Another run has just opened a record; this one changed nothing." in out.error
    assert at.cloud.in_state("running") == set()
    assert other.restore().rc == 0
    assert at.cloud.in_state("running") == at.running and all(host.accepting for host in at.cloud.hosts)
