# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The SQLite file under a record: made whole, opened through no planted link, looked over, its errors in plain words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t

from .._errors import MEND, DamagedRecord, RecordError
from . import files, paths

SCHEMA = 1
BUSY_TIMEOUT = 20.0  # seconds that a writer waits for another

_TABLES = """
CREATE TABLE maintenance (
    id TEXT PRIMARY KEY, api_host TEXT NOT NULL, location TEXT NOT NULL, reason TEXT NOT NULL,
    phase TEXT NOT NULL, opened_at TEXT NOT NULL, safe_at TEXT, done_at TEXT, headline TEXT NOT NULL DEFAULT '',
    adopted_from TEXT, query TEXT NOT NULL DEFAULT '', exclude TEXT NOT NULL DEFAULT '', ceph_fsid TEXT NOT NULL DEFAULT '',
    never_force TEXT NOT NULL DEFAULT '');
CREATE TABLE runs (
    token TEXT PRIMARY KEY, actor TEXT NOT NULL, purpose TEXT NOT NULL, since TEXT NOT NULL, ended TEXT,
    window REAL NOT NULL DEFAULT 0, controller TEXT NOT NULL DEFAULT '', step TEXT NOT NULL DEFAULT '',
    step_at TEXT NOT NULL DEFAULT '', step_until TEXT NOT NULL DEFAULT '');
CREATE TABLE accepted (item TEXT PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '');
CREATE TABLE hosts (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL, before INTEGER, now INTEGER, keep_closed INTEGER NOT NULL,
    closed_by_us INTEGER NOT NULL DEFAULT 0, error TEXT, at TEXT NOT NULL);
CREATE TABLE vms (
    uuid TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, api_row TEXT NOT NULL,
    first_seen TEXT NOT NULL, late INTEGER NOT NULL, state TEXT NOT NULL, state_at TEXT NOT NULL,
    stop_sent_at TEXT, stop_sent_clock TEXT, stop_answered_at TEXT, stop_outcome TEXT, stop_error TEXT, stopped_at TEXT,
    outlived_at TEXT, force_sent_at TEXT,
    start_sent_at TEXT, start_answered_at TEXT, start_outcome TEXT, start_error TEXT, started_at TEXT);
CREATE TABLE osd_flags (name TEXT PRIMARY KEY, at TEXT NOT NULL);
CREATE TABLE seen (uuid TEXT PRIMARY KEY, state TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE spared (uuid TEXT PRIMARY KEY, why TEXT NOT NULL);
CREATE TABLE events (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL, what TEXT NOT NULL, uuid TEXT, detail TEXT);
"""


# Columns and tables that the first files do not have.
_TEXT = "TEXT NOT NULL DEFAULT ''"
_LATER = (
    ("accepted", "reason", _TEXT),
    ("maintenance", "ceph_fsid", _TEXT),
    ("maintenance", "never_force", _TEXT),
    ("runs", "window", "REAL NOT NULL DEFAULT 0"),
    *(("runs", name, _TEXT) for name in ("controller", "step", "step_at", "step_until")),
)
_LATER_TABLES = ("CREATE TABLE IF NOT EXISTS spared (uuid TEXT PRIMARY KEY, why TEXT NOT NULL)",)


def make(path: str, first: dict[str, t.Any]) -> None:
    """A new file with C(first) as its one maintenance. It appears whole or not at all."""
    with _appearing(path) as unfinished, contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=EXTRA")
        _fill(db, first)


def _fill(db: sqlite3.Connection, first: dict[str, t.Any]) -> None:
    db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
    db.execute(f"INSERT INTO maintenance ({', '.join(first)}) VALUES ({', '.join('?' * len(first))})", tuple(first.values()))


