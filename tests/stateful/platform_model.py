# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform in virtual time, with faults that a test orders, and a journal of all that was asked.

It stands in the place of the HTTP client, so everything above that runs as it is. What HTTP itself can do wrong is ordered from
the simulated platform of tests/simulator.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, NotFound
from stateful.virtual_time import Process, Virtual

FORCE, LIST = 1.0, 0.5  # seconds that they take
DEAF_HOLD = 60.0  # seconds that the stop of a deaf VM is held
HOLDING = ("running", "creating", "paused", "stopping", "starting")  # states that keep the storage open

# How an answer goes wrong. The part before the dash: whether what was asked for takes place.
WRITE_FAULTS = (
    "undone-500", "undone-502", "undone-cut", "undone-unsent", "undone-429", "undone-429-later", "undone-503", "undone-409",
    "undone-403", "undone-400", "undone-hang", "undone-empty",
    "done-500", "done-504", "done-cut", "done-hang", "done-empty",
)  # fmt: skip
READ_FAULTS = ("undone-500", "undone-hang", "undone-unsent", "short", "empty")


@dataclass
class Vm:
    uuid: str
    owner: str
    state: str
    deaf: bool = False  # ignores a graceful stop
    idle: bool = False  # every call on it is answered well and does nothing
    rises: int = 0  # so often it starts again after it was stopped
    dead_starts: int = 0  # so many starts of it fail
    busy_until: float = 0.0
    starting: bool = False  # a start of ours is at work
    reached_at: float = 0.0  # when the platform begins with the last graceful stop
    up_since: float = 0.0  # as far as the lists could show
    down_since: float = 0.0
    left_down: bool = False  # by its owner, after whatever we did
    lag: float = 0.0  # so many seconds later lists show what it is
    past: list[tuple[float, str]] = field(default_factory=list)  # until when it was what


@dataclass
class Host:
    uuid: str
    accepting: bool
    status: str = ""
    touched: bool = False  # by somebody else


@dataclass
class Call:
    """A write that has arrived. C(ended): when it was answered; None while it is open."""

    at: float
    action: str
    uuid: str
    process: Process | None
    ended: float | None = None
    answer: str = ""


@dataclass
class Snapshot:
    """What a list tells that leaves nothing out: the truth, of some VMs as it was a few seconds before."""

    began: float
    at: float
    whole: bool
    states: dict[str, str]
    process: Process | None


