# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Is one of the VMs to be stopped the very machine that runs this? Identity of a Linux machine, and the comparison."""

from __future__ import annotations

import glob
import os
import re
import socket
import typing as t
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from .._api.model import Vm
from .._record import files
from . import container

_PRODUCT_UUID = "/sys/class/dmi/id/product_uuid"
_NET = "/sys/class/net"
_FIB_TRIE = "/proc/net/fib_trie"


@dataclass(frozen=True)
class Match:
    """A VM that is, or may be, a machine of ours. C(sure) is False for a private address alone."""

    vm: Vm
    machine: str
    by: str
    sure: bool


def identity() -> dict[str, t.Any]:
    """What this machine knows of itself: SMBIOS UUID, MACs, IPv4 addresses, and what could not be read."""
    unread = []
    smbios = files.text_in(_PRODUCT_UUID).strip()
    if not smbios:
        unread.append("SMBIOS UUID (only root can read it)")
    macs = _macs()
    if not macs:
        unread.append("MAC addresses")
    addresses = _addresses()
    if not addresses:
        unread.append("addresses")
    runs_in = container.here()
    if runs_in:
        unread.append(f"the machine below the container ({runs_in})")
    return {
        "name": os.uname().nodename,
        "smbios_uuid": smbios,
        "macs": macs,
        "addresses": sorted({*addresses, *_controller_addresses(os.environ.get("AWX_HOST", ""))}),
        "unread": unread,
    }


def _macs() -> list[str]:
    found = {files.text_in(path).strip().lower() for path in glob.glob(os.path.join(_NET, "*", "address"))}
    return sorted(found - {"", "00:00:00:00:00:00"})


def _addresses() -> list[str]:
    local = re.findall(r"\|--\s+(\d+\.\d+\.\d+\.\d+)\s+/32 host LOCAL", files.text_in(_FIB_TRIE))
    return sorted({address for address in local if not address.startswith("127.")})


def _controller_addresses(url: str) -> list[str]:
    """Of the AWX that started this job, which tells its own URL: from inside the job's container nothing else of it is to be seen."""
    try:
        name = urlsplit(url).hostname
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM) if name else []
    except (OSError, ValueError):
        return []
    return [str(entry[4][0]) for entry in found if not str(entry[4][0]).startswith("127.")]


def spellings(text: t.Any) -> set[str]:
    """A UUID in both byte orders: firmware and platform do not agree on the first three fields."""
    try:
        value = uuid.UUID(str(text))
    except ValueError:
        return set()
    return {str(value), str(uuid.UUID(bytes_le=value.bytes))}


def matches(vms: t.Iterable[Vm], machines: t.Iterable[dict[str, t.Any]]) -> list[Match]:
    """VMs that share an identity with one of the machines; the surest sign of each pair."""
    found = []
    for machine in machines:
        own = spellings(machine.get("smbios_uuid"))
        macs = {str(mac).lower() for mac in machine.get("macs") or []}
        addresses = set(machine.get("addresses") or [])
        for vm in vms:
            sign = _sign(vm, own, macs, addresses)
            if sign:
                found.append(Match(vm, str(machine.get("name", "?")), *sign))
    return found


def _sign(vm: Vm, own: set[str], macs: set[str], addresses: set[str]) -> tuple[str, bool] | None:
    if own and own & spellings(vm.uuid):
        return "SMBIOS UUID", True
    if str(vm.row.get("mac") or "").lower() in macs:
        return "MAC address", True
    if str(vm.row.get("public_ipv4")) in addresses:
        return "public address", True
    if str(vm.row.get("private_ipv4")) in addresses:
        return "private address", False
    return None
