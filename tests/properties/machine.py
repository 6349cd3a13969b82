# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random fleets, owners, faults, kills and reruns, in any order; the promises are looked at all the while."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import typing as t
from concurrent.futures import Executor, Future
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crew import Crew, JobKilled, Outcome
from properties.promises import Watcher
from properties.virtual import Process, Virtual
from properties.world import READ_FAULTS, WRITE_FAULTS, Host, Vm, World

HOST = "api.example.com"
GROUPS = [{"name": "databases", "query": "[?user_id=='7']", "delay": 30}, {"name": "web", "query": "[?user_id=='8']"}]
# Memory, where there is some to write to: each commit is on disk before it returns.
FAST_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None

vms = st.builds(
    Vm,
    uuid=st.just(""),
    owner=st.sampled_from(["7", "8", "9"]),
    state=st.sampled_from(["running"] * 12 + ["stopped"] * 3 + ["creating", "deleted", "paused"]),
    deaf=st.sampled_from([False] * 5 + [True]),
    idle=st.sampled_from([False] * 9 + [True]),
    rises=st.sampled_from([0] * 7 + [1, 2, 9]),
    dead_starts=st.sampled_from([0] * 6 + [1, 3, 99]),
)
hosts = st.builds(
    Host,
    uuid=st.just(""),
    accepting=st.sampled_from([True, True, True, False]),
    status=st.sampled_from([""] * 8 + ["MAINTENANCE"]),
)
# None: the run is not killed. Otherwise after so many points, and whom.
kills = st.none() | st.tuples(st.integers(0, 120), st.sampled_from(["controller", "job", "machine"]))
which = st.integers(0, 20)
offsets = st.floats(0, 2000, allow_nan=False)
owner_acts = st.lists(st.tuples(st.sampled_from(["start", "stop", "delete", "create"]), which, offsets), max_size=3)
write_faults = st.lists(st.sampled_from(["", "", *WRITE_FAULTS]), max_size=8)
read_faults = st.lists(st.sampled_from(["", "", "", *READ_FAULTS]), max_size=4)


class _Jobs:
    """In the place of an executor: each call is a process of its own, as a job on the maintenance host is."""

    def __init__(self, time: Virtual) -> None:
        self._time = time

    def submit(self, call: t.Callable, /, *args: t.Any, **more: t.Any) -> Future:
        job = Process("job", root=self._time.process)
        future = self._time.start(job, lambda: call(*args, **more))
        job.on_end.append(lambda: None if future.done() else future.set_exception(JobKilled()))
        return future


