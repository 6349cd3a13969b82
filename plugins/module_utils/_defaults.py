# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The options of the modules, each with its type and its default in one place. Pure."""

from __future__ import annotations

import typing as t

# The type of an option with a default is that of the default. Times are in seconds, C(max_age) is in hours.
DEFAULTS: dict[str, t.Any] = {
    **dict.fromkeys(("ceph_is_back", "force", "give_up", "notices", "record_dir_persistent", "restored", "tell"), False),
    **dict.fromkeys(("complete", "validate_certs"), True),
    **dict.fromkeys(("api_wait", "step_seconds", "wait", "window"), 0.0),
    **dict.fromkeys(("call_timeout", "lease", "proof_interval"), 30.0),
    **dict.fromkeys(("force_timeout", "settle_timeout"), 300.0),
    **dict.fromkeys(("stop_timeout", "timeout"), 600.0),
    # The watcher of a client that died stays for 30 s (osd_client_watch_timeout), and comes back as long after an outage.
    "linger": 35.0,
    **dict.fromkeys(("max_fail_percentage", "max_force_percentage"), 20.0),
    "at_most": 0,
    "canary": 3,
    "concurrency": 20,
    "hold": 60.0,
    "max_age": 24.0,
    "poll_interval": 5.0,
    "retries": 2,
    "start_timeout": 900.0,
    "step": "",
}
_PATHS = frozenset("ca_path dest fetch_dest file notice_dir record record_copy record_dir running_vms src".split())
_DICTS = frozenset("ceph machine notice notice_templates".split())
LISTS = frozenset(
    "accept canary_vms command exclude_owners exclude_vms flags hosts hosts_keep_closed keep_closed never_force only_owners only_vms "
    "open_hosts osd_flags osd_flags_found osd_flags_unset pools".split()
)
# In the place of those of the run, where a group has them.
_OF_A_GROUP: dict[str, dict[str, t.Any]] = {"stop_timeout": {"type": "float"}, "start_timeout": {"type": "float"}, "concurrency": {"type": "int"}}


def of(*names: str, **defaults: t.Any) -> dict[str, dict[str, t.Any]]:
    """Return the argument specs of these options. C(defaults): further ones, of which a module has a default of its own."""
    known = {**{name: DEFAULTS[name] for name in names if name in DEFAULTS}, **defaults}
    specs = {name: {"type": type(default).__name__, "default": default} for name, default in known.items()}
    return {**{name: _spec(name) for name in names if name not in known}, **specs}


def choice(*words: str, default: str | None = None, **more: t.Any) -> dict[str, t.Any]:
    """Return the argument spec of an option that takes one of these words."""
    return {"type": "str", "choices": list(words), **({"default": default} if default else {}), **more}


def _spec(name: str) -> dict[str, t.Any]:
    if name == "groups":
        named: dict[str, dict[str, t.Any]] = {key: {"type": "str", "required": True} for key in ("name", "query")}
        force = {"force": choice("allowed", "never", default="allowed"), "optional": {"type": "bool", "default": False}}
        options = {**named, "delay": {"type": "float", "default": 0.0}, **_OF_A_GROUP, **force}
        return {"type": "list", "elements": "dict", "options": options}
    if name in LISTS:
        return {"type": "list", "elements": "str"}
    return {"type": "path" if name in _PATHS else "dict" if name in _DICTS else "str"}
