# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What to send to which VM next, and when a VM is settled. Pure decisions: no clock, no network, no file.

Times are seconds of any steady clock, handed in by the caller. Only a poll that was begun after a VM's call was answered settles
that VM, by its state: an answer alone proves nothing, and an unclear one is never blindly resent.
"""

from __future__ import annotations

import heapq
import itertools
import math
import typing as t
from dataclasses import dataclass, field
from enum import Enum

from .._api import model
from .._errors import ApiError, AuthError, NoRoute, NotFound
from .backlog import Backlog
from .settlement import States, is_coming_up, is_done, is_passing, state_of

MAX_BACKOFF = 60.0
# Seconds without any good list after which the engine gives up waiting for the API.
OUTAGE_LIMIT = 600.0
# Seconds that the poll takes at most that is made when all else is over: two lists, and the details of a few VMs.
LAST_POLL = 300.0
# A VM that was too much so often goes behind those that had no call: many that are always refused would take all places.
TURNS = 3
# A VM that starts itself again is stopped again this often, then named.
MAX_COMEBACKS = 3


class Answer(Enum):
    """What an answer to a power call means."""

    ACCEPTED = "accepted"
    PENDING = "still at work"  # our time limit or a 504: the platform is most likely still at it; never resent
    OVERLOADED = "overloaded"  # 503: not now, and perhaps heard
    UNCLEAR = "unclear"  # 5xx or a cut connection: done or not; resent only after the state was read
    BUSY = "busy"  # 409
    THROTTLED = "throttled"  # 429: not taken
    UNSENT = "not sent"  # no connection
    REFUSED = "refused"  # 401, 403 and other 4xx
    GONE = "gone"


# The VM's own time limit runs from the first of these.
_STARTS_CLOCK = frozenset({Answer.ACCEPTED, Answer.PENDING, Answer.OVERLOADED, Answer.UNCLEAR})
# Tried again for as long as twice the time limit, those that are too much from the last call on that was taken of any VM (OVERLOADED:
# once, and then waited for as long, as it may have been heard); the others for a number of times.
_BOUND_BY_TIME = frozenset({Answer.BUSY, Answer.OVERLOADED, Answer.THROTTLED, Answer.UNSENT})
# Sent again after a while, in which it may come to its state.
_SENT_LATER = frozenset({Answer.OVERLOADED, Answer.UNCLEAR, Answer.THROTTLED})
# The platform says that it is too much, not that something is wrong with this VM.
TOO_MUCH = frozenset({Answer.OVERLOADED, Answer.THROTTLED})


def meaning(error: ApiError | None) -> Answer:
    """Sort the outcome of a power call."""
    if error is None:
        return Answer.ACCEPTED
    if isinstance(error, NotFound):
        return Answer.GONE
    if isinstance(error, (AuthError, NoRoute)):
        return Answer.REFUSED
    if not error.sent:
        return Answer.UNSENT
    if error.timed_out or error.status == 504:
        return Answer.PENDING
    if error.status == 429:
        return Answer.THROTTLED
    if error.status == 503:
        return Answer.OVERLOADED
    if error.status == 409:
        return Answer.BUSY
    if error.status is not None and 400 <= error.status < 500 and error.detail != "empty body":
        return Answer.REFUSED
    return Answer.UNCLEAR


def sending_seconds(count: int, concurrency: int, timeout: float, call_seconds: float) -> float:
    """How long calls are sent to a group of C(count) VMs, at the longest; what is not settled then is named.

    Each call may hold its place in the pool for C(call_seconds), the last VM may be busy and then take its C(timeout), and the
    API may be away for a while.
    """
    return math.ceil(count / max(1, concurrency)) * call_seconds + 2 * timeout + OUTAGE_LIMIT if count else 0.0


def group_seconds(count: int, concurrency: int, timeout: float, call_seconds: float) -> float:
    """When a group of C(count) VMs is settled, at the longest: the calls that were open last are answered, and lists were read."""
    return sending_seconds(count, concurrency, timeout, call_seconds) + 2 * call_seconds + LAST_POLL if count else 0.0


class Step(Enum):
    FRESH = 0  # no call was sent to it yet
    WAITING = 1  # to be sent again, not before C(not_before)
    OPEN = 2  # its call is open
    ANSWERED = 3  # the next list decides
    SETTLED = 4


@dataclass
class Item:
    """One VM on its way to the wanted state."""

    uuid: str
    label: str
    must_send: bool = False
    step: Step = Step.FRESH
    not_before: float = 0.0
    calls: int = 0
    clock_from: float | None = None
    hindered_from: float | None = None
    answered_at: float = 0.0
    answer: Answer | None = None
    answer_text: str = ""
    failures: int = 0
    comebacks: int = 0
    outcome: str | None = None
    error: str = ""
    taken: bool = False  # a call was accepted, or the platform is most likely at work on it
    accepted: bool = False  # the platform said so
    heard: bool = False  # some call may be at work there, whatever later ones were answered
    state: str = ""  # as the last poll showed it
    was_down: bool = False  # a list has shown it down, so the calls until then asked nothing of a running guest
    outlived: bool = False

    @property
    def behind(self) -> bool:
        return self.calls >= TURNS and self.answer in TOO_MUCH


# When it is due, a number that no other entry has, and the VM.
Entry = t.Tuple[float, int, Item]


@dataclass(frozen=True)
class Settled:
    """A decision that the caller writes down."""

    item: Item
    outcome: str
    error: str


@dataclass
class Batch:
    """VMs that go to one state together. C(timeout): seconds per VM. C(backoff): seconds, base of growing pauses."""

    start: bool
    force: bool
    timeout: float
    retries: int
    backoff: float
    backlog: Backlog | None = None  # of the platform, which outlasts one group
    items: dict[str, Item] = field(default_factory=dict)
    # The same by step, so that a look costs no more with 100,000 VMs than with ten.
    _at: dict[Step, dict[str, Item]] = field(default_factory=lambda: {step: {} for step in Step}, init=False)
    # When those waiting are due, soonest first: those that go before fresh ones, and those that go behind them. An entry that no
    # longer holds is dropped once it is met.
    _due: tuple[list[Entry], list[Entry]] = field(default_factory=lambda: ([], []), init=False)
    _moves: int = field(default=0, init=False)
    _taken_at: float = field(default=float("-inf"), init=False)  # when a call was taken last, whichever
    _listed_from: float = field(default=float("-inf"), init=False)  # when the last good list was begun
    _again_last: bool = field(default=False, init=False)  # the last call was not the first of its VM
    _hoped: set[str] = field(default_factory=set, init=False)  # those waiting whose last call may yet be obeyed

    def __post_init__(self) -> None:
        self._backlog = self.backlog or Backlog(self.timeout, self.timeout)

    def add(self, uuid: str, label: str, must_send: bool = False, heard: bool = False, at_work: bool = False) -> None:
        """C(at_work): the platform already works on it, so that no call is sent while that lasts."""
        step = Step.ANSWERED if at_work else Step.FRESH
        self.items[uuid] = self._at[step][uuid] = Item(uuid, label, must_send, step, heard=heard, answered_at=float("-inf"))

    def at(self, *steps: Step) -> list[Item]:
        return [item for step in steps for item in self._at[step].values()]

    def _move(self, item: Item, step: Step) -> None:
        del self._at[item.step][item.uuid]
        item.step = step
        self._at[step][item.uuid] = item
        self._hoped.discard(item.uuid)
        if step is Step.WAITING:
            if item.answer is Answer.UNCLEAR:
                self._hoped.add(item.uuid)
            self._moves += 1
            heapq.heappush(self._due[item.behind], (item.not_before, self._moves, item))

    @property
    def finished(self) -> bool:
        return len(self._at[Step.SETTLED]) == len(self.items)

    @property
    def needs_list(self) -> bool:
        return bool(self._at[Step.ANSWERED] or self._hoped)

    @property
    def all_answered(self) -> bool:
        """Whether every VM has been asked, and no call is open."""
        return not (self._at[Step.FRESH] or self._at[Step.OPEN])

    @property
    def doubtful(self) -> int:
        """VMs whose call came back without success, and of which no list has told yet what came of it."""
        return sum(
            1
            for item in self.at(Step.WAITING, Step.ANSWERED)
            if item.answer in (Answer.PENDING, Answer.UNCLEAR, Answer.REFUSED)
        )

    @property
    def cut_off(self) -> int:
        """VMs whose call lost its connection since the last list: is the API there at all?"""
        lost = (Answer.UNCLEAR, Answer.UNSENT)
        return sum(1 for item in self.at(Step.ANSWERED) if item.answer in lost and item.answered_at > self._listed_from)

    def queued(self, now: float) -> int:
        """How many VMs may be waiting for their turn on the platform."""
        return self._backlog.queued(now)

    def sendable(self, now: float, room: int, fresh: bool = True) -> list[Item]:
        """At most C(room) VMs whose call may be sent now. C(fresh): also those not tried before.

        These and those tried before, soonest due first, take turns: calls that go wrong may be long, and never take all places.
        """
        room = max(0, room)
        again = self._again(now, room, behind=False)
        first = list(itertools.islice(self._at[Step.FRESH].values(), room)) if fresh else []
        turns = itertools.zip_longest(first, again) if self._again_last else itertools.zip_longest(again, first)
        found = [item for turn in turns for item in turn if item][:room]
        return found + self._again(now, room - len(found), behind=True)

    def _again(self, now: float, room: int, behind: bool) -> list[Item]:
        due = self._due[behind]
        entries: dict[str, Entry] = {}
        while due and len(entries) < room and due[0][0] <= now:
            entry = heapq.heappop(due)
            item = entry[2]
            if item.step is Step.WAITING and item.not_before == entry[0] and item.behind is behind:
                entries[item.uuid] = entry
        for entry in entries.values():  # until they are sent they stay
            heapq.heappush(due, entry)
        return [item for _moment, _move, item in entries.values()]

    def sent(self, item: Item, now: float = 0.0) -> None:
        self._move(item, Step.OPEN)
        self._backlog.sent(item.uuid, now)
        self._again_last = item.calls > 0
        item.calls += 1

    def answered(self, item: Item, error: ApiError | None, state: str | None, now: float) -> Answer:
        """Take in the answer of a call. C(state) is the VM's state as it tells it, empty if it does not, None for no answer body."""
        answer = meaning(error)
        text = str(error) if error else ""
        if answer is Answer.ACCEPTED and state is None:
            answer, text = Answer.UNCLEAR, "the platform answered without a word"
        elif answer is Answer.ACCEPTED and self.start and not (state in ("", model.RUNNING) or is_coming_up(state or "")):
            answer, text = Answer.UNCLEAR, f"the platform answered the start with state {state}"
        item.answer, item.answer_text, item.answered_at = answer, text, now
        taken = answer in (Answer.ACCEPTED, Answer.PENDING)
        self._backlog.answered(item.uuid, now, taken, is_done(state or "", self.start), answer is Answer.PENDING)
        item.heard = item.heard or answer in _STARTS_CLOCK
        item.accepted = item.accepted or answer is Answer.ACCEPTED
        if answer in (Answer.ACCEPTED, Answer.PENDING):
            item.taken, self._taken_at = True, now
        if answer in _STARTS_CLOCK and item.clock_from is None:
            item.clock_from = now
        if answer in _BOUND_BY_TIME:
            item.hindered_from = now if item.hindered_from is None else item.hindered_from
        else:
            item.hindered_from = None
        if answer in (Answer.UNCLEAR, Answer.REFUSED):
            item.failures += 1
        # What is too much takes from the calls of all VMs, so that no one of them need wait for long until it is always refused.
        base, grown = (self.backoff / 4, item.calls - TURNS) if answer in TOO_MUCH else (self.backoff, item.calls - 1)
        pause = min(MAX_BACKOFF, base * 2 ** min(max(0, grown), 10))
        if answer is Answer.UNCLEAR and not self.start and item.failures == self.retries:
            # Its last try, after which its power may be cut: not within minutes for which the platform itself is ill.
            pause = max(pause, self.timeout / 2)
        item.not_before = now + max(pause, (error.retry_after or 0.0) if error else 0.0)
        # Not taken for sure, so no list need tell.
        again = answer is Answer.THROTTLED and not self._hindered_for(item, 2 * self.timeout, now)
        self._move(item, Step.WAITING if again else Step.ANSWERED)
        return answer

    def unexplained(self, running: t.Container[str]) -> list[str]:
        """VMs whose states decide, and that a list of running VMs does not show."""
        missing = [item for item in self.items.values() if item.uuid not in running]
        return [item.uuid for item in missing if (self._may_be_resent(item) if self.start else self._may_be_down(item))]

    @staticmethod
    def _may_be_resent(item: Item) -> bool:
        return item.step is Step.ANSWERED and item.answer not in (Answer.ACCEPTED, Answer.PENDING, Answer.GONE)

    @staticmethod
    def _may_be_down(item: Item) -> bool:
        if item.step is Step.SETTLED:
            return item.outcome == model.WOULD_NOT_STOP
        return item.step is not Step.OPEN

    def first_look(self, running: t.Container[str], states: States) -> list[Settled]:
        """Take in the first poll: VMs that are already where they should be need no call."""
        settled = []
        for item in self.at(Step.FRESH):
            state = state_of(item.uuid, running, states)
            done = is_done(state, self.start)
            item.was_down = done and not self.start
            if done and not item.must_send:
                settled.append(self._settle(item, model.ALREADY_RUNNING if self.start else model.ALREADY_STOPPED, ""))
            elif self.force and not state:
                settled.append(self._settle(item, model.WOULD_NOT_STOP, "its state could not be read, so it was not forced off"))
        return settled

    def listed(self, running: t.Container[str], began: float, now: float, states: States) -> list[Settled]:
        """Take in a poll whose list of running VMs was begun at C(began), and the states of others. Returns what is settled now."""
        settled = []
        self._listed_from = began
        self._backlog.listed(lambda uuid: is_done(state_of(uuid, running, states), self.start), now)
        for item in self.items.values():
            item.state = state = state_of(item.uuid, running, states)
            done = is_done(state, self.start)
            if not self.start and done:
                item.was_down = True
            if (item.step is Step.ANSWERED or self._there_already(item, done)) and item.answered_at <= began:
                decision = self._decide(item, state, began)
                if decision:
                    settled.append(self._settle(item, *decision))
            elif item.step is Step.SETTLED and done and item.outcome == model.WOULD_NOT_STOP:
                # It obeyed after its time: nothing is left to be forced off.
                item.outlived = False
                settled.append(self._settle(item, model.FORCED if self.force else model.CLEAN, ""))
            elif item.step is Step.SETTLED and state == model.RUNNING and not self.start and not self.force:
                comeback = self._comeback(item, now)
                if comeback:
                    settled.append(comeback)
        return settled

    @staticmethod
    def _there_already(item: Item, done: bool) -> bool:
        """It need not be sent again: it was heard after all, or somebody else did it."""
        return item.step is Step.WAITING and item.answer in _SENT_LATER and done and not item.must_send

    def out_of_time(self, now: float) -> list[Settled]:
        """The time of the whole group is over: settle what is left.

        A VM whose call may have waited for its turn until now has timed out, if nothing was finished for as long as it may take.
        """
        settled = []
        for item in self.at(Step.FRESH, Step.WAITING, Step.OPEN, Step.ANSWERED):
            if not self.start and item.step is Step.ANSWERED and item.state and self._backlog.idle(item.uuid, now):
                settled.append(self._settle(item, *self._timed_out(item, item.state)))
                continue
            last = f"; last answer: {item.answer_text}" if item.answer_text else ""
            word = self._missed if item.heard else model.FAILED if self.start else model.REFUSED
            settled.append(self._settle(item, word, f"the time for its group was over before it was settled{last}"))
        return settled

    def _settle(self, item: Item, outcome: str, error: str) -> Settled:
        self._move(item, Step.SETTLED)
        item.outcome, item.error = outcome, error
        return Settled(item, outcome, error)

    def _decide(self, item: Item, state: str, began: float) -> tuple[str, str] | None:
        """The outcome of an answered VM, or None while it is to be waited for (or was put back to be sent again)."""
        if item.must_send and not item.taken and item.answer is not Answer.GONE:
            # An earlier call, which may be what hinders ours, can still undo what the list shows.
            return self._not_taken(item, began)
        if is_done(state, self.start):
            return self._reached(item), ""
        if state and item.was_down:
            # It came up after our call: its time limit is that of a new one.
            item.was_down = False
            self._anew(item)
            return None
        if item.answer is Answer.GONE and self.start:
            return model.VANISHED, item.answer_text
        if not state and not (self.start and item.answer in (Answer.ACCEPTED, Answer.PENDING)):
            return None  # neither down nor up: a later poll shows it
        if is_passing(state) and (self.start or item.heard):
            if item.clock_from is None:
                item.clock_from = began
            return self._timed_out(item, state) if self._is_over(item, began) else None
        if item.answer is None:
            item.not_before = began
            self._move(item, Step.WAITING)
            return None
        if self._may_be_unheard(item, began):
            # Not done, and perhaps never heard: an outage is not the guest's time.
            item.clock_from = None
            self._move(item, Step.WAITING)
            return None
        if self._is_over(item, began):
            return self._timed_out(item, state)
        return None if item.answer in (Answer.ACCEPTED, Answer.PENDING) else self._not_taken(item, began)

    def _reached(self, item: Item) -> str:
        if item.answer is Answer.GONE and not self.start:
            return model.VANISHED
        if not item.heard:  # none of our calls was taken: somebody else did it
            return model.ALREADY_RUNNING if self.start else model.ALREADY_STOPPED
        if self.start:
            return model.STARTED
        return model.FORCED if self.force else model.CLEAN

    def _is_over(self, item: Item, began: float) -> bool:
        """Whether a VM's own time is over. It does not run while the platform works on what was asked before."""
        # For a start it is enough that others come up: nothing is destroyed where one is given up too early.
        reached = float("-inf") if self.start else self._backlog.reached_at(item.uuid)
        if item.clock_from is None or reached is None:
            return False
        return began - max(item.clock_from, reached, self._backlog.last_done) >= self.timeout

    def _timed_out(self, item: Item, state: str) -> tuple[str, str]:
        item.outlived = True
        shown = f"; it is {state}" if state not in ("", model.RUNNING, model.STOPPED) else ""
        last = f"; last answer: {item.answer_text}" if item.answer_text else ""
        if not item.calls:
            return self._missed, f"not done after {self.timeout:g} s without a further call{shown}"
        word = "start" if self.start else ("power cut" if self.force else "graceful stop")
        taken = "was taken" if item.accepted else "was sent, and its answer left unclear whether it was taken"
        return self._missed, f"not done {self.timeout:g} s after its {word} {taken}{shown}{last}"

    def _may_be_unheard(self, item: Item, began: float) -> bool:
        if item.answer is Answer.OVERLOADED:
            return not item.taken and not self._hindered_for(item, self.timeout, began)
        return item.answer is Answer.UNCLEAR and not item.taken and item.failures <= self.retries

    def _not_taken(self, item: Item, began: float) -> tuple[str, str] | None:
        """Send again, as long as its bound allows."""
        if item.answer is Answer.OVERLOADED:
            if self._hindered_for(item, self.timeout, began):
                return self._given_up(item)
            self._move(item, Step.WAITING)
        elif item.answer in _BOUND_BY_TIME:
            if self._hindered_for(item, 2 * self.timeout, began):
                return (model.FAILED if self.start and item.heard else model.REFUSED), item.answer_text
            self._move(item, Step.WAITING)
        else:
            if item.failures > self.retries or (item.answer is Answer.GONE and item.calls > self.retries):
                return self._given_up(item)
            self._move(item, Step.WAITING)
        return None

    def _hindered_for(self, item: Item, seconds: float, now: float) -> bool:
        if item.hindered_from is None:
            return False
        # What is too much tells nothing of this VM: its turn comes for as long as any is taken.
        since = max(item.hindered_from, self._taken_at) if item.answer in TOO_MUCH else item.hindered_from
        return now - since >= seconds

    def _given_up(self, item: Item) -> tuple[str, str] | None:
        if item.answer is Answer.REFUSED and item.clock_from is None and not (self.start and item.heard):
            return model.REFUSED, item.answer_text
        if self.start:
            return model.FAILED, item.answer_text
        if item.clock_from is None or item.must_send:
            return model.REFUSED, item.answer_text
        # An unclear stop may still work: its own time limit ends the wait.
        return None

    @property
    def _missed(self) -> str:
        return model.FAILED if self.start else model.WOULD_NOT_STOP

    def _comeback(self, item: Item, now: float) -> Settled | None:
        if item.outcome not in model.STOP_DONE:
            return None
        item.comebacks += 1
        if item.comebacks > MAX_COMEBACKS:
            return self._settle(item, model.WOULD_NOT_STOP, f"it started again after each of {MAX_COMEBACKS} stops")
        item.not_before, item.was_down, item.outcome = now, False, None
        self._anew(item)
        return None

    def _anew(self, item: Item) -> None:
        """As if nothing had been sent to it yet."""
        self._backlog.forget(item.uuid)
        self._move(item, Step.WAITING)
        item.clock_from, item.failures = None, 0
        item.taken = item.accepted = item.heard = False


