# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam between the HTTP face and what carries the VMs.

A backend knows hosts and VMs and changes their state. Keys, locks, refusals, gateways and spelling belong to the face and
the power desk, so that a backend with real guests need not repeat them.
"""

from __future__ import annotations

import abc
import dataclasses
import time
from typing import Any


class Refused(Exception):
    """The platform says no. `key` None is the gateway's envelope, `text` None an empty body."""

    def __init__(self, status: int, text: str | None, key: str | None = "Error") -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.key = key


def no_such_vm(uuid: str) -> Refused:
    """The platform's answer to an unknown VM: 400, not 404."""
    return Refused(400, "No such virtual machine exists: %s" % uuid)


@dataclasses.dataclass
class Vm:
    """One VM. `state` is the plain lower-case word; `row` holds the rest of its API row."""

    uuid: str
    owner: int
    location: str
    state: str
    row: dict[str, Any]
    traits: set[str] = dataclasses.field(default_factory=set)
    updated_at: str | None = None

    @property
    def name(self) -> str:
        """The tenant's name for it; not unique."""
        return str(self.row.get("name", ""))

    def copy(self) -> Vm:
        """A snapshot that the platform no longer changes."""
        return dataclasses.replace(self, row=dict(self.row), traits=set(self.traits))


@dataclasses.dataclass
class Host:
    """One hypervisor host."""

    uuid: str
    name: str
    location: str
    accepting: bool = True
    status: str = "AVAILABLE"


@dataclasses.dataclass(frozen=True)
class Event:
    """What really happened to a VM, whoever asked: cause is stop, force, start, itself, owner or platform."""

    time: float
    uuid: str
    state: str
    cause: str


class Backend(abc.ABC):
    """Hosts and VMs with a life of their own; `location` None means all locations."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._past: dict[str, list[tuple[float, str]]] = {}

    async def open(self) -> None:
        """Called once in the server's loop, before the first request."""

    async def close(self) -> None:
        """Called once after the last request: leave nothing running."""

    @abc.abstractmethod
    async def hosts(self, location: str | None) -> list[Host]:
        """The hosts, in a stable order."""

    @abc.abstractmethod
    async def flag_host(self, host: Host, accepting: bool) -> None:
        """Let a host take new workloads, or not."""

    @abc.abstractmethod
    async def vms(self, location: str | None) -> list[Vm]:
        """All VMs, deleted records included, in a stable order."""

    @abc.abstractmethod
    async def find(self, location: str | None, uuid: str) -> Vm | None:
        """One VM, or None."""

    @abc.abstractmethod
    async def add(self, vm: Vm) -> None:
        """A VM that was not there before."""

    @abc.abstractmethod
    async def stop(self, vm: Vm, force: bool) -> None:
        """Return when the VM is stopped or the try was given up; Refused when that is answered with an error."""

    @abc.abstractmethod
    async def start(self, vm: Vm) -> None:
        """Return when the VM runs or the try was given up; Refused when that is answered with an error."""

    @abc.abstractmethod
    async def set_state(self, vm: Vm, state: str, cause: str) -> None:
        """Make it so at once, past the API: an owner at the console, or a test."""

    def as_of(self, vm: Vm, seconds: float) -> Vm | None:
        """A VM as it was so many real seconds ago; None when it was not there yet."""
        moment = time.monotonic() - seconds
        for when, before in self._past.get(vm.uuid, []):
            if when > moment:
                return dataclasses.replace(vm, state=before) if before else None
        return vm

    def happened(self, vm: Vm, cause: str, before: str = "") -> None:
        """Note the state a VM has just reached, and the one it was in before; none for a new VM."""
        self._past.setdefault(vm.uuid, []).append((time.monotonic(), before))
        now = time.time()
        vm.updated_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        self.events.append(Event(now, vm.uuid, vm.state, cause))
