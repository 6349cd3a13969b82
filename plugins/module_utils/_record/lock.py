# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Who works on a record right now: a kernel file lock, and a lease that the one who started the work renews."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import typing as t
from dataclasses import dataclass

from .. import _accept, _clock
from .._errors import LeaseLost, Refused, disk_errors
from . import files
from .controller import Presence

_PAUSE = 0.2
# Characters of what the holder says; all that it writes is read in one piece.
MOST_SAID = 300


class Lock:
    """Held by a process as long as it lives and works on the record; the kernel lets go of it when it dies."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "lock")
        self._handle: int | None = None  # while it is held here
        self._about: dict[str, t.Any] = {}

    def _open(self) -> int:
        with disk_errors(f"The lock {self._path} cannot be opened"):
            return os.open(self._path, os.O_CREAT | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def holder(self) -> dict[str, t.Any] | None:
        """What the living holder wrote about itself; None when nobody holds it."""
        if not os.path.exists(self._path):
            return None
        handle = self._open()
        try:
            if _try_lock(handle, fcntl.LOCK_SH):  # shared: two who look at once do not see each other
                return None
            with contextlib.suppress(ValueError):
                return json.loads(os.pread(handle, 4096, 0).decode("utf-8", "replace"))
            return {}
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def held(self, about: dict[str, t.Any], wait: float = 15.0) -> t.Iterator[None]:
        """Hold the lock. C(wait): seconds to wait for the former holder. C(about) is what others are shown."""
        handle = self._open()
        try:
            deadline = _clock.monotonic() + wait
            while not _try_lock(handle):
                if _clock.monotonic() > deadline:
                    raise Refused(
                        f"Another process works on this record: {describe(self.holder() or {})}. This step did nothing. Run the "
                        "same command again when that has ended; the playbook pilw.maintenance.ceph_maint_status shows it."
                    )
                _clock.sleep(_PAUSE)
            with disk_errors(f"The lock {self._path} cannot be written"):
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps(about).encode(), 0)
            self._handle, self._about = handle, about
            yield
        finally:
            self._handle = None
            os.close(handle)

    def say(self, text: str) -> None:
        """Let others see what the work that holds the lock waits for, or how far it is. Not worth a failure."""
        if self._handle is None:
            return
        with contextlib.suppress(OSError):
            # In one write, and never shorter than before: who reads meanwhile shall find it whole.
            size = os.fstat(self._handle).st_size
            os.pwrite(self._handle, json.dumps({**self._about, "says": text[:MOST_SAID]}).encode().ljust(size), 0)


@dataclass(frozen=True)
class Caller:
    """Who waits for a piece of work. By default nobody apart from it: it is shown nothing, and the work ends with its process."""

    check: t.Callable[[], None] = lambda: None  # raises when nothing more is to be sent
    say: t.Callable[[str], None] = lambda text: None  # how far the work is


FOREGROUND = Caller()


def _try_lock(handle: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def describe(holder: dict[str, t.Any]) -> str:
    return (
        f"{holder.get('actor', 'somebody')}, {holder.get('what', 'at work')} since {holder.get('since', 'a while')} "
        f"(process {holder.get('pid', 'unknown')})"
    )


class Lease:
    """A file whose content changes while someone still wants the work of a run.

    Measured by our own steady clock only. Renewals for another run do not count.
    """

    def __init__(self, folder: str, run: str, seconds: float, clock: t.Callable[[], float] = _clock.monotonic) -> None:
        self._path = os.path.join(folder, "lease")
        self._run = run
        self._seconds = seconds
        self._clock = clock
        self._content = files.text_in(self._path, os.O_NOFOLLOW)
        self._since = clock()

    def renew(self) -> None:
        unfinished = f"{self._path}.{os.getpid()}"
        with disk_errors(f"The lease {self._path} cannot be renewed", "So the work ends by itself; what was done is recorded."):
            handle = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(f"{self._run} {secrets.token_hex(8)}")
            os.replace(unfinished, self._path)

    def renewed(self) -> bool:
        """Whether someone renewed it since this object last looked."""
        content = files.text_in(self._path, os.O_NOFOLLOW)
        if content == self._content or not content.startswith(f"{self._run} "):
            return False
        self._content, self._since = content, self._clock()
        return True

    def alive(self) -> bool:
        return self.renewed() or self._clock() - self._since < self._seconds

    def check(self) -> None:
        """Raise LeaseLost unless somebody still wants the work."""
        if not self.alive():
            raise LeaseLost(
                "The ansible-playbook that started this work no longer asks for it (interrupted, killed or cut off). Nothing "
                "more was sent; the calls that were open have been recorded. Run the same command again: it goes on."
            )


def _at_work(holder: dict[str, t.Any], accepted: list[str], item: str) -> Refused:
    text = (
        f"Another run is at work on this maintenance: {describe(holder)}. Nothing was changed. Let it end, or "
        "take over: it then sends nothing more. To take over"
    )
    return _accept.refusal(text, accepted, [item])


@dataclass(frozen=True)
class Handover:
    """How a record passes from a former run to this one."""

    accepted: list[str]
    wait: float  # seconds for which a run is waited for whose lease is not renewed
    settle: float  # seconds for which the lock is watched, of a run that may be between two steps
    taken_over: bool = False  # by an earlier call
    look: t.Callable[[], Presence] = Presence  # what else is known of a run without a module at work
    waiting: t.Callable[[str], None] = lambda text: None  # is shown what is waited for
    sleep: t.Callable[[float], None] = _clock.sleep
    clock: t.Callable[[], float] = _clock.monotonic


def wait_for_former_run(lock: Lock, lease: Lease, former: dict[str, t.Any] | None, how: Handover) -> None:
    """Return when nobody works on the record any more.

    C(former) is the run that held the record last. A work whose lease is being renewed lives: refused, unless its C(takeover:) item is
    accepted. One whose lease is not renewed ends by itself, and is waited for. A run that did not say that it ended may be between two
    steps, so the lock is watched for a while; one that lives without a module at work is refused likewise, and one that is gone is not
    waited for.
    """
    look, clock = how.look, how.clock
    if former is None or (former["ended"] and lock.holder() is None and not look().about):
        return
    deadline, quiet_until = clock() + how.wait, clock() + how.settle
    item = _accept.TAKEOVER(former["token"])
    takeover = how.taken_over or item in how.accepted
    while True:
        holder = lock.holder()
        if holder is None:
            seen = look()
            if takeover or seen.gone:
                return
            if clock() >= quiet_until:
                if seen.about:
                    raise _at_work(seen.about, how.accepted, item)
                return
        elif not takeover and (lease.renewed() or clock() > deadline):
            raise _at_work(holder, how.accepted, item)
        elif takeover and clock() > deadline:
            raise Refused(
                f"The former run was told to stop and has not ended yet: {describe(holder)}. It sends nothing "
                "more, and waits for the answers to its open calls. This run changed nothing. Run the same command again in a minute."
            )
        else:
            quiet_until = clock() + how.settle
            how.waiting(f"the former run is to end: {describe(holder)}")
        how.sleep(_PAUSE)
