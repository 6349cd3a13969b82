# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What the platform has: VMs and hypervisor hosts, read tolerantly, and the words for their states and outcomes."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import dataclass, field

from .._errors import InputError

# The end of each headline over a proof that Ceph has no part in. The first word of such a headline is never SAFE.
CEPH_UNCHECKED = "CEPH WAS NOT CHECKED."

RUNNING = "running"
STOPPED = "stopped"
CREATING = "creating"
DELETED = "deleted"

# The vendor names five states, three of which were ever seen; C(started) comes from the vendor's own mock.
_STATES = {"running": RUNNING, "started": RUNNING, "stopped": STOPPED, "creating": CREATING, "deleted": DELETED}
# Only these let go of the disk. Anything else, known or not, may hold Ceph open.
RELEASED = frozenset({STOPPED, DELETED})

# Host states of the admin UI in which the platform moves VMs about by itself: no flag is written there.
UNTOUCHABLE_HOST_STATES = frozenset({"MAINTENANCE", "OFFLINE"})

# What of a row stays as it is, and names it where it has no usable uuid.
_STABLE = ("uuid", "id", "name", "hostname", "user_id", "billing_account", "mac", "private_ipv4", "public_ipv4", "created_at")

_UUID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,62}[0-9A-Za-z])?")


def is_uuid(value: t.Any) -> bool:
    """Whether a value can go into a URL, a path or a message as it is. Looser than RFC 4122 on purpose."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def check_uuids(uuids: t.Iterable[t.Any]) -> None:
    """Raise InputError for words that are no uuids."""
    wrong = [uuid for uuid in uuids if not is_uuid(uuid)]
    if wrong:
        raise InputError(f"vms: these are no uuids: {', '.join(map(repr, wrong))}. Nothing was sent.")


def normal_state(raw: t.Any) -> str:
    """One of the four known words, or the platform's own word in lower case, or C(unknown)."""
    if isinstance(raw, str) and raw in _STATES:
        return _STATES[raw]
    word = printable(raw, 40).lower() if isinstance(raw, str) else ""
    return _STATES.get(word, word or "unknown")


def printable(value: t.Any, length: int = 60) -> str:
    """Tenant text that can do no harm on a terminal or in a log: one line, no control or direction marks, short."""
    text = "" if value is None else str(value)
    clean = " ".join((text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)).split())
    return clean if len(clean) <= length else f"{clean[: length - 3]}..."


@dataclass(frozen=True)
class Vm:
    """One row of a VM list or one detail. C(row) is the platform's own object, untouched; empty where it was not kept."""

    uuid: str
    state: str
    owner: str
    name: str
    row: dict = field(repr=False, compare=False)

    @property
    def holds_storage(self) -> bool:
        return self.state not in RELEASED

    def label(self) -> str:
        """How a message names it."""
        return f"{self.uuid} ({self.name or 'no name'}, owner {self.owner}, {self.state})"

    def brief(self) -> dict:
        return {"uuid": self.uuid, "user_id": self.owner, "name": self.name, "status": self.state}


@dataclass(frozen=True)
class Host:
    """One hypervisor host. C(accepting) is None where the platform does not show the flag."""

    uuid: str
    name: str
    accepting: bool | None
    state: str
    row: dict = field(repr=False, compare=False)

    @property
    def untouchable(self) -> bool:
        return self.state in UNTOUCHABLE_HOST_STATES

    def label(self) -> str:
        return f"{self.uuid} ({self.name})" if self.name else self.uuid


@dataclass(frozen=True)
class VmList:
    """A whole answer of a VM list. C(unreadable) are digests of rows without a usable uuid."""

    vms: dict[str, Vm]
    unreadable: tuple[str, ...] = ()

    def where(self, *states: str) -> list[Vm]:
        return [vm for vm in self.vms.values() if vm.state in states]

    @property
    def running(self) -> list[Vm]:
        return self.where(RUNNING)

    @property
    def holding(self) -> list[Vm]:
        return [vm for vm in self.vms.values() if vm.holds_storage]


def parse_vm(row: t.Any, row_kept: bool = True) -> Vm | None:
    """A VM, or None when the row has no usable uuid. No other field is needed."""
    if not isinstance(row, dict) or not is_uuid(row.get("uuid")):
        return None
    return Vm(
        uuid=row["uuid"],
        state=normal_state(row.get("status")),
        owner=printable(row.get("user_id"), 40) or "unknown",
        name=printable(row.get("name") or row.get("hostname")),
        row=row if row_kept else {},
    )


def parse_vm_list(rows: t.Iterable[t.Any], rows_kept: bool = True) -> VmList:
    """All rows of a list. Of two rows with one uuid a running one counts most, then one that holds storage.

    Not C(rows_kept): for who wants no more than states and names.
    """
    vms: dict[str, Vm] = {}
    unreadable = []
    for row in rows:
        vm = parse_vm(row, rows_kept)
        if vm is None:
            unreadable.append(digest(row))
        elif vm.uuid not in vms or _weight(vm) > _weight(vms[vm.uuid]):
            vms[vm.uuid] = vm
    return VmList(vms, tuple(unreadable))


def _weight(vm: Vm) -> int:
    return 2 if vm.state == RUNNING else int(vm.holds_storage)


def digest(row: t.Any) -> str:
    """A short name for a row that has none of its own, the same for as long as the thing is the same."""
    if isinstance(row, dict):
        stable = {key: row[key] for key in _STABLE if row.get(key) not in (None, "")}
        row = stable or {key: value for key, value in row.items() if not key.endswith("_at")}
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:12]


def parse_host(row: t.Any) -> Host | None:
    """A host, or None when the row has no usable uuid. Of its other fields nothing is documented."""
    if not isinstance(row, dict) or not is_uuid(row.get("uuid")):
        return None
    raw = row.get("status") if isinstance(row.get("status"), str) else row.get("state")
    state = re.sub(r"[\s_-]+", " ", printable(raw, 40)).upper() if isinstance(raw, str) else ""
    accepting = _flag(row.get("is_accepting_workloads"))
    if accepting is None:
        accepting = {"AVAILABLE": True, "NOT ACCEPTING": False}.get(state)
    return Host(
        uuid=row["uuid"],
        name=printable(row.get("name") or row.get("hostname")),
        accepting=accepting,
        state=state,
        row=row,
    )


def _flag(value: t.Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"1": True, "true": True, "0": False, "false": False}.get(str(value).strip().lower())


def count_by(items: t.Iterable[str]) -> dict[str, int]:
    """Counts, the largest first."""
    counts: dict[str, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


# Outcomes of a stop and of a start, as they stand in the record, the results and the report.
CLEAN = "clean"
FORCED = "forced"
ALREADY_STOPPED = "already_stopped"
VANISHED = "vanished"
WOULD_NOT_STOP = "would_not_stop"
REFUSED = "refused"
STARTED = "running"
ALREADY_RUNNING = "already_running"
FAILED = "failed"

STOP_DONE = frozenset({CLEAN, FORCED, ALREADY_STOPPED, VANISHED})
START_DONE = frozenset({STARTED, ALREADY_RUNNING, VANISHED})
