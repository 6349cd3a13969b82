# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Notices of a record or a plan: written as files, and given back for a hook. What cannot be written is told and stops nothing."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._errors import InputError
from .._record import files, paths
from .._record.exports import NOTICES
from .._record.record import SAFE, Record
from .._report import data
from . import compose
from .compose import AFTER, BEFORE, KINDS, NOT_STARTED, About, Told


def check(params: dict[str, t.Any]) -> None:
    """Refuse, before anything is changed, what notices could not be made of."""
    if params["notice_templates"]:
        compose.check_templates(params["notice_templates"])
    if params["notice_dir"] and not os.path.isabs(params["notice_dir"]):
        raise InputError(
            f"notice_dir {params['notice_dir']} is no absolute path. Give the whole path of a folder on the maintenance host. Nothing was changed."
        )


def of_plan(params: dict[str, t.Any], vms: list[dict[str, t.Any]], check_mode: bool) -> dict[str, t.Any]:
    """What owners can be told days before. Nothing is remembered. C(vms): as a plan has them for programs."""
    found = {BEFORE: [Told(vm["uuid"], vm["user_id"], vm["name"]) for vm in vms if vm["what"] == "stop"]}
    folder = (params["notice_dir"] or "") if not check_mode else ""
    return _told(params, found, About("", params["reason"] or "", params["api_host"], params["location"] or ""), folder, (BEFORE,), [])


def announced(params: dict[str, t.Any], record: Record) -> dict[str, t.Any]:
    """The running set is on disk, and nothing has been asked to stop."""
    return _of_record(params, record, "started")


def ended(params: dict[str, t.Any], record: Record, left: bool) -> dict[str, t.Any]:
    """A run is over. C(left): something is not as it was."""
    purpose = str((record.run() or {}).get("purpose"))
    if purpose in ("prepare", "force"):
        return _of_record(params, record, "safe" if params["complete"] and record.phase == SAFE else "failed")
    if purpose == "restore":
        return _of_record(params, record, "restored" if params["complete"] and not left else "failed")
    return {"notices": [], "notes": []}


def told(params: dict[str, t.Any], record: Record) -> None:
    """Remember of which VMs an owner was told."""
    notice = params["notice"] or {}
    uuids = notice.get("vms")
    if notice.get("event") not in KINDS or not isinstance(uuids, list):
        raise InputError("notice must be one of the notices that were given back before.")
    record.note_told(params["run"], notice["event"], [str(uuid) for uuid in uuids])


def _of_record(params: dict[str, t.Any], record: Record, event: str) -> dict[str, t.Any]:
    maintenance = record.maintenance
    about = About(maintenance["id"], maintenance["reason"], params["api_host"], params["location"] or "")
    restoring = (record.run() or {}).get("purpose") == "restore"
    found = compose.of_record(record.vms(), set(record.accepted()), record.told(), (AFTER, NOT_STARTED) if restoring else (BEFORE,))
    folder = os.path.join(params["notice_dir"], about.identity) if params["notice_dir"] else os.path.join(os.path.dirname(record.path), NOTICES)
    # What a restore has said is not so any more once a prepare goes on.
    kinds = (AFTER, NOT_STARTED) if restoring else KINDS
    result = _told(params, found, about, folder, kinds, [compose.event(event, about, _headline(record, event), _counts(record))])
    if event in ("safe", "failed") and not restoring:
        result["notices"] = result["notices"][:1]  # of what is to be stopped each owner was told before it was
    return result


def _headline(record: Record, event: str) -> str:
    vms = record.vms()
    if event == "started":
        return f"{len(vms)} VMs of {len({vm.owner for vm in vms})} owners are to be stopped"
    if event != "failed":
        return data.headline(record)
    purpose = (record.run() or {}).get("purpose")
    if purpose == "restore":
        return f"The restore failed: {sum(vm.start_done for vm in vms)} of {len(vms)} VMs run again or are gone"
    return f"The {purpose} failed{' at its end, after' if record.phase == SAFE else ''}: {data.headline(record)}"


def _counts(record: Record) -> dict[str, int]:
    vms = record.vms()
    return {
        "vms": len(vms),
        "owners": len({vm.owner for vm in vms}),
        "stopped": sum(vm.stop_done for vm in vms),
        "running_again": sum(vm.start_done for vm in vms),
    }


def _told(
    params: dict[str, t.Any], found: dict[str, list[Told]], about: About, folder: str, kinds: tuple[str, ...], events: list[dict[str, t.Any]]
) -> dict[str, t.Any]:
    templates, notes = params["notice_templates"], []
    told = events if params["tell"] else []
    if not templates:
        return {"notices": told, "notes": []}
    try:
        compose.check_templates(templates)
    except InputError as exc:  # somebody has changed them since the run began
        return {"notices": told, "notes": [f"No notices to owners were made: {exc}"]}
    if folder:
        try:
            write(folder, compose.files(found, templates, about), kinds)
        except OSError as exc:
            notes.append(f"The notices to owners could not be written to {folder}: {exc}. Nothing else waits for them. Mend that; the next run writes them.")
            folder = ""
    return {"notices": told + compose.notices(found, templates, about, folder) if params["tell"] else [], "notes": notes}


def write(folder: str, texts: dict[str, str], kinds: t.Container[str]) -> None:
    """Leave just these files of some kinds in a folder. Not on disk at once: they can be made again from the record."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    problem = paths.folder_problem(folder, "ceph_maint_notice_dir")
    if problem:
        raise OSError(problem)
    for name in os.listdir(folder):
        if name not in texts and compose.is_ours(name, kinds):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    for name, text in texts.items():
        files.write_text(os.path.join(folder, name), text, lasting=False)
