# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the data centre when the platform starts: hosts, VMs and owners, from options or a saved list."""

from __future__ import annotations

import json
import random
import uuid as uuid_module
from dataclasses import dataclass
from typing import Any, Callable, Sequence, TypeVar

from simulator.backends.base import Host, Vm
from simulator.config import Options, Pick

Item = TypeVar("Item")

FIRST_OWNER = 8
ADMIN_USER = 1
SYSTEMS = (("ubuntu", "24.04"), ("debian", "12"), ("ubuntu", "22.04"), ("rocky", "9"))
DEAF_SYSTEM = ("windows", "2019")
HOSTILE = (
    "{{ lookup('pipe', 'id') }}",
    "<script>alert(1)</script>",
    'a "quoted" \'name\'; $(id) `id`',
    "two\nlines\tand a tab",
    "=HYPERLINK(1)",
    "\u00f5\u00e4\u00f6\u00fc \U0001f427 \u202etxt",
    "",
)


@dataclass
class Estate:
    """The start."""

    hosts: list[Host]
    vms: list[Vm]
    frozen: set[int]

    @property
    def owners(self) -> list[int]:
        """User ids that own a VM."""
        return sorted({vm.owner for vm in self.vms})


def seeded_uuid(options: Options, *parts: object) -> str:
    """A version 4 uuid that follows from the seed and the parts."""
    source = random.Random("%s/%s" % (options.seed, "/".join(str(part) for part in parts)))
    return str(uuid_module.UUID(int=source.getrandbits(128), version=4))


def choose(
    options: Options, why: str, want: Pick, items: Sequence[Item], names: Callable[[Item], tuple[Any, ...]], used: set[int]
) -> list[Item]:
    """The items a pick means. Counts and shares prefer items that no earlier pick has taken (`used`, by position)."""
    if isinstance(want, list):
        by_name = {name: item for item in reversed(items) for name in names(item)}
        return [_named(why, one, by_name, items) for one in want]
    count = round(want * len(items)) if isinstance(want, float) else int(want)
    order = list(range(len(items)))
    random.Random("%s/pick/%s" % (options.seed, why)).shuffle(order)
    order.sort(key=lambda place: place in used)
    taken = sorted(order[:count])
    used.update(taken)
    return [items[place] for place in taken]


def _named(why: str, one: Any, by_name: dict[Any, Item], items: Sequence[Item]) -> Item:
    if one in by_name:
        return by_name[one]
    # A number that names nothing is a place; user ids are numbers that name.
    if isinstance(one, int) and 0 <= one < len(items):
        return items[one]
    raise ValueError("%s: there is no %r" % (why, one))


