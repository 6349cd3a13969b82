# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stop that was sent just before a restore may still be obeyed: the VM is looked at when its time is over."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock as _pace
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import StillWaiting
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record, RecordedVm, now_text, steady_now
from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_status


class Platform:
    vm = None

    def vms(self, rows_kept=True):
        return VmList({"a": parse_vm({"uuid": "a", "status": "running"})})


@pytest.mark.parametrize(
    ("hold", "stop_timeout", "pending", "waits"),
    [(0, 600, True, 600), (60, 600, True, 600), (900, 600, True, 900), (0, 0, True, 0), (60, 600, False, 60), (0, 600, False, 0)],
)
def test_a_stop_under_way_is_waited_for_also_without_a_hold_time(tmp_path, monkeypatch, hold, stop_timeout, pending, waits):
    slept = [0.0]
    monkeypatch.setattr(_pace.pace, "sleep", slept.append)
    words, _clock, _sleep = pilw_vm_status.watch.__defaults__
    monkeypatch.setattr(pilw_vm_status.watch, "__defaults__", (words, _pace.monotonic, slept.append))
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api", location="", reason="")
    token = record.begin_run("ann", "restore")
    record.add_running(token, [parse_vm({"uuid": "a", "status": "running"})], late=False)
    if pending:
        record.write(token, [Change("a", {"stop_sent_at": now_text(), "stop_sent_clock": steady_now()})])
    params = {"hold": float(hold), "stop_timeout": float(stop_timeout), "groups": None, "wait": 0.0, "poll_interval": 5.0, "state": "running", "run": token}
    params["_wait"] = {}
    pilw_vm_status.run_recorded(params, Platform(), record, False)
    assert max(slept) == pytest.approx(waits, abs=5)
    record.close()


class Time:
    """A clock that only sleeping moves."""

    now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def pieces(**options):
    """What each call says, and how long all took, as the action plugin makes them."""
    params = {"hold": 0.0, "groups": None, "wait": 0.0, "poll_interval": 5.0, "state": "stopped", **options}
    time, said = Time(), []
    while True:
        try:
            pilw_vm_status.watch({**params, "_wait": {"waited": time.now, "piece": 15.0}}, Platform(), ["a", "a"], clock=time.clock, sleep=time.sleep)
            return said, time.now
        except StillWaiting as waits:
            said.append(str(waits))


def test_a_long_wait_says_what_it_is_for():
    held = "VMs are looked at again when the hold time is over"
    other = "2 of 2 VMs are not stopped, the first is a (running)"
    assert pieces(hold=40.0) == ([f"After 15 of at most 40 s: {held}", f"After 30 of at most 40 s: {held}"], 40.0)
    assert pieces(wait=40.0) == ([f"After 15 of at most 40 s: {other}", f"After 30 of at most 40 s: {other}"], 40.0)
    assert pieces(hold=20.0, wait=20.0) == ([f"After 15 of at most 20 s: {held}", f"After 30 of at most 40 s: {other}"], 40.0)
    assert pieces(hold=10.0, wait=4.0) == ([], 14.0)


def test_a_stop_under_way_is_counted_from_the_first_call(tmp_path, monkeypatch):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api", location="", reason="")
    token = record.begin_run("ann", "restore")
    record.add_running(token, [parse_vm({"uuid": "a", "status": "running"})], late=False)
    record.write(token, [Change("a", {"stop_sent_at": now_text(), "stop_sent_clock": steady_now()})])
    monkeypatch.setattr(_pace.pace, "sleep", lambda seconds: None)
    monkeypatch.setattr(RecordedVm, "stop_sent_ago", 100.0)
    params = {"hold": 60.0, "stop_timeout": 600.0, "groups": None, "wait": 0.0, "poll_interval": 5.0, "state": "running", "run": token}
    params["_wait"] = {"waited": 70.0, "piece": 1e-9}
    with pytest.raises(StillWaiting, match=r"^After 70 of at most 570 s: 1 VMs may still obey a stop that was sent to them$"):
        pilw_vm_status.run_recorded(params, Platform(), record, False)
    record.close()
