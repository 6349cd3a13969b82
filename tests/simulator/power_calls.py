# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power desk: admits or refuses a power call, and owns the action that follows from it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import AsyncIterator, Iterable

from simulator.backends.base import Backend, Refused, Vm, no_such_vm
from simulator.config import Options

# What a VM shows while the platform works on it, where `transitional_states` is on.
IN_BETWEEN = {"stop": "stopping", "start": "starting"}
GOALS = {"stop": "stopped", "start": "running"}


@dataclass
class _Action:
    word: str
    task: asyncio.Task[None]


class PowerDesk:
    """An admitted action is a task of its own: it goes on whatever becomes of the request."""

    def __init__(self, options: Options, backend: Backend, frozen: Iterable[int] = ()) -> None:
        self._options = options
        self._backend = backend
        self._going: dict[str, _Action] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locked_until: dict[str, float] = {}
        self._places: tuple[int, asyncio.Semaphore] | None = None
        self.frozen = set(frozen)

    async def begin(self, word: str, vm: Vm, force: bool) -> asyncio.Task[None]:
        """Admit `stop` or `start` and return the action; Refused when the platform will not."""
        if vm.state == "deleted":
            raise no_such_vm(vm.uuid)
        if vm.owner in self.frozen and word in self._options.frozen_actions:
            raise Refused(403, "Billing account is frozen", None)
        self._refuse_locked(vm)
        if word == "start":
            await self._refuse_start(vm)
        # No await from here on: between looking and spawning nobody else may be admitted.
        going = self._going.get(vm.uuid)
        if going is not None and not (force and going.word == "stop" and self._options.force_overrides_busy):
            if self._options.busy_refuses or going.word != word:
                raise Refused(409, "Server is locked")
            return going.task
        if word == "stop" and vm.state == "stopped" and self._options.stop_stopped_status != 200:
            raise Refused(self._options.stop_stopped_status, "Virtual machine is already stopped: %s" % vm.uuid)
        return self._spawn(word, vm, force)

    def feigned(self, word: str, vm: Vm, force: bool) -> bool:
        """Whether the platform only says that it did what was asked."""
        return "feigns" in vm.traits and ("force" if force else word) in self._options.feigned_actions

    def lock(self, vm: Vm, seconds: float) -> None:
        """Refuse power calls on a VM for so long; 0 unlocks it."""
        self._locked_until[vm.uuid] = time.monotonic() + self._options.real(seconds)

    async def close(self) -> None:
        """End what still goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _refuse_locked(self, vm: Vm) -> None:
        if "locked" in vm.traits and vm.uuid not in self._locked_until:
            self.lock(vm, self._options.locked_seconds)
        if vm.state == "creating" or time.monotonic() < self._locked_until.get(vm.uuid, 0.0):
            raise Refused(409, "Server is locked")

    async def _refuse_start(self, vm: Vm) -> None:
        options = self._options
        if vm.state == "running":
            if options.start_running_status != 200:
                raise Refused(options.start_running_status, "Virtual machine is already running: %s" % vm.uuid)
        elif options.needs_open_host_to_start:
            if not any(host.accepting for host in await self._backend.hosts(vm.location)):
                raise Refused(options.no_host_status, "No suitable hypervisor found")

    def _spawn(self, word: str, vm: Vm, force: bool) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._work(word, vm, force))
        action = _Action(word, task)
        self._going[vm.uuid] = action
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if self._going.get(vm.uuid) is action:
                del self._going[vm.uuid]
            if not done.cancelled():
                done.exception()  # nobody may be left to read it, and asyncio would log that

        task.add_done_callback(ended)
        return task

    async def _work(self, word: str, vm: Vm, force: bool) -> None:
        if self.feigned(word, vm, force):
            return
        async with self._place():
            if vm.state in (GOALS[word], "deleted"):
                return
            stuck = "stuck" in vm.traits and word in self._options.stuck_actions and not force
            async with self._in_between(word, vm, stuck):
                if stuck:
                    return
                if word == "start":
                    await self._backend.start(vm)
                else:
                    await self._backend.stop(vm, force)

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait in order for one of `power_queue` places."""
        count = self._options.power_queue
        if count <= 0:
            yield
            return
        if self._places is None or self._places[0] != count:
            self._places = (count, asyncio.Semaphore(count))
        async with self._places[1]:
            yield

    @contextlib.asynccontextmanager
    async def _in_between(self, word: str, vm: Vm, stuck: bool) -> AsyncIterator[None]:
        """Show the state in between; a try that was given up leaves the VM in the state that it had."""
        before, shown = vm.state, IN_BETWEEN[word]
        if self._options.transitional_states or stuck:
            await self._backend.set_state(vm, shown, "platform")
        try:
            yield
        finally:
            if vm.state == shown and not stuck:
                await self._backend.set_state(vm, before, "platform")
