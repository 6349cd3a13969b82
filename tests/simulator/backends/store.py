# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every backend keeps in the same way: the records of hosts and VMs, and the work that goes on beside requests."""

from __future__ import annotations

import asyncio
from typing import Any, Coroutine

from simulator.backends.base import Backend, Host, Vm
from simulator.config import Options
from simulator.data_center import Estate


class RecordsBackend(Backend):
    """A backend whose hosts have no life of their own; of the VMs it only keeps the list."""

    def __init__(self, options: Options, estate: Estate) -> None:
        super().__init__()
        self._options = options
        self._hosts = estate.hosts
        self._vms = {vm.uuid: vm for vm in estate.vms}
        self._tasks: set[asyncio.Task[None]] = set()

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
