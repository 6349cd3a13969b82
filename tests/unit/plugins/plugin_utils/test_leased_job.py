# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job on the maintenance host is followed, and how often its progress is shown."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import types

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.plugin_utils import leased_job
from ansible_collections.pilw.maintenance.plugins.plugin_utils.leased_job import INFO, LeasedJob, between_lines, wait_command

STARTED = json.dumps({"started": 1, "finished": 0, "ansible_job_id": "j1.7"})


def lines(seconds):
    shown, count = 0.0, 0
    while shown + between_lines(shown) <= seconds:
        shown, count = shown + between_lines(shown), count + 1
    return count


@pytest.mark.parametrize(("seconds", "most"), [(4, 0), (60, 12), (600, 60), (2 * 3600, 170), (24 * 3600, 1500)])
def test_an_hour_of_work_fills_no_screen_after_screen(seconds, most):
    assert most * 2 / 3 <= lines(seconds) <= most


def test_nobody_waits_longer_than_a_minute_for_a_sign():
    assert max(between_lines(passed) for passed in range(0, 10000, 7)) == 60


class Task:
    """C(files): what the result file holds, wait by wait. C(progress): what each look at the record gives; the last of both stays."""

    def __init__(self, monkeypatch, files, progress=({"busy": True, "text": "3 of 9"},)):
        self.now, self.shown, self.calls, self.files, self.progress = 1000.0, [], [], list(files), list(progress)
        monkeypatch.setattr(leased_job.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(leased_job.time, "sleep", self.pass_time)
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        self.action = object.__new__(LeasedJob)
        self.action._task = types.SimpleNamespace(args={"record": "/r/record.sqlite", "run": "t0k", "lease": "30"}, async_val=0, check_mode=False)
        shell = types.SimpleNamespace(get_option=lambda name: "", set_option=lambda name, value: None, quote=shlex.quote)
        self.action._connection = types.SimpleNamespace(_shell=shell)
        self.action._execute_module = self.execute
        self.action._low_level_execute_command = self.command
        self.action._display = types.SimpleNamespace(display=self.shown.append)

    def pass_time(self, seconds):
        self.now += seconds

    @staticmethod
    def next_of(values):
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return value

    def execute(self, module_name, module_args, task_vars, wrap_async=False):
        if wrap_async:
            return {"ansible_job_id": "j1.7", "results_file": "/r/j1.7"}
        self.calls.append(module_name)
        return self.next_of(self.progress)

    def command(self, text):
        self.calls.append(text.split()[0])
        if text.startswith("rm "):
            return {"stdout": ""}
        told = self.next_of(self.files)
        self.now += 5.0 if told in (STARTED, "") else 0.0
        return {"stdout": told}

    def run(self):
        return self.action.run(task_vars={})


def test_a_job_that_ends_at_once_costs_no_module_call(monkeypatch):
    task = Task(monkeypatch, ['banner of the host\n{"changed": true, "line": "all done", "stderr": "x"}\n'])
    assert task.run() == {"changed": True, "line": "all done"}
    assert (task.calls, task.shown) == (["sleep", "rm"], ["  all done"])


def test_progress_is_shown_and_the_lease_renewed_while_it_works(monkeypatch):
    task = Task(monkeypatch, [STARTED, "", STARTED, '{"changed": false}'])
    assert task.run() == {"changed": False}
    assert task.calls == ["sleep", INFO] * 3 + ["sleep", "rm"]
    assert task.shown == ["  3 of 9"] * 3


def test_a_result_of_the_wrapper_alone_is_a_killed_job(monkeypatch):
    task = Task(monkeypatch, ['{"failed": 1, "cmd": "x", "data": "", "msg": "Traceback"}'])
    assert task.run()["msg"].startswith("The work on the maintenance host was killed.")


def test_a_job_that_is_gone_without_a_result_is_reported(monkeypatch):
    task = Task(monkeypatch, [STARTED], [{"busy": True}, {"busy": False, "msg": "no record"}])
    assert task.run()["msg"].startswith("The work on the maintenance host has died. no record")
    assert 1030 < task.now < 1045


def test_a_lost_host_is_retried_for_one_lease(monkeypatch):
    back = Task(monkeypatch, [AnsibleConnectionFailure("gone"), '{"changed": true}'])
    assert back.run() == {"changed": True}
    lost = Task(monkeypatch, [AnsibleConnectionFailure("gone")])
    assert lost.run()["unreachable"] and 1030 <= lost.now < 1035
    assert "rm" not in lost.calls


def test_it_ends_with_the_playbook(monkeypatch):
    task = Task(monkeypatch, [STARTED])
    monkeypatch.setattr(leased_job, "playbook_pid", lambda: -1)
    assert task.run() == {"failed": True, "msg": leased_job.GONE}
    assert INFO not in task.calls, "the lease was renewed"


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("content", "wait"), [('{"changed": false, "counts": {"started": 1}}', 0), (STARTED, 1), (STARTED.replace("1", "true"), 1), (None, 1)]
)
def test_the_wait_ends_as_soon_as_there_is_a_result(tmp_path, shell, content, wait):
    """However long each look takes: a lease is renewed in between. The seconds of its clock are made short ones."""
    file = tmp_path / "j1.7"
    if content:
        file.write_text(content, encoding="utf-8")
    slow = f"sleep() {{ if [ $1 = 60 ]; then command sleep 0.4; else command sleep 0.3; fi; }}; {wait_command(shlex.quote(str(file)), 60)}"
    began = time.monotonic()
    done = subprocess.run([shell, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=50)
    assert done.stdout == (content or "")
    assert (time.monotonic() - began >= 0.4) is bool(wait)


@pytest.mark.parametrize("lead", ["", "Welcome {user}\n", "{ hello }\n"])
def test_what_a_login_shell_prints_hides_no_result(monkeypatch, lead):
    task = Task(monkeypatch, [lead + '{"changed": true}'])
    assert task.run() == {"changed": True}


@pytest.mark.parametrize("lease", ["abc", "nan", 0, -1])
def test_lease_that_is_none_is_left_to_the_module(monkeypatch, lease):
    """Its own words tell what is wrong, before any job is started."""
    task = Task(monkeypatch, [""])
    task.action._task.args["lease"] = lease
    task.run()
    assert task.calls == [task.action.MODULE]
