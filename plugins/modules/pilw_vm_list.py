#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_vm_list
short_description: List VMs of the whole platform, or take the running ones into a maintenance record
version_added: 0.1.0
description:
  - Lists the VMs of all users, by state and by a JMESPath expression. Writes nothing to the platform.
  - With O(record) the running VMs are added to the running set of the record. Nothing is ever removed from it.
  - With O(record) the list is read again until no VM is being created and two lists agree.
  - The name was given before Ansible's rule that reading modules end in C(_info).
options:
  status:
    description:
      - States to list. V(running), V(stopped), V(creating), V(deleted), or any other word that the platform uses.
      - Every row's own state is looked at; the platform's filter is never trusted alone.
      - An empty list means all states. With O(record) only V(running) makes sense.
    type: list
    elements: str
    default: [running]
  query:
    description:
      - JMESPath expression over the VM rows that selects VMs, such as V([?user_id==`8`]).
    type: str
  exclude:
    description:
      - JMESPath expression over the VM rows; what it selects is left out.
    type: str
  settle_timeout:
    description:
      - Seconds to wait for VMs that are being created. Only with O(record).
    type: float
    default: 300.0
  poll_interval:
    description:
      - Seconds between two lists. Only with O(record).
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
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.attributes
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: List the running VMs of one owner
  pilw.maintenance.pilw_vm_list:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    query: "[?user_id==`8`]"
  register: running
"""

RETURN = r"""
vms:
  description: The platform's own rows. Without O(record) only.
  returned: without record
  type: list
  elements: dict
count:
  description: How many VMs were selected.
  returned: always
  type: int
added:
  description: How many VMs were added to the running set, or would be in check mode.
  returned: with record
  type: int
recorded:
  description: How many VMs the running set has now.
  returned: with record
  type: int
states:
  description: How many VMs of the whole platform are in each state.
  returned: always
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accept, _clock, _defaults, _waiting
from ..module_utils._api.endpoints import LIST_TIMEOUT, Api
from ..module_utils._api.model import CREATING, RUNNING, Vm, VmList, count_by, normal_state
from ..module_utils._api.selection import in_scope
from ..module_utils._errors import InputError
from ..module_utils._module import options, runner
from ..module_utils._record.record import CLOSING, Record


def select(found: VmList, params: dict[str, t.Any], states: list[str]) -> list[Vm]:
    """The VMs of a list that the options name."""
    scope = in_scope(found.vms.values(), params["query"], params["exclude"])
    return [vm for vm in found.vms.values() if vm.uuid in scope and (not states or vm.state in states)]


def states_of(found: VmList) -> dict[str, int]:
    return count_by(vm.state for vm in found.vms.values())


def run(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """List."""
    states = [normal_state(word) for word in params["status"]]
    found = api.running_vms() if states == [RUNNING] else api.vms()
    vms = select(found, params, states)
    return {"changed": False, "vms": [vm.row for vm in vms], "count": len(vms), "states": states_of(found)}


def predict(params: dict[str, t.Any], api: Api, record: Record) -> dict[str, t.Any]:
    """What a run would add."""
    found = api.vms()
    known = record.uuids()
    running = select(found, params, [RUNNING])
    new = [vm for vm in running if vm.uuid not in known]
    return result_of(found, running, [vm.uuid for vm in new], len(known) + len(new), len(known))


def take(
    params: dict[str, t.Any],
    api: Api,
    record: Record,
    clock: t.Callable[[], float] = _clock.monotonic,
    sleep: t.Callable[[float], None] = _clock.sleep,
) -> dict[str, t.Any]:
    """Add what runs to the record until nothing is being created and two lists agree."""
    accepted = record.accepted()
    known = record.uuids()
    patience = _waiting.of(params, clock)
    if patience.waited:  # what earlier calls of the same wait have added is new all the same
        known -= record.named_in(params["run"], "recorded") | record.named_in(params["run"], "recorded late")
    former: set[str] | None = None
    while True:
        found = api.vms()
        record.note_states(params["run"], found)
        running = select(found, params, [RUNNING])
        # Each addition is on disk before the next list is asked for; what two lists disagree about is kept. Those that are
        # accepted are not stopped, and may go down with Ceph all the same: they belong to what is brought back.
        record.add_running(params["run"], running, late=record.phase != CLOSING)
        creating = [vm for vm in select(found, params, [CREATING]) if _accept.VM(vm.uuid) not in accepted]
        uuids = {vm.uuid for vm in running}
        if not creating and former == uuids:
            break
        if patience.passed > params["settle_timeout"]:
            if not creating:
                break  # owners start and stop VMs all the time; those started later are caught before safe
            text = (
                f"Still being created after {params['settle_timeout']:g} s: {'; '.join(vm.label() for vm in creating)}. "
                "The list is not complete, so this run has stopped no VM; hosts are closed. Run the same command again, or leave them out"
            )
            raise _accept.refusal(text, accepted, [_accept.VM(vm.uuid) for vm in creating])
        if creating:
            patience.check(params["settle_timeout"], f"{len(creating)} VMs are being created, the first is {creating[0].label()}")
        elif former is not None:  # each call has two lists to compare, however long a list takes
            patience.check(params["settle_timeout"], "VMs start and stop, so that no two lists agree")
        former = uuids
        del found, running  # before the next of them comes
        sleep(params["poll_interval"])
    now = record.uuids()
    return result_of(found, running, sorted(now - known), len(now), len(known))


def result_of(found: VmList, running: list[Vm], added: list[str], recorded: int, before: int) -> dict[str, t.Any]:
    return {
        "changed": bool(added),
        "count": len(running),
        "added": len(added),
        "recorded": recorded,
        "states": states_of(found),
        "diff": {"before": {"recorded": before}, "after": {"recorded": recorded}},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(LIST_TIMEOUT),
            **options.record_options(),
            "status": {"type": "list", "elements": "str", "default": [RUNNING]},
            **_defaults.of("query", "exclude", "settle_timeout", "poll_interval"),
        },
        required_by=options.NEEDS_RUN,
        supports_check_mode=True,
    )
    runner.check_libraries(module)

    def work() -> dict[str, t.Any]:
        api = runner.api_for(module.params)
        if not module.params["record"]:
            return run(module.params, api)
        if [normal_state(word) for word in module.params["status"]] != [RUNNING]:
            raise InputError("With record, status must be running: only running VMs are ever recorded.")
        with runner.working_on(module.params, "taking the list of running VMs", module.check_mode) as record:
            return (predict if module.check_mode else take)(module.params, api, record)

    runner.finish(module, work)


if __name__ == "__main__":
    main()
