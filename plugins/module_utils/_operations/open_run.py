# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Opening a record for a new run: finding or making it, waiting for the former run, taking over a hand-made list."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import glob
import os
import shutil
import tempfile
import typing as t

from .. import _accept, _clock, _waiting
from .._api.endpoints import POWER_TIMEOUT, Api
from .._api.model import parse_vm_list, printable
from .._errors import DamagedRecord, InputError, RecordError, Refused, disk_errors
from .._module import runner
from .._plan import preconditions
from .._plan.plan import hosts_named
from .._plan.preconditions import CEPH_NOT_BACK, HOSTS_NOT_SAID
from .._record import controller as _controller
from .._record import files, paths
from .._record.exports import COPY_NOTE, copy_of
from .._record.lock import Handover, Lease, Lock, wait_for_former_run
from .._record.other_names import elsewhere_text
from .._record.paths import Places
from .._record.record import DONE, Record
from .._record.recovery import Salvage, accepted_in, find, look
from .._record.rows import age_seconds
from .._report.data import give_up_refusal

# Most seconds that the lock is watched when the former run never said that it ended: it may be between two steps.
BETWEEN_STEPS = 10.0
# Seconds after which a file that a killed run left behind is read by nobody any more.
LEFTOVER_AGE = 60.0
ENDED_MEANWHILE = (
    "The other run has ended this maintenance in the meantime; this one changed nothing. Run the same command again to see what is left."
)
NOTHING_OPENED = {"changed": False, "record": "", "run": "", "created": False, "phase": "", "osd_flags": [], "ceph_fsid": ""}
# Letters of whoever runs this that others are told: the lock holds it, and is read in one piece.
MOST_OF_A_NAME = 200
# How the names of folders begin in which a record is made.
UNFINISHED = "unfinished."


def opened(params: dict[str, t.Any], check_mode: bool, tmpdir: str) -> dict[str, t.Any]:
    """Take the record over for a new run, or make one."""
    places = Places.of(params)
    path = places.path
    recorded = accepted_in(path)
    now = _accept.given(params["accept"], params["accept_reason"], recorded)
    accept = _accept.effective(recorded, now)
    preconditions.check(preconditions.container(places), accept)
    if check_mode:
        return {**NOTHING_OPENED, "changed": True, "record": path, "created": not os.path.exists(path)}
    with disk_errors(f"The record {path} cannot be opened", "Nothing was changed on the platform."):
        return _opened(params, places, tmpdir, now, accept)


def _opened(params: dict[str, t.Any], places: Places, tmpdir: str, now: list[str] | None, accept: list[str]) -> dict[str, t.Any]:
    """C(now): the overrides given to this run. C(accept): all that are in effect."""
    path, folder = places.path, places.folder
    preconditions.check(preconditions.folders(places), ())
    copies = places.copy_dir or copy_of(path)
    record, salvage = None, None
    try:
        record = find(path, accept, copies)
    except DamagedRecord as damage:
        salvage = look(damage, copies)
        salvage.check(params["purpose"], accept, bool(params["running_vms"]))
    if _waiting.of(params).waited and salvage is None and (record is None or record.phase == DONE):
        raise Refused(ENDED_MEANWHILE)
    if record and record.phase == DONE:
        put_away(record, params, copies)
        record = None
    if record is None and salvage is None and params["purpose"] == "verify":
        return dict(NOTHING_OPENED)
    if record is None and salvage is None and params["purpose"] != "prepare" and not params["running_vms"]:
        raise Refused(
            f"There is no open record in {folder}; nothing was changed. Set ceph_maint_host, ceph_maint_record_dir, "
            f"ceph_maint_api_host and ceph_maint_location as they were in the prepare.{elsewhere_text(params)}"
        )
    copy_on_same_disk = preconditions.copy_disk(places)
    if record is None and (salvage is None or params["running_vms"]):
        preconditions.check(copy_on_same_disk, accept)
    notes = [text for text, item in copy_on_same_disk if item not in accept]
    for one in (params["record_dir"], folder):
        paths.ensure_private_folder(one)
    lock, new = Lock(folder), record is None
    if record is None:
        with lock.held({"actor": actor_of(params), "what": "making the record"}):
            if salvage is None and os.path.lexists(path):
                raise Refused("Another run has just opened a record; this one changed nothing. Run the same command again to see it.")
            notes += _ready_for_copy(params, folder, copies, needed=params["purpose"] == "prepare")
            token = _make(params, path, salvage, now)
        record = Record(path, copies)
        if salvage and not params["running_vms"]:
            notes.append(salvage.note())
    else:
        notes += _accept.notes(_spent_takeovers(record, params, now), now or [])
        token = take_over(record, lock, params, now, accept)
    with lock.held({"actor": actor_of(params), "what": "opening the record"}):
        record.check_run(token)
        if not new:
            notes += _ready_for_copy(params, folder, copies, needed=False)
            record.accept(token, now, printable(params["accept_reason"], 200))
        record.set_window(token, params["window"] * 60)
        remove_leftovers(folder, tmpdir)
        if params["purpose"] == "prepare":
            record.set_scope(token, params["query"] or "", params["exclude"] or "")
            if not new or salvage:
                record.back_to_stopping(token)
        record.export()
    return {
        "changed": True,
        "record": path,
        "run": token,
        "created": new and not salvage,
        "phase": record.phase,
        "osd_flags": record.osd_flags(),
        "ceph_fsid": record.maintenance["ceph_fsid"],
        "accepted": record.accepted(),
        "timed_out": record.count_vms(timed_out=True),
        "notes": notes + record.warnings,
    }


