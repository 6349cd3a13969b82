# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The brake on forcing VMs off: how many may be, and which never are. Pure: the record's rows and the operator's limits in."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, field

from .._errors import InputError, Refused

# So many may always be forced off, whatever percentage that is: a small platform has no use for a percentage.
ALWAYS = 10
# VMs that a message names; the summary names all.
SHOWN = 20


class Named(t.Protocol):
    """A VM as the platform lists it, or as the record has it."""

    @property
    def uuid(self) -> str:
        """Of the VM."""

    @property
    def owner(self) -> str:
        """Its owner, the user id as text."""

    @property
    def name(self) -> str:
        """Its name, which may be empty."""


@dataclass(frozen=True)
class Kept:
    """What an open record holds: the operator's list, VMs that their group spares, each with why, and VMs that were forced off."""

    entries: list[str] = field(default_factory=list)
    by_group: dict[str, str] = field(default_factory=dict)
    forced: set[str] = field(default_factory=set)


V = t.TypeVar("V", bound=Named)


def most(running: int, percentage: float) -> int:
    """How many VMs may be forced off in one maintenance, of C(running) that were recorded as running."""
    return max(ALWAYS, math.floor(running * percentage / 100 + 1e-9))


def names(entry: str, vm: Named) -> bool:
    """Whether an entry of ceph_maint_never_force is the uuid, the name or the owner of a VM."""
    return entry in (vm.uuid, vm.name, vm.owner)


def check_entries(entries: t.Iterable[str], vms: t.Iterable[Named]) -> None:
    """Raise InputError for entries that no VM has as its uuid, name or owner: a VM that was meant would not be spared."""
    known = {text for vm in vms for text in (vm.uuid, vm.name, vm.owner)}
    unknown = [entry for entry in entries if entry not in known]
    if unknown:
        raise InputError(
            f"ceph_maint_never_force: no VM has the uuid, name or owner {', '.join(unknown)}, so it would spare none. Correct the list. "
            "Nothing was changed."
        )


def spared(vms: t.Iterable[Named], entries: t.Sequence[str]) -> dict[str, str]:
    """The VMs that the operator's list names, by uuid, each with why it is never forced off."""
    found = {}
    for vm in vms:
        entry = next((entry for entry in entries if names(entry, vm)), None)
        if entry is not None:
            found[vm.uuid] = f"ceph_maint_never_force names {entry}"
    return found


def spared_by_group(names_of: t.Mapping[str, str], groups: t.Iterable[dict[str, t.Any]]) -> dict[str, str]:
    """The same of groups with C(force: never). C(names_of): the group of each VM."""
    never = {group["name"] for group in groups if group.get("force") == "never"}
    return {uuid: f"its group {name} has force: never" for uuid, name in names_of.items() if name in never}


def choose(
    timed_out: t.Sequence[V], never: t.Container[str], forced: t.Collection[str], running: int, percentage: float
) -> list[V]:
    """The VMs to force off now, of those that did not shut down in time.

    Raises Refused, naming them by owner, when with those forced off before (C(forced)) they are more than the limit. Then none is.
    """
    targets = [vm for vm in timed_out if vm.uuid not in never]
    needed = len({*forced, *(vm.uuid for vm in targets)})
    if not targets or needed <= most(running, percentage):
        return targets
    enough = math.ceil(needed * 100 / running) if running else 100
    before = f", with {len(forced)} forced off before" if forced else ""
    raise Refused(
        f"{len(targets)} VMs did not shut down in time{before}: more than the {most(running, percentage)} of {running} VMs that may be forced off "
        f"(ceph_maint_max_force_percentage={percentage:g}). None of them was forced off now: {by_owner(targets)}. Check why so many do not shut "
        "down: a slow or queuing platform looks the same. To force them off all the same: "
        f"-e ceph_maint_force=true -e ceph_maint_max_force_percentage={enough}"
    )


def by_owner(vms: t.Iterable[Named]) -> str:
    """VMs in one line, grouped by owner and cut after a screen."""
    ordered = sorted(vms, key=lambda vm: (vm.owner, vm.uuid))
    owners: dict[str, list[str]] = {}
    for vm in ordered[:SHOWN]:
        owners.setdefault(vm.owner, []).append(f"{vm.uuid} {vm.name}".rstrip())
    text = "; ".join(f"owner {owner}: {', '.join(labels)}" for owner, labels in owners.items())
    return text + (f"; and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")


def line(running: int, percentage: float, forced: int, allowed: bool) -> str:
    """What a plan tells of the limit."""
    limit = f"at most {min(most(running, percentage), running)} of {running} VMs (ceph_maint_max_force_percentage={percentage:g})"
    if not allowed:
        return f"Force: none (ceph_maint_force=false); with it {limit}"
    return f"Force: {limit}" + (f", {forced} of them forced off already" if forced else "")