class Maintenance(RuleBasedStateMachine):
    """One platform, one maintenance host, and whatever happens to them."""

    @initialize(
        fleet=st.lists(vms, min_size=1, max_size=8),
        estate=st.lists(hosts, min_size=1, max_size=4),
        concurrency=st.integers(1, 4),
        groups=st.sampled_from([None, None, GROUPS]),
        copied=st.booleans(),
        flags_shown=st.sampled_from([True, True, True, False]),
        stop_seconds=st.sampled_from([22.0, 22.0, 22.0, 400.0, 580.0]),
        start_seconds=st.sampled_from([4.0, 4.0, 4.0, 4.0, 5000.0]),
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
    ) -> None:
        self.time = Virtual()
        self.world = World(self.time, flags_shown=flags_shown, stop_seconds=stop_seconds, start_seconds=start_seconds)
        for number, vm in enumerate(fleet):
            vm.uuid = f"vm-{number}"
            self.world.vms[vm.uuid] = vm
            if vm.state == "creating":
                self.time.later(100.0, lambda vm=vm: setattr(vm, "state", "running" if vm.state == "creating" else vm.state))
        for number, host in enumerate(estate):
            host.uuid = f"host-{number}"
            host.accepting = host.accepting and not host.status
            self.world.hosts[host.uuid] = host
        if not any(host.accepting for host in estate):
            estate[0].accepting, estate[0].status = True, ""
        self.folder = Path(tempfile.mkdtemp(prefix="pilw-", dir=FAST_DISK))
        self.crew = Crew(
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
        self.crew.jobs = lambda: t.cast(Executor, _Jobs(self.time))
        self.accepted: list[str] = []
        self.steps = self.kills = 0

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

    @rule(force=st.booleans(), acts=owner_acts)
    def prepare(self, force: bool, acts: t.Any) -> None:
        self.prepare_killed(force, None, acts, True)

    @rule(force=st.booleans(), kill=kills, acts=owner_acts, go_on=st.booleans())
    def prepare_killed(self, force: bool, kill: t.Any, acts: t.Any, go_on: bool) -> None:
        """C(go_on): the operator pastes what the refusal printed."""
        self._happens(acts)
        outcome = self._play(lambda: self.crew.prepare(force=force, accept=self.accepted), kill, force)
        if outcome and outcome.items and go_on:
            self._accepted(outcome, lambda accept: self.crew.prepare(force=force, accept=accept), force)

    @rule(kill=kills, acts=owner_acts, go_on=st.booleans())
    def restore(self, kill: t.Any, acts: t.Any, go_on: bool) -> None:
        self._happens(acts)
        archived = self._archived()
        outcome = self._play(lambda: self.crew.restore(accept=self.accepted), kill)
        if outcome and outcome.items and go_on:
            outcome = self._accepted(outcome, lambda accept: self.crew.restore(accept=accept))
        self._look_at_restore(outcome, archived)

    def _look_at_restore(self, outcome: Outcome | None, archived: set[Path]) -> None:
        new = self._archived() - archived
        if outcome and (new or self.watcher.path.exists()):
            record = new.pop() if new else self.watcher.path
            self.watcher.restored(outcome, record)
            if outcome.rc == 0:
                self.stays_up(record)

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

    @precondition(lambda self: self.watcher.path.exists())
    @rule(first=st.sampled_from(["prepare", "restore"]), second=st.sampled_from(["prepare", "restore"]), after=offsets, take=st.booleans(), kill=kills)
    def two_at_once(self, first: str, second: str, after: float, take: bool, kill: t.Any) -> None:
        """Another operator comes, is refused or not, and may take over with what the refusal printed."""
        other = Crew(self.folder, HOST, "key", actor="bob", **self.crew.settings)
        other.jobs = self.crew.jobs
        processes = Process("ann"), Process("bob", actor="bob")

        def come() -> Outcome:
            self.time.sleep(after)
            outcome = getattr(other, second)(accept=self.accepted)
            if take and any(item.startswith("takeover:") for item in outcome.items):
                outcome = getattr(other, second)(accept=outcome.accept_argument())
            return outcome

        self._aim(processes[0], kill)
        self._run([(processes[0], lambda: getattr(self.crew, first)(accept=self.accepted)), (processes[1], come)])

    # How they do it.

    def _happens(self, acts: list[tuple[str, int, float]]) -> None:
        for act, number, after in acts:
            self.time.later(after, lambda act=act, number=number: self._owner_acts(act, number))

    def _play(self, play: t.Callable[[], Outcome], kill: t.Any = None, force: bool = False) -> Outcome | None:
        process = Process("ansible-playbook", may_force=force)
        self._aim(process, kill)
        (outcome,) = self._run([(process, play)])
        if outcome:
            self.watcher.planned(process, outcome)
        if outcome and outcome.refused and not outcome.items:
            assert "ceph_maint_" in outcome.text or "run the same command again" in outcome.text, f"no way on: {outcome.text}"
        return outcome

    def _run(self, plays: list[tuple[Process, t.Callable[[], Outcome]]]) -> list[Outcome | None]:
        """Until each has ended or was killed."""
        running = [(process, self.time.start(process, play)) for process, play in plays]
        self.time.run(lambda: all(future.done() or not process.alive for process, future in running))
        self.watcher.passed = lambda: None
        for process, _future in running:
            self.watcher.ended_at.setdefault(process, self.time.now)
        self.steps += len(plays)
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
            self.kills += 1
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

    def _heal_and_restore(self) -> None:
        """Whatever happened before: on a platform that works, restoring brings everything back."""
        world = self.world
        self.time.pass_time(11000.0)
        world.start_seconds, world.stop_seconds = 4.0, 22.0
        world.write_faults, world.read_faults, world.revoked, world.away_until = [], [], False, 0.0
        world.frozen.clear()
        for vm in world.vms.values():
            vm.idle, vm.dead_starts = False, 0
        if self.watcher.ask("SELECT 1 FROM maintenance WHERE phase<>'done'") == []:
            return
        recorded = self.watcher.recorded()
        closed_by_us = {row[0] for row in self.watcher.ask("SELECT uuid FROM hosts WHERE closed_by_us AND NOT keep_closed")}
        for _attempt in range(3):
            archived = self._archived()
            outcome = self._play(lambda: self.crew.restore(accept=self.accepted))
            if outcome and outcome.refused and outcome.items:
                outcome = self._accepted(outcome, lambda accept: self.crew.restore(accept=accept))
            self._look_at_restore(outcome, archived)
            if outcome and outcome.rc == 0:
                break
        assert outcome and outcome.rc == 0, f"it cannot be restored: {outcome.text if outcome else ''}"
        down = {uuid: world.vms[uuid].state for uuid in recorded if world.vms[uuid].state not in ("running", "deleted")}
        assert not down, f"restored, and {down} are down"
        for uuid in closed_by_us:
            host = world.hosts[uuid]
            assert host.accepting or host.touched or host.status, f"restored, and {uuid} is closed"
