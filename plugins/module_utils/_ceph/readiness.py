# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Whether Ceph really serves. HEALTH_OK does not tell: a monitor that stands alone says it of a dead cluster (seen on 16.2).

What tells: the manager's report of the placement groups moves on, every OSD that is said to be up answers, and a write comes back.
"""

from __future__ import annotations

import secrets
import typing as t
from dataclasses import dataclass, field

from .. import _accept, _clock
from .._errors import CephError, InputError, Refused
from .assessment import check_flags, other_cluster
from .command import Ceph, is_active
from .rbd import may_hold_images

# With these no write comes to its end, or none would as soon as one OSD is missing (nodown) or late (noup).
HOLDING_FLAGS = ("pause", "full", "nodown", "noup")
_FINAL = (1, 13, 22)  # EPERM, EACCES, EINVAL: asking again changes nothing
_AGAIN = 3.0  # seconds between two looks; the manager makes a report every 2 s
# Nothing else can be asked, or understood.
_SILENT, _UNKNOWN = _accept.HEALTH("monitors-silent"), _accept.HEALTH("answer-unknown")
_SHOWN = 10


@dataclass(frozen=True)
class Lack:
    """One thing that is missing, and the item that accepts it."""

    text: str
    item: str


@dataclass
class State:
    """What C(ceph status) and the flags say. Shown, never a proof."""

    status: str
    checks: dict[str, str] = field(default_factory=dict)
    osds: str = ""
    recovery: str = ""


def read_state(ceph: Ceph) -> State:
    answer = ceph.json("ceph", "status")
    health, osds, groups = answer["health"], answer["osdmap"], answer["pgmap"]
    osds = osds.get("osdmap", osds)  # nested before Octopus
    # A muted one is known to the operator, and Ceph's own word does not count it either.
    checks = {
        name: str((check.get("summary") or {}).get("message", ""))
        for name, check in (health.get("checks") or {}).items()
        if not check.get("muted")
    }
    moving = {name: groups[name] for name in ("degraded_objects", "misplaced_objects", "unfound_objects") if groups.get(name)}
    return State(
        str(health["status"]),
        checks,
        f"{osds['num_up_osds']} of {osds['num_osds']} OSDs up, {osds['num_in_osds']} in",
        ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in moving.items()),
    )


def flags_of(dump: dict[str, t.Any]) -> list[str]:
    """The flags of the whole cluster. C(pause) reads back as two."""
    found = dump.get("flags_set")
    names = set(found if isinstance(found, list) else str(dump.get("flags", "")).split(","))
    if {"pauserd", "pausewr"} & names:
        names = names - {"pauserd", "pausewr"} | {"pause"}
    return sorted(name for name in names if name)


def read_flags(ceph: Ceph) -> tuple[list[str], str]:
    """The flags that are set, and the cluster that was asked."""
    dump = ceph.json("ceph", "osd", "dump")
    if not isinstance(dump, dict):
        raise CephError(ceph.argv("ceph", "osd", "dump"), "gave an answer in a form that this version does not know", unreadable=True)
    return flags_of(dump), str(dump.get("fsid", ""))


def check_cluster(fsid: str, known: str, accepted: t.Collection[str], undone: str) -> None:
    """Raise Refused where another cluster answers than the one that the proof was made of. C(undone): what was not done."""
    item, text = other_cluster(fsid, known)
    if item and item not in accepted:
        wrong = (
            f"Ceph is asked in the wrong place: {text}. {undone} Correct ceph_maint_ceph_host or ceph_maint_ceph_command and run the same command "
            "again, or go on with this cluster"
        )
        raise _accept.refusal(wrong, accepted, [item])


def put_flags(
    ceph: Ceph,
    wanted: list[str],
    setting: bool,
    timeout: float,
    check_mode: bool,
    known: str = "",
    accepted: t.Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Set or unset flags where they differ. Those before and after; in check mode what would be after. C(known): see C(check_cluster)."""
    check_flags(wanted)
    deadline = _clock.monotonic() + timeout
    while True:
        try:
            before, fsid = read_flags(ceph)
            check_cluster(fsid, known, accepted, "No flag was changed.")
            differing = [flag for flag in wanted if (flag in before) != setting]
            if check_mode:
                return before, sorted((set(before) | set(differing)) if setting else (set(before) - set(differing)))
            for flag in differing:
                ceph.raw("ceph", "osd", "set" if setting else "unset", flag)
            after, _fsid = read_flags(ceph)
        except CephError as exc:
            if exc.status in _FINAL or exc.unreadable or _clock.monotonic() >= deadline:
                raise Refused(f"The flags {', '.join(wanted)} could not be {'set' if setting else 'unset'}: {exc}. {_by_hand(wanted, setting)}") from exc
            _clock.sleep(_AGAIN)
            continue
        wrong = [flag for flag in wanted if (flag in after) != setting]
        if not wrong:
            return before, after
        if _clock.monotonic() >= deadline:
            raise Refused(
                f"Ceph took the order to {'set' if setting else 'unset'} {', '.join(wrong)} and does not show it. Look at ceph osd dump, then "
                "run the same command again."
            )
        _clock.sleep(_AGAIN)


