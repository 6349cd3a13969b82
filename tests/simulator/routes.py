# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's paths: which kind of request a method and path are, and of which location."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from simulator.config import Options

PREFIX = "/v1/"

# (method, path below /v1 and slug) -> kind, the name by which journal, faults and acts know it
ROUTES = {
    ("GET", "config/locations"): "locations",
    ("GET", "user-resource/vm/list"): "vm_list",
    ("GET", "user-resource/vm"): "vm_show",
    ("POST", "user-resource/vm/stop"): "vm_stop",
    ("POST", "user-resource/vm/start"): "vm_start",
    ("GET", "user-resource/vm/all"): "vm_all",
    ("GET", "user-resource/admin/vm"): "admin_vm_show",
    ("POST", "user-resource/admin/vm/stop"): "admin_vm_stop",
    ("POST", "user-resource/admin/vm/start"): "admin_vm_start",
    ("GET", "base-operator/host/list"): "host_list",
    ("PUT", "base-operator/admin/host_flags"): "host_flags",
}
POWER = frozenset(("vm_stop", "vm_start", "admin_vm_stop", "admin_vm_start"))
WRITES = POWER | {"host_flags"}
ADMIN = frozenset(("vm_all", "admin_vm_show", "admin_vm_stop", "admin_vm_start", "host_list", "host_flags"))
ADMIN_LISTS = frozenset(("vm_all", "host_list"))
UNROUTED = "unrouted"


@dataclass(frozen=True)
class Route:
    """`location` None: all locations."""

    kind: str
    slug: str
    location: str | None


def resolve(options: Options, method: str, raw_path: str) -> Route:
    """The route of a request; kind `unrouted` when the gateway knows none."""
    path = unquote(raw_path)
    rest = path[len(PREFIX):] if path.startswith(PREFIX) else ""
    slug, below = rest.partition("/")[::2]
    if slug in options.locations:
        rest = below
    else:
        slug = ""
    kind = ROUTES.get((method, rest), UNROUTED)
    location: str | None = options.default if options.slug_ignored or not slug else slug
    if kind in ADMIN and not options.admin_scoped:
        if slug:
            kind = UNROUTED
        location = None
    return Route(kind, slug, location)
