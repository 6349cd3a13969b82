# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The operator's overrides: their kinds, which are in effect on a record, and the argument that gives them. Pure."""

from __future__ import annotations

import difflib
import json
import re
import shlex
import typing as t
from dataclasses import dataclass

from ._errors import InputError, Refused

# The classes. What may destroy data needs a reason, and is read from the command line or a survey only.
HOUSEKEEPING, INCOMPLETE, DESTRUCTIVE = "housekeeping", "incomplete proof", "may destroy data"
# Where overrides are asked for, all of a kind: in the plan of a prepare or of a restore, in the proof. Only there it is known that one of
# them has no effect.
PREPARE, RESTORE, PROOF = "prepare", "restore", "proof"
# Stands in a printed argument for what only the operator can write.
REASON = "REASON"
# Linux takes no more than 128 KiB as one argument of a command.
LONGEST_ARGUMENT = 100000
# What neither a shell nor a comma separated list can take for something else.
_PLAIN = re.compile(r"[\w.:/@+=\[\]-]+", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """One kind of override. Call it with the name of a thing to get the override for that thing.

    ``once``: acts on one event, so that a list that is given later does not replace it.
    """

    name: str
    of: str
    accepts: str
    category: str
    places: tuple[str, ...] = ()
    once: bool = False

    def __call__(self, what: str) -> str:
        return f"{self.name}:{what}"


OLD = Kind("old", "RECORD", "Work on a record that is older than `ceph_maint_max_age`", HOUSEKEEPING, (PREPARE, RESTORE), once=True)
TAKEOVER = Kind("takeover", "RUN", "End a run that is still alive, and continue in its place", HOUSEKEEPING, once=True)
NO_MATCH = Kind("no-match", "NAME", "Run although this variable, entry, expression or host pattern matches nothing", HOUSEKEEPING)
RECORD_OF = Kind("record-of", "PLATFORM", "Use a record that was made under this other name of the platform", HOUSEKEEPING)
DAMAGED = Kind("damaged", "DIGEST", "Continue from what is left of a damaged record", HOUSEKEEPING, once=True)
LOST = Kind("lost", "UUID", "End the maintenance without this VM or host", HOUSEKEEPING, (RESTORE,), once=True)
GIVE_UP = Kind("give-up", "RECORD", "End the maintenance before its restore is done", HOUSEKEEPING)
SAME_DISK = Kind("same-disk", "FOLDER", "Keep the second copy on the disk of the record", HOUSEKEEPING, (PREPARE,))
LIST = Kind("list", "WHAT", "Rely on lists of the platform that are empty or doubtful: a location, a row without a uuid", INCOMPLETE, (PREPARE,))
OPEN_HOST = Kind("open-host", "UUID or PLATFORM", "Leave this host, or all, open to new VMs during the maintenance", INCOMPLETE)
START_LEFT = Kind("start-left", "UUID or RECORD", "A start of an earlier maintenance may still bring up this VM", INCOMPLETE, (PREPARE, PROOF))
CEPH = Kind("ceph", "HOST", "Ceph cannot be asked on this host which images are open", INCOMPLETE, (PROOF,))
UNCHECKED = Kind("unchecked", "POOL or host-HOST", "The images of this pool, or those of the VMs that run, were not found by Ceph", INCOMPLETE, (PREPARE,))
HEALTH = Kind("health", "WHAT", "Ceph is not healthy in this one way, before it goes down or before VMs are started", INCOMPLETE, (PREPARE,))
VM = Kind("vm", "UUID", "Leave this VM as it is: one that runs loses its disks with Ceph", DESTRUCTIVE, (PREPARE, PROOF))
WATCHER = Kind("watcher", "POOL/IMAGE", "Leave this image open: its client loses the disk with Ceph", DESTRUCTIVE, (PROOF,))
START = Kind("start", "POOL/IMAGE@CLIENT or HOST", "Start a VM although its image is, or may be, open at another client", DESTRUCTIVE)
CLUSTER = Kind("cluster", "FSID", "Work with another Ceph cluster than the one of the proof", DESTRUCTIVE, (PREPARE, PROOF))
DISK = Kind("disk", "FOLDER", "Keep the record on Ceph, or on the disk of a container: it may be lost in the maintenance", DESTRUCTIVE, (PREPARE,))
KINDS: dict[str, Kind] = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}
_NONE = Kind("", "", "", HOUSEKEEPING)
# The kinds of earlier versions, which an open record may hold, each with what its overrides begin with today.
_FORMER: dict[str, str] = {
    **dict.fromkeys(("inventory", "variable"), "no-match:"),
    **{"no-images": "unchecked:host-", "unread-pool": "unchecked:"},
    **dict.fromkeys(("on-ceph", "own-disk"), "disk:"),
    **{name: f"list:{name}-" for name in ("empty", "location", "row", "same-rows")},
    **{name: f"health:{name}-" for name in ("answer", "flag", "full", "manager", "monitors", "osd", "pgs", "probe", "slow")},
    **{"host": "lost:", "kept": "start-left:", "no-hosts": "open-host:", "start-unproved": "start:", "unhealthy": "health:"},
}


def current(item: str) -> str:
    """Return an override of any version in its form of today, empty where nothing asks for it."""
    name, _colon, what = item.partition(":")
    return item if name in KINDS else _FORMER[name] + what if name in _FORMER else ""


def kind_of(item: str) -> Kind:
    return KINDS.get(item.partition(":")[0], _NONE)


def destructive(items: t.Iterable[str]) -> list[str]:
    """Return those that may destroy data."""
    return [item for item in items if kind_of(item).category == DESTRUCTIVE]


