# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent next and when a VM is settled, decision by decision, with an invented clock."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, NoRoute, NotFound
from ansible_collections.pilw.maintenance.plugins.module_utils._power.batch import (
    MAX_BACKOFF,
    Answer,
    Batch,
    Brake,
    KeyDoubt,
    Step,
    group_seconds,
    meaning,
    sending_seconds,
)

CALM = settings(deadline=None, database=None, derandomize=True)


def error(status=None, kind=ApiError, **more):
    return kind("POST", "/x", status=status, **{"detail": "words", **more})


ERRORS = {
    "accepted": None,
    "pending": error(timed_out=True),
    "gateway": error(504),
    "unclear": error(500),
    "cut": error(),
    "busy": error(409),
    "throttled": error(429),
    "overloaded": error(503),
    "unsent": error(sent=False),
    "refused": error(403, AuthError),
    "bad": error(400),
    "empty": error(400, detail="empty body"),
    "gone": error(404, NotFound),
}


@pytest.mark.parametrize(
    ("got", "answer"),
    [
        (None, Answer.ACCEPTED),
        (error(404, NotFound), Answer.GONE),
        (error(400, NotFound), Answer.GONE),
        (error(404, NoRoute), Answer.REFUSED),
        (error(401, AuthError), Answer.REFUSED),
        (error(403, AuthError), Answer.REFUSED),
        (error(400), Answer.REFUSED),
        (error(422), Answer.REFUSED),
        (error(400, detail="empty body"), Answer.UNCLEAR),
        (error(409), Answer.BUSY),
        (error(409, detail="empty body"), Answer.BUSY),
        (error(429), Answer.THROTTLED),
        (error(500), Answer.UNCLEAR),
        (error(502), Answer.UNCLEAR),
        (error(503), Answer.OVERLOADED),
        (error(302), Answer.UNCLEAR),
        (error(504), Answer.PENDING),
        (error(timed_out=True), Answer.PENDING),
        (error(), Answer.UNCLEAR),
        (error(sent=False), Answer.UNSENT),
    ],
)
def test_what_an_answer_means(got, answer):
    assert meaning(got) is answer


class Run:
    """One VM on its way, told as a story. C(runs): what the next lists show."""

    def __init__(self, start=False, force=False, timeout=100.0, retries=2, backoff=1.0):
        self.batch = Batch(start, force, timeout, retries, backoff)
        self.batch.add("a", "VM a")
        self.item = self.batch.items["a"]
        self.now = 0.0
        self.runs, self.state = not start, "stopped"

    def call(self, name, state=""):
        """Send when allowed, and get this answer. Fails when nothing may be sent."""
        self.now = max(self.now, self.item.not_before)
        assert self.batch.sendable(self.now, 5) == [self.item], "nothing may be sent"
        self.batch.sent(self.item)
        self.now += 1
        self.batch.answered(self.item, ERRORS[name], state, self.now)
        return self

    def list(self, after=1.0):
        self.now += after
        states = {} if self.runs else {"a": self.state}
        settled = self.batch.listed({"a"} if self.runs else set(), self.now, self.now, states)
        return [(entry.outcome, entry.error) for entry in settled]

    @property
    def may_send(self):
        return bool(self.batch.sendable(self.now + MAX_BACKOFF, 5))


@pytest.mark.parametrize(
    ("options", "name", "outcome"),
    [
        ({}, "accepted", "clean"),
        ({}, "pending", "clean"),
        ({}, "gateway", "clean"),
        ({}, "unclear", "clean"),
        ({}, "empty", "clean"),
        ({}, "overloaded", "clean"),
        ({"force": True}, "accepted", "forced"),
        ({}, "busy", "already_stopped"),
        ({}, "throttled", "already_stopped"),
        ({}, "unsent", "already_stopped"),
        ({}, "refused", "already_stopped"),
        ({}, "gone", "vanished"),
        ({"start": True}, "accepted", "running"),
        ({"start": True}, "unclear", "running"),
        ({"start": True}, "overloaded", "running"),
        ({"start": True}, "busy", "already_running"),
        ({"start": True}, "refused", "already_running"),
    ],
)
def test_a_list_that_shows_the_wanted_state_settles(options, name, outcome):
    run = Run(**options).call(name)
    run.runs = run.batch.start
    assert run.list() == [(outcome, "")]
    assert run.batch.finished and not run.may_send


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", ["accepted", "pending", "gateway"])
def test_what_the_platform_works_on_is_never_sent_again(start, name):
    run = Run(start=start).call(name)
    for _each in range(20):
        assert run.list(4.9) == []
        assert not run.may_send
    outcome = "failed" if start else "would_not_stop"
    word = "start" if start else "graceful stop"
    unsure = f"was sent, and its answer left unclear whether it was taken; last answer: {ERRORS.get(name)}"
    assert run.list(3) == [(outcome, f"not done 100 s after its {word} {'was taken' if name == 'accepted' else unsure}")]
    assert run.item.outlived


