# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What a state of a VM means for its start or stop. Pure.

Absence from a list of running VMs means nothing: a VM that is ``stopping``, ``paused`` or in an unknown state is in no such list
and holds its storage. A complete list or the VM's own detail shows its state.
"""

from __future__ import annotations

import typing as t

from .._api.model import RELEASED, RUNNING

# States that pass by themselves, besides those that end in "ing". The vendor documents "creating" alone.
_PASSING = frozenset({"pending", "queued", "scheduled"})
_GOING_DOWN = frozenset({"stopping", "deleting", "shutting", "pausing", "suspending"})

States = t.Mapping[str, str]  # by uuid; a VM of which nothing is known has no entry
NOT_KNOWN = ""


def is_passing(state: str) -> bool:
    """Whether the platform is at work on the VM, so that a further call would be one too many."""
    return state in _PASSING or (state.endswith("ing") and state != RUNNING)


def is_coming_up(state: str) -> bool:
    """Whether the VM is on its way to running."""
    return is_passing(state) and state not in _GOING_DOWN


def is_done(state: str, start: bool) -> bool:
    """Whether a start or a stop has reached its goal."""
    return state == RUNNING if start else state in RELEASED


def state_of(uuid: str, running: t.Container[str], states: States) -> str:
    """Return what one poll shows of a VM: its list of running VMs, and the states that were read of those missing from it."""
    return RUNNING if uuid in running else states.get(uuid, NOT_KNOWN)
