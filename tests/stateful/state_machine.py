# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random fleets, owners, faults, kills and reruns, in any order; the promises are looked at all the while."""

from __future__ import annotations

import collections
import contextlib
import re
import shutil
import sqlite3
import tempfile
import typing as t
from concurrent.futures import Executor, Future
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._record import paths
from harness.in_process import Crew, JobKilled, Outcome
from stateful.invariants import Watcher
from stateful.platform_model import READ_FAULTS, WRITE_FAULTS, Host, Vm, World
from stateful.virtual_time import Process, Virtual

HOST = "api.example.com"
GROUPS = [{"name": "databases", "query": "[?user_id=='7']", "delay": 30}, {"name": "web", "query": "[?user_id=='8']"}]
# Memory, where there is some to write to: each commit is on disk before it returns.
FAST_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None

vms = st.builds(
    Vm,
    uuid=st.just(""),
    owner=st.sampled_from(["7", "8", "9"]),
    state=st.sampled_from(["running"] * 12 + ["stopped"] * 3 + ["creating", "deleted", "paused"]),
    deaf=st.sampled_from([False] * 3 + [True]),
    idle=st.sampled_from([False] * 9 + [True]),
    rises=st.sampled_from([0] * 7 + [1, 2, 9]),
    dead_starts=st.sampled_from([0] * 4 + [1, 3, 99]),
    # Less than lie between two lists of the proof.
    lag=st.sampled_from([0.0] * 7 + [4.0, 20.0]),
)
hosts = st.builds(
    Host,
    uuid=st.just(""),
    accepting=st.sampled_from([True, True, True, False]),
    status=st.sampled_from([""] * 8 + ["MAINTENANCE"]),
)
# After so many points, and whom. Many a run has ended before.
points = st.one_of(st.integers(0, 40), st.integers(0, 120), st.integers(0, 900))
one_kill = st.tuples(points, st.sampled_from(["controller", "job", "machine"]))
kills = st.one_of(one_kill, one_kill, one_kill, one_kill, st.none())
leave = st.sampled_from([True, True, False])  # to cut power
seldom = st.sampled_from([False] * 3 + [True])
which = st.integers(0, 20)
offsets = st.floats(0, 2000, allow_nan=False)
owner_acts = st.lists(st.tuples(st.sampled_from(["start", "stop", "delete", "create"]), which, offsets), max_size=3)
write_faults = st.lists(st.sampled_from(["", "", *WRITE_FAULTS]), max_size=8)
read_faults = st.lists(st.sampled_from(["", "", "", *READ_FAULTS]), max_size=4)


# How the platform takes power calls.
MANNERS = (
    {}, {}, {},
    {"passing": True},
    {"passing": True, "at_once": True},
    {"at_once": True},
    {"queue": 1, "gateway": 40.0},
    {"queue": 2, "gateway": 30.0, "passing": True},
    {"queue": 2, "at_once": True, "passing": True},
)  # fmt: skip

# What a refusal can do without an item: it says how to go on.
WAYS = re.compile(r"ceph_maint_|[Rr]un the same command again|there is nothing to close")
# What takes an operator of a busy maintenance until a renewed lease is seen: the pause between two, and some time to look.
SEEN_AT_WORK = 10.0


class _Jobs:
    """In the place of an executor: each call is a process of its own, as a job on the maintenance host is."""

    def __init__(self, time: Virtual) -> None:
        self._time = time
        self.spans: list[tuple[Process, list[float]]] = []  # whose, and from when till when

    def submit(self, call: t.Callable, /, *args: t.Any, **more: t.Any) -> Future:
        job = Process("job", root=self._time.process)
        span = [self._time.now]
        self.spans.append((job.root, span))
        future = self._time.start(job, lambda: call(*args, **more))
        future.add_done_callback(lambda _done: span.append(self._time.now))
        job.on_end.append(lambda: None if future.done() else future.set_exception(JobKilled()))
        return future

    @property
    def living(self) -> list[Process]:
        return [root for root, span in self.spans if len(span) == 1]

    def works(self, root: Process, since: float, until: float) -> bool:
        """Whether one job of an ansible-playbook is at work all that time."""
        return any(whose is root and span[0] < since and (len(span) == 1 or span[1] > until) for whose, span in self.spans)