def test_the_power_cut_has_its_own_word():
    run = Run(force=True).call("accepted")
    assert run.list(200) == [("would_not_stop", "not done 100 s after its power cut was taken")]


def test_an_unclear_stop_is_sent_again_only_after_a_list_and_then_waited_for():
    run = Run(retries=1).call("unclear")
    assert not run.may_send
    assert run.list() == [] and run.may_send
    run.call("cut")
    assert run.list() == [] and not run.may_send
    assert run.list(200)[0][0] == "would_not_stop"


@pytest.mark.parametrize(("start", "outcome"), [(False, "would_not_stop"), (True, "failed")])
def test_a_platform_that_has_too_much_to_do_is_asked_again_for_a_time_and_not_a_number_of_times(start, outcome):
    """And as nobody knows whether a stop was heard, its guest has then its own time, after which its power may be cut."""
    run = Run(start=start, retries=0, timeout=100.0)
    told, sent = [], 0
    while not told:
        assert run.now < 400
        if run.may_send:
            run.call("overloaded")
            sent += 1
            assert run.now < 200
        told = run.list(5.0)
    assert sent > 6
    assert [word for word, _error in told] == [outcome]
    assert (100 if start else 190) <= run.now < 300, "the last call is up to a list before its time"
    assert run.item.outlived is not start
    if not start:
        assert "was sent, and its answer left unclear whether it was taken" in told[0][1]


@pytest.mark.parametrize(("name", "calls", "behind"), [("throttled", 2, False), ("throttled", 3, True), ("overloaded", 3, True), ("busy", 3, False)])
def test_only_a_vm_that_was_too_much_three_times_goes_behind_those_that_had_no_call(name, calls, behind):
    run = Run()
    for _each in range(calls):
        run.call(name)
        run.list()
    for uuid in "bc":
        run.batch.add(uuid, f"VM {uuid}")
    first = [item.uuid for item in run.batch.sendable(run.now + MAX_BACKOFF, 2)]
    assert first == (["b", "c"] if behind else ["b", "a"])
    assert len(run.batch.sendable(run.now + MAX_BACKOFF, 5)) == 3


def test_an_unclear_start_fails_after_its_retries():
    run = Run(start=True, retries=1).call("unclear")
    assert run.list() == []
    run.call("unclear")
    assert run.list() == [("failed", str(ERRORS["unclear"]))]


def test_a_start_that_the_platform_answers_with_stopped_is_tried_again():
    run = Run(start=True, retries=1).call("accepted", state="stopped")
    assert run.item.answer is Answer.UNCLEAR
    assert run.list() == []
    run.call("accepted", state="stopped")
    assert run.list() == [("failed", "the platform answered the start with state stopped")]
    again = Run(start=True).call("accepted", state="running")
    assert again.item.answer is Answer.ACCEPTED


@pytest.mark.parametrize("start", [False, True])
def test_a_refused_call_starts_no_clock_and_is_tried_a_few_times(start):
    run = Run(start=start).call("refused")
    assert run.item.clock_from is None
    assert run.list(1000) == []
    run.call("bad")
    assert run.list(1000) == []
    run.call("refused")
    assert run.list() == [("refused", str(ERRORS["refused"]))]
    assert not run.item.outlived


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", ["busy", "throttled", "unsent"])
def test_a_hindered_call_is_tried_until_twice_the_time_limit(start, name):
    run = Run(start=start, timeout=100.0)
    calls = 0
    while run.now < 199:
        run.call(name)
        calls += 1
        assert run.item.clock_from is None
        settled = run.list()
        if settled:
            break
    assert settled == [] or run.now > 199
    assert calls > 5
    while not settled:
        settled = run.call(name).list()
    assert settled == [("refused", str(ERRORS[name]))]
    assert 200 <= run.now < 200 + 2 * MAX_BACKOFF


