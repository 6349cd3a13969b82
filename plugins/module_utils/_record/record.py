# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The record: one SQLite file that says what ran, what was closed, what was done and what came of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import sqlite3
import typing as t

from .. import _accept
from .._api.model import RELEASED, START_DONE, STOP_DONE, Host, Vm, VmList, parse_vm
from .._errors import DamagedRecord, RecordError, StaleRun, disk_errors
from . import rows as _recorded
from . import schema
from .exports import HOSTS_TO_OPEN, REPORT, RUNNING_VMS, SUMMARY, VMS, Beside
from .rows import Change, RecordedHost, RecordedVm, age_seconds, now_text, steady_now
from .spared_vms import SparedVms

PHASES = ("closing", "recorded", "stopping", "safe", "opening", "starting", "done")
CLOSING, RECORDED, STOPPING, SAFE, OPENING, STARTING, DONE = PHASES

# Words of events that are asked for again.
FELL = "did not stay up"
SETTING = "flag of Ceph is being set"
HELD = "start held back"
TOLD = "told "

_VM_COLUMNS = frozenset(
    "state state_at stop_sent_at stop_sent_clock stop_answered_at stop_outcome stop_error stopped_at outlived_at force_sent_at "
    "start_sent_at start_answered_at start_outcome start_error started_at".split()
)
_NEW_EVENTS = "INSERT INTO events (at, run, what, uuid, detail)"
_NEW_EVENT = f"{_NEW_EVENTS} VALUES (?,?,?,?,?)"
_NEW_HOST = "INSERT OR IGNORE INTO hosts (uuid, name, before, now, keep_closed, closed_by_us, at)"
_NEW_OVERRIDE = "INSERT INTO accepted (item, at, run, reason) VALUES (?,?,?,?) ON CONFLICT(item) DO UPDATE SET run=excluded.run, reason=excluded.reason"
_COLUMNS = ("uuid", "owner", "name", "first_seen", "late", *sorted(_VM_COLUMNS))
# VMs that are read at once where all are looked at one by one.
_PIECE = 1000
# Rows that one statement changes: older SQLite takes 999 values.
_ROWS = 150


