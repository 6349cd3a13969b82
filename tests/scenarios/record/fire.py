# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records, and what is done to them: options of the modules, what lies in a folder, what a refusal says."""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import PilwError
from ansible_collections.pilw.maintenance.plugins.module_utils._module import runner
from ansible_collections.pilw.maintenance.plugins.module_utils._module.options import native
from ansible_collections.pilw.maintenance.plugins.module_utils._operations import plan
from ansible_collections.pilw.maintenance.plugins.module_utils._operations.open_run import opened
from simulator.server import Cloud

PLACE = "api.example.com"
HAND = {"running_vms": "", "open_hosts": None}

OURS = (
    *("record.sqlite", "running_vms.json", "hosts_to_open.json", "report.json", "report.html", "vms.csv", "summary.md"),
    *("maintenance_id", "lock", "lease", "copy_dir"),
)


def fill(disk: Path) -> Path:
    """Not one byte is left."""
    path = disk / "ballast"
    with open(path, "wb", buffering=0) as handle, contextlib.suppress(OSError):
        while True:
            handle.write(b"x" * 4096)
    assert os.statvfs(disk).f_bavail == 0
    return path


def options(records: Path, **more: t.Any) -> dict[str, t.Any]:
    """What the modules are given, as far as the record is concerned."""
    given = {
        "api_host": PLACE,
        "api_key": "k",
        "location": "",
        "validate_certs": True,
        "ca_path": None,
        "request_timeout": 20.0,
        "record": None,
        "run": None,
        "record_dir": str(records),
        "record_dir_persistent": False,
        "record_copy": "",
        "purpose": "prepare",
        "actor": "ann",
        "controller": "",
        "reason": "",
        "accept": None,
        "accept_reason": "told by its owner",
        "query": "",
        "exclude": "",
        "max_age": 24.0,
        "lease": 5.0,
        "window": 0.0,
        "_wait": {},
        "ceph_is_back": True,
        "ceph_host": "",
        **HAND,
        **more,
    }
    return {**dict.fromkeys(given), **native(given)}


def enter(records: Path, **more: t.Any) -> dict[str, t.Any]:
    return opened(options(records, **more), False, str(records / "none" / "tmp"))


def refused(records: Path, **more: t.Any) -> str:
    """Refused, and not one byte below the folder is another one."""
    before = content(records)
    with pytest.raises(PilwError) as caught:
        enter(records, **more)
    assert content(records) == before
    assert '"' not in str(caught.value) and "\\" not in str(caught.value)
    return str(caught.value)


def content(folder: Path) -> dict[str, t.Any]:
    """All files below a folder, with what they hold; the lock is there to be taken."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else path.lstat().st_mode
        for path in sorted(folder.rglob("*"))
        if path.name not in ("lock", "ballast") and (path.is_symlink() or not path.is_dir())
    }


def plan_for(cloud: Cloud, records: Path, **more: t.Any) -> dict[str, t.Any]:
    """The plan, of which only a platform that is asked can tell."""
    argument_defaults = {
        "hosts_query": "", "hosts_keep_closed": None, "groups": None, "concurrency": 20, "stop_timeout": 600.0,
        "force_timeout": 300.0, "start_timeout": 900.0, "force": False, "machine": None, "api_wait": 0.0, "poll_interval": 1.0,
        "canary": 3, "canary_vms": None, "max_force_percentage": 20.0, "never_force": None, "settle_timeout": 300.0, "proof_interval": 30.0, "hold": 60.0,
        "ceph": None, "osd_flags": None,
    }  # fmt: skip
    params = {**argument_defaults, **options(records, **more), "api_host": cloud.url, "api_key": cloud.key}
    before = content(records) if records.exists() else None
    found = plan.plan(params, runner.api_for(params))
    assert (content(records) if records.exists() else None) == before, "a plan writes nothing"
    assert not cloud.journal.writes()
    return found


def vm(name: str, **row: t.Any) -> t.Any:
    return parse_vm({"uuid": name, "status": "running", "user_id": 8, "name": f"name of {name}", **row})


def host(name: str) -> Host:
    return Host(name, f"name of {name}", True, "", {})


def item_of(text: str) -> str:
    """What the operator is told to give back."""
    return text.split("-e ceph_maint_accept=")[1].split()[0].rstrip(".")
