# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine with an invented platform: how much is open, what is written when, and what ends it."""

from __future__ import annotations

import functools
import itertools
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, LeaseLost, PilwError, StaleRun
from ansible_collections.pilw.maintenance.plugins.module_utils._power import batch
from ansible_collections.pilw.maintenance.plugins.module_utils._power import engine as _engine
from ansible_collections.pilw.maintenance.plugins.module_utils._power.engine import Engine, Orders, Target, Wave
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from ansible_collections.pilw.maintenance.plugins.module_utils._report import data

FAST = {"poll_interval": 0.01, "timeout": 30.0}


def error(status=500, kind=ApiError, **more):
    return kind("POST", "/x", status=status, detail="words", **more)


class Cloud:
    """VMs in memory. C(answers): by uuid, what calls raise in turn (None: obeys). C(deaf): obey never."""

    def __init__(self, running, answers=None, deaf=(), on_call=None, lists=()):
        self.up, self.answers, self.deaf = set(running), dict(answers or {}), set(deaf)
        self.on_call, self.lists = on_call, list(lists)
        self.lock, self.calls, self.open, self.most = threading.Lock(), [], 0, 0
        self.together = None
        self.known, self.between, self.details, self.complete = set(running), {}, [], 0

    def power(self, uuid, action, force=False):
        with self.lock:
            self.calls.append((uuid, action, force))
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            if self.on_call:
                self.on_call(uuid)
            if self.together:
                self.together.wait(5)
            script = self.answers.get(uuid)
            given = script.pop(0) if script else None
            if given is not None:
                raise given
            with self.lock:
                if uuid not in self.deaf:
                    (self.up.add if action == "start" else self.up.discard)(uuid)
            return ""
        finally:
            with self.lock:
                self.open -= 1

    def running_vms_now(self):
        with self.lock:
            given = self.lists.pop(0) if self.lists else None
            if given is not None:
                raise given
            return VmList({uuid: parse_vm({"uuid": uuid, "status": "running"}) for uuid in self.up})

    def vms_now(self):
        with self.lock:
            self.complete += 1
            return VmList({uuid: self.row(uuid) for uuid in self.up | self.known})

    def vm_now(self, uuid):
        with self.lock:
            self.details.append(uuid)
            return self.row(uuid)

    def row(self, uuid):
        state = "running" if uuid in self.up else self.between.get(uuid, "stopped")
        return parse_vm({"uuid": uuid, "status": state})

    def called(self):
        return [uuid for uuid, _action, _force in self.calls]


def into(record, token):
    return _engine.Journal(functools.partial(record.write, token), lambda: record.check_run(token))


class Journal:
    """Keeps what is written, and fails or ends as told."""

    def __init__(self, cloud=None, lives=None, stale_at=None):
        self.cloud, self.lives, self.stale_at = cloud, lives, stale_at
        self.changes, self.looks, self.written_first = [], 0, []

    def write(self, changes):
        if self.stale_at is not None and len(self.changes) >= self.stale_at:
            raise StaleRun("Another run has taken over")
        self.changes += changes
        for change in changes:
            if change.event.endswith(" sent"):
                self.written_first.append(change.uuid not in self.cloud.called() if self.cloud else True)

    def check_wanted(self):
        self.looks += 1
        if self.lives is not None and not self.lives():
            raise LeaseLost("nobody asks for it any more")

    def events(self, uuid):
        return [change.event for change in self.changes if change.uuid == uuid]


def run(cloud, uuids, journal=None, waves=None, **orders):
    orders = Orders(**{"start": False, **FAST, **orders})
    waves = waves or [Wave("all", [Target(uuid, f"VM {uuid}") for uuid in uuids])]
    return Engine(cloud, orders, journal or _engine.Journal()).run(waves)


def names(count, lead="v"):
    return [f"{lead}{number}" for number in range(count)]


def outcomes(result):
    return {uuid: outcome for uuid, (outcome, _error) in result.outcomes.items()}


@pytest.mark.parametrize("start", [False, True])
def test_all_are_brought_to_the_state_and_nothing_else_is_touched(start):
    vms = names(9)
    cloud = Cloud([*([] if start else vms), "stranger"])
    result = run(cloud, vms, start=start)
    assert outcomes(result) == dict.fromkeys(vms, "running" if start else "clean")
    assert sorted(cloud.called()) == vms
    assert cloud.up == ({*vms, "stranger"} if start else {"stranger"})
    assert (result.ended, result.unsettled, result.calls) == (None, [], 9)
    assert result.failed(start) == []


class FewThreads(ThreadPoolExecutor):
    """The host gives no further thread for one work. It is done all the same, in another one's thread, and nobody hears of it."""

    def submit(self, *given, **named):
        work = super().submit(*given, **named)
        if next(self.numbers) == self.last:
            raise RuntimeError("can't start new thread")
        return work


