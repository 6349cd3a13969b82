# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A long wait for Ceph is made of short ones, and says between them what it waits for."""

from __future__ import annotations

import types

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.action import pilw_ceph_check
from ansible_collections.pilw.maintenance.plugins.action.pilw_ceph_check import ActionModule

MISSING = {"failed": True, "missing": "osd.2 is down", "msg": "Ceph does not serve"}


class Task:
    """C(results): what the module gives, call by call; the last one stays. Each call takes as long as its C(timeout), but for the last."""

    def __init__(self, monkeypatch, results, **args):
        self.now, self.given, self.shown, self.results = 1000.0, [], [], list(results)
        monkeypatch.setattr(pilw_ceph_check.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        self.action = object.__new__(ActionModule)
        self.action._task = types.SimpleNamespace(args=args)
        self.action._execute_module = self.execute
        self.action._display = types.SimpleNamespace(display=self.shown.append)

    def execute(self, module_args, task_vars):
        self.given.append(module_args)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        self.now += module_args["timeout"] if result is MISSING and isinstance(module_args.get("timeout"), float) else 1.0
        return result

    def run(self):
        return self.action.run(task_vars={})


def test_what_is_missing_is_shown_until_it_is_there(monkeypatch):
    task = Task(monkeypatch, [MISSING, MISSING, {"lines": ["Ceph serves."]}], checks=["serving"], timeout="1800")
    assert task.run() == {"lines": ["Ceph serves."]}
    assert task.shown == ["  After 15 of at most 1800 s: osd.2 is down", "  After 30 of at most 1800 s: osd.2 is down"]
    assert [(one["timeout"], one["waited"]) for one in task.given] == [(15.0, 0.0), (15.0, 15.0), (15.0, 30.0)]


def test_it_ends_when_its_time_is_over_and_not_before(monkeypatch):
    task = Task(monkeypatch, [MISSING], timeout=40)
    assert task.run() is MISSING
    assert task.now - 1000.0 == 40.0
    assert [one["timeout"] for one in task.given] == [15.0, 15.0, 10.0]


@pytest.mark.parametrize("timeout", [15, 0.2, "6", "soon", "{}", -1, 1e9, float("nan"), float("inf")])
def test_a_short_wait_and_a_wrong_one_are_the_modules_own(monkeypatch, timeout):
    task = Task(monkeypatch, [MISSING], checks=["ramp"], timeout=timeout)
    assert task.run() is MISSING
    assert task.given == [{"checks": ["ramp"], "timeout": timeout}] and not task.shown


@pytest.mark.parametrize("result", [{"failed": True, "msg": "wrong"}, {"look": {"watchers": {"missing": ["x"]}}}, {"lines": []}])
def test_any_other_end_is_an_end(monkeypatch, result):
    task = Task(monkeypatch, [result])
    assert task.run() is result
    assert len(task.given) == 1 and not task.shown


def test_a_host_that_is_lost_ends_it(monkeypatch):
    task = Task(monkeypatch, [MISSING, AnsibleConnectionFailure("gone")])
    with pytest.raises(AnsibleConnectionFailure):
        task.run()


def test_that_files_cannot_be_removed_from_a_lost_host_is_not_said(monkeypatch):
    def cleanup(self, force):
        raise AnsibleConnectionFailure("gone")

    monkeypatch.setattr(ActionBase, "cleanup", cleanup)
    Task(monkeypatch, [MISSING]).action.cleanup()
