# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of Ceph that hold images open, beside the guests."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from e2e.cluster import Cluster
from e2e.processes import Brood, gone
from e2e.waits import wait_for

HOLDER = Path(__file__).parent / "holder.py"
DEBIAN_PYTHON = "/usr/bin/python3"  # the one that knows rados and rbd
OPEN_LIMIT = CLOSE_LIMIT = 60


class Holders:
    """Each process holds some images open until `release`."""

    def __init__(self, ceph: Cluster, folder: Path) -> None:
        self._ceph = ceph
        self._folder = folder
        self._brood = Brood()
        self.processes: list[subprocess.Popen[bytes]] = []

    def hold(self, *images: str) -> None:
        """POOL[/NAMESPACE]/IMAGE, with @ behind it for reading only."""
        log = self._folder / f"holder-{len(self.processes)}"
        process = self._brood.start([DEBIAN_PYTHON, str(HOLDER), str(self._ceph.conf), *images], log)
        wait_for("images held open", lambda: "" if "HELD" in log.read_text() else log.read_text() or "no word", OPEN_LIMIT)
        assert process.poll() is None
        self.processes.append(process)

    def release(self) -> None:
        """Each closes its images: those of a client that dies are open for another 30 s."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            gone(process, CLOSE_LIMIT)
        self.processes.clear()

    def close(self) -> None:
        """End all, however."""
        try:
            self.release()
        finally:
            self._brood.close()
