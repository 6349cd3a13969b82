# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""How far the stopping or starting of the recorded VMs is, in one line. Pure: rows of the record in, words out."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from .._plan.estimates import minutes
from .._record.rows import RecordedVm, age_seconds
from .._report.data import counts_text

# Seconds over which the rate is taken.
RECENT = 60.0
# So few left, and several are named.
FEW, NAMED = 10, 3


@dataclass(frozen=True)
class Progress:
    """C(unanswered) and C(answered): VMs whose call is open, and those that the next list is to settle. C(waiting): longest first."""

    starting: bool
    total: int
    done: int
    failed: int
    unanswered: int
    answered: int
    a_minute: float
    usual: float  # seconds from call to end, of those done lately; 0 without any
    waiting: list[tuple[str, float]]

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed

    @property
    def slow(self) -> bool:
        """All were asked, and those that are left take far longer than the others did: a rate says nothing of them."""
        all_asked = self.left <= self.unanswered + self.answered
        return bool(self.waiting) and all_asked and 0 < 2 * self.usual < self.waiting[0][1]

    @property
    def seconds_left(self) -> float | None:
        """None while nothing can be told of it."""
        return self.left / self.a_minute * 60 if self.a_minute and not self.slow else None

    def line(self) -> str:
        """What is shown every few seconds."""
        here, there = ("are up or gone", "are down") if self.starting else ("are down", "still run")
        words = [f"{self.done} of {self.total} VMs {here}, {self.total - self.done} {there}"]
        if self.unanswered or self.answered:
            words.append(f"asked {self.unanswered + self.answered} (no answer yet {self.unanswered})")
        if self.failed:
            words.append(f"failed {self.failed}")
        if self.slow:
            words.append(f"the others took {minutes(math.ceil(self.usual))} each, these take longer")
        elif self.left and self.seconds_left is not None:
            words.append(f"{self.a_minute:.0f} a minute, about {minutes(math.ceil(self.seconds_left))} left")
        shown = self.waiting[: NAMED if self.left <= FEW else 1]
        if shown:
            words.append("longest: " + ", ".join(f"{label} for {minutes(seconds)}" for label, seconds in shown))
        return f"{'Starting' if self.starting else 'Stopping'}: " + "; ".join(words)

    def late(self, since: str, window: float, age: t.Callable[[str], float] = age_seconds) -> str:
        """What is said once a window of so many seconds, from the begin of the run on, will not be met; empty before."""
        if not window or not self.left:
            return ""
        end = age(since) + (self.seconds_left or 0.0)
        return f"TOO SLOW: the window of {minutes(window)} will be missed by about {minutes(math.ceil(end - window))}" if end > window else ""


def progress(
    vms: list[RecordedVm], starting: bool, age: t.Callable[[str], float] = age_seconds, done_before: int = 0, idle: int = 0
) -> Progress:
    """C(age): how many seconds ago a time of the record was. C(done_before): further VMs, done before C(RECENT). C(idle): not asked yet."""
    failed = unanswered = answered = recent = 0
    done, span, took, waiting = done_before, 0.0, 0.0, []
    for vm in vms:
        attempt = vm.start if starting else vm.stop
        sent_at, open_since = _sent(vm, starting)
        if vm.start_done if starting else vm.stop_done:
            done += 1
            at = attempt.done_at
            if sent_at and at and age(at) <= RECENT:
                recent += 1
                span = max(span, age(sent_at))
                took += age(sent_at) - age(at)
        elif open_since:
            waiting.append((vm.label(), age(open_since)))
            if attempt.answered_at and attempt.answered_at >= open_since:
                answered += 1
            else:
                unanswered += 1
        elif attempt.outcome:
            failed += 1
    a_minute = recent / min(RECENT, span) * 60 if span else 0.0
    usual = took / recent if recent else 0.0
    return Progress(starting, len(vms) + done_before + idle, done, failed, unanswered, answered, a_minute, usual, sorted(waiting, key=lambda one: -one[1]))


def totals(starting: bool, counts: dict[str, int], unsettled: int, calls: int, seconds: float) -> str:
    """The last line of all, empty where there was nothing to do."""
    if not counts and not unsettled:
        return ""
    words = [counts_text(counts)] if counts else []
    words += [f"not settled {unsettled}"] if unsettled else []
    return f"{'Starting' if starting else 'Stopping'} has ended after {minutes(seconds)}, {calls} calls: {', '.join(words)}"


def _sent(vm: RecordedVm, starting: bool) -> tuple[str | None, str | None]:
    """When its last call was sent, and the same while that is not settled."""
    if starting:
        return vm.start.sent_at, None if vm.start.outcome else vm.start.sent_at
    forced_at = vm.force_sent_at
    if forced_at and vm.outlived_at:  # until its power cut is settled it is what its stop was
        return forced_at, forced_at if vm.outlived_at <= forced_at else None
    return forced_at or vm.stop.sent_at, None if vm.stop.outcome else vm.stop.sent_at
