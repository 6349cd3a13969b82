# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform goes away, the key is refused, the handshake flaps, the clock jumps: what ends, what goes on, what is said."""

from __future__ import annotations

import contextlib
import re
import socket
import time
import typing as t
import urllib.parse
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._record.lock import Lease
from harness import in_process as crew
from harness.fast_clock import PATIENCE, STOP_TIMEOUT, Desk, GiveDesk, JumpingPace, desks
from harness.operator import wait_until

desk = pytest.fixture(desks)

NOT_SAFE = "NOT SAFE TO TAKE CEPH DOWN"
ALL_STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."
ONE = "vm-0"
DAY = 24 * 3600.0
ALL = "GET /v1/user-resource/vm/all"
ID = r" \(X-Warren-Correlation-Id [0-9a-f-]{36}\)"
REFUSED_KEY = (
    f"answered 403: Invalid authentication credentials{ID} "
    r"\(the API key must be that of an admin user; a frozen account answers so too\)"
)
# Which request of a prepare is where.
PLACES = {
    "plan": {"when": "vm_all", "nth": 1},
    "close": {"when": "host_flags", "nth": 1},
    "record": {"when": "vm_all", "nth": 2},
    "proof": {"when": "admin_vm_stop", "nth": 6},
}


def assert_all_down(at: Desk, out: crew.Outcome) -> None:
    assert (out.rc, out.headline, out.error) == (0, ALL_STOPPED, ""), out.text
    assert at.cloud.in_state("running") == set()
    assert {row[0] for row in at.ask("SELECT uuid FROM vms")} == at.running


def run(at: Desk, word: str) -> crew.Outcome:
    return at.crew.prepare() if word == "stop" else at.crew.restore()


GOOD = {"stop": "clean", "start": "running"}
AWAY: dict[str, dict[str, t.Any]] = {
    "refused": {"act": "away", "seconds": 180},
    "502": {"act": "fault", "status": 502, "times": -1, "lasting": 180},
    "hangs": {"act": "fault", "kind": "hang", "times": -1, "lasting": 180},
}


@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("word", ["stop", "start"])
def test_the_api_goes_away_for_minutes_amid_the_calls(desk: GiveDesk, word: str, how: str) -> None:
    """Nothing is sent meanwhile; what was cut off is looked at before it is sent again, and all ends well."""
    at = desk(concurrency=2, stop_timeout=3.0, start_timeout=3.0)
    if word == "start":
        assert at.crew.prepare().safe
    at.cloud.schedule(when=f"admin_vm_{word}", nth=3, **AWAY[how])
    out = run(at, word)
    if how == "hangs":
        # A call that was open when all answers stopped may be anywhere: it is never sent again, and named as it did nothing.
        assert at.sent(word) == dict.fromkeys(at.running, 1)
        hung = {entry.uuid for entry in at.cloud.journal.power() if "hang" in entry.faults}
        assert out.rc == 2 and hung
        for uuid in at.running:
            outcome, error = at.one(word, uuid)
            assert outcome == ({"stop": "would_not_stop", "start": "failed"} if uuid in hung else GOOD)[word]
            assert uuid not in hung or error.endswith(f"gave no answer: nothing came within {PATIENCE:g} s"), error
        return
    assert out.rc == 0, out.text
    assert at.outcomes(word) == {(GOOD[word], None): at.running}
    assert max(at.sent(word).values()) == 2
    at.assert_looked_before_sending_again(word)
    assert at.cloud.in_state("running") == (set() if word == "stop" else at.running)


# The API is away until the test brings it back, so that no machine is too slow or too fast for it; and what is said of a request.
GONE: dict[str, dict[str, t.Any]] = {
    "refused": {"act": "away", "seconds": 1e6},
    "502": {"act": "fault", "status": 502, "times": -1},
}
WORDS = {"refused": "gave no answer: .*refused the connection", "502": f"answered 502: An unexpected error occurred{ID}"}
ENDS = {
    "close": "The host flags were sent and cannot be read back: GET /v1/base-operator/host/list {}. What was sent is recorded. "
    "Run the same command again: it goes on.",
    "record": f"{ALL} {{}}",
}


