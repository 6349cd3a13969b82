# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators of the scenarios at a pocket cloud, with times that suit real guests; one of them has a Ceph host."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t
from pathlib import Path

from e2e.ceph_work import PLAYBOOK, CephWork
from e2e.cluster import Cluster
from e2e.processes import gone
from e2e.real_platform import PocketCloud
from e2e.waits import wait_for
from harness.operator import Operator, Run

# Guests stop in a second and boot in three when alone, a dozen of them in half a minute.
TIMES = {
    "ceph_maint_poll_interval": 1,
    "ceph_maint_proof_interval": 1,
    "ceph_maint_stop_timeout": 15,
    "ceph_maint_force_timeout": 30,
    "ceph_maint_start_timeout": 150,
    "ceph_maint_verify_hold": 2,
    "ceph_maint_lease": 30,
}
IMAGE_REGEX = "volume-([0-9a-f-]{36})"
CEPH_HOST = "ceph1"
INVENTORY = f"[ceph]\n{CEPH_HOST} ansible_connection=local ansible_python_interpreter='{{{{ ansible_playbook_python }}}}'\n"
# What the storage side needs for the whole job, and no more.
KEY = "maintenance"
CAPS = {"mon": 'allow r, allow command "osd set", allow command "osd unset"', "osd": "profile rbd-read-only", "mgr": "allow r"}


class Going:
    """A playbook on its way, which may be killed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, limit: float) -> None:
        self._process = process
        self._log = log
        self._limit = limit

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def comes_to(self, what: str, holds: t.Callable[[], bool]) -> None:
        """Wait until that holds, while it goes on."""

        def reason() -> str:
            if holds():
                return ""
            assert self._process.poll() is None, f"it ended before it came to {what}:\n{self.text}"
            return f"it said:\n{self.text[-3000:]}"

        wait_for(what, reason, self._limit)

    def end(self) -> Run:
        """Wait for its own end."""
        gone(self._process, self._limit)
        return Run(self._process.returncode, self.text)

    def kill(self) -> None:
        """With its process group, without a word."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        gone(self._process, self._limit)


class PocketOperator(Operator):
    """Its `cloud` is a PocketCloud."""

    cloud: PocketCloud
    limit = 900  # guests boot slowly, and a busy machine makes it worse

    def command(self, playbook: str, *arguments: str, fast: bool = True, **variables: t.Any) -> list[str]:
        times = TIMES if fast else {}
        return super().command(playbook, *arguments, fast=fast, **{**times, **variables})

    def stop_outcomes(self) -> dict[str, str]:
        """What the open record says of each VM's stop."""
        return dict(self.ask("SELECT uuid, stop_outcome FROM vms"))

    def start_outcomes(self) -> dict[str, tuple[str, str]]:
        """And of each VM's start, with the last error."""
        return {uuid: (outcome, error or "") for uuid, outcome, error in self.ask("SELECT uuid, start_outcome, start_error FROM vms")}

    @contextlib.contextmanager
    def going(self, playbook: str, *arguments: str, **variables: t.Any) -> t.Iterator[Going]:
        """Begin a playbook, confirmed, for a test that does something meanwhile; afterwards it does not run any more."""
        log = self.folder / "going.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(playbook, *arguments, **{"ceph_maint_confirm": "true", **variables}),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        going = Going(process, log, self.limit)
        try:
            yield going
        finally:
            going.kill()


class StorageOperator(PocketOperator):
    """Has an inventory with a Ceph host, where the ceph command works with a key of its own."""

    def __init__(self, cloud: PocketCloud, folder: Path, ceph: Cluster) -> None:
        super().__init__(cloud, folder)
        self.ceph = ceph
        conf = ceph.hand_out(folder / "ceph", KEY, **CAPS)
        self.ceph_command = ["ceph", "-c", str(conf), "--id", KEY]
        self.inventory = folder / "inventory"
        self.inventory.write_text(INVENTORY, encoding="utf-8")

    def command(self, playbook: str, *arguments: str, fast: bool = True, **variables: t.Any) -> list[str]:
        given = {
            "ceph_maint_ceph_host": CEPH_HOST,
            "ceph_maint_ceph_command": self.ceph_command,
            "ceph_maint_ceph_wait": 240,
            "ceph_maint_rbd_image_regex": IMAGE_REGEX,
            **variables,
        }
        return super().command(playbook, "-i", str(self.inventory), *arguments, fast=fast, **given)

    def log_calls(self) -> t.Callable[[], list[str]]:
        """From now on each call of ceph, rbd and rados is written down, as it begins; returns what reads that."""
        folder = self.folder / "logged"
        folder.mkdir()
        log = folder / "log"
        log.touch()
        for tool in ("ceph", "rbd", "rados"):
            script = folder / tool
            script.write_text(f'#!/bin/sh\necho "{tool} $*" >>{log}\nexec {tool} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        self.ceph_command = [str(folder / "ceph"), *self.ceph_command[1:]]
        return lambda: log.read_text(encoding="utf-8").splitlines()

    def restore(self, *arguments: str, **variables: t.Any) -> Run:
        """Nobody has to say that Ceph is back: it is asked."""
        return self.play("ceph_maint_restore", *arguments, **{"ceph_maint_confirm": "true", **variables})

    def maintain(self, work: CephWork, **variables: t.Any) -> Run:
        """Prepare, the Ceph work of this test, restore: in one run."""
        given = {"ceph_maint_confirm": "true", "ceph_maint_playbook": PLAYBOOK, "ceph_work": work.url, **variables}
        return self.play("ceph_maintenance", **given)