def _by_hand(flags: list[str], setting: bool) -> str:
    """The way on where this key may not, or nobody answers."""
    commands = "; ".join(f"ceph osd {'set' if setting else 'unset'} {flag}" for flag in flags)
    without = " To do without flags: the same command with -e ceph_maint_osd_flags=none" if setting else ""
    return f"Do it yourself ({commands}) and run the same command again: what is {'set' if setting else 'unset'} already is passed over.{without}"


class NotServing(Refused):
    """What is missing has not come in time. C(missing) in words."""

    def __init__(self, text: str, items: list[str], missing: str) -> None:
        super().__init__(text, items)
        self.missing = missing

    def facts(self) -> dict:
        return {**super().facts(), "missing": self.missing}


class Gate:
    """Looks at Ceph again and again; what one look found is compared with the next."""

    def __init__(
        self, ceph: Ceph, probe_pool: str, accepted: t.Collection[str], pools: t.Container[str] = (), known: str = ""
    ) -> None:
        self._ceph = ceph
        self._probe_pool = probe_pool
        # One name for all tries: what a try could not remove the next one does.
        self._probe = f"pilw-maintenance-probe-{secrets.token_hex(6)}"
        self._pools = pools  # with images, beside those whose applications allow for them
        self._accepted = accepted
        self._known = known  # the cluster of the proof
        self._first_report: t.Any = None
        # Of the last look: what could not be proved, what was missing and is accepted, and the flags that were set.
        self.notes: dict[str, str] = {}
        self.passed_over: list[Lack] = []
        self.flags: list[str] = []

    def wait(self, timeout: float, look: t.Callable[[], list[Lack]]) -> list[Lack]:
        """Look until nothing is missing, at most C(timeout) seconds. What is missing in the end."""
        deadline = _clock.monotonic() + timeout
        while True:
            found = self._looked(look)
            lacks = self._unaccepted(found)
            self.passed_over = [lack for lack in found if lack not in lacks]
            left = deadline - _clock.monotonic()
            if not lacks or left <= 0:
                return lacks
            _clock.sleep(min(_AGAIN, left))

    def _looked(self, look: t.Callable[[], list[Lack]]) -> list[Lack]:
        self.notes.clear()
        try:
            return look()
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            # A daemon that has just come up may answer by halves.
            return [Lack(f"Ceph answers in a form that this version does not know ({type(exc).__name__}: {exc})", _UNKNOWN)]

    def _unaccepted(self, lacks: list[Lack]) -> list[Lack]:
        return [lack for lack in lacks if lack.item not in self._accepted]

    def whole(self) -> list[Lack]:
        """Everything that is to be there before the first VM is started."""
        return self._lacks(lambda: self._ceph.json("ceph", "quorum_status"), lambda _answer, dump: self._silent_lacks(dump))

    def ramp(self) -> list[Lack]:
        """Between two waves of starts: each OSD is not spoken to, and requests must not be slow."""
        return self._lacks(lambda: read_state(self._ceph), lambda state, _dump: _slow_lacks(state))

    def _lacks(self, ask: t.Callable[[], t.Any], more: t.Callable[[t.Any, dict[str, t.Any]], list[Lack]]) -> list[Lack]:
        try:
            answer, dump = ask(), self._ceph.json("ceph", "osd", "dump")
        except CephError as exc:
            return [_lack_of(exc, "the monitors give no answer, or have no quorum", _SILENT)]
        self.flags = flags_of(dump)
        check_cluster(str(dump.get("fsid", "")), self._known, self._accepted, "Nothing more was started.")
        self._check_probe_pool(dump)
        lacks = [*_flag_lacks(dump), *self._full_lacks(dump), *_down_lacks(dump), *more(answer, dump)]
        return self._and_probe([*lacks, *self._report_lacks(), *self._group_lacks(dump)])

    def _check_probe_pool(self, dump: dict[str, t.Any]) -> None:
        if self._probe_pool and self._probe_pool not in [row["pool_name"] for row in dump["pools"]]:
            raise InputError(f"probe_pool: Ceph has no pool {self._probe_pool!r}. Nothing was written. Correct ceph_maint_probe_pool.")

    def _full_lacks(self, dump: dict[str, t.Any]) -> list[Lack]:
        return [
            Lack(f"pool {row['pool_name']} is full, so it takes no write", _accept.HEALTH(f"full-{row['pool_name']}"))
            for row in dump["pools"]
            if "full" in str(row.get("flags_names", "")).split(",")
            and (may_hold_images(row.get("application_metadata")) or row["pool_name"] in self._pools)
        ]

    def _and_probe(self, lacks: list[Lack]) -> list[Lack]:
        """Nothing is written into a cluster of which something else is missing."""
        return lacks if self._unaccepted(lacks) else [*lacks, *self._probe_lacks()]

    def _silent_lacks(self, dump: dict[str, t.Any]) -> list[Lack]:
        """OSDs that are said to be up and do not answer: after an outage that word is old."""
        up = [row["osd"] for row in dump["osds"] if row["up"] and _accept.HEALTH(f"osd-{row['osd']}") not in self._accepted]
        lacks = [] if any(row["up"] for row in dump["osds"]) else [Lack("no OSD is up", _accept.HEALTH("osd-none"))]
        asked = self._ceph.at_once(lambda osd: self._ceph.json("ceph", "tell", f"osd.{osd}", "version"), up)
        if asked and all(isinstance(answer, CephError) and answer.forbidden for _osd, answer in asked):
            # Where one answers, the key may ask, and a refusal of another has another reason.
            self.notes["osd"] = f"that each OSD answers, as this key may not ask them ({asked[0][1]})"
            return lacks
        for osd, answer in asked:
            if isinstance(answer, CephError):
                lacks.append(_lack_of(answer, f"osd.{osd} is said to be up and gives no answer", _accept.HEALTH(f"osd-{osd}")))
        return lacks

    def _report_lacks(self) -> list[Lack]:
        """The manager's report must be a new one: the monitors keep the last one of before the outage."""
        try:
            report = self._ceph.json("ceph", "pg", "dump", "sum")
        except CephError as exc:
            return [_lack_of(exc, "the manager gives no report of the placement groups", _accept.HEALTH("manager-silent"))]
        report = report.get("pg_map", report)
        version = [report.get("version"), report.get("stamp")]
        if self._first_report is None:
            self._first_report = version
        if version == self._first_report:
            return [Lack("the manager's report of the placement groups has not moved on yet", _accept.HEALTH("manager-stands-still"))]
        return []

    def _group_lacks(self, dump: dict[str, t.Any]) -> list[Lack]:
        try:
            known = self._ceph.group_states()
            if (known and all(map(is_active, known))) or not dump["pools"]:
                return []
            brief = self._ceph.json("ceph", "pg", "dump", "pgs_brief")
        except CephError as exc:
            return [_lack_of(exc, "the manager does not tell the states of the placement groups", _accept.HEALTH("manager-silent"))]
        rows = brief["pg_stats"] if isinstance(brief, dict) else brief
        if not rows:
            return [Lack("the manager does not know of any placement group yet", _accept.HEALTH("manager-silent"))]
        names = {str(pool["pool"]): str(pool["pool_name"]) for pool in dump["pools"]}
        counts: dict[str, dict[str, int]] = {}
        for row in rows:
            if not is_active(row["state"]):
                pool = str(row["pgid"]).partition(".")[0]
                states = counts.setdefault(names.get(pool, pool), {})
                states[row["state"]] = states.get(row["state"], 0) + 1
        return [
            Lack(f"pool {pool}: placement groups are not active: {_named(states)}", _accept.HEALTH(f"pgs-{pool}"))
            for pool, states in counts.items()
        ]

    def _probe_lacks(self) -> list[Lack]:
        """A small object written, read and removed again."""
        if not self._probe_pool:
            self.notes["probe"] = "that a write comes back, as ceph_maint_probe_pool is not set"
            return []
        content, where = secrets.token_hex(16).encode(), ("--pool", self._probe_pool)
        try:
            self._ceph.raw("rados", *where, "put", self._probe, "-", given=content)
            back = self._ceph.raw("rados", *where, "get", self._probe, "-")
            self._ceph.raw("rados", *where, "rm", self._probe)
        except CephError as exc:
            return [Lack(f"a small object could not be written and read in pool {self._probe_pool}: {exc}", _accept.HEALTH(f"probe-{self._probe_pool}"))]
        if back != content:
            return [Lack(f"a small object came back changed from pool {self._probe_pool}", _accept.HEALTH(f"probe-{self._probe_pool}"))]
        return []


