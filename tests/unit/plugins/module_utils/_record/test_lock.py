# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works on a record now, and when somebody else may."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import stat
import subprocess

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import RecordError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._record.controller import identify, lives, presence
from ansible_collections.pilw.maintenance.plugins.module_utils._record.lock import Handover, Lease, Lock, describe, wait_for_former_run
from ansible_collections.pilw.maintenance.plugins.module_utils._record.rows import steady_now

ABOUT = {"run": "r1", "actor": "ann on box", "what": "stopping VMs", "since": "2026-01-01T00:00:00Z", "pid": 17}
WORDS = "ann on box, stopping VMs since 2026-01-01T00:00:00Z (process 17)"


class Time:
    """A clock that only sleeping moves. C(then): what happens at which second."""

    def __init__(self, then=None):
        self.now, self.then = 0.0, dict(then or {})

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        assert self.now < 1000, "a wait without end"
        for moment in sorted(moment for moment in self.then if moment <= self.now):
            self.then.pop(moment)()


class Held:
    """Stands for a lock of another process."""

    def __init__(self, holder=None):
        self.about = holder

    def holder(self):
        return self.about

    def let_go(self):
        self.about = None


def test_a_lock_is_held_shown_and_let_go(tmp_path):
    lock = Lock(str(tmp_path))
    assert lock.holder() is None
    with lock.held(ABOUT, wait=-1):
        assert lock.holder() == ABOUT
        assert describe(lock.holder()) == WORDS
        assert stat.S_IMODE(os.stat(tmp_path / "lock").st_mode) == 0o600
        with pytest.raises(Refused) as caught, Lock(str(tmp_path)).held({"actor": "bob"}, wait=-1):
            pass
        assert str(caught.value).startswith(f"Another process works on this record: {WORDS}. This step did nothing. Run the same ")
        assert lock.holder() == ABOUT
    assert lock.holder() is None
    with pytest.raises(ZeroDivisionError), lock.held({"a": "x" * 500}, wait=-1):
        raise ZeroDivisionError
    with lock.held({"a": 1}, wait=-1):
        assert lock.holder() == {"a": 1}


