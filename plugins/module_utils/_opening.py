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
import time
import typing as t

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec, _files, _module
from ansible_collections.pilw.maintenance.plugins.module_utils._api import POWER_TIMEOUT, Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._lock import Lease, Lock, wait_for_former_run
from ansible_collections.pilw.maintenance.plugins.module_utils._model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import CEPH_NOT_BACK, HOSTS_NOT_SAID, accept_argument, hosts_named
from ansible_collections.pilw.maintenance.plugins.module_utils._record import DONE, Record, age_seconds

# Most seconds that the lock is watched when the former run never said that it ended: it may be between two steps.
BETWEEN_STEPS = 10.0
# Seconds after which a file that a killed run left behind is read by nobody any more.
LEFTOVER_AGE = 60.0


def opened(params: dict[str, t.Any], check_mode: bool, tmpdir: str) -> dict[str, t.Any]:
    """Take the record over for a new run, or make one."""
    accept = _argspec.words(params["accept"], "accept") or []
    location = params["location"] or ""
    folder = _files.folder_for(params["record_dir"], params["api_host"], location)
    path = os.path.join(folder, _files.RECORD_NAME)
    if check_mode:
        return {"changed": True, "record": path, "run": "", "created": not os.path.exists(path), "phase": ""}
    problem = _files.folder_problem(params["record_dir"]) or _files.folder_problem(folder)
    if problem:
        raise Refused(f"{problem} Nothing was changed.")
    copy_dir = _module.copy_of(path)
    if params["record_copy"]:
        copy_dir = _files.folder_for(params["record_copy"], params["api_host"], location)
    if os.path.exists(path):
        record = Record(path, copy_dir)
        if record.phase == DONE:
            record.archive()
    created = not os.path.exists(path)
    if created and params["purpose"] != "prepare" and not params["running_vms"]:
        raise Refused(f"There is no open record in {folder}; nothing was changed.")
    for one in filter(None, [params["record_dir"], folder, params["record_copy"]]):
        _files.ensure_private_folder(one)
    if params["record_copy"] and copy_dir:
        _files.ensure_private_folder(copy_dir)
        _files.write_text(os.path.join(folder, _module.COPY_NOTE), copy_dir)
    lock = Lock(folder)
    if created:
        with lock.held({"actor": actor_of(params), "what": "making the record"}):
            if os.path.exists(path):
                raise Refused("Another run has just opened a record. Run the same command again to see it.")
            # A hand-made list is taken over whole or not at all: only then does the record get its name.
            made = f"{path}.adopting" if params["running_vms"] else path
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}.adopting")
            record = Record.create(
                made,
                api_host=os.path.basename(folder),
                location=location,
                reason=params["reason"] or "",
                copy_dir=None if params["running_vms"] else copy_dir,
            )
            token = record.begin_run(actor_of(params), params["purpose"])
            record.accept(token, accept)
            if params["running_vms"]:
                adopt(params, _module.api_for(params), record, token)
                record.close()
                os.rename(made, path)
                record = Record(path, copy_dir)
    else:
        token = take_over(record, lock, params, accept)
        record.accept(token, accept)
    remove_leftovers(folder, tmpdir)
    if params["purpose"] == "prepare":
        record.set_scope(token, params["query"] or "", params["exclude"] or "")
        if not created:
            record.back_to_stopping(token)
    record.export()
    return {
        "changed": True,
        "record": path,
        "run": token,
        "created": created,
        "phase": record.phase,
        "notes": record.warnings,
    }


def check_age(record: Record, params: dict[str, t.Any], accept: list[str]) -> None:
    """A list from long ago must not be acted on by accident."""
    maintenance, age = record.maintenance, age_seconds(record.last_event_at())
    item = f"old:{maintenance['id']}"
    if age > params["max_age"] * 3600 and item not in accept:
        raise Refused(
            f"The open record {maintenance['id']} (phase {maintenance['phase']}, {record.count_vms()} VMs) was last worked on "
            f"{age / 3600:.1f} hours ago. Nothing was changed. If it is still the maintenance at hand: "
            f"{accept_argument(accept, [item])}. If not, end it with the playbook pilw.maintenance.ceph_maint_close.",
            [item],
        )


def take_over(record: Record, lock: Lock, params: dict[str, t.Any], accept: list[str]) -> str:
    """Begin a run on an open record, once nobody else works on it."""
    check_age(record, params, accept)
    former = record.run()
    wanted = former is not None and f"takeover:{former['token']}" in accept
    token = record.begin_run(actor_of(params), params["purpose"]) if wanted else ""
    wait_for_former_run(
        lock,
        Lease(os.path.dirname(record.path), former["token"] if former else "", params["lease"]),
        former,
        accepted=accept,
        wait=params["lease"] + POWER_TIMEOUT + 30,
        settle=min(BETWEEN_STEPS, params["lease"] / 3),
    )
    if not os.path.exists(record.path) or record.phase == DONE:
        raise Refused("The other run has ended this maintenance in the meantime. Run the same command again to see what is left.")
    check_gate(record, params)
    return token or record.begin_run(actor_of(params), params["purpose"])


def check_gate(record: Record, params: dict[str, t.Any]) -> None:
    """Asked again after the wait: the run that was waited for may just have reached safe."""
    maintenance = record.maintenance
    if params["purpose"] == "restore" and not params["ceph_is_back"] and (maintenance["safe_at"] or maintenance["adopted_from"]):
        raise Refused(f"{CEPH_NOT_BACK} Nothing was changed.")


def adopt(params: dict[str, t.Any], api: Api, record: Record, token: str) -> None:
    """Take over the shell runbook's hand-made list."""
    rows = _files.read_running_vms(params["running_vms"])
    found = parse_vm_list(rows)
    names = _argspec.words(params["open_hosts"], "open_hosts")
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
    old = time.time() - LEFTOVER_AGE
    for path in glob.glob(os.path.join(glob.escape(folder), "j[0-9]*.[0-9]*")):
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mtime < old:
                os.unlink(path)
    for path in glob.glob(os.path.join(glob.escape(os.path.dirname(tmpdir)), "ansible-tmp-*", "AnsiballZ_pilw_*.py")):
        with contextlib.suppress(OSError):
            info = os.lstat(path)
            if info.st_uid == os.geteuid() and info.st_mtime < old and os.path.dirname(path) != tmpdir:
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def actor_of(params: dict[str, t.Any]) -> str:
    """Who, as others are told."""
    return f"{params['actor'] or getpass.getuser()} on {os.uname().nodename}"
