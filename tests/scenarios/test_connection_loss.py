# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance host is another machine, and the connection to it is lost in the middle."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, wait_until

Platform = t.Callable[..., Operator]
LEASE = 5
MANY = 60  # more than can be sent until the lease is over


@pytest.mark.edge_cores
def test_a_lost_connection_ends_the_sending_within_the_lease_and_the_rerun_goes_on(platform: Platform, tmp_path: Path) -> None:
    op = platform(vms=MANY, time_scale=0.05)
    before, cut = op.cloud.in_state("running"), tmp_path / "cut"
    inventory = tmp_path / "inventory"
    inventory.write_text(f"box ansible_connection=cut ansible_python_interpreter={op.python}\n", encoding="utf-8")
    op.extra_environment = {
        "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection_plugins"),
        "PILW_TEST_CUT": str(cut),
    }
    remote = {"ceph_maint_host": "box", "ceph_maint_lease": str(LEASE), "ceph_maint_concurrency": "2"}
    cut_at: list[float] = []

    def lost() -> bool:
        if not cut_at and len(op.cloud.journal.of("admin_vm_stop")) >= 4:
            cut.touch()
            cut_at.append(time.time())
        return False

    run = op.killed("ceph_maint_prepare", lost, may_end=True, arguments=("-i", str(inventory)), ceph_maint_confirm="true", **remote)
    assert cut_at and run.rc != 0, run.text
    assert f"The maintenance host has not been reached for {LEASE} s: ssh: connect to host box port 22" in run.text
    assert "The work there ends by itself and is recorded. Run the same command again: it goes on." in run.text
    wait_until(lambda: op.holder() is None, limit=30)
    last = max(entry.started for entry in op.cloud.journal.power())
    # The last renewal came at most a poll before the cut; a look at the lease comes each half second.
    assert last - cut_at[0] <= LEASE + 1.5
    assert len(op.cloud.journal.power()) < MANY, "it had ended its work before it noticed"
    run = QuickOperator(op.cloud, op.folder).prepare(ceph_maint_concurrency="20")
    assert run.rc == 0, run.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text
    assert op.recorded() == before and op.cloud.in_state("running") == set()