def test_those_who_look_do_not_see_each_other(tmp_path):
    lock = Lock(str(tmp_path))
    with lock.held(ABOUT, wait=-1):
        pass
    with open(tmp_path / "lock", "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert lock.holder() is None, "what a dead holder wrote is not about the living"


def test_a_lock_ends_with_the_process_that_held_it(tmp_path):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        held = Lock(str(tmp_path)).held(ABOUT, wait=-1)
        held.__enter__()
        os.write(writer, b"1")
        os.kill(os.getpid(), 9)
    os.read(reader, 1)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    assert Lock(str(tmp_path)).holder() is None


def test_a_planted_lock_is_refused_and_an_unwritten_one_is_nobody_known(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "victim").write_text("keep")
    (tmp_path / "a" / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RecordError, match="cannot be opened"), Lock(str(tmp_path / "a")).held(ABOUT):
        pass
    assert (tmp_path / "victim").read_text() == "keep"
    assert describe({}) == "somebody, at work since a while (process unknown)"


def test_a_lease_lives_as_long_as_it_is_renewed(tmp_path):
    time = Time()
    lease, other = Lease(str(tmp_path), "r1", 30, time.clock), Lease(str(tmp_path), "r1", 30, time.clock)
    assert lease.alive() and not lease.renewed()
    time.now = 29.9
    assert lease.alive()
    other.renew()
    assert lease.alive()
    time.now = 59.8
    assert lease.alive()
    time.now = 60.0
    assert not lease.alive()
    other.renew()
    assert lease.alive()
    assert stat.S_IMODE(os.stat(tmp_path / "lease").st_mode) == 0o600


def test_a_lease_left_by_an_earlier_run_is_no_renewal(tmp_path):
    time = Time()
    Lease(str(tmp_path), "r1", 30, time.clock).renew()
    lease = Lease(str(tmp_path), "r1", 30, time.clock)
    assert not lease.renewed()
    time.now = 30.0
    assert not lease.alive()
    (tmp_path / "lease").write_bytes(b"\xff")
    assert isinstance(lease.alive(), bool)


def test_the_renewal_for_another_run_does_not_count(tmp_path):
    time = Time()
    lease = Lease(str(tmp_path), "r1", 30, time.clock)
    time.now = 20.0
    Lease(str(tmp_path), "r10", 30, time.clock).renew()
    assert not lease.renewed()
    time.now = 30.0
    assert not lease.alive()


def wait(lock, tmp_path, time, former, accepted=(), renew_at=()):
    lease = Lease(str(tmp_path), "r1", 30, time.clock)
    for moment in renew_at:
        time.then[moment] = Lease(str(tmp_path), "r1", 30, time.clock).renew
    wait_for_former_run(lock, lease, former, Handover(list(accepted), wait=100, settle=3, sleep=time.sleep, clock=time.clock))
    return time.now


LIVING = {"token": "t0k", "ended": None}
ENDED = {"token": "t0k", "ended": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("former", [None, ENDED])
def test_nobody_before_or_an_ended_run_is_not_waited_for(former, tmp_path):
    assert wait(Held(), tmp_path, Time(), former) == 0


def test_a_run_that_did_not_say_that_it_ended_is_watched_for_a_moment(tmp_path):
    assert wait(Held(), tmp_path, Time(), LIVING) == pytest.approx(3, abs=0.3)


def test_a_run_between_two_steps_is_found_out(tmp_path):
    lock = Held()
    time = Time({1.0: lambda: setattr(lock, "about", ABOUT)})
    with pytest.raises(Refused, match="Another run is at work"):
        wait(lock, tmp_path, time, LIVING, renew_at=(2.0,))


@pytest.mark.parametrize("former", [LIVING, ENDED])
def test_a_living_run_is_refused_with_who_and_the_way_to_take_over(former, tmp_path):
    time = Time()
    with pytest.raises(Refused) as caught:
        wait(Held(ABOUT), tmp_path, time, former, renew_at=(5.0,))
    assert time.now < 6
    assert caught.value.items == ["takeover:t0k"]
    assert str(caught.value) == (
        f"Another run is at work on this maintenance: {WORDS}. Nothing was changed. Let it end, or "
        "take over: it then sends nothing more. To take over: -e ceph_maint_accept=takeover:t0k"
    )


def test_a_dying_run_is_waited_for(tmp_path):
    lock = Held(ABOUT)
    assert 42 < wait(lock, tmp_path, Time({42.0: lock.let_go}), LIVING) < 46


def test_a_run_that_neither_lives_nor_ends_is_refused_in_the_end(tmp_path):
    time = Time()
    with pytest.raises(Refused) as caught:
        wait(Held(ABOUT), tmp_path, time, LIVING)
    assert 100 < time.now < 101
    assert caught.value.items == ["takeover:t0k"]


def test_who_takes_over_waits_for_the_open_calls_only(tmp_path):
    lock = Held(ABOUT)
    assert 8 <= wait(lock, tmp_path, Time({8.0: lock.let_go}), LIVING, accepted=["takeover:t0k"], renew_at=(1.0, 5.0)) < 9
    assert wait(Held(), tmp_path, Time(), LIVING, accepted=["takeover:t0k"]) == 0


def test_a_takeover_has_an_end_too(tmp_path):
    time = Time()
    with pytest.raises(Refused, match=r"was told to stop and has not ended yet: ann on box.* Run the same command again"):
        wait(Held(ABOUT), tmp_path, time, LIVING, accepted=["takeover:t0k"])
    assert 100 < time.now < 101


def test_the_holder_says_what_it_waits_for(tmp_path):
    lock = Lock(str(tmp_path))
    lock.say("nobody holds it")
    assert lock.holder() is None
    with lock.held(ABOUT):
        for text in ("Proof: 1 of 3 lists; the next list in 30 s", "short", "\u00e4" * 1000):
            lock.say(text)
            assert Lock(str(tmp_path)).holder() == {**ABOUT, "says": text[:300]}
    with lock.held(ABOUT):
        assert lock.holder() == ABOUT, "that was another work"


# A run without a module at work on this machine.

RUN = {"token": "t0k", "actor": "ann on box", "purpose": "prepare", "since": "2026-01-01T00:00:00Z", "ended": None}
NOTHING = {"controller": "", "step": "", "step_at": "", "step_until": ""}
STEP = {"step": "telling owners", "step_at": "2026-01-01T00:05:00Z"}


def watch(tmp_path, time, run, own="", accepted=()):
    """Seconds after which the record may be taken over; what a look finds is what the record has then."""
    lease, former = Lease(str(tmp_path), "r1", 30, time.clock), {**RUN, **NOTHING, **run}
    look = functools.partial(presence, former, own)
    options = {"accepted": list(accepted), "wait": 100, "settle": 3, "look": look, "sleep": time.sleep, "clock": time.clock}
    wait_for_former_run(Held(), lease, former, Handover(**options))
    return time.now


@pytest.fixture
def child():
    """A process that lives until the test is over, as an ansible-playbook."""
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()


def test_run_in_an_announced_step_is_rejected_with_it(tmp_path):
    time = Time()
    with pytest.raises(Refused) as caught:
        watch(tmp_path, time, {**STEP, "step_until": steady_now(90)})
    assert caught.value.items == ["takeover:t0k"]
    assert re.search(
        r"at work on this maintenance: ann on box, telling owners, for at most (89|90) s more, since 2026-01-01T00:05:00Z \(process unknown\)\. "
        r"Nothing was changed\. Let it end, or take over: .* -e ceph_maint_accept=takeover:t0k$",
        str(caught.value),
    ), str(caught.value)


@pytest.mark.parametrize("ended", [None, "2026-01-01T00:06:00Z"])
def test_announced_step_counts_until_its_limit(ended, tmp_path):
    assert watch(tmp_path, Time(), {"ended": ended, **STEP, "step_until": steady_now(-1)}) <= 3.3
    with pytest.raises(Refused, match="telling owners"):
        watch(tmp_path, Time(), {"ended": ended, **STEP, "step_until": steady_now(60)})


def test_step_announced_before_a_restart_of_the_machine_is_over(tmp_path):
    assert watch(tmp_path, Time(), {**STEP, "step_until": "another-boot 99999999.0"}) <= 3.3


def test_takeover_item_ends_an_announced_step_at_once(tmp_path):
    assert watch(tmp_path, Time(), {**STEP, "step_until": steady_now(900)}, accepted=["takeover:t0k"]) == 0


def test_living_controller_is_rejected_between_two_steps(tmp_path, child):
    with pytest.raises(Refused, match=rf"ann on box, prepare, between two steps, since .* \(process {child.pid}\)"):
        watch(tmp_path, Time(), {"controller": identify(child.pid)})


def test_ended_run_of_a_living_controller_is_not_waited_for(tmp_path, child):
    assert watch(tmp_path, Time(), {"controller": identify(child.pid), "ended": "2026-01-01T00:06:00Z"}) == 0


def test_run_of_a_dead_controller_is_taken_over_at_once(tmp_path, child):
    controller = identify(child.pid)
    child.kill()
    deadline = os.times().elapsed + 10
    while lives(controller) and os.times().elapsed < deadline:
        pass
    assert lives(controller) is False, "not waited for yet, it is a zombie"
    child.wait()
    assert lives(controller) is False
    assert watch(tmp_path, Time(), {"controller": controller, **STEP, "step_until": steady_now(9000)}) == 0


def test_controller_does_not_wait_for_its_own_earlier_run(tmp_path):
    own = identify(os.getpid())
    assert lives(own) is True
    assert watch(tmp_path, Time(), {"controller": own, **STEP, "step_until": steady_now(9000)}, own=own) == 0


def test_number_of_a_later_process_is_not_the_controller():
    place, pid, started = identify(os.getpid()).split()
    assert lives(f"{place} {pid} {int(started) + 1}") is False


@pytest.mark.parametrize("identity", ["", "nonsense", "other/pid:[1] 1 1", "other/pid:[1] 99999999999999999999 1"])
def test_controller_elsewhere_is_unknown(identity):
    assert lives(identity) is None
    place = identify(os.getpid()).split()[0]
    assert lives(f"{place} 99999999999999999999 1") is None
    assert lives(f"{place} 1 x") is None