def bring_back(at: Desk, how: str) -> None:
    if how == "502":
        at.act("clear_faults")
        return
    at.act("away", seconds=0.1)
    address = urllib.parse.urlsplit(at.cloud.url)

    def listens() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((address.hostname, address.port), 5).close()
            return True
        return False

    wait_until(listens)


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("place", ENDS)
def test_the_api_goes_away_elsewhere_in_a_prepare(desk: GiveDesk, place: str, how: str) -> None:
    """It ends within its bounds and says how to go on; once the API is back, the same command goes on."""
    at = desk()
    at.cloud.schedule(**{**PLACES[place], **GONE[how]})
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.phase(), at.sent("stop")) == (2, "", "closing", {}), out.text
    assert re.fullmatch(ENDS[place].format(WORDS[how]), out.error), out.error
    assert "To go on, mend what the failure names and run the same command again." in out.lines
    assert "To call it off and bring everything back, Ceph being up:" in "\n".join(out.lines)
    bring_back(at, how)
    assert_all_down(at, at.crew.prepare())
    assert [host.accepting for host in at.cloud.hosts] == [False, False]


@pytest.mark.parametrize("how", ["refused", "502"])
def test_the_api_goes_away_for_minutes_at_the_last_stop(desk: GiveDesk, how: str) -> None:
    """An engine at work waits it out, and the proof is made after it."""
    at = desk(stop_timeout=6.0)
    at.cloud.schedule(**{**PLACES["proof"], **AWAY[how]})
    assert_all_down(at, at.crew.prepare())
    assert [host.accepting for host in at.cloud.hosts] == [False, False]
    assert max(at.sent("stop").values()) <= 2


def just_before(at: Desk, task: str, **act: t.Any) -> None:
    """Something happens once, as a task of the roles begins."""
    plain, left = at.crew._task, [act]

    def noted(out: crew.Outcome, name: str, *given: t.Any, **more: t.Any) -> dict[str, t.Any]:
        if name == task and left:
            at.act(**left.pop())
        return plain(out, name, *given, **more)

    at.crew._task = noted  # type: ignore[method-assign]


def amid_a_restore(desk: GiveDesk, place: str, act: dict[str, t.Any], **options: t.Any) -> tuple[Desk, crew.Outcome]:
    # Of two hosts, one might be open before the connections are cut.
    at = desk(start_timeout=6.0, hosts=1, **options)
    assert at.crew.prepare().safe
    if place == "hosts":
        at.cloud.schedule(when="host_flags", nth=1, **act)
    else:
        just_before(at, place, **act)
    return at, at.crew.restore()


RESTORING = ("hosts", "verify")
HOSTS = "GET /v1/base-operator/host/list"


@pytest.mark.parametrize("how", [*GONE, "revoked"])
@pytest.mark.parametrize("place", RESTORING)
def test_the_api_goes_away_or_the_key_is_revoked_elsewhere_in_a_restore(desk: GiveDesk, place: str, how: str) -> None:
    """It ends, says so, and leaves the rest to the next, which sends nothing twice."""
    revoked = how == "revoked"
    at, out = amid_a_restore(desk, place, {"act": "revoke"} if revoked else GONE[how])
    where = HOSTS if place == "hosts" and revoked else ALL
    assert out.rc == 2
    answer = f"{where} {REFUSED_KEY if revoked else WORDS[how]}"
    if place != "hosts":
        answer = (
            rf"The VMs could not be looked at: {answer}\. What was done before is recorded\. Once the API answers, run the same "
            r"command again: it goes on\."
        )
    assert re.fullmatch(answer, out.error), out.error
    if place == "hosts":
        assert (at.phase(), at.sent("start")) == ("opening", {})
        assert {"Hosts still closed: 1", "VMs recorded 6: not tried 6", "Not tried yet: 6"} <= set(out.lines), out.text
        assert set(out.accept_argument()) == {f"lost:{host.uuid}" for host in at.cloud.hosts}
        assert "To go on, mend what the failure names and run the same command again: it tries just what is left." in out.lines
    else:
        assert (at.phase(), at.cloud.in_state("running")) == ("starting", at.running)
        assert {"Hosts still closed: 0", "VMs recorded 6: running again 6"} <= set(out.lines), out.text
    if revoked:
        at.act("grant")
    else:
        bring_back(at, how)
    again = at.crew.restore()
    assert (again.rc, again.error, at.phase(), at.cloud.in_state("running")) == (0, "", "done", at.running), again.text
    assert [host.accepting for host in at.cloud.hosts] == [True]
    assert at.sent("start") == dict.fromkeys(at.running, 1)


def test_a_restore_that_could_not_look_says_how_to_go_on(desk: GiveDesk) -> None:
    """All runs again as far as it knows, and yet it failed: the operator is told what to do about that."""
    _at, out = amid_a_restore(desk, "verify", GONE["502"])
    assert "run the same command again" in out.text


