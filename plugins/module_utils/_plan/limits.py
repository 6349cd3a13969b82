# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Lines of a plan: VMs by owner, those that are never forced off, and groups with limits of their own. Pure."""

from __future__ import annotations

import typing as t

from .._api.model import Vm

# Longer lists are cut in the text, never in the data.
SHOWN = 20


def owner_lines(vms: list[Vm]) -> list[str]:
    """A line for each owner, the one with most VMs first."""
    lines = []
    by_owner: dict[str, list[Vm]] = {}
    for vm in vms:
        by_owner.setdefault(vm.owner, []).append(vm)
    ranked = sorted(by_owner.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    for owner, owned in ranked[:SHOWN]:
        names = ", ".join(vm.name or vm.uuid for vm in owned[:5])
        lines.append(f"  owner {owner}: {len(owned)} ({names}{', ...' if len(owned) > 5 else ''})")
    if len(ranked) > SHOWN:
        lines.append(f"  and {len(ranked) - SHOWN} more owners with {sum(len(o) for _n, o in ranked[SHOWN:])} VMs")
    return lines


def spared_lines(stop: list[Vm], never: t.Container[str]) -> list[str]:
    """The VMs to stop that are never forced off, by owner."""
    spared = [vm for vm in stop if vm.uuid in never]
    return [f"Never forced off, but named: {len(spared)} of the VMs to stop", *owner_lines(spared)] if spared else []


def group_lines(groups: list[dict[str, t.Any]]) -> list[str]:
    """A line for each group that has limits of its own."""
    lines = []
    for group in groups:
        own = [f"{name} {group[name]:g}" for name in ("stop_timeout", "start_timeout", "concurrency") if name in group]
        own += ["force never"] if group.get("force") == "never" else []
        if own:
            lines.append(f"Group {group['name']}: {', '.join(own)}")
    return lines


def left_lines(vms: list[Vm]) -> list[str]:
    """Running VMs that overrides leave as they are."""
    if not vms:
        return []
    return [f"Left running, as accepted: {len(vms)} VMs of {len({vm.owner for vm in vms})} owners", *owner_lines(vms)]
