# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A maintenance as the jobs of a workflow: where the record may lie, how a job chooses the way, and what it tells the next one."""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

import pytest

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, Run

Platform = t.Callable[..., Operator]
LOST = "This runs in a container (podman), and a record on its own disk would be gone with the job"
SHOW_STATS = {"ANSIBLE_SHOW_CUSTOM_STATS": "true"}


def told(run: Run) -> dict[str, t.Any]:
    """What the run leaves for the next job."""
    found = re.search(r"\tRUN: (\{.*\})", run.text)
    assert found, run.text
    return json.loads(found.group(1))["ceph_maint_stats"]


def test_a_record_that_would_be_gone_with_the_job_is_refused_at_once(quick: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    op = quick()
    before = op.cloud.in_state("running")
    monkeypatch.setenv("container", "podman")
    runs = [op.play("ceph_maint_plan"), op.prepare(), op.restore(), op.play("ceph_maint_status"), op.play("ceph_maint_force", ceph_maint_confirm="true")]
    for run in runs:
        assert run.rc == 2 and LOST in run.text, run.text
        assert "ceph_maint_host" in run.text and "ceph_maint_record_dir_persistent=true" in run.text
    assert op.cloud.in_state("running") == before and not op.cloud.journal.of("host_edit") and not op.place.exists()
    # Said to be a mounted volume, and it lies on the root disk.
    run = op.prepare(ceph_maint_record_dir_persistent=True)
    assert run.rc == 2 and "which is the container's own" in run.text, run.text
    run = op.prepare(ceph_maint_record_dir_persistent=True, ceph_maint_accept=run.accept_argument().partition("=")[2])
    assert run.rc == 0 and op.phase() == "safe", run.text


def test_the_machine_below_the_container_is_known_by_the_address_of_its_controller(quick: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """From inside a job nothing else of AWX is to be seen."""
    rows = [
        {"uuid": f"00000000-0000-4000-8000-00000000000{number}", "user_id": 7, "status": "running", "public_ipv4": f"203.0.113.{number}"}
        for number in (6, 7, 8)
    ]
    op, mine = quick(from_list=rows), rows[1]["uuid"]
    monkeypatch.setenv("AWX_HOST", "https://203.0.113.7:8043/")
    run = op.play("ceph_maint_plan")
    assert run.rc == 2, run.text
    assert f"VM {mine}" in run.text and "has the public address of" in run.text and f"ceph_maint_accept=vm:{mine}" in run.text


@pytest.mark.smoke
def test_the_way_through_a_workflow_with_guests_that_do_not_obey(platform: Platform) -> None:
    """Prepare fails, the gate leads to the power cut, safe, restore, and the last status tells what came of it."""
    op = platform(vms=6, deaf=["vm-1", "vm-2"])
    op.extra_environment = SHOW_STATS
    before = op.cloud.in_state("running")
    gate = {"ceph_maint_expect": "left_over"}
    run = op.play("ceph_maint_status", **gate)
    assert run.rc == 2 and "No VM of an open record outlived its stop timeout, so cutting power would not help." in run.text

    run = op.prepare()
    assert run.rc == 2, run.text
    after_prepare = told(run)
    assert after_prepare["phase"] == "stopping" and after_prepare["vms_outlived"] == 2
    assert after_prepare["vms_recorded"] == len(before) and after_prepare["vms_down"] == len(before) - 2
    # As AWX hands it on: an extra variable.
    handed_on = {"ceph_maint_stats": after_prepare}
    run = op.play("ceph_maint_status", **gate, **handed_on)
    assert run.rc == 0, run.text
    assert told(run)["record_id"] == after_prepare["record_id"]

    run = op.play("ceph_maint_force", ceph_maint_confirm="true", **handed_on)
    assert run.rc == 0, run.text
    assert told(run) == {**after_prepare, "phase": "safe", "vms_down": len(before), "vms_forced": 2, "vms_outlived": 0}
    run = op.play("ceph_maint_status", ceph_maint_expect="nothing_left")
    assert run.rc == 2 and "A maintenance is open." in run.text

    # What a restore tells the next job: test_runner.py.
    run = QuickOperator(op.cloud, op.folder).restore()
    assert run.rc == 0 and op.cloud.in_state("running") == before, run.text
    run = op.play("ceph_maint_status", ceph_maint_expect="nothing_left")
    assert run.rc == 0, run.text
    assert "The last one, as its summary tells:" in run.text and f"# Ceph maintenance {after_prepare['record_id']}" in run.text
    assert f"Its files: {op.place}/{after_prepare['record_id']}.*" in run.text


def test_a_wrong_expectation_is_refused(platform: Platform) -> None:
    run = platform().play("ceph_maint_status", ceph_maint_expect="safe")
    assert run.rc == 2 and "ceph_maint_expect is safe. Give one of left_over, nothing_left." in run.text, run.text


def test_a_maintenance_host_with_an_old_python_is_refused_before_anything(platform: Platform, tmp_path: Path) -> None:
    op = platform(vms=3)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 8, 18, 'final', 0)\n", encoding="utf-8")
    old = tmp_path / "python3.8"
    old.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/old exec {sys.executable} "$@"\n', encoding="utf-8")
    old.chmod(0o755)
    inventory = tmp_path / "inventory"
    inventory.write_text(f"box ansible_connection=cut ansible_python_interpreter={old}\n", encoding="utf-8")
    op.extra_environment = {
        "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection_plugins"),
        "PILW_TEST_CUT": str(tmp_path / "never"),
    }
    run = op.prepare("-i", str(inventory), ceph_maint_host="box")
    assert run.rc == 2, run.text
    assert "The maintenance host box has Python 3.8.18" in run.text and "the modules need 3.9 or later, with requests and jmespath" in run.text
    assert op.cloud.journal.power() == [] and not op.place.exists()
