# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that never outlive the tests: daemons of Ceph, and QEMUs."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import typing as t
from pathlib import Path

from e2e.waits import wait_for

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"}
LAST_WAIT = 30.0  # seconds until a process that was killed is really gone
# The kernel is told to end the child with its parent; should that be gone already, it would never do so.
WITH_ITS_PARENT = ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"']


class Brood:
    """Everything it has started is ended by close(), and by the kernel should the tests themselves be killed."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[bytes]] = []
        # The kernel ends a child with the thread that made it, not with the process: so one thread makes them all.
        self._mother = concurrent.futures.ThreadPoolExecutor(1, "brood")

    def start(self, command: t.Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """A process with a session of its own, whose output is added to the log."""
        return self._mother.submit(self._start, command, log).result()

    def _start(self, command: t.Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*WITH_ITS_PARENT, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._all.append(process)
        return process

    def close(self) -> None:
        """Kill what still lives and see it end."""
        left = [process for process in self._all if process.poll() is None]
        for process in left:
            process.kill()
        try:
            for process in left:
                gone(process, LAST_WAIT)
        finally:
            self._mother.shutdown()


def gone(process: subprocess.Popen[bytes], limit: float) -> float:
    """Wait for its end; the seconds it took."""
    what = f"the end of process {process.pid}, {process.args}"
    return wait_for(what, lambda: "it lives" if process.poll() is None else "", limit, 0.05)


def run(*command: str | Path, limit: float = 60.0, ok: t.Container[int] = (0,), env: t.Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must end in time, with a good status."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=limit, check=False,
        env={**ENVIRONMENT, **(env or {})},
    )
    if done.returncode not in ok:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
