#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_maintenance
short_description: Open, prove, end and close the record of a maintenance
version_added: 0.1.0
description:
  - The door through which a maintenance record is written. The record is one SQLite file on the host that the module runs
    on; there is one open record per API host and location.
  - Writes nothing to the platform.
options:
  state:
    description:
      - V(opened) opens the record for a new run, or makes one, and returns its path and the token of the run. Every later
        call carries both. An older run is refused from then on.
      - V(proven) makes the proof that every VM is down, and only if it holds writes the phase C(safe).
      - V(ended) says that the run is over and writes C(report.json) beside the record.
      - V(closed) ends the maintenance. Refused while a recorded VM does not run again, unless it is accepted or O(give_up)
        is true. The record is kept under its id.
    type: str
    choices: [opened, proven, ended, closed]
    required: true
  record_dir:
    description:
      - Folder of all records, mode 0700. Needed with O(state=opened).
    type: path
  record_copy:
    description:
      - Folder on another disk for a second copy of everything.
    type: path
  purpose:
    description:
      - What the run is for. V(prepare) makes a record where none is open; all others need an open one, except V(restore)
        with O(running_vms).
    type: str
    choices: [prepare, verify, force, restore, close]
    default: prepare
  actor:
    description:
      - Who runs this, as others are told. The user of the module's process when not given.
    type: str
  reason:
    description:
      - Why the maintenance is made. Kept in the record and the report.
    type: str
  accept:
    description:
      - What the operator accepts, by the items that refusals printed. Takes a list, a comma separated string, or V(none).
    type: raw
  query:
    description:
      - JMESPath expression over VM rows that limits the maintenance to some VMs. The end is then not safe for Ceph.
    type: str
  exclude:
    description:
      - JMESPath expression over VM rows that leaves VMs out.
    type: str
  max_age:
    description:
      - Hours since the last event after which an open record is refused, unless accepted.
    type: float
    default: 24.0
  lease:
    description:
      - Seconds after which the work of a run that nobody asks for any more ends by itself.
    type: float
    default: 30.0
  running_vms:
    description:
      - With O(purpose=restore), the shell runbook's hand-made list of VMs to bring back (JSON array of rows). Refused while
        an open record exists.
    type: path
  open_hosts:
    description:
      - With O(running_vms), the hosts to open by uuid or name, V(all) or V(none).
    type: raw
  proof_interval:
    description:
      - Seconds between the lists of the proof.
    type: float
    default: 30.0
  give_up:
    description:
      - With O(state=closed), end the maintenance with VMs that do not run again.
    type: bool
    default: false
  request_timeout:
    description:
      - Seconds that one list may take.
    type: float
    default: 120.0
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is opened or written, and no proof is made.
  diff_mode:
    support: N/A
  idempotent:
    support: partial
    details:
      - Each O(state=opened) is a new run on the same record.
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.attributes
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Open the record
  pilw.maintenance.pilw_maintenance:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    state: opened
    record_dir: ~/.pilw-maintenance
  register: maintenance

- name: Prove that every VM is down
  pilw.maintenance.pilw_maintenance:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    state: proven
    record: "{{ maintenance.record }}"
    run: "{{ maintenance.run }}"
"""

RETURN = r"""
record:
  description: Path of the record.
  returned: with state=opened
  type: str
run:
  description: Token of the run.
  returned: with state=opened
  type: str
created:
  description: Whether the record is new.
  returned: with state=opened
  type: bool
phase:
  description: Phase of the maintenance.
  returned: always
  type: str
safe:
  description: Whether the proof held.
  returned: with state=proven
  type: bool
headline:
  description: What may be said now, in capitals.
  returned: with state=proven
  type: str
to_stop:
  description: How many running VMs stand against safe and have not been asked to stop since they came up.
  returned: with state=proven
  type: int
lines:
  description: The summary, as read by people.
  returned: with state=proven, ended and closed
  type: list
  elements: str
left:
  description: How many recorded VMs do not run again and are not accepted.
  returned: with state=ended and closed
  type: int
hosts_left:
  description: How many hosts that this maintenance closed are not open again.
  returned: with state=ended and closed
  type: int
