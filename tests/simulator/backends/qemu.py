# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend with real guests: a VM runs when its process does, and stops when that ends, whoever ended it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from typing import Any, Callable, Protocol

from simulator.backends.base import Refused, Vm, no_such_vm
from simulator.backends.store import RecordsBackend
from simulator.config import Options
from simulator.data_center import Estate

LOOK = 0.1  # seconds between two looks at the processes
START_PATIENCE = 180.0  # until a start is given up: many guests may boot at once, on a busy machine
QUIT_PATIENCE = 5.0  # until a guest whose power is cut is ended the hard way
HANDS = 32  # calls to guests at once
DISKS = 2  # and disks in the making
STATES = {"running", "stopped", "deleted", "creating"}
UNABLE = {"fail_start", "starts_itself"}  # traits that only records have


class Guest(Protocol):
    """What carries a VM. No method waits for the guest, only for what carries it, and that not for long."""

    @property
    def alive(self) -> bool:
        """Whether the process that carries the VM runs."""

    @property
    def up(self) -> bool:
        """Whether the guest has booted."""

    def make_disk(self) -> None:
        """Create its empty disk."""

    def remove_disk(self) -> None:
        """Delete its disk."""

    def start(self, deaf: bool, slow: float) -> None:
        """Start it; a ``deaf`` guest ignores the power button, and ``slow`` is how many seconds its shutdown takes."""

    def press_power_button(self) -> bool:
        """Request a shutdown; return whether the request was accepted."""

    def quit(self) -> bool:
        """Force it off in a way that closes its disk; return whether the request was accepted."""

    def kill(self) -> None:
        """Force it off, even if its disk stays open."""


MakeGuest = Callable[[str], Guest]


