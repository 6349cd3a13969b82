# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking every OSD and asking every image find the same watchers, and a key that may not do the one does the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t
import uuid
from pathlib import Path

import pytest

from e2e.ceph import Cluster
from e2e.desk import CAPS, IMAGE_REGEX
from e2e.processes import Brood, gone
from e2e.waits import wait_for

HOLDER = Path(__file__).parent / "holder.py"
DEBIAN_PYTHON = "/usr/bin/python3"  # the one that knows rados and rbd
LIMIT = 120
VM = str(uuid.UUID(int=7))
IMAGES = (f"rbd/volume-{VM}", "rbd/shared", "rbd/idle", "rbd/only-read", "rbd/team/one", "second/one", "second/team/one")
ONE, OTHER = (f"rbd/volume-{VM}", "rbd/shared", "rbd/team/one", "rbd/only-read@"), ("rbd/shared", "second/one", "second/team/one")
OPEN = {"rbd/volume-" + VM: 1, "rbd/shared": 2, "rbd/team/one": 1, "second/one": 1, "second/team/one": 1}


Held = tuple[Cluster, list["subprocess.Popen[bytes]"]]


class Asker:
    """Runs the module as an operator would for a single look."""

    def __init__(self, folder: Path, conf: Path, name: str) -> None:
        self._folder = folder
        self._command = ["ceph", "-c", str(conf), "--id", name]

    def ask(self, **options: t.Any) -> dict[str, t.Any]:
        """What the module returns, failed or not."""
        given = {"command": self._command, "checks": ["watchers"], "image_regex": IMAGE_REGEX, "linger": 0, **options}
        ansible = Path(os.environ.get("PILW_TEST_BIN", Path(sys.executable).parent)) / "ansible"
        done = subprocess.run(
            [str(ansible), "localhost", "-m", "pilw.maintenance.pilw_ceph_check", "-a", json.dumps(given)],
            env={**os.environ, "HOME": str(self._folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "False"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False,
        )
        _before, arrow, result = done.stdout.partition(" => ")
        assert arrow, done.stdout + done.stderr
        answer: dict[str, t.Any] = json.loads(result)
        return answer

    def watchers(self, **options: t.Any) -> tuple[str, list[tuple[str, ...]]]:
        """The way it went, and image, client, address and VM of each watcher."""
        answer = self.ask(**options)
        assert not answer.get("failed"), answer
        found = answer["look"]["watchers"]
        assert found["missing"] == [], found
        return found["way"], sorted(tuple(str(one[key] or "") for key in ("image", "client", "address", "vm")) for one in found["open"])


@pytest.fixture
def held(ceph: Cluster, tmp_path: Path) -> t.Iterator[Held]:
    """Two clients hold images of two pools open, in namespaces too."""
    brood, holders = Brood(), []
    try:
        ceph.ceph("osd", "pool", "create", "second", "8")
        ceph.rbd("pool", "init", "second")
        for pool in ("rbd", "second"):
            ceph.rbd("namespace", "create", f"{pool}/team")
        for image in IMAGES:
            ceph.rbd("create", "--size", "8M", image)
        for number, images in enumerate((ONE, OTHER)):
            log = tmp_path / f"holder-{number}"
            process = brood.start([DEBIAN_PYTHON, str(HOLDER), str(ceph.conf), *images], log)
            wait_for("images held open", lambda log=log: "" if "HELD" in log.read_text() else log.read_text() or "no word", 60)
            assert process.poll() is None
            holders.append(process)
        yield ceph, holders
    finally:
        for process in holders:
            process.send_signal(signal.SIGCONT)
            process.terminate()  # it closes its images: those of a client that dies are open for another 30 s
            gone(process, 60)
        brood.close()
        ceph.ceph("config", "set", "mon", "mon_allow_pool_delete", "true")
        ceph.ceph("osd", "pool", "rm", "second", "second", "--yes-i-really-really-mean-it")
        for image in [image for image in IMAGES if image.startswith("rbd/")]:
            wait_for(f"the end of {image}", lambda image=image: why_left(ceph, image), 90, 2)
        ceph.rbd("namespace", "rm", "rbd/team")


def why_left(ceph: Cluster, image: str) -> str:
    """Remove it; why that could not be done."""
    try:
        ceph.rbd("rm", "--no-progress", image)
    except RuntimeError as error:
        return str(error)
    return ""


def test_both_ways_find_the_same(held: Held, tmp_path: Path) -> None:
    ceph, _holders = held
    admin = Asker(tmp_path, ceph.conf, "admin")
    way, by_osd = admin.watchers(way="osd")
    assert way == "osd"
    way, by_image = admin.watchers(way="image")
    assert way == "image"
    assert by_osd == by_image
    images = [found[0] for found in by_osd]
    assert {image: images.count(image) for image in images} == OPEN, "who only reads is not seen"
    assert [found[3] for found in by_osd if found[0].startswith("rbd/volume-")] == [VM]
    assert len({found[1] for found in by_osd}) == 2

    second = [admin.watchers(way=way, pools=["second"])[1] for way in ("osd", "image")]
    assert second[0] == second[1]
    assert [found[0] for found in second[0]] == ["second/one", "second/team/one"]
    assert admin.watchers(way="auto")[0] == "osd"


def restart_osds(ceph: Cluster) -> None:
    """All at once: one that goes on runs its timer for the frozen."""
    for name in ceph.osds:
        ceph.stop_daemon(name)
    ceph.start()
    ceph.wait_clean()


@pytest.mark.full
def test_restarted_osds_tell_of_every_client_that_lives_and_images_of_a_frozen_one_too(held: Held, tmp_path: Path) -> None:
    ceph, holders = held
    admin = Asker(tmp_path, ceph.conf, "admin")
    before = admin.watchers(way="image")[1]
    restart_osds(ceph)
    assert admin.watchers(way="osd")[1] == before
    assert admin.watchers(way="image")[1] == before
    # What an OSD has not loaded since its start it does not tell; asked for an image, it does.
    holders[0].send_signal(signal.SIGSTOP)
    restart_osds(ceph)
    assert admin.watchers(way="image")[1] == before


def test_the_least_key_asks_the_images(held: Held, tmp_path: Path) -> None:
    ceph, _holders = held
    conf = ceph.hand_out(tmp_path / "key", "least", **CAPS)
    least = Asker(tmp_path, conf, "least")
    way, found = least.watchers(way="auto")
    assert way == "image"
    assert found == Asker(tmp_path, ceph.conf, "admin").watchers(way="osd")[1]
    assert "this key may not ask them" in least.ask(way="auto")["look"]["watchers"]["note"], "that it fell back is said"
    assert "dump_watchers" in least.ask(way="osd")["look"]["problem"]