@pytest.mark.parametrize("last", [0, 4])
def test_a_host_without_threads_ends_it_in_good_order(last, monkeypatch):
    few = type("Few", (FewThreads,), {"numbers": itertools.count(), "last": last})
    monkeypatch.setattr(_clock.pace, "workers", few)
    vms = names(9)
    cloud = Cloud(vms)
    journal = Journal(cloud)
    result = run(cloud, vms, journal, concurrency=9)
    assert "can't start new thread" in str(result.ended) and "ceph_maint_concurrency (9)" in str(result.ended)
    assert [uuid for uuid in vms if "stop answered" in journal.events(uuid)] == vms[: max(0, last - 1)]  # the first is a list
    assert set(cloud.called()) <= {change.uuid for change in journal.changes if change.event == "stop sent"}
    assert result.unsettled == vms


def test_those_already_there_get_no_call():
    cloud = Cloud(["a"])
    assert outcomes(run(cloud, ["a", "b"])) == {"a": "clean", "b": "already_stopped"}
    assert cloud.called() == ["a"]


def test_unless_an_earlier_call_may_undo_it():
    cloud = Cloud([])
    result = run(cloud, [], waves=[Wave("all", [Target("a", "VM a", must_send=True), Target("b", "VM b")])])
    assert cloud.called() == ["a"]
    assert outcomes(result) == {"a": "clean", "b": "already_stopped"}


@pytest.mark.parametrize("concurrency", [1, 3, 40])
def test_never_more_calls_open_than_asked_and_no_fewer(concurrency):
    vms = names(4 * concurrency)
    cloud = Cloud(vms)
    cloud.together = threading.Barrier(concurrency)
    result = run(cloud, vms, concurrency=concurrency)
    assert cloud.most == concurrency
    assert outcomes(result) == dict.fromkeys(vms, "clean")


def test_a_refused_start_is_no_refusal_where_an_earlier_one_may_be_at_work():
    cloud = Cloud([], answers={"a": [error(400)], "b": [error(400)]})
    waves = [Wave("all", [Target("a", "VM a", heard=True), Target("b", "VM b")])]
    assert outcomes(run(cloud, [], waves=waves, start=True, retries=0, max_fail_percentage=100, timeout=0.2)) == {"a": "failed", "b": "refused"}


@pytest.mark.parametrize(("force", "sent"), [(False, "stop sent"), (True, "power cut sent")])
def test_it_is_written_down_before_it_is_sent(force, sent):
    cloud = Cloud(names(6))
    journal = Journal(cloud)
    run(cloud, names(6), journal, concurrency=2, force=force)
    assert journal.written_first == [True] * 6
    assert journal.events("v0") == [sent, "stop answered", "stop: " + ("forced" if force else "clean")]
    assert {call[2] for call in cloud.calls} == {force}


def test_the_call_waits_for_the_disk():
    cloud = Cloud(["a"])

    class Full(Journal):
        def write(self, changes):
            raise StaleRun("no")

    assert isinstance(run(cloud, ["a"], Full()).ended, StaleRun)
    assert cloud.calls == []


def test_one_failure_ends_nothing_for_the_others():
    answers = {"v0": [error(403, AuthError)] * 9, "v1": [error(400)] * 9, "v2": [error(500), None], "v3": [error(409), None]}
    cloud = Cloud(names(8), answers)
    result = run(cloud, names(8), retries=1, timeout=1.0)
    assert outcomes(result) == {**dict.fromkeys(names(8), "clean"), "v0": "refused", "v1": "refused"}
    assert result.outcomes["v1"] == ("refused", "POST /x answered 400: words")
    assert result.outcomes["v0"][1].startswith("POST /x answered 403: words")
    assert result.failed(False) == ["v0", "v1"]
    assert result.ended is None


def test_what_does_not_obey_is_outlived_and_named():
    journal = Journal()
    result = run(Cloud(["a"], deaf=["a"]), ["a"], journal, timeout=0.05)
    assert result.outcomes["a"] == ("would_not_stop", "not done 0.05 s after its graceful stop was taken")
    assert journal.changes[-1].columns["outlived_at"]


def test_a_pending_call_is_never_sent_again():
    cloud = Cloud(["a"], {"a": [error(504)] * 9})
    result = run(cloud, ["a"], timeout=0.15)
    assert cloud.called() == ["a"]
    assert outcomes(result) == {"a": "would_not_stop"}


def test_a_refused_key_ends_it():
    cloud = Cloud(["a"], lists=[error(401, AuthError)])
    result = run(cloud, ["a"])
    assert cloud.calls == []
    assert str(result.ended).startswith("The platform no longer accepts the API key: POST /x answered 401: words")
    assert "run the same command again: it goes on." in str(result.ended)
    assert result.unsettled == ["a"]


