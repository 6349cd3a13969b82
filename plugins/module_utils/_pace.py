# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Time and threads, asked for in one place, so that a test can bring its own and let hours pass in a moment."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t


class Pace:
    """The machine's own."""

    def monotonic(self) -> float:
        """Seconds on a clock that no one sets."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, as far as this machine knows."""
        return time.time()

    def boot(self) -> str:
        """Which start of this machine the steady clock counts from; empty where that cannot be read."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
                return stream.read().strip()
        except OSError:
            return ""

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def workers(self, count: int) -> concurrent.futures.Executor:
        """At most C(count) calls at once, each in a thread."""
        return concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="pilw")

    def wait(self, futures: t.Iterable[concurrent.futures.Future], timeout: float) -> None:
        """Until one of them is done, at most C(timeout) seconds."""
        concurrent.futures.wait(futures, timeout=timeout, return_when=concurrent.futures.FIRST_COMPLETED)


pace = Pace()


# Functions, so that they can be defaults of parameters and still follow a pace that is put in place later.


def monotonic() -> float:
    return pace.monotonic()


def wall() -> float:
    return pace.wall()


def sleep(seconds: float) -> None:
    pace.sleep(seconds)
