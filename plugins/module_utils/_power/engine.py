# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The engine: brings many VMs to one power state with bounded concurrency. The loop that sends and writes down.

What to do is decided in _batch, and polls are made in _polls; this file holds the threads, the clock and the record.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t
from collections import Counter
from concurrent.futures import Executor, Future, InvalidStateError
from dataclasses import dataclass, field, replace

from .. import _clock
from .._api import model
from .._api.endpoints import POWER_TIMEOUT, Api
from .._defaults import DEFAULTS
from .._errors import ApiError, AuthError, PilwError, of_ours
from .._record.rows import Change, now_text, steady_now
from .backlog import Backlog
from .batch import LAST_POLL, OUTAGE_LIMIT, TOO_MUCH, Answer, Batch, Brake, Item, KeyDoubt, Settled, sending_seconds
from .polls import POLL_SECONDS, Polls
from .throttle import Throttle

_TICK = 0.5  # seconds; the longest that lease, token and deadlines go unlooked at
# Seconds in which answers are gathered into one write of the record, so that its readers get a turn: a quarter of what the last
# one took, within these bounds.
_GATHER = (0.001, 0.1)
# Seconds after its time limit in which a call may still end by itself. Then it is abandoned, whatever its thread waits for.
_ABANDONED_AFTER = 10.0
_ABANDONED = f"it was abandoned {_ABANDONED_AFTER:g} s after its time limit"
# So many calls without an answer, and nothing new is sent before the next list.
_CUT_OFF = 3


@dataclass(frozen=True)
class Target:
    """C(must_send): a call is sent even to a VM that already shows the wanted state, as an earlier call may undo it.

    C(heard): a like call of an earlier run may still be at work, whatever this one is answered. C(at_work): the VM shows that the
    platform works on it, so that no call is sent while that lasts.
    """

    uuid: str
    label: str
    must_send: bool = False
    heard: bool = False
    at_work: bool = False


@dataclass
class Wave:
    """VMs that are sent together; the next wave waits until each of these is settled.

    C(timeout) and C(concurrency): in the place of those of the orders, where they are not 0.
    """

    name: str
    targets: list[Target]
    delay: float = 0.0
    canary: bool = False
    timeout: float = 0.0
    concurrency: int = 0


@dataclass(frozen=True)
class Orders:
    """What the engine is to do. Times in seconds."""

    start: bool
    force: bool = False
    concurrency: int = DEFAULTS["concurrency"]
    timeout: float = DEFAULTS["timeout"]
    poll_interval: float = DEFAULTS["poll_interval"]
    retries: int = DEFAULTS["retries"]
    max_fail_percentage: float = DEFAULTS["max_fail_percentage"]
    call_seconds: float = POWER_TIMEOUT

    @property
    def action(self) -> str:
        return "start" if self.start else "stop"

    def of(self, wave: Wave) -> Orders:
        """The same for one wave. VMs that are tried first may be of several groups: the longest time limit is theirs."""
        timeout = max(wave.timeout, self.timeout) if wave.canary else wave.timeout or self.timeout
        return replace(self, timeout=timeout, concurrency=wave.concurrency or self.concurrency)


@dataclass(frozen=True)
class Journal:
    """Where the engine writes down what it does: by default nowhere, and its work ends with its caller."""

    write: t.Callable[[list[Change]], None] = lambda changes: None  # on disk before it returns
    check_wanted: t.Callable[[], None] = lambda: None  # raises when nothing more is to be sent


@dataclass
class Result:
    """What came of it: outcome and error text per VM, and why the engine ended early, if it did."""

    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    ended: PilwError | None = None
    unsettled: list[str] = field(default_factory=list)
    calls: int = 0

    def failed(self, start: bool) -> list[str]:
        good = model.START_DONE if start else model.STOP_DONE
        return [uuid for uuid, (outcome, _error) in self.outcomes.items() if outcome not in good]


class Stop(PilwError):
    """The brake was pulled, or the API stayed away: nothing more is sent."""


