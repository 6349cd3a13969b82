#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_vm_status
short_description: Tell uuid, owner and state of VMs, and wait for a state
version_added: 0.1.0
description:
  - Tells the state of given VMs, or of the VMs of a maintenance record. Writes nothing to the platform.
  - With O(record) the states are kept in the record, and a VM that does not run any more after its start is noted as failed.
  - The name was given before Ansible's rule that reading modules end in C(_info).
options:
  vms:
    description:
      - Uuids of the VMs. One of O(vms) and O(record) is needed.
    type: list
    elements: str
  state:
    description:
      - The state that the VMs should be in. With it O(wait) waits, and RV(others) names those in another state.
    type: str
    choices: [running, stopped]
  wait:
    description:
      - Seconds to wait until all VMs are in O(state).
    type: float
    default: 0.0
  hold:
    description:
      - Seconds to let pass before looking, to catch VMs that do not stay up. With O(record) they are looked at before it too.
    type: float
    default: 0.0
  stop_timeout:
    description:
      - With O(record), seconds after which a stop that was sent to a VM has no effect any more. The VMs are looked at no sooner.
        Not waited for when not given.
    type: float
  poll_interval:
    description:
      - Seconds between two lists while waiting.
    type: float
    default: 5.0
  request_timeout:
    description:
      - Seconds that one list may take.
    type: float
    default: 120.0
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is kept in the record either.
  diff_mode:
    support: N/A
  idempotent:
    support: full
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.groups
  - pilw.maintenance.attributes
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Uuid, owner and state of two VMs
  pilw.maintenance.pilw_vm_status:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    vms:
      - 5b0cfa4e-0000-4000-8000-000000000001
      - 5b0cfa4e-0000-4000-8000-000000000002
    state: running
    wait: 120
"""

RETURN = r"""
vms:
  description:
    - C(uuid), C(user_id), C(name) and C(status) of each VM; status V(gone) when the platform knows it no more, V(unreadable) when
      the list does not show it and its own detail cannot be read.
  returned: without record
  type: list
  elements: dict
others:
  description: The same for the VMs that are not in O(state). With O(record) at most 100 of them.
  returned: with state
  type: list
  elements: dict
fallen:
  description: How many of the recorded VMs ran again in this run and do not run any more.
  returned: with record
  type: int
counts:
  description: How many of the VMs are in each state.
  returned: always
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _clock, _defaults, _waiting
from ..module_utils._api import model
from ..module_utils._api.endpoints import LIST_TIMEOUT, Api, read_details
from ..module_utils._api.model import VmList, check_uuids
from ..module_utils._api.selection import longest
from ..module_utils._errors import ApiError, PilwError
from ..module_utils._module import options, runner
from ..module_utils._record.record import FELL, Record
from ..module_utils._record.rows import Change, RecordedVm, now_text

GONE = "gone"
UNREAD = "unreadable"  # missing from the list, and its own detail does not tell
MAX_OTHERS = 100
HELD = "VMs are looked at again when the hold time is over"


def look(api: Api, uuids: list[str]) -> tuple[list[dict[str, str]], VmList]:
    """The state of each VM: one list for all, and the detail of those that the list does not show."""
    found = api.vms(rows_kept=False)
    known = {**read_details([uuid for uuid in uuids if uuid not in found.vms], api.vm), **found.vms}
    rows = []
    for uuid in uuids:
        vm = known.get(uuid)
        absent = GONE if uuid in known and vm is None else UNREAD  # one odd VM must not hide what the others are
        rows.append(vm.brief() if isinstance(vm, model.Vm) else {"uuid": uuid, "user_id": "", "name": "", "status": absent})
    return rows, found


def watch(
    params: dict[str, t.Any],
    api: Api,
    uuids: list[str],
    held_for: str = HELD,
    clock: t.Callable[[], float] = _clock.monotonic,
    sleep: t.Callable[[float], None] = _clock.sleep,
) -> tuple[list[dict[str, str]], VmList]:
    """Look until all are in the wanted state, or the time is over."""
    patience = _waiting.of(params, clock)
    left = params["hold"] - patience.passed
    if left > 0:
        sleep(min(left, patience.left))
        if patience.passed < params["hold"]:
            patience.check(params["hold"], held_for)
    most = params["hold"] + params["wait"]
    while True:
        rows, found = look(api, uuids)
        others = [row for row in rows if row["status"] != params["state"]] if params["state"] else []
        if not others or patience.passed >= most:
            return rows, found
        patience.check(most, f"{len(others)} of {len(rows)} VMs are not {params['state']}, the first is {others[0]['uuid']} ({others[0]['status']})")
        sleep(min(params["poll_interval"], max(0.1, most - patience.passed)))