@dataclass
class World:
    time: Virtual
    vms: dict[str, Vm] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    lists: list[Snapshot] = field(default_factory=list)
    write_faults: list[str] = field(default_factory=list)  # of the next writes
    read_faults: list[str] = field(default_factory=list)  # of the next lists
    away_until: float = 0.0
    revoked: bool = False
    frozen: set[str] = field(default_factory=set)
    stop_seconds: float = 22.0
    start_seconds: float = 4.0
    passing: bool = False  # VMs show a state in between while the platform works on them
    at_once: bool = False  # power calls are answered at once
    queue: int = 0  # power calls worked on at once; 0: all
    gateway: float = 0.0  # seconds after which an answer is a 504; 0: never
    flags_shown: bool = True  # the host list tells whether a host takes workloads
    drops_deleted: bool = False  # lists do not show deleted VMs
    came_up: int = 0  # how often a VM came up, and it was not us
    lost_reads: int = 0
    known: t.Callable[[], set[str]] = set  # what the record has seen: only that can be missed in a list
    ever_ran: set[str] = field(default_factory=set)  # seen running in a list before safe
    before_safe: t.Callable[[], bool] = lambda: True
    passed: t.Callable[[], None] = lambda: None  # a point at which a kill may come
    on_write: t.Callable[[Call], None] = lambda call: None
    _free_at: list[float] = field(default_factory=list)  # when each place of the queue is free

    def __hash__(self) -> int:
        return id(self)

    # Owners. A VM that the platform has a start at work on is locked for them too.

    def owner_starts(self, uuid: str) -> None:
        if self.vms[uuid].state == "stopped" and not self.vms[uuid].starting:
            self.came_up += 1
            self._up(self.vms[uuid])

    def owner_stops(self, uuid: str) -> None:
        if self.vms[uuid].state == "running" and not self.vms[uuid].starting:
            vm = self.vms[uuid]
            self.becomes(vm, "stopped")
            vm.left_down, vm.down_since = True, self.time.now

    def owner_deletes(self, uuid: str) -> None:
        self.becomes(self.vms[uuid], "deleted")

    def owner_creates(self, ripe_in: float) -> str:
        vm = Vm(f"new-{len(self.vms)}", "9", "creating")
        self.vms[vm.uuid] = vm
        self.ripens(vm, ripe_in)
        return vm.uuid

    def ripens(self, vm: Vm, ripe_in: float) -> None:
        def ripen() -> None:
            if vm.state == "creating":
                self.came_up += 1
                self._up(vm)

        self.time.later(ripe_in, ripen)

    def becomes(self, vm: Vm, state: str) -> None:
        vm.past.append((self.time.now, vm.state))
        vm.state = state

    def shown(self, vm: Vm) -> str:
        """What a list shows it to be."""
        then = self.time.now - vm.lag
        return next((state for until, state in vm.past if until > then), vm.state)

    def _up(self, vm: Vm) -> None:
        self.becomes(vm, "running")
        vm.left_down = False
        if self.lists and self.lists[-1].at >= vm.down_since + vm.lag:  # otherwise nobody can know that it was down
            vm.up_since = self.time.now

    # The client.

    def get(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Any:
        self.passed()
        fault = self.read_faults.pop(0) if self.read_faults and path.endswith("vm/all") else ""
        if self.time.now < self.away_until or fault.startswith("undone"):
            return self._lost_read(path, fault, timeout, once)
        self.time.sleep(0.1)
        self._check_key("GET", path)
        if path.endswith("config/locations"):
            return [{"slug": "one", "display_name": "One", "is_default": True}]
        if path.endswith("host/list"):
            return [
                {"uuid": host.uuid, "name": host.uuid, "status": host.status or None}
                | ({"is_accepting_workloads": host.accepting} if self.flags_shown else {})
                for host in self.hosts.values()
            ]
        if path.endswith("admin/vm"):
            vm = self.vms.get((params or {})["uuid"])
            if vm is None or vm.state == "deleted":
                raise NotFound("GET", path, status=400, detail="No such virtual machine exists")
            return self._row(vm)
        return self._list((params or {}).get("status"), fault)

    def rows(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Iterator[t.Any]:
        return iter(self.get(path, params, timeout, once))

    def send(self, method: str, path: str, form: dict[str, str], timeout: float) -> t.Any:
        self.passed()
        action = path.rsplit("/", 1)[1]
        if action == "host_flags":
            action = "open" if form["is_accepting_workloads"] == "1" else "close"
        call = Call(self.time.now, "force" if form.get("force") else action, form["uuid"], self.time.process)
        self.calls.append(call)
        self.on_write(call)
        try:
            answer = self._answer(call, method, path, timeout)
            call.answer = "200"
        except ApiError as exc:
            call.answer = str(exc.status or ("timeout" if exc.timed_out else "cut" if exc.sent else "unsent"))
            raise
        finally:
            call.ended = self.time.now
        self.passed()
        return answer

    def _lost_read(self, path: str, fault: str, timeout: float, once: bool) -> t.NoReturn:
        # The real client repeats a read a few times by itself.
        self.lost_reads += 1
        self.time.sleep(timeout if fault == "undone-hang" else (1.0 if once else 40.0))
        if fault == "undone-hang":
            raise ApiError("GET", path, detail=f"nothing came within {timeout:g} s", timed_out=True)
        if fault == "undone-unsent":
            raise ApiError("GET", path, detail="connection refused", sent=False)
        raise ApiError("GET", path, status=502, detail="bad gateway")

    def _check_key(self, method: str, path: str) -> None:
        if self.revoked:
            raise AuthError(method, path, status=403, detail="Invalid authentication credentials")

    @staticmethod
    def _row(vm: Vm, state: str = "") -> dict[str, t.Any]:
        return {"uuid": vm.uuid, "user_id": vm.owner, "name": f"name of {vm.uuid}", "status": state or vm.state}

    def _list(self, status: str | None, fault: str) -> list[dict[str, t.Any]]:
        began = self.time.now
        self.time.sleep(LIST)
        states = {vm.uuid: self.shown(vm) for vm in self.vms.values()}
        self.lists.append(Snapshot(began, self.time.now, status is None, states, self.time.process))
        shown = [vm for vm in self.vms.values() if status in (None, states[vm.uuid])]
        if self.drops_deleted:
            shown = [vm for vm in shown if states[vm.uuid] != "deleted"]
        if fault:
            # Only what an earlier list has shown can be missed by anyone.
            known = self.known()
            hidden = [vm for vm in shown if vm.uuid in known]
            hidden = hidden[::2] if fault == "short" else hidden
            shown = [vm for vm in shown if vm not in hidden]
        if self.before_safe():
            self.ever_ran |= {vm.uuid for vm in shown if states[vm.uuid] == "running"}
        return [self._row(vm, states[vm.uuid]) for vm in shown]

    # Writes.

    def _answer(self, call: Call, method: str, path: str, timeout: float) -> t.Any:
        fault = self.write_faults.pop(0) if self.write_faults else ""
        if self.time.now < self.away_until:
            fault = "undone-502"
        happens, _dash, how = fault.partition("-")
        if how == "unsent":
            self.time.sleep(3.0)
            raise ApiError(method, path, detail="connection refused", sent=False)
        if happens == "undone":
            return self._spoiled(how, method, path, timeout)
        self._check_key(method, path)
        took = self._act(call, method, path)
        if how:
            self.time.sleep(min(took, 1.0))
            return self._spoiled(how, method, path, timeout)
        power = call.action not in ("open", "close")
        if power and self.at_once:
            took = min(took, 0.1)
        elif power and self.gateway and took > self.gateway:
            self.time.sleep(self.gateway)
            return self._spoiled("504", method, path, timeout)
        if took > timeout:
            return self._spoiled("hang", method, path, timeout)
        self.time.sleep(took)
        if call.action in ("open", "close"):
            return {}
        vm = self.vms[call.uuid]
        if call.action == "start" and vm.state == "stopped" and not vm.idle and took and not self.at_once:
            raise ApiError(method, path, status=500, detail="Unable to start virtual machine")
        return self._row(vm)

    def _spoiled(self, how: str, method: str, path: str, timeout: float) -> t.Any:
        if how == "hang":
            self.time.sleep(timeout)
            raise ApiError(method, path, detail=f"nothing came within {timeout:g} s", timed_out=True)
        self.time.sleep(0.2)
        if how == "empty":
            return None
        if how == "cut":
            raise ApiError(method, path, detail="connection lost")
        if how == "429-later":
            raise ApiError(method, path, status=429, detail="rate limit", retry_after=60.0)
        kind = AuthError if how == "403" else ApiError
        raise kind(method, path, status=int(how), detail="words of the platform")

    def _act(self, call: Call, method: str, path: str) -> float:
        """Begin what was asked for. Returns how long the answer takes."""
        if call.action in ("open", "close"):
            self.hosts[call.uuid].accepting = call.action == "open"
            return 0.1
        vm = self.vms.get(call.uuid)
        if vm is None or vm.state == "deleted":
            raise NotFound(method, path, status=400, detail="No such virtual machine exists")
        if vm.owner in self.frozen:
            raise AuthError(method, path, status=403, detail="Billing account is frozen")
        if vm.busy_until > self.time.now and not (call.action == "force" and not vm.starting):
            raise ApiError(method, path, status=409, detail="Server is locked")
        if vm.idle:
            return 1.0
        if call.action == "start":
            return self._begin(vm, self.start_seconds, "running") if vm.state == "stopped" else 0.0
        if vm.state not in ("running", "paused", "stopping"):
            return 0.0
        if call.action == "force":
            return self._begin(vm, FORCE, "stopped")
        if vm.deaf:
            return self._begin(vm, DEAF_HOLD, "stopped", in_vain=True)
        return self._begin(vm, self.stop_seconds, "stopped")

    def _wait(self, seconds: float) -> float:
        """How long it waits for a place of the queue."""
        if not self.queue:
            return 0.0
        now = self.time.now
        busy = sorted(moment for moment in self._free_at if moment > now)
        begin = busy[-self.queue] if len(busy) >= self.queue else now
        self._free_at = [*busy, begin + seconds]
        return begin - now

    def _begin(self, vm: Vm, seconds: float, state: str, in_vain: bool = False) -> float:
        """The platform is at it now, or once a place of its queue is free, whoever still listens."""
        wait, between = self._wait(seconds), "starting" if state == "running" else "stopping"
        vm.busy_until, vm.starting = self.time.now + wait + seconds, state == "running"
        if seconds == self.stop_seconds and not in_vain:
            vm.reached_at = self.time.now + wait
        before = vm.state

        def begin() -> None:
            if vm.state == before:
                self.becomes(vm, between)

        if self.passing:
            self.time.later(wait, begin)
        seconds += wait

        def end() -> None:
            vm.starting = False
            if vm.state == "deleted":
                return
            if in_vain or (state == "running" and vm.dead_starts):
                vm.dead_starts -= 0 if in_vain else 1
                if vm.state == between:
                    self.becomes(vm, before)
                return
            if state == "running":
                self._up(vm)
                return
            self.becomes(vm, state)
            vm.down_since = self.time.now
            if vm.rises:
                vm.rises -= 1
                self.time.later(10.0, lambda: self.owner_starts(vm.uuid))

        self.time.later(seconds, end)
        return seconds
