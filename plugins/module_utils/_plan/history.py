# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The last maintenance that ended in a folder: what it left down, and whether the platform is still as it left it."""

from __future__ import annotations

import contextlib
import os
import shlex
import typing as t
from dataclasses import dataclass, field

from .._api.endpoints import HostList
from .._api.model import RUNNING, VANISHED, VmList
from .._errors import RecordError
from .._record.exports import RUNNING_VMS
from .._record.paths import RECORD_NAME
from .._record.record import DONE, Record
from .._record.rows import RecordedHost, RecordedVm, age_seconds
from .._report import data
from .earlier_records import kept_records

# Longer lists are cut in the text.
SHOWN = 20


@dataclass
class Ended:
    """One ended maintenance. C(down): VMs that it gave up. C(closed): hosts that it closed and did not open again."""

    identity: str
    done_at: str
    list_path: str
    recorded: int
    down: list[RecordedVm] = field(default_factory=list)
    closed: list[dict[str, t.Any]] = field(default_factory=list)
    running: list[RecordedVm] = field(default_factory=list)
    hosts: list[RecordedHost] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not (self.down or self.closed)

    @property
    def age(self) -> float:
        """Seconds since it ended."""
        return age_seconds(self.done_at)

    def bring_back(self) -> str:
        """The command that starts its VMs and opens its hosts, from the files that were kept."""
        hosts = ",".join(host["uuid"] for host in self.closed) or "none"
        return (
            "ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_confirm=true -e ceph_maint_ceph_is_back=true "
            f"-e ceph_maint_running_vms={shlex.quote(self.list_path)} -e ceph_maint_open_hosts={hosts}"
        )

    def differences(self, vms: VmList, hosts: HostList) -> list[str]:
        """What is not as this maintenance left it, a line each."""
        lines = []
        for vm in self.running:
            state = vms.vms[vm.uuid].state if vm.uuid in vms.vms else "not listed"
            if state != RUNNING:
                lines.append(f"VM {vm.label()} was left running and is {state} now")
        for host in self.hosts:
            shown = hosts.hosts.get(host.uuid)
            if shown is None:
                lines.append(f"host {host.label()} is not listed any more")
            elif None not in (host.now, shown.accepting) and host.now is not shown.accepting:
                lines.append(f"host {host.label()} was left {_word(host.now)} and is {_word(shown.accepting)} now")
        return lines


def _word(accepting: bool | None) -> str:
    return "open" if accepting else "closed"


def ended_of(record: Record, prefix: str) -> Ended:
    """What a record that is done left. C(prefix): how the names of its files begin."""
    maintenance, outcome = record.maintenance, data.Outcome(record)
    return Ended(
        identity=maintenance["id"],
        done_at=maintenance["done_at"],
        list_path=os.path.join(os.path.dirname(record.path), f"{prefix}{RUNNING_VMS}"),
        recorded=len(outcome.vms),
        down=outcome.left,
        closed=outcome.ours,
        running=[vm for vm in outcome.vms if vm.start_done and vm.start.outcome != VANISHED],
        hosts=record.hosts(),
    )


def last_ended(folder: str) -> Ended | None:
    """The maintenance that ended last in a folder; None when none is kept there that can be read."""
    for name in reversed(kept_records(folder)):
        with contextlib.suppress(RecordError, TypeError, ValueError, KeyError):
            with contextlib.closing(Record(os.path.join(folder, name))) as record:
                if record.phase == DONE:
                    return ended_of(record, name.removesuffix(RECORD_NAME))
    return None
