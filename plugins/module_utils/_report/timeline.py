# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""How a maintenance went over time, from the events of its record: phases, and how many VMs ran. Pure."""

from __future__ import annotations

import typing as t

from .._api import model
from .._record.record import CLOSING, FELL

# More than a chart can show.
MOST_POINTS = 600

_DOWN = frozenset({f"stop: {word}" for word in (model.CLEAN, model.FORCED, model.ALREADY_STOPPED)} | {"vanished", FELL})
# A VM that is asked to stop was just seen running, also when it had been down before.
_UP = frozenset({f"start: {word}" for word in (model.STARTED, model.ALREADY_RUNNING)} | {"seen running after all", "stop sent", "power cut sent"})
_PHASE = "phase "


def phases(events: t.Iterable[dict[str, t.Any]], opened_at: str) -> list[dict[str, str]]:
    """Each phase with the time at which it began, in order."""
    moved = [{"phase": event["what"][len(_PHASE) :], "at": event["at"]} for event in events if event["what"].startswith(_PHASE)]
    return [{"phase": CLOSING, "at": opened_at}, *moved]


def running_over_time(events: t.Iterable[dict[str, t.Any]], opened_at: str, ran_before: bool = True) -> list[dict[str, t.Any]]:
    """How many recorded VMs ran, as far as this maintenance has seen it: C(at) and C(running), one entry for each change.

    C(ran_before): those of the first list were seen running. Of a list that somebody else made it is not known; they count as down.
    """
    events = list(events)
    up = {event["uuid"] for event in events if event["what"] == "recorded"} if ran_before else set()
    first, points = {"at": opened_at, "running": len(up)}, {}  # all of a short stop may come in the second in which it was opened
    for event in events:
        if event["what"] in _DOWN:
            up.discard(event["uuid"])
        elif event["what"] in _UP or (event["what"] == "recorded late" and ran_before):
            up.add(event["uuid"])
        points[event["at"]] = len(up)
    return _thinned([first, *({"at": at, "running": running} for at, running in sorted(points.items()))])


def _thinned(points: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Those at which the count changes, and no more than a chart can show; first and last are kept."""
    changes = [point for before, point in zip([None, *points], points) if before is None or before["running"] != point["running"]]
    if changes[-1] is not points[-1]:
        changes.append(points[-1])
    step = -(-len(changes) // MOST_POINTS)
    return changes[:-1][::step] + changes[-1:]