def corrections(recorded: list[RecordedVm], states: dict[str, str]) -> list[Change]:
    """What the record has to learn after the starts from what each VM is now."""
    changes = []
    for vm in recorded:
        state, outcome = states[vm.uuid], vm.start.outcome
        if state == model.RUNNING and not vm.start_done:
            columns = {"start_outcome": model.STARTED, "start_error": None, "started_at": now_text()}
            changes.append(Change(vm.uuid, columns, "seen running after all"))
        elif state in (GONE, model.DELETED) and outcome != model.VANISHED:
            changes.append(Change(vm.uuid, {"start_outcome": model.VANISHED, "start_error": None}, "vanished"))
        elif state not in (model.RUNNING, GONE, model.DELETED) and vm.start_done:
            columns = {"start_outcome": model.FAILED, "start_error": fallen(outcome, state)}
            changes.append(Change(vm.uuid, columns, FELL, state))
    return changes


def fallen(outcome: str, state: str) -> str:
    """What is said of a VM that a start had settled, and that does not run."""
    if state == UNREAD:
        return "it is missing from the list, and its own detail cannot be read"
    if outcome == model.VANISHED:
        return f"the platform answered its start as if it did not exist, and shows it as {state}"
    return f"it ran again, and is {state} now"


def result_of(params: dict[str, t.Any], rows: list[dict[str, str]], limit: int | None) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {"changed": False, "counts": model.count_by(row["status"] for row in rows)}
    if params["state"]:
        result["others"] = [row for row in rows if row["status"] != params["state"]][:limit]
    return result


def run(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """Of given VMs."""
    check_uuids(params["vms"])
    rows, _found = watch(params, api, params["vms"])
    return {**result_of(params, rows, None), "vms": rows}


def note(params: dict[str, t.Any], record: Record, rows: list[dict[str, str]], found: VmList) -> None:
    """Write down what one look has shown."""
    record.note_states(params["run"], found)
    if params["state"] == model.RUNNING:
        record.write(params["run"], corrections(record.vms(), {row["uuid"]: row["status"] for row in rows}))


def run_recorded(params: dict[str, t.Any], api: Api, record: Record, check_mode: bool) -> dict[str, t.Any]:
    """Of the running set."""
    recorded, waited = record.vms(), _waiting.of(params).waited
    # A guest that was asked to stop a moment before a restore may still obey: it is looked at after its time.
    # Both are counted from where the first call began.
    limit = longest(options.groups(params["groups"]), "stop_timeout", params["stop_timeout"]) if params["stop_timeout"] else 0.0
    pending = [waited + limit - vm.stop_sent_ago for vm in recorded if vm.stop_pending]
    held_for = f"{len(pending)} VMs may still obey a stop that was sent to them" if max(pending, default=0) > params["hold"] else HELD
    params = {**params, "hold": max([params["hold"], *pending])}
    uuids = [vm.uuid for vm in recorded]
    try:
        if params["hold"] and not waited and not check_mode:
            note(params, record, *look(api, uuids))  # what goes down within the hold time is another thing than what never ran
        rows, found = watch(params, api, uuids, held_for)
    except ApiError as exc:
        raise PilwError(
            f"The VMs could not be looked at: {exc}. What was done before is recorded. Once the API answers, run the same command "
            "again: it goes on."
        ) from exc
    if not check_mode:
        note(params, record, rows, found)
    fell = record.named_in(params["run"], FELL)
    fallen = sum(1 for vm in record.vms() if vm.uuid in fell and not vm.start_done)
    return {**result_of(params, rows, MAX_OTHERS), "fallen": fallen}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(LIST_TIMEOUT),
            **options.record_options(),
            "vms": {"type": "list", "elements": "str"},
            "state": _defaults.choice(model.RUNNING, model.STOPPED),
            "stop_timeout": {"type": "float"},
            **_defaults.of("wait", "groups", "poll_interval", hold=0.0),
        },
        required_by=options.NEEDS_RUN,
        required_one_of=[("vms", "record")],
        mutually_exclusive=[("vms", "record")],
        supports_check_mode=True,
    )
    runner.check_libraries(module)

    def work() -> dict[str, t.Any]:
        api = runner.api_for(module.params)
        if not module.params["record"]:
            return run(module.params, api)
        with runner.working_on(module.params, "looking at the VMs", module.check_mode) as record:
            return run_recorded(module.params, api, record, module.check_mode)

    runner.finish(module, work)


if __name__ == "__main__":
    main()
