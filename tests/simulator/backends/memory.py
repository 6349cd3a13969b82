# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory backend: VMs are records, and time is slept."""

from __future__ import annotations

import asyncio

from simulator.backends.base import Refused, Vm, no_such_vm
from simulator.backends.store import RecordsBackend
from simulator.config import Options
from simulator.data_center import Estate


class MemoryBackend(RecordsBackend):
    """Power actions take their time and keep going when nobody listens any more."""

    def __init__(self, options: Options, estate: Estate) -> None:
        super().__init__(options, estate)
        self._changed: dict[str, asyncio.Event] = {}
        self._failures: dict[str, int] = {}
        self._risings: dict[str, int] = {}

    async def open(self) -> None:
        for vm in self._vms.values():
            if vm.state == "creating":
                self._spawn(self._ripen(vm))

    async def add(self, vm: Vm) -> None:
        self._vms[vm.uuid] = vm
        self.happened(vm, "owner")
        if vm.state == "creating":
            self._spawn(self._ripen(vm))

    async def stop(self, vm: Vm, force: bool) -> None:
        options = self._options
        if force:
            await self._hold(vm, options.force_seconds)
        else:
            deaf = "deaf" in vm.traits
            willing = options.slow_seconds if "slow" in vm.traits else options.stop_seconds
            await self._hold(vm, options.deaf_seconds if deaf else willing)
            if deaf and vm.state not in ("stopped", "deleted"):
                if options.deaf_status != 200:
                    raise Refused(options.deaf_status, "Virtual machine did not stop: %s" % vm.uuid)
                return
        await self._settle(vm, "stopped", "force" if force else "stop")

    async def start(self, vm: Vm) -> None:
        options = self._options
        await self._hold(vm, options.start_seconds)
        if "fail_start" in vm.traits and vm.state not in ("running", "deleted"):
            failed = self._failures.get(vm.uuid, 0)
            if options.fail_start_times < 0 or failed < options.fail_start_times:
                self._failures[vm.uuid] = failed + 1
                if options.fail_start_status != 200:
                    raise Refused(options.fail_start_status, "Unable to start virtual machine: %s" % vm.uuid)
                return
        await self._settle(vm, "running", "start")

    async def set_state(self, vm: Vm, state: str, cause: str) -> None:
        if vm.state == state:
            return
        before, vm.state = vm.state, state
        self.happened(vm, cause, before)
        changed = self._changed.pop(vm.uuid, None)
        if changed is not None:
            changed.set()
        if state == "stopped" and cause in ("stop", "force") and "starts_itself" in vm.traits:
            self._spawn(self._rise(vm))

    async def _settle(self, vm: Vm, state: str, cause: str) -> None:
        if vm.state == "deleted":
            raise no_such_vm(vm.uuid)
        await self.set_state(vm, state, cause)

    async def _hold(self, vm: Vm, seconds: float) -> None:
        """Wait; a change of the VM's state by somebody else ends it early."""
        changed = self._changed.setdefault(vm.uuid, asyncio.Event())
        try:
            await asyncio.wait_for(changed.wait(), self._options.real(seconds))
        except asyncio.TimeoutError:
            pass

    async def _ripen(self, vm: Vm) -> None:
        await asyncio.sleep(self._options.real(self._options.creating_seconds))
        if vm.state == "creating":
            await self.set_state(vm, "running", "platform")

    async def _rise(self, vm: Vm) -> None:
        options = self._options
        risen = self._risings.get(vm.uuid, 0)
        if 0 <= options.starts_itself_times <= risen:
            return
        self._risings[vm.uuid] = risen + 1
        await asyncio.sleep(options.real(options.starts_itself_seconds))
        if vm.state == "stopped":
            await self.set_state(vm, "running", "itself")
