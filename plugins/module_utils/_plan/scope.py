# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The scope and the groups as the operator gave them: plain lists made into JMESPath, and what matches no VM. Pure."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from .._api.model import Vm
from .._api.selection import group_names, in_scope, matching, no_match, right_form

# The options that hold plain lists, each as ceph_maint_ and its name.
LISTS = ("only_owners", "exclude_owners", "only_vms", "exclude_vms")


@dataclass
class Scope:
    """``exclude`` is the expression that stands for the lists too; ``unmatched`` are texts with the override of each, ``ambiguous`` texts."""

    exclude: str
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def scope_of(vms: t.Iterable[Vm], query: str, exclude: str, lists: t.Mapping[str, list[str]]) -> Scope:
    """Compose the scope: what ``query`` and each ``only_`` list leave in, without what any of the others names."""
    vms = list(vms)
    scope = Scope(exclude)
    parts = [exclude] if exclude else []
    for name in LISTS:
        entries = lists.get(name) or []
        if not entries:
            continue
        if name.endswith("_owners"):
            test = _contains(entries, "to_string(user_id)")
            owners = {vm.owner for vm in vms}
            missing = [entry for entry in entries if entry not in owners]
        else:
            found, missing = _uuids(vms, name, entries, scope)
            test = _contains(found, "uuid")
        for entry in missing:
            if name.endswith("_owners"):
                text = f"ceph_maint_{name}: {entry} is no owner of a VM, in any state."
            else:
                text = f"ceph_maint_{name}: {entry} is no uuid or name of a VM, in any state."
            scope.unmatched.append((text, no_match(entry)))
        parts.append(f"[?!{test}]" if name.startswith("only_") else f"[?{test}]")
    scope.exclude = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}][]" if parts else ""
    return scope


def given_lines(query: str, exclude: str, lists: t.Mapping[str, list[str]]) -> list[str]:
    """The scope as it was given."""
    given = {"query": query, "exclude": exclude, **{name: ", ".join(entries) for name, entries in lists.items()}}
    return [f"  ceph_maint_{name}: {text}" for name, text in given.items() if text]


def check(scope: Scope, vms: t.Iterable[Vm], query: str, exclude: str, groups: list[dict]) -> None:
    """Add each expression that matches no VM, whatever its state, or that compares a number with text."""
    vms = list(vms)
    rows = [vm.row for vm in vms]
    known = {vm.uuid for vm in vms}
    for name, expression in (("query", query), ("exclude", exclude)):
        if expression:
            scope.unmatched += _unmatched(rows, known, f"ceph_maint_{name} {expression}", name, expression, no_match(expression))
    for group in groups:
        if not group.get("optional"):
            text = f"The group {group['name']} ({group['query']})"
            found = _unmatched(rows, known, text, f"groups, {group['name']}", group["query"], no_match(group["name"]))
            scope.unmatched += [(f"{said} For a group that may be empty: optional: true.", item) for said, item in found]
    if (query or scope.exclude) and not scope.unmatched and known and not in_scope(vms, query, scope.exclude):
        scope.unmatched.append(("The scope leaves no VM in.", no_match("scope")))


def _unmatched(rows: list[dict], known: set[str], text: str, option: str, expression: str, item: str) -> list[tuple[str, str]]:
    form = right_form(rows, expression)
    if not matching(rows, expression, option) & known:
        return [(f"{text} matches no VM, in any state.{form}", item)]
    return [(f"{text} compares what cannot be equal.{form}", item)] if form else []


def _uuids(vms: list[Vm], option: str, entries: list[str], scope: Scope) -> tuple[list[str], list[str]]:
    """The uuids that the entries name, and the entries that name none."""
    by_word: dict[str, list[Vm]] = {}
    for vm in vms:
        for word in dict.fromkeys((vm.uuid, vm.uuid.lower(), vm.name, str(vm.row.get("name")))):
            by_word.setdefault(word, []).append(vm)
    found, missing = [], []
    for entry in entries:
        named = by_word.get(entry) or by_word.get(entry.lower(), [])
        if not named:
            # It may come back, and an open record may know it.
            missing.append(entry)
            found.append(entry)
        elif len(named) > 1:
            shown = ", ".join(vm.label() for vm in named[:10])
            scope.ambiguous.append(f"ceph_maint_{option}: {entry} is the name of {len(named)} VMs. Use the uuid of each that is meant: {shown}.")
        found += [vm.uuid for vm in named]
    return list(dict.fromkeys(found)), missing


def _contains(words: list[str], what: str) -> str:
    """A condition of JMESPath: one of the words."""
    literal = json.dumps(words).replace("`", "\\u0060")
    return f"contains(`{literal}`, {what})"


def group_order(groups: list[dict], chosen: list[Vm], acted_on: t.Container[str]) -> list[str]:
    """A line a group, with the VMs that are stopped or started, and its place in the order."""
    if not groups:
        return []
    names = group_names(chosen, groups)
    counts = dict.fromkeys([group["name"] for group in groups], 0)
    rest = 0
    for vm in chosen:
        if vm.uuid in acted_on:
            if vm.uuid in names:
                counts[names[vm.uuid]] += 1
            else:
                rest += 1
    lines, before = [], ""
    for name, count in counts.items():
        order = f"stopped before {before}, started after {before}" if before else "stopped last, started first"
        lines.append(f"  Group {name}: {_vms(count)}, {order}")
        before = name
    return [*lines, f"  In no group: {_vms(rest)}, stopped first, started last"]


def _vms(count: int) -> str:
    return f"{count} VM" if count == 1 else f"{count} VMs"
