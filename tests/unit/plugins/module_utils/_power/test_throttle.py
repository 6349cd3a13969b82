# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import random

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._power.throttle import Throttle


def slowed(most):
    """One that spent all it had saved."""
    throttle = Throttle(most)
    for call in range(most // 4):
        throttle.refused(("before", call), 0.0, None)
    return throttle


def test_all_may_be_open_as_long_as_none_is_refused():
    throttle = Throttle(20)
    for call in range(100):
        throttle.sent(call, 0.0)
        throttle.taken(call)
    assert throttle.allowed(0.0) == 20


def test_some_are_refused_before_anything_slows_down():
    throttle = Throttle(20)
    for call in range(5):
        throttle.refused(call, 0.01, None)
    assert throttle.allowed(0.02) == 20
    throttle.refused(5, 0.01, None)
    assert throttle.allowed(0.02) == 19
    for call in range(6, 100):
        throttle.sent(call, 0.1)
        throttle.taken(call)
    for call in range(5):
        throttle.refused(call, 0.2, None)
    assert throttle.allowed(0.2) == 20, "it is saved again, and no more than that"
    throttle.refused(5, 0.2, None)
    assert throttle.allowed(0.2) == 19


def test_one_less_for_each_refused_and_half_of_one_more_for_each_taken():
    throttle = slowed(20)
    for call in range(20):
        throttle.sent(call, 0.0)
    for call in range(5):
        throttle.refused(call, 0.01, None)
    assert throttle.allowed(0.02) == 15
    throttle.taken(5)
    assert throttle.allowed(0.02) == 15
    throttle.taken(6)
    assert throttle.allowed(0.02) == 16


def test_a_call_is_taken_once_it_is_open_for_longer_than_refusals_take():
    throttle = slowed(20)
    for call in range(20):
        throttle.sent(call, 0.0)
    for call in range(10):
        throttle.refused(call, 1.0, None)  # so slowly
    assert throttle.allowed(1.9) == 10
    assert throttle.allowed(2.1) == 15
    for call in range(10, 20):
        throttle.taken(call)
    assert throttle.allowed(2.2) == 15, "none counts twice"


def test_a_call_that_counted_as_taken_too_early_tells_how_long_refusals_take():
    throttle = slowed(20)
    for call in range(20):
        throttle.sent(call, 0.0)
    throttle.refused(0, 0.01, None)
    throttle.refused(1, 0.01, None)
    assert throttle.allowed(0.2) == 20  # all others counted as taken
    for call in range(2, 6):
        throttle.refused(call, 0.3, None)
    assert throttle.allowed(0.3) == 19, "what each gave is taken back"
    for call in (20, 21):
        throttle.sent(call, 0.3)
    assert throttle.allowed(0.89) == 19, "they may be refused yet"
    assert throttle.allowed(0.91) == 20


def test_what_tells_nothing_counts_for_nothing():
    throttle = slowed(20)
    for call in range(4):
        throttle.sent(call, 0.0)
        throttle.lost(call)
    throttle.sent(9, 0.0)
    throttle.refused(9, 0.0, None)
    assert throttle.allowed(99.0) == 19


@pytest.mark.parametrize(("most", "least"), [(1, 1), (7, 1), (64, 8)])
def test_it_never_ends_the_sending(most, least):
    throttle, now = Throttle(most), 0.0
    for call in range(500):
        throttle.refused(call, now, None)
        now += 61.0
        assert throttle.allowed(now) >= least


def test_nothing_is_sent_for_a_while_when_all_were_refused_and_for_longer_each_time():
    throttle, now, pauses = slowed(8), 0.0, []
    for call in range(400):
        throttle.refused(call, now, None)
        began = now
        while not throttle.allowed(now):
            now += 0.25
        if now > began:
            pauses.append(now - began)
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == 60.0
    throttle.sent("one", now)
    throttle.taken("one")
    throttle.refused("another", now, None)
    assert throttle.allowed(now + 0.5) >= 1


def test_it_keeps_silent_for_as_long_as_it_is_asked_to():
    throttle = slowed(30)
    throttle.refused(1, 100.0, 30.0)
    throttle.refused(2, 100.0, 5.0)
    assert throttle.allowed(129.9) == 0
    assert throttle.allowed(130.0) == 28


def turns(most, takes, seconds=22.0, calls=2000):
    """A platform whose calls block, as far as a throttle is concerned. Returns calls refused, and how long it all took."""
    throttle, now, ends, numbers, refused, done = Throttle(most), 0.0, {}, itertools.count(), 0, 0
    while done < calls:
        for call in [call for call, end in ends.items() if end <= now]:
            throttle.taken(call)
            del ends[call]
            done += 1
        for _each in range(throttle.allowed(now) - len(ends)):
            call = next(numbers)
            throttle.sent(call, now)
            if takes(len(ends)):
                ends[call] = now + seconds
            else:
                throttle.refused(call, now + 0.005, None)
                refused += 1
        now += 0.05
    return refused, now


@pytest.mark.parametrize("room", [10, 20, 40, 63])
def test_it_settles_at_what_a_platform_takes(room):
    refused, took = turns(64, lambda at_work: at_work < room)
    assert took < 1.1 * 2000 / room * 22
    assert refused < 1.2 * 2000


def test_refusals_by_chance_do_not_slow_it_down():
    source = random.Random(1)
    refused, took = turns(64, lambda at_work: source.random() >= 0.3)
    assert took < 1.04 * 2000 / 64 * 22, "32 rounds instead of 31.25 are 1.024 times"
    assert refused < 1.1 * 2000 * 0.3 / 0.7
