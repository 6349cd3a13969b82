#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_maintenance_info
short_description: Tell what a maintenance would do, does, or has done
version_added: 0.1.0
description:
  - The door through which a maintenance record is read. Writes nothing to the platform and changes no fact in the record.
options:
  gather:
    description:
      - V(plan) reads the platform and tells what O(purpose) would do and what speaks against it.
      - V(status) tells what the record says and what the platform says now. Any time, also while another run works.
      - V(report) gives the whole maintenance as data.
      - V(progress) tells how far the work of O(run) is, and renews its lease.
      - V(machine) tells the identity of the machine that the module runs on, to see that it is no VM of the platform.
    type: str
    choices: [plan, status, report, progress, machine]
    default: status
  purpose:
    description:
      - What V(plan) is made for.
    type: str
    choices: [prepare, restore]
    default: prepare
  record_dir:
    description:
      - Folder of all records. Needed unless O(record) is given or O(gather=machine).
    type: path
  record_copy:
    description:
      - Folder for a second copy of everything.
    type: path
  accept:
    description:
      - What the operator accepts, by the items that refusals printed. Takes a list, a comma separated string, or V(none).
    type: raw
  query:
    description:
      - JMESPath expression over VM rows that limits the maintenance to some VMs.
    type: str
  exclude:
    description:
      - JMESPath expression over VM rows that leaves VMs out.
    type: str
  hosts_query:
    description:
      - JMESPath expression over host rows that selects the hosts to close. All when not given.
    type: str
  hosts_keep_closed:
    description:
      - Uuids or names of hosts that are to stay closed at the end. Takes a list, a comma separated string, or V(none).
    type: raw
  groups:
    description:
      - Ordered groups as in M(pilw.maintenance.pilw_vm_power).
    type: raw
  concurrency:
    description:
      - Power calls open at once.
    type: int
    default: 20
  stop_timeout:
    description:
      - Seconds that each VM has to stop.
    type: float
    default: 600.0
  force_timeout:
    description:
      - Seconds that each VM has after its power was cut.
    type: float
    default: 300.0
  start_timeout:
    description:
      - Seconds that each VM has to start.
    type: float
    default: 900.0
  force:
    description:
      - Whether the power of VMs that do not stop in time is cut.
    type: bool
    default: false
  machines:
    description:
      - Identities of other machines that must not be VMs of the platform, as O(gather=machine) returned them there.
    type: list
    elements: dict
    default: []
  running_vms:
    description:
      - With O(purpose=restore), the hand-made list to restore from.
    type: path
  open_hosts:
    description:
      - With O(running_vms), the hosts to open by uuid or name, V(all) or V(none).
    type: raw
  ceph_is_back:
    description:
      - With O(purpose=restore), the operator's word that Ceph serves again.
    type: bool
    default: false
  api_wait:
    description:
      - With O(purpose=restore), seconds to wait for the API to answer.
    type: float
    default: 0.0
  max_age:
    description:
      - Hours since the last event after which an open record is refused, unless accepted.
    type: float
    default: 24.0
  poll_interval:
    description:
      - Seconds between two tries to reach the API.
    type: float
    default: 5.0
  lease:
    description:
      - With O(gather=progress), seconds that the lease lasts.
    type: float
    default: 30.0
  request_timeout:
    description:
      - Seconds that one list may take.
    type: float
    default: 120.0
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.attributes.reads
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: What would a maintenance do
  pilw.maintenance.pilw_maintenance_info:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    gather: plan
    record_dir: ~/.pilw-maintenance
  register: plan

- name: Show it
  ansible.builtin.debug:
    msg: "{{ plan.lines }}"
"""

RETURN = r"""
lines:
  description: What was found, as read by people.
  returned: with gather=plan and status
  type: list
  elements: str
refusals:
  description: What speaks against it. Empty when it can go ahead.
  returned: with gather=plan
  type: list
  elements: str
items:
  description: What the operator can accept.
  returned: with gather=plan
  type: list
  elements: str
counts:
  description: Hosts to close or open, VMs to stop or start.
  returned: with gather=plan
  type: dict
vms:
  description: Uuids of the VMs that would be stopped or started.
  returned: with gather=plan
  type: list
  elements: str
open:
  description: Whether there is an open record.
  returned: with gather=status
  type: bool