def _lack_of(error: CephError, text: str, item: str) -> Lack:
    """What an error means: an answer that cannot be parsed is not the silence of which C(text) speaks."""
    return Lack(str(error), _UNKNOWN) if error.unreadable else Lack(f"{text}: {error}", item)


def _named(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _slow_lacks(state: State) -> list[Lack]:
    return [Lack(f"Ceph is slow: {state.checks[name]}", _accept.HEALTH(f"slow-{name}")) for name in ("SLOW_OPS", "REQUEST_SLOW") if name in state.checks]


def _flag_lacks(dump: dict[str, t.Any]) -> list[Lack]:
    return [
        Lack(f"the flag {flag} is set" + ("" if flag == "full" else f" (ceph osd unset {flag})"), _accept.HEALTH(f"flag-{flag}"))
        for flag in flags_of(dump)
        if flag in HOLDING_FLAGS
    ]


def _down_lacks(dump: dict[str, t.Any]) -> list[Lack]:
    """OSDs that belong to the cluster and are not there. One that is out has been given up by Ceph itself."""
    return [Lack(f"osd.{row['osd']} is down", _accept.HEALTH(f"osd-{row['osd']}")) for row in dump["osds"] if row["in"] and not row["up"]]


def told(lacks: list[Lack]) -> str:
    shown = "; ".join(lack.text for lack in lacks[:_SHOWN])
    return shown + (f"; and {len(lacks) - _SHOWN} more" if len(lacks) > _SHOWN else "")


def headline(passed_over: list[Lack], whole: bool) -> str:
    """What a look is worth whose lacks are all accepted."""
    if any(lack.item in (_SILENT, _UNKNOWN) for lack in passed_over):
        return "Whether Ceph serves was not proved, as accepted."
    serves = "Ceph serves" if whole else "Ceph still serves"
    return f"{serves}, except for what was accepted." if passed_over else f"{serves}."
