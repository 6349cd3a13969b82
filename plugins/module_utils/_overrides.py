# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The operator's overrides: which are in effect on a record, and which of them found nothing that they accept. Pure."""

from __future__ import annotations

import typing as t

# Where each kind is asked for: in the plan of a prepare or of a restore, when a record is opened, in the proof. Only there it is known
# to have no effect; those without a place are asked for on the Ceph host, for one VM or host, or before anything else.
PREPARE, RESTORE, OPENING, PROOF = "prepare", "restore", "opening", "proof"
_PLACES: dict[str, tuple[str, ...]] = {
    "vm": (PREPARE, PROOF),
    "row": (PREPARE, PROOF),
    "empty": (PREPARE, PROOF),
    "start-left": (PREPARE, PROOF),
    "kept": (PREPARE, PROOF),
    "self": (PREPARE,),
    "location": (PREPARE,),
    "same-rows": (PREPARE,),
    "no-hosts": (PREPARE,),
    "on-ceph": (PREPARE,),
    "room": (PREPARE,),
    "same-disk": (PREPARE,),
    "own-disk": (PREPARE, RESTORE),
    "old": (PREPARE, RESTORE),
    "not-running": (RESTORE,),
    "lost": (RESTORE,),
    "takeover": (OPENING,),
    "watcher": (PROOF,),
    "ceph": (PROOF,),
    "cluster": (PREPARE, PROOF),
    "no-images": (PREPARE,),
    "unhealthy": (PREPARE,),
}
# These act once, on one event: a list that is given later does not replace them, and what they did is not over.
ONCE = ("damaged", "lost", "old", "takeover")


def effective(recorded: t.Iterable[str], now: list[str] | None) -> list[str]:
    """What is accepted after C(now) was given on a record: nothing given keeps all, a list replaces them, an empty one withdraws all."""
    if now is None:
        return list(recorded)
    kept = [item for item in recorded if item in now or _kind(item) in ONCE] if now else []
    return list(dict.fromkeys([*kept, *now]))


class Overrides:
    """What is accepted, as a container that remembers which of it was asked for."""

    def __init__(self, items: t.Iterable[str]) -> None:
        self._items = dict.fromkeys(items)
        self._used: set[str] = set()

    def __contains__(self, item: object) -> bool:
        if item not in self._items:
            return False
        self._used.add(str(item))
        return True

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def unused(self, place: str) -> list[str]:
        """Those of the kinds that are asked for at C(place), and that nothing has asked for."""
        return [item for item in self._items if item not in self._used and place in _PLACES.get(_kind(item), ())]


def notes(unused: t.Iterable[str], now: t.Container[str]) -> list[str]:
    """One line for each override without effect. C(now): those that were given to this run; the others are recorded."""
    lines = []
    for item in unused:
        if item in now:
            lines.append(f"Override without effect: {item}. Nothing that it accepts was found.")
        elif _kind(item) not in ONCE:
            lines.append(
                f"The recorded override {item} has no effect any more. To withdraw it, give ceph_maint_accept without it, or none."
            )
    return lines


def plan_lines(recorded: t.Collection[str], now: list[str] | None, shown: int) -> list[str]:
    """What a plan shows of the overrides on an open record and of those given now."""
    kept = effective(recorded, now)
    words_of = [(item, "given now" if item in (now or ()) else "recorded") for item in kept]
    words_of += [(item, "withdrawn now") for item in recorded if item not in kept]
    if not words_of:
        return []
    lines = [f"  {item}: {word}" for item, word in words_of[:shown]]
    more = [f"  and {len(words_of) - shown} more"] if len(words_of) > shown else []
    return [f"Overrides: {len(kept)} in effect", *lines, *more]


def _kind(item: str) -> str:
    return item.partition(":")[0]