def test_a_key_refused_half_way_ends_it_with_what_was_answered_written():
    cloud, journal = Cloud(["a", "b"], lists=[None, error(403, AuthError)]), Journal()
    result = run(cloud, ["a", "b"], journal, concurrency=1)
    assert result.ended is not None
    assert len(cloud.calls) >= 1
    for uuid in cloud.called():
        assert "stop answered" in journal.events(uuid)


def test_a_newer_run_ends_it_without_a_further_call():
    cloud = Cloud(names(9))
    journal = Journal(stale_at=1)
    result = run(cloud, names(9), journal, concurrency=1)
    assert isinstance(result.ended, StaleRun)
    assert len(cloud.calls) == 1
    assert result.unsettled


def test_a_lost_lease_ends_it_and_open_calls_are_still_written():
    gone = threading.Event()
    cloud = Cloud(names(9), on_call=lambda uuid: gone.set())
    journal = Journal(lives=lambda: not gone.is_set())
    result = run(cloud, names(9), journal, concurrency=2)
    assert isinstance(result.ended, LeaseLost)
    assert len(cloud.calls) <= 2
    for uuid in cloud.called():
        assert journal.events(uuid) == ["stop sent", "stop answered"]
    assert set(cloud.called()) <= set(result.unsettled)


@pytest.mark.parametrize("raised", [RuntimeError("can't start new thread"), KeyError("x"), LeaseLost("gone")], ids=repr)
def test_an_error_of_no_known_kind_ends_it_and_open_calls_are_still_written(raised):
    def on_call(uuid):
        if uuid == "v1":
            raise raised
        threading.Event().wait(0.2)

    cloud, journal = Cloud(names(9), on_call=on_call), Journal()
    result = run(cloud, names(9), journal, concurrency=3)
    assert isinstance(result.ended, PilwError)
    if not isinstance(raised, PilwError):
        assert f"{type(raised).__name__}: {raised}." in str(result.ended)
        assert str(result.ended).endswith("Run the same command again: it goes on.")
        assert result.ended.__cause__ is raised
    assert len(cloud.calls) == 3
    for uuid in set(cloud.called()) - {"v1"}:
        assert journal.events(uuid) == ["stop sent", "stop answered"]
    assert journal.events("v1") == ["stop sent"]
    assert set(cloud.called()) <= set(result.unsettled)


def test_a_list_with_an_error_of_no_known_kind_ends_it_and_open_calls_are_still_written():
    cloud, journal = Cloud(names(3), lists=[None, TypeError("odd")]), Journal()
    cloud.on_call = lambda uuid: threading.Event().wait(0.2)
    result = run(cloud, names(3), journal)
    assert "TypeError: odd." in str(result.ended)
    for uuid in cloud.called():
        assert journal.events(uuid)[:2] == ["stop sent", "stop answered"]


def test_the_lease_is_looked_at_during_the_pause_between_groups(monkeypatch):
    paused = []
    monkeypatch.setattr(_engine._clock.pace, "sleep", lambda seconds: paused.append(seconds) if seconds == 0.5 else None)
    cloud = Cloud([])
    waves = [Wave("one", [Target("a", "a")], delay=3600.0), Wave("two", [Target("b", "b")])]
    result = run(cloud, [], Journal(lives=lambda: len(paused) < 3), waves, start=True)
    assert isinstance(result.ended, LeaseLost)
    assert cloud.called() == ["a"]
    assert len(paused) == 3


def test_wave_with_limits_of_its_own_keeps_them():
    cloud = Cloud(names(12), deaf=["v11"])
    waves = [
        Wave("one by one", [Target(uuid, uuid) for uuid in names(5)], concurrency=1),
        Wave("the rest", [Target(uuid, uuid) for uuid in names(12)[5:11]]),
        Wave("short", [Target("v11", "v11")], timeout=0.1),
    ]
    most = []
    cloud.on_call = lambda uuid: (_clock.sleep(0.02), most.append((int(uuid[1:]), cloud.open)))
    result = run(cloud, [], waves=waves, concurrency=4)
    assert max(count for number, count in most if number < 5) == 1
    assert max(count for number, count in most if 5 <= number < 11) == 4
    assert result.outcomes["v11"] == ("would_not_stop", "not done 0.1 s after its graceful stop was taken")


def test_canary_wave_never_has_less_time_than_the_run():
    orders = Orders(start=True, timeout=900.0)
    assert orders.of(Wave("canary", [], canary=True, timeout=60.0)).timeout == 900.0
    assert orders.of(Wave("canary", [], canary=True, timeout=1800.0)).timeout == 1800.0
    assert orders.of(Wave("db", [], timeout=60.0)).timeout == 60.0


