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

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError


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
    return {"command": {"type": "raw", "default": ["ceph"]}, "call_timeout": {"type": "float", "default": 30.0}}


NEEDS_RUN = {"record": ["run"], "run": ["record"]}
# The most that any number may be. A socket and a sleep have an end to what they can wait, and nobody means to wait so long.
MOST = 1000000
# Times that are over at once when they are 0.
_MORE_THAN_NONE = (
    *("poll_interval", "timeout", "stop_timeout", "force_timeout", "start_timeout", "lease"),
    *("request_timeout", "call_timeout", "ceph_timeout", "ceph_wait", "notify_timeout"),
)


def tidy(params: dict[str, t.Any]) -> None:
    """Take off the blanks that came along when the platform's name was copied: it is part of what is printed to be pasted."""
    for name in ("api_host", "location"):
        if params.get(name):
            params[name] = params[name].strip()


def limit_problem(name: str, number: float) -> str:
    """Return why a number cannot be the value of this option, or an empty text. Times in seconds."""
    least = 1 if name == "concurrency" else 0
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


def given_words(value: t.Any, option: str) -> list[str] | None:
    """The same where an empty list, as the roles have it by default, says nothing. None when not given, C(none) for an empty list."""
    return None if value in (None, "", []) else words(value, option)


# Numbers that a group may have in the place of those of the run: what each is, the least, and its type.
_OF_A_GROUP: dict[str, tuple[str, float, type]] = {
    "stop_timeout": ("a number of seconds above 0", 0.001, float),
    "start_timeout": ("a number of seconds above 0", 0.001, float),
    "concurrency": ("a whole number of at least 1", 1, int),
}
_GROUP_KEYS = ("name", "query", "delay", *_OF_A_GROUP, "force", "optional")


def groups(value: t.Any) -> list[dict[str, t.Any]]:
    """Ordered groups, with C(name), C(query), C(delay), C(force), C(optional) and the numbers that differ from those of the run.

    Takes a list, JSON, or C(none).
    """
    found = structure(value, "groups")
    if found is None:
        return []
    if not isinstance(found, list):
        raise InputError("groups must be a list of {name, query, delay, optional}, also as JSON, or none.")
    parsed = []
    for entry in found:
        if not isinstance(entry, dict) or not entry.get("name") or not entry.get("query"):
            raise InputError(f"groups: each needs name and query, and may have delay (seconds); this does not: {entry}")
        unknown = sorted(set(map(str, entry)) - set(_GROUP_KEYS))
        if unknown:
            raise InputError(f"groups: {entry['name']} has unknown keys ({', '.join(unknown)}); these are known: {', '.join(_GROUP_KEYS)}.")
        try:
            delay = float(entry.get("delay") or 0)
        except (TypeError, ValueError):
            delay = -1.0
        if not 0 <= delay <= MOST:
            raise InputError(f"groups: the delay of {entry['name']} is not a number of seconds.")
        force = entry.get("force") or "allowed"
        if force not in ("allowed", "never"):
            raise InputError(f"groups: force of {entry['name']} must be allowed or never.")
        numbers = {name: _of_a_group(entry, name) for name in _OF_A_GROUP if entry.get(name) is not None}
        parsed.append({"name": str(entry["name"]), "query": str(entry["query"]), "delay": delay, "force": force, **numbers})
        if "optional" in entry:
            parsed[-1]["optional"] = str(entry["optional"]).lower() in ("true", "yes", "1")
    if len({group["name"] for group in parsed}) != len(parsed):
        raise InputError("groups: two have the same name.")
    return parsed


def _of_a_group(entry: dict[str, t.Any], name: str) -> float:
    what, least, kind = _OF_A_GROUP[name]
    try:
        number = kind(entry[name])
    except (TypeError, ValueError, OverflowError):
        number = -1
    if isinstance(entry[name], bool) or not least <= number <= MOST or number != float(entry[name]):
        raise InputError(f"groups: {name} of {entry['name']} must be {what}.")
    return number


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
