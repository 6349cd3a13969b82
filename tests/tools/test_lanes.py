# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tool that runs the sessions: it counts what ran, and leaves no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

LANES = Path(__file__).with_name("lanes.py")
NOXFILE = """
import nox

@nox.session(python=False, tags=["test", "busy"])
def runs(session):
    session.run("python3", "-c", "print('ran')")

@nox.session(python=False, tags=["test"])
def fails(session):
    session.error("broken on purpose")

@nox.session(python=False, tags=["test"])
def skips(session):
    session.skip("no Python 3.99")

@nox.session(python=False, tags=["test"])
def orphans(session):
    session.run("python3", {orphan!r})

@nox.session(python=False, tags=["test"])
def hangs(session):
    session.run("python3", {child!r})
"""
# Leaves a process that ends soon, and waits until the kernel no longer knows it.
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if (pid := os.fork()) == 0:
        time.sleep(0.2)
    else:
        open({pid!r}, "w").write(str(pid))
    os._exit(0)
os.wait()
pid, deadline = open({pid!r}).read(), time.monotonic() + 20
while os.path.exists("/proc/" + pid):
    if time.monotonic() > deadline:
        sys.exit("it is still there")
    time.sleep(0.05)
"""
# As a job of Ansible: a process that leaves its parent and its session, and ignores TERM.
CHILD = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        open({pid!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""


@pytest.fixture
def lanes(tmp_path: Path) -> list[str]:
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(pid=str(tmp_path / "pid")), encoding="utf-8")
    orphan = tmp_path / "orphan.py"
    orphan.write_text(ORPHAN.format(pid=str(tmp_path / "orphan")), encoding="utf-8")
    noxfile = tmp_path / "noxfile.py"
    noxfile.write_text(NOXFILE.format(child=str(child), orphan=str(orphan)), encoding="utf-8")
    return [sys.executable, str(LANES), "--noxfile", str(noxfile)]


def run(command: list[str]) -> tuple[int, list[str]]:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines()


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.05)
    return int(path.read_text(encoding="utf-8"))


def test_passed_failed_and_skipped_sessions_are_counted(lanes: list[str]) -> None:
    status, lines = run([*lanes, "runs", "fails", "skips"])
    assert status == 1
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"
    assert "FAILED  fails: broken on purpose" in lines
    assert "skipped  skips: no Python 3.99" in lines


def test_process_that_a_session_leaves_is_reaped(lanes: list[str]) -> None:
    status, lines = run([*lanes, "orphans"])
    assert (status, lines[-1]) == (0, "1 passed, 0 failed")


def test_run_in_which_all_was_skipped_has_failed(lanes: list[str]) -> None:
    status, lines = run([*lanes, "skips"])
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 1 skipped")


def test_unknown_name_is_rejected(lanes: list[str]) -> None:
    status, lines = run([*lanes, "runs", "rums"])
    assert (status, lines) == (1, [])


def test_session_over_its_limit_is_ended(lanes: list[str], tmp_path: Path) -> None:
    status, lines = run([*lanes, "--limit", "0.05", "hangs", "runs"])
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    assert "FAILED  hangs: stopped after 3 s" in lines
    assert not psutil.pid_exists(wait_for(tmp_path / "pid"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_leaves_no_process(lanes: list[str], tmp_path: Path, number: int) -> None:
    process = subprocess.Popen([*lanes, "hangs", "runs"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    tree = [wait_for(tmp_path / "pid"), *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    os.kill(process.pid, number)
    output, _errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.splitlines()[-1].endswith("failed")
    assert not [pid for pid in tree if psutil.pid_exists(pid)]


def test_sessions_that_workflows_name_exist() -> None:
    root = LANES.parents[2]
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--noxfile", str(root / "noxfile.py"), "--list", "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    known = {entry["session"] for entry in json.loads(listed.stdout)}
    text = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    cores = set(re.findall(r'core: "(\S+)"', text))
    named = {name.replace("$CORE", core) for line in re.findall(r"nox -s (.*)", text) for name in re.findall(r"[\w$.-]+", line) for core in cores}
    assert {"e2e", *(f"sanity-{core}" for core in cores)} <= named <= known
