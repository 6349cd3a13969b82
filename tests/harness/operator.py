# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator at a terminal: runs the playbooks by their full names against a simulated platform."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from simulator.server import Cloud

ROOT = Path(__file__).resolve().parents[2]
FAST = ROOT / "tests" / "fast.yml"
LIMIT = 240  # seconds that any one ansible-playbook may take
SCALE = 0.01


@dataclass
class Run:
    """What the operator sees of one run."""

    rc: int
    text: str

    @property
    def recap(self) -> str:
        return self.text.split("PLAY RECAP")[-1]

    def accept_argument(self) -> str:
        """The argument that the last refusal printed, as an operator would paste it."""
        found = re.findall(r"-e (ceph_maint_accept=[^\s\"]+)", self.text)
        assert found, self.text
        return found[-1].rstrip(".")


class Operator:
    """Somebody with an empty HOME, an API host and a key."""

    limit = LIMIT

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.records = folder / "records"
        self.folder = folder
        self.extra_environment: dict[str, str] = {}

    @property
    def python(self) -> str:
        """The interpreter of the environment under test."""
        return str(Path(os.environ.get("PILW_TEST_BIN", Path(sys.executable).parent)) / "python")

    def command(self, playbook: str, *arguments: str, fast: bool = True, **variables: t.Any) -> list[str]:
        name = playbook if "/" in playbook else f"pilw.maintenance.{playbook}"
        command = [str(Path(os.environ.get("PILW_TEST_BIN", Path(sys.executable).parent)) / "ansible-playbook"), name]
        if fast:
            command += ["-e", f"@{FAST}"]
        variables.setdefault("ceph_maint_record_dir", self.records)
        if "ceph_maint_accept" in variables or any("ceph_maint_accept=" in word for word in arguments):
            variables.setdefault("ceph_maint_accept_reason", "told by its owner")
        for key, value in variables.items():
            whole = isinstance(value, (list, dict, bool)) or " " in str(value)  # of the other form Ansible takes the first word only
            command += ["-e", json.dumps({key: value}) if whole else f"{key}={value}"]
        return [*command, *arguments]

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "ANSIBLE_COLLECTIONS_PATH") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "API_HOST": self.cloud.url,
            "ADMIN_APIKEY": self.cloud.key,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            **self.extra_environment,
        }

    def play(self, playbook: str, *arguments: str, env: dict[str, str] | None = None, **variables: t.Any) -> Run:
        """Run a playbook to its end."""
        done = subprocess.run(
            self.command(playbook, *arguments, **variables),
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.limit,
            cwd=self.folder,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def killed(
        self,
        playbook: str,
        when: t.Callable[[], bool],
        how: int = signal.SIGKILL,
        may_end: bool = False,
        arguments: tuple[str, ...] = (),
        **variables: t.Any,
    ) -> Run:
        """Run a playbook and kill it, with all of its process group, as soon as C(when) holds."""
        with open(self.folder / "killed.log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                self.command(playbook, *arguments, **variables),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
            try:
                wait_until(lambda: when() or process.poll() is not None, self.limit)
                assert may_end or process.poll() is None, f"it ended before it could be killed:\n{Path(log.name).read_text()}"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, how)
                process.wait(self.limit)
            return Run(process.returncode, Path(log.name).read_text(encoding="utf-8"))

    def prepare(self, *arguments: str, **variables: t.Any) -> Run:
        return self.play("ceph_maint_prepare", *arguments, **{"ceph_maint_confirm": "true", **variables})

    def restore(self, *arguments: str, **variables: t.Any) -> Run:
        given = {"ceph_maint_confirm": "true", "ceph_maint_ceph_is_back": "true", **variables}
        return self.play("ceph_maint_restore", *arguments, **given)

    @property
    def place(self) -> Path:
        """Where the record of this platform lies."""
        return self.records / self.cloud.api_host.replace(":", "_")

    def ask(self, sql: str) -> list[tuple]:
        """Look into the open record."""
        path = self.place / "record.sqlite"
        if not path.exists():
            return []
        with sqlite3.connect(path, timeout=20) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    def phase(self) -> str:
        rows = self.ask("SELECT phase FROM maintenance")
        return rows[0][0] if rows else ""

    def holder(self) -> int | None:
        """The process that works on the record now, if it lives."""
        with contextlib.suppress(OSError, ValueError, KeyError):  # an empty one is between two holders
            about = json.loads((self.place / "lock").read_text(encoding="utf-8"))
            if Path(f"/proc/{about['pid']}").exists():
                return int(about["pid"])
        return None

    def recorded(self) -> set[str]:
        return {row[0] for row in self.ask("SELECT uuid FROM vms")}


def wait_until(condition: t.Callable[[], bool], limit: float = 90.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def open_hosts(cloud: Cloud) -> set[str]:
    return {host.uuid for host in cloud.hosts if host.accepting}
