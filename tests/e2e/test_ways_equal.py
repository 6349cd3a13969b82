# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking every OSD and asking every image find the same watchers, and a key that may not do the one does the other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import typing as t
import uuid
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.holders import Holders
from e2e.operators import CAPS, IMAGE_REGEX
from e2e.processes import run
from e2e.waits import wait_for

LIMIT = 120
VM = str(uuid.UUID(int=7))
# Moved to the trash while they are open; one loses the object that its name leads to, another its header; one is migrating.
TRASHED, NAMELESS, WITHOUT_HEADER, MOVING = ("rbd/binned", "second/team/binned"), "rbd/nameless", "rbd/headless", "rbd/moving"
IMAGES = (
    f"rbd/volume-{VM}", "rbd/shared", "rbd/idle", "rbd/only-read", "rbd/team/one", "second/one", "second/team/one",
    *TRASHED, NAMELESS, WITHOUT_HEADER, MOVING,
)  # fmt: skip
ONE = (f"rbd/volume-{VM}", "rbd/shared", "rbd/team/one", "rbd/only-read@", *TRASHED)
OTHER = ("rbd/shared", "second/one", "second/team/one", NAMELESS, MOVING)
OPEN = {
    **{f"rbd/volume-{VM}": 1, "rbd/shared": 2, "rbd/team/one": 1, "second/one": 1, "second/team/one": 1},
    **{"rbd/trash:ID/binned": 1, "second/team/trash:ID/binned": 1, NAMELESS: 1, MOVING: 1},
}


Held = tuple[Cluster, Holders]


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
        opens = [{**one, "image": re.sub("trash:[0-9a-f]+/", "trash:ID/", one["image"])} for one in found["open"]]
        return found["way"], sorted(tuple(str(one[key] or "") for key in ("image", "client", "address", "vm")) for one in opens)


@pytest.fixture
def held(ceph: Cluster, holders: Holders) -> t.Iterator[Held]:
    """Two clients hold images of two pools open, in namespaces and in the trash too. The second pool has not the application rbd."""
    try:
        ceph.ceph("osd", "pool", "create", "second", "8")
        ceph.ceph("osd", "pool", "application", "enable", "second", "volumes")
        ceph.wait_clean()  # until then no OSD can tell of every image
        for pool in ("rbd", "second"):
            ceph.rbd("namespace", "create", f"{pool}/team")
        for image in IMAGES:
            ceph.rbd("create", "--size", "8M", image)
        ceph.rbd("migration", "prepare", MOVING)
        for images in (ONE, OTHER):
            holders.hold(*images)
        for image in TRASHED:
            ceph.rbd("trash", "mv", image)
        remove_object(ceph, "rbd_id.nameless")
        remove_object(ceph, f"rbd_header.{json.loads(ceph.rbd('info', WITHOUT_HEADER, '--format', 'json'))['id']}")
        yield ceph, holders
    finally:
        holders.release()
        ceph.remove_pool("second")
        ceph.rbd("migration", "abort", "--no-progress", MOVING)
        wait_for("the end of the trash", lambda: why_left(ceph, "trash", "purge", "rbd"), 90, 2)
        for image in [image for image in IMAGES if image.startswith("rbd/") and image not in TRASHED]:
            wait_for(f"the end of {image}", lambda image=image: why_left(ceph, "rm", image), 90, 2)
        ceph.rbd("namespace", "rm", "rbd/team")


def remove_object(ceph: Cluster, name: str) -> None:
    run("rados", "-c", ceph.conf, "--pool", "rbd", "rm", name)


def why_left(ceph: Cluster, *words: str) -> str:
    """Remove something; why that could not be done."""
    try:
        ceph.rbd(*words, "--no-progress")
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
    assert [found[0] for found in second[0]] == ["second/one", "second/team/one", "second/team/trash:ID/binned"]
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
    holders.processes[0].send_signal(signal.SIGSTOP)
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
    unchecked = least.ask(way="image")["look"]["watchers"]["unchecked"]
    assert any(WITHOUT_HEADER in line and "Half removed" in line for line in unchecked), unchecked
    assert any("the pools device_health_metrics" in line for line in unchecked), "the pool of the manager, as Pacific names it"

    # A key for one pool names the others.
    conf = ceph.hand_out(tmp_path / "key", "one-pool", **{**CAPS, "osd": "profile rbd-read-only pool=rbd"})
    one = Asker(tmp_path, conf, "one-pool")
    checked = one.ask(way="auto")["look"]["watchers"]
    assert (checked["way"], list(checked["unread"]), checked["missing"]) == ("image", ["second"], [])
    assert "Operation not permitted" in checked["unread"]["second"]
    assert {place.partition("/")[0] for place in checked["pools"]} == {"rbd"} and checked["count"] > 0
    assert one.ask(way="auto", pools=["rbd"])["look"]["watchers"]["unread"] == {}


def test_blocklisted_range_is_cleared_by_the_command_that_is_named(ceph: Cluster, tmp_path: Path) -> None:
    networks = {"10.1.114.0/24", "2001:db8::/48"}
    for network in networks:
        ceph.ceph("osd", "blocklist", "range", "add", network)
    lines = Asker(tmp_path, ceph.conf, "admin").ask(checks=["leftovers"])["lines"]
    commands = {line.rpartition("ceph osd blocklist range rm ")[2] for line in lines if "blocklist range rm" in line}
    assert commands == networks
    for network in commands:
        ceph.ceph("osd", "blocklist", "range", "rm", network)
    assert not [line for line in Asker(tmp_path, ceph.conf, "admin").ask(checks=["leftovers"])["lines"] if "range" in line]
