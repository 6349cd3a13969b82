# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX drives them: ansible-runner hands a job over, works on it where it may be killed, and takes in what it says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

from harness.operator import FAST, LIMIT, ROOT, Operator, wait_until

RUNNER = Path(sys.executable).parent / "ansible-runner"
LINK = str(ROOT / ".build" / "link")
# What a controller sets for each job.
ENVIRONMENT = {"ANSIBLE_FORCE_COLOR": "True", "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True"}
LOCALHOST = "localhost ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'\n"
ENDED = ("successful", "failed", "canceled", "timeout", "error")


class Job:
    """One launch: `out` has what a controller keeps of it, `work` is where it runs."""

    def __init__(self, folder: Path, private: Path, playbook: str, environment: dict[str, str]) -> None:
        self.work = folder / "work"
        self.out = folder / "out"
        self.out.mkdir(mode=0o700)
        self._artifacts = self.out / "artifacts"
        log = (folder / "log").open("wb")
        commands = (
            ["transmit", str(private), "-p", playbook],
            ["worker", "--private-data-dir", str(self.work)],
            ["process", str(self.out)],
        )
        self._parts: list[subprocess.Popen[bytes]] = []
        for command in commands:
            last = command[0] == "process"
            self._parts.append(
                subprocess.Popen(
                    [str(RUNNER), *command],
                    env=environment,
                    stdin=self._parts[-1].stdout if self._parts else subprocess.DEVNULL,
                    stdout=log if last else subprocess.PIPE,
                    stderr=log,
                    cwd=folder,
                    start_new_session=True,  # no terminal, and a group of its own to be killed
                )
            )
        log.close()
        for part in self._parts[:-1]:
            assert part.stdout is not None
            part.stdout.close()

    @property
    def events(self) -> list[dict[str, t.Any]]:
        """What has arrived so far, in order."""
        found = []
        for path in self._artifacts.glob("job_events/*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # just being written
                found.append(json.loads(path.read_text(encoding="utf-8")))
        return sorted(found, key=lambda event: event["counter"])

    @property
    def text(self) -> str:
        """What the controller shows of it so far."""
        return "\n".join(event["stdout"] for event in self.events if event.get("stdout"))

    @property
    def alive(self) -> bool:
        return self._parts[-1].poll() is None

    @property
    def status(self) -> str:
        return (self._artifacts / "status").read_text(encoding="utf-8")

    @property
    def rc(self) -> int:
        return int((self._artifacts / "rc").read_text(encoding="utf-8"))

    @property
    def stats(self) -> dict[str, t.Any]:
        """What a workflow hands on to its next job."""
        return next(event for event in self.events if event["event"] == "playbook_on_stats")["event_data"].get("artifact_data", {})

    def comes_to(self, holds: t.Callable[[], bool]) -> None:
        wait_until(lambda: holds() or not self.alive, LIMIT)
        assert self.alive, f"it ended before it came to that:\n{self.text}"

    def cancel(self, how: int = signal.SIGTERM) -> None:
        """As a job is cancelled: the worker's process group is told to end, which takes ansible-playbook with it."""
        os.killpg(self._parts[1].pid, how)

    def end(self, limit: float = LIMIT) -> Job:
        """Wait for its own end."""
        for part in self._parts:
            part.wait(limit)
        return self

    def close(self) -> None:
        """None of its parts is left."""
        if self._parts[1].poll() is None:
            self.cancel()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._parts[1].wait(30)
        for part in self._parts:
            if part.poll() is None:
                part.kill()
                part.wait()


class RunnerOperator(Operator):
    """Launches jobs of a project whose playbooks are nothing but imports of those of the collection."""

    def __init__(self, cloud: t.Any, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.inventory = LOCALHOST
        self.settings: dict[str, t.Any] = {**yaml.safe_load(FAST.read_text(encoding="utf-8")), "ceph_maint_record_dir": str(self.records)}
        self.job_environment = {**ENVIRONMENT, "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", LINK)}
        self.files: dict[str, str] = {}  # more of what a credential brings
        self._launched = 0

    @contextlib.contextmanager
    def job(self, playbook: str, **variables: t.Any) -> t.Iterator[Job]:
        """Launch it; afterwards it does not run any more."""
        self._launched += 1
        folder = self.folder / f"job-{self._launched}"
        private = folder / "private"
        credential = {"API_HOST": self.cloud.url, "ADMIN_APIKEY": self.cloud.key}
        files = {
            "env/envvars": json.dumps({**self.job_environment, **credential}),
            "env/extravars": json.dumps({**self.settings, **variables}),
            "inventory/hosts": self.inventory,
            f"project/{playbook}.yml": f"- name: Launch\n  ansible.builtin.import_playbook: pilw.maintenance.{playbook}\n",
            **self.files,
        }
        for name, text in files.items():
            path = private / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
        project = private / "project"
        (project / f"{playbook}.yml").chmod(0o444)
        project.chmod(0o555)
        home = folder / "home"
        home.mkdir()
        path = os.pathsep.join([os.environ.get("PILW_TEST_BIN", str(RUNNER.parent)), os.environ["PATH"]])
        job = Job(folder, private, f"{playbook}.yml", {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"})
        try:
            yield job
        finally:
            job.close()
            project.chmod(0o755)
            (job.work / "project").chmod(0o755)

    def launch(self, playbook: str, **variables: t.Any) -> Job:
        """Run a job to its end."""
        with self.job(playbook, **variables) as job:
            job.end()
            assert_untouched(job)
            return job


def assert_untouched(job: Job) -> None:
    """The project is as it was handed over: nothing in it or beside it was written."""
    project = job.work / "project"
    assert [path.name for path in project.iterdir()] == [path.name for path in (job.work.parent / "private" / "project").iterdir()]
    assert stat.S_IMODE(project.stat().st_mode) == 0o555
