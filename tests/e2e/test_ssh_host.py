# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of a controller with a maintenance host that is reached by SSH, as another user, whose connection may freeze."""

from __future__ import annotations

import stat
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

from e2e.processes import run
from e2e.ssh_host import ACCOUNT, PYTHON, SshHost
from e2e.waits import wait_for
from harness.operator import open_hosts
from harness.runner_jobs import Job, RunnerOperator
from simulator.server import Cloud

LEASE = 12
OPTIONS = {"vms": 26, "running": 24, "owners": 3, "hosts": 3, "closed_hosts": 1, "time_scale": 0.1}


class SshOperator(RunnerOperator):
    """The credential of the machine is a key, which the runner hands to an agent; the record lies where it does by default."""

    def __init__(self, cloud: Cloud, folder: Path, host: SshHost) -> None:
        super().__init__(cloud, folder)
        self.records = host.home / ".pilw-maintenance"
        self.inventory = host.inventory
        self.files["env/ssh_key"] = host.key
        self.job_environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(host.control)
        self.settings.update(ceph_maint_host="box", ceph_maint_lease=30)
        del self.settings["ceph_maint_record_dir"]


@pytest.fixture(scope="module")
def host() -> t.Iterator[SshHost]:
    # Not among pytest's own folders: nobody else may enter those, and paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="ssh-") as folder:
        Path(folder).chmod(0o755)
        with SshHost(Path(folder)) as made:
            yield made


@pytest.fixture
def op(host: SshHost, tmp_path: Path) -> t.Iterator[SshOperator]:
    with Cloud(**OPTIONS) as cloud:
        yield SshOperator(cloud, tmp_path, host)


def well(job: Job) -> str:
    """It ended well, and said this."""
    assert (job.status, job.rc) == ("successful", 0), job.text
    return job.text


def stops(op: SshOperator) -> list[str]:
    return [entry.uuid for entry in op.cloud.journal.of("admin_vm_stop")]


def test_a_maintenance_whose_connection_freezes(op: SshOperator, host: SshHost) -> None:
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert "To stop: 24 VMs of" in well(op.launch("ceph_maint_plan"))
    assert not op.records.exists() and not op.cloud.journal.writes()

    with op.job("ceph_maint_prepare", ceph_maint_confirm=True, ceph_maint_concurrency=1, ceph_maint_lease=LEASE) as cut:
        cut.comes_to(lambda: "  Stopping: " in cut.text)
        host.freeze()
        frozen_at = time.time()
        wait_for("the end of the sending", lambda: f"process {op.holder()} sends" if op.holder() else "", 60)
        cut.end()
        assert (cut.status, cut.rc) == ("failed", 4), cut.text
    assert f"The maintenance host has not been reached for {LEASE} s: " in cut.text
    assert "Run the same command again: it goes on." in cut.text
    # It looks at its lease each half second, and the last renewal may have been under way.
    assert max(entry.started for entry in op.cloud.journal.power()) - frozen_at <= LEASE + 1.5
    sent = stops(op)
    assert 0 < len(sent) < len(before), "it had ended its work before"
    host.stop()
    host.start()

    text = well(op.launch("ceph_maint_prepare", ceph_maint_confirm=True))
    assert '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."' in text
    assert (op.recorded(), op.cloud.in_state("running")) == (before, set())
    assert sorted(stops(op)) == sorted(before), "one was asked twice"
    for path in (op.records, op.place):
        assert (path.owner(), stat.S_IMODE(path.stat().st_mode)) == (ACCOUNT, 0o700)
    assert {path.owner() for path in op.place.rglob("*")} == {ACCOUNT}

    reports = op.folder / "reports"
    fetch = {"ceph_maint_report_fetch": True, "ceph_maint_report_fetch_dir": str(reports)}
    well(op.launch("ceph_maint_restore", ceph_maint_confirm=True, ceph_maint_ceph_is_back=True, **fetch))
    assert (op.cloud.in_state("running"), open_hosts(op.cloud), op.phase()) == (before, hosts, "")
    assert [path.owner() for path in reports.glob("*.html")] == ["root"]


def test_a_host_without_the_libraries_is_refused_at_once(op: SshOperator, host: SshHost) -> None:
    bare = host.home.parent / "bare"
    run(PYTHON, "-m", "venv", "--without-pip", bare)
    op.inventory = op.inventory.replace(f"={PYTHON}", f"={bare}/bin/python")
    refused = op.launch("ceph_maint_prepare", ceph_maint_confirm=True)
    assert (refused.status, refused.rc) == ("failed", 2), refused.text
    assert "Failed to import the required Python library (requests) on " in refused.text
    assert f"Python {bare}/bin/python" in refused.text
    assert not op.cloud.journal.entries, "the platform was not even asked"
