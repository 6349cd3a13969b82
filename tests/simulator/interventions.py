# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acts: what happens on the platform besides what the client under test asks for, by name and with plain arguments."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from simulator.auth import KeyRing
from simulator.backends.base import Backend, Host, Vm
from simulator.config import Options
from simulator.data_center import make_vm
from simulator.faults import Faults
from simulator.listener import Door
from simulator.power_calls import PowerDesk

FIRST_NEW = 1000000  # VMs created later are numbered from here, clear of those from the start


@dataclass
class _Trigger:
    """An act that waits for the `left`-th request of a kind."""

    kind: str
    left: int
    match: dict[str, str]
    act: str
    arguments: dict[str, Any]


class Acts:
    """Each public name in ACTS can be done at once, or scheduled. A VM or host is named by uuid, name or position."""

    ACTS = (
        "start", "stop", "delete", "state", "create", "lock", "unlock", "freeze", "thaw", "trait", "host",
        "options", "fault", "clear_faults", "revoke", "grant", "away", "flap",
    )

    def __init__(
        self, options: Options, backend: Backend, desk: PowerDesk, faults: Faults, keys: KeyRing, door: Door
    ) -> None:
        self._options = options
        self._backend = backend
        self._desk = desk
        self._faults = faults
        self._keys = keys
        self._door = door
        self._triggers: list[_Trigger] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._created = 0

    async def do(self, act: str, arguments: dict[str, Any]) -> Any:
        """Do a named act now."""
        if act not in self.ACTS:
            raise ValueError("act must be one of %s" % ", ".join(self.ACTS))
        return await getattr(self, act)(**arguments)

    async def schedule(
        self, act: str, when: str = "", nth: int = 1, match: dict[str, str] | None = None, delay: float = 0.0, **arguments: Any
    ) -> None:
        """Do it when the nth request of kind `when` (with the parameters in `match`) arrives, before that is answered,
        counted from now on; without `when`, after `delay` seconds."""
        if act not in self.ACTS:
            raise ValueError("act must be one of %s" % ", ".join(self.ACTS))
        if when:
            self._triggers.append(_Trigger(when, nth, match or {}, act, arguments))
            return
        task = asyncio.ensure_future(self._later(delay, act, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def arrived(self, kind: str, params: dict[str, str]) -> None:
        """A request has come in: do what waited for it."""
        due = []
        for trigger in self._triggers:
            if trigger.kind == kind and all(params.get(name) == value for name, value in trigger.match.items()):
                trigger.left -= 1
                if trigger.left == 0:
                    due.append(trigger)
        for trigger in due:
            self._triggers.remove(trigger)
            await self.do(trigger.act, trigger.arguments)

    async def close(self) -> None:
        """Nothing more will happen."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self, vm: Any) -> None:
        """The owner starts a VM, at once."""
        await self._backend.set_state(await self._vm(vm), "running", "owner")

    async def stop(self, vm: Any) -> None:
        """The owner stops a VM, at once."""
        await self._backend.set_state(await self._vm(vm), "stopped", "owner")

    async def delete(self, vm: Any) -> None:
        """The owner deletes a VM."""
        await self._backend.set_state(await self._vm(vm), "deleted", "owner")

    async def state(self, vm: Any, state: str) -> None:
        """A VM is in some state, known or not."""
        await self._backend.set_state(await self._vm(vm), state.lower(), "platform")

    async def create(self, state: str = "creating", location: str = "") -> str:
        """An owner makes a new VM; returns its uuid."""
        vm = make_vm(self._options, FIRST_NEW + self._created, location or self._options.default, state)
        self._created += 1
        await self._backend.add(vm)
        return vm.uuid

    async def lock(self, vm: Any, seconds: float) -> None:
        """A VM answers power calls with 409 for so long."""
        self._desk.lock(await self._vm(vm), seconds)

    async def unlock(self, vm: Any) -> None:
        """And no longer."""
        self._desk.lock(await self._vm(vm), 0.0)

    async def freeze(self, owner: int) -> None:
        """An owner's billing account is frozen."""
        self._desk.frozen.add(owner)

    async def thaw(self, owner: int) -> None:
        """And cleared."""
        self._desk.frozen.discard(owner)

    async def trait(self, vm: Any, trait: str, on: bool = True) -> None:
        """A VM gets or loses deaf, fail_start, starts_itself, feigns, stuck, started_word."""
        traits = (await self._vm(vm)).traits
        traits.add(trait) if on else traits.discard(trait)

    async def host(self, host: Any, accepting: bool | None = None, status: str | None = None) -> None:
        """Somebody else changes a host in the admin interface."""
        found = await self._host(host)
        if accepting is not None:
            await self._backend.flag_host(found, accepting)
        if status is not None:
            found.status = status

    async def options(self, **values: Any) -> None:
        """The platform behaves otherwise from now on."""
        self._options.update(values)

    async def fault(self, **fields: Any) -> None:
        """Answers are spoiled: the fields of faults.Fault."""
        self._faults.add(**fields)

    async def clear_faults(self) -> None:
        """They are good again."""
        self._faults.clear()

    async def revoke(self, key: str = "") -> None:
        """A key, the admin's if none is named, is no longer accepted."""
        self._keys.revoked.add(key or self._keys.admin_key)

    async def grant(self, key: str = "") -> None:
        """And is again."""
        self._keys.revoked.discard(key or self._keys.admin_key)

    async def away(self, seconds: float) -> None:
        """Connections are refused for so long, and the open ones cut; what goes on behind goes on."""
        await self._door.away(seconds)

    async def flap(self, seconds: float, after_hello: bool = True, reset: bool = False, at_least: int = 0) -> None:
        """Connections are taken and dropped, within the TLS handshake or before it, closed or reset.

        For so long, and until so many were dropped.
        """
        await self._door.flap(seconds, after_hello, reset, at_least)

    async def _later(self, seconds: float, act: str, arguments: dict[str, Any]) -> None:
        await asyncio.sleep(self._options.real(seconds))
        await self.do(act, arguments)

    async def _vm(self, which: Any) -> Vm:
        vms = await self._backend.vms(None)
        if isinstance(which, int):
            return vms[which]
        for vm in vms:
            if which in (vm.uuid, vm.name):
                return vm
        raise ValueError("no such VM: %s" % which)

    async def _host(self, which: Any) -> Host:
        hosts = await self._backend.hosts(None)
        if isinstance(which, int):
            return hosts[which]
        for host in hosts:
            if which in (host.uuid, host.name):
                return host
        raise ValueError("no such host: %s" % which)