def put_away(done: Record, params: dict[str, t.Any], copy_dir: str | None) -> None:
    """Of a run that was killed just before it did so. Looked at again under the lock: another run may have been faster."""
    identity = done.maintenance["id"]
    done.close()
    with Lock(os.path.dirname(done.path)).held({"actor": actor_of(params), "what": "putting an ended record away"}):
        if not os.path.lexists(done.path):
            return
        with contextlib.closing(Record(done.path, copy_dir)) as now:
            if now.phase == DONE and now.maintenance["id"] == identity:
                now.archive()


def _ready_for_copy(params: dict[str, t.Any], folder: str, copy_dir: str | None, needed: bool) -> list[str]:
    """See that the second copy can be written. Its loss is refused at the beginning, and later only told."""
    if not params["record_copy"] or not copy_dir:
        return []
    try:
        for one in (params["record_copy"], copy_dir):
            paths.ensure_private_folder(one, "ceph_maint_record_copy")
    except RecordError as exc:
        if needed:
            raise
        return [f"There will be no second copy of the record: {exc}"]
    files.write_text(os.path.join(folder, COPY_NOTE), copy_dir)
    return []


def _make(params: dict[str, t.Any], path: str, salvage: Salvage | None, now: list[str] | None) -> str:
    """A record that is complete before it gets its name: new, from a hand-made list, or from what is left of a damaged one."""
    folder, location = os.path.dirname(path), params["location"] or ""
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as inside:
        made = os.path.join(inside, paths.RECORD_NAME)
        place = os.path.basename(folder)
        if salvage and not params["running_vms"]:
            record, token = salvage.rebuild(made, place, location, actor_of(params), params["purpose"], params["controller"] or "")
        else:
            record = Record.create(made, api_host=place, location=location, reason=params["reason"] or "")
            token = _begin(record, params)
            if params["running_vms"]:
                adopt(params, runner.api_for(params), record, token)
        with contextlib.closing(record):
            record.accept(token, now, printable(params["accept_reason"], 200))
            check_gate(record, params)
        if salvage:
            salvage.put_aside()
        os.rename(made, path)
        files.sync_folder(folder)
    return token


def _spent_takeovers(record: Record, params: dict[str, t.Any], now: list[str] | None) -> list[str]:
    """Overrides that name another run than the one that holds the record now."""
    former = (record.run() or {}).get("token")
    given = now if now and not params["run"] else []  # else it has acted in an earlier call
    return [item for item in given if _accept.kind_of(item) is _accept.TAKEOVER and item != _accept.TAKEOVER(str(former))]


def take_over(record: Record, lock: Lock, params: dict[str, t.Any], now: list[str] | None, accept: list[str]) -> str:
    """Begin a run on an open record, once nobody else works on it."""
    # A list from long ago must not be acted on by accident, nor because it was accepted once.
    identity, age = record.maintenance["id"], age_seconds(record.last_event_at())
    preconditions.check(preconditions.old(identity, record.phase, record.count_vms(), age, params["max_age"], accept), now or ())
    check_gate(record, params)  # before a living run is told to end
    former, token = record.run(), params["run"] or ""  # of a call that has taken over, and came back to say what it waits for
    if not token and former is not None and _accept.TAKEOVER(former["token"]) in accept:
        token = _begin(record, params)
    patience, most = _waiting.of(params), params["lease"] + POWER_TIMEOUT + 30
    carried = {"record": record.path, "run": token} if token else {}
    how = Handover(
        accept,
        most - patience.waited,
        _settle_seconds(former, params),
        taken_over=bool(params["run"]),
        look=lambda: _presence(record, params),
        waiting=lambda text: patience.check(most, text, **carried),
    )
    lease = Lease(os.path.dirname(record.path), former["token"] if former else "", params["lease"])
    wait_for_former_run(lock, lease, former, how)
    if not os.path.exists(record.path) or record.phase == DONE:
        raise Refused(ENDED_MEANWHILE)
    check_gate(record, params)
    with lock.held({"actor": actor_of(params), "what": "opening the record"}):
        holder = record.run() or {}
        if holder.get("token") != (token or (former or {}).get("token")):
            raise Refused(
                f"Another run has just begun: {holder.get('actor')}. This one changed nothing. Run the same command again to "
                "see what it does."
            )
        return token or _begin(record, params)


