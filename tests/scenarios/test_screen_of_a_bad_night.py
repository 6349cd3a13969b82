# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the platform as the operator at the screen meets them, for a handful of the fault menu: what a run says in the end."""

from __future__ import annotations

import collections
import re
import typing as t

from harness.operator import Operator, Run, open_hosts

Platform = t.Callable[..., Operator]
ALL_STOPPED = '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."'
NOT_SAFE = '"NOT SAFE TO TAKE CEPH DOWN"'
CALL_OFF = (
    "To call it off and bring everything back, Ceph being up: "
    "ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_confirm=true"
)


def outcomes(op: Operator) -> dict[str, int]:
    return dict(op.ask("SELECT coalesce(stop_outcome, ''), count(*) FROM vms GROUP BY 1"))


def sent(op: Operator) -> collections.Counter[str]:
    return collections.Counter(entry.uuid for entry in op.cloud.journal.of("admin_vm_stop"))


def assert_all_down_and_safe(op: Operator, run: Run, vms: set[str]) -> None:
    assert run.rc == 0, run.text
    assert ALL_STOPPED in run.text
    assert op.phase() == "safe"
    assert op.recorded() == vms
    assert op.cloud.in_state("running") == set() == open_hosts(op.cloud)


def assert_way_on(run: Run) -> None:
    """What the run leaves behind, and both ways out of it."""
    assert run.rc == 2, run.text
    assert ALL_STOPPED not in run.text
    assert "Phase stopping. Hosts that were closed stay closed, and VMs that are down stay down." in run.text
    assert "To go on, mend what the failure names and run the same command again." in run.text
    assert CALL_OFF in run.text


def test_the_key_is_revoked_in_the_middle(quick: Platform) -> None:
    op = quick(vms=8)
    before = op.cloud.in_state("running")
    op.cloud.schedule("revoke", when="admin_vm_stop", nth=4)
    run = op.prepare(ceph_maint_concurrency="2")
    assert_way_on(run)
    assert re.search(
        "The platform no longer accepts the API key: GET /v1/user-resource/vm/all answered 403: Invalid authentication "
        r"credentials \(X-Warren-Correlation-Id [0-9a-f-]{36}\) \(the API key must be that of an admin user; a frozen account "
        r"answers so too\)\. Nothing more is sent; what was answered so far is recorded\. Get a key that works, then run the "
        r"same command again: it goes on\.",
        run.text,
    ), run.text
    assert op.recorded() == before
    assert len(sent(op)) < 8, "nothing new is sent once three were refused in a row, and then one more may be open"
    assert open_hosts(op.cloud) == set()
    op.cloud.act("grant")
    assert_all_down_and_safe(op, op.prepare(), before)
    assert outcomes(op) == {"clean": 8}


def test_a_list_is_short_when_safe_is_to_be_proved(quick: Platform) -> None:
    """It shows two of six, all down; the others answer for themselves that they exist."""
    op = quick(vms=6)
    before = op.cloud.in_state("running")
    op.cloud.act("fault", kind="list", route="vm_all", param={"status": ""}, skip=3, times=-1, keep=2)
    run = op.prepare()
    assert_way_on(run)
    assert NOT_SAFE in run.text
    assert '"What stands against it: 4"' in run.text
    assert run.text.count("stopped by its own detail, but missing from the list: the list is not whole") == 4
    missing = set(re.findall(r"vm:([0-9a-f-]{36})", run.accept_argument()))
    assert len(missing) == 4 and missing < before
    assert op.cloud.in_state("running") == set()
    op.cloud.act("clear_faults")
    assert_all_down_and_safe(op, op.prepare(), before)
    assert sent(op) == dict.fromkeys(before, 1)