@pytest.mark.parametrize("place", RESTORING)
def test_the_handshake_flaps_for_minutes_in_a_restore(desk: GiveDesk, place: str) -> None:
    at, out = amid_a_restore(desk, place, {"act": "flap", "seconds": 60, "at_least": 1, "after_hello": True}, tls=True)
    assert (out.rc, out.error, at.phase(), at.cloud.in_state("running")) == (0, "", "done", at.running), out.text
    assert at.cloud.turned_away > 0
    assert [host.accepting for host in at.cloud.hosts] == [True]
    assert at.sent("start") == dict.fromkeys(at.running, 1)


def test_the_api_stays_away_amid_the_stops(desk: GiveDesk) -> None:
    """Ten minutes without a list, and the run ends by itself."""
    at = desk(concurrency=2)
    at.cloud.schedule("away", seconds=1000, when="admin_vm_stop", nth=3)
    began = time.monotonic()
    out = at.crew.prepare()
    assert time.monotonic() - began >= 6, out.text
    assert out.rc == 2
    assert out.error == (
        "The API has given no VM list for 6 s. Nothing more is sent; what was answered so far is recorded. Once the API "
        "answers, run the same command again: it goes on."
    )
    assert "To go on, mend what the failure names and run the same command again." in out.lines
    assert (at.phase(), {row[0] for row in at.ask("SELECT uuid FROM vms")}) == ("stopping", at.running)
    assert len(at.sent("stop")) <= 4
    time.sleep(max(0.0, began + 11 - time.monotonic()))
    assert_all_down(at, at.crew.prepare())


@pytest.mark.parametrize("how", ["refused", "502"])
def test_a_restore_waits_for_the_api(desk: GiveDesk, how: str) -> None:
    at = desk()
    assert at.crew.prepare().safe
    at.act(**AWAY[how])
    out = at.crew.restore()
    assert (out.rc, at.phase(), at.cloud.in_state("running")) == (0, "done", at.running)


def test_a_restore_does_not_wait_for_ever(desk: GiveDesk) -> None:
    at = desk(api_wait=0.5)
    assert at.crew.prepare().safe
    at.act("fault", status=502, times=-1)
    out = at.crew.restore()
    assert out.rc == 2
    assert re.fullmatch(
        rf"The API has not answered for 0\.5 s: {ALL} answered 502: An unexpected error occurred{ID}\. Nothing was changed\. When "
        r"it is back, run the same command again, or wait longer with ceph_maint_api_wait\.",
        out.error,
    ), out.error
    assert (at.phase(), at.sent("start")) == ("safe", {})


@pytest.mark.parametrize("word", ["stop", "start"])
def test_the_key_is_revoked_amid_the_calls(desk: GiveDesk, word: str) -> None:
    """One list that is refused too says that it is the key, and everything ends at once."""
    at = desk(concurrency=2)
    if word == "start":
        assert at.crew.prepare().safe
    at.cloud.schedule("revoke", when=f"admin_vm_{word}", nth=3)
    out = run(at, word)
    assert out.rc == 2
    assert re.fullmatch(
        f"The platform no longer accepts the API key: {ALL} {REFUSED_KEY}. Nothing more is sent; what was answered so far is "
        "recorded. Get a key that works, then run the same command again: it goes on.",
        out.error,
    ), out.error
    refused = [entry for entry in at.cloud.journal.of(f"admin_vm_{word}") if entry.status == 403]
    assert 1 <= len(refused) <= 4 and len({entry.uuid for entry in refused}) == len(refused)
    assert {outcome for (outcome, _error) in at.outcomes(word)} <= {None, "clean", "running"}
    if word == "stop":
        assert "To go on, mend what the failure names and run the same command again." in out.lines
    at.act("grant")
    assert run(at, word).rc == 0
    assert at.cloud.in_state("running") == (set() if word == "stop" else at.running)


@pytest.mark.parametrize("place", PLACES)
def test_the_key_is_revoked_elsewhere_in_a_prepare(desk: GiveDesk, place: str) -> None:
    at = desk()
    at.cloud.schedule("revoke", **PLACES[place])
    out = at.crew.prepare()
    assert (out.rc, out.safe) == (2, False)
    assert re.search(REFUSED_KEY, out.error), out.error
    if place == "plan":
        assert at.cloud.journal.writes() == []
    else:
        assert "To go on, mend what the failure names and run the same command again." in out.lines
    asked = len(at.cloud.journal)
    at.act("grant")
    assert_all_down(at, at.crew.prepare())
    refused = [entry for entry in at.cloud.journal.entries[:asked] if entry.status == 403 and entry.kind != "admin_vm_stop"]
    assert len(refused) <= 3, "a refused key is not tried over and over"


