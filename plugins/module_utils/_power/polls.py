# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Polls: a list of running VMs, then the states of those that left it. Bounded in frequency and in size."""

from __future__ import annotations

import typing as t
from concurrent.futures import Future
from dataclasses import dataclass

from .. import _clock
from .._api.endpoints import DETAIL_TIMEOUT, LIST_TIMEOUT, Api, read_details
from .._api.model import DELETED, Vm
from .._errors import ApiError, AuthError, of_ours
from .settlement import States

# VMs whose own details one poll reads at most. More of them are settled by one complete list.
MAX_DETAILS = 20
# VMs missing from a complete list whose details are read: a list that misses more is not complete.
MOST_MISSING = 200
# Seconds of one poll after which no further detail is read.
DETAILS_SECONDS = 30.0
# Seconds that a part of a poll takes at most: a complete list, and details until the last one began.
POLL_SECONDS = LIST_TIMEOUT + DETAILS_SECONDS + DETAIL_TIMEOUT
# Lists are at least this many times their own duration apart, so that polling never loads the platform.
_LIST_SHARE = 10

Submit = t.Callable[..., Future]


@dataclass(frozen=True)
class Poll:
    """What one poll has shown. C(began): when its list of running VMs was requested."""

    running: t.Container[str]
    began: float
    states: States


class Polls:
    """One poll at a time, in threads of its own."""

    def __init__(self, api: Api, interval: float, clock: t.Callable[[], float]) -> None:
        self._api = api
        self._interval = interval
        self._clock = clock
        self.ok = True  # the last list was good
        self.last_good = self.next_at = self.allowed_at = self.begun_at = clock()
        self._complete_allowed_at = clock()
        self._unread = False  # details could not be read, so that a complete list is due
        self._read_at: dict[str, float] = {}
        self._listing: Future | None = None
        self._explaining: Future | None = None
        self._running: tuple[t.Container[str], float] = ((), 0.0)

    @property
    def pending(self) -> list[Future]:
        return [future for future in (self._listing, self._explaining) if future]

    def reset(self) -> None:
        """Drop a poll that has not ended: it was made for other VMs. The next one may follow at once."""
        self._listing = self._explaining = None
        self.last_good = self._clock()
        self.hurry(self.last_good)

    def begin(self, submit: Submit) -> None:
        """Request the running VMs."""
        self.begun_at = self._clock()
        self._listing = submit(self._list)

    def hurry(self, now: float) -> None:
        """Make the next poll as soon as the platform may be asked again."""
        self.next_at = min(self.next_at, max(now, self.allowed_at))

    def take(self, submit: Submit, unexplained: t.Callable[[t.Container[str]], list[str]], last: bool) -> Poll | None:
        """Carry the poll on, and return it once it is complete.

        Args:
            submit: runs a function in a thread.
            unexplained: the VMs whose states matter and are not shown by a list of running VMs.
            last: whether no further poll follows.

        Raises:
            AuthError: the platform refuses the list.
        """
        if self._listing is not None and self._listing.done():
            done, self._listing = self._listing, None
            if not self._take_list(done):
                return None
            uuids = unexplained(self._running[0])
            if not uuids:
                return Poll(*self._running, {})
            self._explaining = submit(self._states, uuids, last)
        if self._explaining is not None and self._explaining.done():
            done, self._explaining = self._explaining, None
            error = done.exception()
            if isinstance(error, ApiError):  # abandoned, so that no state is known
                return Poll(*self._running, {})
            if error is not None:
                raise of_ours(error)
            return Poll(*self._running, done.result())
        return None

    def _take_list(self, done: Future) -> bool:
        now, error = self._clock(), done.exception()
        if isinstance(error, AuthError):
            raise error
        if error is not None:
            if not isinstance(error, ApiError):
                raise of_ours(error)
            self.ok = False
            self.next_at = self.allowed_at = now + self._interval
            return False
        running, began, took = done.result()
        self.ok, self.last_good, self._running = True, now, (running, began)
        self.allowed_at = began + _LIST_SHARE * took
        self.next_at = max(began + self._interval, self.allowed_at)
        return True

    # In threads.

    def _list(self) -> tuple[t.Container[str], float, float]:
        """The running VMs, when the list was requested and how long it took."""
        began = self._clock()
        found = self._api.running_vms_now()
        return found.vms, began, self._clock() - began

    def _states(self, uuids: list[str], last: bool) -> dict[str, str]:
        """State by uuid; ``deleted`` for a VM that does not exist, no entry for one that could not be read."""
        found: dict[str, str] = {}
        if (len(uuids) > MAX_DETAILS or self._unread) and (last or self._clock() >= self._complete_allowed_at):
            found = self._from_complete_list(uuids)
        left = [uuid for uuid in uuids if uuid not in found]
        # Those not read for longest come first, so that many that stay in between do not hide the others.
        left.sort(key=lambda uuid: self._read_at.get(uuid, float("-inf")))
        chosen = left[:MAX_DETAILS]
        self._read_at.update(dict.fromkeys(chosen, self._clock()))
        details = read_details(chosen, self._api.vm_now, self._clock, DETAILS_SECONDS)
        self._unread = self._unread or any(isinstance(vm, ApiError) for vm in details.values())
        return {**found, **_states_in(details)}

    def _from_complete_list(self, uuids: list[str]) -> dict[str, str]:
        began = self._clock()
        try:
            vms = self._api.vms_now().vms
        except ApiError:
            return {}
        self._complete_allowed_at = began + _LIST_SHARE * (self._clock() - began)
        self._unread = False
        return {uuid: vms[uuid].state for uuid in uuids if uuid in vms}


def read_states(api: Api, uuids: list[str]) -> dict[str, str]:
    """Read the states of VMs from one complete list, and from the details of those missing from it.

    Returns:
        State by uuid; ``deleted`` for a VM that does not exist, no entry for one that could not be read.
    """
    vms = api.vms(rows_kept=False).vms
    found = {uuid: vms[uuid].state for uuid in uuids if uuid in vms}
    missing = [uuid for uuid in uuids if uuid not in found][:MOST_MISSING]
    return {**found, **_states_in(read_details(missing, api.vm, _clock.monotonic, DETAILS_SECONDS))}


def _states_in(details: dict[str, Vm | ApiError | None]) -> dict[str, str]:
    return {uuid: vm.state if vm else DELETED for uuid, vm in details.items() if not isinstance(vm, ApiError)}
