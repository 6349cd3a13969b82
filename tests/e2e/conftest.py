# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster for the whole run, and for each test a pocket cloud on it with an operator."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
import typing as t
import warnings
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.guest_image import GuestImage, build
from e2e.holders import Holders
from e2e.operators import PocketOperator, StorageOperator
from e2e.real_platform import PocketCloud

HERE = Path(__file__).parent
GUEST = HERE.parents[1] / ".build" / "guest"
LOOK_LIMIT = 60
SEEDS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where packages are missing, all of these tests are skipped, and that is said with their number."""
    mine = [item for item in items if HERE in item.path.parents]
    if not mine:
        return
    look = subprocess.run(
        ["sh", str(HERE / "install.sh"), str(GUEST), "look"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LOOK_LIMIT, check=False,
    )
    if look.returncode:
        reason = (look.stdout + look.stderr).strip().splitlines()[-1]
        warnings.warn(f"NOT PROVEN: {len(mine)} end-to-end tests did not run. {reason}", stacklevel=1)
        for item in mine:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def guest_image() -> GuestImage:
    """What guests boot."""
    return build(GUEST)


@pytest.fixture(scope="session")
def running_cluster() -> t.Iterator[Cluster]:
    """Made once; tests take it as `ceph`."""
    # Not among pytest's own folders: those are kept, and paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="ceph-") as folder, Cluster(Path(folder)) as cluster:
        yield cluster


@pytest.fixture
def ceph(running_cluster: Cluster) -> Cluster:
    """The cluster with all of its daemons running and everything clean, whatever the test before did to it."""
    running_cluster.mend()
    return running_cluster


@pytest.fixture
def holders(ceph: Cluster, tmp_path: Path) -> t.Iterator[Holders]:
    """Holds images open for a test; none is afterwards."""
    made = Holders(ceph, tmp_path)
    yield made
    made.close()


@pytest.fixture
def pocket(ceph: Cluster, guest_image: GuestImage) -> t.Iterator[t.Callable[..., PocketCloud]]:
    """Make a pocket cloud from options of the simulator; its images have names that no other one had."""
    with tempfile.TemporaryDirectory(prefix="pocket-") as folder, contextlib.ExitStack() as clouds:

        def make(**options: t.Any) -> PocketCloud:
            seed = next(SEEDS)
            cloud = PocketCloud(ceph, guest_image, Path(folder) / str(seed), **{"seed": seed, **options})
            clouds.callback(cloud.stop)
            cloud.start()
            return cloud

        yield make


@pytest.fixture
def platform(pocket: t.Callable[..., PocketCloud], tmp_path: Path) -> t.Callable[..., PocketOperator]:
    """The same, with an operator at it."""
    return lambda **options: PocketOperator(pocket(**options), tmp_path)


@pytest.fixture
def storage(ceph: Cluster, pocket: t.Callable[..., PocketCloud], tmp_path: Path) -> t.Callable[..., StorageOperator]:
    """The same, and the operator has an inventory with a Ceph host."""
    return lambda **options: StorageOperator(pocket(**options), tmp_path, ceph)
