# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pocket cloud: the simulated platform with real guests on a real cluster, and what a test may do to them."""

from __future__ import annotations

import typing as t
from pathlib import Path

from e2e import qemu
from e2e.cluster import POOL, Cluster
from e2e.guest_image import GuestImage
from e2e.processes import Brood
from simulator.backends.qemu import GuestBackend
from simulator.config import Options, options_from
from simulator.data_center import Estate
from simulator.server import Cloud

PATIENCE = 400.0  # real seconds, for a dozen guests that boot at once on a busy machine
PLATFORM = {"vms": 3, "owners": 3, "hosts": 3, "power_mode": "gateway", "gateway_patience": 10.0, "deaf_seconds": 25.0}


def image_of(uuid: str) -> str:
    """The RBD image of a VM."""
    return f"volume-{uuid}"


def uuid_of(image: str) -> str:
    """And back."""
    return image.removeprefix("volume-")


class PocketCloud(Cloud):
    """`with PocketCloud(cluster, image, folder, vms=12, deaf=3) as cloud:`; VMs are named by uuid, name or position."""

    def __init__(self, cluster: Cluster, image: GuestImage, folder: Path, **values: t.Any) -> None:
        self._brood = Brood()
        self._guests: dict[str, qemu.Guest] = {}
        cluster.make_key(qemu.KEY, mon="profile rbd", osd=f"profile rbd pool={POOL}")
        key = cluster.keyring(qemu.KEY)
        key.write_text(cluster.make_key(qemu.KEY), encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)

        def make_guest(name: str) -> qemu.Guest:
            self._guests[name] = qemu.Guest(cluster, image, self._brood, folder, name)
            return self._guests[name]

        def make_backend(options: Options, estate: Estate) -> GuestBackend:
            self._backend = GuestBackend(options, estate, make_guest)
            return self._backend

        super().__init__(options_from({**PLATFORM, **values}), make_backend=make_backend, patience=PATIENCE)

    def stop(self) -> None:
        """No guest is left running, whatever else fails."""
        try:
            super().stop()
        finally:
            self._brood.close()

    def guest(self, which: t.Any) -> qemu.Guest:
        """The real thing, to look at; what changes its state is below."""
        return self._guests[image_of(self.vm(which).uuid)]

    def running_guests(self) -> set[str]:
        """The uuids of VMs whose QEMU lives, whatever the platform says."""
        return {uuid_of(name) for name, guest in self._guests.items() if guest.alive}

    def start_unseen(self, which: t.Any) -> None:
        """Start a stopped VM's guest so that the platform goes on saying that it is stopped."""
        self._run(self._backend.start_unseen(self.vm(which)))

    def shut_down_inside(self, which: t.Any) -> None:
        """The guest is told to shut down by somebody else than the platform, which is done when it is off."""
        self._run(self._backend.shut_down_inside(self.vm(which)))

    def kill_guest(self, which: t.Any) -> None:
        """Its QEMU dies, and Ceph is not told."""
        self._run(self._backend.kill_guest(self.vm(which)))

    def freeze_guest(self, which: t.Any) -> None:
        """Its QEMU hangs; the platform goes on saying that it runs."""
        self.guest(which).freeze()

    def lose_guest(self, which: t.Any) -> None:
        """It hangs on a hypervisor that is cut off: a power cut by the platform marks it stopped, and ends nothing."""
        self._run(self._backend.lose_guest(self.vm(which)))
        self.freeze_guest(which)

    def thaw_guest(self, which: t.Any) -> None:
        """And goes on."""
        self.guest(which).thaw()
