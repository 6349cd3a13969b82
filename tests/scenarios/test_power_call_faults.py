# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a power call can go wrong: what becomes of every VM, what is sent, and what the operator reads.

One time runs a hundred times as fast, here and on the platform: the product's own limits are scaled like the platform's.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import pytest

from harness.fast_clock import PATIENCE, STOP_TIMEOUT, Desk, GiveDesk, desks, desks_in
from harness.in_process import Outcome

NOT_SAFE = "NOT SAFE TO TAKE CEPH DOWN"
ALL_STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."
ONE = "vm-0"

desk = pytest.fixture(desks)

# What a fault does to one call, on which try it works, and what the record keeps of the first answer.
PASSING: dict[str, tuple[dict[str, t.Any], int, str]] = {}
for _status in (500, 502, 503):
    _words = f"{'overloaded' if _status == 503 else 'unclear'} POST {{path}} answered {_status}: An unexpected error occurred"
    PASSING[f"{_status} before"] = ({"status": _status}, 2, _words)
    PASSING[f"{_status} after"] = ({"status": _status, "after": True}, 1, _words)
PASSING.update(
    {
        "504 after": ({"status": 504, "after": True}, 1, "still at work POST {path} answered 504: An unexpected error occurred"),
        "cut before": ({"kind": "cut"}, 2, "unclear POST {path} gave no answer: "),
        "cut after": ({"kind": "cut", "after": True}, 1, "unclear POST {path} gave no answer: "),
        "hangs after": (
            {"kind": "hang", "after": True}, 1, f"still at work POST {{path}} gave no answer: nothing came within {PATIENCE:g} s"
        ),
        "truncated": ({"kind": "truncated"}, 1, "unclear "),
        "broken off": ({"kind": "broken_off"}, 1, "unclear POST {path} gave no answer: "),
        "page before": ({"kind": "html"}, 2, "unclear "),
        "page after": ({"kind": "html", "after": True}, 1, "unclear "),
        "empty 200 before": ({"kind": "empty", "status": 200}, 2, "unclear the platform answered without a word"),
        "empty 200 after": ({"kind": "empty", "status": 200, "after": True}, 1, "unclear the platform answered without a word"),
        "empty 400 before": ({"kind": "empty", "status": 400}, 2, "unclear POST {path} answered 400: empty body"),
        "empty 400 after": ({"kind": "empty", "status": 400, "after": True}, 1, "unclear POST {path} answered 400: empty body"),
        "wrong type": ({"kind": "mislabelled", "content_type": "text/plain"}, 1, "accepted"),
        "dribbled": ({"kind": "dribble", "seconds": 20}, 1, "accepted"),
        "dribbled too slowly": (
            {"kind": "dribble", "seconds": 200}, 1,
            "still at work POST {path} gave no answer: the answer came too slowly to end within the time limit",
        ),
        "429": ({"status": 429}, 2, "throttled POST {path} answered 429: An unexpected error occurred"),
    }
)  # fmt: skip
for _value in ("1", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", "86400", "1e400", "soon", "-5", "nan"):
    PASSING[f"429 {_value}"] = ({"status": 429, "retry_after": _value}, 2, "throttled POST {path} answered 429: ")


@dataclass
class Maintenance:
    """A whole maintenance in which each VM met a fault of its own: at a stop and then at a start."""

    at: Desk
    names: list[str]
    stop: Outcome
    start: Outcome

    def vm(self, name: str) -> str:
        return f"vm-{self.names.index(name)}"


def spoil(at: Desk, word: str, faults: t.Mapping[str, tuple[dict[str, t.Any], int, str]], **more: t.Any) -> None:
    for number, (fault, _calls, _words) in enumerate(faults.values()):
        at.act("fault", route=f"admin_vm_{word}", uuid=at.uuid(f"vm-{number}"), **more, **fault)


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Maintenance]:
    with desks_in(tmp_path_factory.mktemp("passing")) as make:
        at = make(vms=len(PASSING) + 3, stop_timeout=6.0, start_timeout=6.0)
        spoil(at, "stop", PASSING)
        stop = at.crew.prepare()
        spoil(at, "start", PASSING)
        yield Maintenance(at, list(PASSING), stop, at.crew.restore())


