# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""A long wait in pieces: a module cannot show anything while it works, so it comes back to say what it waits for."""

from __future__ import annotations

import math
import os
import typing as t

from . import _clock
from ._errors import StillWaiting

# Of seconds that were added up.
_ROUNDING = 0.001


class Patience:
    """C(waited): seconds that earlier calls have waited. Each call waits for C(piece) seconds, or to the end when that is 0."""

    def __init__(self, waited: float = 0.0, piece: float = 0.0, clock: t.Callable[[], float] = _clock.monotonic) -> None:
        self.waited = waited
        self._piece = piece
        self._clock = clock
        self._began = clock()

    @property
    def passed(self) -> float:
        return self.waited + self._clock() - self._began

    @property
    def left(self) -> float:
        """Seconds that this call may still wait."""
        return self._began + self._piece - self._clock() if self._piece else math.inf

    def check(self, most: float, text: str, **carried: str) -> None:
        """Raise StillWaiting when this call has waited for long enough. C(carried): options for the next one."""
        if self.left < _ROUNDING:
            raise StillWaiting(f"After {self.passed:.0f} of at most {most:.0f} s: {text}", carried)


# What an action plugin tells its module of a wait stands in the environment of the task: an option would have to be documented.
VARIABLE = "PILW_MAINTENANCE_WAIT"


def text_of(wait: t.Mapping[str, float]) -> str:
    return ",".join(f"{name}={value}" for name, value in wait.items())


def from_environment() -> dict[str, float]:
    """Return what ``text_of`` has written, empty where no action plugin called the module."""
    return {name: float(value) for name, _equals, value in (part.partition("=") for part in os.environ.get(VARIABLE, "").split(",")) if value}


def of(params: dict[str, t.Any], clock: t.Callable[[], float] = _clock.monotonic) -> Patience:
    """Make one of what the action plugin told; without it the module waits to the end."""
    return Patience(params["_wait"].get("waited", 0.0), params["_wait"].get("piece", 0.0), clock)
