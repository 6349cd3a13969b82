# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What must hold before a record is used. A plan collects the refusals; opening a record raises the first that is not accepted."""

from __future__ import annotations

import typing as t

from .. import _accept
from .._api.model import RUNNING, count_by, parse_vm
from .._environment import container as _container
from .._errors import Refused
from .._record import paths
from .._record.paths import Places

CEPH_NOT_BACK = (
    "Ceph was to be taken down, and nothing here can tell whether it serves again, or went down at all. A VM started before it "
    "serves hangs. When Ceph is back: -e ceph_maint_ceph_is_back=true"
)
HOSTS_NOT_SAID = (
    "Which hosts the shell runbook closed is not known. Say it: -e ceph_maint_open_hosts=all (or none, or UUID,UUID)."
)


class Refusal(t.NamedTuple):
    """Why something cannot go ahead, and the override that accepts it, empty where the text names another next step."""

    text: str
    item: str = ""


def check(refusals: t.Iterable[Refusal], accepted: t.Collection[str]) -> None:
    """Raise Refused for the first that is not accepted."""
    for text, item in refusals:
        if item not in accepted:
            way = f" To accept this: {_accept.accept_argument(accepted, [item])}" if item else ""
            raise Refused(f"{text} Nothing was changed.{way}", [item] if item else [])


def container(places: Places) -> list[Refusal]:
    """A folder of the records that would be gone with the job."""
    path, mounts = places.record_dir, paths.read_mounts()
    found = _container.problem(path, places.persistent, _container.here(), paths.mount_of(path, mounts)) if path else ("", "")
    return [Refusal(*found)] if found[0] else []


def folders(places: Places) -> list[Refusal]:
    """Folders or files that cannot hold the record, and a copy beside the record itself."""
    problem = paths.folder_problem(places.record_dir or places.folder) or paths.folder_problem(places.folder)
    found = [problem or paths.files_problem(places.folder), paths.copy_problem(places.copy_dir, places.folder)]
    return [Refusal(text) for text in found if text]


def copy_disk(places: Places) -> list[Refusal]:
    """A second copy that one failure would lose together with the record."""
    copy = places.record_copy
    problem = paths.copy_disk_problem(copy, places.folder, paths.read_mounts()) if copy else ""
    return [Refusal(problem, _accept.SAME_DISK(copy))] if problem else []


def old(identity: str, phase: str, vms: int, age: float, max_age: float, accepted: t.Iterable[str]) -> list[Refusal]:
    """An open record that nothing was done with for longer than C(max_age) hours, with each next step."""
    item = _accept.OLD(identity)
    if age <= max_age * 3600:
        return []
    return [
        Refusal(
            f"The open record {identity} (phase {phase}, {vms} VMs) was last worked on {age / 3600:.1f} hours ago. If it is not the "
            "maintenance at hand, bring back first what it stopped: ansible-playbook pilw.maintenance.ceph_maint_restore "
            f"{_accept.accept_argument(accepted, [item])}; or end it without that: ansible-playbook pilw.maintenance.ceph_maint_close "
            "-e ceph_maint_confirm=true "
            f"{_accept.accept_argument(accepted, [_accept.GIVE_UP(identity)])}; or accept it, if it is the maintenance at hand.",
            item,
        )
    ]


def not_running(rows: list[dict], path: str) -> list[Refusal]:
    """A hand-made list that shows VMs in another state than running."""
    found = [vm for vm in map(parse_vm, rows) if vm is not None and vm.row.get("status") is not None and vm.state != RUNNING]
    if not found:
        return []
    states = ", ".join(f"{state} {count}" for state, count in count_by(vm.state for vm in found).items())
    text = (
        f"{len(found)} of {len(rows)} VMs in {path} were not running when it was made ({states}), and would be started all the same. "
        f"Keep those that ran only: jq --arg s running '[.[]|select(.status==$s)]' {path}; or, if each of them ran before the "
        f"maintenance, leave the states out: jq 'map(del(.status))' {path}"
    )
    return [Refusal(text)]