def test_waves_follow_each_other():
    cloud = Cloud(names(4))
    waves = [Wave("one", [Target("v2", "v2"), Target("v3", "v3")]), Wave("two", [Target("v0", "v0")])]
    run(cloud, [], waves=waves)
    assert set(cloud.called()[:2]) == {"v2", "v3"} and cloud.called()[2:] == ["v0"]


def test_the_brake_stops_a_start_that_goes_wrong():
    vms = names(60)
    cloud = Cloud([], {uuid: [error(500)] * 9 for uuid in vms}, on_call=lambda uuid: threading.Event().wait(0.02))
    result = run(cloud, vms, start=True, retries=0, concurrency=5)
    assert "did not start, more than 20 percent: the starting was stopped, the rest was not touched." in str(result.ended)
    assert "-e ceph_maint_max_fail_percentage=100" in str(result.ended)
    assert 10 <= len(set(cloud.called())) < 60
    assert result.unsettled


def test_no_brake_on_a_stop_and_none_at_a_hundred_percent():
    vms = names(30)
    answers = {uuid: [error(400)] * 9 for uuid in vms}
    stopping = run(Cloud(vms, dict(answers)), vms, retries=0)
    assert stopping.ended is None and len(stopping.outcomes) == 30
    starting = run(Cloud([], {uuid: [error(500)] * 9 for uuid in vms}), vms, start=True, retries=0, max_fail_percentage=100)
    assert starting.ended is None and set(outcomes(starting).values()) == {"failed"}


def test_canaries_keep_the_rest_untouched():
    waves = [Wave("canary", [Target(uuid, f"VM {uuid}") for uuid in names(3)], canary=True), Wave("rest", [Target("x", "VM x")])]
    cloud = Cloud([], {uuid: [error(500)] * 9 for uuid in ("v0", "v1")})
    result = run(cloud, [], waves=waves, start=True, retries=0)
    assert "x" not in cloud.called()
    assert result.unsettled == ["x"]
    assert str(result.ended).startswith("Most of the first 3 VMs did not start, so the rest was not touched: VM v0: POST /x")
    assert "-e ceph_maint_canary=0 -e ceph_maint_max_fail_percentage=100" in str(result.ended)
    fine = run(Cloud([], {"v0": [error(500)] * 9}), [], waves=waves, start=True, retries=0)
    assert fine.ended is None and outcomes(fine)["x"] == "running"


def test_nothing_is_sent_while_the_api_is_away():
    cloud = Cloud(names(6))
    log, away, running_vms = [], [error(502)] * 5, cloud.running_vms_now

    def on_call(uuid):
        log.append("call")
        if away:
            cloud.lists, away[:] = list(away), []
        threading.Event().wait(0.02)

    def listed():
        try:
            found = running_vms()
        except ApiError:
            log.append("away")
            raise
        log.append("list")
        return found

    cloud.on_call, cloud.running_vms_now = on_call, listed
    result = run(cloud, names(6), concurrency=1)
    assert outcomes(result) == dict.fromkeys(names(6), "clean")
    assert result.ended is None
    since_second = log[log.index("away", log.index("away") + 1) :]
    assert since_second[:5] == ["away"] * 4 + ["list"]


def test_a_first_list_that_fails_sends_nothing_until_one_comes():
    seen = []
    cloud = Cloud(["a"], lists=[error(500)] * 4)
    cloud.on_call = lambda uuid: seen.append(len(cloud.lists))
    assert outcomes(run(cloud, ["a"])) == {"a": "clean"}
    assert seen == [0]


def test_an_outage_has_an_end():
    now = [0.0]

    def clock():
        now[0] += 20.0
        return now[0]

    cloud = Cloud(["a"], lists=[error(502)] * 10000)
    result = Engine(cloud, Orders(start=False, timeout=30.0, poll_interval=0.01), _engine.Journal(), clock).run(
        [Wave("all", [Target("a", "a")])]
    )
    found = re.fullmatch(
        r"The API has given no VM list for (\d+) s\. Nothing more is sent; what was answered so far is recorded\. "
        r"Once the API answers, run the same command again: it goes on\.",
        str(result.ended),
    )
    assert found and 600 < int(found[1]) < 700, result.ended
    assert cloud.calls == []


def test_each_call_that_is_too_much_leaves_room_for_one_less():
    cloud = Cloud(names(20), {"v0": [error(429)], "v1": [error(503)]})
    engine = Engine(cloud, Orders(start=False, concurrency=4, **FAST), _engine.Journal())
    # A call that the platform takes gives room back: none does between the two refusals, however slow the machine.
    engine._throttle._refused_within = 60.0
    both_refused = threading.Event()

    def on_call(uuid):
        if not cloud.answers.get(uuid):
            assert both_refused.wait(30)

    cloud.on_call = on_call
    limits, refused = [], engine._throttle.refused

    def record_limit(*args):
        refused(*args)
        limits.append(engine._throttle.limit)
        if len(limits) == 2:
            both_refused.set()

    engine._throttle.refused = record_limit
    result = engine.run([Wave("all", [Target(uuid, uuid) for uuid in names(20)])])
    assert outcomes(result) == dict.fromkeys(names(20), "clean")
    assert limits == [4, 3], "of four, and one that was saved"


