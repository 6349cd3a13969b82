# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator reads is the reason that holds, and names the thing that it is about."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from harness.fast_clock import GiveDesk, desks

desk = pytest.fixture(desks)


def remove_host(at: t.Any, uuid: str) -> None:
    """The platform does not list it from now on."""
    at.act("fault", route="host_list", kind="list", drop=[uuid], times=-1)


def test_removed_host_gets_its_reason_and_the_override(desk: GiveDesk) -> None:
    at = desk()
    host = at.cloud.hosts[0].uuid
    assert at.crew.prepare().safe
    remove_host(at, host)
    planned = at.crew.restore(check=True)
    assert "Hosts to open: 1 of 2 recorded" in planned.lines
    assert f"not listed by the platform any more and cannot be opened: {host}" in planned.text
    out = at.crew.restore()
    assert out.rc == 2
    assert any(line.startswith(f"  {host}") and line.endswith(": the platform does not list it any more") for line in out.lines), out.text
    assert "not opened yet" not in out.text
    assert "Rerun" not in out.error, "a rerun cannot open it"
    assert out.accept_argument() == [f"lost:{host}"]
    assert at.crew.restore(accept=out.accept_argument()).rc == 0
    assert at.phase() == "done"


def test_removed_host_beside_a_lost_vm_is_still_worth_a_rerun(desk: GiveDesk) -> None:
    at = desk(fail_start=["vm-0"], fail_start_times=3)
    assert at.crew.prepare().safe
    remove_host(at, at.cloud.hosts[0].uuid)
    out = at.crew.restore()
    assert out.rc == 2 and "Rerun the same command to try just those." in out.error


def test_restore_plan_shows_hosts_that_stay_closed(desk: GiveDesk) -> None:
    at = desk(host_name_shown=True)
    one, other = at.cloud.hosts
    assert at.crew.prepare().safe
    at.crew.settings["hosts_keep_closed"] = one.name
    planned = at.crew.restore(check=True)
    assert "Hosts to open: 1 of 2 recorded" in planned.lines
    assert f"  to stay closed: {one.uuid} {one.name}" in planned.lines
    assert f"  to open: {other.uuid} {other.name}" in planned.lines
    at.crew.settings["hosts_keep_closed"] = "no-such-host"
    wrong = at.crew.restore()
    assert wrong.refused and "no host has the uuid or name no-such-host" in wrong.text
    at.crew.settings["hosts_keep_closed"] = one.name
    assert at.crew.restore().rc == 0
    assert [host.accepting for host in at.cloud.hosts] == [False, True]


def test_verify_names_an_open_host_that_joined(desk: GiveDesk) -> None:
    at = desk(host_name_shown=True)
    joined = at.cloud.hosts[0]
    remove_host(at, joined.uuid)
    assert at.crew.prepare().safe
    at.act("clear_faults")
    out = at.crew.verify()
    assert out.rc == 0, out.text
    assert "Open to new VMs and not on record: 1 hosts" in out.text and joined.name in out.text
    assert at.crew.prepare().safe
    assert not any(host.accepting for host in at.cloud.hosts)
    assert "Open to new VMs and not on record" not in at.crew.verify().text


def test_calling_off_before_safe_names_no_outage(desk: GiveDesk) -> None:
    at = desk(deaf=["vm-0", "vm-1"], concurrency=1)
    assert at.crew.prepare().rc == 2
    out = at.crew.restore(ceph_is_back=False)
    assert out.rc == 0, out.text
    assert "outage" not in out.text and "look at their file systems" not in out.text
    assert "Called off before it was safe: 2 VMs were not stopped and run on" in out.lines
    assert "Ran through the outage" not in next(at.folder.glob("records/*/*.report.json")).read_text()


def test_vm_that_ran_through_the_outage_is_still_named(desk: GiveDesk) -> None:
    at = desk(deaf=["vm-0"])
    assert at.crew.prepare(accept=[f"vm:{at.uuid('vm-0')}"]).rc == 0
    assert "Ran through the outage" in at.crew.restore().text