class Engine:
    """One use of C(run) at a time."""

    def __init__(
        self,
        api: Api,
        orders: Orders,
        journal: Journal,
        clock: t.Callable[[], float] = _clock.monotonic,
    ) -> None:
        self._api = api
        self._orders = orders
        self._journal = journal
        self._clock = clock
        self._throttle: Throttle[Future] = Throttle(orders.concurrency)
        self._backlog = Backlog(orders.call_seconds, orders.timeout)
        self._brake = Brake(orders.max_fail_percentage)
        self._doubt = KeyDoubt()
        self._result = Result()
        self._counts: Counter[str] = Counter()  # of its outcomes
        self._unwritten: list[Change] = []
        self._gather = _GATHER[0]
        self._answered_at = clock()  # the last answer of any call
        self._ends: dict[Future, float] = {}  # when calls and polls that are open are abandoned
        self._polls = Polls(api, orders.poll_interval, clock)

    def run(self, waves: list[Wave], more: bool = False) -> Result:
        """Bring every wave to its state. Ends early on a lost lease, a newer run, a refused key or the brake.

        C(more): others follow in another call, so the last wave has its delay as well.
        """
        orders = self._orders
        workers = _clock.pace.workers()  # how many calls are open is decided below
        try:
            for number, wave in enumerate(waves):
                self._orders = orders.of(wave)
                if self._orders.concurrency != self._throttle.most:
                    self._throttle = Throttle(self._orders.concurrency)
                batch = self._batch(wave)
                self._run_wave(batch, workers)
                if wave.canary and self._brake.canaries_dead(self._failed_in(batch), len(batch.items)):
                    raise Stop(_canary_text(batch))
                if wave.delay and (more or number + 1 < len(waves)):
                    self._pause(wave.delay)
        except PilwError as exc:
            self._result.ended = exc
        finally:
            workers.shutdown(wait=False)  # a poll that nobody needs any more, or an abandoned call, may last for ever
        named = [target.uuid for wave in waves for target in wave.targets]
        self._result.unsettled = [uuid for uuid in named if uuid not in self._result.outcomes]
        return self._result

    def _batch(self, wave: Wave) -> Batch:
        orders = self._orders
        self._backlog.timeout = max(self._backlog.timeout, orders.timeout)
        batch = Batch(orders.start, orders.force, orders.timeout, orders.retries, orders.poll_interval, self._backlog)
        for target in wave.targets:
            batch.add(target.uuid, target.label, target.must_send, target.heard, target.at_work)
        return batch

    def _run_wave(self, batch: Batch, workers: Executor) -> None:
        open_calls: dict[Future, Item] = {}
        stopping: PilwError | None = None
        first_look, looked_at_last = True, False
        orders, polls, began = self._orders, self._polls, self._clock()
        size = (len(batch.items), orders.concurrency, orders.timeout, orders.call_seconds)
        last_send = began + sending_seconds(*size)
        end = last_send + 2 * orders.call_seconds
        polls.reset()
        submit = functools.partial(self._begin, workers, POLL_SECONDS)
        while open_calls or (stopping is None and not batch.finished):
            now = self._clock()
            try:
                if stopping is None:
                    self._journal.check_wanted()
                    self._check_outage(now)
                    over = now >= last_send and not open_calls
                    if over and (now >= (end if looked_at_last and not polls.pending else end + LAST_POLL) or not batch.needs_list):
                        self._settle(batch.out_of_time(now))
                        break
                    if not first_look and now < last_send:
                        self._send(batch, open_calls, workers, now)
                    if batch.all_answered and self._answered_at > polls.begun_at:
                        polls.hurry(now)  # nothing but a list is waited for
                    wanted = first_look or batch.needs_list or not polls.ok
                    # Once all calls are over, one poll comes however long the last one took: it decides who is named.
                    if not polls.pending and wanted and (now >= polls.next_at or (over and not looked_at_last)):
                        looked_at_last = over
                        polls.begin(submit)
                self._write_down()
            except PilwError as exc:
                stopping = stopping or exc
            pending = [*open_calls, *polls.pending]
            soon = stopping is None and batch.needs_list and not polls.pending
            pause = min(_TICK, max(0.01, polls.next_at - now)) if soon else _TICK
            if pending:
                _clock.pace.wait(pending, pause)
                _clock.sleep(self._gather)
            else:
                _clock.sleep(pause if batch.needs_list else 0.05)
            try:
                self._abandon()
                self._collect(batch, open_calls)
                if self._take_poll(batch, submit, first_look, looked_at_last):
                    first_look = False
                if stopping is None:
                    self._check_brake()
            except PilwError as exc:
                stopping = stopping or exc
        try:
            self._write_down()
        except PilwError as exc:
            stopping = stopping or exc
        if stopping is not None:
            raise stopping

    def _send(
        self, batch: Batch, open_calls: dict[Future, Item], workers: Executor, now: float
    ) -> None:
        if not self._polls.ok:
            return  # the API is away: a call now would only turn a clear state into an unclear one
        # A start that goes wrong holds the ramp before the time limits of its VMs have told for sure.
        failed, tried = self._tried()
        held = self._orders.start and self._brake.pulled(failed + batch.doubtful, tried + batch.doubtful)
        # After a few lost connections or refusals a list is to show first that the API is there, and takes the key.
        held = held or batch.cut_off >= _CUT_OFF or self._doubt.holds
        # A gateway that answers 504 frees no place of the platform, nor does an answer that comes at once.
        room = min(self._throttle.allowed(now) - len(open_calls), self._orders.concurrency - batch.queued(now))
        items = batch.sendable(now, room, fresh=not held)
        if not items:
            return
        orders = self._orders
        column = "force_sent_at" if orders.force else f"{orders.action}_sent_at"
        word = "power cut sent" if orders.force else f"{orders.action} sent"
        columns: dict[str, t.Any] = {column: now_text()}
        if orders.start:
            columns["start_outcome"] = None
        elif not orders.force:
            columns.update(stop_outcome=None, stop_sent_clock=steady_now())
        self._unwritten += [Change(item.uuid, columns, word) for item in items]
        self._write_down()  # on disk before anything is sent
        for item in items:
            batch.sent(item, now)
            self._forget(item.uuid)
            self._result.calls += 1
            call = self._begin(workers, orders.call_seconds, self._api.power, item.uuid, orders.action, orders.force)
            open_calls[call] = item
            self._throttle.sent(call, now)

    def _begin(self, workers: Executor, seconds: float, work: t.Callable[..., t.Any], *given: t.Any) -> Future:
        try:
            call = workers.submit(work, *given)
            self._ends[call] = self._clock() + seconds + _ABANDONED_AFTER
            return call
        except RuntimeError as exc:
            raise Stop(
                f"This host gives no further thread for a call: {exc}. Nothing more is sent; what was answered so far is recorded. "
                f"Lower ceph_maint_concurrency ({self._orders.concurrency}), or raise this host's limit of processes, then run the "
                "same command again: it goes on."
            ) from exc

    def _abandon(self) -> None:
        """End what is far beyond its time limit, as without an answer. The platform may still be working on it."""
        now = self._clock()
        for call, ends in list(self._ends.items()):
            if not call.done() and now >= ends:
                with contextlib.suppress(InvalidStateError):  # it has ended just now
                    call.set_exception(ApiError("The call", "to the platform", detail=_ABANDONED, timed_out=True))
            if call.done():
                del self._ends[call]

    def _collect(self, batch: Batch, open_calls: dict[Future, Item]) -> None:
        failure = None
        for future in [future for future in open_calls if future.done()]:
            item = open_calls.pop(future)
            error = future.exception()
            if error is not None and not isinstance(error, ApiError):
                failure = of_ours(error)  # once the others are written down
                self._throttle.lost(future)
                continue
            now = self._answered_at = self._clock()
            state = None if error else future.result()
            answer = batch.answered(item, error, state, now)
            self._doubt.answered(answer, error, now)
            if error is not None and answer in TOO_MUCH:
                self._throttle.refused(future, now, error.retry_after)
            elif answer is Answer.ACCEPTED:
                self._throttle.taken(future)
            else:
                self._throttle.lost(future)
            if isinstance(error, AuthError):
                # This VM's refusal, or the key's? A list tells, as soon as the platform can be asked again.
                self._polls.hurry(now)
            if answer in (Answer.THROTTLED, Answer.UNSENT, Answer.BUSY, Answer.REFUSED, Answer.GONE):
                columns = {}
            else:
                columns = {f"{self._orders.action}_answered_at": now_text()}
            self._unwritten.append(
                Change(item.uuid, columns, f"{self._orders.action} answered", f"{answer.value} {item.answer_text}".strip())
            )
        if failure:
            raise failure

    def _write_down(self) -> None:
        """What came of the last calls and what is sent next, in one write."""
        changes, self._unwritten = self._unwritten, []
        if changes:
            began = self._clock()
            self._journal.write(changes)
            self._gather = min(max(_GATHER[0], (self._clock() - began) / 4), _GATHER[1])

    def _take_poll(self, batch: Batch, submit: t.Callable[..., Future], first_look: bool, last: bool) -> bool:
        """Whether a poll is complete. A refused list ends the run: the key is no longer good for anything."""
        try:
            poll = self._polls.take(submit, batch.unexplained, last)
        except AuthError as error:
            raise Stop(
                f"The platform no longer accepts the API key: {error}. Nothing more is sent; what was answered so far is "
                "recorded. Get a key that works, then run the same command again: it goes on."
            ) from error
        if poll is None:
            return False
        self._doubt.listed(poll.began)
        if first_look:
            self._settle(batch.first_look(poll.running, poll.states))
        else:
            self._settle(batch.listed(poll.running, poll.began, self._clock(), poll.states))
        return True

    def _settle(self, settled: list[Settled]) -> None:
        action = self._orders.action
        for entry in settled:
            self._forget(entry.item.uuid)
            self._result.outcomes[entry.item.uuid] = (entry.outcome, entry.error)
            self._counts[entry.outcome] += 1
            columns: dict[str, t.Any] = {f"{action}_outcome": entry.outcome, f"{action}_error": entry.error or None}
            good = entry.outcome in (model.START_DONE if self._orders.start else model.STOP_DONE)
            if good:
                columns["started_at" if self._orders.start else "stopped_at"] = now_text()
                if entry.outcome != model.VANISHED:
                    columns.update(state=model.RUNNING if self._orders.start else model.STOPPED, state_at=now_text())
            if not self._orders.start and (good or entry.item.outlived):
                columns["outlived_at"] = None if good else now_text()
            if not self._orders.start and good:
                columns["start_sent_at"] = None  # down after whatever start was sent before
            self._unwritten.append(Change(entry.item.uuid, columns, f"{action}: {entry.outcome}", entry.error))

    def _forget(self, uuid: str) -> None:
        """What became of a VM before is past."""
        before = self._result.outcomes.pop(uuid, None)
        if before:
            self._counts[before[0]] -= 1

    def _failed_in(self, batch: Batch) -> int:
        return sum(1 for item in batch.items.values() if item.outcome in (model.FAILED, model.REFUSED))

    def _check_brake(self) -> None:
        if not self._orders.start:
            return
        failed, tried = self._tried()
        if self._brake.pulled(failed, tried):
            raise Stop(
                f"{failed} of the {tried} VMs tried so far did not start, more than "
                f"{self._orders.max_fail_percentage:g} percent: the starting was stopped, the rest was not touched. Look at "
                "Ceph and at the failed VMs, then run the same command again: it goes on with those that do not run. "
                "To go on in spite of failures: -e ceph_maint_max_fail_percentage=100"
            )

    def _tried(self) -> tuple[int, int]:
        """How many VMs failed, of how many that were tried and are settled."""
        counts = self._counts
        return counts[model.FAILED] + counts[model.REFUSED], len(self._result.outcomes) - counts[model.ALREADY_RUNNING]

    def _check_outage(self, now: float) -> None:
        if not self._polls.ok and now - self._polls.last_good > OUTAGE_LIMIT:
            raise Stop(
                f"The API has given no VM list for {now - self._polls.last_good:.0f} s. Nothing more is sent; what was "
                "answered so far is recorded. Once the API answers, run the same command again: it goes on."
            )

    def _pause(self, seconds: float) -> None:
        until = self._clock() + seconds
        while self._clock() < until:
            self._journal.check_wanted()
            _clock.sleep(min(_TICK, max(0.01, until - self._clock())))


def _canary_text(batch: Batch) -> str:
    named = "; ".join(f"{item.label}: {item.error}" for item in batch.items.values() if item.error)
    return (
        f"Most of the first {len(batch.items)} VMs did not start, so the rest was not touched: {named}. Look at Ceph "
        "(stale locks, blocklisted clients, pause flag) and at these VMs, then run the same command again. To go on without "
        "this trial: -e ceph_maint_canary=0 -e ceph_maint_max_fail_percentage=100"
    )
