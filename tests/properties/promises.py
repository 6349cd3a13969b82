# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises to the operator as checks, made at the very moment in which each could be broken."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import typing as t
from pathlib import Path

from ansible_collections.pilw.maintenance.plugins.module_utils import _files, _module, _pace
from ansible_collections.pilw.maintenance.plugins.module_utils._batch import group_seconds
from ansible_collections.pilw.maintenance.plugins.module_utils._power import Engine, Wave
from ansible_collections.pilw.maintenance.plugins.module_utils._record import Record, to_open
from crew import Outcome
from properties.virtual import Process, Virtual
from properties.world import HOLDING, Call, Snapshot, World

POWER = ("stop", "force", "start")
# A look at the lease comes each half second, and what was decided before it is still sent.
GRACE = 1.0


class Watcher:
    """Looks over the shoulder of everything that is read, written and sent."""

    def __init__(self, time: Virtual, world: World, folder: Path, settings: dict[str, t.Any]) -> None:
        self.time = time
        self.world = world
        self.folder = folder
        self.settings = settings
        self.rows: set[str] = set()  # of the open record, as far as ever seen
        self.maintenance = ""
        self.hosts_before = {host.uuid: host.accepting for host in world.hosts.values()}
        self.ended_at: dict[Process, float] = {}  # when an ansible-playbook ended
        self.passed: t.Callable[[], None] = lambda: None
        self.broken: list[str] = []
        self.engine_took: list[tuple[Process | None, int, float]] = []  # whose, how many VMs, seconds
        self.safe_said = 0
        world.on_write = self.sent
        world.known = self.seen
        world.before_safe = lambda: self.ask("SELECT 1 FROM maintenance WHERE phase IN ('closing', 'recorded', 'stopping')") != []
        world.passed = self._passed

    def _passed(self) -> None:
        self.passed()  # as it is then

    @contextlib.contextmanager
    def watching(self) -> t.Iterator[None]:
        """Put the virtual time and the world in place, and the looks into record and engine."""
        former = (_pace.pace, _module.Client, Record._transaction, Record.write_safe, _files.write_text, Engine.run)
        watcher = self

        @contextlib.contextmanager
        def transaction(record: Record, token: str | None) -> t.Iterator[sqlite3.Connection]:
            watcher.passed()
            with former[2](record, token) as db:  # pylint: disable=contextmanager-generator-missing-cleanup
                yield db
                watcher.passed()
            watcher.passed()

        def write_safe(record: Record, token: str, headline: str, proofs: list[str]) -> None:
            watcher.said_safe(set(record.accepted()))
            former[3](record, token, headline, proofs)

        def write_text(path: str, text: str) -> None:
            watcher.passed()
            former[4](path, text)
            watcher.passed()

        def run(engine: Engine, waves: list[Wave]) -> t.Any:
            began, orders = watcher.time.now, engine._orders
            result = former[5](engine, waves)
            bound = sum(
                wave.delay + group_seconds(len(wave.targets), orders.concurrency, orders.timeout, orders.call_seconds)
                for wave in waves
            )
            took = watcher.time.now - began
            assert took <= bound, f"the engine took {took} s, and its bound is {bound}"
            watcher.engine_took.append((watcher.time.process, sum(len(wave.targets) for wave in waves), took))
            return result

        _pace.pace = self.time
        _module.Client = lambda *args, **more: self.world  # type: ignore[assignment,misc]
        Record._transaction = transaction  # type: ignore[assignment,method-assign]
        Record.write_safe = write_safe  # type: ignore[method-assign]
        _files.write_text = write_text
        Engine.run = run  # type: ignore[method-assign]
        try:
            yield
        finally:
            _pace.pace, _module.Client, Record._transaction, Record.write_safe, _files.write_text, Engine.run = former  # type: ignore

    # The record, read past the collection's own code.

    @property
    def path(self) -> Path:
        return self.folder / "record.sqlite"

    def ask(self, sql: str, *values: t.Any) -> list[tuple]:
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql, values).fetchall()

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
        if call.action == "open" and self.world.flags_shown:
            assert self.hosts_before.get(call.uuid) is not False or self.world.hosts[call.uuid].touched, f"{call.uuid} was closed"

    def forced(self, call: Call) -> None:
        assert call.process and call.process.root.may_force, f"the power of {call.uuid} is cut without leave"
        since = self.world.vms[call.uuid].up_since
        asked = [one for one in self.world.calls if one.action == "stop" and one.uuid == call.uuid and one.at >= since]
        stops = [one for one in asked if one.answer in ("200", "500", "502", "503", "504", "timeout", "cut")]
        assert stops, f"the power of {call.uuid} is cut, and it was never asked to stop"
        waited = self.time.now - min(one.at for one in stops)
        assert waited >= self.settings["stop_timeout"], f"the power of {call.uuid} is cut after {waited} s"

    def said_safe(self, accepted: set[str]) -> None:
        """The lists of the proof, as they truly were; and nothing of ours is at work any more."""
        self.safe_said += 1
        last = [one for one in self.world.lists if one.process is self.time.process][-3:]
        assert [one.whole for one in last] == [True, False, True]
        gap = self.settings["proof_interval"]
        assert last[1].at - last[0].at >= gap and last[2].at - last[1].at >= gap, "the lists of the proof are too close"
        for one in last:
            self.check_down(one, accepted)
        ours = [call for call in self.world.calls if call.action in POWER]
        assert all(call.ended is not None and call.ended <= last[0].began for call in ours), "a call was settled after the proof began"
        there = [vm for vm in self.world.vms.values() if vm.state != "deleted" and f"vm:{vm.uuid}" not in accepted]
        starting = [vm.uuid for vm in there if vm.starting]
        assert not starting, f"a start of ours is still at work: {starting}"
        open_hosts = [host.uuid for host in self.world.hosts.values() if host.accepting and not host.touched]
        if self.world.flags_shown:  # otherwise the platform's word is all that there is
            assert all(f"host:{uuid}" in accepted for uuid in open_hosts), f"hosts {open_hosts} take new VMs"

    @staticmethod
    def check_down(snapshot: Snapshot, accepted: set[str]) -> None:
        up = [uuid for uuid, state in snapshot.states.items() if state in HOLDING and f"vm:{uuid}" not in accepted]
        assert not up, f"safe is said, and {up} are not down"

    # After each playbook, however it ended.

    def planned(self, process: Process, outcome: Outcome) -> None:
        """What the plan printed is enough for each use of the engine, unless others have started more VMs since."""
        planned = len(outcome.results.get("plan", {}).get("vms", []))
        for whose, count, took in self.engine_took:
            if whose and whose.root is process and count <= planned:
                assert took <= outcome.worst_seconds, f"it took {took} s, and the plan says {outcome.worst_seconds}"

    def after(self) -> None:
        """No row of the record is ever lost; and nothing was broken meanwhile."""
        assert not self.broken, self.broken
        found = self.ask("SELECT id FROM maintenance")
        identity = found[0][0] if found else ""
        if identity != self.maintenance:
            if self.maintenance:
                kept = self.folder / f"{self.maintenance}.record.sqlite"
                assert kept.exists(), "the record is gone"
                with contextlib.closing(sqlite3.connect(kept)) as db:
                    assert self.rows <= {row[0] for row in db.execute("SELECT uuid FROM vms")}, "lost at the end"
            self.maintenance, self.rows = identity, set()
        now = self.recorded()
        assert self.rows <= now, f"lost from the record: {self.rows - now}"
        self.rows = now

    def restored(self, outcome: Outcome, archive: Path) -> None:
        """Every recorded VM runs or is named with its owner; hosts are as they began or are named."""
        if outcome.results.get("verify", {"failed": True}).get("failed"):
            return
        with contextlib.closing(sqlite3.connect(archive)) as db:
            vms = db.execute("SELECT uuid, owner FROM vms").fetchall()
            accepted = {row[0] for row in db.execute("SELECT item FROM accepted")}
            names = [column[1] for column in db.execute("PRAGMA table_info(hosts)")]
            hosts = [dict(zip(names, row)) for row in db.execute("SELECT * FROM hosts")]
        truth = [one for one in self.world.lists if one.whole][-1].states
        for uuid, owner in vms:
            if truth.get(uuid) in ("running", "deleted", None) or f"lost:{uuid}" in accepted:
                continue
            assert outcome.rc != 0, f"{uuid} is {truth[uuid]}, and the restore says that all is well"
            assert f"owner {owner}: {uuid}" in outcome.text, f"{uuid} is {truth[uuid]} and is not named"
        for host in hosts:
            real = self.world.hosts[host["uuid"]]
            was = {0: False, 1: True, None: None}[host["before"]]
            if not self.world.flags_shown or real.touched or not host["closed_by_us"] or not to_open({**host, "before": was}) or real.accepting:
                continue
            assert host["uuid"] in outcome.text, f"host {host['uuid']} is still closed and not named"
            assert outcome.rc != 0 or f"host:{host['uuid']}" in accepted, f"host {host['uuid']} is still closed"