def test_all_goes_well_in_spite_of_all(passing: Maintenance) -> None:
    at, count = passing.at, len(passing.at.running)
    for out in (passing.stop, passing.start):
        assert (out.rc, out.error, out.items) == (0, "", []), out.text
    assert passing.stop.headline == ALL_STOPPED
    assert f"VMs recorded {count}: stopped clean {count}" in passing.stop.lines
    assert f"VMs recorded {count}: running again {count}" in passing.start.lines
    assert (at.phase(), at.cloud.in_state("running")) == ("done", at.running)
    assert sum(event.cause == "stop" for event in at.cloud.events) == count


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("word", ["stop", "start"])
def test_one_call_goes_wrong_once(passing: Maintenance, word: str, name: str) -> None:
    """The VM is not lost, not asked twice without a look in between, and not asked again for what was done."""
    _fault, calls, said = PASSING[name]
    at, vm = passing.at, passing.vm(name)
    assert at.one(word, vm) == ("clean" if word == "stop" else "running", None)
    assert at.sent(word)[at.uuid(vm)] == calls
    at.assert_looked_before_sending_again(word)
    assert at.answers(word, vm)[0].startswith(said.format(path=f"/v1/user-resource/admin/vm/{word}")), at.answers(word, vm)


# A fault that does not pass: how often a stop and a start are sent (0: as often as there is time for), and the exact words in the end.
LASTING: dict[str, tuple[dict[str, t.Any], int, str]] = {
    "500": ({"status": 500}, 3, "POST {path} answered 500: An unexpected error occurred (X-Warren-Correlation-Id "),
    "502": ({"status": 502}, 3, "POST {path} answered 502: An unexpected error occurred (X-Warren-Correlation-Id "),
    "503": ({"status": 503}, 0, "POST {path} answered 503: An unexpected error occurred (X-Warren-Correlation-Id "),
    "504": ({"status": 504}, 1, "POST {path} answered 504: An unexpected error occurred (X-Warren-Correlation-Id "),
    "cut": ({"kind": "cut"}, 3, "POST {path} gave no answer: "),
    "hangs": ({"kind": "hang"}, 1, f"POST {{path}} gave no answer: nothing came within {PATIENCE:g} s"),
    "page": ({"kind": "html"}, 3, ""),
    "empty 200": ({"kind": "empty", "status": 200}, 3, "the platform answered without a word"),
    "empty 400": ({"kind": "empty", "status": 400}, 3, "POST {path} answered 400: empty body (X-Warren-Correlation-Id "),
}
UNCLEAR = "was sent, and its answer left unclear whether it was taken"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[Maintenance, Outcome, Outcome]]:
    """The stops, the power cuts once the platform is well again, the starts, and those left."""
    with desks_in(tmp_path_factory.mktemp("lasting")) as make:
        at = make(vms=len(LASTING) + 3)
        spoil(at, "stop", LASTING, times=-1)
        stop = at.crew.prepare()
        found = dict(at.ask("SELECT uuid, stop_error FROM vms"))
        at.act("clear_faults")
        cut = at.crew.prepare(force=True)
        spoil(at, "start", LASTING, times=-1)
        start = at.crew.restore()
        at.stop_errors = found
        at.start_errors = dict(at.ask("SELECT uuid, start_error FROM vms"))
        at.calls = at.sent("start")
        at.act("clear_faults")
        yield Maintenance(at, list(LASTING), stop, start), cut, at.crew.restore()


@pytest.mark.parametrize("name", LASTING)
def test_the_stop_of_one_vm_goes_wrong_for_good(lasting: tuple[Maintenance, Outcome, Outcome], name: str) -> None:
    """It is named with the platform's words, and alone may have its power cut, with leave."""
    (done, _cut, _again), (_fault, calls, words) = lasting, LASTING[name]
    at, uuid = done.at, done.at.uuid(done.vm(name))
    stops = [entry for entry in at.cloud.journal.power(uuid) if entry.kind == "admin_vm_stop"]
    assert [entry.params.get("force") for entry in stops] == [None] * (calls or len(stops) - 1) + ["True"]
    assert 3 < len(stops) < 20 or calls
    error = at.stop_errors[uuid]
    assert error.startswith(f"not done {STOP_TIMEOUT:g} s after its graceful stop was "), error
    assert f"taken; last answer: {words.format(path='/v1/user-resource/admin/vm/stop')}" in error
    owner = at.cloud.vm(uuid).owner
    assert f"  VM {uuid} ({done.vm(name)}, owner {owner}, running)" in done.stop.lines
    assert f"  owner {owner}: {uuid} {done.vm(name)}: would not stop: {error}" in done.stop.lines
    assert at.one("stop", uuid) == ("forced", None)


