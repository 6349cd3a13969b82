# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Options that several modules share, and how values that came as plain command line strings are read."""

from __future__ import annotations

import ast
import json
import re
import typing as t

from ansible.module_utils.basic import env_fallback

from .._defaults import LISTS
from .._errors import InputError


def api_options(request_timeout: float) -> dict[str, t.Any]:
    """Documented in doc_fragments/api.py."""
    return {
        "api_host": {"type": "str", "required": True, "fallback": (env_fallback, ["API_HOST"])},
        "api_key": {"type": "str", "required": True, "no_log": True, "fallback": (env_fallback, ["ADMIN_APIKEY"])},
        "location": {"type": "str"},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "request_timeout": {"type": "float", "default": request_timeout},
    }


def record_options() -> dict[str, t.Any]:
    """Documented in doc_fragments/record.py."""
    return {"record": {"type": "path"}, "run": {"type": "str", "no_log": False}}


def ceph_options() -> dict[str, t.Any]:
    """Documented in doc_fragments/ceph.py."""
    return {"command": {"type": "list", "elements": "str", "default": ["ceph"]}, "call_timeout": {"type": "float", "default": 30.0}}


# Lists that the record keeps: an empty one, as the roles have it by default, says nothing, and C(none) withdraws.
KEPT = ("accept", "never_force")
NEEDS_RUN = {"record": ["run"], "run": ["record"]}
# The most that any number may be. A socket and a sleep have an end to what they can wait, and nobody means to wait so long.
MOST = 1000000
# Times that are over at once when they are 0.
_MORE_THAN_NONE = (
    *("poll_interval", "timeout", "stop_timeout", "force_timeout", "start_timeout", "lease"),
    *("request_timeout", "call_timeout", "ceph_timeout", "ceph_wait", "notify_timeout"),
)

_LEAST = {"concurrency": 1, "awx_job_timeout": -1}  # -1 is no limit


def tidy(params: dict[str, t.Any]) -> None:
    """Take off the blanks that came along when the platform's name was copied: it is part of what is printed to be pasted."""
    for name in ("api_host", "location"):
        if params.get(name):
            params[name] = params[name].strip()


def limit_problem(name: str, number: float) -> str:
    """Return why a number cannot be the value of this option, or an empty text. Times in seconds."""
    least = _LEAST.get(name, 0)
    # Asked so that one that is no number at all (nan) does not pass.
    if name in _MORE_THAN_NONE and not number > 0:
        return f"{name} must be more than 0 seconds, and is {number:g}."
    if not number >= least:
        return f"{name} must be at least {least}, and is {number:g}."
    return f"{name} must be at most {MOST}, and is {number:g}." if number > MOST else ""


def check_limits(params: dict[str, t.Any]) -> None:
    """Raise InputError for a number that cannot work, before anything is done with it."""
    for name, number in params.items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            problem = limit_problem(name, number)
            if problem:
                raise InputError(f"{problem} Nothing was changed.")


def words(value: t.Any, option: str) -> list[str] | None:
    """A list of words. Takes a list, JSON, text with an entry a line or commas, or C(none) for an empty list; None when not given."""
    value = structure(value, option)
    if value is None:
        return None
    if isinstance(value, str):
        value = [_entry(part) for part in re.split(r"[,\r\n]", value)]
    if not isinstance(value, list) or not all(isinstance(item, (str, int)) for item in value):
        raise InputError(f"{option} must be a list, a comma separated string, or none.")
    return [str(item) for item in value if str(item)] if value != ["none"] else []


def _entry(text: str) -> str:
    """One entry of a list that was given as text. A text field of AWX holds one a line, also as YAML."""
    text = text.strip()
    text = "" if text in ("-", "---") else text.removeprefix("- ").strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def native(args: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the options of a task in their native types, without those that a command line or a survey has left empty."""
    found = dict(args)
    for name in {*LISTS, "groups"} & set(args):
        value = structure(args[name], name) if name == "groups" else words(args[name], name)
        if name == "groups" and value:
            if not isinstance(value, list):
                raise InputError("groups must be a list of {name, query, delay, optional}, also as JSON, or none.")
            value = [_filled(group) if isinstance(group, dict) else group for group in value]
        found[name] = value
        if value is None or (name in KEPT and not value and "none" not in str(args[name]).lower()):
            del found[name]
    return found


def _filled(group: dict[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in group.items() if value is not None}


def groups(given: list[dict[str, t.Any]] | None) -> list[dict[str, t.Any]]:
    """Return the groups, each without the numbers that it leaves to the run."""
    found = [_filled(group) for group in given or []]
    for group in found:
        if not (group["name"] and group["query"]):
            raise InputError(f"groups: each needs name and query; this does not have both: {group}")
        numbers = {name: value for name, value in group.items() if isinstance(value, (int, float))}
        for problem in filter(None, map(limit_problem, numbers, numbers.values())):
            raise InputError(f"groups, {group['name']}: {problem} Nothing was changed.")
    if len({group["name"] for group in found}) != len(found):
        raise InputError("groups: two have the same name.")
    return found


def structure(value: t.Any, option: str) -> t.Any:
    """Undo what -e name=value does to a structure: text that is JSON (or a Python literal) becomes what it says."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    if text.lower() == "none":
        return []
    if text[0] not in "[{":
        return text
    for reader in (json.loads, ast.literal_eval):
        try:
            return reader(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise InputError(f"{option} looks like JSON and is not (with -e name=value it may hold no blanks): {text[:200]}")
