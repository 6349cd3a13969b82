# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""JMESPath selection of VM and host rows."""

from __future__ import annotations

import re
import traceback
import typing as t

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._model import Vm, is_uuid

try:
    import jmespath

    JMESPATH_IMPORT_ERROR = None
except ImportError:
    JMESPATH_IMPORT_ERROR = traceback.format_exc()


_RFC_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def matching(rows: t.Iterable[dict], expression: str, option: str) -> set[str]:
    """The uuids of the rows that the expression gives. It must give rows or uuids; C(option) names it in errors."""
    rows = list(rows)
    try:
        found = jmespath.search(expression, rows)
    except (jmespath.exceptions.JMESPathError, TypeError, ValueError) as exc:
        words = " ".join(str(exc).split())
        raise InputError(f"{option}: the JMESPath expression {expression} cannot be used: {words}") from exc
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