def test_only_those_whose_stop_went_wrong_stand_against_safe(lasting: tuple[Maintenance, Outcome, Outcome]) -> None:
    done, cut, again = lasting
    at, wrong = done.at, {done.at.uuid(done.vm(name)) for name in LASTING}
    assert (done.stop.rc, done.stop.headline, done.stop.error) == (2, NOT_SAFE, f"{NOT_SAFE}. The summary above says why")
    assert set(done.stop.items) == {f"vm:{uuid}" for uuid in wrong} == set(done.stop.accept_argument())
    count = len(LASTING)
    assert f"VMs recorded {count + 3}: would not stop {count}, stopped clean 3" in done.stop.lines
    line = f"{count} of them outlived their stop timeout. To cut their power, at once: -e ceph_maint_force=true"
    assert line in done.stop.lines
    at.assert_looked_before_sending_again("stop")
    assert (cut.rc, cut.headline) == (0, ALL_STOPPED)
    assert {event.uuid for event in at.cloud.events if event.cause == "force"} == wrong
    assert done.start.rc == 2
    assert done.start.error.startswith(f"{count} recorded VMs do not run again and 0 hosts are still closed"), done.start.error
    assert f"Did not come back: {count}" in done.start.lines
    assert set(done.start.accept_argument()) == {f"lost:{uuid}" for uuid in wrong}
    assert (again.rc, at.phase(), at.cloud.in_state("running")) == (0, "done", at.running)


@pytest.mark.parametrize("name", LASTING)
def test_the_start_of_one_vm_goes_wrong_for_good(lasting: tuple[Maintenance, Outcome, Outcome], name: str) -> None:
    """The others run, it is named with the platform's words, and the next restore tries it alone."""
    (done, _cut, _again), (_fault, calls, words) = lasting, LASTING[name]
    at, uuid = done.at, done.at.uuid(done.vm(name))
    assert at.calls[uuid] == calls or (not calls and 3 < at.calls[uuid] < 20)
    assert at.sent("start")[uuid] == at.calls[uuid] + 1
    error = at.start_errors[uuid]
    assert words.format(path="/v1/user-resource/admin/vm/start") in error
    assert f"  owner {at.cloud.vm(uuid).owner}: {uuid} {done.vm(name)}: {error}" in done.start.lines
    at.assert_looked_before_sending_again("start")


@pytest.mark.parametrize("name", ["504", "hangs"])
@pytest.mark.parametrize("word", ["stop", "start"])
def test_what_nobody_knows_is_not_told_as_known(lasting: tuple[Maintenance, Outcome, Outcome], word: str, name: str) -> None:
    at = lasting[0].at
    error = (at.stop_errors if word == "stop" else at.start_errors)[at.uuid(lasting[0].vm(name))]
    assert "was taken" not in error.replace(UNCLEAR, "")


@pytest.mark.parametrize("word", ["stop", "start"])
def test_a_page_for_people_is_called_what_it_is(lasting: tuple[Maintenance, Outcome, Outcome], word: str) -> None:
    at = lasting[0].at
    assert "Please sign in" in (at.stop_errors if word == "stop" else at.start_errors)[at.uuid(lasting[0].vm("page"))]


def test_a_busy_vm_is_asked_again_until_it_is_free(desk: GiveDesk) -> None:
    """409 for ten minutes, with a time limit of ten minutes: it waits, and nothing of the guest's own time is used up."""
    at = desk(stop_timeout=6.0)
    at.act("lock", vm=ONE, seconds=600)
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.outcomes("stop")) == (0, ALL_STOPPED, {("clean", None): at.running})
    taken = [entry for entry in at.cloud.journal.power(at.uuid(ONE)) if entry.status == 200]
    refused = [entry for entry in at.cloud.journal.power(at.uuid(ONE)) if entry.status == 409]
    assert len(taken) == 1 and 3 < len(refused) < 40, "it is asked ever more rarely"
    assert at.answers("stop", ONE)[0].startswith("busy POST /v1/user-resource/admin/vm/stop answered 409: Server is locked")


