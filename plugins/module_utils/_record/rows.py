# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What the record knows of one VM, a change to it, and how it keeps times."""

from __future__ import annotations

import functools
import json
import secrets
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .. import _clock
from .._api.model import FAILED, START_DONE, STOP_DONE


def now_text(ago: float = 0.0) -> str:
    """The time, or that so many seconds ago, as the record keeps it: UTC, to the second."""
    return _text(int(_clock.wall() - ago))


@functools.lru_cache(maxsize=8)
def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def steady_now(ahead: float = 0.0) -> str:
    """The moment, or that so many seconds ahead, on the clock that no one sets, for as long as this machine runs."""
    return f"{_clock.pace.boot()} {_clock.monotonic() + ahead:.1f}"


def steady_left(text: str) -> float:
    """Seconds until a moment of C(steady_now); 0 when it has passed, and after a restart of this machine."""
    boot, _blank, moment = text.partition(" ")
    return max(0.0, float(moment) - _clock.monotonic()) if boot and boot == _clock.pace.boot() else 0.0


def age_seconds(text: str) -> float:
    """How long ago a time of the record was, by the wall clock; 0 when that clock went back."""
    return max(0.0, _clock.wall() - _moment(text))


@functools.lru_cache(maxsize=1 << 16)  # many VMs share a second
def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def new_maintenance(stamp: str, **platform: str) -> dict[str, t.Any]:
    """The first row of a record that is opened at C(stamp)."""
    identity = f"{stamp.translate({ord(c): None for c in '-:'})}-{secrets.token_hex(3)}"
    return {"id": identity, **platform, "phase": "closing", "opened_at": stamp}


@dataclass
class Change:
    """One change to one recorded VM: columns, and the event that tells it."""

    uuid: str
    columns: dict[str, t.Any]
    event: str = ""
    detail: str = ""


@dataclass(frozen=True)
class RecordedHost:
    """One host as the record has it."""

    uuid: str
    name: str
    before: bool | None  # whether it took workloads before it was touched; None where that could not be read
    now: bool | None
    keep_closed: bool
    closed_by_us: bool
    error: str | None
    at: str

    @classmethod
    def of(cls, row: t.Any) -> RecordedHost:
        """Return the host of a row of the table."""
        before, now = (None if row[name] is None else bool(row[name]) for name in ("before", "now"))
        return cls(row["uuid"], row["name"], before, now, bool(row["keep_closed"]), bool(row["closed_by_us"]), row["error"], row["at"])

    @property
    def to_open(self) -> bool:
        """Whether it is to be opened at the end: it took workloads before (or nobody knows), and may again."""
        return self.before is not False and not self.keep_closed

    @property
    def to_open_by_us(self) -> bool:
        """This maintenance closed it and has not opened it. One that it opened may have been closed by somebody else since."""
        return self.closed_by_us and self.to_open and self.now is not True

    def label(self) -> str:
        return f"{self.uuid} {self.name}".strip()


class Attempt(t.NamedTuple):
    """What the record knows of the stop, or of the start, of one VM. Times are those of C(now_text); each is None until it happened."""

    outcome: str | None = None
    error: str | None = None
    sent_at: str | None = None
    answered_at: str | None = None
    done_at: str | None = None  # when a state showed that it is stopped, or running


@dataclass
class RecordedVm:
    """One VM of the running set as the record has it."""

    uuid: str
    owner: str
    name: str
    late: bool
    state: str
    stop: Attempt = Attempt()
    start: Attempt = Attempt()
    force_sent_at: str | None = None
    outlived_at: str | None = None  # when it was seen to run on past the time limit of its stop
    stop_sent_clock: str | None = None  # of C(steady_now)
    api_row: str = field(default="", repr=False)  # the platform's row as JSON, empty where it was not asked for

    @classmethod
    def of(cls, row: t.Any, api_row: str = "") -> RecordedVm:
        """Return the VM of a row of the table."""
        return cls(
            row["uuid"],
            row["owner"],
            row["name"],
            bool(row["late"]),
            row["state"],
            Attempt(row["stop_outcome"], row["stop_error"], row["stop_sent_at"], row["stop_answered_at"], row["stopped_at"]),
            Attempt(row["start_outcome"], row["start_error"], row["start_sent_at"], row["start_answered_at"], row["started_at"]),
            row["force_sent_at"],
            row["outlived_at"],
            row["stop_sent_clock"],
            api_row,
        )

    @property
    def stop_done(self) -> bool:
        return self.stop.outcome in STOP_DONE

    @property
    def start_done(self) -> bool:
        return self.start.outcome in START_DONE

    @property
    def outlived(self) -> bool:
        """Its graceful stop was accepted or unclear, and it ran on past its own time limit."""
        return self.outlived_at is not None

    @property
    def start_unclear(self) -> bool:
        """A start was sent and nobody knows what came of it."""
        return self.start.sent_at is not None and self.start.outcome is None

    @property
    def may_come_up(self) -> bool:
        """A start was sent, and it is not known to have ended well or to have done nothing."""
        return self.start_unclear or (self.start.sent_at is not None and self.start.outcome == FAILED)

    @property
    def stop_pending(self) -> bool:
        """A stop was sent and the guest may still obey it."""
        return self.stop.sent_at is not None and not self.stop_done and not self.outlived

    @property
    def stop_sent_ago(self) -> float:
        """Seconds since its last stop was sent, also when the wall clock was set meanwhile."""
        boot, _blank, moment = (self.stop_sent_clock or "").partition(" ")
        if boot and boot == _clock.pace.boot():
            return max(0.0, _clock.monotonic() - float(moment))
        return age_seconds(self.stop.sent_at) if self.stop.sent_at else 0.0

    @property
    def row(self) -> dict:
        return json.loads(self.api_row)

    def label(self) -> str:
        return f"{self.uuid} ({self.name or 'no name'}, owner {self.owner})"
