# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proof whose lease has run out says nothing good any more; what it saw that is bad is written down all the same."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import HostList
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import LeaseLost
from ansible_collections.pilw.maintenance.plugins.module_utils._operations.verify import Pause
from ansible_collections.pilw.maintenance.plugins.module_utils._record.lock import Caller
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import SAFE, STOPPING, Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_maintenance

PARAMS = {"proof_interval": 0.0, "settle_timeout": 0.0, "ceph_host": "", "ceph": None, "osd_flags": None, "api_host": "h", "location": ""}


class Platform:
    def __init__(self, state):
        self._state = state

    def vms(self):
        return parse_vm_list([{"uuid": "a", "status": self._state}])

    def running_vms(self):
        return parse_vm_list([row for row in [{"uuid": "a", "status": self._state}] if self._state == "running"])

    def vm(self, uuid):
        return None

    def hosts(self):
        return HostList({})


def lost():
    """The lease runs out while the last list is read."""
    raise LeaseLost("nobody asks for it")


@pytest.fixture
def safe(tmp_path):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "verify")
    record.set_phase(token, "recorded")
    record.set_phase(token, STOPPING)
    yield record, {**PARAMS, "run": token, "record": record.path}
    record.close()


def test_what_it_proved_is_not_said(safe):
    record, params = safe
    with pytest.raises(LeaseLost):
        pilw_maintenance.proven(params, Platform("stopped"), record, Pause(Caller(check=lost)))
    assert record.phase == STOPPING


def test_a_record_that_was_safe_is_not_so_any_more(safe):
    record, params = safe
    record.write_safe(params["run"], "SAFE", [])
    assert record.phase == SAFE
    assert pilw_maintenance.proven(params, Platform("running"), record, Pause(Caller(check=lost)))["safe"] is False
    assert record.phase == STOPPING
