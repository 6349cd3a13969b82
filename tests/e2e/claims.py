# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests claim about guests, from their consoles and disks, and about what a run says."""

from __future__ import annotations

import typing as t

from e2e.operators import PocketOperator
from e2e.rbd_images import Verdict
from e2e.real_platform import PocketCloud
from e2e.waits import wait_for
from harness.operator import Run


def wrote_on(cloud: PocketCloud, name: str, records: int = 3) -> None:
    """The guest has just made some more records safe."""
    guest = cloud.guest(name)
    wanted = len(guest.acknowledged()) + records
    wait_for(f"{records} records of {name}", lambda: "" if len(guest.acknowledged()) >= wanted else "too few", 90)


def assert_kept(verdict: Verdict) -> None:
    """Nothing that was called safe is lost, and there was something."""
    assert verdict.acknowledged > 0, verdict
    assert verdict.lost == (), verdict
    assert verdict.repaired, verdict


def assert_all_kept(cloud: PocketCloud, uuids: t.Iterable[str]) -> None:
    """The same of guests that run: each writes on, is stopped, and its disk holds all that it ever called safe."""
    for uuid in uuids:
        wrote_on(cloud, uuid, 1)
        cloud.act("stop", vm=uuid)
        assert_kept(cloud.guest(uuid).verify())


def started(cloud: PocketCloud) -> set[str]:
    """The uuids for which a start was ever asked."""
    return {entry.uuid for entry in cloud.journal.of("admin_vm_start")}


def assert_safe(run: Run) -> None:
    """Safe without an exception, and Ceph was asked."""
    assert run.rc == 0, run.text
    assert '"SAFE TO TAKE CEPH DOWN"' in run.text


def assert_not_safe(op: PocketOperator, run: Run, *named: str) -> None:
    """Nowhere is it called safe, and what stands in the way is named."""
    assert run.rc != 0, run.text
    assert '"SAFE TO' not in run.text
    assert '"SAFE EXCEPT' not in run.text
    assert '"ALL VMS STOPPED' not in run.text
    assert op.phase() != "safe"
    assert_named(run, *named)


def assert_named(run: Run, *words: str) -> None:
    """The operator reads each of them."""
    for word in words:
        assert word in run.text, f"{word} is not named in:\n{run.text}"


def assert_back(op: PocketOperator, run: Run, before: set[str]) -> None:
    """All done: just those run, and their disks hold all that they ever called safe."""
    assert run.rc == 0, run.text
    assert op.phase() == "", "the record is still open"
    assert op.cloud.in_state("running") == op.cloud.running_guests() == before
    assert_all_kept(op.cloud, before)