@pytest.mark.parametrize("kind", ["vm", "host"])
def test_headline_names_what_was_accepted(desk: GiveDesk, kind: str) -> None:
    at = desk(host_name_shown=True)
    vm, host = at.cloud.vm("vm-0"), at.cloud.hosts[0]
    if kind == "vm":
        out, one = at.crew.prepare(accept=[f"vm:{vm.uuid}"]), vm
    else:
        assert at.crew.prepare().safe
        at.act("host", host=host.uuid, accepting=True)
        out, one = at.crew.verify(accept=[f"open-host:{host.uuid}"]), host
    assert (out.rc, out.headline) == (0, f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: {one.name} ({one.uuid}). CEPH WAS NOT CHECKED."), out.text


def test_lost_record_with_a_good_copy_is_called_missing(desk: GiveDesk, tmp_path: Path) -> None:
    at = desk(record_copy=str(tmp_path / "copies"))
    assert at.crew.prepare(accept=[f"same-disk:{tmp_path / 'copies'}"]).safe
    (folder,) = [path.parent for path in at.folder.glob("records/*/record.sqlite")]
    for path in folder.iterdir():
        path.unlink()
    for out in (at.crew.restore(), at.crew.verify(), at.crew.status()):
        assert out.rc == 2
        assert f"The record {folder / 'record.sqlite'} is missing: " in out.text
        assert "damaged: no" not in out.text and "Errno" not in out.text
    assert at.crew.restore(accept=at.crew.restore().accept_argument()).rc == 0
    assert at.cloud.in_state("running") == at.running


def test_lost_vm_is_not_asked_about_again(desk: GiveDesk) -> None:
    at = desk(fail_start=["vm-0"], fail_start_times=3)
    lost = at.uuid("vm-0")
    assert at.crew.prepare().safe
    assert at.crew.restore().rc == 2
    assert at.crew.restore(accept=[f"lost:{lost}"]).rc == 0
    out = at.crew.prepare()
    assert out.safe and "EXCEPT" not in out.headline, out.text
    assert "Accepted as lost in an earlier maintenance: 1 VMs." in out.text and lost in out.text


def test_status_without_a_record_reports_whether_the_api_can_be_read(desk: GiveDesk) -> None:
    at = desk()
    out = at.crew.status()
    assert out.rc == 0
    assert f"API: address, key and read rights work: {len(at.cloud.vms)} VMs, running {len(at.running)}." in out.lines
    assert len(at.cloud.journal.entries) == 1 and not at.crew.record_dir.exists()
    at.act("fault", route="vm_all", status=403, times=-1)
    out = at.crew.status()
    assert out.rc == 0 and "API: the key is rejected, or may not read: GET " in out.text
    at.act("clear_faults")
    at.act("fault", route="vm_all", status=500, times=-1)
    out = at.crew.status()
    assert out.rc == 0 and "API: no usable answer: GET " in out.text
    at.crew.settings["location"] = "nowhere"
    at.act("clear_faults")
    out = at.crew.status()
    assert out.rc == 0 and "The location slug is wrong" in out.text


def test_status_without_any_vm_does_not_call_the_rights_good(desk: GiveDesk) -> None:
    at = desk(vms=0)
    assert "API: address and key work, and no VM is shown." in at.crew.status().text


def test_restore_of_an_unknown_location_does_not_wait(desk: GiveDesk) -> None:
    at = desk(locations=["tll01", "jhv02"], location="tll01", api_wait=600.0)
    assert at.crew.prepare().safe
    for path in at.folder.glob("records/*@tll01"):
        path.rename(path.with_name(path.name.replace("tll01", "tll02")))
    at.crew.settings["location"] = "tll02"
    out = at.crew.restore(accept=[f"record-of:{path.name}"])
    assert out.rc == 2 and not at.cloud.journal.of("admin_vm_start")
    assert "does not have a location tll02; it has tll01, jhv02" in out.error, out.text


def test_restore_without_anything_to_restore_does_not_wait(desk: GiveDesk) -> None:
    at = desk(api_wait=600.0)
    at.act("fault", route="vm_all", status=503, times=-1)
    out = at.crew.restore()
    assert out.refused and "There is no open record in" in out.text