def test_a_failed_start_leaves_no_earlier_outcome_in_the_record():
    journal = Journal()
    run(Cloud([]), ["a"], journal, start=True)
    assert journal.changes[0].columns["start_outcome"] is None
    assert journal.changes[-1].columns["start_outcome"] == "running"


# With a real record.


@pytest.fixture
def made(tmp_path):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": uuid, "status": "running"}) for uuid in "abc"], late=False)
    yield record, token
    record.close()


def test_the_record_has_it_all(made):
    record, token = made
    cloud = Cloud("abc", deaf="b")
    result = run(cloud, "abc", into(record, token), timeout=0.05)
    first, second, _third = record.vms()
    assert outcomes(result) == {"a": "clean", "b": "would_not_stop", "c": "clean"}
    assert (first.stop_done, first.outlived, first.stop.done_at is not None) == (True, False, True)
    assert "Of these run now" not in "".join(data.stop_lines(record))
    assert (second.stop_done, second.outlived) == (False, True)
    assert second.stop.error == "not done 0.05 s after its graceful stop was taken"
    assert [event["what"] for event in record.events() if event["uuid"] == "a"] == ["recorded", "stop sent", "stop answered", "stop: clean"]


def test_a_takeover_is_seen_before_the_next_call(made):
    record, token = made
    cloud = Cloud("abc")
    other = Record(record.path)
    other.begin_run("bob", "restore")
    result = run(cloud, "abc", into(record, token))
    assert isinstance(result.ended, StaleRun)
    assert cloud.calls == []
    other.close()


@pytest.mark.parametrize("force", [False, True])
def test_a_vm_that_outlived_its_stop_stays_known_as_such_when_a_later_call_is_refused(made, force):
    record, token = made
    record.write(token, [Change("a", {"outlived_at": "t", "stop_outcome": "would_not_stop"})])
    cloud = Cloud("a", {"a": [error(400)] * 9})
    result = run(cloud, "a", into(record, token), force=force, retries=0)
    assert outcomes(result) == {"a": "refused"}
    assert record.vms()[0].outlived


def test_limits_are_what_the_operator_was_told():
    assert Orders(start=False) == Orders(False, False, 20, 600.0, 5.0, 2, 20.0)
    assert _engine.OUTAGE_LIMIT == 600.0


def test_a_call_that_lasts_is_no_outage():
    now = [0.0]

    def clock():
        now[0] += 20.0
        return now[0]

    cloud = Cloud(["a"], on_call=lambda uuid: now.__setitem__(0, now[0] + 700.0))
    result = Engine(cloud, Orders(start=False, timeout=30.0, poll_interval=0.01), _engine.Journal(), clock).run(
        [Wave("all", [Target("a", "a")])]
    )
    assert (outcomes(result), result.ended) == ({"a": "clean"}, None)


def test_a_group_has_an_end_and_what_is_left_is_named(monkeypatch):
    """A platform that is busy for ever holds nobody for ever, and the next group has its turn."""
    now = [0.0]

    def clock():
        now[0] += 5.0
        return now[0]

    cloud = Cloud(["a", "b"], {"a": [error(409)] * 100000})
    waves = [Wave("one", [Target("a", "a")]), Wave("two", [Target("b", "b")])]
    monkeypatch.setattr(_engine._clock.pace, "sleep", lambda seconds: None)
    orders = Orders(start=False, timeout=500.0, poll_interval=0.01, call_seconds=1.0)
    journal = Journal()
    result = Engine(cloud, orders, journal, clock).run(waves)
    assert outcomes(result) == {"a": "refused", "b": "clean"}
    assert now[0] < 2 * batch.group_seconds(1, 20, 500.0, 1.0)
    events = journal.events("a")
    assert events.count("stop sent") == events.count("stop answered"), "no group ends while a call of it is open"


def test_no_list_is_asked_for_while_none_would_tell_anything():
    listed, waiting = [], threading.Event()
    cloud = Cloud(["a"], on_call=lambda uuid: waiting.wait(0.4))
    running_vms = cloud.running_vms_now
    cloud.running_vms_now = lambda: listed.append(cloud.open) or running_vms()
    assert outcomes(run(cloud, ["a"])) == {"a": "clean"}
    assert 1 not in listed, "while the only call is open"


def test_a_vm_that_comes_up_again_is_stopped_again():
    def on_call(uuid):
        if uuid == "b":
            threading.Event().wait(0.2)
            cloud.up.add("a")

    cloud = Cloud(["a", "b"], on_call=on_call)
    assert outcomes(run(cloud, ["a", "b"], concurrency=1)) == {"a": "clean", "b": "clean"}
    assert cloud.called() == ["a", "b", "a"]