def _presence(record: Record, params: dict[str, t.Any]) -> _controller.Presence:
    """What is known of the run that holds the record now."""
    run = record.run()
    return _controller.presence(run, params["controller"] or "") if run else _controller.Presence()


def _begin(record: Record, params: dict[str, t.Any]) -> str:
    return record.begin_run(actor_of(params), params["purpose"], params["controller"] or "")


def _settle_seconds(former: dict[str, t.Any] | None, params: dict[str, t.Any]) -> float:
    """How long the lock is watched for a run that did not say that it ended.

    One whose ansible-playbook runs on another machine may have a slow connection: a step that it begins comes within its lease.
    """
    controller = (former or {}).get("controller", "")
    elsewhere = bool(controller) and _controller.lives(controller, params["controller"] or "") is None
    return params["lease"] if elsewhere else min(BETWEEN_STEPS, params["lease"] / 3)


def check_gate(record: Record, params: dict[str, t.Any]) -> None:
    """Asked again after the wait: the run that was waited for may just have reached safe."""
    maintenance = record.maintenance
    if params["purpose"] == "close":
        refusal = give_up_refusal(record, [*record.accepted(), *(params["accept"] or [])])
        if refusal:
            raise Refused(refusal, [_accept.GIVE_UP(maintenance["id"])])
    if params["purpose"] != "restore" or params["ceph_is_back"] or params["ceph_host"]:  # with a host, Ceph itself was asked
        return
    if maintenance["safe_at"] or maintenance["adopted_from"]:
        raise Refused(f"{CEPH_NOT_BACK} Nothing was changed.")


def adopt(params: dict[str, t.Any], api: Api, record: Record, token: str) -> None:
    """Take over the shell runbook's hand-made list."""
    rows = files.read_running_vms(params["running_vms"])
    found = parse_vm_list(rows)
    preconditions.check(preconditions.not_running(rows, params["running_vms"]), ())
    names = params["open_hosts"]
    if names is None:
        raise InputError(f"{HOSTS_NOT_SAID} Nothing was changed.")
    listed = api.hosts()
    if names == ["all"]:
        chosen = [host for host in listed.hosts.values() if not host.untouchable and host.accepting is not True]
    else:
        uuids = hosts_named(listed, names, "open_hosts")
        chosen = [host for uuid, host in listed.hosts.items() if uuid in uuids]
    # What the flag was before the runbook is not known: opened, as the operator says.
    record.remember_hosts(token, [dataclasses.replace(host, accepting=None) for host in chosen], (), ours=True)
    record.add_running(token, found.vms.values(), late=False, adopted_from=params["running_vms"])


def remove_leftovers(folder: str, tmpdir: str) -> None:
    """Files of runs that were killed: job results beside the record, and Ansible's module files, which hold the key.

    Only those of this collection, and only after a minute: by then whoever is alive has read its own.
    """
    old, tmpdir = _clock.wall() - LEFTOVER_AGE, os.path.normpath(tmpdir)  # Ansible gives it with a slash at its end
    for pattern in ("j[0-9]*.[0-9]*", "lease.[0-9]*", f"{UNFINISHED}*"):
        for path in glob.glob(os.path.join(glob.escape(folder), pattern)):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mtime < old:
                    (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
    for path in glob.glob(os.path.join(glob.escape(os.path.dirname(tmpdir)), "ansible-tmp-*", "AnsiballZ_pilw_*.py")):
        with contextlib.suppress(OSError):
            info = os.lstat(path)
            if info.st_uid == os.geteuid() and info.st_mtime < old and os.path.dirname(path) != tmpdir:
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def actor_of(params: dict[str, t.Any]) -> str:
    """Who, as others are told."""
    return f"{printable(params['actor'] or getpass.getuser(), MOST_OF_A_NAME)} on {os.uname().nodename}"
