# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the steps of steps.py and count their tests.

    python3 tests/tools/run_steps.py                      everything but sanity on the other cores
    python3 tests/tools/run_steps.py 'sanity-*' docs      the steps whose names match
    python3 tests/tools/run_steps.py --list               their names
    python3 tests/tools/run_steps.py --setup              make all environments, run nothing
    python3 tests/tools/run_steps.py --exec main COMMAND  run a command in an environment

--pytest-args '-k word -x' goes to every pytest step. Logs are under .build/logs, the last line on standard output is
"N passed, N failed[, N skipped]", and the exit status is 0 only if nothing failed. Variables: PILW_TEST_SLOTS (steps at a
time, 2), PILW_TEST_JOBS (pytest workers of the scenarios, 3).
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import fnmatch
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import setup_env
import steps
import trees
from setup_env import BUILD, ROOT, home, venv

LOGS = BUILD / "logs"
SUMMARY = BUILD / "summary.txt"
TAIL = 60
NAMED = 20  # failed tests of a step that the last lines name


@dataclasses.dataclass
class Result:
    status: str  # ok, failed, skipped
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    def counts(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def environ_for(env: str, collections: Path) -> dict[str, str]:
    """The caller's environment without what could steer the tests, least of all at a real platform."""
    unwanted = ("API_", "ADMIN_", "PILW", "ANSIBLE_", "AWX_", "TOWER_", "PYTEST_", "COVERAGE_", "GALAXY_IMPORTER_")
    names = {"PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV", "FORCE_COLOR", "PY_COLORS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    environ = {
        key: value
        for key, value in os.environ.items()
        if key not in names and (not key.startswith(unwanted) or key.startswith("PILW_TEST_"))
    }
    local = "localhost,127.0.0.1,::1"
    proxy = ",".join(filter(None, [environ.get("no_proxy") or environ.get("NO_PROXY"), local]))
    environ.update(
        PATH=os.pathsep.join([str(venv(env) / "bin"), environ.get("PATH", os.defpath)]),
        HOME=str(home(env)),
        ANSIBLE_COLLECTIONS_PATH=str(collections),
        PILW_TEST_BIN=str(venv(env) / "bin"),
        PIP_CACHE_DIR=str(BUILD / "cache" / "pip"),
        HYPOTHESIS_STORAGE_DIRECTORY=str(BUILD / "cache" / "hypothesis"),
        PYTHONPYCACHEPREFIX=str(BUILD / "cache" / "pycache"),
        LC_ALL="C.UTF-8",
        NO_COLOR="1",
        no_proxy=proxy,
        NO_PROXY=proxy,
    )
    return environ


def python_version(env: str) -> str:
    command = [str(venv(env) / "bin" / "python"), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.strip()


def junit_counts(files: list[Path]) -> tuple[int, int, int]:
    passed = failed = skipped = 0
    for file in files:
        for suite in ElementTree.parse(file).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            failed += bad
            skipped += left_out
            passed += max(0, int(suite.get("tests", 0)) - bad - left_out)
    return passed, failed, skipped


def judge(step: steps.Step, status: int, log: str) -> Result:
    """Counts and verdict. A step that did nothing has failed, whatever its exit status."""
    result = Result("ok")
    if status:
        result.problems.append(f"exit status {status}")
    if step.must_say and not re.search(step.must_say, log, re.MULTILINE):
        result.problems.append(f"its output lacks: {step.must_say}")
    if step.must_not_say:
        said = re.search(f".*(?:{step.must_not_say}).*", log, re.MULTILINE)
        if said:
            result.problems.append(f"its output says: {said.group(0).strip()}")
    if step.kind in ("pytest", "units"):
        files = [steps.JUNIT / f"{step.name}.xml"] if step.kind == "pytest" else sorted((step.cwd / "tests/output/junit").glob("*.xml"))
        try:
            result.passed, result.failed, result.skipped = junit_counts([file for file in files if file.is_file()])
        except ElementTree.ParseError as exc:
            result.problems.append(f"unreadable test report: {exc}")
        if not result.passed and not result.failed:
            result.problems.append("no test ran")
    elif step.kind == "sanity":
        ran = set(re.findall(r'^Running sanity test "([^"]+)"', log, re.MULTILINE))
        listed = re.search(r"The (\d+) sanity test\(s\) listed below \(out of \d+\) failed", log)
        result.failed = int(listed.group(1)) if listed else 0
        result.passed = max(0, len(ran) - result.failed)
        if len(ran) < 20:
            result.problems.append(f"only {len(ran)} sanity tests ran")
    elif step.kind == "integration":
        ran = set(re.findall(r"^Running (\S+) integration test", log, re.MULTILINE))
        bad = set(re.findall(r"Encountered \d+ errors?.*?: (\S+)", log)) & ran
        wanted = steps.integration_targets()
        if not wanted:
            result.problems.append("there is no integration target")
        if wanted - ran:
            result.problems.append(f"not run: {', '.join(sorted(wanted - ran))}")
        if status and not bad and ran:
            bad = {re.findall(r"^Running (\S+) integration test", log, re.MULTILINE)[-1]}  # it stops at the first failure
        result.passed, result.failed = len(ran - bad), len(bad)
    else:
        result.passed = 1
    if result.problems or result.failed:
        result.status = "failed"
        if step.kind == "plain":
            result.passed = 0
        result.failed = max(1, result.failed)
    return result


def tail(step: steps.Step) -> list[str]:
    """The end of a step's log; of ansible-test's, the complaints without the installations between them."""
    lines = (LOGS / f"{step.name}.log").read_text(errors="replace").splitlines()
    if step.kind == "sanity":
        complaints = [line for line in lines if re.match("ERROR|FATAL|[a-z-]+$", line)]
        lines = complaints or lines
    return lines[-TAIL:]


def failed_tests(step: steps.Step) -> list[str]:
    """Their names: the end of a log may be all that people get to see."""
    file = steps.JUNIT / f"{step.name}.xml"
    if step.kind != "pytest" or not file.is_file():
        return []
    try:
        cases = ElementTree.parse(file).getroot().iter("testcase")
    except ElementTree.ParseError:  # told of already, see judge
        return []
    return [f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("failure") is not None or case.find("error") is not None]


class Runner:
    def __init__(self, chosen: list[steps.Step], pytest_args: list[str]) -> None:
        self.pytest_args = pytest_args
        self.start = time.monotonic()
        self.lock = threading.Condition()
        self.running: dict[str, subprocess.Popen[bytes] | None] = {}
        self.results: dict[str, Result] = {}
        self.stopped = False
        self.notes: list[str] = []
        # main first, as nearly everything needs it; each other environment just before the first step that does.
        self.todo: list[steps.Step] = []
        for step in sorted(chosen, key=lambda step: step.name not in ("unit", "scenarios")):
            setup = f"setup-{step.env}"
            if all(other.name != setup for other in self.todo):
                command = (sys.executable, str(ROOT / "tests/tools/setup_env.py"), step.env)
                self.todo.append(steps.Step(setup, command, env=step.env, kind="setup"))
            if step.name != setup:
                self.todo.append(step)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def needs(self, step: steps.Step) -> list[str]:
        known = {other.name for other in self.todo}
        return [name for name in (f"setup-{step.env}", *step.after) if name in known and name != step.name]

    def next_step(self) -> steps.Step | None:
        busy = {step.lock for step in self.todo if step.name in self.running and step.lock}
        for step in self.todo:
            if step.name in self.results or step.name in self.running or step.lock in busy:
                continue
            before = [self.results.get(name) for name in self.needs(step)]
            if None in before:
                continue
            bad = [result for result in before if result and result.status != "ok"]
            if bad:
                skipped = all(result.status == "skipped" for result in bad)
                why = "its environment cannot be made here" if skipped else "what it needs failed"
                self.finish(step, Result("skipped", skipped=1, problems=[why]) if skipped else Result("failed", failed=1, problems=[why]))
                return self.next_step()
            return step
        return None

    def finish(self, step: steps.Step, result: Result) -> None:
        self.results[step.name] = result
        elapsed = time.monotonic() - self.start
        word = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}[result.status]
        if step.kind == "setup" and result.status == "ok":
            counts = ""
        else:
            counts = result.counts() + ("".join(f"; {problem}" for problem in result.problems))
        self.say(f"[{elapsed:6.1f} s] {word:8s} {step.name:20s} {result.seconds:6.1f} s  {counts}".rstrip())
        if result.status == "failed" and (LOGS / f"{step.name}.log").is_file():
            self.say("\n".join(f"    | {line}" for line in tail(step)))

    def run(self, step: steps.Step) -> Result:
        command = list(step.command)
        if step.kind == "setup":
            environ, cwd = dict(os.environ), ROOT
        else:
            environ, cwd = {**environ_for(step.env, step.collections), **dict(step.variables)}, step.cwd
        if step.kind in ("units", "sanity", "integration"):
            command = [word.format(python=python_version(step.env)) for word in command]
            shutil.rmtree(cwd / "tests/output/junit", ignore_errors=True)
        if step.kind == "pytest":
            (steps.JUNIT / f"{step.name}.xml").unlink(missing_ok=True)
            command += self.pytest_args
        path = LOGS / f"{step.name}.log"
        begun = time.monotonic()
        with path.open("wb") as log:
            log.write(f"$ cd {cwd} && {shlex.join(command)}\n".encode())
            log.flush()
            program = shutil.which(command[0], path=environ.get("PATH")) or command[0]
            with self.lock:
                if self.stopped:
                    return Result("failed", failed=1, problems=["interrupted"])
                process = subprocess.Popen(
                    [program, *command[1:]],
                    cwd=cwd,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self.running[step.name] = process
            try:
                status, late = process.wait(step.timeout), False
            except subprocess.TimeoutExpired:
                status, late = stop(process), True
        text = path.read_text(errors="replace").split("\n", 1)[1]
        if step.kind == "setup":
            if status in (setup_env.MADE, setup_env.NOT_NEEDED):
                result = Result("ok")
            elif status == setup_env.SKIPPED:
                note = text.strip().splitlines()[-1]
                self.notes.append(note)
                result = Result("skipped", problems=[note])
            else:
                result = Result("failed", failed=1, problems=[f"exit status {status}"])
            if status == setup_env.NOT_NEEDED:
                self.todo = [other for other in self.todo if other.env != step.env or other is step]
                self.say(f"{step.name}: {text.strip()}")
        else:
            result = judge(step, status, text)
        if late:
            result.problems.insert(0, f"stopped after {step.timeout} s")
        result.seconds = time.monotonic() - begun
        return result

    def worker(self) -> None:
        while True:
            with self.lock:
                step = self.next_step()
                while step is None:
                    if self.stopped or all(other.name in self.results for other in self.todo):
                        self.lock.notify_all()
                        return
                    self.lock.wait()
                    step = self.next_step()
                self.running[step.name] = None
            try:
                result = self.run(step)
            except Exception as exc:
                result = Result("failed", failed=1, problems=[f"{type(exc).__name__}: {exc}"])
            with self.lock:
                del self.running[step.name]
                self.finish(step, result)
                self.lock.notify_all()

    def everything(self, slots: int) -> None:
        threads = [threading.Thread(target=self.worker, daemon=True) for dummy in range(slots)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)
        except KeyboardInterrupt:
            with self.lock:
                self.stopped = True
                for process in self.running.values():
                    if process:
                        stop(process)
                self.notes.append("INTERRUPTED")
                self.lock.notify_all()

    def summary(self) -> int:
        total = Result("ok")
        self.say("")
        for step in self.todo:
            result = self.results.get(step.name) or Result("failed", failed=1, problems=["not finished"])
            total.passed += result.passed
            total.failed += result.failed
            total.skipped += result.skipped
            if result.status == "failed":
                self.say(f"FAILED  {step.name}: {'; '.join(result.problems) or result.counts()}, see {LOGS / step.name}.log")
                for name in failed_tests(step)[:NAMED]:
                    self.say(f"        {name}")
        for note in self.notes:
            self.say(note)
        self.say(f"{time.monotonic() - self.start:.0f} seconds")
        if not total.passed and not total.failed:
            total.failed = 1
        SUMMARY.write_text(total.counts() + "\n")
        self.say(total.counts())
        return 1 if total.failed else 0


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a step with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
    return process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--setup", action="store_true")
    parser.add_argument("--exec", dest="env", choices=sorted(setup_env.ENVIRONMENTS))
    parser.add_argument("--pytest-args", default="")
    parser.add_argument("names", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    table = steps.all_steps()
    if args.list:
        print("\n".join(step.name for step in table))
        return 0
    BUILD.mkdir(exist_ok=True)
    if args.env:
        status = setup_env.make(args.env)
        if status:
            return status
        trees.link()
        environ = environ_for(args.env, BUILD / "link")
        os.execvpe(args.names[0], args.names, environ)

    if args.names:
        chosen = [step for step in table if any(fnmatch.fnmatch(step.name, name) for name in args.names)]
    else:
        chosen = [step for step in table if step.default]
    for name in args.names:
        if not fnmatch.filter([step.name for step in table], name):
            parser.error(f"no step is called {name}")
    if args.setup:
        chosen = [steps.Step(f"setup-{env}", (), env=env, kind="setup") for env in setup_env.ENVIRONMENTS]
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Another run is under way in {BUILD}.")
            return 1
        SUMMARY.unlink(missing_ok=True)
        for folder in (LOGS, steps.JUNIT):
            folder.mkdir(exist_ok=True)
        trees.refresh()
        steps.DIST.mkdir(exist_ok=True)
        runner = Runner(chosen, shlex.split(args.pytest_args))
        runner.everything(int(os.environ.get("PILW_TEST_SLOTS", "2")))
        return 0 if args.setup and not any(result.failed for result in runner.results.values()) else runner.summary()


if __name__ == "__main__":
    sys.exit(main())
