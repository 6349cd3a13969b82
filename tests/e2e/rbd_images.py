# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of guests as RBD images, and what one tells of how its guest ended."""

from __future__ import annotations

import re
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import POOL, Cluster
from e2e.processes import run

SIZE = "64M"
RECORD = 64
RECORD_FORM = re.compile(rb"rec (\d{10}) boot \d{5} {38}\n")


@dataclass(frozen=True)
class Verdict:
    """What a disk shows. `repaired`: the journal made it whole; `lost`: acknowledged, but not on the disk in their place."""

    clean: bool
    repaired: bool
    acknowledged: int
    records: int
    lost: tuple[int, ...]


def make_disk(cluster: Cluster, image: str) -> None:
    """An image with an empty file system."""
    with tempfile.TemporaryDirectory() as work:
        disk = Path(work) / "disk"
        run("truncate", "-s", SIZE, disk)
        run("mkfs.ext4", "-q", "-F", disk)
        cluster.rbd("import", "--no-progress", disk, f"{POOL}/{image}")


def remove_disk(cluster: Cluster, image: str) -> None:
    """And its image is gone."""
    cluster.rbd("rm", "--no-progress", f"{POOL}/{image}", limit=120)


def verify(cluster: Cluster, image: str, acknowledged: t.Sequence[int]) -> Verdict:
    """Look at a copy of the image; `acknowledged` are the numbers its guest called safe, in the order it did."""
    with tempfile.TemporaryDirectory() as work:
        disk = Path(work) / "disk"
        cluster.rbd("export", "--no-progress", f"{POOL}/{image}", disk, limit=120)
        return examine(disk, acknowledged)


def examine(disk: Path, acknowledged: t.Sequence[int]) -> Verdict:
    """The same of a disk in a file, whose journal is replayed there."""
    about = run("dumpe2fs", "-h", disk)
    clean = "needs_recovery" not in about and re.search(r"^Filesystem state:\s+clean$", about, re.MULTILINE) is not None
    copy = disk.with_suffix(".log")
    repaired = _replay(disk)
    run("debugfs", "-R", f"dump /log {copy}", disk)
    data = copy.read_bytes() if copy.exists() else b""
    numbers = [_number(data[place : place + RECORD]) for place in range(0, len(data), RECORD)]
    assert list(acknowledged) == sorted(set(acknowledged)), f"{disk}: acknowledged out of order: {acknowledged}"
    lost = tuple(number for number in acknowledged if number >= len(numbers) or numbers[number] != number)
    return Verdict(clean, repaired, len(acknowledged), len(numbers), lost)


def _replay(disk: Path) -> bool:
    """Replay the journal and check all the rest: whether nothing was left that is not safe to mend without asking."""
    command = ["e2fsck", "-f", "-p", str(disk)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode in (0, 1)


def _number(record: bytes) -> int:
    found = RECORD_FORM.fullmatch(record)
    return int(found[1]) if found else -1
