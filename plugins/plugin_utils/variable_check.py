# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check the names and values of variables against the argument specs of the roles. Pure, but for reading those."""

from __future__ import annotations

import difflib
import functools
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.validation import check_type_bool, check_type_float, check_type_int

from ansible_collections.pilw.maintenance.plugins.module_utils._accept import NO_MATCH, accept_argument, known
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module.options import limit_problem, words

PREFIX = "ceph_maint_"
OWN_PREFIX = "ceph_maint_my_"
# In this variable Ansible leaves what follows the first word of -e name=value.
REST_OF_WORDS = "_raw_params"
# Variables that the roles set themselves. AWX hands the first one on to later jobs of a workflow, as an extra variable.
SET_BY_ROLES = frozenset({"ceph_maint_stats", "ceph_maint_notice"})
# A name without the prefix is a slip of a known one from this likeness on.
SLIP = 0.9
_ROLES = Path(__file__).parents[2] / "roles"
_READERS: dict[str, t.Callable[[t.Any], t.Any]] = {"bool": check_type_bool, "float": check_type_float, "int": check_type_int}
_UNITS = ("seconds", "minutes", "hours")


def accepted_overrides(value: t.Any) -> list[str]:
    """Return what ceph_maint_accept holds, for a lookup."""
    try:
        return known(words(value, "ceph_maint_accept") or [])
    except InputError as exc:
        raise AnsibleLookupError(str(exc)) from exc


@functools.cache
def options() -> dict[str, dict[str, t.Any]]:
    """Return the options of all roles of this collection, by name."""
    found: dict[str, dict[str, t.Any]] = {}
    for path in sorted(_ROLES.glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(entry.get("options") or {})
    return found


def unknown_names(names: t.Iterable[str]) -> dict[str, str]:
    """Return the names that are mistyped, each with the nearest known one, or with an empty text."""
    known = sorted(options())
    suffixes = [name[len(PREFIX) :] for name in known]
    found = {}
    for name in sorted(set(names) - set(known) - SET_BY_ROLES):
        if name.startswith(OWN_PREFIX):
            continue
        if name.startswith(PREFIX):
            nearest = difflib.get_close_matches(name[len(PREFIX) :].lower(), suffixes, 1)
            found[name] = PREFIX + nearest[0] if nearest else ""
        elif not name.startswith("_") and ("ceph" in name.lower() or "maint" in name.lower()):
            nearest = difflib.get_close_matches(name.lower().replace("-", "_"), known, 1, SLIP)
            if nearest:
                found[name] = nearest[0]
    return found


def value_problem(name: str, value: t.Any) -> str:
    """Return what is wrong with the value of a known variable, or an empty text."""
    option = options()[name]
    reader = _READERS.get(option["type"])
    if value is None:
        return ""
    if reader:
        try:
            read = reader(value)
        except (TypeError, ValueError, ArithmeticError):
            return f"{name} is {_shown(value)}. Give {_form(option)}."
        problem = "" if option["type"] == "bool" else limit_problem(name[len(PREFIX) :], read)
        return PREFIX + problem if problem else ""
    if option.get("choices") and str(value) not in option["choices"]:
        return f"{name} is {_shown(value)}. Give one of {', '.join(filter(None, option['choices']))}."
    return ""


def refusal(names: t.Iterable[str], values: t.Mapping[str, t.Any], accepted: list[str], undone: str = "Nothing was changed.") -> str:
    """Return why variables cannot be used and how to continue, or an empty text.

    ``names`` are all that are visible, ``values`` those of known variables and of what Ansible cut off.
    """
    cut = str(values.get(REST_OF_WORDS) or "")
    cut = "" if NO_MATCH(REST_OF_WORDS) in accepted else cut
    values = {name: value for name, value in values.items() if name != REST_OF_WORDS}
    unknown = {name: nearest for name, nearest in unknown_names(names).items() if NO_MATCH(name) not in accepted}
    wrong = list(filter(None, (value_problem(name, value) for name, value in sorted(values.items()))))
    if cut:
        unknown[REST_OF_WORDS] = ""
    if not unknown and not wrong:
        return ""
    texts = [f"Ansible cut off the end of a value of -e: {_shown(cut)}. Give that value in quotes within the quotes, or as JSON."] if cut else []
    texts += [
        f"{name} is not a variable of this collection" + (f"; did you mean {near}?" if near else ".")
        for name, near in unknown.items()
        if name != REST_OF_WORDS
    ]
    text = " ".join([*texts, *wrong, undone])
    if unknown:
        items = [NO_MATCH(name) for name in unknown]
        text += f" Variables of your own may begin with {OWN_PREFIX}. To run without these: {accept_argument(accepted, items)}"
    return text


def _shown(value: t.Any) -> str:
    text = " ".join(str(value).split())[:60]
    return text or "empty"


def _form(option: dict[str, t.Any]) -> str:
    """What a value looks like, in the unit that the description begins with."""
    if option["type"] == "bool":
        return "true or false"
    first = option["description"][0].split()[0].lower()
    unit = first if first in _UNITS else "a whole number" if option["type"] == "int" else "a number"
    return f"{unit}, such as {option['default']}" if option.get("default") else f"{unit} as a number"
