# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole playbooks, as an operator runs them, and what all of their processes hold in memory together."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

MARK = "PILW_BENCHMARK"
EACH = 0.25  # seconds between two looks at the memory


@dataclass
class Play:
    """One run. C(peak): bytes, of all processes together, what they share counted once."""

    rc: int
    text: str
    seconds: float
    peak: int

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def progress(self) -> int:
        """Lines that tell how far it is: one every 5 s at first, one a minute in the end."""
        return len(re.findall(r"^  (?:Stopping|Starting): ", self.text, re.MULTILINE))


class Operator:
    """Somebody with an empty HOME and a platform whose times are scaled, or none."""

    def __init__(self, platform: t.Any, folder: Path, scale: float, concurrency: int = 64) -> None:
        self.platform = platform
        self.folder = folder
        self.records = folder / "records"
        # As the defaults of the roles, in the platform's own time. The lease is between our own processes.
        times = {
            "poll_interval": 5, "proof_interval": 30, "settle_timeout": 300, "stop_timeout": 600, "force_timeout": 300,
            "start_timeout": 900, "verify_hold": 60,
        }
        self.settings: dict[str, t.Any] = {f"ceph_maint_{name}": seconds * scale for name, seconds in times.items()}
        self.settings.update(ceph_maint_concurrency=concurrency, ceph_maint_record_dir=str(self.records), ceph_maint_confirm=True)

    def play(self, playbook: str, variables: dict[str, t.Any] | None = None) -> Play:
        """Run it to its end."""
        mark = secrets.token_hex(8)
        given = {**self.settings, **(variables or {})} if "/" not in playbook else variables or {}
        began = time.monotonic()
        with (self.folder / "out.log").open("w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / "ansible-playbook"), playbook, "-e", json.dumps(given)],
                env=self._environment(mark), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder,
            )
            memory = _Memory(mark)
            rc = process.wait()
            seconds = time.monotonic() - began
            memory.end()
        return Play(rc, (self.folder / "out.log").read_text(encoding="utf-8"), seconds, memory.peak)

    def prepare(self, **variables: t.Any) -> Play:
        return self.play("pilw.maintenance.ceph_maint_prepare", variables)

    def restore(self, **variables: t.Any) -> Play:
        return self.play("pilw.maintenance.ceph_maint_restore", {"ceph_maint_ceph_is_back": True, **variables})

    def _environment(self, mark: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "ANSIBLE_COLLECTIONS_PATH") if name in os.environ}
        return {
            **kept,
            MARK: mark,
            "HOME": str(self.folder),
            **({"API_HOST": self.platform.url, "ADMIN_APIKEY": self.platform.key} if self.platform else {}),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        }


class _Memory:
    """Looks on while a playbook runs."""

    def __init__(self, mark: str) -> None:
        self.peak = 0
        self._mark = f"{MARK}={mark}".encode()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._ended.wait(EACH):
            self.peak = max(self.peak, sum(map(self._of, Path("/proc").glob("[0-9]*"))))

    def _of(self, process: Path) -> int:
        try:
            if self._mark not in (process / "environ").read_bytes():
                return 0
            for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:  # it has ended meanwhile
            pass
        return 0
