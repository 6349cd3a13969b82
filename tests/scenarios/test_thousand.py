# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand VMs, a fifth of them deaf: exact return, bounded concurrency, and an output that does not grow with them."""

from __future__ import annotations

import re
import typing as t

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, open_hosts

Platform = t.Callable[..., Operator]
AT_ONCE = 64


def test_a_thousand_vms(platform: Platform) -> None:
    """Stop 22 s, start 4 s, deaf VMs hold their call for 60 s; all at a fiftieth."""
    op = platform(
        vms=1000, owners=40, running=0.9, deaf=0.2, deaf_seconds=60.0, hosts=20, closed_hosts=2, time_scale=0.02, deleted=50
    )
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert len(before) == 900
    common = {"ceph_maint_concurrency": str(AT_ONCE), "ceph_maint_poll_interval": "1"}
    run = op.prepare(ceph_maint_force="true", ceph_maint_stop_timeout="4", **common)
    assert run.rc == 0, run.text
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in run.text
    assert op.cloud.in_state("running") == set()
    assert op.recorded() == before
    assert len(run.text.splitlines()) < 300, "a quiet output"
    forced = {entry.uuid for entry in op.cloud.journal.of("admin_vm_stop") if "force" in entry.params}
    asked = {entry.uuid for entry in op.cloud.journal.of("admin_vm_stop") if "force" not in entry.params}
    assert asked == before
    assert forced < before
    assert f"power cut {len(forced)}" in run.text
    pattern = r"^  Stopping: (\d+) of 900 VMs are down, (\d+) still run; asked \d+ .*; longest: \S+ \(.+\) for \d+ s"
    told = re.findall(pattern, run.text, re.MULTILINE)
    assert told and all(int(down) + int(up) == 900 for down, up in told), run.text
    totals = rf"^  Stopping has ended after \d+ s, \d+ calls: stopped clean {900 - len(forced)}, would not stop {len(forced)}$"
    assert re.search(totals, run.text, re.MULTILINE), run.text
    run = QuickOperator(op.cloud, op.folder).restore(**common)
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
    assert {entry.uuid for entry in op.cloud.journal.of("admin_vm_start")} == before
    assert len(run.text.splitlines()) < 300, "a quiet output"
    assert op.cloud.journal.max_open_power <= AT_ONCE
