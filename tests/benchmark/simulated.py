# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated platform in a process of its own, so that it takes nothing of what is measured but its own processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
KEY = "benchmark-key"
PATIENCE = 120.0  # seconds for its start, and for anything asked of it


class Platform:
    """A context manager. Takes the fields of simulator.config.Options."""

    def __init__(self, tls: bool = False, **options: t.Any) -> None:
        self._options = {"admin_keys": [KEY], **options}
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="bench-platform-")
        self.api_host = ""

    @property
    def key(self) -> str:
        """A key with admin rights."""
        return KEY

    @property
    def ca_path(self) -> str:
        """The test CA's certificate; empty on plain http."""
        return str(Path(self._folder.name) / "ca.pem") if self._tls else ""

    @property
    def url(self) -> str:
        """The base, without /v1."""
        return f"http{'s' if self._tls else ''}://{self.api_host}"

    def __enter__(self) -> Platform:
        folder = Path(self._folder.name)
        command = [sys.executable, str(TESTS / "simulator"), "--port-file", str(folder / "port"), "--options", json.dumps(self._options)]
        if self._tls:
            command += ["--tls-dir", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        deadline = time.monotonic() + PATIENCE
        while not (folder / "port").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the simulated platform did not start")
            time.sleep(0.02)
        self.api_host = (folder / "port").read_text(encoding="utf-8").strip()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
        self._folder.cleanup()

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def journal(self) -> Journal:
        """What was asked of it so far."""
        return Journal(self._ask("journal"))

    def running(self) -> set[str]:
        """The uuids of the VMs that run."""
        return {vm["uuid"] for vm in self._ask("vms") if vm["state"] == "running"}

    def uuids(self) -> list[str]:
        """The uuids of all VMs."""
        return [vm["uuid"] for vm in self._ask("vms")]

    def _ask(self, what: str) -> t.Any:
        # Without TLS verification: loopback, and nothing secret in it.
        import ssl

        context = ssl.create_default_context(cafile=self.ca_path) if self._tls else None
        with urllib.request.urlopen(f"{self.url}/_cloud/{what}", timeout=PATIENCE, context=context) as answer:
            return json.load(answer)


class Journal:
    """Requests, as the platform saw them. Times are seconds of its clock."""

    def __init__(self, told: dict[str, t.Any]) -> None:
        self.most_at_once: int = told["max_open_power"]
        self.entries: list[dict[str, t.Any]] = told["entries"]

    def of(self, *kinds: str) -> list[dict[str, t.Any]]:
        return [entry for entry in self.entries if entry["kind"] in kinds]

    def stops(self) -> list[dict[str, t.Any]]:
        return self.of("admin_vm_stop")

    def starts(self) -> list[dict[str, t.Any]]:
        return self.of("admin_vm_start")

    def settling(self, calls: list[dict[str, t.Any]]) -> float:
        """Seconds from the first of these calls to the end of the first list that was asked for after the last was answered."""
        last = max(entry["ended"] for entry in calls)
        lists = [entry["ended"] for entry in self.of("vm_all") if entry["started"] >= last and entry["ended"]]
        return min(lists, default=last) - min(entry["started"] for entry in calls)
