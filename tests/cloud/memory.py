# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-memory backend: VMs are records, and time is slept."""

from __future__ import annotations

import asyncio
from typing import Any, Coroutine

from cloud.backend import Backend, Host, Refused, Vm, no_such_vm
from cloud.estate import Estate
from cloud.options import Options


class MemoryBackend(Backend):
    """Power actions take their time and keep going when nobody listens any more."""

    def __init__(self, options: Options, estate: Estate) -> None:
        super().__init__()
        self._options = options
        self._hosts = estate.hosts
        self._vms = {vm.uuid: vm for vm in estate.vms}
        self._changed: dict[str, asyncio.Event] = {}
        self._failures: dict[str, int] = {}
        self._risings: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for vm in self._vms.values():
            if vm.state == "creating":
                self._spawn(self._ripen(vm))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def hosts(self, location: str | None) -> list[Host]:
        return [host for host in self._hosts if location in (None, host.location)]

    async def flag_host(self, host: Host, accepting: bool) -> None:
        host.accepting = accepting
        if accepting:
            # The trap of opening every host: one that was taken out on purpose is a target for VMs again.
            host.status = "AVAILABLE"
        elif host.status == "AVAILABLE":
            host.status = "NOT ACCEPTING"

    async def vms(self, location: str | None) -> list[Vm]:
        return [vm for vm in self._vms.values() if location in (None, vm.location)]

    async def find(self, location: str | None, uuid: str) -> Vm | None:
        vm = self._vms.get(uuid)
        return vm if vm is not None and location in (None, vm.location) else None

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
            await self._hold(vm, options.deaf_seconds if deaf else options.stop_seconds)
            if deaf and vm.state not in ("stopped", "deleted"):
                if options.deaf_status != 200:
                    raise Refused(options.deaf_status, "Virtual machine did not stop: %s" % vm.uuid)
                return
        await self._settle(vm, "stopped", "force" if force else "stop")

    async def start(self, vm: Vm) -> None:
        options = self._options
        await self._hold(vm, options.start_seconds)
        if "fail_start" in vm.traits and vm.state == "stopped":
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
