# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and programs read in the end."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import PHASES, Change, Record
from ansible_collections.pilw.maintenance.plugins.module_utils._report import data as _data


@pytest.fixture
def made(tmp_path):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    yield record, record.begin_run("ann", "prepare")
    record.close()


def add(record, token, **outcomes):
    """VMs by uuid: owner, and columns of the record."""
    rows = [{"uuid": uuid, "status": "running", "user_id": owner, "name": f"n-{uuid}"} for uuid, (owner, _c) in outcomes.items()]
    record.add_running(token, [parse_vm(row) for row in rows], False)
    record.write(token, [Change(uuid, columns) for uuid, (_owner, columns) in outcomes.items()])


def test_a_stop_names_who_did_not_obey_by_owner(made):
    record, token = made
    add(
        record,
        token,
        a=("9", {"stop_outcome": "would_not_stop", "stop_error": "not done 600 s after its graceful stop was taken"}),
        b=("8", {"stop_outcome": "refused"}),
        c=("8", {"stop_outcome": "clean", "state": "stopped"}),
        d=("8", {"stop_outcome": "clean"}),
        e=("8", {}),
    )
    assert _data.stop_lines(record) == [
        "VMs recorded 5: stopped clean 2, not tried 1, refused 1, would not stop 1",
        "Of these run now: 1",
        "  owner 8: d n-d: came up again",
        "  owner 8: b n-b: refused: no answer kept",
        "  owner 9: a n-a: would not stop: not done 600 s after its graceful stop was taken",
    ]


def test_a_start_tells_closed_hosts_then_suspects_then_what_is_lost(made):
    record, token = made
    hosts = [Host(uuid, f"n-{uuid}", before, "", {}) for uuid, before in (("h1", True), ("h2", False), ("h3", True), ("h4", True))]
    record.remember_hosts(token, hosts, {"h3"})
    for uuid in ("h1", "h3", "h4"):
        record.closing_host(token, uuid)
        record.host_written(token, uuid, False)
    record.host_written(token, "h4", False, "PUT answered 500")
    add(
        record,
        token,
        suspect=("8", {"start_outcome": "already_running", "stop_outcome": "would_not_stop"}),
        fine=("8", {"start_outcome": "running", "stop_outcome": "clean"}),
        back=("8", {"start_outcome": "already_running", "stop_outcome": "clean"}),
        lost=("9", {"start_outcome": "failed", "start_error": "answered 500"}),
        left=("9", {}),
        given=("9", {"start_outcome": "failed"}),
        gone=("9", {"start_outcome": "vanished"}),
    )
    record.accept(token, ["lost:given"])
    record.write_safe(token, "SAFE", [])
    assert not [item for item in _data.left_items(record) if item.startswith("host:")], "no restore has come to them yet"
    record.set_phase(token, "starting")
    assert _data.start_lines(record) == [
        "Hosts still closed: 4",
        "  h1 n-h1: closed by this maintenance, not opened yet",
        "  h2 n-h2: was closed before",
        "  h3 n-h3: kept closed as asked",
        "  h4 n-h4: PUT answered 500",
        "Ran through the outage, or were never stopped by us: look at their file systems",
        "  owner 8: suspect n-suspect: running",
        "Outlived their stop and run, so they may still obey it: 1. Look at them again later",
        "  owner 8: suspect n-suspect: running",
        "VMs recorded 7: already running 2, did not start 2, not tried 1, running again 1, vanished 1",
        "Did not come back: 1",
        "  owner 9: lost n-lost: answered 500",
        "Not tried yet: 1",
        "  owner 9: left n-left: its stop is not on record",
        "Ended without, as accepted: 1",
        "  owner 9: given n-given: did not start",
        "To end without them, each named: -e ceph_maint_accept=lost:given,lost:h1,lost:h4,lost:lost",
    ]
    assert [host["uuid"] for host in _data.hosts_left_closed(record) if host["ours"]] == ["h1", "h4"]
    assert [vm.uuid for vm in _data.Outcome(record).left] == ["lost", "left"]


def test_data_for_programs_holds_every_vm_and_every_host(made):
    record, token = made
    record.remember_hosts(token, [Host("h1", "", True, "", {})], ())
    add(record, token, **{f"v{number}": ("8", {"stop_outcome": "refused"}) for number in range(60)})
    record.accept(token, ["vm:v1"])
    data = json.loads(json.dumps(_data.report_data(record)))
    assert len(data["vms"]) == 60 and len(data["hosts"]) == 1
    assert data["counts"] == {"vms": 60, "late": 0, "stop": {"refused": 60}, "start": {"": 60}}
    assert [vm["uuid"] for vm in data["vms"] if vm["accepted"]] == ["v1"]
    assert data["accepted"] == ["vm:v1"]
    lines = _data.stop_lines(record)
    assert len(lines) == 1 + _data.SHOWN + 1
    assert lines[-1] == "  and 20 more; all of them are in report.json beside the record"


def test_every_phase_has_a_next_step():
    assert set(_data.NEXT_STEP) == set(PHASES)


def test_counts():
    assert _data.counts_text({}) == "none"
    assert _data.counts_text({"clean": 2, "": 1, "odd": 1}) == "stopped clean 2, not tried 1, odd 1"
