# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hosts, VMs and locations look on the wire."""

from __future__ import annotations

import zlib
from typing import Any, Callable

from simulator.backends.base import Host, Vm
from simulator.config import Options

FLAG_AS: dict[str, Callable[[bool], Any]] = {"bool": bool, "int": int, "text": lambda flag: str(int(flag))}


def status_word(vm: Vm, options: Options, detail: bool = False) -> str:
    """The state as this platform spells it for this VM."""
    word = "started" if vm.state == "running" and "started_word" in vm.traits else vm.state
    if vm.state == "deleted" and detail:
        return word.title()  # seen so on the detail of a deleted VM
    if options.state_case == "mixed":
        return (word, word.title(), word.upper())[zlib.crc32(vm.uuid.encode()) % 3]
    return word


def vm_row(vm: Vm, options: Options, detail: bool = False) -> dict[str, Any]:
    """A VM's row."""
    row = dict(vm.row, uuid=vm.uuid, user_id=vm.owner, status=status_word(vm, options, detail), updated_at=vm.updated_at)
    row.update(options.row_extra)
    for key in options.row_missing:
        row.pop(key, None)
    return row


def host_row(host: Host, options: Options) -> dict[str, Any]:
    """A host's row: the uuid, and what options show besides."""
    row: dict[str, Any] = {"uuid": host.uuid}
    if options.host_name_shown:
        row["name"] = host.name
    if options.host_status_shown:
        row["status"] = host.status
    if options.flag_readable:
        row["is_accepting_workloads"] = FLAG_AS[options.flag_as](host.accepting)
    return row


def location_rows(options: Options) -> list[dict[str, Any]]:
    """The answer of config/locations."""
    return [
        {
            "country_code": "EST",
            "description": "",
            "display_name": slug.upper(),
            "is_default": slug == options.default,
            "is_preferred": slug == options.default,
            "is_published": True,
            "order_nr": number,
            "slug": slug,
        }
        for number, slug in enumerate(options.locations, 1)
    ]
