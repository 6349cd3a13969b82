# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""JMESPath selection of VM and host rows."""

from __future__ import annotations

import re
import traceback
import typing as t

from .._accept import NO_MATCH
from .._errors import InputError
from .model import Vm, digest, is_uuid

try:
    import jmespath

    JMESPATH_IMPORT_ERROR = None
except ImportError:
    JMESPATH_IMPORT_ERROR = traceback.format_exc()


_PLAIN = re.compile(r"[\w.@-]+")
_FORM = "Numbers stand in backticks and text in single quotes, as in [?user_id==`8`] or [?name=='db1']"
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_RFC_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def matching(rows: t.Iterable[dict], expression: str, option: str) -> set[str]:
    """The uuids of the rows that the expression gives. It must give rows or uuids; C(option) names it in errors."""
    rows = list(rows)
    try:
        found = jmespath.search(expression, rows)
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError) as exc:
        words = " ".join(str(exc).split())
        raise InputError(f"{option}: the JMESPath expression {expression} cannot be used: {words} {_FORM}") from exc
    if isinstance(found, list):
        uuids = [item.get("uuid") if isinstance(item, dict) else item for item in found]
        known = {row.get("uuid") for row in rows}
        if all(_names_a_row(uuid, known) for uuid in uuids):
            return {str(uuid) for uuid in uuids}
    raise InputError(
        f"{option}: the JMESPath expression {expression} must give a list of rows or of uuids, such as "
        f"[?user_id==`8`]; it gave {type(found).__name__}."
    )


def _names_a_row(uuid: t.Any, known: t.Container[t.Any]) -> bool:
    """A VM that is named by its uuid may be gone by now; any other word is a mistake in the expression."""
    return is_uuid(uuid) and (uuid in known or _RFC_UUID.fullmatch(uuid) is not None)


def in_scope(vms: t.Iterable[Vm], query: str | None, exclude: str | None) -> set[str]:
    """The uuids of the VMs that a maintenance with this scope acts on."""
    vms = list(vms)
    rows = [vm.row for vm in vms]
    chosen = matching(rows, query, "query") if query else {vm.uuid for vm in vms}
    if exclude:
        chosen -= matching(rows, exclude, "exclude")
    return chosen & {vm.uuid for vm in vms}


def longest(groups: t.Iterable[dict], name: str, seconds: float) -> float:
    """The longest time limit of a run and its groups. C(seconds): that of the run. C(name): as a group calls it."""
    return max([seconds, *(group.get(name, 0.0) for group in groups)])


def group_names(vms: t.Iterable[Vm], groups: list[dict]) -> dict[str, str]:
    """Which ordered group each VM is in, by uuid; the first that matches. VMs in none are left out."""
    rows = [vm.row for vm in vms]
    names: dict[str, str] = {}
    for group in groups:
        for uuid in matching(rows, group["query"], f"groups, {group['name']}"):
            names.setdefault(uuid, group["name"])
    return names


def no_match(name: str) -> str:
    """Return the override for something given that matches nothing: its name, or a digest of an expression."""
    return NO_MATCH(name if _PLAIN.fullmatch(name) else digest([name]))


def right_form(rows: list[dict], expression: str) -> str:
    """Return a sentence with the right form of a comparison that cannot hold: a number with text, or with a field that no row has."""
    kinds: dict[str, set[bool]] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                kinds.setdefault(name, set()).add(isinstance(value, str))
    known = {name for row in rows for name in row}
    for field, value, quoted in _comparisons(_parsed(expression), known):
        if quoted:
            return f" Text stands in single quotes: {_replaced(expression, field, value, repr(value))}"
        if field not in known and known:
            return f" No row has a field {field}; there are {', '.join(sorted(map(str, known))[:20])}."
        if isinstance(value, str) and kinds.get(field) == {False}:
            form = f"`{value}`" if _NUMBER.fullmatch(value) else "`8`"
            return f" {field} is a number, and numbers stand in backticks: {_replaced(expression, field, value, form)}"
        if isinstance(value, (int, float)) and not isinstance(value, bool) and kinds.get(field) == {True}:
            return f" {field} is text, and text stands in single quotes: {_replaced(expression, field, value, repr(str(value)))}"
    return ""


def _parsed(expression: str) -> dict[str, t.Any]:
    try:
        return jmespath.compile(expression).parsed
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError):
        return {}


def _comparisons(node: t.Any, known: t.Container[str]) -> t.Iterator[tuple[str, t.Any, bool]]:
    """Each comparison of a field with a value as (field, value, whether the value was taken for a field, as in double quotes)."""
    if not isinstance(node, dict):
        return
    sides = node.get("children", [])
    if node.get("type") == "comparator" and {side.get("type") for side in sides} <= {"field", "literal"}:
        (left, one), (right, other) = ((side["type"], side["value"]) for side in sides)
        if left != right:
            yield (one, other, False) if left == "field" else (other, one, False)
        elif left == "field" and one in known and other not in known:
            yield one, other, True
    for side in sides:
        yield from _comparisons(side, known)


def _replaced(expression: str, field: str, value: t.Any, form: str) -> str:
    """The expression with the value in its right form, or just the comparison where its text is not found."""
    text = re.escape(str(value))
    pattern = rf"(\b{re.escape(field)}\s*(?:==|!=|<=|>=|<|>)\s*)(?:'{text}'|\"{text}\"|`\"?{text}\"?`|{text})"
    found, count = re.subn(pattern, lambda match: match[1] + form, expression)
    return found if count else f"[?{field}=={form}]"
