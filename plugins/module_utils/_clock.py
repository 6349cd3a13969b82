# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Time and threads, asked for in one place, so that a test can bring its own and let hours pass in a moment."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import math
import queue
import threading
import time
import typing as t


class DaemonThreads(concurrent.futures.Executor):
    """Runs calls in threads that do not keep the process alive: with ThreadPoolExecutor its end waits for a call that hangs.

    Args:
        most: calls that run at once. Further ones wait for their turn.
    """

    def __init__(self, most: float = math.inf) -> None:
        self._most = most
        self._calls: queue.SimpleQueue[t.Any] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, call: t.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any) -> concurrent.futures.Future:
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name="pilw", daemon=True)
            thread.start()  # before the call is queued: one that is reported as not sent must not be sent later
            self._threads.append(thread)
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._calls.put((future, functools.partial(call, *args, **kwargs)))
        return future

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            self._run(*work)
            del work

    def _run(self, future: concurrent.futures.Future, call: t.Callable[[], t.Any]) -> None:
        end: t.Callable[[t.Any], None]
        try:
            end, value = future.set_result, call()
        except BaseException as exc:
            end, value = future.set_exception, exc
        self._idle.release()
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # abandoned, so that it has ended already
            end(value)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for _each in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else []:
            thread.join()


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

    def workers(self, most: float = math.inf) -> concurrent.futures.Executor:
        """Return an executor that runs at most C(most) calls at once, each in a thread."""
        return DaemonThreads(most)

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