@pytest.mark.parametrize(("word", "outcome"), [("stop", "refused"), ("start", "refused")])
def test_a_vm_that_stays_busy_is_named_after_twice_its_time(desk: GiveDesk, word: str, outcome: str) -> None:
    at = desk()
    if word == "start":
        assert at.crew.prepare().safe
    at.act("lock", vm=ONE, seconds=1e6)
    out = at.crew.prepare() if word == "stop" else at.crew.restore()
    assert out.rc == 2
    assert at.one(word, ONE)[0] == outcome
    assert at.one(word, ONE)[1].startswith(f"POST /v1/user-resource/admin/vm/{word} answered 409: Server is locked (X-Warren-")
    if word == "stop":
        at.assert_only_one_left(out)
        assert REFUSED in out.lines
        assert not any("ceph_maint_force=true" in line for line in out.lines), "its guest was never asked"
        at.crew.prepare(force=True)
        assert not [entry for entry in at.cloud.journal.power() if entry.params.get("force")]
    else:
        assert at.cloud.in_state("running") == at.running - {at.uuid(ONE)}
    at.act("unlock", vm=ONE)
    assert (at.crew.prepare() if word == "stop" else at.crew.restore()).rc == 0


REFUSED = "The stop of 1 of them was refused, so their guests were never asked and their power is not cut."
FROZEN = (
    "answered 403: Billing account is frozen (X-Warren-Correlation-Id {id}) (the API key must be that of an admin user; a "
    "frozen account answers so too)"
)


@pytest.mark.parametrize("word", ["stop", "start"])
def test_a_frozen_account_refuses_for_its_own_vms_only(desk: GiveDesk, word: str) -> None:
    at = desk()
    if word == "start":
        assert at.crew.prepare().safe
    theirs = {vm.uuid for vm in at.cloud.vms if vm.owner == 8}
    at.act("freeze", owner=8)
    out = at.crew.prepare() if word == "stop" else at.crew.restore()
    assert out.rc == 2
    assert {uuid for uuid in at.running if at.one(word, uuid)[0] == "refused"} == theirs
    assert {uuid for uuid in at.running if at.one(word, uuid)[0] in ("clean", "running")} == at.running - theirs
    assert at.sent(word) == {uuid: 3 if uuid in theirs else 1 for uuid in at.running}
    for uuid in theirs:
        correlation = at.cloud.journal.power(uuid)[-1].correlation
        assert at.one(word, uuid)[1] == f"POST /v1/user-resource/admin/vm/{word} {FROZEN.format(id=correlation)}"
    if word == "stop":
        assert out.headline == NOT_SAFE
        assert REFUSED.replace("of 1", "of 2") in out.lines
        assert set(out.accept_argument()) == {f"vm:{uuid}" for uuid in theirs}
        accepted = at.crew.prepare(accept=out.accept_argument())
        names = ", ".join(sorted(f"{at.cloud.vm(one).name} ({one})" for one in theirs))
        assert accepted.headline == f"ALL VMS STOPPED EXCEPT 2 ACCEPTED: {names}. CEPH WAS NOT CHECKED."
        assert at.cloud.in_state("running") == theirs
    else:
        assert at.cloud.in_state("stopped") == theirs
        at.act("thaw", owner=8)
        assert at.crew.restore().rc == 0


def test_success_is_reported_and_nothing_done(desk: GiveDesk) -> None:
    """The platform's word counts for nothing: the state does."""
    at = desk(feigns=[ONE])
    out = at.crew.prepare()
    at.assert_only_one_left(out, 1)
    assert at.one("stop", ONE) == ("would_not_stop", f"not done {STOP_TIMEOUT:g} s after its graceful stop was taken")
    out = at.crew.prepare(force=True)
    assert (out.rc, at.one("stop", ONE)) == (0, ("forced", None))
    out = at.crew.restore()
    assert (out.rc, at.cloud.in_state("stopped")) == (2, {at.uuid(ONE)})
    assert at.one("start", ONE) == ("failed", f"not done {STOP_TIMEOUT:g} s after its start was taken")
    assert at.sent("start") == dict.fromkeys(at.running, 1)
    assert f"  owner 8: {at.uuid(ONE)} {ONE}: not done {STOP_TIMEOUT:g} s after its start was taken" in out.lines


