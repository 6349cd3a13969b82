# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""--check sends no write to anything: neither do the playbooks, nor any module that the roles call, whatever the state."""

from __future__ import annotations

import typing as t
from pathlib import Path
from types import ModuleType

import pytest

from harness import in_process as crew
from harness.operator import Operator
from scenarios.record.fire import content
from simulator.server import Cloud

Platform = t.Callable[..., Operator]
SHORT = {**crew.Crew.FAST, "stop_timeout": 0.5, "max_fail_percentage": 100}
# What the operator may try in check mode with no record, with an aborted prepare, and with all down.
PLAYBOOKS: dict[str, dict[str, str]] = {
    "prepare": {"ceph_maint_force": "true"},
    "verify": {},
    "force": {},
    "restore": {"ceph_maint_ceph_is_back": "true"},
    "close": {},
    "status": {},
}


def files(folder: Path) -> dict[str, t.Any]:
    """All that lies there; the lease is renewed by whoever looks at a run."""
    return {name: data for name, data in content(folder).items() if not name.endswith("/lease")}


def test_a_playbook_in_check_mode_leaves_everything_alone(quick: Platform) -> None:
    op = quick(vms=3, deaf=["vm-1"])

    def rehearse() -> dict[str, int]:
        found = {}
        for playbook, variables in PLAYBOOKS.items():
            before, sent = files(op.folder), len(op.cloud.journal.writes())
            found[playbook] = op.play(f"ceph_maint_{playbook}", "--check", ceph_maint_confirm="true", **variables).rc
            assert len(op.cloud.journal.writes()) == sent, playbook
            assert files(op.folder) == before, playbook
        return found

    well = dict.fromkeys(PLAYBOOKS, 0)
    assert rehearse() == {**well, "verify": 2, "force": 2, "restore": 2, "close": 2}
    assert not op.records.exists()
    assert op.prepare(ceph_maint_stop_timeout=1).rc == 2
    assert rehearse() == {**well, "verify": 2, "close": 2}
    assert op.phase() == "stopping"
    assert op.prepare(ceph_maint_force="true").rc == 0
    assert rehearse() == {**well, "force": 2, "close": 2}
    assert op.phase() == "safe"


def test_no_module_writes_in_check_mode_wherever_a_run_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the roles is made in check mode first, with a run and a record that are real."""
    plain, rehearsed = crew.run_module, set()
    changes: dict[str, set[bool]] = {}

    def both(module: ModuleType, options: dict[str, t.Any], check: bool = False, tmpdir: str = "") -> dict[str, t.Any]:
        if options.get("gather") == "progress":
            return plain(module, options, check, tmpdir)
        before, sent = files(tmp_path), len(cloud.journal.writes())
        found = plain(module, options, True, tmpdir)
        assert len(cloud.journal.writes()) == sent, options
        assert files(tmp_path) == before, options
        name = module.__name__.rpartition(".")[2]
        rehearsed.add((name, options.get("state") or options.get("gather") or ("force" if options.get("force") else "")))
        real = plain(module, options, check, tmpdir)
        if name in ("pilw_host_flags", "pilw_vm_power", "pilw_vm_list"):
            assert found["changed"] == real["changed"], (options, found, real)
            changes.setdefault(name, set()).add(real["changed"])
        return real

    monkeypatch.setattr(crew, "run_module", both)
    with Cloud(vms=4, deaf=1, fail_start=1, time_scale=0.01) as cloud:
        operator = crew.Crew(tmp_path, cloud.url, cloud.key, record_copy=str(tmp_path / "copies"), **SHORT)
        assert operator.prepare(accept=[f"same-disk:{tmp_path / 'copies'}"]).rc == 2
        assert operator.force().rc == 0
        assert operator.verify().rc == 0
        assert operator.restore().rc == 2
        assert operator.status().rc == 0
        assert operator.close().rc == 0
    assert {name for name, _what in rehearsed} == {module.__name__.rpartition(".")[2] for module in crew.MODULES}
    assert {what for name, what in rehearsed if name == "pilw_maintenance"} == {"opened", "proven", "ended", "closed"}
    assert changes["pilw_host_flags"] == {True}