class Operator(Crew):
    """Notes when a plan was shown, when the record was asked for, and who was at work then."""

    jobs_of_all: _Jobs

    def _plan(self, out: Outcome, purpose: str, accept: t.Iterable[str], **more: t.Any) -> None:
        try:
            super()._plan(out, purpose, accept, **more)
        finally:
            if "plan" in out.results:
                out.results["plan"].update(shown_at=_clock.monotonic(), others=self.jobs_of_all.living)

    def _open(self, out: Outcome, purpose: str, accept: t.Iterable[str], **more: t.Any) -> dict[str, t.Any]:
        asked_at = _clock.monotonic()
        try:
            return super()._open(out, purpose, accept, **more)
        finally:
            if "open" in out.results:
                out.results["open"]["asked_at"] = asked_at


class Maintenance(RuleBasedStateMachine):
    """One platform, one maintenance host, and whatever happens to them."""

    # Of all that ran, so that tests see that something happens at all.
    totals: collections.Counter[str] = collections.Counter()

    @initialize(
        fleet=st.lists(vms, min_size=1, max_size=8),
        estate=st.lists(hosts, min_size=1, max_size=4),
        concurrency=st.integers(1, 4),
        groups=st.sampled_from([None, None, GROUPS]),
        copied=st.booleans(),
        flags_shown=st.sampled_from([True, True, True, False]),
        stop_seconds=st.sampled_from([22.0, 22.0, 22.0, 400.0, 580.0]),
        start_seconds=st.sampled_from([4.0, 4.0, 4.0, 4.0, 5000.0]),
        drops_deleted=st.booleans(),
        manners=st.sampled_from(MANNERS),
        first=st.none() | st.tuples(leave, kills),
    )
    def begin(
        self,
        fleet: list[Vm],
        estate: list[Host],
        concurrency: int,
        groups: list[dict[str, t.Any]] | None,
        copied: bool,
        flags_shown: bool,
        stop_seconds: float,
        start_seconds: float,
        drops_deleted: bool,
        first: tuple[bool, t.Any] | None,
        manners: dict[str, t.Any] | None = None,
    ) -> None:
        self.time, manners = Virtual(), manners or {}
        if "queue" in manners:  # so that all that waits is over within the time of one VM
            stop_seconds, start_seconds = 22.0, 4.0
        self.world = World(
            self.time,
            flags_shown=flags_shown,
            stop_seconds=stop_seconds,
            start_seconds=start_seconds,
            drops_deleted=drops_deleted,
            **manners,
        )
        for number, vm in enumerate(fleet):
            vm.uuid = f"vm-{number}"
            self.world.vms[vm.uuid] = vm
            if vm.state == "creating":
                self.world.ripens(vm, 100.0)
        for number, host in enumerate(estate):
            host.uuid = f"host-{number}"
            host.accepting = host.accepting and not host.status
            self.world.hosts[host.uuid] = host
        if not any(host.accepting for host in estate):
            estate[0].accepting, estate[0].status = True, ""
        self.folder = Path(tempfile.mkdtemp(prefix="pilw-", dir=FAST_DISK))
        self.crew = Operator(
            self.folder,
            HOST,
            "key",
            concurrency=concurrency,
            groups=groups,
            record_copy=str(self.folder / "copies") if copied else None,
            hosts_keep_closed=None if flags_shown else "none",
        )
        self.watcher = Watcher(self.time, self.world, self.folder / "records" / HOST, self.crew.settings)
        self._watching = contextlib.ExitStack()
        self._watching.enter_context(self.watcher.watching())
        # The record and its copy lie on the one disk of the test.
        self._watching.enter_context(mock.patch.object(paths, "copy_disk_problem", lambda *_arguments: ""))
        self.jobs = self.crew.jobs_of_all = _Jobs(self.time)
        self.crew.jobs = lambda: t.cast(Executor, self.jobs)
        self.accepted: list[str] = []
        self.count: collections.Counter[str] = collections.Counter()
        if first:
            self.prepare_killed(first[0], first[1], [], True)

    # What others do.

    @rule(act=st.sampled_from(["start", "stop", "delete", "create", "admin opens", "admin closes"]), number=which)
    def others(self, act: str, number: int) -> None:
        """Owners, and somebody else in the admin interface."""
        if act.startswith("admin"):
            host = list(self.world.hosts.values())[number % len(self.world.hosts)]
            host.accepting, host.touched = act == "admin opens", True
        else:
            self._owner_acts(act, number)

    def _owner_acts(self, act: str, number: int) -> None:
        world, names = self.world, list(self.world.vms)
        if act == "create":
            if len(names) < 12 and any(host.accepting for host in world.hosts.values()):
                world.owner_creates(100.0)
            return
        uuid = names[number % len(names)]
        {"start": world.owner_starts, "stop": world.owner_stops, "delete": world.owner_deletes}[act](uuid)

    @rule(writes=write_faults, reads=read_faults)
    def answers_will_fail(self, writes: list[str], reads: list[str]) -> None:
        self.world.write_faults, self.world.read_faults = list(writes), list(reads)

    @rule(
        what=st.sampled_from(["api away", "key revoked", "account frozen", "clock jumps", "nothing"]),
        after=offsets,
        seconds=st.sampled_from([10.0, 120.0, 500.0, 3000.0]),
        back=st.booleans(),
    )
    def trouble(self, what: str, after: float, seconds: float, back: bool) -> None:
        """Something of the platform or of the clock goes wrong for a while."""
        world, later = self.world, self.time.later
        if what == "api away":
            later(after, lambda: setattr(world, "away_until", self.time.now + seconds))
        elif what == "key revoked":
            later(after, lambda: setattr(world, "revoked", True))
            later(after + seconds, lambda: setattr(world, "revoked", False))
        elif what == "account frozen":
            later(after, lambda: world.frozen.add("8"))
            later(after + 2 * seconds, lambda: world.frozen.discard("8"))
        elif what == "clock jumps":
            later(after, lambda: setattr(self.time, "jumped", self.time.jumped + (-30 * seconds if back else seconds)))
        else:
            self.time.pass_time(seconds)

    # What operators do.

    @rule(force=leave, acts=owner_acts)
    def prepare(self, force: bool, acts: t.Any) -> None:
        self.prepare_killed(force, None, acts, True)

    @rule(force=leave, kill=kills, acts=owner_acts, go_on=st.booleans())
    def prepare_killed(self, force: bool, kill: t.Any, acts: t.Any, go_on: bool) -> None:
        """C(go_on): the operator pastes what the refusal printed."""
        self._happens(acts)
        outcome = self._play(lambda: self.crew.prepare(force=force, accept=self.accepted), kill, force)
        if outcome and outcome.items and go_on:
            self._accepted(outcome, lambda accept: self.crew.prepare(force=force, accept=accept), force)

    @rule(kill=kills, acts=owner_acts, go_on=st.booleans())
    def restore(self, kill: t.Any, acts: t.Any, go_on: bool) -> None:
        self._happens(acts)
        outcome = self._restore(self.accepted, kill)
        if outcome and outcome.items and go_on:
            self._accepted(outcome, self._restore)

    def _restore(self, accept: list[str], kill: t.Any = None) -> Outcome | None:
        archived, process = self._archived(), Process("ansible-playbook")
        outcome = self._play(lambda: self.crew.restore(accept=accept), kill, process=process)
        new = self._archived() - archived
        if outcome and (new or self.watcher.path.exists()):
            record = new.pop() if new else self.watcher.path
            self.watcher.restored(process, outcome, record)
            if outcome.rc == 0:
                self.stays_up(record)
        return outcome

    @precondition(lambda self: self.watcher.ask("SELECT 1 FROM vms WHERE start_outcome IN ('failed', 'refused')"))
    @rule()
    def restore_without_some(self) -> None:
        """On a platform without faults, though some VMs do not start: the operator pastes what the restore printed at its end."""
        self._calm()
        outcome, pasted = self._restore([]), []
        for _attempt in range(len(self.world.vms) + 2):
            if not outcome or outcome.rc == 0:
                break
            former, pasted = pasted, outcome.accept_argument()
            assert set(pasted) > set(former), f"{pasted} is printed after {former} was accepted: no way on from {outcome.text}"
            assert set(outcome.items) <= set(pasted), f"{outcome.items} would have to be accepted, and {pasted} is printed"
            self.count["ends without some"] += 1
            outcome = self._restore(pasted)
        assert outcome and outcome.rc == 0, f"it cannot be ended: {outcome.text if outcome else ''}"
        assert self.watcher.ask("SELECT 1 FROM maintenance") == [], "ended, and the record is still open"

    @precondition(lambda self: self.watcher.path.exists())
    @rule(sure=seldom, kill=kills, mended=st.booleans())
    def close(self, sure: bool, kill: t.Any, mended: bool) -> None:
        """The maintenance is given up. C(mended): what it leaves closed is opened by hand."""
        if not sure:
            return self.restore(kill, [], True)
        archived = self._archived()
        ((identity,),) = self.watcher.ask("SELECT id FROM maintenance") or [("none",)]
        outcome = self._play(lambda: self.crew.close(accept=[f"give-up:{identity}"]), kill)
        new = self._archived() - archived
        if outcome and outcome.rc == 0:
            assert len(new) == 1 and not self.watcher.path.exists(), "closed, and the record is still open"
            self.watcher.closed_for_good(outcome.results["close"]["lines"], new.pop())
            self.count["closed"] += 1
        if new and mended:
            for host in self.world.hosts.values():
                host.accepting = host.accepting or not host.status

    def stays_up(self, record: Path) -> None:
        """What was restored is not taken down later by a stop of ours that a guest obeys late."""
        with contextlib.closing(sqlite3.connect(record)) as db:
            recorded = {row[0] for row in db.execute("SELECT uuid FROM vms WHERE start_outcome IN ('running', 'already_running')")}
        up = {uuid for uuid in recorded if self.world.vms[uuid].state == "running"}
        self.time.pass_time(2000.0)
        down = {uuid for uuid in up if self.world.vms[uuid].state == "stopped" and not self.world.vms[uuid].left_down}
        assert not down, f"restored, and then taken down by us: {down}"

    @precondition(lambda self: self.watcher.ask("SELECT 1 FROM vms WHERE outlived_at IS NOT NULL"))
    @rule(kill=kills)
    def force(self, kill: t.Any) -> None:
        self._play(lambda: self.crew.force(accept=self.accepted), kill, force=True)

    @rule(what=st.sampled_from(["plan", "check", "check_restore", "verify", "status"]))
    def look(self, what: str) -> None:
        """Sends no write."""
        before = len(self.world.calls)
        play = {
            "check": lambda: self.crew.prepare(check=True),
            "check_restore": lambda: self.crew.restore(check=True),
        }.get(what) or getattr(self.crew, what)
        process = Process(what)
        self._run([(process, play)])
        ours = [call for call in self.world.calls[before:] if call.process and call.process.root is process]
        assert not ours, f"{what} sends {ours}"

    @rule(
        first=st.sampled_from(["prepare", "restore"]),
        second=st.sampled_from(["prepare", "restore"]),
        after=st.one_of(st.floats(0, 60, allow_nan=False), st.floats(0, 60, allow_nan=False), offsets),
        take=st.sampled_from([True, True, False]),
        kill=st.one_of(st.none(), st.none(), one_kill),
    )
    def two_at_once(self, first: str, second: str, after: float, take: bool, kill: t.Any) -> None:
        """Another operator comes, is refused or not, and may take over with what the refusal printed."""
        other = Operator(self.folder, HOST, "key", actor="bob", **self.crew.settings)
        other.jobs, other.jobs_of_all = self.crew.jobs, self.jobs
        processes = Process("ann"), Process("bob", actor="bob")
        tries: list[Outcome] = []

        def come() -> Outcome:
            self.time.sleep(after)
            tries.append(getattr(other, second)(accept=self.accepted))
            if take and self._taken_over(tries[0]):
                tries.append(getattr(other, second)(accept=tries[0].accept_argument()))
                self.count["takeovers"] += not tries[1].refused
            return tries[-1]

        self._aim(processes[0], kill)
        self._run([(processes[0], lambda: getattr(self.crew, first)(accept=self.accepted)), (processes[1], come)])
        asked_at = tries[0].results.get("open", {}).get("asked_at") if tries else None
        if asked_at is None:
            return
        until = asked_at + SEEN_AT_WORK
        if self.jobs.works(processes[0], asked_at, until) and self.watcher.ended_at.get(processes[0], until) >= until:
            assert tries[0].refused and self._taken_over(tries[0]), f"two at work at once: {tries[0].text}"

    @staticmethod
    def _taken_over(outcome: Outcome) -> bool:
        """Whether it is refused, and printed how to take over."""
        return any(item.startswith("takeover:") for item in outcome.items)

    # How they do it.

    def _happens(self, acts: list[tuple[str, int, float]]) -> None:
        for act, number, after in acts:
            self.time.later(after, lambda act=act, number=number: self._owner_acts(act, number))

    def _play(
        self, play: t.Callable[[], Outcome], kill: t.Any = None, force: bool = False, process: Process | None = None
    ) -> Outcome | None:
        process = process or Process("ansible-playbook")
        process.may_force = force
        self._aim(process, kill)
        safe_said, hindered = self.watcher.safe_said, (self.world.came_up, self.world.lost_reads)
        (outcome,) = self._run([(process, play)])
        if outcome is None:
            return None
        assert not outcome.headline.startswith(("SAFE", "ALL VMS STOPPED")) or self.watcher.safe_said > safe_said, f"{outcome.headline} without a proof"
        plan, took = outcome.results.get("plan", {}), None
        if "shown_at" in plan and not plan["others"] and (self.world.came_up, self.world.lost_reads) == hindered:
            took = self.watcher.ended_at[process] - plan["shown_at"]
        self.watcher.planned(process, outcome, took)
        if outcome.refused:
            self.count["refusals with items"] += bool(outcome.items)
            self._way_on(outcome)
        return outcome

    @staticmethod
    def _way_on(outcome: Outcome) -> None:
        """Each reason of a refusal says what to do, or is accepted by an item."""
        names = [item.partition(":")[2] for item in outcome.items]
        reasons = [line for line in outcome.lines if re.match(r"  \d+\. ", line)] or [outcome.error]
        for reason in reasons:
            assert WAYS.search(reason) or any(name in reason for name in names), f"no way on: {reason}"

    def _run(self, plays: list[tuple[Process, t.Callable[[], Outcome]]]) -> list[Outcome | None]:
        """Until each has ended or was killed."""
        running = []
        for process, play in plays:
            running.append((process, self.time.start(process, play)))
            running[-1][1].add_done_callback(lambda _done, process=process: self.watcher.ended_at.setdefault(process, self.time.now))
        self.time.run(lambda: all(future.done() or not process.alive for process, future in running))
        self.watcher.passed = lambda: None
        for process, _future in running:
            self.watcher.ended_at.setdefault(process, self.time.now)
        self.count["playbooks"] += len(plays)
        return [future.result() if future.done() else None for process, future in running]

    def _aim(self, target: Process, kill: tuple[int, str] | None) -> None:
        left = [kill[0] if kill else -1]

        def passed() -> None:
            process = self.time.process
            root = process.root if process else None
            if root is not target or left[0] < 0:
                return
            left[0] -= 1
            if left[0] >= 0 or kill is None:
                return
            doomed = {"controller": [root], "job": [process], "machine": [root, process]}[kill[1]]
            if root in doomed:
                self.watcher.ended_at[root] = self.time.now
            self.count["kills"] += 1
            # Who does the killing goes last, as it does not return.
            for one in sorted(dict.fromkeys(doomed), key=lambda one: one is process):
                self.time.kill(one)

        self.watcher.passed = passed

    def _accepted(self, outcome: Outcome, play: t.Callable[[list[str]], Outcome], force: bool = False) -> Outcome | None:
        """What a refusal printed is pasted, and then that refusal is gone."""
        pasted = outcome.accept_argument()
        assert set(outcome.items) <= set(pasted), f"{outcome.items} would have to be accepted, and {pasted} is printed"
        again = self._play(lambda: play(pasted), force=force)
        if again:
            still = set(again.items) & set(pasted)
            assert not still, f"{still} was accepted, and stands in the way"
        return again

    def _archived(self) -> set[Path]:
        return set(self.watcher.folder.glob("*.record.sqlite"))

    # What holds.

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "watcher"):
            self.watcher.after()

    def teardown(self) -> None:
        if not hasattr(self, "watcher"):
            return
        try:
            self._heal_and_restore()
        finally:
            self._watching.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._add_up()

    def _add_up(self) -> None:
        self.totals.update(self.count)
        self.totals.update(f"calls to {call.action}" for call in self.world.calls)
        self.totals.update({"fleets": 1, "hours of the platform": int(self.time.now / 3600), "safe said": self.watcher.safe_said})

    def _calm(self) -> None:
        """All trouble passes, except of single VMs."""
        world = self.world
        self.time.pass_time(11000.0)
        world.start_seconds, world.stop_seconds = 4.0, 22.0
        world.write_faults, world.read_faults, world.revoked, world.away_until = [], [], False, 0.0
        world.frozen.clear()
        world.queue, world.gateway, world.at_once = 0, 0.0, False

    def _heal_and_restore(self) -> None:
        """Whatever happened before: on a platform that works, restoring brings everything back."""
        world = self.world
        self._calm()
        for vm in world.vms.values():
            vm.idle, vm.dead_starts = False, 0
        if self.watcher.ask("SELECT 1 FROM maintenance WHERE phase<>'done'"):
            self._bring_all_back()
        self.watcher.after()
        closed = set(self.watcher.still_closed()) - self.watcher.given_up
        assert not closed, f"nothing is left to do, and {closed} are closed"

    def _bring_all_back(self) -> None:
        recorded, lost = self.watcher.recorded(), self.watcher.accepted()
        for _attempt in range(3):
            outcome = self._restore(self.accepted)
            if outcome and outcome.refused and outcome.items:
                outcome = self._accepted(outcome, self._restore)
            if outcome and outcome.rc == 0:
                break
        assert outcome and outcome.rc == 0, f"it cannot be restored: {outcome.text if outcome else ''}"
        states = {uuid: self.world.vms[uuid].state for uuid in recorded if f"lost:{uuid}" not in lost}
        down = {uuid: state for uuid, state in states.items() if state not in ("running", "deleted")}
        assert not down, f"restored, and {down} are down"
