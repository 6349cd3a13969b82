# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stop that was sent just before a restore may still be obeyed: the VM is looked at when its time is over."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _pace
from ansible_collections.pilw.maintenance.plugins.module_utils._model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record import Change, Record, now_text, steady_now
from ansible_collections.pilw.maintenance.plugins.modules import pilw_vm_status


class Platform:
    def vms(self):
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
    params = {"hold": float(hold), "stop_timeout": float(stop_timeout), "wait": 0.0, "poll_interval": 5.0, "state": "running", "run": token}
    params.update(waited=0.0, patience=0.0)
    pilw_vm_status.run_recorded(params, Platform(), record, False)
    assert max(slept) == pytest.approx(waits, abs=5)
    record.close()
