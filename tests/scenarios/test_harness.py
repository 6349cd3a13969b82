# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The crew of the quick tests gives the modules what the roles give them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from harness import in_process as crew
from harness.ceph_operator import QuickStorageOperator
from harness.operator import ROOT
from simulator.server import Cloud

PREFIX = "pilw.maintenance."
CONNECTION = {"api_host", "api_key", "location", "validate_certs", "ca_path", "request_timeout", "command", "call_timeout", "_wait"}
# Only where ansible-playbook runs.
PAGE = f"{PREFIX}pilw_report"


def tasks_in(entries: t.Any) -> t.Iterator[dict[str, t.Any]]:
    for entry in entries or []:
        for part in ("block", "always", "rescue"):
            yield from tasks_in(entry.get(part))
        yield entry


def given_by_roles(ceph: bool = False) -> dict[str, set[frozenset[str]]]:
    """By module: the names of the options of each task, on the maintenance host or on the one that asks Ceph."""
    found: dict[str, set[frozenset[str]]] = {}
    for path in sorted((ROOT / "roles").glob("*/tasks/*.yml")):
        for task in tasks_in(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for key, options in task.items():
                if key.startswith(PREFIX) and key != PAGE and key.startswith(f"{PREFIX}pilw_ceph_") is ceph:
                    found.setdefault(key.removeprefix(PREFIX), set()).add(frozenset(options))
    return found


def shown(sets: set[frozenset[str]]) -> list[list[str]]:
    return sorted(sorted(one) for one in sets)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[frozenset[str]]]:
    """By module: the names of the options of each call of the crew."""
    found: dict[str, set[frozenset[str]]] = {}
    plain = crew.run_module

    def noted(module: t.Any, options: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        if options.get("gather") != "progress":
            found.setdefault(module.__name__.rpartition(".")[2], set()).add(frozenset(options) - CONNECTION)
        return plain(module, options, **more)

    monkeypatch.setattr(crew, "run_module", noted)
    return found


def test_the_crew_gives_what_the_roles_give(
    tmp_path: Path, given: dict[str, set[frozenset[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cloud(vms=4, deaf=1, fail_start=1, time_scale=0.01) as cloud:
        operator = crew.Crew(
            tmp_path, cloud.url, cloud.key, **{**crew.Crew.FAST, "stop_timeout": 0.5, "max_fail_percentage": 100}, **crew.telling(lambda notice: None)
        )
        assert operator.prepare().rc == 2
        assert operator.force().rc == 0
        assert operator.verify().rc == 0
        assert operator.restore().rc == 2
        assert operator.status().rc == 0
        assert operator.close().rc == 0
        refused = operator.prepare(force=True)  # the start that failed may still be at work
        assert refused.rc == 2
        assert operator.prepare(force=True, accept=refused.accept_argument()).rc == 0
    with Cloud(vms=1, time_scale=0.01) as cloud:
        operator = crew.Crew(tmp_path, cloud.url, cloud.key, **crew.Crew.FAST)
        assert operator.prepare().rc == 0
        plain = operator._task

        def falling(out: crew.Outcome, name: str, *options: t.Any, **more: t.Any) -> dict[str, t.Any]:
            if name == "verify":
                cloud.act("stop", vm=cloud.vm("vm-0").uuid)
            return plain(out, name, *options, **more)

        monkeypatch.setattr(operator, "_task", falling)
        assert operator.restore().rc == 0
    wanted = given_by_roles()
    assert {name: shown(sets) for name, sets in given.items()} == {name: shown(sets) for name, sets in wanted.items()}


def test_the_ceph_crew_gives_what_the_roles_give(
    quick_storage: t.Callable[..., QuickStorageOperator], given: dict[str, set[frozenset[str]]]
) -> None:
    op = quick_storage(vms=3, fail_start=["vm-1"])
    assert op.prepare(ceph_maint_osd_flags="noout,nodown").rc == 0
    assert op.restore(ceph_maint_ceph_wave="2", ceph_maint_start_retries=0, ceph_maint_max_fail_percentage=100).rc == 2
    wanted = given_by_roles(ceph=True)
    assert {name: shown(sets) for name, sets in given.items() if name in wanted} == {name: shown(sets) for name, sets in wanted.items()}