def test_of_a_vm_that_is_being_stopped_again_the_former_end_is_past():
    def on_call(uuid):
        if uuid == "b":
            threading.Event().wait(0.2)
            cloud.up.add("a")

    cloud = Cloud(["a", "b"], on_call=on_call)
    result = run(cloud, ["a", "b"], Journal(lives=lambda: len(cloud.calls) < 3), concurrency=1)
    assert isinstance(result.ended, LeaseLost) and "a" in result.unsettled


def test_a_vm_that_was_down_and_comes_up_after_the_call_has_a_time_limit_of_its_own():
    """The call asked nothing of a running guest, so it is asked anew, and its time is counted from then."""

    def on_call(uuid):
        if len(cloud.calls) == 1:
            cloud.up.add(uuid)
        else:
            cloud.deaf.clear()

    cloud = Cloud([], deaf="a", on_call=on_call)
    result = run(cloud, [], waves=[Wave("all", [Target("a", "VM a", must_send=True)])], timeout=0.5)
    assert (outcomes(result), len(cloud.calls)) == ({"a": "clean"}, 2)


def test_a_stop_that_is_sent_again_is_open_again(tmp_path):
    """What the record said of an earlier stop is past, so that a restore waits for this one."""
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": "a", "status": "running"})], late=False)
    record.write(token, [Change("a", {"stop_outcome": "clean", "stop_sent_at": "2026-01-01T00:00:00Z"})])
    seen = []
    cloud = Cloud(["a"], on_call=lambda uuid: seen.append(Record(record.path).vms()[0].stop_pending))
    Engine(cloud, Orders(start=False, **FAST), into(record, token)).run([Wave("all", [Target("a", "a")])])
    assert seen == [True]
    assert record.vms()[0].stop_done


@pytest.mark.parametrize("start", [False, True])
def test_only_a_stop_that_worked_makes_an_earlier_start_past(tmp_path, start):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.add_running(token, [parse_vm({"uuid": "a", "status": "running"})], late=False)
    record.write(token, [Change("a", {"start_sent_at": "2026-01-01T00:00:00Z"})])
    engine = Engine(Cloud([] if start else ["a"]), Orders(start=start, **FAST), into(record, token))
    engine.run([Wave("all", [Target("a", "a")])])
    assert (record.vms()[0].start.sent_at is not None) is start


def test_the_delay_of_the_last_group_is_not_waited_for(monkeypatch):
    slept = []
    monkeypatch.setattr(_engine._clock.pace, "sleep", slept.append)
    assert outcomes(run(Cloud(["a"]), [], waves=[Wave("one", [Target("a", "a")], delay=3600.0)])) == {"a": "clean"}
    assert sum(slept) < 60


def test_the_delay_of_the_last_group_is_waited_for_where_others_follow_in_another_call(monkeypatch):
    slept = []
    engine = Engine(Cloud(["a"]), Orders(start=False, **FAST), _engine.Journal())
    monkeypatch.setattr(engine, "_pause", slept.append)
    waves = [Wave("one", [Target("a", "a")], delay=3600.0)]
    assert outcomes(engine.run(waves, more=True)) == {"a": "clean"}
    assert slept == [3600.0]
    engine.run(waves, more=False)
    assert slept == [3600.0]


def test_a_pause_is_as_long_as_asked_and_no_longer(monkeypatch):
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(_engine._clock.pace, "sleep", sleep)
    engine = Engine(Cloud([]), Orders(start=False, **FAST), _engine.Journal(), lambda: now[0])
    engine._pause(1.25)
    assert slept == [0.5, 0.5, 0.25]


def test_what_is_said_when_the_trial_goes_wrong():
    waves = [Wave("canary", [Target(uuid, f"VM {uuid}") for uuid in names(2)], canary=True), Wave("rest", [Target("x", "VM x")])]
    result = run(Cloud([], {"v0": [error(500)] * 9, "v1": [error(400)] * 9}), [], waves=waves, start=True, retries=0)
    assert str(result.ended) == (
        "Most of the first 2 VMs did not start, so the rest was not touched: VM v0: POST /x answered 500: words; VM v1: POST /x "
        "answered 400: words. Look at Ceph (stale locks, blocklisted clients, pause flag) and at these VMs, then run the same "
        "command again. To go on without this trial: -e ceph_maint_canary=0 -e ceph_maint_max_fail_percentage=100"
    )


