# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated platform and its operator, for each test anew."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from harness.ceph_operator import QuickStorageOperator, StorageOperator
from harness.in_process_operator import QuickOperator
from harness.operator import SCALE, Operator
from harness.runner_jobs import RunnerOperator
from simulator.server import Cloud

PLAYBOOK_FIXTURES = {"platform", "runner"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test whose operator runs ansible-playbook, directly or by way of another fixture.

    A test that runs it without such a fixture has the marker by hand.
    """
    for item in items:
        if PLAYBOOK_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.playbook)


@pytest.fixture
def platform(tmp_path: Path) -> t.Iterator[t.Callable[..., Operator]]:
    """Make a platform from options of the simulator, and an operator for it."""
    yield from operators(tmp_path, Operator)


@pytest.fixture
def quick(tmp_path: Path) -> t.Iterator[t.Callable[..., Operator]]:
    """The same, and the operator does not need ansible-playbook."""
    yield from operators(tmp_path, QuickOperator)


@pytest.fixture
def runner(tmp_path: Path) -> t.Iterator[t.Callable[..., RunnerOperator]]:
    """The same, and the operator sits at a controller that launches jobs."""
    yield from t.cast("t.Iterator[t.Callable[..., RunnerOperator]]", operators(tmp_path, RunnerOperator))


def operators(folder: Path, kind: type[Operator]) -> t.Iterator[t.Callable[..., Operator]]:
    clouds: list[Cloud] = []

    def make(**options: t.Any) -> Operator:
        options = {"vms": 8, "owners": 3, "hosts": 3, "time_scale": SCALE, **options}
        cloud = Cloud(**options).start()
        clouds.append(cloud)
        return kind(cloud, folder)

    yield make
    for cloud in clouds:
        cloud.stop()


@pytest.fixture
def storage(platform: t.Callable[..., Operator], tmp_path: Path) -> t.Callable[..., StorageOperator]:
    """A platform, a Ceph cluster on which its running VMs have their images open, and an operator of both."""
    return lambda **options: StorageOperator(platform(**options), tmp_path)


@pytest.fixture
def quick_storage(quick: t.Callable[..., Operator], tmp_path: Path) -> t.Callable[..., QuickStorageOperator]:
    """The same, and the operator needs neither ansible-playbook nor a process for each question to Ceph."""
    return lambda **options: QuickStorageOperator(quick(**options), tmp_path)
