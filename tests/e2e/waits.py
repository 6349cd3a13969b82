# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting with a deadline that says what it waited for."""

from __future__ import annotations

import time
import typing as t


def wait_for(what: str, reason: t.Callable[[], str], limit: float, pause: float = 0.2) -> float:
    """Ask until `reason` has none left (an empty text), and return the seconds it took; TimeoutError with the last one."""
    begun = time.monotonic()
    while True:
        why = reason()
        took = time.monotonic() - begun
        if not why:
            return took
        if took > limit:
            raise TimeoutError(f"{what}: not within {limit:.0f} s: {why}")
        time.sleep(pause)