def is_of_plan(item: str, hosts: t.Container[str]) -> bool:
    """Whether the plan alone asks for an override that makes the proof incomplete. ``hosts``: the uuids of the recorded ones."""
    what = item.partition(":")[2]
    if kind_of(item) is LIST:
        return not what.startswith(("row-", "empty-"))
    return (kind_of(item) is UNCHECKED and what.startswith("host-")) or (kind_of(item) is OPEN_HOST and what not in hosts)


def known(items: list[str]) -> list[str]:
    """Return the overrides, each of which must be of a known kind."""
    for item in items:
        name, _colon, what = item.partition(":")
        if name not in KINDS or not what:
            near = [KINDS[one](KINDS[one].of) for one in difflib.get_close_matches(name, KINDS, 1, 0.5)]
            meant = (current(item) if what else "") or (VM(what) if name == "self" and what else "") or (near[0] if near else "")
            hint = f"Did you mean {meant}?" if meant else f"The kinds are {', '.join(KINDS)}."
            raise InputError(f"ceph_maint_accept: {item} is not an override of this collection. {hint} Nothing was changed.")
    return items


def given(items: list[str] | None, reason: str | None, recorded: t.Container[str] = ()) -> list[str] | None:
    """Return what was given to a run, as it was given.

    Raises InputError for an unknown kind, and for what may destroy data, is not ``recorded`` yet, and has no ``reason``.
    """
    unexplained = [item for item in destructive(known(items or [])) if item not in recorded]
    if unexplained and (reason or "").strip() in ("", REASON):
        raise InputError(
            f"{', '.join(unexplained)} may destroy data and needs a reason, which is reported. Nothing was changed. Give it in the place "
            f"of {REASON}: {accept_argument((), items or ())}"
        )
    return items


def effective(recorded: t.Iterable[str], now: list[str] | None) -> list[str]:
    """Return what is accepted after ``now`` was given on a record: nothing given keeps all, a list replaces them, an empty one withdraws all."""
    if now is None:
        return list(recorded)
    kept = [item for item in recorded if item in now or kind_of(item).once] if now else []
    return list(dict.fromkeys([*kept, *now]))


class Accepted(dict[str, None]):
    """What is accepted, as a container that remembers which of it was asked for."""

    def __init__(self, items: t.Iterable[str]) -> None:
        super().__init__(dict.fromkeys(items))
        self._used: set[object] = set()

    def __contains__(self, item: object) -> bool:
        self._used.add(item)
        return super().__contains__(item)

    def unused(self, place: str) -> list[str]:
        """Return those of the kinds that are asked for at ``place``, and that nothing has asked for."""
        return [item for item in self if item not in self._used and place in kind_of(item).places]


def notes(unused: t.Iterable[str], now: t.Container[str]) -> list[str]:
    """Return one line for each override without effect. ``now``: those that were given to this run; the others are recorded."""
    lines = []
    for item in unused:
        if item in now:
            lines.append(f"Override without effect: {item}. Nothing that it accepts was found.")
        elif not kind_of(item).once:
            lines.append(f"The recorded override {item} has no effect any more. To withdraw it, give ceph_maint_accept without it, or none.")
    return lines


def plan_lines(recorded: t.Collection[str], now: list[str] | None, shown: int) -> list[str]:
    """Return what a plan shows of the overrides on an open record and of those given now."""
    kept = effective(recorded, now)
    states = [(item, "given now" if item in (now or ()) else "recorded") for item in kept]
    states += [(item, "withdrawn now") for item in recorded if item not in kept]
    if not states:
        return []
    lines = [f"  {item}: {state}" + (f", {DESTRUCTIVE}" if destructive([item]) else "") for item, state in states[:shown]]
    return [f"Overrides: {len(kept)} in effect", *lines] + ([f"  and {len(states) - shown} more"] if len(states) > shown else [])


def danger_lines(reasons: t.Mapping[str, str], shown: int) -> list[str]:
    """Return what stands below a headline of what may destroy data. ``reasons``: of all that is accepted, by override."""
    items = destructive(reasons)
    why = "; ".join(dict.fromkeys(filter(None, map(reasons.__getitem__, items)))) or "not recorded"
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return [f"Accepted, {DESTRUCTIVE}: {', '.join(items[:shown])}{more}. Reason: {why}"] if items else []


def accept_argument(accepted: t.Iterable[str], items: t.Iterable[str]) -> str:
    """Return the whole argument that accepts what is asked, with what was accepted before, ready to be pasted into a shell.

    Names of images may hold anything: such ones go as JSON, in quotes.
    """
    both = list(dict.fromkeys([*accepted, *items]))
    values: dict[str, t.Any] = {"ceph_maint_accept": both}
    argument = "-e ceph_maint_accept=" + ",".join(both)
    if destructive(both):
        values["ceph_maint_accept_reason"] = REASON
        argument += f" -e \"ceph_maint_accept_reason='{REASON}'\""
    whole = json.dumps(values)
    if not all(_PLAIN.fullmatch(word) for word in both):
        argument = f"-e {shlex.quote(whole)}"
    if len(argument) <= LONGEST_ARGUMENT:
        return argument
    return f"-e @accept.yml, as it is too long for a command line; make the file accept.yml with this one line: {whole}"


def refusal(text: str, accepted: t.Iterable[str], items: list[str]) -> Refused:
    """Return an error that ends with the argument that accepts ``items``."""
    return Refused(f"{text}: {accept_argument(accepted, items)}", items)
