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
      - V(progress) tells how far the work of O(run) is, and renews its lease.
    type: str
    choices: [plan, status, progress]
    default: status
  purpose:
    description:
      - What V(plan) is made for.
    type: str
    choices: [prepare, restore]
    default: prepare
  record_dir:
    description:
      - Folder of all records. Needed unless O(record) is given.
    type: path
  record_dir_persistent:
    description:
      - Says that O(record_dir) outlives the container that the module runs in. Without it a container that may be gone with its job
        is refused.
    type: bool
    default: false
  record_copy:
    description:
      - Folder for a second copy of everything.
    type: path
  file:
    description:
      - A file on the host of the module that gets all of it as JSON, every host and VM too. In a folder that is there. Mode 0600.
      - With O(gather=plan) and O(gather=status). Not written in check mode, nor in the folders of the records and their copies.
    type: path
  accept:
    description:
      - What the operator accepts, by the items that refusals printed. A list replaces what is
        recorded, V(none) withdraws it.
    type: list
    elements: str
  accept_reason:
    description:
      - Why what may destroy data is accepted. Required when O(accept) has such an override that is not recorded yet.
    type: str
  query:
    description:
      - JMESPath expression over VM rows that limits the maintenance to some VMs.
    type: str
  exclude:
    description:
      - JMESPath expression over VM rows that leaves VMs out.
    type: str
  only_owners:
    description:
      - Owners to whose VMs the maintenance is limited.
      - Each of these lists narrows the scope further, with O(query) and O(exclude). The returned C(exclude) stands for them too.
    type: list
    elements: str
  exclude_owners:
    description:
      - Owners whose VMs are left out.
    type: list
    elements: str
  only_vms:
    description:
      - VMs, by uuid or name, to which the maintenance is limited.
    type: list
    elements: str
  exclude_vms:
    description:
      - VMs, by uuid or name, that are left out.
    type: list
    elements: str
  hosts_query:
    description:
      - JMESPath expression over host rows that selects the hosts to close. All when not given.
    type: str
  hosts_keep_closed:
    description:
      - Uuids or names of hosts that are to stay closed at the end.
    type: list
    elements: str
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
  window:
    description:
      - Minutes that the run may take. The plan says when it will take longer. V(0) is no limit.
    type: float
    default: 0.0
  proof_interval:
    description:
      - Seconds between the lists of the proof.
    type: float
    default: 30.0
  settle_timeout:
    description:
      - Seconds that a prepare waits for VMs that are being created, and begins a proof anew. Only for the time that the plan tells.
    type: float
    default: 300.0
  retries:
    description:
      - How often a failed start is tried again.
    type: int
    default: 2
  canary:
    description:
      - How many VMs are started first, alone.
    type: int
    default: 3
  canary_vms:
    description:
      - The VMs to start first, by uuid or name, in the place of a few of the last group.
    type: list
    elements: str
  max_fail_percentage:
    description:
      - Share of failed starts above which nothing more is started.
    type: float
    default: 20.0
  hold:
    description:
      - Seconds after the last start after which each VM is looked at again.
    type: float
    default: 60.0
  force:
    description:
      - Whether the power of VMs that do not stop in time is cut.
    type: bool
    default: false
  max_force_percentage:
    description:
      - Share of the VMs recorded as running that may be forced off, in percent.
    type: float
    default: 20.0
  never_force:
    description:
      - Owners, uuids or names of VMs that are never forced off.
    type: list
    elements: str
  machine:
    description:
      - The identity of the machine that C(ansible-playbook) runs on, which must not be a VM of the platform. Set by the action plugin.
    type: dict
  running_vms:
    description:
      - With O(purpose=restore), the hand-made list to restore from.
    type: path
  open_hosts:
    description:
      - With O(running_vms), the hosts to open by uuid or name, V(all) or V(none).
    type: list
    elements: str
  ceph_is_back:
    description:
      - With O(purpose=restore), the operator's word that Ceph serves again.
    type: bool
    default: false
  ceph_host:
    description:
      - Name of the host on which Ceph is asked, as others are told. Empty where nobody asks Ceph.
    type: str
  ceph:
    description:
      - RV(pilw.maintenance.pilw_ceph_check#module:look), as it was returned there a moment ago.
    type: dict
  osd_flags:
    description:
      - Flags of Ceph that are to be set once it is safe. Only looked at, so that a wrong name is refused before anything is done.
    type: list
    elements: str
  notices:
    description:
      - With O(gather=plan), write the notices to the owners of VMs that would be stopped to O(notice_dir). Not in check mode.
    type: bool
    default: false
  reason:
    description:
      - Why the maintenance is made, for the notices.
    type: str
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
  - pilw.maintenance.groups
  - pilw.maintenance.notices
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
refused_items:
  description: What the operator can accept.
  returned: with gather=plan
  type: list
  elements: str
complete:
  description:
    - The id of the last maintenance in this folder, when it ended complete within O(max_age) and VMs and hosts still are as it left them,
      so that there is nothing to restore. Otherwise empty.
  returned: with gather=plan
  type: str
exclude:
  description: The expression that leaves out what O(exclude) and the plain lists say, with names as uuids. To be given to the other modules.
  returned: with gather=plan
  type: str
counts:
  description: Hosts to close or open, VMs to stop or start.
  returned: with gather=plan
  type: dict
vms:
  description: Uuids of the VMs that would be stopped or started.
  returned: with gather=plan
  type: list
  elements: str
accepted:
  description: What is accepted on the open record once this was given.
  returned: with gather=plan
  type: list
  elements: str
notices:
  description: As with M(pilw.maintenance.pilw_maintenance), for owners only.
  returned: with gather=plan
  type: list
  elements: dict
osd_flags:
  description: Flags of Ceph that this maintenance has set, or was about to set.
  returned: with gather=plan and purpose=restore
  type: list
  elements: str
status:
  description: All that RV(lines) tell, for programs. Of what is left, those that the lines name; O(file) has all.
  returned: with gather=status
  type: dict
stats:
  description: The id of the open record, its phase and counts, and nothing else, for the next job of a workflow.
  returned: with gather=plan and status
  type: dict
open:
  description: Whether there is an open record.
  returned: with gather=status
  type: bool
elsewhere:
  description: Open records of the same API host under other location names, and the argument that uses each. Empty when there is none.
  returned: with gather=status
  type: str
give_up:
  description: Why the maintenance cannot be closed without the override that names it. Empty when it can.
  returned: with gather=status, when one is open
  type: str
left_lines:
  description: Hosts and VMs that are not as they were, as read by people.
  returned: with gather=status, when one is open
  type: list
  elements: str
phase:
  description: Phase of the open record.
  returned: with gather=status, when one is open
  type: str
busy:
  description: Whether the work of the run goes on.
  returned: with gather=progress
  type: bool
text:
  description: One line of progress, or what the work waits for.
  returned: with gather=progress
  type: str
"""

import os
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accept, _defaults
from ..module_utils._api.endpoints import LIST_TIMEOUT
from ..module_utils._errors import ApiError, PilwError
from ..module_utils._module import options, runner
from ..module_utils._notices import deliver
from ..module_utils._operations import progress as _progress
from ..module_utils._plan import preconditions
from ..module_utils._record import files
from ..module_utils._record.lock import Lease, Lock
from ..module_utils._record.paths import Places
from ..module_utils._record.record import STARTING, STOPPING, Record
from ..module_utils._record.rows import age_seconds, now_text

# What of a plan goes into its file, beside every host and VM.
IN_FILE = ("counts", "refusals", "refused_items", "accepted", "osd_flags", "worst_seconds", "whole_seconds", "lines")


def write_file(params: dict[str, t.Any], data: dict[str, t.Any]) -> list[str]:
    """All of it as JSON, for programs. Returns what is to be said of it: what people read is worth more, so no failure."""
    path = params["file"] or ""
    if not path:
        return []
    kept = [params["record_dir"], params["record_copy"], Places.of(params).folder]
    try:
        if not os.path.isabs(path):
            raise OSError("it is no absolute path")
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError("what lies there is no plain file")
        if any(os.path.commonpath([os.path.realpath(one), os.path.realpath(path)]) == os.path.realpath(one) for one in kept if one):
            raise OSError("the folders of the records and their copies are for their own files")
        files.write_json(path, data)
    except OSError as exc:
        return [f"Note: {path} was not written: {exc}. Choose a file in a folder that is there, on the maintenance host."]
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
    starting = record.phase == STARTING
    says = holder.get("says", "") if holder and busy else ""
    if says or (not starting and record.phase != STOPPING):  # while hosts are closed or opened nothing happens to VMs yet
        return {"changed": False, "busy": busy, "done": 0, "total": record.count_vms(), "text": says}
    mark = (_accept.LOST if starting else _accept.VM)("")
    left_alone = {item[len(mark) :] for item in record.accepted() if item.startswith(mark)}
    vms, done_before, idle = record.vms_at_work(starting, now_text(_progress.RECENT + 1))
    counts = [sum(1 for uuid in uuids if uuid not in left_alone) for uuids in (done_before, idle)]
    found = _progress.progress([vm for vm in vms if vm.uuid not in left_alone], starting, age_seconds, *counts)
    run = record.run() or {}
    text = "; ".join(filter(None, [found.line(), found.late(run["since"], run["window"])]))
    return {"changed": False, "busy": busy, "done": found.done, "total": found.total, "text": text}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(LIST_TIMEOUT),
            **options.record_options(),
            **_defaults.of("only_owners", "exclude_owners", "only_vms", "exclude_vms", "ceph_host", "ceph", "notice_templates", "notice_dir", "tell"),
            "gather": _defaults.choice("plan", "status", "progress", default="status"),
            "purpose": _defaults.choice("prepare", "restore", default="prepare"),
            **_defaults.of("record_dir", "record_dir_persistent", "record_copy", "file", "accept", "accept_reason", "query", "exclude", "hosts_query"),
            **_defaults.of("hosts_keep_closed", "groups", "concurrency", "stop_timeout", "force_timeout", "start_timeout", "window", "hold"),
            **_defaults.of("proof_interval", "settle_timeout", "retries", "canary", "canary_vms", "max_fail_percentage", "force", "never_force"),
            **_defaults.of("max_force_percentage", "running_vms", "open_hosts", "ceph_is_back", "osd_flags", "notices", "reason"),
            **_defaults.of("machine", "api_wait", "max_age", "poll_interval", "lease"),
        },
        required_if=[("gather", "progress", ("record", "run"))],
        supports_check_mode=True,
    )
    params = module.params

    def work() -> dict[str, t.Any]:
        if params["gather"] == "progress":
            return progress(params)
        runner.check_libraries(module)
        # Imported here, as the looks above are to cost little: one of them comes every few seconds.
        from ..module_utils._operations.locations import unread_text
        from ..module_utils._operations.plan import open_record, plan
        from ..module_utils._operations.status import no_maintenance, shortened, status
        from ..module_utils._record.other_names import elsewhere_text, open_elsewhere
        from ..module_utils._record.recovery import accepted_in

        path = Places.of(params).path
        api = runner.api_for(params)
        if params["gather"] == "status":
            in_effect = _accept.effective(accepted_in(path), params["accept"])
            preconditions.check(preconditions.container(Places.of(params)), in_effect)
            record = open_record(params)
            others, accepted = open_elsewhere(params), params["accept"] or []
            told = status(record, api, others, accepted) if record else no_maintenance(path, api, others)
            told["elsewhere"] = elsewhere_text(params)
            if not module.check_mode:
                told["lines"] += write_file(params, told["status"])
            return shortened(told)
        deliver.check(params)
        try:
            found = plan(params, api)
        except ApiError as exc:
            raise PilwError(unread_text(exc)) from exc
        each = found.pop("each")
        notices = deliver.of_plan(params, each["vms"], module.check_mode) if params["notices"] else {"notices": [], "notes": []}
        if not module.check_mode:
            found["lines"] += write_file(params, {"purpose": params["purpose"], **{name: found[name] for name in IN_FILE}, **each})
        return {**found, **notices}

    runner.finish(module, work)


if __name__ == "__main__":
    main()
