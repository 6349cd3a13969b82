# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises to the operator as checks, made at the very moment in which each could be broken."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import typing as t
from pathlib import Path

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api import client
from ansible_collections.pilw.maintenance.plugins.module_utils._power.batch import group_seconds
from ansible_collections.pilw.maintenance.plugins.module_utils._power.engine import Engine, Wave
from ansible_collections.pilw.maintenance.plugins.module_utils._record import files
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from harness.in_process import Outcome
from stateful.platform_model import HOLDING, Call, Snapshot, World
from stateful.virtual_time import Process, Virtual

POWER = ("stop", "force", "start")
# Tables of which no row is ever lost or changed in these columns. What is accepted may be replaced: the events tell it.
KEPT = {
    "vms": "uuid, owner, name",
    "hosts": "uuid, name",
    "events": "number, at, run, what, uuid, detail",
}
# Whether the plan's bound of the whole run is held against the whole run.
WHOLE_RUN_BOUND = True
# A look at the lease comes each half second, and what was decided before it is still sent.
GRACE = 1.0


class Watcher:
    """Looks over the shoulder of everything that is read, written and sent."""

    def __init__(self, time: Virtual, world: World, folder: Path, settings: dict[str, t.Any]) -> None:
        self.time = time
        self.world = world
        self.folder = folder
        self.settings = settings
        self.rows: dict[str, set[tuple]] = {table: set() for table in KEPT}  # of the open record, as far as ever seen
        self.maintenance = ""
        self.hosts_before: dict[str, bool] = {}
        self.given_up: set[str] = set()  # hosts with which a maintenance was ended closed, on purpose
        self.proving = ""  # the run that writes safe now
        self.proved = ""  # the maintenance of which safe was written last
        self.opened_at: dict[Process, float] = {}  # when a run was begun, by its ansible-playbook
        self.ended_at: dict[Process, float] = {}  # when an ansible-playbook ended
        self.passed: t.Callable[[], None] = lambda: None
        self.broken: list[str] = []
        self.engine_took: list[tuple[Process | None, int, float]] = []  # whose, how many VMs, seconds
        self.safe_said = 0
        world.on_write = self.sent
        world.known = self.seen
        world.before_safe = lambda: self.ask("SELECT 1 FROM maintenance WHERE phase IN ('closing', 'recorded', 'stopping')") != []
        world.passed = self._passed
        self.begins()

    def _passed(self) -> None:
        self.passed()  # as it is then

    def begins(self) -> None:
        """A maintenance begins: what ran in an earlier one does not count, and hosts are to be as they are now."""
        self.world.ever_ran.clear()
        self.given_up.clear()
        self.hosts_before = {host.uuid: host.accepting for host in self.world.hosts.values()}
        for host in self.world.hosts.values():
            host.touched = False

    @contextlib.contextmanager
    def watching(self) -> t.Iterator[None]:
        """Put the virtual time and the world in place, and the looks into record and engine."""
        former = (_clock.pace, client.Client, Record._transaction, Record.write_safe, files.write_text, Engine.run, Record.begin_run)
        watcher = self

        @contextlib.contextmanager
        def transaction(record: Record, token: str | None) -> t.Iterator[sqlite3.Connection]:
            watcher.passed()
            with contextlib.ExitStack() as stack:
                db = stack.enter_context(former[2](record, token))
                before = watcher.phase(db)
                yield db
                if watcher.phase(db) == "safe" != before and watcher.proving != (token or "nobody"):
                    watcher.broken.append("the phase became safe without a proof")
                watcher.passed()
            watcher.passed()

        def write_safe(record: Record, token: str, headline: str, proofs: list[str]) -> None:
            try:
                watcher.said_safe(set(record.accepted()), headline, closed=bool(record.hosts()))
            except AssertionError as exc:
                watcher.broken.append(str(exc))
                raise
            watcher.proving, watcher.proved = token, record.maintenance["id"]
            former[3](record, token, headline, proofs)
            watcher.proving = ""

        def begin_run(record: Record, actor: str, purpose: str, controller: str = "") -> str:
            if watcher.time.process:
                watcher.opened_at[watcher.time.process.root] = watcher.time.now
                if Path(record.path) != watcher.path:  # it is being made, and gets its name later
                    watcher.begins()
            return former[6](record, actor, purpose, controller)

        def write_text(path: str, text: str) -> None:
            watcher.passed()
            former[4](path, text)
            watcher.passed()

        def run(engine: Engine, waves: list[Wave], more: bool = False) -> t.Any:
            began, orders = watcher.time.now, engine._orders
            result = former[5](engine, waves, more)
            bound = sum(
                wave.delay + group_seconds(len(wave.targets), orders.concurrency, orders.timeout, orders.call_seconds)
                for wave in waves
            )
            took = watcher.time.now - began
            assert took <= bound, f"the engine took {took} s, and its bound is {bound}"
            watcher.engine_took.append((watcher.time.process, sum(len(wave.targets) for wave in waves), took))
            return result

        _clock.pace = self.time
        client.Client = lambda *args, **more: self.world  # type: ignore[assignment,misc]
        Record._transaction = transaction  # type: ignore[assignment,method-assign]
        Record.write_safe = write_safe  # type: ignore[method-assign]
        files.write_text = write_text
        Engine.run = run  # type: ignore[method-assign]
        Record.begin_run = begin_run  # type: ignore[method-assign]
        try:
            yield
        finally:
            (
                _clock.pace, client.Client, Record._transaction, Record.write_safe, files.write_text, Engine.run, Record.begin_run,
            ) = former  # type: ignore # fmt: skip

    # The record, read past the collection's own code.

    @property
    def path(self) -> Path:
        return self.folder / "record.sqlite"

    def ask(self, sql: str, *values: t.Any, path: Path | None = None) -> list[tuple]:
        path = path or self.path
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path)) as db:
            return db.execute(sql, values).fetchall()

    @staticmethod
    def phase(db: sqlite3.Connection) -> str:
        rows = db.execute("SELECT phase FROM maintenance").fetchall()
        return rows[0][0] if rows else ""

    def recorded(self) -> set[str]:
        return {row[0] for row in self.ask("SELECT uuid FROM vms")}

    def accepted(self) -> set[str]:
        return {row[0] for row in self.ask("SELECT item FROM accepted")}

    def seen(self) -> set[str]:
        return {row[0] for row in self.ask("SELECT uuid FROM seen")} | self.recorded()

    # At each write.

    def sent(self, call: Call) -> None:
        try:
            self.check(call)
        except AssertionError as exc:
            # Told also where nobody is left to hear it: in a job whose ansible-playbook was killed.
            self.broken.append(str(exc))
            call.ended = self.time.now
            raise

    def check(self, call: Call) -> None:
        assert call.process
        (holder,) = self.ask("SELECT actor FROM runs ORDER BY rowid DESC LIMIT 1")[0]
        assert holder.startswith(f"{call.process.actor} on "), f"{call.action} sent by {call.process.actor}, and {holder} has the record"
        ended = self.ended_at.get(call.process.root)
        if ended is not None:
            late = self.time.now - ended
            assert late <= self.settings["lease"] + GRACE, f"{call.action} sent {late} s after the end of ansible-playbook"
        power = [one for one in self.world.calls if one.ended is None and one.action in POWER]
        assert len(power) <= self.settings["concurrency"], f"{len(power)} power calls open at once: {power}"
        if call.action in ("stop", "force"):
            row = self.ask("SELECT stop_sent_at, force_sent_at FROM vms WHERE uuid=?", call.uuid)
            assert row and row[0][0 if call.action == "stop" else 1], f"{call.uuid} gets a {call.action} and is not on disk"
            beside = json.loads((self.folder / "running_vms.json").read_text(encoding="utf-8"))
            assert call.uuid in {one["uuid"] for one in beside}, f"{call.uuid} gets a {call.action} and is not in running_vms.json"
            assert f"vm:{call.uuid}" not in self.accepted(), f"{call.uuid} was to be left as it is"
        if call.action == "force":
            self.forced(call)
        if call.action == "start":
            assert call.uuid in self.recorded(), f"{call.uuid} is started and is not recorded"
            assert call.uuid in self.world.ever_ran, f"{call.uuid} is started and never ran"
        if call.action == "close":
            self.closed(call)
        if call.action == "open" and self.world.flags_shown:
            assert self.hosts_before.get(call.uuid) is not False or self.world.hosts[call.uuid].touched, f"{call.uuid} was closed"

    def closed(self, call: Call) -> None:
        """What the flag was is on disk before it is changed, so that nothing can be forgotten."""
        row = self.ask("SELECT before FROM hosts WHERE uuid=?", call.uuid)
        assert row, f"{call.uuid} is closed and is not on disk"
        if self.world.flags_shown and self.hosts_before[call.uuid] and not self.world.hosts[call.uuid].touched:
            assert row[0][0] == 1, f"{call.uuid} is closed, and the record does not say that it was open before"

    def forced(self, call: Call) -> None:
        assert call.process and call.process.root.may_force, f"the power of {call.uuid} is cut without leave"
        since = self.world.vms[call.uuid].up_since
        asked = [one for one in self.world.calls if one.action == "stop" and one.uuid == call.uuid and one.at >= since]
        stops = [one for one in asked if one.answer in ("200", "500", "502", "503", "504", "timeout", "cut")]
        assert stops, f"the power of {call.uuid} is cut, and it was never asked to stop"
        waited = self.time.now - min(one.at for one in stops)
        assert waited >= self.settings["stop_timeout"], f"the power of {call.uuid} is cut after {waited} s"
        vm = self.world.vms[call.uuid]
        assert vm.deaf or vm.idle or vm.reached_at <= self.time.now, f"the power of {call.uuid} is cut, and its stop waits in a queue"

    def said_safe(self, accepted: set[str], headline: str, closed: bool) -> None:
        """The lists of the proof, as they truly were; and nothing of ours is at work any more.

        C(closed): a maintenance has closed the hosts. A proof without one names those that take new VMs.
        """
        self.safe_said += 1
        last = [one for one in self.world.lists if one.process is self.time.process][-3:]
        assert [one.whole for one in last] == [True, False, True]
        gap = self.settings["proof_interval"]
        assert last[1].at - last[0].at >= gap and last[2].at - last[1].at >= gap, "the lists of the proof are too close"
        for one in last:
            self.check_down(one, accepted, headline)
        ours = [call for call in self.world.calls if call.action in POWER]
        assert all(call.ended is not None and call.ended <= last[0].began for call in ours), "a call was settled after the proof began"
        taken = {uuid for uuid in self.world.vms if {f"vm:{uuid}", f"start-left:{uuid}"} & accepted}
        there = [vm for vm in self.world.vms.values() if vm.state != "deleted" and vm.uuid not in taken]
        starting = [vm.uuid for vm in there if vm.starting]
        assert not starting, f"a start of ours is still at work: {starting}"
        # One that the platform has in MAINTENANCE gets no write, whatever its flag is; the plan names it.
        open_hosts = [host.uuid for host in self.world.hosts.values() if host.accepting and not (host.touched or host.status)]
        if closed and self.world.flags_shown:  # otherwise the platform's word is all that there is
            taken = [uuid for uuid in open_hosts if {f"lost:{uuid}", f"open-host:{uuid}"} & accepted]
            assert open_hosts == taken, f"hosts {open_hosts} take new VMs"

    @staticmethod
    def check_down(snapshot: Snapshot, accepted: set[str], headline: str) -> None:
        up = [uuid for uuid, state in snapshot.states.items() if state in HOLDING]
        wrong = [uuid for uuid in up if f"vm:{uuid}" not in accepted]
        assert not wrong, f"safe is said, and {wrong} are not down"
        unnamed = [uuid for uuid in up if uuid not in headline]
        assert not unnamed, f"{headline} is said, and {unnamed} are up and not named in it"

    # After each playbook, however it ended.

    def planned(self, process: Process, outcome: Outcome, took: float | None) -> None:
        """What the plan printed is enough, unless others have started more VMs since.

        C(took): seconds of the whole run, from its plan on; None where something else than the run itself made it longer.
        """
        planned = len(outcome.results.get("plan", {}).get("vms", []))
        uses = [(count, seconds) for whose, count, seconds in self.engine_took if whose and whose.root is process]
        for count, seconds in uses:
            if count <= planned:
                assert seconds <= outcome.worst_seconds, f"it took {seconds} s, and the plan says {outcome.worst_seconds}"
        if WHOLE_RUN_BOUND and took is not None and all(count <= planned for count, _seconds in uses):
            assert took <= outcome.whole_seconds, f"the whole run took {took} s, and the plan says {outcome.whole_seconds}"

    def after(self) -> None:
        """No row of the record is ever lost or changed, and nothing was broken meanwhile."""
        assert not self.broken, self.broken
        found = self.ask("SELECT id, phase FROM maintenance")
        identity, phase = found[0] if found else ("", "")
        if identity != self.maintenance:
            if self.maintenance:
                kept = self.folder / f"{self.maintenance}.record.sqlite"
                assert kept.exists(), "the record is gone"
                self.nothing_lost(kept)
                assert self.ask("SELECT phase FROM maintenance", path=kept) == [("done",)], "kept, and not done"
                if not identity:
                    self.leaves_closed(kept)
            self.maintenance, self.rows = identity, {table: set() for table in KEPT}
        assert phase != "safe" or self.proved == identity, "the record says safe, and no proof was made"
        if identity:
            self.nothing_lost(self.path)
        if phase == "done":
            self.leaves_closed(self.path)

    def leaves_closed(self, done: Path) -> None:
        """Hosts with which a maintenance was ended closed are not ours any more."""
        accepted = {row[0] for row in self.ask("SELECT item FROM accepted", path=done)}
        last = self.ask("SELECT purpose FROM runs ORDER BY rowid DESC LIMIT 1", path=done)
        for host in self.world.hosts.values():
            if last == [("close",)] or f"lost:{host.uuid}" in accepted:
                self.given_up.add(host.uuid)

    def nothing_lost(self, path: Path) -> None:
        for table, columns in KEPT.items():
            now = set(self.ask(f"SELECT {columns} FROM {table}", path=path))
            lost = self.rows[table] - now
            assert not lost, f"lost from {table}: {lost}"
            if table == "events" and self.rows[table]:
                before = max(row[0] for row in self.rows[table])
                assert all(row[0] > before for row in now - self.rows[table]), "an event was put in between"
            self.rows[table] = now

    def restored(self, process: Process, outcome: Outcome, archive: Path) -> None:
        """Every recorded VM runs or is named with its owner; hosts are as they began or are named."""
        end = outcome.results.get("end", {})
        if "lines" not in end:
            if "Restored already: " in outcome.text:
                self.restored_before(process, archive)
            else:
                assert outcome.rc != 0, "a restore that tells nothing says that all is well"
            return
        accepted = {row[0] for row in self.ask("SELECT item FROM accepted", path=archive)}
        self.vms_restored(process, outcome, archive, accepted)
        for uuid in self.still_closed():
            assert outcome.rc != 0 or f"lost:{uuid}" in accepted, f"host {uuid} is still closed, and the restore says that all is well"
            self.host_named(uuid, end["lines"])

    def restored_before(self, process: Process, archive: Path) -> None:
        """Nothing is sent, and each VM of the maintenance is as its restore left it."""
        assert not [call for call in self.world.calls if call.process and call.process.root is process], "a write was sent"
        truth = [one for one in self.world.lists if one.process and one.process.root is process][-1].states
        for uuid, outcome in self.ask("SELECT uuid, start_outcome FROM vms", path=archive):
            assert outcome not in ("running", "already_running") or truth.get(uuid) in ("running", "deleted", None), f"{uuid} does not run again"

    def vms_restored(self, process: Process, outcome: Outcome, archive: Path, accepted: set[str]) -> None:
        verified = not outcome.results.get("verify", {"failed": True}).get("failed")
        assert verified or outcome.rc != 0, "the VMs were not looked at, and the restore says that all is well"
        lists = [one for one in self.world.lists if one.process and one.process.root is process]
        if not lists:
            return
        truth = lists[-1].states
        for uuid, owner in self.ask("SELECT uuid, owner FROM vms", path=archive):
            if truth.get(uuid) in ("running", "deleted", None) or f"lost:{uuid}" in accepted:
                continue
            assert outcome.rc != 0, f"{uuid} is {truth[uuid]}, and the restore says that all is well"
            self.vm_named(uuid, owner, outcome.results["end"]["lines"])

    @staticmethod
    def vm_named(uuid: str, owner: str, lines: list[str]) -> None:
        pattern = re.compile(rf"\s+owner {owner}: {uuid}( .*)?: \S.*")
        assert any(pattern.fullmatch(line) for line in lines), f"{uuid} of owner {owner} does not run and is not named with a reason"

    def still_closed(self) -> list[str]:
        """Hosts that took workloads in the beginning and do not now, by nobody's wish."""
        return [
            host.uuid
            for host in self.world.hosts.values()
            if self.hosts_before[host.uuid] and not (host.accepting or host.touched or host.status or self._told_open(host.uuid))
        ]

    def _told_open(self, uuid: str) -> bool:
        """The platform says that it has opened it; where it does not show the flag, its word is all that there is."""
        calls = [call for call in self.world.calls if call.uuid == uuid]
        return not self.world.flags_shown and bool(calls) and (calls[-1].action, calls[-1].answer) == ("open", "200")

    @staticmethod
    def host_named(uuid: str, lines: list[str]) -> None:
        at = next((number for number, line in enumerate(lines) if line.startswith("Hosts still closed")), None)
        assert at is not None, "nothing is said of hosts"
        named = any(re.match(rf"  {uuid} .*: .+", line) for line in lines[at + 1 :])
        assert named, f"host {uuid} is still closed and not named with a reason"

    def closed_for_good(self, lines: list[str], archive: Path) -> None:
        """A maintenance given up names what it leaves: VMs that no start was ever sent to since they were stopped, and hosts."""
        for uuid, owner in self.ask("SELECT uuid, owner FROM vms", path=archive):
            vm = self.world.vms[uuid]
            calls = [call.action for call in self.world.calls if call.uuid == uuid and call.action in POWER]
            if vm.state == "stopped" and not vm.left_down and calls and "start" not in calls:
                self.vm_named(uuid, owner, lines)
        for uuid in self.still_closed():
            self.host_named(uuid, lines)