def test_a_feigned_power_cut_is_never_safe(desk: GiveDesk) -> None:
    at = desk(feigns=[ONE], feigned_actions=["stop", "force"])
    out = at.crew.prepare(force=True)
    at.assert_only_one_left(out)
    assert at.one("stop", ONE) == ("would_not_stop", f"not done {STOP_TIMEOUT:g} s after its power cut was taken")


def test_a_vm_that_starts_again_after_each_stop(desk: GiveDesk) -> None:
    """It is stopped a few times more and then named; safe is not said."""
    at = desk(proof_interval=0.8, starts_itself=[ONE], starts_itself_seconds=60, starts_itself_times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{at.uuid(ONE)}"])
    assert out.error == f"{NOT_SAFE}. The summary above says why"
    assert 2 <= at.sent("stop")[at.uuid(ONE)] <= 12, "again and again, within bounds"
    assert {at.one("stop", uuid)[0] for uuid in at.running} == {"clean"}
    assert f"  VM {at.uuid(ONE)} (vm-0, owner 8, running)" in out.lines
    assert f"  owner 8: {at.uuid(ONE)} vm-0: came up again" in out.lines


def test_a_vm_that_starts_again_while_others_are_waited_for_is_named_with_why(desk: GiveDesk) -> None:
    """The same round sees it come up each time: stopped three times more, and then no more."""
    at = desk(stop_timeout=6.0, starts_itself=[ONE], starts_itself_seconds=60, starts_itself_times=-1, deaf=["vm-1"])
    out = at.crew.prepare()
    one, deaf = at.uuid(ONE), at.uuid("vm-1")
    assert (out.rc, out.headline, out.error) == (2, NOT_SAFE, f"{NOT_SAFE}. The summary above says why"), out.text
    assert set(out.items) == {f"vm:{one}", f"vm:{deaf}"} == set(out.accept_argument())
    assert at.one("stop", ONE) == ("would_not_stop", "it started again after each of 3 stops")
    assert f"  owner 8: {one} vm-0: would not stop: it started again after each of 3 stops" in out.lines
    assert f"  VM {one} (vm-0, owner 8, running)" in out.lines
    assert at.sent("stop") == {uuid: 4 if uuid == one else 1 for uuid in at.running}
    assert {at.one("stop", uuid)[0] for uuid in at.running - {one, deaf}} == {"clean"}
    assert "1 of them outlived their stop timeout. To cut their power, at once: -e ceph_maint_force=true" in out.lines, "the deaf one"


@pytest.mark.parametrize("times", [1, 2])
def test_a_vm_that_starts_again_a_few_times_is_stopped_in_the_end(desk: GiveDesk, times: int) -> None:
    # Long enough down for a list to show it, and up again before the last list of the proof.
    at = desk(stop_timeout=6.0, proof_interval=0.8, starts_itself=[ONE], starts_itself_seconds=60, starts_itself_times=times)
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.cloud.in_state("running")) == (0, ALL_STOPPED, set()), out.text
    assert at.sent("stop")[at.uuid(ONE)] == 1 + times


def test_a_storm_of_429(desk: GiveDesk) -> None:
    """Three requests in ten seconds of the platform: slower, nothing sent twice, nothing forgotten."""
    at = desk(stop_timeout=10.0, rate_limit=3, rate_window=10)
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.outcomes("stop")) == (0, ALL_STOPPED, {("clean", None): at.running})
    taken = [entry.uuid for entry in at.cloud.journal.power() if entry.status == 200]
    assert sorted(taken) == sorted(at.running)
    assert any(entry.status == 429 for entry in at.cloud.journal.power()), "there was no storm"


def test_every_call_is_throttled_for_good(desk: GiveDesk) -> None:
    at = desk()
    at.act("fault", route="admin_vm_stop", status=429, times=-1, retry_after="86400")
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.cloud.in_state("running")) == (2, NOT_SAFE, at.running)
    for uuid in at.running:
        assert at.one("stop", uuid)[0] == "refused"
        assert at.one("stop", uuid)[1].startswith("POST /v1/user-resource/admin/vm/stop answered 429: ")