def make_vm(options: Options, number: int, location: str, state: str) -> Vm:
    """VM `number` of this seed, with the keys the live platform shows."""
    source = random.Random("%s/vm/%s" % (options.seed, number))
    owner = FIRST_OWNER + number % max(1, options.owners)
    system = SYSTEMS[number % len(SYSTEMS)]
    born = "2026-%02d-%02d %02d:%02d:%02d" % (
        source.randint(1, 9), source.randint(1, 28), source.randint(0, 23), source.randint(0, 59), source.randint(0, 59)
    )
    address = number + 10
    hostile = options.hostile_text and number % 3 == 0
    text = HOSTILE[(number // 3) % len(HOSTILE)]
    name = text if hostile else "vm-%d" % number
    row = {
        "backup": source.random() < 0.3,
        "billing_account": 100 + owner,
        "created_at": born,
        "description": text if hostile else "",
        "designated_pool_name": "Basic",
        "designated_pool_uuid": seeded_uuid(options, "pool", location),
        "hostname": "vm-%d" % number,
        "mac": "fa:16:3e:%02x:%02x:%02x" % (number >> 16 & 255, number >> 8 & 255, number & 255),
        "memory": source.choice((1024, 2048, 4096, 8192)),
        "name": name,
        "os_name": system[0],
        "os_version": system[1],
        "private_ipv4": "10.%d.%d.%d" % (address >> 16 & 255, address >> 8 & 255, address & 255),
        "storage": [_disk(options, number, owner, born, source)],
        "username": "ops",
        "vcpu": source.choice((1, 2, 4)),
    }
    return Vm(seeded_uuid(options, "vm", number), owner, location, state, row)


def _disk(options: Options, number: int, owner: int, born: str, source: random.Random) -> dict[str, Any]:
    return {
        "created_at": "%s.%06d" % (born, source.randint(0, 999999)),
        "name": "vda",
        "pool": "n/a",
        "primary": True,
        "replica": [],
        "shared": False,
        "size": source.choice((20, 40, 80)),
        "type": "n/a",
        "updated_at": None,
        "user_id": owner,
        "uuid": seeded_uuid(options, "disk", number),
    }


def _saved(options: Options) -> list[Vm]:
    """VMs of a saved vm/all answer, every key kept."""
    rows = options.from_list
    if isinstance(rows, str):
        with open(rows, encoding="utf-8") as stream:
            rows = json.load(stream)
    vms = []
    for row in rows:
        rest = {key: value for key, value in row.items() if key not in ("uuid", "user_id", "status", "updated_at")}
        word = str(row.get("status", "running")).lower()
        state, traits = ("running", {"started_word"}) if word == "started" else (word, set())
        owner = int(row.get("user_id") or 0)
        vms.append(Vm(row["uuid"], owner, options.default, state, rest, traits, row.get("updated_at")))
    return vms


def _places(options: Options) -> list[str]:
    if options.slug_ignored:
        return [options.default]
    return [slug for slug in options.locations if slug not in options.empty_locations]


def _build_vms(options: Options, places: list[str]) -> list[Vm]:
    if options.from_list:
        return _saved(options)
    if not places:
        return []
    total = options.vms + options.creating + options.deleted
    vms = [make_vm(options, number, places[number % len(places)], "stopped") for number in range(total)]
    for vm in choose(options, "running", options.running, vms[:options.vms], _vm_names, set()):
        vm.state = "running"
    for vm in vms[options.vms:options.vms + options.creating]:
        vm.state = "creating"
    for vm in vms[options.vms + options.creating:]:
        vm.state = "deleted"
    return vms


def _vm_names(vm: Vm) -> tuple[Any, ...]:
    return (vm.uuid, vm.name)


def _build_hosts(options: Options, places: list[str]) -> list[Host]:
    hosts = []
    for number in range(options.hosts if places else 0):
        hosts.append(Host(seeded_uuid(options, "host", number), "hv-%02d" % number, places[number % len(places)]))
    used: set[int] = set()
    for word, want in (
        ("NOT ACCEPTING", options.closed_hosts), ("MAINTENANCE", options.maintenance_hosts), ("OFFLINE", options.offline_hosts)
    ):
        for host in choose(options, word, want, hosts, lambda host: (host.uuid, host.name), used):
            host.accepting, host.status = False, word
    return hosts


def build(options: Options) -> Estate:
    """Hosts, VMs with their traits, and frozen owners."""
    places = _places(options)
    vms = _build_vms(options, places)
    used: set[int] = set()
    running = [vm for vm in vms if vm.state == "running"]
    for trait, want in (
        ("deaf", options.deaf), ("fail_start", options.fail_start), ("locked", options.locked),
        ("starts_itself", options.starts_itself), ("feigns", options.feigns), ("started_word", options.started_word),
        ("unknown", options.unknown_state), ("slow", options.slow),
        ("stuck", options.stuck),
    ):
        for vm in choose(options, trait, want, running, _vm_names, used):
            vm.traits.add(trait)
            if trait == "deaf" and "os_name" in vm.row and not options.from_list:
                vm.row["os_name"], vm.row["os_version"] = DEAF_SYSTEM
            if trait == "unknown":
                vm.state = options.unknown_state_word.lower()
    estate = Estate(_build_hosts(options, places), vms, set())
    estate.frozen.update(choose(options, "frozen", options.frozen_owners, estate.owners, lambda owner: (owner,), set()))
    return estate
