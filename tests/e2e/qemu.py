# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One guest: a QEMU process that emulates, with its disk on the cluster."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import typing as t
from pathlib import Path

from e2e import rbd_images as disks
from e2e.cluster import POOL, Cluster
from e2e.guest_image import GuestImage
from e2e.processes import Brood, gone

MEMORY = "96"  # MiB; with 64 its kernel dies
# Without no_timer_check some guests of many that boot together panic.
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off"
QMP_LIMIT = 3.0
KILL_LIMIT = 30.0
KEY = "hypervisor"  # the client of Ceph that all QEMUs are
UP = re.compile(rb"^GUEST UP ", re.MULTILINE)
ACKNOWLEDGED = re.compile(rb"^ACK (\d+)\r?$", re.MULTILINE)


class Guest:
    """Its disk must be made once (make_disk); then it may be started again and again."""

    def __init__(self, cluster: Cluster, image: GuestImage, brood: Brood, folder: Path, name: str) -> None:
        self.name = name  # of the RBD image
        self._cluster = cluster
        self._image = image
        self._brood = brood
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._boots = 0

    # What it is

    @property
    def alive(self) -> bool:
        """Whether QEMU runs, be it frozen or stuck."""
        return self._process is not None and self._process.poll() is None

    @property
    def up(self) -> bool:
        """Whether this boot has come so far as to work on its disk."""
        return self.alive and UP.search(self.console()) is not None

    def console(self, boot: int | None = None) -> bytes:
        """What the guest said, in its last boot if none is named."""
        path = self._console(self._boots if boot is None else boot)
        return path.read_bytes() if path.exists() else b""

    def acknowledged(self) -> list[int]:
        """The records that it has called safe, in all boots."""
        return [int(found) for boot in range(1, self._boots + 1) for found in ACKNOWLEDGED.findall(self.console(boot))]

    def verify(self) -> disks.Verdict:
        """What its disk says; only for a guest that is off."""
        assert not self.alive, f"{self.name} still runs"
        return disks.verify(self._cluster, self.name, self.acknowledged())

    # What is done to it

    def make_disk(self) -> None:
        """An empty one."""
        disks.make_disk(self._cluster, self.name)

    def remove_disk(self) -> None:
        """For good."""
        disks.remove_disk(self._cluster, self.name)

    def start(self, deaf: bool = False, slow: float = 0.0) -> None:
        """Start QEMU and return at once. Deaf: it has no power button; slow: it takes so many seconds to shut down."""
        if self.alive:
            return
        self._boots += 1
        words = f"{KERNEL_WORDS} kind={'deaf' if deaf else 'polite'} slow={slow:g}"
        drive = f"file=rbd:{POOL}/{self.name}:id={KEY}:conf={self._cluster.conf},format=raw,if=virtio,cache=writeback"
        command = [
            *("qemu-system-x86_64", "-name", self.name, "-accel", "tcg,tb-size=32", "-M", "pc", "-m", MEMORY),
            *("-nodefaults", "-display", "none", "-no-reboot", "-drive", drive),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", words),
            *("-serial", f"file:{self._console(self._boots)}", "-qmp", f"unix:{self._socket},server=on,wait=off"),
        ]
        self._process = self._brood.start(command, self._folder / f"{self.name}.out")

    def press_power_button(self) -> bool:
        """Whether QEMU took it; what the guest makes of it is another matter."""
        return self._qmp("system_powerdown")

    def quit(self) -> bool:
        """Cut its power in such a way that QEMU closes the image. Not answered while Ceph is away."""
        return self._qmp("quit")

    def kill(self) -> None:
        """End QEMU without a word: for Ceph its image then stays open for another 30 s."""
        if self._process is not None:
            self._process.kill()
            gone(self._process, KILL_LIMIT)

    def freeze(self) -> None:
        """As a hypervisor that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """And goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None and self.alive, f"{self.name} does not run"
        self._process.send_signal(number)

    def _qmp(self, command: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(QMP_LIMIT)
                link.connect(str(self._socket))
                stream = link.makefile("rw")
                stream.readline()
                return all(self._answer(stream, word) for word in ("qmp_capabilities", command))
        except (OSError, ValueError):
            return False

    @staticmethod
    def _answer(stream: t.TextIO, command: str) -> bool:
        stream.write(json.dumps({"execute": command}) + "\n")
        stream.flush()
        # Events come between; the end of the stream is QEMU's own end.
        for line in stream:
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return "return" in answer
        return command == "quit"

    @property
    def _socket(self) -> Path:
        return self._folder / f"{self.name}.qmp"

    def _console(self, boot: int) -> Path:
        return self._folder / f"{self.name}.console.{boot}"