@dataclass
class KeyDoubt:
    """Whether calls are refused because of the key. A list tells; after so many refused in a row it is to come first.

    Doubled each time that it was not the key, so that many VMs that refuse by themselves hold the others a few times only.
    """

    most: int = 3
    refused: int = 0
    refused_at: float = float("-inf")

    @property
    def holds(self) -> bool:
        return self.refused >= self.most

    def answered(self, answer: Answer, error: ApiError | None, now: float) -> None:
        """Take in the answer of a call."""
        if isinstance(error, AuthError):
            self.refused, self.refused_at = self.refused + 1, now
        elif answer is Answer.ACCEPTED:
            self.refused = 0

    def listed(self, began: float) -> None:
        """Take in that a list was given, begun at C(began)."""
        if self.refused_at <= began:
            self.most = 2 * self.most if self.holds else self.most
            self.refused = 0


@dataclass(frozen=True)
class Brake:
    """Stops a mass start that goes wrong. Percent of the VMs tried so far that did not come up."""

    percent: float
    sample: int = 10  # VMs settled before the share means anything

    def pulled(self, failed: int, settled: int) -> bool:
        return settled >= self.sample and failed * 100 > self.percent * settled

    def canaries_dead(self, failed: int, tried: int) -> bool:
        """More than half of the first few did not come up."""
        return self.percent < 100 and tried > 0 and failed * 2 > tried
