# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Finding the record of a platform, and what a run can go on from when that file is damaged or gone.

Nothing of what is found is removed: a damaged record and lists that are about to be replaced keep a name of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from .. import _accept
from .._api.model import parse_host, parse_vm_list
from .._errors import DamagedRecord, RecordError, Refused
from . import files
from .exports import HOSTS_TO_OPEN, RUNNING_VMS, copy_of, identity_in
from .record import DONE, Record

_LISTS = (RUNNING_VMS, HOSTS_TO_OPEN)
ELSEWHERE = " If the record is whole and lies elsewhere, set ceph_maint_record_dir as it was in the prepare."


def accepted_in(path: str) -> list[str]:
    """What is accepted on the open record at a path; empty when there is none, and where it cannot be read."""
    try:
        with contextlib.closing(Record(path)) as record:
            return record.accepted() if record.phase != DONE else []
    except RecordError:
        return []


def find(path: str, accepted: t.Collection[str], copy_dir: str | None = None) -> Record | None:
    """The record, whole and of the platform of its folder; None when there is none.

    DamagedRecord also when the file is gone while its lists or its second copy are there: an ended maintenance takes them with it.
    """
    if not os.path.lexists(path):
        left = copy_dir or copy_of(path) or ""
        if _lists_hold_something(os.path.dirname(path)):
            raise DamagedRecord(path, "the file is gone, and the lists of its maintenance lie there still", missing=True)
        if left and _copy_is_open(left, path):
            raise DamagedRecord(path, f"no file is there, and {left} holds the second copy of a maintenance that is open", missing=True)
        return None
    record = Record(path, copy_dir)
    try:
        record.check()
        _check_place(record, os.path.basename(os.path.dirname(path)), accepted)
    except BaseException:
        record.close()
        raise
    return record


def find_whole(path: str, accepted: list[str], copy_dir: str | None, purpose: str) -> Record | None:
    """The same for a purpose that can tell nothing from a damaged one: that is refused, with what can be done."""
    try:
        return find(path, accepted, copy_dir)
    except DamagedRecord as damage:
        look(damage, copy_dir).check(purpose, accepted, adopting=False)
        raise


def _check_place(record: Record, place: str, accepted: t.Collection[str]) -> None:
    """A record that was copied into the folder of another platform must not act there."""
    theirs = record.maintenance["api_host"]
    item = _accept.RECORD_OF(theirs)
    if theirs != place and item not in accepted and item not in record.accepted():
        text = (
            f"The record {record.path} is that of the platform {theirs}, and it lies in the folder of {place}. Nothing was "
            "changed. Set ceph_maint_api_host and ceph_maint_location as they were in the prepare; or, if both names stand for "
            "one platform and one location"
        )
        raise _accept.refusal(text, accepted, [item])


def _lists_hold_something(folder: str) -> bool:
    """Whether a list names anything, or cannot be read."""
    return any(_read_list(os.path.join(folder, name)) not in (None, []) for name in _LISTS)