class Record(SparedVms):
    """An open database file. Every write goes through one transaction that checks the run token first."""

    def __init__(self, path: str, copy_dir: str | None = None, database: sqlite3.Connection | None = None) -> None:
        self.path = path
        self._beside = Beside(path if database is None else "", copy_dir)
        self._db = schema.connect(path) if database is None else database
        self._at_rest: list[RecordedVm] | None = None

    @classmethod
    def create(cls, path: str, *, api_host: str, location: str, reason: str, copy_dir: str | None = None) -> Record:
        """A new record in phase closing. The file appears whole or not at all."""
        try:
            schema.make(path, _recorded.new_maintenance(now_text(), api_host=api_host, location=location, reason=reason))
        except (OSError, sqlite3.Error) as exc:
            raise RecordError(
                f"The record {path} cannot be made: {exc}. Nothing was changed on the platform. Make room or mend the disk, "
                "or choose another folder with ceph_maint_record_dir, then run the same command again."
            ) from exc
        return cls(path, copy_dir)

    def in_memory(self) -> Record:
        """A copy that no file holds: what is written to it is gone with it."""
        try:
            return Record(self.path, database=schema.in_memory(self._db))
        except sqlite3.Error as exc:
            raise schema.reading_error(self.path, exc) from exc

    def check(self) -> None:
        """Raise DamagedRecord unless all of it is whole and says what a record says. 0.3 s for 10,000 VMs."""
        schema.check(self._db, self.path)
        try:
            if self.phase not in PHASES:
                raise DamagedRecord(self.path, f"its phase is {self.phase!a}")
            age_seconds(self.last_event_at())
            for uuid, row in self._rows():
                vm = parse_vm(json.loads(row))
                if vm is None or vm.uuid != uuid:
                    raise DamagedRecord(self.path, f"the row of VM {uuid} is not what the platform gave")
        except (TypeError, ValueError) as exc:
            raise DamagedRecord(self.path, str(exc)) from exc

    def close(self) -> None:
        self._db.close()

    # Reading: always whole, so that no open cursor blocks a writer.

    def _all(self, sql: str, *values: t.Any) -> list[sqlite3.Row]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            raise schema.reading_error(self.path, exc) from exc

    @property
    def maintenance(self) -> dict[str, t.Any]:
        rows = self._all("SELECT * FROM maintenance")
        if len(rows) != 1:
            raise DamagedRecord(self.path, "it does not hold exactly one maintenance")
        return {"ceph_fsid": "", "never_force": "", **dict(rows[0])}  # which the first records do not have

    @property
    def phase(self) -> str:
        return self.maintenance["phase"]

    def run(self) -> dict[str, t.Any] | None:
        """The run that holds the record now."""
        rows = self._all("SELECT * FROM runs ORDER BY rowid DESC LIMIT 1")
        return {"window": 0.0, "controller": "", "step": "", "step_at": "", "step_until": "", **dict(rows[0])} if rows else None  # likewise

    def runs(self) -> list[dict[str, t.Any]]:
        """Every run, without its token."""
        return [dict(row) for row in self._all("SELECT actor, purpose, since, ended FROM runs ORDER BY rowid")]

    def last_event_at(self) -> str:
        rows = self._all("SELECT at FROM events ORDER BY number DESC LIMIT 1")
        return rows[0]["at"] if rows else self.maintenance["opened_at"]

    def phase_since(self) -> str:
        """When the phase was entered."""
        rows = self._all("SELECT at FROM events WHERE what=? ORDER BY number DESC LIMIT 1", f"phase {self.phase}")
        return rows[0]["at"] if rows else self.maintenance["opened_at"]

    def events(self) -> list[dict[str, t.Any]]:
        # Of a hundred thousand VMs there are nearly a million, made of few different words.
        words: dict[t.Any, t.Any] = {}
        word, last, found = words.setdefault, 0, []
        while rows := self._all("SELECT * FROM events WHERE number>? ORDER BY number LIMIT ?", last, _PIECE):
            found += [{name: word(value, value) for name, value in zip(row.keys(), row)} for row in rows]
            last = rows[-1]["number"]
        return found

    def named_in(self, run: str, what: str) -> set[str]:
        """VMs and hosts of which a run has told an event."""
        return {row["uuid"] for row in self._all("SELECT DISTINCT uuid FROM events WHERE run=? AND what=?", run, what)}

    def told(self) -> dict[str, str]:
        """What the owner of each VM was told of it last."""
        rows = self._all("SELECT uuid, what FROM events WHERE what GLOB ? ORDER BY number", f"{TOLD}*")
        return {row["uuid"]: row["what"][len(TOLD) :] for row in rows}

    def osd_flags(self) -> list[str]:
        """Flags of Ceph that were not set before this maintenance, and that it sets."""
        return [row["name"] for row in self._all("SELECT name FROM osd_flags ORDER BY rowid")]

    def accepted(self) -> list[str]:
        return list(self.reasons())

    def reasons(self) -> dict[str, str]:
        """What is accepted, each with the reason that was given for it. Overrides of earlier versions have their names of today."""
        # The first records have no column for it.
        return {now: dict(row).get("reason", "") for row in self._all("SELECT * FROM accepted ORDER BY rowid") if (now := _accept.current(row["item"]))}

    def hosts(self) -> list[RecordedHost]:
        return [RecordedHost.of(row) for row in self._all("SELECT * FROM hosts ORDER BY rowid")]

    def hosts_to_open(self) -> list[RecordedHost]:
        """Hosts that this maintenance closed and has not opened."""
        return [host for host in self.hosts() if host.to_open_by_us]

    def vms(self, rows: bool = False) -> list[RecordedVm]:
        """The running set, in the order in which it was first seen. C(rows): with the platform's rows, which are most of it."""
        if self._at_rest is not None and not rows:
            return self._at_rest
        if not rows:
            return self._vms()
        return [RecordedVm.of(row, row["api_row"]) for row in self._all(f"SELECT {', '.join(_COLUMNS)}, api_row FROM vms ORDER BY rowid")]

    def _vms(self, where: str = "1", *values: t.Any) -> list[RecordedVm]:
        return [RecordedVm.of(row) for row in self._all(f"SELECT {', '.join(_COLUMNS)} FROM vms WHERE {where} ORDER BY rowid", *values)]

    def vms_at_work(self, starting: bool, since: str) -> tuple[list[RecordedVm], list[str], list[str]]:
        """The running set in three parts: those of which a look tells more than a count, and the uuids of the others.

        These are done, before C(since), or not asked yet. Most are, at any time.
        """
        verb, done_at, good = ("start", "started_at", START_DONE) if starting else ("stop", "stopped_at", STOP_DONE)
        done = f"(coalesce({verb}_outcome, '') IN ({_marks(good)}) AND coalesce({done_at}, '') < ?)"
        idle = f"({verb}_outcome IS NULL AND {verb}_sent_at IS NULL{'' if starting else ' AND force_sent_at IS NULL'})"
        values = (*good, since)
        others = self._all(f"SELECT uuid, {done} AS done FROM vms WHERE {done} OR {idle}", *values, *values)
        vms = self._vms(f"NOT ({done} OR {idle})", *values)
        asked = {vm.uuid for vm in vms}  # some of them between the two
        parts = [[row["uuid"] for row in others if bool(row["done"]) is wanted and row["uuid"] not in asked] for wanted in (True, False)]
        return vms, parts[0], parts[1]

    @contextlib.contextmanager
    def at_rest(self) -> t.Iterator[None]:
        """In it the running set is read once. For who looks at it from many sides, while nobody changes any of it."""
        before, self._at_rest = self._at_rest, self.vms()
        try:
            yield
        finally:
            self._at_rest = before

    def uuids(self) -> set[str]:
        """Those of the running set."""
        return {row["uuid"] for row in self._all("SELECT uuid FROM vms")}

    def _rows(self) -> t.Iterator[tuple[str, str]]:
        """Uuid and the platform's row as JSON of each VM of the running set: a piece at a time, so that few are in memory.

        Every column is read, so that one that cannot be is found.
        """
        last = 0
        while found := self._all("SELECT rowid AS place, * FROM vms WHERE rowid>? ORDER BY rowid LIMIT ?", last, _PIECE):
            yield from ((row["uuid"], row["api_row"]) for row in found)
            last = found[-1]["place"]

    def count_vms(self, timed_out: bool = False) -> int:
        """Return how many VMs are on record. ``timed_out``: those that did not shut down in time and have not gone down since."""
        return self._all("SELECT count(*) AS n FROM vms WHERE outlived_at IS NOT NULL OR NOT ?", timed_out)[0]["n"]

    def seen(self) -> dict[str, str]:
        """Every VM that a list has shown since the record was opened, with its last state."""
        return {row["uuid"]: row["state"] for row in self._all("SELECT uuid, state FROM seen")}

    def check_run(self, token: str) -> None:
        """Raise StaleRun unless this run still holds the record."""
        run = self.run()
        if run is None or run["token"] != token:
            holder = f"{run['actor']} ({run['purpose']}, since {run['since']})" if run else "nobody"
            raise StaleRun(
                f"Another run has taken over the maintenance: {holder}. This run sends nothing more. "
                "See what goes on with the playbook pilw.maintenance.ceph_maint_status."
            )

    # Writing.

    @contextlib.contextmanager
    def _transaction(self, token: str | None) -> t.Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if token is not None:
                    self.check_run(token)
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite has rolled back by itself, and says so.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise schema.writing_error(self.path, exc) from exc

    def _event(self, run: str, what: str, uuid: str | None = None, detail: str | None = None) -> None:
        self._db.execute(_NEW_EVENT, (now_text(), run, what, uuid, detail))

    def _events(self, run: str, what: str, uuids: t.Iterable[str]) -> None:
        """The same of each VM."""
        stamp = now_text()
        self._db.executemany(_NEW_EVENT, ((stamp, run, what, uuid, None) for uuid in uuids))

    def begin_run(self, actor: str, purpose: str, controller: str = "") -> str:
        """Take the record over for a new run; calls that carry an older token are rejected from now on.

        C(controller): its ansible-playbook, as C(_controller.identify) returns it.
        """
        token = secrets.token_hex(6)
        row = (token, actor, purpose, now_text(), controller)
        with self._transaction(None) as db:
            schema.upgrade(db)
            db.execute("INSERT INTO runs (token, actor, purpose, since, controller) VALUES (?,?,?,?,?)", row)
            self._event(token, f"run began: {purpose}", detail=actor)
        return token

    def end_run(self, token: str) -> None:
        with self._transaction(token) as db:
            db.execute("UPDATE runs SET ended=? WHERE token=?", (now_text(), token))
            self._event(token, "run ended")

    def announce_step(self, token: str, step: str, seconds: float) -> None:
        """The run continues for at most so many seconds without a module on this machine; an empty C(step) ends that."""
        with self._transaction(token) as db:
            row = (step, now_text(), steady_now(seconds), token)
            db.execute("UPDATE runs SET step=?, step_at=?, step_until=? WHERE token=?", row)

    def set_window(self, token: str, seconds: float) -> None:
        """How long the run may take, 0 when nobody has said."""
        with self._transaction(token) as db:
            db.execute("UPDATE runs SET window=? WHERE token=?", (seconds, token))

    def accept(self, token: str, now: list[str] | None, reason: str = "") -> None:
        """Remember what the operator accepts from now on, as C(_accept.effective) says. C(now): C(None) when nothing was given.

        C(reason): of what may destroy data and has none yet. A recorded reason stays: it was given for that one.
        """
        reason = "" if reason == _accept.REASON else reason
        with self._transaction(token) as db:
            kept = _accept.effective(recorded := self.reasons(), now)
            former = [] if now is None else sorted(row["item"] for row in self._all("SELECT item FROM accepted"))
            for item in [item for item in former if _accept.current(item) not in kept]:
                db.execute("DELETE FROM accepted WHERE item=?", (item,))
                self._event(token, "override withdrawn", detail=item)
            for row in self._all("SELECT item FROM accepted WHERE reason=''") if reason else ():
                if _accept.destructive([_accept.current(row["item"])]):
                    db.execute("UPDATE accepted SET reason=? WHERE item=?", (reason, row["item"]))
            for item in dict.fromkeys(now or ()):
                db.execute(_NEW_OVERRIDE, (item, now_text(), token, recorded.get(item) or reason))
                if item not in recorded:
                    self._event(token, "accepted", detail=item)

    def given_to(self, run: str) -> list[str]:
        """What is accepted and was given to this very run."""
        return [_accept.current(row["item"]) for row in self._all("SELECT item FROM accepted WHERE run=?", run)]

    def remember_flags(self, token: str, flags: t.Iterable[str]) -> None:
        """Flags of Ceph that are ours to unset: committed before the first is set."""
        with self._transaction(token) as db:
            for flag in flags:
                if db.execute("INSERT OR IGNORE INTO osd_flags (name, at) VALUES (?,?)", (flag, now_text())).rowcount:
                    self._event(token, SETTING, detail=flag)

    def forget_flags(self, token: str, flags: list[str]) -> None:
        """Flags that are unset again: who sets one from now on does it for himself."""
        with self._transaction(token) as db:
            for flag in flags:
                if db.execute("DELETE FROM osd_flags WHERE name=?", (flag,)).rowcount:
                    self._event(token, "flag of Ceph is unset", detail=flag)

    def disown_flags(self, token: str, flags: list[str]) -> None:
        """Flags that this run meant to set, and that were set by somebody else just before."""
        meant = [row["detail"] for row in self._all("SELECT detail FROM events WHERE run=? AND what=?", token, SETTING)]
        self.forget_flags(token, [flag for flag in flags if flag in meant])

    def remember_cluster(self, token: str, fsid: str) -> None:
        """Which Ceph cluster the proof was made of."""
        with self._transaction(token) as db:
            db.execute("UPDATE maintenance SET ceph_fsid=?", (fsid,))

    def set_scope(self, token: str, query: str, exclude: str) -> None:
        with self._transaction(token) as db:
            db.execute("UPDATE maintenance SET query=?, exclude=?", (query, exclude))

    def set_phase(self, token: str, phase: str) -> None:
        """Move to a phase other than safe, which only C(write_safe) writes."""
        if phase not in PHASES or phase == SAFE:
            raise ValueError(phase)
        with self._transaction(token) as db:
            self._move(db, token, phase)

    def _move(self, db: sqlite3.Connection, token: str, phase: str) -> None:
        if db.execute("SELECT phase FROM maintenance").fetchone()["phase"] != phase:
            db.execute("UPDATE maintenance SET phase=?", (phase,))
            self._event(token, f"phase {phase}")

    def back_to_stopping(self, token: str) -> None:
        """A prepare on an open record: the same set is to be down again, so what became of starts is past."""
        with self._transaction(token) as db:
            # A start whose outcome nobody knows, or that failed so far, stays known: its VM may still come up and gets a stop.
            db.execute(
                "UPDATE vms SET start_sent_at=CASE WHEN start_outcome='failed' THEN start_sent_at END, start_outcome=NULL, "
                "start_error=NULL, started_at=NULL, start_answered_at=NULL, outlived_at=NULL WHERE start_outcome IS NOT NULL"
            )
            db.execute("UPDATE maintenance SET headline=''")
            if db.execute("SELECT phase FROM maintenance").fetchone()["phase"] != CLOSING:
                self._move(db, token, STOPPING)

    def rebuilt(self, token: str, source: str, hosts_to_open: t.Iterable[str] = ()) -> None:
        """This file was made again from what was left of a damaged one, and may be behind what really happened.

        So nothing counts as safe, as started again, or as asked to stop for so long that its power may be cut; each VM may have
        been asked to stop a moment ago; and each host that took workloads before, or that C(hosts_to_open) names, is to be opened.
        """
        with self._transaction(token) as db:
            db.execute(
                "UPDATE vms SET outlived_at=NULL, start_outcome=NULL, start_error=NULL, started_at=NULL, start_answered_at=NULL, "
                "stop_outcome=NULL, stop_error=NULL, stopped_at=NULL, stop_sent_at=?, stop_sent_clock=?",
                (now_text(), steady_now()),
            )
            db.executemany("UPDATE hosts SET before=NULL WHERE uuid=? AND before=0", [(uuid,) for uuid in hosts_to_open])
            db.execute("UPDATE hosts SET closed_by_us=1, now=NULL WHERE before IS NOT 0 AND keep_closed=0")
            db.execute("UPDATE maintenance SET headline='', adopted_from=?", (source,))
            if db.execute("SELECT phase FROM maintenance").fetchone()["phase"] != CLOSING:
                self._move(db, token, STOPPING)
            self._event(token, "record rebuilt", detail=source)

    def write_safe(self, token: str, headline: str, proofs: list[str]) -> None:
        """Only for the call that has just made the proofs."""
        with self._transaction(token) as db:
            self._move(db, token, SAFE)
            db.execute("UPDATE maintenance SET safe_at=?, headline=?", (now_text(), headline))
            self._event(token, "proved safe", detail=f"{headline}: {'; '.join(proofs)}")

    def write_not_safe(self, token: str, why: str) -> None:
        """A proof failed. A record that was safe goes back to stopping; when it was safe stays known."""
        with self._transaction(token) as db:
            if db.execute("SELECT phase FROM maintenance").fetchone()["phase"] == SAFE:
                self._move(db, token, STOPPING)
            self._event(token, "not safe", detail=why)

    def write_done(self, token: str) -> None:
        with self._transaction(token) as db:
            self._move(db, token, DONE)
            db.execute("UPDATE maintenance SET done_at=?", (now_text(),))

    def remember_hosts(
        self, token: str, hosts: t.Iterable[Host], keep_closed: t.Container[str], ours: bool = False
    ) -> None:
        """The flag as it was before us, once: committed before the first write is sent, never overwritten later.

        C(ours): closed already, by an earlier maintenance that left no record, and to be opened at the end.
        """
        with self._transaction(token) as db:
            for host in hosts:
                row = (host.uuid, host.name, host.accepting, host.accepting, host.uuid in keep_closed, ours, now_text())
                db.execute(f"{_NEW_HOST} VALUES (?,?,?,?,?,?,?)", row)
                if host.uuid in keep_closed:
                    db.execute("UPDATE hosts SET keep_closed=1 WHERE uuid=?", (host.uuid,))
        self.export()

    def closing_host(self, token: str, uuid: str) -> None:
        """Said before the write is sent: from now on this host is ours to open again."""
        with self._transaction(token) as db:
            # Not known from here on, until the platform has answered.
            db.execute("UPDATE hosts SET closed_by_us=1, now=NULL WHERE uuid=?", (uuid,))
            self._event(token, "host is being closed", uuid)

    def host_written(self, token: str, uuid: str, now: bool | None, error: str | None = None) -> None:
        with self._transaction(token) as db:
            db.execute("UPDATE hosts SET now=?, error=?, at=? WHERE uuid=?", (now, error, now_text(), uuid))
            word = "not written" if error else ("opened" if now else "closed")
            self._event(token, f"host {word}", uuid, error)

    def host_seen(self, token: str, uuid: str, now: bool) -> None:
        """A host that needs no write. One that we had opened again and that is closed now was closed by somebody else."""
        with self._transaction(token) as db:
            if not now:
                db.execute("UPDATE hosts SET closed_by_us=0, before=0 WHERE uuid=? AND closed_by_us AND now=1", (uuid,))
            db.execute("UPDATE hosts SET now=?, error=NULL, at=? WHERE uuid=?", (now, now_text(), uuid))

    def keep_closed(self, token: str, uuids: t.Iterable[str]) -> None:
        """Hosts that are not to be opened at the end."""
        with self._transaction(token) as db:
            db.executemany("UPDATE hosts SET keep_closed=1 WHERE uuid=?", [(uuid,) for uuid in uuids])

    def add_running(self, token: str, vms: t.Iterable[Vm], late: bool, adopted_from: str | None = None) -> int:
        """Add VMs to the running set. Never removes, never overwrites. Returns how many are new."""
        stamp = now_text()
        with self._transaction(token) as db:
            known = self.uuids()
            new: dict[str, Vm] = {}
            for vm in vms:
                if vm.uuid not in known:
                    new.setdefault(vm.uuid, vm)
            db.executemany(
                "INSERT INTO vms (uuid, owner, name, api_row, first_seen, late, state, state_at) VALUES (?,?,?,?,?,?,?,?)",
                ((vm.uuid, vm.owner, vm.name, json.dumps(vm.row), stamp, late, vm.state, stamp) for vm in new.values()),
            )
            self._events(token, "recorded late" if late else "recorded", new)
            if adopted_from:
                db.execute("UPDATE maintenance SET adopted_from=?", (adopted_from,))
            if db.execute("SELECT phase FROM maintenance").fetchone()["phase"] == CLOSING:
                self._move(db, token, RECORDED)
        if new or not self._beside.has(RUNNING_VMS):
            self.export()
        return len(new)

    def note_states(self, token: str, found: VmList) -> None:
        """Keep what a whole list showed: what is new in it. A VM seen stopped has not outlived anything any more."""
        stamp, seen = now_text(), self.seen()
        shown = {uuid: vm.state for uuid, vm in found.vms.items()}
        with self._transaction(token) as db:
            db.executemany(
                "INSERT INTO seen (uuid, state, at) VALUES (?,?,?) "
                "ON CONFLICT(uuid) DO UPDATE SET state=excluded.state, at=excluded.at",
                [(uuid, state, stamp) for uuid, state in shown.items() if seen.get(uuid) != state],
            )
            kept = db.execute("SELECT uuid, state, outlived_at FROM vms").fetchall()
            db.executemany(
                "UPDATE vms SET state=?, state_at=? WHERE uuid=?",
                [(shown[row["uuid"]], stamp, row["uuid"]) for row in kept if shown.get(row["uuid"], row["state"]) != row["state"]],
            )
            db.executemany(
                "UPDATE vms SET outlived_at=NULL WHERE uuid=?",
                [(row["uuid"],) for row in kept if row["outlived_at"] is not None and shown.get(row["uuid"]) in RELEASED],
            )

    def note_told(self, token: str, kind: str, uuids: t.Iterable[str]) -> None:
        """The owner of these VMs was told, whatever comes of the run."""
        with self._transaction(token):
            self._events(token, TOLD + kind, uuids)

    def note_gone(self, token: str, uuids: t.Iterable[str]) -> None:
        """VMs that are no more by their own detail: lists need not show them any longer."""
        with self._transaction(token) as db:
            db.executemany("UPDATE seen SET state='deleted', at=? WHERE uuid=?", [(now_text(), uuid) for uuid in uuids])

    def write(self, token: str, changes: t.Iterable[Change]) -> None:
        """Commit changes to VMs in one transaction; refused when the run is stale.

        What many have in common is one statement: each lets other threads go first, which costs more than its work.
        """
        changes, stamp = list(changes), now_text()
        with self._transaction(token) as db:
            for columns, alike in itertools.groupby(changes, lambda change: change.columns):
                if not _VM_COLUMNS.issuperset(columns):
                    raise ValueError(sorted(columns))
                names = ", ".join(f"{name}=?" for name in columns)
                for uuids in _pieces([change.uuid for change in alike] if names else []):
                    db.execute(f"UPDATE vms SET {names} WHERE uuid IN ({_marks(uuids)})", (*columns.values(), *uuids))
            rows = [(stamp, token, change.event, change.uuid, change.detail or None) for change in changes if change.event]
            for events in _pieces(rows):
                db.execute(f"{_NEW_EVENTS} VALUES {', '.join(['(?,?,?,?,?)'] * len(events))}", [*itertools.chain(*events)])

    # Files that outlive this one, and that a shell can use.

    @property
    def warnings(self) -> list[str]:
        return self._beside.warnings

    def export(self) -> None:
        """Rewrite running_vms.json and hosts_to_open.json beside the record, and the second copy of all."""
        hosts = [{"uuid": host.uuid, "name": host.name} for host in self.hosts() if host.to_open]
        self._write_beside({RUNNING_VMS: self._row_lines, HOSTS_TO_OPEN: hosts})
        self.copy()

    def _row_lines(self) -> t.Iterator[str]:
        """The platform's rows as a JSON list, each on a line of its own."""
        lead = "["
        for _uuid, row in self._rows():
            yield f"{lead}\n{row}"
            lead = ","
        yield "[]\n" if lead == "[" else "\n]\n"

    def _write_beside(self, files: dict[str, t.Any]) -> None:
        with disk_errors("The list beside the record cannot be written", f"The record {self.path} itself is whole."):
            self._beside.write(files, self.maintenance["id"])

    def write_report(self, data: dict[str, t.Any], vms: str, summary: str) -> None:
        """report.json, vms.csv and summary.md beside the record, and beside its copy."""
        self._write_beside({REPORT: data, VMS: vms, SUMMARY: summary})

    def archive(self) -> None:
        """Put a done record, and what lies beside it, away under its own id. Nothing more is copied."""
        self._beside.archive(self.maintenance["id"])

    def copy(self) -> None:
        """Bring the second copy up to date."""
        self._beside.copy(self._db, self.maintenance["id"])

    def copy_to(self, path: str) -> None:
        """A copy of all under another name."""
        schema.copy(self._db, self.path, path)


def _pieces(rows: list[t.Any]) -> t.Iterator[list[t.Any]]:
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


def _marks(values: t.Sized) -> str:
    return ",".join("?" * len(values))