"""

import contextlib
import getpass
import glob
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec, _files, _model, _module, _report
from ansible_collections.pilw.maintenance.plugins.module_utils._api import LIST_TIMEOUT, POWER_TIMEOUT, Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, InputError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._lock import Lease, Lock, wait_for_former_run
from ansible_collections.pilw.maintenance.plugins.module_utils._model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import HOSTS_NOT_SAID, accept_argument, hosts_named
from ansible_collections.pilw.maintenance.plugins.module_utils._proof import Verdict, prove
from ansible_collections.pilw.maintenance.plugins.module_utils._record import DONE, Change, Record, age_seconds

# Seconds that the lock is watched when the former run never said that it ended: it may be between two steps.
BETWEEN_STEPS = 3.0


def actor_of(params: dict[str, t.Any]) -> str:
    """Who, as others are told."""
    return f"{params['actor'] or getpass.getuser()} on {os.uname().nodename}"


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
    record.remember_hosts(token, [_model.Host(h.uuid, h.name, None, h.state, h.row) for h in chosen], ())
    for host in chosen:
        record.closing_host(token, host.uuid)
    record.add_running(token, found.vms.values(), late=False, adopted_from=params["running_vms"])


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
    for one in filter(None, [params["record_dir"], folder, params["record_copy"], copy_dir]):
        _files.ensure_private_folder(one)
    if copy_dir:
        _files.write_text(os.path.join(folder, _module.COPY_NOTE), copy_dir)
    lock = Lock(folder)
    if created:
        with lock.held({"actor": actor_of(params), "what": "making the record"}):
            if os.path.exists(path):
                raise Refused("Another run has just opened a record. Run the same command again to see it.")
            record = Record.create(
                path,
                api_host=os.path.basename(folder),
                location=location,
                reason=params["reason"] or "",
                copy_dir=copy_dir,
            )
            token = record.begin_run(actor_of(params), params["purpose"])
            record.accept(token, accept)
            if params["running_vms"]:
                try:
                    adopt(params, _module.api_for(params), record, token)
                except BaseException:
                    os.unlink(path)  # nothing was done with it yet
                    raise
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


def remove_leftovers(folder: str, tmpdir: str) -> None:
    """Files of runs that were killed: job results beside the record, and Ansible's module files, which hold the key.

    Only those of this collection, and only after a minute: by then whoever is alive has read its own.
    """
    old = time.time() - 60
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
        takeover=wanted,
        wait=params["lease"] + POWER_TIMEOUT + 30,
        settle=min(BETWEEN_STEPS, params["lease"]),
    )
    return token or record.begin_run(actor_of(params), params["purpose"])


def proven(params: dict[str, t.Any], api: Api, record: Record) -> dict[str, t.Any]:
    """Make the proof; the only place that leads to phase safe."""
    maintenance, accepted = record.maintenance, record.accepted()
    purpose = (record.run() or {}).get("purpose")
    verdict = prove(
        api,
        known=lambda: dict.fromkeys([*record.seen(), *(vm.uuid for vm in record.vms())]),
        note=lambda found: record.note_states(params["run"], found),
        accepted=accepted,
        query=maintenance["query"],
        exclude=maintenance["exclude"],
        interval=params["proof_interval"],
        sleep=time.sleep,
    )
    recorded = {vm.uuid: vm for vm in record.vms()}
    record.write(
        params["run"],
        [
            Change(uuid, {"stop_outcome": _model.VANISHED, "stop_error": None}, "vanished")
            for uuid in verdict.gone
            if uuid in recorded and not recorded[uuid].columns["stop_outcome"] == _model.VANISHED
        ],
    )
    headline = verdict.headline()
    # What did not obey a moment ago is named; only what came up since is worth another round.
    tried = {uuid for uuid, vm in recorded.items() if vm.columns["stop_outcome"] in (_model.WOULD_NOT_STOP, _model.REFUSED)}
    again = [vm for vm in verdict.to_stop if vm.uuid not in tried]
    if verdict.safe:
        record.write_safe(params["run"], headline, verdict.proofs)
    else:
        if purpose in ("prepare", "force"):
            record.add_running(params["run"], verdict.to_stop, late=True)
        record.write_not_safe(params["run"], "; ".join(verdict.reasons()[:20]) or headline)
    return {
        "changed": verdict.safe and maintenance["phase"] != "safe",
        "safe": verdict.safe,
        "headline": headline,
        "to_stop": len(again),
        "phase": record.phase,
        "lines": safe_lines(verdict, api, record) if verdict.clean else not_safe_lines(verdict, record),
        "refused_items": verdict.items,
    }


def safe_lines(verdict: Verdict, api: Api, record: Record) -> list[str]:
    """The summary at the end of a prepare or a verify that found everything down."""
    maintenance = record.maintenance
    lines = [verdict.headline()]
    if verdict.safe:
        lines.append(f"Proved at {maintenance['safe_at']}: {'; '.join(verdict.proofs)}.")
        lines.append("Not proved: that no Ceph client still has an image open; Ceph itself was not asked.")
    else:
        lines.append(f"The scope is down. {len(verdict.outside)} VMs outside of it are not stopped, so Ceph must stay up.")
    lines.append(covered(api))
    lines += [f"  accepted: {item}" for item in record.accepted()]
    lines += [f"  left as it is: {what}" for what in verdict.excepted.values()]
    lines += _report.stop_lines(record)
    closed = sum(1 for host in record.hosts() if host["closed_by_us"])
    down = sum(1 for vm in record.vms() if vm.stop_done)
    lines.append(
        f"If this run ends here: {closed} hosts are closed by us and {down} VMs are down. Nothing comes back by itself."
    )
    if verdict.safe:
        lines.append("Just before Ceph goes down, prove it again: ansible-playbook pilw.maintenance.ceph_maint_verify")
        lines.append(f"When Ceph is back, or to call it off: {_report.restore_command(record)}")
    else:
        lines.append(f"To bring the scope back: {_report.restore_command(record)}")
    lines.append(_report.SAME_SETTINGS)
    return lines


def covered(api: Api) -> str:
    """Which locations the proof speaks of."""
    here = api.location or "the default location"
    try:
        locations = api.locations()
    except ApiError as exc:
        return f"Covered: {here}. Which other locations there are could not be read: {exc}."
    slugs = [one.slug for one in locations]
    if not api.location:
        here = next((one.slug for one in locations if one.is_default), slugs[0] if len(slugs) == 1 else here)
    others = [slug for slug in slugs if slug != here]
    return f"Covered: {here}. Not looked at: {', '.join(others) if others else 'no other location is listed'}."


def not_safe_lines(verdict: Verdict, record: Record) -> list[str]:
    """The summary when something stands against safe, with each way on."""
    reasons = verdict.reasons()
    lines = [verdict.headline(), f"What stands against it: {len(reasons)}"]
    lines += [f"  {reason}" for reason in reasons[: _report.SHOWN]]
    if len(reasons) > _report.SHOWN:
        lines.append(f"  and {len(reasons) - _report.SHOWN} more")
    outlived = sum(1 for vm in record.vms() if vm.outlived and vm.uuid in verdict.holding)
    if outlived:
        lines.append(f"{outlived} of them outlived their stop timeout. To cut their power, at once: -e ceph_maint_force=true")
    refused = sum(1 for vm in record.vms() if vm.columns["stop_outcome"] == _model.REFUSED and vm.uuid in verdict.holding)
    if refused:
        lines.append(f"The stop of {refused} of them was refused, so their guests were never asked and their power is not cut.")
    lines.append(
        "To leave them as they are (Ceph going down will hang them; the headline will name them): "
        + accept_argument(record.accepted(), verdict.items)
    )
    return lines


def ended(params: dict[str, t.Any], record: Record) -> dict[str, t.Any]:
    """The run is over, well or not: write the report and say what is left and what comes next."""
    left = _report.unrecovered(record)
    hosts = [host for host in _report.hosts_left_closed(record) if host["ours"]]
    record.end_run(params["run"])
    record.export()
    record.write_report(_report.report_data(record))
    purpose = (record.run() or {}).get("purpose")
    lines = _report.start_lines(record) if purpose == "restore" else _report.stop_lines(record)
    return {
        "changed": True,
        "phase": record.phase,
        "left": len(left),
        "hosts_left": len(hosts),
        "lines": lines + _report.ways(record, str(purpose)),
        "notes": record.warnings,
    }


def closed(params: dict[str, t.Any], record: Record) -> dict[str, t.Any]:
    """End the maintenance."""
    left = _report.unrecovered(record)
    hosts = [host for host in _report.hosts_left_closed(record) if host["ours"]]
    if (left or hosts) and not params["give_up"]:
        items = [f"vm:{vm.uuid}" for vm in left]
        raise Refused(
            f"The maintenance cannot end: {len(left)} recorded VMs do not run again and {len(hosts)} hosts are still closed "
            "by it. Run pilw.maintenance.ceph_maint_restore again, or give them up with pilw.maintenance.ceph_maint_close.",
            items,
        )
    lines = _report.start_lines(record)
    record.write_done(params["run"])
    record.write_report(_report.report_data(record))
    record.export()
    record.archive()
    return {"changed": True, "phase": DONE, "left": len(left), "hosts_left": len(hosts), "lines": lines}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_argspec.api_options(LIST_TIMEOUT),
            **_argspec.record_options(),
            "state": {"type": "str", "choices": ["opened", "proven", "ended", "closed"], "required": True},
            "record_dir": {"type": "path"},
            "record_copy": {"type": "path"},
            "purpose": {
                "type": "str",
                "choices": ["prepare", "verify", "force", "restore", "close"],
                "default": "prepare",
            },
            "actor": {"type": "str"},
            "reason": {"type": "str"},
            "accept": {"type": "raw"},
            "query": {"type": "str"},
            "exclude": {"type": "str"},
            "max_age": {"type": "float", "default": 24.0},
            "lease": {"type": "float", "default": 30.0},
            "running_vms": {"type": "path"},
            "open_hosts": {"type": "raw"},
            "proof_interval": {"type": "float", "default": 30.0},
            "give_up": {"type": "bool", "default": False},
        },
        required_by=_argspec.NEEDS_RUN,
        required_if=[
            ("state", "opened", ("record_dir",)),
            ("state", "proven", ("record",)),
            ("state", "ended", ("record",)),
            ("state", "closed", ("record",)),
        ],
        supports_check_mode=True,
    )
    _module.check_libraries(module)
    params = module.params

    def work() -> dict[str, t.Any]:
        if params["state"] == "opened":
            return opened(params, module.check_mode, module.tmpdir)
        if module.check_mode:
            return {"changed": False, "phase": "", "lines": [], "safe": False, "left": 0, "hosts_left": 0}
        with _module.working_on(params, f"state {params['state']}") as record:
            if params["state"] == "proven":
                return proven(params, _module.api_for(params), record)
            return (ended if params["state"] == "ended" else closed)(params, record)

    _module.finish(module, work)


if __name__ == "__main__":
    main()
