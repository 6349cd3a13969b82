# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A maintenance as AWX launches it: each playbook a job of ansible-runner, with a credential in its environment and nobody to ask."""

from __future__ import annotations

import re
import typing as t

from harness.operator import open_hosts, wait_until
from harness.runner_jobs import Job, RunnerOperator
from scenarios.test_security import files_with

STATS = "ceph_maint_stats"
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}|[a-z_]{0,20}")  # of a record, and a phase


def test_a_maintenance_of_jobs_one_of_which_is_cancelled(runner: t.Callable[..., RunnerOperator]) -> None:
    op = runner(vms=12, running=11, closed_hosts=1, time_scale=0.1)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)

    plan = op.launch("ceph_maint_plan")
    assert (plan.status, plan.rc) == ("successful", 0), plan.text
    assert "To stop: 11 VMs of" in plan.text
    assert plan.stats[STATS] == {"record_id": "", "phase": "none", "hosts_planned": 2, "vms_planned": 11, "refusals": 0}
    assert not op.cloud.journal.writes()
    assert_keeps_secrets(op, plan)

    with op.job("ceph_maint_prepare", ceph_maint_confirm=True, ceph_maint_concurrency=1, ceph_maint_lease=5) as cancelled:
        cancelled.comes_to(lambda: any(is_progress(event) for event in cancelled.events))
        assert op.cloud.in_state("running"), "the line came when there was nothing left to tell of"
        cancelled.cancel()
        cancelled.end()
        assert (cancelled.status, cancelled.rc) == ("canceled", 254), cancelled.text
    wait_until(lambda: op.holder() is None)
    assert_keeps_secrets(op, cancelled)

    prepare = op.launch("ceph_maint_prepare", ceph_maint_confirm=True)
    assert (prepare.status, prepare.rc) == ("successful", 0), prepare.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in prepare.text
    assert (op.recorded(), op.cloud.in_state("running")) == (before, set())
    stops = [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop")]
    assert sorted(stops) == sorted(before), "one was asked twice"
    assert_keeps_secrets(op, prepare)

    restore = op.launch("ceph_maint_restore", ceph_maint_confirm=True, ceph_maint_ceph_is_back=True)
    assert (restore.status, restore.rc) == ("successful", 0), restore.text
    assert (op.cloud.in_state("running"), open_hosts(op.cloud), op.phase()) == (before, hosts, "")
    end = restore.stats[STATS]
    assert (end["phase"], end["hosts_left_closed"], end["vms_left"]) == ("done", 0, 0)
    assert_keeps_secrets(op, restore)

    for job in (plan, prepare, restore):
        assert_hands_on_ids_and_counts(op, job)
    for job in (prepare, restore):
        assert job.stats[STATS]["record_id"] == prepare.stats[STATS]["record_id"]


def is_progress(event: dict[str, t.Any]) -> bool:
    """An event of its own, which arrives when it is said."""
    return event["event"] == "verbose" and re.match(r"\s*Stopping: \d+ of 11 VMs are down", event["stdout"]) is not None


def assert_keeps_secrets(op: RunnerOperator, job: Job) -> None:
    """The runner itself writes down the environment of a job in two files; nothing of ours adds a third place, a fact cache among them."""
    folder = job.out.parent
    wait_until(lambda: {path.name for path in files_with(op.cloud.key, folder)} == {"envvars", "command"}, limit=12)
    assert op.cloud.key not in job.text
    assert files_with(op.cloud.key, op.records) == []


def assert_hands_on_ids_and_counts(op: RunnerOperator, job: Job) -> None:
    """What is handed on stands in clear in the next job and in the database, whatever no_log says."""
    assert set(job.stats) == {STATS}
    for name, value in job.stats[STATS].items():
        assert isinstance(value, (bool, int)) or ID.fullmatch(value), f"{name}: {value!r}"
    assert op.cloud.key not in repr(job.stats)