def _read_list(path: str) -> list[dict] | Exception | None:
    """The rows of a list, why it cannot be read, or None where there is none."""
    try:
        return files.read_rows(files.read_private(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        return exc


def _copy_is_open(copy_dir: str, path: str) -> bool:
    """Whether the folder of the second copy holds something of a maintenance that is not known to have ended."""
    copied = os.path.join(copy_dir, os.path.basename(path))
    if not os.path.lexists(copied):
        return os.path.isdir(copy_dir) and _lists_hold_something(copy_dir) and not _ended(path, identity_in(copy_dir))
    try:
        with contextlib.closing(Record(copied)) as copy:
            copy.check()
            return copy.phase != DONE and not _ended(path, copy.maintenance["id"]) and bool(copy.count_vms() or copy.hosts())
    except RecordError:
        return True


def _ended(path: str, identity: str) -> bool:
    """Whether the record of a maintenance was put away; the disk of its copy may have been lost at that time."""
    return bool(identity) and os.path.lexists(os.path.join(os.path.dirname(path), f"{identity}.{os.path.basename(path)}"))


@dataclass
class Salvage:
    """What is left of a damaged record.

    C(copy) is the path of a second copy to go on from, or empty. C(vms) and C(hosts) are rows of the lists, None when
    not readable. C(source) is what is gone on from, empty when nothing is left; C(found) says what was looked at.
    """

    damage: DamagedRecord
    item: str
    copy_dir: str
    copy: str = ""
    vms: list[dict] | None = None
    hosts: list[dict] | None = None
    source: str = ""
    found: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.damage.path

    @property
    def kept(self) -> str:
        return f"{self.path}.{self._mark}"

    @property
    def _mark(self) -> str:
        return self.item.replace(":", "-")

    def text(self) -> str:
        """What happened, what is left, and what going on from it means."""
        lead = f"{self.damage.fact} Nothing was changed. {' '.join(self.found)}"
        left = " and ".join(folder for folder in (os.path.dirname(self.path), self.copy_dir) if os.path.isdir(folder))
        none_open = f" If no maintenance is open any more, move what lies in {left} to another folder."
        if not self.source:
            return (
                f"{lead} There is nothing whole to go on from. With a list of your own: "
                "-e ceph_maint_running_vms=/path/running_vms.json -e ceph_maint_open_hosts=all (or none, or UUID,UUID)."
                + none_open
            )
        return (
            f"{lead} The run can go on from {self.source}. Lost is what became of each VM since, and which ones outlived "
            "their stop: nothing counts as safe, and no power is cut without a new stop."
            + (f"{ELSEWHERE}{none_open}" if self.damage.missing else f" The damaged file is kept as {self.kept}.")
        )

    def note(self) -> str:
        """What was done, once it was."""
        kept = "" if self.damage.missing else f" It is kept as {self.kept}."
        return f"{self.damage.fact}{kept} This run goes on from {self.source}. {' '.join(self.found)}"

    def check(self, purpose: str, accepted: list[str], adopting: bool) -> None:
        """Refuse, unless the operator has said to go on and this purpose can."""
        if adopting and self.damage.missing:
            return  # a list is given, and there is no file to be put aside
        if purpose not in ("prepare", "restore"):
            raise Refused(
                f"{self.text()} Neither status, verify, force nor close can tell anything from it. See what a restore would "
                f"do: ansible-playbook pilw.maintenance.ceph_maint_restore {_accept.accept_argument(accepted, [self.item])}",
                [self.item],
            )
        if self.item not in accepted:
            raise _accept.refusal(f"{self.text()} To go on", accepted, [self.item])
        if not self.source and not adopting:
            raise Refused(self.text())

    def rebuild(self, path: str, place: str, location: str, actor: str, purpose: str, controller: str = "") -> tuple[Record, str]:
        """Make a record of what is left, in a folder of its own, and begin a run on it."""
        if self.copy:
            with contextlib.closing(Record(self.copy)) as copy:
                copy.copy_to(path)
            record = Record(path)
        else:
            record = Record.create(path, api_host=place, location=location, reason="")
        token = record.begin_run(actor, purpose, controller)
        hosts = [host for host in map(parse_host, self.hosts or []) if host is not None]
        known = {host.uuid for host in record.hosts()}
        record.remember_hosts(token, [host for host in hosts if host.uuid not in known], (), ours=True)
        if self.vms:
            record.add_running(token, parse_vm_list(self.vms).vms.values(), late=False)
        record.rebuilt(token, self.source, [host.uuid for host in hosts])
        return record, token

    def put_aside(self) -> None:
        """Keep what is about to be replaced."""
        if _item(self.path, self.copy_dir) != self.item:
            raise Refused("What is left of the damaged record has changed in the meantime. Nothing was changed on the platform. Run the same command again.")
        folder = os.path.dirname(self.path)
        files.keep(self.path, self._mark)
        with contextlib.suppress(FileNotFoundError):
            # It belongs to the damaged file; the new one must not find it.
            os.rename(f"{self.path}-journal", f"{self.kept}-journal")
        for name in _LISTS:
            files.keep(os.path.join(folder, name), self._mark)
        if self.copy_dir:
            with contextlib.suppress(OSError):
                for name in (os.path.basename(self.path), *_LISTS):
                    files.keep(os.path.join(self.copy_dir, name), self._mark)


def look(damage: DamagedRecord, copy_dir: str | None = None) -> Salvage:
    """Look through what lies beside a damaged record and in the folder of its second copy. Changes nothing."""
    folder = os.path.dirname(damage.path)
    copy_dir = copy_dir or copy_of(damage.path) or ""
    salvage = Salvage(damage, _item(damage.path, copy_dir), copy_dir)
    identity, copied = identity_in(folder), identity_in(copy_dir) if copy_dir else ""
    ours = [folder, copy_dir] if not identity or copied in ("", identity) else [folder]
    salvage.vms, vms_in = _first_list(salvage, ours, RUNNING_VMS)
    salvage.hosts, _hosts_in = _first_list(salvage, ours, HOSTS_TO_OPEN)
    if copy_dir:
        _look_at_copy(salvage, os.path.join(copy_dir, os.path.basename(damage.path)), identity or copied)
    if salvage.copy:
        salvage.source = salvage.copy
    elif salvage.vms is not None and salvage.hosts is not None:
        salvage.source = os.path.join(vms_in, RUNNING_VMS)
    return salvage


def _first_list(salvage: Salvage, folders: list[str], name: str) -> tuple[list[dict] | None, str]:
    for folder in filter(None, folders):
        path = os.path.join(folder, name)
        rows = _read_list(path)
        if isinstance(rows, list):
            salvage.found.append(f"{path} names {len(rows)}, written at {_written_at(path)}.")
            return rows, folder
        salvage.found.append(f"{path} is missing." if rows is None else f"{path}: {rows}.")
    return None, ""


def _look_at_copy(salvage: Salvage, path: str, identity: str) -> None:
    """The second copy may be behind, but never of another maintenance: its id tells, or else VMs that the list does not name."""
    try:
        with contextlib.closing(Record(path)) as copy:
            copy.check()
            known, at, theirs = copy.uuids(), copy.last_event_at(), copy.maintenance["id"]
            ended = copy.phase == DONE or _ended(salvage.path, theirs)
    except RecordError as exc:
        if not os.path.lexists(path):
            salvage.found.append(f"There is no second copy {path}.")
            return
        salvage.found.append(f"The second copy cannot be used: {exc.why if isinstance(exc, DamagedRecord) else exc}")
        return
    strangers = known - {row["uuid"] for row in salvage.vms} if salvage.vms is not None and not identity else set()
    if ended:
        salvage.found.append(f"The second copy {path} is of a maintenance that has ended.")
    elif identity not in ("", theirs):
        salvage.found.append(f"The second copy {path} is of another maintenance, {theirs}.")
    elif strangers:
        text = f"The second copy {path} knows {len(strangers)} VMs that the list does not: it is of another maintenance."
        salvage.found.append(text)
    else:
        salvage.copy = path
        salvage.found.append(f"The second copy {path} holds {len(known)} VMs, and was last written at {at}.")


def _written_at(path: str) -> str:
    return f"{datetime.fromtimestamp(os.lstat(path).st_mtime, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _item(path: str, copy_dir: str) -> str:
    """Names this damage: another one is not accepted by it."""
    content, names = hashlib.sha256(), (*_LISTS, os.path.basename(path))
    folders = filter(None, (os.path.dirname(path), copy_dir))
    for name in (path, *(os.path.join(folder, one) for folder in folders for one in names)):
        with contextlib.suppress(OSError):
            content.update(files.read_private(name))
            break
    return _accept.DAMAGED(content.hexdigest()[:12])
