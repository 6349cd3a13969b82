# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Writes the flag of many hosts: read back, tried again, under a lease. One host's failure is its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import _clock
from .._api.endpoints import Api
from .._api.model import Host
from .._errors import ApiError, AuthError, PilwError, of_ours
from .._record.lock import FOREGROUND, Caller
from .._record.record import Record

# Tries again of the hosts whose flag was not taken, the growing pause before them, and the end of it all, in seconds.
RETRIES = 4
PAUSE = 2.0
LIMIT = 600.0
# Writes open at once, so that a few hosts that hang do not hold up the others.
POOL = 8


def moved_away(host: Host) -> str:
    """Why a host gets no write."""
    return f"the platform has it as {host.state}"


@dataclass
class Flags:
    """Brings hosts to C(accepting)."""

    api: Api
    accepting: bool
    record: Record | None = None
    run: str = ""
    caller: Caller = FOREGROUND
    errors: dict[str, ApiError | str] = field(default_factory=dict)  # by uuid, of the hosts that are not done
    tried: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)  # answered as opened, not read back yet and not recorded

    def write(self, hosts: list[Host]) -> dict[str, str]:
        """Write, read back, and write again what was not taken. Returns what failed in the end, by uuid."""
        left, deadline = hosts, _clock.monotonic() + LIMIT
        self._say(len(hosts))
        for attempt in range(1 + RETRIES):
            for first in range(0, len(left), POOL):
                if _clock.monotonic() > deadline:
                    break
                self._write_some(left[first : first + POOL])
                self._say(len(hosts))
            if left:
                self._read_back()
            again = {uuid: error for uuid, error in self.errors.items() if isinstance(error, ApiError) and error.worth_repeating}
            left = [host for host in hosts if host.uuid in again]
            pause = max([PAUSE * 2**attempt, *(error.retry_after or 0.0 for error in again.values())])
            if not left or attempt == RETRIES or _clock.monotonic() + pause > deadline:
                break
            self._wait(pause)
        untried = f"the platform was too slow: not tried within {LIMIT:g} s"
        told = {host.uuid: str(self.errors.get(host.uuid, "" if host.uuid in self.tried else untried)) for host in hosts}
        return {uuid: text for uuid, text in told.items() if text}

    def _say(self, total: int) -> None:
        begin, done = ("Opening", "open") if self.accepting else ("Closing", "closed")
        again = f"; {len(self.errors)} did not take it so far" if self.errors else ""
        self.caller.say(f"{begin} the hosts: {len(self.tried) - len(self.errors)} of {total} are {done}{again}")

    def _write_some(self, hosts: list[Host]) -> None:
        self.caller.check()
        if self.record and not self.accepting:
            for host in hosts:
                self.record.closing_host(self.run, host.uuid)
        workers = _clock.pace.workers(len(hosts))
        try:
            calls = {host.uuid: workers.submit(self.api.set_accepting, host.uuid, self.accepting) for host in hosts}
            while not all(call.done() for call in calls.values()):
                _clock.pace.wait([call for call in calls.values() if not call.done()], 1.0)
        finally:
            workers.shutdown()
        failure = None
        for host in hosts:
            error = calls[host.uuid].exception()
            if error is not None and not isinstance(error, ApiError):
                failure = of_ours(error)  # once the others are written down
                continue
            self.tried.add(host.uuid)
            if error is None and self.accepting:
                # Open by an answer alone, which can be wrong; killed now, the next run would not look at it again.
                self.errors.pop(host.uuid, None)
                self.unseen.add(host.uuid)
            else:
                # A lost answer leaves open what the flag is now; to call it open would forget a host that is closed.
                self._settle(host.uuid, None if error else self.accepting, error)
        if failure:
            raise failure
        if any(isinstance(self.errors.get(host.uuid), AuthError) for host in hosts):
            self._read_back()  # one host's refusal, or the key's?

    def _read_back(self) -> None:
        """What the host list shows counts more than the answers to the writes, as far as it shows the flag."""
        try:
            shown = self.api.hosts().hosts
        except AuthError:
            raise
        except ApiError as exc:
            if self.accepting:
                for uuid in sorted(self.unseen):  # named, and looked at by the next run; no reason to leave VMs down
                    self._settle(uuid, None, exc)
                return
            raise PilwError(
                f"The host flags were sent and cannot be read back: {exc}. What was sent is recorded. Run the same command again: "
                "it goes on."
            ) from exc
        for uuid in sorted(self.tried):
            host, error = shown.get(uuid), self.errors.get(uuid)
            if host is None:
                continue
            if host.untouchable:
                self._settle(uuid, None, moved_away(host))
            elif host.accepting is self.accepting:
                self._settle(uuid, host.accepting, None)
            elif host.accepting is not None:
                detail = "the platform took it, and the host list still shows the flag as it was"
                untaken = ApiError("PUT", "base-operator/admin/host_flags", status=200, detail=detail)
                self._settle(uuid, host.accepting, error or untaken)
        self._take_the_answers()

    def _take_the_answers(self) -> None:
        """Where a good list does not show the flag, they must do."""
        for uuid in sorted(self.unseen):
            self._settle(uuid, True, None)

    def _settle(self, uuid: str, now: bool | None, error: ApiError | str | None) -> None:
        self.unseen.discard(uuid)
        if error is None:
            self.errors.pop(uuid, None)
        else:
            self.errors[uuid] = error
        if self.record:
            self.record.host_written(self.run, uuid, now, str(error) if error else None)

    def _wait(self, seconds: float) -> None:
        until = _clock.monotonic() + seconds
        while _clock.monotonic() < until:
            self.caller.check()
            _clock.sleep(min(0.5, max(0.01, until - _clock.monotonic())))