def test_stages_whose_calls_are_answered_wait_for_no_interval():
    """A list comes after the last answer of a stage, and the first one of the next stage, though the interval is an hour."""
    cloud = Cloud(names(6))
    waves = [Wave("first", [Target(uuid, uuid) for uuid in names(6)[:2]]), Wave("rest", [Target(uuid, uuid) for uuid in names(6)[2:]])]
    began = _clock.monotonic()
    result = run(cloud, [], waves=waves, poll_interval=3600.0, concurrency=4)
    assert _clock.monotonic() - began < 20, "waited until no call could be sent any more"
    assert {outcome for outcome, _error in result.outcomes.values()} == {"clean"} and len(result.outcomes) == 6
    assert result.unsettled == []


# What only the loop itself decides: who is sent, when, and what is on disk before.


def cut():
    return ApiError("POST", "/x", detail="words", sent=True)


def unclear():
    return ApiError("POST", "/x", detail="words", sent=True, timed_out=True)


@pytest.mark.parametrize(
    ("orders", "event", "columns"),
    [
        ({}, "stop sent", {"stop_sent_at", "stop_outcome", "stop_sent_clock"}),
        ({"force": True}, "power cut sent", {"force_sent_at"}),
        ({"start": True}, "start sent", {"start_sent_at", "start_outcome"}),
    ],
)
def test_what_is_on_disk_before_a_call(orders, event, columns):
    cloud, journal = Cloud([] if orders.get("start") else ["a"]), Journal()
    run(cloud, ["a"], journal, **orders)
    (sent,) = [change for change in journal.changes if change.event == event]
    assert set(sent.columns) == columns
    assert all(sent.columns[name] for name in columns if not name.endswith("_outcome")), "when it was, on both clocks"
    assert not any(sent.columns[name] for name in columns if name.endswith("_outcome")), "what it was before is past"


def test_calls_that_are_open_count_when_more_are_sent():
    cloud = Cloud(names(12), on_call=lambda uuid: threading.Event().wait(0.06 if uuid == "v0" else 0.01))
    run(cloud, names(12), concurrency=2)
    assert cloud.most == 2


def test_starts_that_are_in_doubt_hold_the_ramp_before_their_time_is_over():
    vms = names(60)
    cloud = Cloud([], answers={uuid: [unclear()] for uuid in vms}, deaf=vms)
    result = run(cloud, vms, start=True, concurrency=5, timeout=1.0, call_seconds=1.0, retries=0, poll_interval=0.05)
    assert "did not start" in str(result.ended)
    assert 10 <= len(cloud.calls) <= 15, "ten are the sample, five may be open"


def test_after_three_lost_connections_a_list_is_to_come_first():
    vms, end = names(12), threading.Event()
    cloud = Cloud(vms, answers={uuid: [cut()] * 9 for uuid in vms})
    journal = Journal(lives=lambda: not end.is_set())
    threading.Timer(0.8, end.set).start()
    run(cloud, vms, journal, concurrency=1, poll_interval=30.0)
    assert len(cloud.calls) == 3


@pytest.mark.parametrize("start", [False, True])
def test_a_key_that_may_be_gone_gets_no_new_calls_until_a_list_tells(start):
    """The list comes late, as the one before took long."""
    vms, listed = names(60), threading.Event()
    answers = {uuid: [error(403, AuthError)] * 9 for uuid in vms[4:]}
    cloud = Cloud([] if start else vms, answers, on_call=lambda uuid: threading.Event().wait(0.005))
    running_vms = cloud.running_vms_now

    def slow():
        if listed.is_set():
            raise error(403, AuthError)
        listed.set()
        threading.Event().wait(0.1)
        return running_vms()

    cloud.running_vms_now = slow
    result = run(cloud, vms, concurrency=2, start=start)
    assert "no longer accepts the API key" in str(result.ended)
    assert len(cloud.calls) <= 4 + 3 + 1, "three were refused while one more was open"


def test_somebody_is_asked_for_while_a_call_is_open():
    looks = []

    def wait_for_looks(_uuid):
        first, until = journal.looks, threading.Event()
        for _tick in range(60):
            if journal.looks >= first + 2:
                break
            until.wait(0.05)
        looks.append(journal.looks - first)

    journal = Journal(lives=lambda: not looks)
    run(Cloud(["a"], on_call=wait_for_looks), ["a"], journal, poll_interval=30.0, timeout=60.0)
    assert looks[0] >= 2, "a call that hangs must not hide that the lease is lost"


# What is kept of each answer and of each end.


def unsent():
    return ApiError("POST", "/x", detail="words", sent=False)


@pytest.mark.parametrize(
    ("given", "word", "counts"),
    [
        (error(409), "busy", False),
        (error(429), "throttled", False),
        (unsent(), "not sent", False),
        (error(400), "refused", False),
        (unclear(), "still at work", True),
        (error(500), "unclear", True),
        (None, "", True),
    ],
)
def test_an_answer_is_kept_with_its_words_and_its_time_where_the_call_may_have_worked(given, word, counts):
    journal = Journal()
    run(Cloud(["a"], answers={"a": [given]}), ["a"], journal, timeout=0.3, retries=0)
    change = next(change for change in journal.changes if change.event == "stop answered")
    assert list(change.columns) == (["stop_answered_at"] if counts else [])
    assert all(change.columns.values())
    assert change.detail.startswith(word) and ("words" in change.detail or "no answer" in change.detail or given is None)