class GuestBackend(RecordsBackend):
    """Each VM is a guest called `volume-<uuid>`; hosts are records only.

    How long a power call takes is the guests' own affair. A stop is given up after `deaf_seconds` and a start after
    START_PATIENCE; a guest that did not come up by then is ended, and its start answered with `fail_start_status`.
    """

    def __init__(self, options: Options, estate: Estate, make_guest: MakeGuest) -> None:
        super().__init__(options, estate)
        for vm in estate.vms:
            if vm.state not in STATES or vm.traits & UNABLE:
                raise ValueError("no real guest can be %s %s" % (vm.state, sorted(vm.traits)))
        self._make_guest = make_guest
        self._guests: dict[str, Guest] = {}
        self._lost: set[str] = set()  # whose process is out of reach
        self._asked: dict[str, str] = {}  # who last asked for the end of a guest, since its start
        self._hands = concurrent.futures.ThreadPoolExecutor(HANDS, "guests")
        self._disks = asyncio.Semaphore(DISKS)

    async def open(self) -> None:
        vms = list(self._vms.values())
        await asyncio.gather(*(self._make_disk(vm) for vm in vms if vm.state != "deleted"))
        await asyncio.gather(*(self._boot_or_fail(vm) for vm in vms if vm.state == "running"))
        for vm in vms:
            if vm.state == "creating":
                self._spawn(self._ripen(vm))
        self._spawn(self._watch())

    async def close(self) -> None:
        await super().close()
        try:
            # Asked first: an image that was not closed counts as open for another 30 s.
            await asyncio.gather(*(self._end(guest) for guest in self._guests.values()))
        finally:
            self._hands.shutdown(wait=False)

    async def vms(self, location: str | None) -> list[Vm]:
        self._look()
        return await super().vms(location)

    async def find(self, location: str | None, uuid: str) -> Vm | None:
        self._look()
        return await super().find(location, uuid)

    async def add(self, vm: Vm) -> None:
        if vm.state not in STATES:
            raise ValueError("no real guest can be %s" % vm.state)
        await self._make_disk(vm)
        if vm.state == "running":
            await self._boot_or_fail(vm)
        self._vms[vm.uuid] = vm
        self.happened(vm, "owner")
        if vm.state == "creating":
            self._spawn(self._ripen(vm))

    async def stop(self, vm: Vm, force: bool) -> None:
        guest, options = self._guest(vm), self._options
        self._asked[vm.uuid] = "force" if force else "stop"
        if force and vm.uuid in self._lost:
            self._note(vm, "stopped", "force")
        elif force:
            await self._end(guest)
        else:
            await self._do(guest.press_power_button)
            if not await _until(lambda: not guest.alive, options.real(options.deaf_seconds)):
                if options.deaf_status != 200:
                    raise Refused(options.deaf_status, "Virtual machine did not stop: %s" % vm.uuid)
                return
        if vm.state == "deleted":
            raise no_such_vm(vm.uuid)
        self._look()

    async def start(self, vm: Vm) -> None:
        if await self._boot(vm):
            self._note(vm, "running", "start")
        elif self._options.fail_start_status != 200:
            raise Refused(self._options.fail_start_status, "Unable to start virtual machine: %s" % vm.uuid)

    async def set_state(self, vm: Vm, state: str, cause: str) -> None:
        """Running boots it, stopped cuts its power, deleted removes its disk too: no other state can be given."""
        if state == vm.state:
            return
        if state == "running":
            await self._boot_or_fail(vm)
        elif state in ("stopped", "deleted"):
            self._asked[vm.uuid] = cause
            await self._end(self._guest(vm))
            if state == "deleted":
                await self._do(self._guest(vm).remove_disk)
        else:
            raise ValueError("no real guest can be %s" % state)
        self._note(vm, state, cause)

    # Past the API: the platform hears of it from the processes, or not at all

    async def start_unseen(self, vm: Vm) -> None:
        """The guest of a stopped VM comes up, and the platform goes on saying that it is stopped."""
        await self._boot_or_fail(vm)

    async def shut_down_inside(self, vm: Vm) -> None:
        """The guest shuts down cleanly of its own accord."""
        guest = self._guest(vm)
        self._asked[vm.uuid] = "itself"
        await self._do(guest.press_power_button)
        if not await _until(lambda: not guest.alive, START_PATIENCE):
            raise TimeoutError("%s did not shut down" % vm.name)
        self._look()

    async def lose_guest(self, vm: Vm) -> None:
        """Its process is out of the platform's reach, as on a hypervisor that is cut off: a power cut only marks it stopped."""
        self._lost.add(vm.uuid)

    async def kill_guest(self, vm: Vm) -> None:
        """Its process is killed."""
        self._asked[vm.uuid] = "platform"
        await self._do(self._guest(vm).kill)
        self._look()

    def _guest(self, vm: Vm) -> Guest:
        if vm.uuid not in self._guests:
            self._guests[vm.uuid] = self._make_guest("volume-%s" % vm.uuid)
        return self._guests[vm.uuid]

    def _look(self) -> None:
        """Note the VMs whose guest has ended since the last look."""
        for vm in self._vms.values():
            if vm.state == "running" and not self._guest(vm).alive:
                self._note(vm, "stopped", self._asked.get(vm.uuid, "itself"))

    def _note(self, vm: Vm, state: str, cause: str) -> None:
        # The platform's own VM: callers outside its loop hold snapshots.
        vm = self._vms[vm.uuid]
        if vm.state != state:
            before, vm.state = vm.state, state
            self.happened(vm, cause, before)

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK)

    async def _make_disk(self, vm: Vm) -> None:
        async with self._disks:
            await self._do(self._guest(vm).make_disk)

    async def _boot(self, vm: Vm) -> bool:
        """Whether it came up; when not, nothing is left of the try."""
        guest = self._guest(vm)
        self._asked.pop(vm.uuid, None)
        slow = self._options.real(self._options.slow_seconds) if "slow" in vm.traits else 0.0
        await self._do(guest.start, "deaf" in vm.traits, slow)
        await _until(lambda: guest.up or not guest.alive, START_PATIENCE)
        if guest.up:
            return True
        await self._do(guest.kill)
        return False

    async def _boot_or_fail(self, vm: Vm) -> None:
        if not await self._boot(vm):
            raise RuntimeError("the guest of %s did not come up" % vm.name)

    async def _ripen(self, vm: Vm) -> None:
        await asyncio.sleep(self._options.real(self._options.creating_seconds))
        if vm.state == "creating" and await self._boot(vm):
            self._note(vm, "running", "platform")

    async def _end(self, guest: Guest) -> None:
        if guest.alive and await self._do(guest.quit):
            await _until(lambda: not guest.alive, QUIT_PATIENCE)
        if guest.alive:
            await self._do(guest.kill)

    async def _do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._hands, work, *arguments)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to that in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK)
    return True