def in_memory(source: sqlite3.Connection | dict[str, t.Any]) -> sqlite3.Connection:
    """A database that no file holds: a copy of another, or a new one with C(source) as its one maintenance."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    if isinstance(source, sqlite3.Connection):
        source.backup(db)
    else:
        _fill(db, source)
    return db


def upgrade(db: sqlite3.Connection) -> None:
    """Give a file that an earlier version has made the columns and tables that came later."""
    for table in _LATER_TABLES:
        db.execute(table)
    for table, column, declared in _LATER:
        if column not in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declared}")


def copy(db: sqlite3.Connection, path: str, target: str) -> None:
    """A copy of the database C(path), taken by SQLite itself, put in place in one step, and only when it is whole."""
    with _appearing(target) as unfinished, contextlib.closing(sqlite3.connect(unfinished)) as other:
        db.backup(other)
        try:
            check(other, path)
        except RecordError as exc:
            check(db, path)
            raise OSError("what was written there is not whole") from exc


def identity(path: str) -> str:
    """The id of the maintenance that a file holds, empty when it cannot be told."""
    try:
        with contextlib.closing(connect(path)) as db:
            return db.execute("SELECT id FROM maintenance").fetchone()[0]
    except (RecordError, sqlite3.Error, TypeError):
        return ""


@contextlib.contextmanager
def _appearing(path: str) -> t.Iterator[str]:
    """A private file under another name that takes its own when all went well, and leaves nothing when not."""
    unfinished = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600))
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        for name in (unfinished, f"{unfinished}-journal"):  # on a full disk each page counts
            with contextlib.suppress(OSError):
                os.unlink(name)
        raise
    files.sync_folder(os.path.dirname(path))


def connect(path: str) -> sqlite3.Connection:
    """Open a record's file for reading and writing."""
    problem = paths.file_problem(path) or paths.file_problem(f"{path}-journal")  # SQLite waits for a pipe for ever
    if problem:
        raise RecordError(f"{problem} Nothing was changed.")
    if not os.path.lexists(path):
        raise RecordError(
            f"There is no record {path}. Nothing was changed. The playbook pilw.maintenance.ceph_maint_status shows what is there."
        )
    db = None
    try:
        # Read-write even to read: a read-only open fails after a crash inside a transaction.
        db = sqlite3.connect(f"file:{_uri_path(path)}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)
        db.isolation_level = None
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous=EXTRA")
        schema = db.execute("PRAGMA user_version").fetchone()[0]
        if schema == 0:
            raise DamagedRecord(path, "it holds no record")
        if schema != SCHEMA:
            raise RecordError(
                f"The record {path} has schema {schema}, this version of pilw.maintenance knows {SCHEMA}. "
                "Nothing was changed. Go on with the version that made it."
            )
    except (sqlite3.Error, RecordError) as exc:
        if db is not None:
            db.close()
        if isinstance(exc, RecordError):
            raise
        raise reading_error(path, exc) from exc
    return db


def check(db: sqlite3.Connection, path: str) -> None:
    """Raise DamagedRecord unless SQLite finds every page in order. 0.03 s for 10,000 VMs."""
    try:
        found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as exc:
        raise reading_error(path, exc) from exc
    if found != "ok":
        raise DamagedRecord(path, " ".join(found.replace("*** in database main ***", "").split()))


def reading_error(path: str, exc: sqlite3.Error) -> RecordError:
    damage = DamagedRecord(path, str(exc)) if _is_damage(exc) else None
    return damage or RecordError(f"The record {path} cannot be read: {exc}. Nothing more is sent. {MEND}")


def writing_error(path: str, exc: sqlite3.Error) -> RecordError:
    damage = DamagedRecord(path, str(exc)) if _is_damage(exc) else None
    return damage or RecordError(f"The record {path} cannot be written: {exc}. What it held before is whole. {MEND}")


def _is_damage(exc: sqlite3.Error) -> bool:
    """The file itself is wrong; a busy, full or failing disk is a subclass (error codes came with Python 3.11)."""
    return exc.__class__ is sqlite3.DatabaseError or any(words in str(exc) for words in ("no such ", "decode to UTF-8"))


def _uri_path(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