def test_a_refusal_in_between_ends_the_time_of_being_hindered():
    run = Run(timeout=100.0, retries=9).call("busy")
    assert run.list(150) == []
    run.call("refused")
    assert run.list() == []
    run.call("busy")
    assert run.list(150) == []


@pytest.mark.parametrize(("name", "starts"), [(name, name in ("accepted", "pending", "gateway", "unclear", "overloaded", "cut", "empty")) for name in ERRORS])
def test_the_vms_own_clock_starts_only_from_accepted_or_unclear(name, starts):
    run = Run().call(name)
    assert (run.item.clock_from is not None) is starts
    if starts:
        assert run.item.clock_from == run.now


def test_the_clock_runs_from_the_first_call_that_was_taken():
    run = Run(timeout=100.0).call("unclear")
    assert run.list() == []
    run.call("accepted")
    assert run.item.clock_from == run.now, "an unclear call that was sent again starts no clock"
    assert run.list(100)[0][0] == "would_not_stop"


def test_a_vm_that_is_gone():
    run = Run(start=True).call("gone")
    assert run.list() == [("vanished", str(ERRORS["gone"]))]
    odd = Run(retries=1).call("gone")  # the list still shows it running
    assert odd.list() == []
    odd.call("gone")
    assert odd.list()[0][0] == "refused"


def test_pauses_grow_and_have_an_end_and_heed_the_platform():
    run = Run(retries=99, backoff=5.0)
    pauses = []
    for _each in range(8):
        run.call("refused")
        pauses.append(run.item.not_before - run.now)
        run.list()
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60]
    run.batch.sent(run.item)
    run.batch.answered(run.item, error(429, retry_after=90.0), None, run.now)
    assert run.item.not_before == run.now + 90


def test_a_vm_that_starts_itself_again_is_stopped_three_times_and_then_named():
    run = Run().call("accepted")
    for _each in range(3):
        run.runs = False
        assert run.list() == [("clean", "")]
        run.runs = True
        assert run.list() == []
        assert not run.batch.finished
        run.call("accepted")
    run.runs = False
    assert run.list() == [("clean", "")]
    run.runs = True
    assert run.list() == [("would_not_stop", "it started again after each of 3 stops")]
    assert run.batch.finished
    assert run.list() == []


def test_a_vm_that_comes_back_after_its_power_was_cut_is_not_cut_again_without_a_graceful_stop():
    run = Run(force=True).call("accepted")
    run.runs = False
    assert run.list() == [("forced", "")]
    run.runs = True
    run.list()
    assert not run.may_send


def test_a_vm_that_comes_up_by_itself_after_a_first_look_is_not_cut():
    run = Run(force=True)
    assert [one.outcome for one in run.batch.first_look(set(), {"a": "stopped"})] == ["already_stopped"]
    run.list()
    assert not run.may_send


def test_an_answer_without_a_body_is_unclear_and_sent_again():
    run = Run().call("accepted", None)
    assert run.item.answer is Answer.UNCLEAR
    assert run.list() == []
    run.call("accepted")
    run.runs = False
    assert run.list() == [("clean", "")]


def test_an_outage_is_not_the_guests_time():
    """Unclear, then silence for longer than the time limit: sent again, not taken for deaf."""
    run = Run(timeout=100.0).call("unclear")
    assert run.list(1000) == []
    run.call("accepted")
    assert not run.item.outlived
    assert run.list(50) == []
    run.runs = False
    assert run.list() == [("clean", "")]


def test_what_obeys_after_its_time_is_clean_and_nothing_is_left_to_cut():
    run = Run(timeout=100.0).call("accepted")
    assert run.list(200)[0][0] == "would_not_stop"
    assert run.item.outlived
    run.runs = False
    assert run.list() == [("clean", "")]
    assert not run.item.outlived


@pytest.mark.parametrize("answer", ["busy", "refused", "unsent", "throttled"])
def test_a_call_that_was_not_taken_settles_no_vm_that_an_earlier_start_may_bring_up(answer):
    run = Run()
    run.item.must_send = True
    run.runs = False
    run.call(answer)
    assert run.list() == []
    run.call("accepted")
    assert run.list() == [("clean", "")]


