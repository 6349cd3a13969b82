# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run nox sessions in two lanes and count their tests.

    python3 tests/tools/lanes.py test            the sessions with this tag; several tags or names can be given
    python3 tests/tools/lanes.py unit-2.19 -- -k record -x

What nox does not do: sessions side by side of which at most one keeps both processors busy, a time limit for each, plain counts, and an
end that leaves no process behind. Logs are below .build/logs; the last line on standard output is "N passed, N failed[, N skipped]".
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

import psutil

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
LOGS, JUNIT, REPORTS = BUILD / "logs", BUILD / "junit", BUILD / "reports"
TAGS = ("test", "all", "full", "tool", "integration")  # each session has one of these
TAIL = 60  # lines of a failed session's log that are shown
GRACE = 5  # seconds from the request to end until the kill
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Session:
    name: str
    busy: bool
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)

    def counts(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def list_sessions(nox: list[str], wanted: list[str]) -> list[Session]:
    """Return the sessions with one of these tags or names, in the order of the noxfile."""
    command = [*nox, "--list", "--json", "--tags", *TAGS]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    known = json.loads(done.stdout)
    chosen = [entry for entry in known if {entry["session"], *entry["tags"]} & set(wanted)]
    unknown = set(wanted) - {word for entry in known for word in (entry["session"], *entry["tags"])}
    if unknown:
        sys.exit(f"No session has the name or tag {', '.join(sorted(unknown))}. Run `nox --list` for all.")
    return [Session(entry["session"], "busy" in entry["tags"]) for entry in chosen]


def judge(session: Session, status: int) -> None:
    """Take the counts. A session that ran nothing has failed, whatever its exit status."""
    report = REPORTS / f"{session.name}.json"
    try:
        (result,) = json.loads(report.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError):
        result = {"result": "", "reason": f"exit status {status}"}
    if result["result"] == "skipped":
        session.skipped = 1
        session.problems.append(str(result.get("reason")))
        return
    junit = JUNIT / f"{session.name}.xml"
    if junit.is_file():
        for suite in ElementTree.parse(junit).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            session.failed += bad
            session.skipped += int(suite.get("skipped", 0))
            session.passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
        for case in ElementTree.parse(junit).getroot().iter("testcase"):
            for kind in ("failure", "error", "skipped"):
                if (found := case.find(kind)) is not None:
                    session.problems.append(f"{kind}: {case.get('classname')}::{case.get('name')} {found.get('message', '').splitlines()[:1]}")
    elif status == 0 and not session.failed:
        session.passed = 1
    if status != 0 or not session.passed:
        session.failed = max(1, session.failed)
        session.problems.insert(0, result.get("reason") or f"exit status {status}")


class Lanes:
    """Runs sessions. ``limit``: seconds that each may take; ``arguments`` go to what a session runs."""

    def __init__(self, nox: list[str], sessions: list[Session], arguments: list[str], limit: float) -> None:
        self.nox, self.sessions, self.todo, self.arguments, self.limit = nox, sessions, list(sessions), arguments, limit
        self.start = time.monotonic()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.own: set[int] = set()  # processes that a lane waits for

    def reap(self) -> None:
        """Take the exit status of what a session left behind, as the first process of a machine does: tests wait for its end."""
        with self.lock, contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in self.own:
                os.waitpid(ended.si_pid, 0)

    def take(self, busy_lane: bool) -> Session | None:
        """The first lane takes the sessions that keep both processors busy, then whatever is left; the second lane none of those."""
        with self.lock:
            order = sorted(self.todo, key=lambda session: session.busy is not busy_lane)
            for session in order:
                if busy_lane or not session.busy:
                    self.todo.remove(session)
                    return session
        return None

    def run(self, session: Session) -> None:
        begun = time.monotonic()
        for old in (JUNIT / f"{session.name}.xml", REPORTS / f"{session.name}.json"):
            old.unlink(missing_ok=True)
        command = [*self.nox, "--session", session.name, "--report", str(REPORTS / f"{session.name}.json"), "--", *self.arguments]
        with (LOGS / f"{session.name}.log").open("wb") as log:
            with self.lock:
                process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
                self.own.add(process.pid)
            while process.poll() is None:
                self.reap()
                late = time.monotonic() - begun > self.limit
                if late or self.stopping.is_set():
                    session.failed = 1
                    session.problems.append(f"stopped after {self.limit:.0f} s" if late else "interrupted")
                    end([psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)])
                self.stopping.wait(0.2)
        judge(session, process.wait())
        session.seconds = time.monotonic() - begun
        word = "FAILED" if session.failed else "ok" if session.passed else "skipped"
        lines = [f"[{time.monotonic() - self.start:6.0f} s] {word:8s}{session.name:20s}{session.seconds:6.0f} s  {session.counts()}"]
        if session.failed and not self.stopping.is_set():
            lines += [f"    | {line}" for line in (LOGS / f"{session.name}.log").read_text(errors="replace").splitlines()[-TAIL:]]
        print("\n".join(lines), flush=True)

    def lane(self, busy_lane: bool) -> None:
        while not self.stopping.is_set() and (session := self.take(busy_lane)):
            self.run(session)

    def summarise(self) -> int:
        print()
        for session in self.sessions:
            print(*(f"{'FAILED' if session.failed else 'skipped'}  {session.name}: {problem}\n" for problem in session.problems), sep="", end="")
        print(f"{time.monotonic() - self.start:.0f} seconds")
        passed, failed, skipped = (sum(getattr(session, what) for session in self.sessions) for what in ("passed", "failed", "skipped"))
        failed += len(self.todo) + (not passed and not failed)
        print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
        return 1 if failed else 0


def end(processes: list[psutil.Process]) -> None:
    """Ask processes to end, and kill those that do not."""
    for how in ("terminate", "kill"):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, how)()
        _gone, processes = psutil.wait_procs(processes, timeout=GRACE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="+", metavar="TAG_OR_NAME")
    parser.add_argument("--limit", type=float, default=30, help="minutes that one session may take (30)")
    parser.add_argument("--noxfile", type=Path, default=ROOT / "noxfile.py")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, arguments = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    nox = [sys.executable, "-m", "nox", "--noxfile", str(given.noxfile)]
    for folder in (LOGS, JUNIT, REPORTS):
        folder.mkdir(parents=True, exist_ok=True)
    # Whatever a session leaves behind becomes a child of this process, and can be ended by it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    lanes = Lanes(nox, list_sessions(nox, given.wanted), arguments, given.limit * 60)

    def stop(number: int, _frame: FrameType | None) -> None:
        print(f"Interrupted by {signal.Signals(number).name}.", flush=True)
        lanes.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lanes.lane, (True, False)))
    end(psutil.Process().children(recursive=True))
    return lanes.summarise()


if __name__ == "__main__":
    sys.exit(main())
