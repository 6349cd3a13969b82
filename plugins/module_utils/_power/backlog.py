# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Calls that the platform may still hold in a queue of its own. Pure: times are seconds of any steady clock, handed in.

A platform may work on a few calls at once while a gateway answers 504 for those that wait, or it may answer each call at once. Then
nothing shows when a guest was asked to shut down. What is known is the order of the calls: a platform that finished a call has begun
all earlier ones, and the first call that is not finished is being worked on.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

# Seconds for which the platform itself is assumed to wait for a guest at most.
GIVEN_UP_AFTER = 300.0


@dataclass
class _Call:
    number: int
    since: float  # when it was sent, and then when it was answered
    reached_at: float | None = None  # when it was known to be worked on


@dataclass
class Backlog:
    """Calls without a final answer, in the order in which they were sent.

    Args:
        place_seconds: how long a call without a final answer counts against the limit of such calls.
        timeout: how long a VM may take for its own.
    """

    place_seconds: float
    timeout: float
    last_done: float = float("-inf")  # when a VM whose call had no final answer was last seen in its wanted state
    workers: int = 1  # the platform is known to work on so many calls at once
    _open: dict[str, _Call] = field(default_factory=dict, init=False)  # without any answer
    _waiting: dict[str, _Call] = field(default_factory=dict, init=False)  # answered, and not finally
    _numbers: int = field(default=0, init=False)
    _usual: float = field(default=0.0, init=False)  # seconds until an answer shows a VM in its wanted state; 0 if none did

    def sent(self, uuid: str, now: float) -> None:
        """A call is sent."""
        self.forget(uuid)
        self._numbers += 1
        nothing_ahead = len(self._open) + len(self._waiting) < self.workers
        self._open[uuid] = _Call(self._numbers, now, now if nothing_ahead else None)

    def answered(self, uuid: str, now: float, taken: bool, done: bool, timed_out: bool) -> None:
        """A call is answered.

        Args:
            uuid: the VM.
            now: the time.
            taken: whether the platform may have taken it.
            done: whether the answer shows the VM in its wanted state.
            timed_out: whether a gateway or this client gave up, and not the platform.
        """
        call = self._open.pop(uuid, None)
        if call is None or not taken:
            return
        took = now - call.since
        # An answer that comes much sooner than the platform needs for its work is not the end of that work.
        worked_on = not timed_out and 2 * took >= self._usual
        if done and worked_on:
            self._usual = 0.9 * self._usual + 0.1 * took if self._usual else took
        if worked_on and self._usual:
            self.workers = max(self.workers, 1 + sum(1 for other in self._open.values() if other.number < call.number))
            self._reach_before(call.number, now)
        elif not done:
            call.since = now
            self._waiting[uuid] = call

    def forget(self, uuid: str) -> None:
        """What was sent to a VM before does not count any more."""
        self._open.pop(uuid, None)
        self._waiting.pop(uuid, None)

    def listed(self, done: t.Callable[[str], bool], now: float) -> None:
        """Take in which VMs are in their wanted state."""
        for uuid in [uuid for uuid in self._waiting if done(uuid)]:
            call = self._waiting.pop(uuid)
            self.last_done = now
            self._reach_before(call.number, now)
        ahead = 0
        for call in sorted([*self._open.values(), *self._waiting.values()], key=lambda call: call.number):
            if call.reached_at is None and ahead < self.workers:
                call.reached_at = now
            if call.reached_at is None or now - call.reached_at < self.held_for:
                ahead += 1

    def queued(self, now: float) -> int:
        """How many VMs may be waiting for their turn."""
        return sum(1 for call in self._waiting.values() if call.reached_at is None and now - call.since < self.place_seconds)

    @property
    def held_for(self) -> float:
        """Seconds for which the platform holds one call at most."""
        return max(self.timeout, GIVEN_UP_AFTER)

    def idle(self, uuid: str, now: float) -> bool:
        """Whether a VM waits for its turn, and nothing has been finished for longer than the platform holds one call."""
        call = self._waiting.get(uuid)
        return call is not None and now - max(call.since, self.last_done) >= self.held_for

    def reached_at(self, uuid: str) -> float | None:
        """When the platform was known to work on a VM; None for one that may be waiting for its turn."""
        call = self._waiting.get(uuid)
        return float("-inf") if call is None else call.reached_at

    def _reach_before(self, number: int, now: float) -> None:
        for call in [*self._open.values(), *self._waiting.values()]:
            if call.number < number and call.reached_at is None:
                call.reached_at = now
