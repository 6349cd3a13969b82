# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the tests is one: it survives what is done to it, and its keys allow no more than they say."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.processes import run

LOOKER = {"mon": "allow r", "osd": "profile rbd-read-only", "mgr": "allow r"}


@pytest.mark.full
def test_it_comes_back_with_its_data_after_the_power_went(ceph: Cluster, tmp_path: Path) -> None:
    ceph.rbd("create", "--size", "8M", "rbd/kept")
    ceph.kill()
    assert ceph.running() == set()
    ceph.start()
    ceph.wait_healthy()
    assert "kept" in ceph.rbd("ls", "rbd").split()
    ceph.rbd("rm", "--no-progress", "rbd/kept")


@pytest.mark.full
def test_one_osd_short_is_not_clean(ceph: Cluster) -> None:
    ceph.stop_daemon("osd.1")
    assert ceph.running() == set(ceph.names) - {"osd.1"}
    with pytest.raises(TimeoutError, match=r"active\+clean: not within 2 s: osd.1 does not run"):
        ceph.wait_clean(limit=2)
    ceph.start_daemon("osd.1")
    ceph.wait_clean()


def test_a_handed_out_key_allows_what_it_says(ceph: Cluster, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    folder = tmp_path / "looker"
    conf = ceph.hand_out(folder, "looker", (nobody.pw_uid, nobody.pw_gid), **LOOKER)
    assert (folder / "client.looker.keyring").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_uid == nobody.pw_uid
    asked = ["-c", conf, "--id", "looker"]
    assert "pgs" in run("ceph", *asked, "--connect-timeout", "20", "pg", "stat")
    run("rbd", *asked, "ls", "rbd")
    with pytest.raises(RuntimeError, match=r"rbd: create error: .*Operation not permitted"):
        run("rbd", *asked, "create", "--size", "8M", "rbd/forbidden")