@pytest.mark.parametrize(
    ("start", "deaf", "kept", "empty"),
    [
        (True, False, {"start_outcome": "running", "state": "running", "started_at": True, "state_at": True}, {"start_error"}),
        (True, True, {"start_outcome": "failed", "start_error": True}, set()),
        (False, False, {"stop_outcome": "clean", "state": "stopped", "stopped_at": True, "state_at": True}, {"stop_error", "outlived_at", "start_sent_at"}),
        (False, True, {"stop_outcome": "would_not_stop", "stop_error": True, "outlived_at": True}, set()),
    ],
)
def test_what_is_kept_of_an_end(start, deaf, kept, empty):
    journal = Journal()
    run(Cloud([] if start else ["a"], deaf="a" if deaf else ""), ["a"], journal, start=start, timeout=0.05, retries=0, max_fail_percentage=100)
    change = journal.changes[-1]
    assert {name: value if name in ("state", "start_outcome", "stop_outcome") else bool(value) for name, value in change.columns.items()} == {
        **kept, **dict.fromkeys(empty, False),
    }  # fmt: skip
    assert change.detail == (change.columns.get("start_error") or change.columns.get("stop_error") or "")


def test_those_that_run_already_are_not_started():
    cloud = Cloud(["a"])
    assert outcomes(run(cloud, ["a", "b"], start=True)) == {"a": "already_running", "b": "running"}
    assert cloud.called() == ["b"]


def test_refused_starts_pull_the_brake_as_failed_ones_do():
    vms = names(60)
    cloud = Cloud([], {uuid: [error(400)] * 9 for uuid in vms}, on_call=lambda uuid: threading.Event().wait(0.02))
    result = run(cloud, vms, start=True, retries=0, concurrency=5)
    assert "of the " in str(result.ended) and str(result.ended).endswith(
        "more than 20 percent: the starting was stopped, the rest was not touched. Look at Ceph and at the failed VMs, then run the same "
        "command again: it goes on with those that do not run. To go on in spite of failures: -e ceph_maint_max_fail_percentage=100"
    )
    assert len(set(cloud.called())) < 60


@pytest.mark.parametrize(("status", "asked"), [(429, [0.01]), (503, [0.01]), (502, []), (409, [])])
def test_what_asks_for_fewer_calls_gets_fewer_for_as_long_as_it_asks(monkeypatch, status, asked):
    heard = []
    monkeypatch.setattr(_engine.Throttle, "refused", lambda self, call, now, retry_after: heard.append(retry_after))
    run(Cloud(["a"], answers={"a": [error(status, retry_after=0.01)]}), ["a"], timeout=0.3)
    assert heard == asked


def test_a_refused_list_ends_it_with_what_to_do():
    result = run(Cloud(["a"], lists=[AuthError("GET", "/x", status=403)]), ["a"])
    assert isinstance(result.ended, _engine.Stop) and str(result.ended).endswith(
        "Nothing more is sent; what was answered so far is recorded. Get a key that works, then run the same command again: it goes on."
    )


def stay_between(cloud, state, *vms):
    """These VMs leave the list of running VMs for another state when they are asked to stop."""

    def called(uuid):
        if uuid in vms:
            cloud.between[uuid] = state

    cloud.on_call = called
    return cloud


@pytest.mark.parametrize("state", ["stopping", "paused", "unknown word"])
def test_group_waits_for_a_vm_that_left_the_list_and_is_not_down(state):
    cloud = stay_between(Cloud(["a", "b"]), state, "a")
    waves = [Wave("first", [Target("a", "VM a")]), Wave("second", [Target("b", "VM b")])]
    result = run(cloud, [], waves=waves, timeout=0.2)
    assert result.outcomes["a"] == ("would_not_stop", f"not done 0.2 s after its graceful stop was taken; it is {state}")
    assert cloud.called() == ["a", "b"] and result.outcomes["b"] == ("clean", "")


def test_few_vms_that_left_the_list_are_settled_by_their_details():
    cloud = Cloud(names(5))
    run(cloud, names(5))
    assert (sorted(cloud.details), cloud.complete) == (names(5), 0)


def test_many_vms_that_left_the_list_are_settled_by_one_complete_list():
    cloud = Cloud(names(50))
    result = run(cloud, names(50), concurrency=50, poll_interval=0.5)
    assert set(outcomes(result).values()) == {"clean"}
    assert cloud.complete >= 1 and len(cloud.details) <= 20