@pytest.mark.parametrize("answer", ["unclear", "bad"])
def test_a_call_that_must_be_taken_and_never_is_has_an_end(answer):
    run = Run()
    run.item.must_send = True
    run.runs = False
    for _each in range(3):
        run.call(answer)
        settled = run.list()
    assert settled == [("refused", str(ERRORS[answer]))]


def test_what_did_not_stop_or_went_down_after_its_start_is_left_as_it_is():
    run = Run().call("accepted")
    run.list(200)
    assert run.list() == [] and run.batch.finished
    start = Run(start=True).call("accepted")
    start.runs = True
    start.list()
    start.runs = False
    assert start.list() == [] and start.batch.finished


# Not shrunk: with so many steps that takes minutes, and a story that is found is short enough to read.
@settings(CALM, max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(st.booleans(), st.booleans(), st.data())
def test_whatever_comes_the_rules_hold(start, force, data):
    batch = Batch(start, force and not start, 20.0, 2, 1.0)
    for uuid in "abcd":
        batch.add(uuid, uuid)
    now, answered, sent_since_list = 0.0, {}, {}
    lists = []
    for _each in range(40):
        now += data.draw(st.sampled_from([0.0, 0.5, 3.0, 30.0]))
        act = data.draw(st.sampled_from(["send", "answer", "begin", "end"]))
        if act == "send":
            room = data.draw(st.integers(-1, 3))
            chosen = batch.sendable(now, room)
            assert len(chosen) <= max(0, room)
            for item in chosen:
                assert item.not_before <= now
                assert not sent_since_list.get(item.uuid), "sent again without a list in between"
                sent_since_list[item.uuid] = True
                batch.sent(item)
        elif act == "answer":
            for item in batch.at(Step.OPEN)[:1]:
                got = ERRORS[data.draw(st.sampled_from(sorted(ERRORS)))]
                batch.answered(item, got, None, now)
                answered[item.uuid] = now
                if got is not None and got.status == 429:
                    sent_since_list[item.uuid] = False  # it was not taken for sure
        elif act == "begin":
            shown = st.fixed_dictionaries(dict.fromkeys("abcd", st.sampled_from(["running", "stopped", "stopping", "starting", "paused", ""])))
            lists.append((now, data.draw(shown)))
        elif lists:
            began, shown = lists.pop(0)
            running = {uuid for uuid, state in shown.items() if state == "running"}
            states = {uuid: state for uuid, state in shown.items() if state not in ("running", "")}
            open_before = {item.uuid for item in batch.at(Step.OPEN)}
            for entry in batch.listed(running, began, now, states):
                assert entry.item.uuid not in open_before
                assert answered[entry.item.uuid] <= began, "settled by a list begun before its answer"
                if entry.outcome in ("clean", "forced", "already_stopped"):
                    assert states[entry.item.uuid] == "stopped"
                if entry.outcome in ("running", "already_running"):
                    assert entry.item.uuid in running
            for uuid in "abcd":
                if answered.get(uuid, began + 1) <= began:
                    sent_since_list[uuid] = False
    assert batch.finished == all(item.step is Step.SETTLED for item in batch.items.values())


def test_the_longest_waiting_are_sent_first():
    batch = Batch(False, False, 10, 2, 1)
    for uuid in "abcdef":
        batch.add(uuid, uuid)
    for uuid, moment in (("a", 2.0), ("b", 0.0), ("c", 8.0), ("d", 1.0)):
        batch.sent(batch.items[uuid])
        batch.answered(batch.items[uuid], error(429), None, moment)

    def sendable(*given, **named):
        return [item.uuid for item in batch.sendable(*given, **named)]

    assert sendable(5.0, 9) == ["b", "e", "d", "f", "a"], "soonest due first, in turns with those that were never sent"
    assert sendable(5.0, 1) == ["b"], "the last call was the first of its VM"
    assert sendable(5.0, 2, fresh=False) == ["b", "d"]
    assert sendable(0.0, 9) == ["e", "f"]
    assert sendable(5.0, 9, fresh=False) == ["b", "d", "a"], "a look changes nothing"
    assert sendable(5.0, 0) == sendable(5.0, -3) == []
    batch.sent(batch.items["d"])
    assert sendable(5.0, 9) == ["e", "b", "f", "a"], "the last call was sent again"
    batch.out_of_time(9.0)
    assert sendable(99.0, 9) == []


@pytest.mark.parametrize(
    ("percent", "failed", "settled", "pulled"),
    [
        (20, 3, 10, True),
        (20, 2, 10, False),
        (20, 9, 9, False),
        (20, 21, 100, True),
        (20, 20, 100, False),
        (0, 1, 10, True),
        (100, 50, 50, False),
    ],
)
def test_brake(percent, failed, settled, pulled):
    assert Brake(percent).pulled(failed, settled) is pulled


@pytest.mark.parametrize(
    ("percent", "failed", "tried", "dead"),
    [(20, 2, 3, True), (20, 1, 3, False), (20, 1, 2, False), (20, 0, 0, False), (20, 1, 1, True), (100, 3, 3, False)],
)
def test_canaries(percent, failed, tried, dead):
    assert Brake(percent).canaries_dead(failed, tried) is dead


@pytest.mark.parametrize("then", ["busy", "refused"])
def test_a_start_that_may_be_at_work_is_never_called_refused(then):
    """An unclear start, and then the platform is busy with it or refuses another: its VM may still come up."""
    run = Run(start=True, retries=1).call("unclear")
    assert run.list() == []
    for _each in range(5):
        if run.may_send:
            run.call(then)
        settled = run.list(150)
        if settled:
            break
    assert [outcome for outcome, _error in settled] == ["failed"]


def test_a_start_that_was_only_ever_refused_is_called_so():
    run = Run(start=True, retries=0).call("refused")
    assert [outcome for outcome, _error in run.list()] == ["refused"]


def test_after_the_time_of_the_group_all_is_settled_and_nothing_is_cut():
    batch = Batch(False, False, 100.0, 2, 1.0)
    for uuid in "abc":
        batch.add(uuid, uuid)
    batch.sent(batch.items["b"])
    batch.sent(batch.items["c"])
    batch.answered(batch.items["c"], None, "running", 1.0)
    told = {entry.item.uuid: (entry.outcome, entry.error) for entry in batch.out_of_time(9.0)}
    words = "the time for its group was over before it was settled"
    assert told == {"a": ("refused", words), "b": ("refused", words), "c": ("would_not_stop", words)}
    assert batch.finished and not any(item.outlived for item in batch.items.values())


def test_a_vm_that_came_up_after_its_stop_was_sent_is_asked_again_and_not_cut():
    """The stop went to a VM that was down, as a start might still have brought it up; then its owner started it."""
    run = Run()
    run.item.must_send = run.item.was_down = True
    run.call("gateway")
    assert run.list(1) == [] and run.may_send, "asked while it runs"
    run.call("accepted")
    assert run.list(99) == [] and not run.item.outlived
    assert [outcome for outcome, _error in run.list(5)] == ["would_not_stop"]


def test_after_the_time_of_the_group_the_last_answer_is_told():
    for start, word in ((False, "refused"), (True, "failed")):
        run = Run(start=start).call("busy")
        (settled,) = run.batch.out_of_time(run.now)
        assert settled.outcome == word
        assert settled.error == f"the time for its group was over before it was settled; last answer: {ERRORS['busy']}"


def test_how_long_a_group_may_take_as_the_plan_prints_it():
    assert sending_seconds(5, 2, 100.0, 10.0) == 3 * 10 + 2 * 100 + 600
    assert group_seconds(5, 2, 100.0, 10.0) == 830 + 2 * 10 + 300
    assert sending_seconds(1, 0, 100.0, 10.0) == 10 + 200 + 600, "no pool is as small as that"
    assert sending_seconds(0, 2, 100.0, 10.0) == group_seconds(0, 2, 100.0, 10.0) == 0.0


def test_a_vm_that_needs_no_call_is_settled_without_a_word():
    run = Run()
    (settled,) = run.batch.first_look(set(), {"a": "stopped"})
    assert (settled.outcome, settled.error, run.item.error) == ("already_stopped", "", "")


@pytest.mark.parametrize(("after", "settled"), [(199.0, []), (200.0, [("refused", str(ERRORS["busy"]))])])
def test_hindered_ends_at_just_twice_the_time_limit(after, settled):
    run = Run(timeout=100.0).call("busy")
    assert run.list(after) == settled


@pytest.mark.parametrize(("name", "moments"), [("throttled", (300.0, 349.0, 350.0)), ("overloaded", (200.0, 249.0, 250.0))])
def test_what_is_too_much_gives_no_vm_up_for_as_long_as_others_are_taken(name, moments):
    batch = Batch(False, False, 100.0, 0, 1.0)
    for uuid in "ab":
        batch.add(uuid, uuid)
    refused, taken = batch.items["a"], batch.items["b"]
    batch.sent(refused)
    batch.answered(refused, ERRORS[name], None, 0.0)
    batch.sent(taken)
    batch.answered(taken, None, "", 150.0)
    assert [one.item for one in batch.listed({"a"}, 151.0, 151.0, {"b": "stopped"})] == [taken]
    for now in moments:
        assert refused.outcome is None and batch.sendable(now + MAX_BACKOFF, 5) == [refused]
        batch.sent(refused)
        batch.answered(refused, ERRORS[name], None, now)
        batch.listed({"a"}, now, now, {})
    assert batch.sendable(now + MAX_BACKOFF, 5) == []
    batch.listed({"a"}, now + 100.0, now + 100.0, {})
    # Who was answered 503 may have heard it: so it has its time, and is then left to who may cut power.
    assert (refused.outcome, refused.outlived) == (("refused", False) if name == "throttled" else ("would_not_stop", True))


def test_a_busy_vm_is_given_up_also_where_others_are_taken():
    batch = Batch(False, False, 100.0, 0, 1.0)
    for uuid in "ab":
        batch.add(uuid, uuid)
    busy, taken = batch.items["a"], batch.items["b"]
    for now, item, got in ((0.0, busy, ERRORS["busy"]), (150.0, taken, None)):
        batch.sent(item)
        batch.answered(item, got, "", now)
    assert [one.item for one in batch.listed({"a"}, 200.0, 200.0, {"b": "stopped"})] == [busy, taken]


def came_back(retries=2):
    """A VM that was stopped and runs again, and has not been asked again yet."""
    run = Run(retries=retries).call("accepted")
    run.runs = False
    assert run.list() == [("clean", "")]
    run.runs = True
    assert run.list() == []
    assert run.may_send
    return run


def test_a_vm_that_came_back_has_a_time_limit_of_its_own():
    run = came_back().call("accepted")
    assert run.list(99) == [] and not run.may_send
    assert run.list(1) == [("would_not_stop", "not done 100 s after its graceful stop was taken")]


def test_a_vm_that_came_back_and_went_down_without_us_was_not_stopped_by_us():
    run = came_back().call("busy")
    run.runs = False
    assert run.list() == [("already_stopped", "")]


def test_a_vm_that_came_back_has_all_its_tries_again():
    run = came_back(retries=1).call("unclear")
    assert run.list() == [] and run.may_send


def test_an_unclear_answer_to_the_stop_of_a_vm_that_came_back_is_told_as_unclear():
    run = came_back(retries=0).call("gateway")
    ((outcome, words),) = run.list(100)
    assert outcome == "would_not_stop"
    assert "its answer left unclear whether it was taken" in words


def doubtful(count, doubt=None, now=1.0):
    doubt = doubt or KeyDoubt()
    for _each in range(count):
        doubt.answered(Answer.REFUSED, ERRORS["refused"], now)
    return doubt


def test_three_refused_in_a_row_are_a_matter_of_the_key_until_a_list_tells():
    doubt = doubtful(2)
    assert not doubt.holds
    doubt.answered(Answer.REFUSED, ERRORS["bad"], 1.0)
    assert not doubt.holds, "a 400 says nothing about the key"
    assert doubtful(1, doubt).holds
    doubt.listed(0.9)
    assert doubt.holds, "that list was begun before"
    doubt.listed(1.0)
    assert not doubt.holds


def test_a_call_that_was_taken_in_between_takes_the_doubt_away():
    doubt = doubtful(2)
    doubt.answered(Answer.ACCEPTED, None, 1.0)
    assert not doubtful(2, doubt).holds


def test_a_key_that_was_good_after_all_is_doubted_less_each_time():
    doubt, needed = KeyDoubt(), []
    for moment in range(4):
        while not doubt.holds:
            doubtful(1, doubt, float(moment))
        needed.append(doubt.refused)
        doubt.listed(float(moment))
    assert needed == [3, 6, 12, 24]
    doubtful(5, doubt, 9.0).listed(9.0)
    assert (doubt.most, doubt.refused) == (48, 0), "a list that nothing waited for"


@pytest.mark.parametrize("state", ["stopping", "paused", "starting", "some new word"])
@pytest.mark.parametrize("force", [False, True])
def test_vm_that_left_the_list_is_not_down_and_times_out(state, force):
    run = Run(force=force, timeout=100.0).call("accepted")
    run.runs, run.state = False, state
    assert run.list(50) == [] and not run.may_send and not run.batch.finished
    word = "power cut" if force else "graceful stop"
    assert run.list(50) == [("would_not_stop", f"not done 100 s after its {word} was taken; it is {state}")]
    assert run.item.outlived


def test_vm_whose_state_could_not_be_read_is_neither_down_nor_timed_out():
    run = Run(timeout=100.0).call("accepted")
    assert run.batch.unexplained(set()) == ["a"]
    assert run.batch.listed(set(), 1000.0, 1000.0, {}) == []
    assert not run.item.outlived and not run.may_send


@pytest.mark.parametrize("name", ["unclear", "cut", "empty"])
def test_no_second_stop_is_sent_to_a_vm_that_is_stopping(name):
    run = Run(timeout=100.0).call(name)
    run.runs, run.state = False, "stopping"
    assert run.list() == [] and not run.may_send
    run.state = "stopped"
    assert run.list() == [("clean", "")]


def test_vm_that_times_out_while_stopping_and_obeys_later_is_clean():
    run = Run(timeout=100.0).call("accepted")
    run.runs, run.state = False, "stopping"
    assert run.list(200)[0][0] == "would_not_stop"
    assert run.batch.unexplained(set()) == ["a"] and run.list() == []
    run.state = "deleted"
    assert run.list() == [("clean", "")] and not run.item.outlived


@pytest.mark.parametrize("state", ["paused", "stopping", ""])
def test_first_look_leaves_a_vm_in_another_state_to_its_stop(state):
    run = Run()
    assert run.batch.unexplained(set()) == ["a"]
    assert run.batch.first_look(set(), {"a": state} if state else {}) == []
    assert run.may_send and not run.item.was_down


def test_first_look_forces_off_no_vm_of_unknown_state():
    run = Run(force=True)
    (settled,) = run.batch.first_look(set(), {})
    assert (settled.outcome, settled.error) == ("would_not_stop", "its state could not be read, so it was not forced off")


@pytest.mark.parametrize("state", ["starting", "creating", "pending", "provisioning", "queued"])
@pytest.mark.parametrize("name", ["accepted", "unclear", "busy", "cut"])
def test_no_second_start_is_sent_while_the_vm_shows_a_passing_state(name, state):
    run = Run(start=True, timeout=100.0).call(name, state)
    run.state = state
    assert run.list() == [] and not run.may_send
    run.runs = True
    assert run.list() == [("already_running" if name == "busy" else "running", "")]


@pytest.mark.parametrize("name", ["accepted", "unclear"])
def test_start_that_stays_in_a_passing_state_fails_after_its_time(name):
    run = Run(start=True, timeout=100.0).call(name, "starting")
    run.state = "starting"
    assert run.list(99) == []
    ((outcome, error),) = run.list(1)
    assert outcome == "failed" and "not done 100 s after its start " in error and ("; it is starting" in error or name == "accepted")


@pytest.mark.parametrize("state", ["paused", "error", "stopping", "stopped"])
def test_start_answered_with_another_state_is_retried_and_named(state):
    run = Run(start=True, retries=1)
    run.state = "stopped"
    run.call("accepted", state).list()
    run.call("accepted", state)
    assert run.list() == [("failed", f"the platform answered the start with state {state}")]


def test_vm_that_an_earlier_run_started_gets_no_call_until_it_is_stopped_again():
    run = Run(start=True, timeout=100.0)
    run.batch = Batch(True, False, 100.0, 2, 1.0)
    run.batch.add("a", "VM a", heard=True, at_work=True)
    run.item = run.batch.items["a"]
    run.state = "starting"
    assert run.batch.first_look(set(), {}) == []
    assert run.list() == [] and not run.may_send
    run.state = "stopped"
    assert run.list() == [] and run.may_send


def test_vm_at_work_for_longer_than_its_time_fails_without_a_call():
    batch = Batch(True, False, 100.0, 2, 1.0)
    batch.add("a", "VM a", at_work=True)
    assert batch.listed(set(), 10.0, 10.0, {"a": "starting"}) == []
    ((outcome, error),) = [(one.outcome, one.error) for one in batch.listed(set(), 110.0, 110.0, {"a": "starting"})]
    assert (outcome, error) == ("failed", "not done after 100 s without a further call; it is starting")
