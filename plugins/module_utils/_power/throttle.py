# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""How many calls may be open at once, learned from what the platform takes and refuses. Pure: times are handed in."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

Call = t.TypeVar("Call", bound=t.Hashable)

# What one call refused takes from the limit, and one taken gives to it: up to a third may be refused by chance, and
# nothing slows down. Where calls are refused because they are too many, the limit settles at what the platform takes.
_REFUSED, _TAKEN = 1.0, 0.5
# Above the most the limit may be by this share of it, which is spent before anything slows down: else each run of bad luck costs places.
_SAVED = 4
# The limit is never less than this share of the most: a refused call costs the platform little, a crawl costs the night.
_LEAST = 8
# Seconds. A call that is open for longer than refusals take, and this, was taken.
_SOON = 0.1
# Seconds, doubled each time: nothing is sent for so long when as many as may be open were refused in a row.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


@dataclass
class Throttle(t.Generic[Call]):
    """C(most): calls open at once when all is well."""

    most: int
    limit: float = field(init=False)  # with what is saved above the most
    _young: dict[Call, float] = field(default_factory=dict, init=False)  # those that may be refused yet, and since when they are open
    _older: dict[Call, float] = field(default_factory=dict, init=False)  # those that counted as taken before their answer
    _refused_within: float = field(default=_SOON, init=False)
    _in_a_row: int = field(default=0, init=False)
    _pause: float = field(init=False)
    _silent_until: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.limit, self._pause = self._full, FIRST_PAUSE

    @property
    def _full(self) -> float:
        return float(self.most + self.most // _SAVED)

    @property
    def _places(self) -> int:
        return min(self.most, int(self.limit))

    def sent(self, call: Call, now: float) -> None:
        """A call begins."""
        self._young[call] = now

    def taken(self, call: Call) -> None:
        """It was answered, and not with a refusal of the kind below."""
        self._older.pop(call, None)
        if self._young.pop(call, None) is not None:
            self.limit = min(self._full, self.limit + _TAKEN)
            self._in_a_row, self._pause = 0, FIRST_PAUSE

    def refused(self, call: Call, now: float, retry_after: float | None) -> None:
        """It was refused as too much: 429 or 503."""
        if call in self._older:
            self.limit -= _TAKEN
        since = self._young.pop(call, self._older.pop(call, None))
        if since is not None:
            self._refused_within = max(self._refused_within, 2 * (now - since))
        self.limit = max(1.0, float(self.most // _LEAST), self.limit - _REFUSED)
        self._in_a_row += 1
        if self._in_a_row >= self._places:
            self._silent_until = max(self._silent_until, now + self._pause)
            self._in_a_row, self._pause = 0, min(LONGEST_PAUSE, 2 * self._pause)
        if retry_after:
            self._silent_until = max(self._silent_until, now + retry_after)

    def lost(self, call: Call) -> None:
        """It ended in a way that tells nothing of how much the platform takes."""
        self._young.pop(call, None)
        self._older.pop(call, None)

    def allowed(self, now: float) -> int:
        """Calls that may be open now."""
        for call, since in [(call, since) for call, since in self._young.items() if now - since > self._refused_within]:
            self.taken(call)
            self._older[call] = since
        return 0 if now < self._silent_until else self._places
