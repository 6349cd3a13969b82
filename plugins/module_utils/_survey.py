# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Looking at the platform, the record and the disk for a plan or a status. Writes nothing."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec, _files, _machine, _model, _report
from ansible_collections.pilw.maintenance.plugins.module_utils._api import Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._lock import Lock, describe
from ansible_collections.pilw.maintenance.plugins.module_utils._model import VmList, count_by
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import (
    LocationFacts,
    Plan,
    RecordFacts,
    Settings,
    accept_argument,
    check_limits,
    plan_prepare,
    plan_restore,
)
from ansible_collections.pilw.maintenance.plugins.module_utils._record import DONE, SAFE, Record, age_seconds


def plan(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """What O(purpose) would do."""
    check_limits(params)
    settings, path = settings_of(params), record_path(params)
    record = facts_of(open_record(path))
    head = Plan()
    if params["purpose"] == "prepare":
        check_folders(head, params, path, settings)
        locations = look_at_locations(api, head)
        here = _machine.identity()
        machines = params["machines"] if here in params["machines"] else [*params["machines"], here]
        made = plan_prepare(settings, api.hosts(), api.vms(), locations, record, machines)
        counts = {"hosts": len(made.close_hosts), "vms": len(made.stop)}
        uuids = [vm.uuid for vm in made.stop]
    else:
        running = wait_for_api(params, api)
        made = plan_restore(
            settings,
            record,
            running,
            adopting=params["running_vms"] or "",
            adopted=_files.read_running_vms(params["running_vms"]) if params["running_vms"] and record is None else [],
            open_hosts=_argspec.words(params["open_hosts"], "open_hosts"),
            ceph_is_back=params["ceph_is_back"],
            folder=os.path.dirname(path),
        )
        counts = {"hosts": len(made.open_hosts), "vms": len(made.start)}
        uuids = [vm.uuid for vm in made.start]
    check_old(made, record, settings.accept, params["max_age"])
    items = head.items + made.items
    refusals = head.refusals + made.refusals
    lines = made.lines + head.lines + [f"Note: {warning}" for warning in head.warnings + made.warnings]
    if refusals:
        lines += ["Refused, because:", *(f"  {number}. {text}" for number, text in enumerate(refusals, 1))]
        if items:
            lines.append(f"To accept what can be accepted: {accept_argument(settings.accept, items)}")
    return {
        "changed": False,
        "lines": lines,
        "refusals": refusals,
        "items": items,
        "counts": counts,
        "vms": uuids,
        "worst_seconds": made.worst_seconds,
    }


def settings_of(params: dict[str, t.Any]) -> Settings:
    """The operator's wishes, out of options that may be plain strings."""
    return Settings(
        api_host=params["api_host"],
        location=params["location"] or "",
        query=params["query"] or "",
        exclude=params["exclude"] or "",
        hosts_query=params["hosts_query"] or "",
        keep_closed=_argspec.words(params["hosts_keep_closed"], "hosts_keep_closed"),
        accept=_argspec.words(params["accept"], "accept") or [],
        groups=_argspec.groups(params["groups"]),
        concurrency=params["concurrency"],
        stop_timeout=params["stop_timeout"],
        force_timeout=params["force_timeout"],
        start_timeout=params["start_timeout"],
        force=params["force"],
        record_copy=params["record_copy"] or "",
    )


def record_path(params: dict[str, t.Any]) -> str:
    if params["record"]:
        return params["record"]
    if not params["record_dir"]:
        raise InputError("record_dir is needed to find the record.")
    folder = _files.folder_for(params["record_dir"], params["api_host"], params["location"] or "")
    return os.path.join(folder, _files.RECORD_NAME)


def open_record(path: str) -> Record | None:
    """The open record, if there is one."""
    if not os.path.exists(path):
        return None
    record = Record(path)
    return None if record.phase == DONE else record


def facts_of(record: Record | None) -> RecordFacts | None:
    if record is None:
        return None
    maintenance = record.maintenance
    return RecordFacts(
        identity=maintenance["id"],
        phase=maintenance["phase"],
        opened_at=maintenance["opened_at"],
        safe_at=maintenance["safe_at"],
        age=age_seconds(record.last_event_at()),
        adopted_from=maintenance["adopted_from"],
        hosts=record.hosts(),
        vms=record.vms(),
    )


def look_at_locations(api: Api, plan: Plan) -> list[LocationFacts]:
    """What the admin lists of each location give, when there is more than one."""
    try:
        slugs = [location.slug for location in api.locations()]
    except ApiError as exc:
        plan.warnings.append(f"The locations could not be read, so others may exist: {exc}")
        return []
    if len(slugs) < 2:
        return [LocationFacts(slug) for slug in slugs]
    found = []
    for slug in slugs:
        there = api.at(slug)
        try:
            vms, hosts = frozenset(there.vms().vms), len(there.hosts().hosts)
            facts = LocationFacts(slug, vms, hosts)
            plan.lines.append(f"Location {slug}: {len(vms)} VMs, {hosts} hosts" + ("" if vms or hosts else " (empty lists)"))
        except ApiError as exc:
            facts = LocationFacts(slug, problem=str(exc))
            plan.lines.append(f"Location {slug}: its admin lists are refused: {exc}")
        found.append(facts)
    return found


def check_folders(plan: Plan, params: dict[str, t.Any], path: str, settings: Settings) -> None:
    """Where the record is to lie."""
    folder = os.path.dirname(path)
    mounts = _files.read_mounts()
    for one, name in ((params["record_dir"], "ceph_maint_record_dir"), (params["record_copy"], "ceph_maint_record_copy")):
        if not one:
            continue
        problem = _files.folder_problem(one)
        if problem:
            plan.refuse(problem, ())
        mount = _files.mount_of(one, mounts)
        if mount and mount.on_ceph:
            plan.refuse(
                f"{name} {one} lies on Ceph ({mount.device}), which is about to go down with it. Choose another disk.",
                settings.accept,
                f"on-ceph:{name}-{_model.digest(one)}",
            )
    problem = _files.folder_problem(folder) if os.path.isdir(params["record_dir"] or folder) else None
    if problem:
        plan.refuse(problem, ())
    plan.lines.append(f"Record: {path} (private to user id {os.geteuid()}; a team shares it by running as one account)")


def check_old(plan: Plan, record: RecordFacts | None, accept: list[str], max_age: float) -> None:
    if record and record.age > max_age * 3600:
        plan.refuse(
            f"The open record {record.identity} (phase {record.phase}, {len(record.vms)} VMs) was last worked on "
            f"{record.age / 3600:.1f} hours ago. If it is not the maintenance at hand, end it with the playbook "
            "pilw.maintenance.ceph_maint_close.",
            accept,
            f"old:{record.identity}",
        )


def wait_for_api(params: dict[str, t.Any], api: Api) -> VmList | None:
    """The running VMs, as soon as the API answers; None when it does not and nobody waits."""
    deadline = time.monotonic() + params["api_wait"]
    while True:
        try:
            return api.running_vms()
        except AuthError:
            raise
        except ApiError as exc:
            if time.monotonic() < deadline:
                time.sleep(params["poll_interval"])
            elif params["api_wait"] > 0:
                raise Refused(
                    f"The API has not answered for {params['api_wait']:g} s: {exc}. Nothing was changed. When it is back, run "
                    "the same command again, or wait longer with ceph_maint_api_wait."
                ) from exc
            else:
                return None


def status(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """What the record says, and what the platform says now."""
    path = record_path(params)
    record = open_record(path)
    if record is None:
        kept = sorted(name for name in _listdir(os.path.dirname(path)) if name.endswith(".sqlite"))
        text = f"No maintenance is open in {os.path.dirname(path)}."
        return {"changed": False, "open": False, "lines": [text, *(f"  kept: {name}" for name in kept[-5:])]}
    maintenance, run, vms = record.maintenance, record.run() or {}, record.vms()
    holder = Lock(os.path.dirname(path)).holder()
    left = [host for host in _report.hosts_left_closed(record) if host["ours"]]
    lines = [
        f"Record {maintenance['id']}: phase {maintenance['phase']}, opened {maintenance['opened_at']}"
        + (f", reason: {_model.printable(maintenance['reason'], 200)}" if maintenance["reason"] else ""),
        f"Last run: {run.get('actor')}, {run.get('purpose')}, since {run.get('since')}"
        + (f", ended {run['ended']}" if run.get("ended") else ", not ended"),
        f"At work now: {describe(holder) if holder else 'nobody'}",
        f"Hosts recorded {len(record.hosts())}, closed by us and not open again {len(left)}",
        f"VMs recorded {len(vms)}. Stop: {_report.counts_text(count_by(vm.columns['stop_outcome'] or '' for vm in vms))}. "
        f"Start: {_report.counts_text(count_by(vm.columns['start_outcome'] or '' for vm in vms))}",
        platform_line(api, [vm.uuid for vm in vms]),
        *([f"{maintenance['headline']}, proved at {maintenance['safe_at']}"] if maintenance["phase"] == SAFE else []),
        f"Next: {_report.NEXT_STEP[maintenance['phase']]}",
    ]
    return {
        "changed": False,
        "open": True,
        "phase": maintenance["phase"],
        "id": maintenance["id"],
        "outlived": sum(1 for vm in vms if vm.outlived),
        "left": len(_report.unrecovered(record)),
        "left_lines": _report.start_lines(record),
        "lines": lines,
    }


def platform_line(api: Api, recorded: list[str]) -> str:
    try:
        now = api.vms()
    except ApiError as exc:
        return f"Platform now: it does not tell: {exc}"
    states = count_by(now.vms[uuid].state if uuid in now.vms else "not listed" for uuid in recorded)
    shown = ", ".join(f"{state} {count}" for state, count in states.items()) or "none recorded"
    return f"Platform now: of the recorded VMs: {shown}; running in all {len(now.running)}"


def _listdir(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
