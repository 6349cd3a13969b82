# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual time: hours pass in milliseconds, threads and processes take turns in one fixed order, and any of them can be killed.

What waits is a greenlet; what moves the clock is the next thing that is due.
"""

from __future__ import annotations

import heapq
import itertools
import math
import typing as t
from concurrent.futures import Executor, Future

from greenlet import getcurrent, greenlet

from ansible_collections.pilw.maintenance.plugins.module_utils._clock import Pace

EPOCH = 1_800_000_000.0


class Killed(BaseException):
    """SIGKILL: nothing of the process runs any more. (What Python still does on the way out has no effect outside.)"""


class Process:
    """Some greenlets that live and die together. C(root): the process that asked for its work, or itself."""

    def __init__(self, name: str, root: Process | None = None, actor: str = "ann", may_force: bool = False) -> None:
        self.name = name
        self.actor = root.actor if root else actor
        self.root = root or self
        self.may_force = may_force
        self.alive = True
        self.greenlets: dict[greenlet, None] = {}  # in the order of their start
        self.on_end: list[t.Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<{self.name}{'' if self.alive else ', dead'}>"


class _Thread(greenlet):
    process: Process
    ticket: object = None


class Virtual(Pace):
    """In the place of the machine's own time and threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jumped = 0.0
        self._due: list[tuple[float, int, t.Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._hub = getcurrent()

    # What the code under test asks for.

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now + self.jumped

    def sleep(self, seconds: float) -> None:
        thread = self._thread()
        self.later(max(0.0, seconds), self._resumer(thread))
        self._leave(thread)

    def workers(self, most: float = math.inf) -> Executor:
        return _Workers(self, most, self._thread().process)

    def wait(self, futures: t.Iterable[Future], timeout: float) -> None:
        thread, futures = self._thread(), list(futures)
        if any(future.done() for future in futures):
            return
        resume = self._resumer(thread)
        for future in futures:
            future.add_done_callback(lambda _done: self.later(0.0, resume))
        self.later(timeout, resume)
        self._leave(thread)

    # What the test asks for.

    @property
    def process(self) -> Process | None:
        """Whose code runs now."""
        thread = getcurrent()
        return thread.process if isinstance(thread, _Thread) else None

    def later(self, seconds: float, call: t.Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), call))

    def start(self, process: Process, call: t.Callable[[], t.Any]) -> Future:
        """Run something as a thread of a process, from now on."""
        future: Future = Future()

        def body() -> None:
            try:
                result = call()
            except Killed:
                pass
            except BaseException as exc:
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done() and process.alive:
                    future.set_result(result)
            finally:
                process.greenlets.pop(thread, None)

        thread = _Thread(body, self._hub)
        thread.process = process
        process.greenlets[thread] = None
        self.later(0.0, lambda: thread.switch() if process.alive else None)
        return future

    def kill(self, process: Process) -> None:
        """From anywhere; when it hits the caller itself, this does not return."""
        if not process.alive:
            return
        process.alive = False
        me, mine = getcurrent(), False
        for thread in list(process.greenlets):
            if thread is me:
                mine = True
            elif thread:
                self._throw(thread)
        for call in process.on_end:
            call()
        if mine:
            raise Killed

    def run(self, done: t.Callable[[], bool], limit: float = 10 * 86400.0) -> None:
        """Let things happen until it is done, in the order in which they are due."""
        assert getcurrent() is self._hub
        end = self.now + limit
        while not done():
            assert self._due, "everything waits, and nothing will ever happen"
            moment, _number, call = heapq.heappop(self._due)
            self.now = max(self.now, moment)
            assert self.now <= end, "it does not end"
            call()

    def pass_time(self, seconds: float) -> None:
        end: list[bool] = []
        self.later(seconds, lambda: end.append(True))
        self.run(lambda: bool(end))

    # Parts.

    def _thread(self) -> _Thread:
        thread = getcurrent()
        assert isinstance(thread, _Thread), "only what was started here can wait here"
        if not thread.process.alive:
            raise Killed
        return thread

    def _throw(self, thread: greenlet) -> None:
        # Under the hub, so that control comes back here when it has ended.
        thread.parent = getcurrent()
        thread.throw(Killed)

    @staticmethod
    def _resumer(thread: _Thread) -> t.Callable[[], None]:
        thread.ticket = ticket = object()

        def resume() -> None:
            if thread.ticket is ticket and thread and thread.process.alive:
                thread.ticket = None
                thread.switch()

        return resume

    def _leave(self, thread: _Thread) -> None:
        self._hub.switch()
        if not thread.process.alive:
            raise Killed


class _Workers(Executor):
    """Threads of a process."""

    def __init__(self, virtual: Virtual, most: float, process: Process) -> None:
        self._virtual = virtual
        self._most = most
        self._process = process
        self._futures: list[Future] = []

    def submit(self, call: t.Callable, /, *args: t.Any, **more: t.Any) -> Future:
        self._futures = [future for future in self._futures if not future.done()]
        assert len(self._futures) < self._most, "more at once than there are threads"
        future = self._virtual.start(self._process, lambda: call(*args, **more))
        self._futures.append(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        while wait and self._process.alive and any(not future.done() for future in self._futures):
            self._virtual.wait([future for future in self._futures if not future.done()], 60.0)
