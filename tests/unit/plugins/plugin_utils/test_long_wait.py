# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A long wait is made of several calls, and what it waits for is said between them."""

from __future__ import annotations

import threading
import types

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.action import pilw_maintenance
from ansible_collections.pilw.maintenance.plugins.module_utils import _waiting
from ansible_collections.pilw.maintenance.plugins.plugin_utils import long_wait
from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LongWait


def waiting(text="osd.2 is down", **carried):
    return {"failed": True, "waiting": text, "carried": carried, "msg": text}


class Task:
    """C(results): what the module gives, call by call; the last one stays. A call that comes back to say something took its piece."""

    def __init__(self, monkeypatch, *results, **args):
        self.now, self.given, self.shown, self.results = 1000.0, [], [], list(results)
        monkeypatch.setattr(long_wait.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        self.action = object.__new__(LongWait)
        self.action._task = types.SimpleNamespace(args=args, async_val=0, environment=[{"LANG": "C"}])
        self.action._execute_module = self.execute
        self.action._display = types.SimpleNamespace(display=self.shown.append)

    def execute(self, module_args, task_vars, wrap_async=False):
        wait = self.action._task.environment[1:]
        told = dict(part.split("=") for part in wait[0]["PILW_MAINTENANCE_WAIT"].split(",")) if wait else {}
        self.given.append({**module_args, **{name: float(value) for name, value in told.items()}})
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        self.in_background = wrap_async
        self.now += self.given[-1]["piece"] if "waiting" in result else 1.0
        return result

    def run(self):
        return self.action.run(task_vars={})


def test_what_it_waits_for_is_shown_until_it_is_there(monkeypatch):
    end = {"lines": ["Ceph serves."]}
    task = Task(monkeypatch, waiting("one"), waiting("two"), end, checks=["serving"], timeout="1800")
    assert task.run() is end
    assert task.shown == ["  one", "  two"]
    assert task.given == [{"checks": ["serving"], "timeout": "1800", "waited": waited, "piece": 15.0} for waited in (0.0, 15.0, 30.0)]


def test_call_that_lasts_shows_what_it_waits_for(monkeypatch):
    monkeypatch.setattr(long_wait, "OVERDUE", 0.02)
    task = Task(monkeypatch, {}, api_host="api.example.com")
    shown = threading.Event()
    task.action._display.display = lambda text: (task.shown.append(text), shown.set())
    execute = task.action._execute_module
    task.action._execute_module = lambda **named: shown.wait(10) and execute(**named)
    task.run()
    assert task.shown[0] == "  Waiting for an answer from api.example.com."


def test_what_a_wait_is_told_is_read_from_the_environment(monkeypatch):
    assert _waiting.from_environment() == {}
    monkeypatch.setenv(_waiting.VARIABLE, _waiting.text_of({"waited": 12.5, "piece": 15.0}))
    assert _waiting.from_environment() == {"waited": 12.5, "piece": 15.0}


def test_a_very_long_wait_fills_no_screen(monkeypatch):
    task = Task(monkeypatch, *[waiting()] * 120, {})
    task.run()
    assert task.now - 1000.0 > 1700
    assert 40 < len(task.shown) < 60


def test_what_the_module_hands_over_goes_on_with_the_wait(monkeypatch):
    task = Task(monkeypatch, waiting(run="t0k"), waiting(run="t0k"), {}, state="opened")
    task.run()
    assert [one.get("run") for one in task.given] == [None, "t0k", "t0k"]


@pytest.mark.parametrize("result", [{"failed": True, "msg": "wrong"}, {"look": {"watchers": {"missing": ["x"]}}}, {"lines": []}])
def test_any_other_end_is_an_end(monkeypatch, result):
    task = Task(monkeypatch, result)
    assert task.run() is result
    assert len(task.given) == 1 and not task.shown


def test_it_ends_with_the_playbook(monkeypatch):
    task = Task(monkeypatch, waiting())
    monkeypatch.setattr(long_wait, "playbook_pid", lambda: -1)
    assert task.run() == {"failed": True, "msg": long_wait.GONE}
    assert not task.shown


def test_in_the_background_it_waits_to_the_end(monkeypatch):
    task = Task(monkeypatch, {"started": 1}, timeout="1800")
    task.action._task.async_val = 60
    assert task.run() == {"started": 1}
    assert task.given == [{"timeout": "1800"}] and task.in_background


def test_a_host_that_is_lost_ends_it(monkeypatch):
    with pytest.raises(AnsibleConnectionFailure):
        Task(monkeypatch, waiting(), AnsibleConnectionFailure("gone")).run()


def test_that_files_cannot_be_removed_from_a_lost_host_is_not_said(monkeypatch):
    def cleanup(self, force):
        raise AnsibleConnectionFailure("gone")

    monkeypatch.setattr(ActionBase, "cleanup", cleanup)
    Task(monkeypatch, {}).action.cleanup()


@pytest.mark.parametrize(
    ("args", "job"),
    [
        ({"state": "proven"}, True),
        ({"state": "proven", "proof_interval": None, "settle_timeout": "0"}, True),
        ({"state": "proven", "proof_interval": "0.2", "settle_timeout": 5}, False),
        ({"state": "proven", "proof_interval": "soon"}, False),
        ({"state": "proven", "proof_interval": float("nan")}, False),
        ({"state": "opened"}, False),
        ({"state": "ended"}, False),
    ],
)
def test_only_a_long_proof_is_worth_a_job(args, job):
    assert object.__new__(pilw_maintenance.ActionModule).lasts(args) is job