left_lines:
  description: Hosts and VMs that are not as they were, as read by people.
  returned: with gather=status, when one is open
  type: list
  elements: str
phase:
  description: Phase of the open record.
  returned: with gather=status, when one is open
  type: str
report:
  description: The whole maintenance.
  returned: with gather=report
  type: dict
busy:
  description: Whether the work of the run goes on.
  returned: with gather=progress
  type: bool
text:
  description: One line of progress.
  returned: with gather=progress
  type: str
machine:
  description: Identity of this machine.
  returned: with gather=machine
  type: dict
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec, _files, _machine, _model, _module, _report
from ansible_collections.pilw.maintenance.plugins.module_utils._api import LIST_TIMEOUT, Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._lock import Lease, Lock, describe
from ansible_collections.pilw.maintenance.plugins.module_utils._model import VmList, count_by
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import (
    LocationFacts,
    Plan,
    RecordFacts,
    Settings,
    accept_argument,
    plan_prepare,
    plan_restore,
)
from ansible_collections.pilw.maintenance.plugins.module_utils._record import DONE, SAFE, Record, age_seconds


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
                f"on-ceph:{one}",
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


def plan(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """What O(purpose) would do."""
    settings, path = settings_of(params), record_path(params)
    record = facts_of(open_record(path))
    head = Plan()
    if params["purpose"] == "prepare":
        check_folders(head, params, path, settings)
        locations = look_at_locations(api, head)
        machines = [*params["machines"], _machine.identity()]
        machines = list({machine.get("name"): machine for machine in machines}.values())
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


def progress(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Renew the lease of a run and tell how far it is."""
    folder = os.path.dirname(params["record"])
    # First, and without the record: while the work writes to it a reader may have to wait.
    Lease(folder, params["run"], params["lease"]).renew()
    record = Record(params["record"])
    record.check_run(params["run"])
    holder = Lock(folder).holder()
    busy = holder is not None and holder.get("run") == params["run"]
    vms = record.vms()
    starting = record.phase == "starting"
    done = sum(1 for vm in vms if (vm.columns["start_outcome"] if starting else vm.columns["stop_outcome"]))
    word = "started" if starting else "stopped"
    return {"changed": False, "busy": busy, "done": done, "total": len(vms), "text": f"{done} of {len(vms)} VMs {word} or settled"}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_argspec.api_options(LIST_TIMEOUT),
            **_argspec.record_options(),
            "gather": {
                "type": "str",
                "choices": ["plan", "status", "report", "progress", "machine"],
                "default": "status",
            },
            "purpose": {"type": "str", "choices": ["prepare", "restore"], "default": "prepare"},
            "record_dir": {"type": "path"},
            "record_copy": {"type": "path"},
            "accept": {"type": "raw"},
            "query": {"type": "str"},
            "exclude": {"type": "str"},
            "hosts_query": {"type": "str"},
            "hosts_keep_closed": {"type": "raw"},
            "groups": {"type": "raw"},
            "concurrency": {"type": "int", "default": 20},
            "stop_timeout": {"type": "float", "default": 600.0},
            "force_timeout": {"type": "float", "default": 300.0},
            "start_timeout": {"type": "float", "default": 900.0},
            "force": {"type": "bool", "default": False},
            "machines": {"type": "list", "elements": "dict", "default": []},
            "running_vms": {"type": "path"},
            "open_hosts": {"type": "raw"},
            "ceph_is_back": {"type": "bool", "default": False},
            "api_wait": {"type": "float", "default": 0.0},
            "max_age": {"type": "float", "default": 24.0},
            "poll_interval": {"type": "float", "default": 5.0},
            "lease": {"type": "float", "default": 30.0},
        },
        required_if=[("gather", "progress", ("record", "run"))],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, t.Any]:
        if params["gather"] == "machine":
            return {"changed": False, "machine": _machine.identity()}
        if params["gather"] == "progress":
            return progress(params)
        _module.check_libraries(module)
        if params["gather"] == "report":
            record = open_record(record_path(params))
            if record is None:
                raise Refused(f"There is no open record at {record_path(params)}.")
            return {"changed": False, "report": _report.report_data(record)}
        api = _module.api_for(params)
        return (plan if params["gather"] == "plan" else status)(params, api)

    _module.finish(module, work)


if __name__ == "__main__":
    main()