def test_a_key_without_rights(desk: GiveDesk) -> None:
    at = desk()
    at.crew.connection["api_key"] = at.cloud.user_key(8)
    out = at.crew.prepare()
    assert out.rc == 2
    assert re.search(REFUSED_KEY.replace("Invalid authentication credentials", "You cannot consume this service"), out.error)
    assert out.error.endswith("Nothing was changed. Correct the key.")
    assert at.cloud.journal.writes() == []


FLAPS = {
    "closed": {"after_hello": True},
    "closed at once": {"after_hello": False},
    "reset": {"after_hello": True, "reset": True},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", FLAPS)
def test_the_handshake_flaps_for_a_minute(desk: GiveDesk, place: str, how: str) -> None:
    """As one deployment did: waited out, wherever it happens."""
    at = desk(tls=True, stop_timeout=3.0)
    at.cloud.schedule("flap", seconds=60, at_least=1, **FLAPS[how], **PLACES[place])
    assert_all_down(at, at.crew.prepare())
    assert at.cloud.turned_away > 0
    assert max(at.sent("stop").values()) <= 2


def jump(patch: pytest.MonkeyPatch, seconds: float, when: t.Callable[[], t.Any] = lambda: True, base: float = 0.0) -> None:
    patch.setattr(_clock, "pace", JumpingPace(seconds, when, base))


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_the_clock_jumps_during_the_runs(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Neither the time of a VM nor that of a run is measured by it."""
    at = desk(deaf=[ONE])
    jump(monkeypatch, seconds, at.cloud.journal.power)
    began = time.monotonic()
    out = at.crew.prepare()
    at.assert_only_one_left(out, 1)
    assert at.one("stop", ONE)[1].startswith(f"not done {STOP_TIMEOUT:g} s after its graceful stop was ")
    assert STOP_TIMEOUT < time.monotonic() - began < STOP_TIMEOUT + 4
    assert at.crew.prepare(force=True).safe
    jump(monkeypatch, seconds, lambda: at.sent("start"), base=seconds)
    began = time.monotonic()
    out = at.crew.restore()
    assert (out.rc, at.phase(), at.cloud.in_state("running")) == (0, "done", at.running), out.text
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("seconds", [DAY - 60, -DAY])
def test_the_clock_jumps_between_the_runs(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    at = desk()
    assert at.crew.prepare().safe
    jump(monkeypatch, seconds)
    assert at.crew.verify().safe
    assert at.crew.restore().rc == 0
    assert (at.phase(), at.cloud.in_state("running")) == ("done", at.running)


def test_the_clock_jumps_so_far_that_the_record_looks_old(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day and more between two runs: asked about, and one argument goes on."""
    at = desk()
    assert at.crew.prepare().safe
    (identity,) = at.ask("SELECT id FROM maintenance")[0]
    jump(monkeypatch, DAY + 60)
    out = at.crew.restore()
    assert (out.rc, out.refused, out.items, at.sent("start")) == (2, True, [f"old:{identity}"], {})
    assert f"  1. The open record {identity} (phase safe, 6 VMs) was last worked on 24.0 hours ago. " in out.text
    assert at.crew.restore(accept=out.items).rc == 0
    assert at.cloud.in_state("running") == at.running


@pytest.mark.parametrize("seconds", [0.0, -DAY, DAY / 2])
def test_the_clock_jumps_while_a_guest_still_shuts_down(
    desk: GiveDesk, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A prepare is cut short, and called off: who obeys its stop late is seen to, started again and named, and not waited for long."""
    at = desk(stop_seconds=250, stop_timeout=5.0)
    at.cloud.schedule("revoke", when="admin_vm_stop", nth=6)
    assert at.crew.prepare().rc == 2
    at.act("grant")
    jump(monkeypatch, seconds)
    began = time.monotonic()
    out = at.crew.restore()
    assert time.monotonic() - began < 5.0 + 5
    assert out.rc == 0, out.text
    assert "Went down again after they ran, and were started once more: 5" in out.text
    assert at.cloud.in_state("running") == at.running


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_no_lease_lives_longer_or_shorter_for_a_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    lease = Lease(str(tmp_path), "run", 0.4)
    Lease(str(tmp_path), "run", 0.4).renew()
    assert lease.alive()
    jump(monkeypatch, seconds)
    assert lease.alive()
    time.sleep(0.5)
    assert not lease.alive()
