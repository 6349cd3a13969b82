# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing outlives the tests, however these end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from e2e.processes import Brood
from e2e.waits import wait_for

LIMIT = 20.0
TESTS = str(Path(__file__).resolve().parents[1])
KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from e2e.processes import Brood
from pathlib import Path
brood = Brood()  # without a name it would be gone at once, its thread with it, and with that its child
print(brood.start(["sleep", "1000"], Path("/dev/null")).pid, flush=True)
time.sleep(1000)
"""


def lives(pid: int) -> str:
    """Why a process has not ended; a zombie has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state == "Z" else f"it is in state {state}"


def test_a_brood_is_ended_even_when_it_is_frozen(tmp_path: Path) -> None:
    brood = Brood()
    plain, frozen = (brood.start(["sleep", "1000"], tmp_path / "log") for dummy in range(2))
    wait_for("sleep", lambda: "" if Path(f"/proc/{frozen.pid}/comm").read_text() == "sleep\n" else "not yet", LIMIT)
    frozen.send_signal(signal.SIGSTOP)
    brood.close()
    assert lives(plain.pid) == lives(frozen.pid) == ""


def child_of_killed_tests(path: str) -> int:
    """The process that tests have started, after these tests were killed."""
    command = [sys.executable, "-c", KILLED, TESTS]
    environment = {**os.environ, "PATH": path}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment) as tests:
        try:
            assert tests.stdout is not None
            pid = int(tests.stdout.readline())
            assert lives(pid)
        finally:
            tests.kill()
    return pid


def test_a_brood_ends_with_a_test_that_is_killed() -> None:
    pid = child_of_killed_tests(os.environ["PATH"])
    wait_for("the end of its child", lambda: lives(pid), LIMIT)


def test_a_brood_ends_with_a_test_that_is_killed_before_the_kernel_was_told(tmp_path: Path) -> None:
    now = tmp_path / "now"
    slow = tmp_path / "setpriv"
    slow.write_text(f"#!/bin/sh\nwhile [ ! -e {now} ]; do sleep 0.05; done\nexec {shutil.which('setpriv')} \"$@\"\n")
    slow.chmod(0o755)
    pid = child_of_killed_tests(f"{tmp_path}:{os.environ['PATH']}")
    now.touch()
    try:
        wait_for("the end of its child", lambda: lives(pid), LIMIT)
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGKILL)
