# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of records, a small disk, an open maintenance, and an end to what hangs."""

from __future__ import annotations

import signal
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._operations import open_run
from ansible_collections.pilw.maintenance.plugins.module_utils._record import files, paths
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from scenarios.record.fire import OURS, PLACE, enter, host, vm


@pytest.fixture(autouse=True)
def no_hanging() -> t.Iterator[None]:
    """A pipe that is opened by mistake holds a run for ever."""

    def late(*_arguments: object) -> None:
        raise AssertionError("it hangs")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(240)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@pytest.fixture(autouse=True)
def no_pause_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other run is between two of its steps, so none is waited for."""
    monkeypatch.setattr(open_run, "BETWEEN_STEPS", 0.0)


@pytest.fixture(autouse=True)
def another_disk(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., str]:
    """The second copy counts as one on another disk, of which most tests have none. Returns the real question."""
    asked = paths.copy_disk_problem
    monkeypatch.setattr(paths, "copy_disk_problem", lambda *_arguments: "")
    return asked


@pytest.fixture
def one_disk(another_disk: t.Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second copy counts as what it is."""
    monkeypatch.setattr(paths, "copy_disk_problem", another_disk)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def small_disk(tmp_path: Path) -> t.Iterator[t.Callable[[str], Path]]:
    """Mount a disk of so many bytes."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        point = tmp_path / "disk"
        point.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(point)], check=True)
        mounted.append(point)
        return point

    yield mount
    for point in mounted:
        subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture
def held(records: Path) -> tuple[Path, dict[str, t.Any]]:
    """An open maintenance: two VMs of which one outlived its stop, two hosts of which one is closed, safe reached before."""
    copies = records.parent / "copies"
    found = enter(records, record_copy=str(copies))
    record, run = Record(found["record"], str(copies / PLACE)), found["run"]
    record.remember_hosts(run, [host("h1"), host("h2")], ())
    record.closing_host(run, "h1")
    record.host_written(run, "h1", False)
    record.add_running(run, [vm("a"), vm("b")], late=False)
    record.write(run, [Change("a", {"stop_outcome": "clean"}), Change("b", {"outlived_at": "t", "stop_outcome": "would_not_stop"})])
    record.write_safe(run, "SAFE", [])
    record.end_run(run)
    record.write_report({}, "", "")
    record.copy()
    record.close()
    files.write_text(str(records / PLACE / "report.html"), "<p>")
    (records / PLACE / "lease").write_text("x")
    for name in OURS:
        (records / PLACE / name).chmod(0o600)
    return records / PLACE, found
