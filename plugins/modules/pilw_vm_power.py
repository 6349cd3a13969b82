#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_vm_power
short_description: Start or stop many VMs, with bounded concurrency and a time limit for each
version_added: 0.1.0
description:
  - Brings given VMs, or those of a maintenance record, to one power state. The calls of the platform block until a VM is
    down or up, so that O(concurrency) of them are kept open at once.
  - A VM is settled by its state, as it was read after its call was answered, never by the answer alone. A call whose outcome is unclear
    (time-out, 5xx, cut connection) is never blindly sent again.
  - Each poll is one list of running VMs. A VM that left it is down only when its own detail (of 20 VMs at most in each poll) or a complete
    list shows it stopped or deleted. A VM that is V(stopping), V(paused) or in an unknown state is not down.
  - No second start is sent to a VM that shows a passing state such as V(starting), until O(timeout).
  - One VM's failure never ends the work for the others.
  - With O(record) each VM is on disk before its call is sent, its outcome is written down, and the module fails only when
    the work ended early; VMs that did not obey are in RV(exceptions) and in the record. Without it the module fails when a
    VM is not in the wanted state in the end.
  - With O(record) the work runs as a job on the maintenance host. It ends by itself within O(lease) after the
    C(ansible-playbook) that started it is gone.
options:
  state:
    description:
      - The state to bring the VMs to.
    type: str
    choices: [started, stopped]
    required: true
  force:
    description:
      - With O(state=stopped), cut the power instead of asking the guest to shut down.
      - With O(record) only VMs that outlived the time limit of a graceful stop are cut.
    type: bool
    default: false
  vms:
    description:
      - Uuids of the VMs. One of O(vms) and O(record) is needed.
    type: list
    elements: str
  concurrency:
    description:
      - How many power calls are open at once. Fewer, down to an eighth, for as long as the platform answers 429 or 503 to more
        than a third of them.
    type: int
    default: 20
  timeout:
    description:
      - Seconds that each VM has, from the moment that its own call was accepted or unclear.
    type: float
    default: 600.0
  poll_interval:
    description:
      - Seconds between two lists of running VMs; at least ten times as long as such a list takes.
    type: float
    default: 5.0
  retries:
    description:
      - How often a call that was refused or failed is tried again for one VM. A busy VM (409) is tried again until twice O(timeout) has
        passed, a call that was too much (429, 503) until that has passed since the last call that was taken of any VM.
    type: int
    default: 2
  canary:
    description:
      - With O(state=started) and O(record), how many VMs are started first, alone. When most of them fail nothing else is
        started. 0 is off.
    type: int
    default: 3
  canary_vms:
    description:
      - With O(state=started) and O(record), the VMs that are started first, by uuid or name, such as test VMs of your own. Refused when one
        is not on record. O(canary=0) turns them off too.
      - Without it, or where all of them run, they are O(canary) VMs of those in no group or of the last group, of different owners where
        possible.
    type: list
    elements: str
  max_fail_percentage:
    description:
      - With O(state=started), the share of failed VMs among those tried, in percent, above which nothing more is started.
    type: float
    default: 20.0
  max_force_percentage:
    description:
      - With O(force=true) and O(record), the share of the VMs recorded as running that may be forced off in this maintenance, in percent.
        Those forced off before count. Up to 10 VMs are always allowed.
      - When it would be exceeded, none is forced off and the module fails, naming them by owner.
    type: float
    default: 20.0
  never_force:
    description:
      - Owners, uuids or names of VMs that are never forced off. An entry that no VM has is refused.
      - With O(record) they are kept there for later calls, in which nothing given (or an empty list) leaves them as they are, a list replaces
        them, and V(none) withdraws them. Without it the module fails when O(vms) has one of them and O(force=true).
    type: list
    elements: str
  which:
    description:
      - With O(state=started) and O(record), which of the recorded VMs that do not run are started. V(pending) are all; V(untried) those to
        which this run has sent no start yet, and that it has not held back; V(fallen) those that ran again in this run and went down once more.
    type: str
    choices: [pending, untried, fallen]
    default: pending
  at_most:
    description:
      - With O(state=started) and O(record), how many VMs are tried in this call. RV(left) says how many are left. 0 is all.
    type: int
    default: 0
  ceph_host:
    description:
      - Name of the host on which Ceph is asked, as others are told. Empty where nobody asks Ceph.
    type: str
  ceph:
    description:
      - RV(pilw.maintenance.pilw_ceph_check#module:look), as it was returned there a moment ago. With O(state=started), a VM whose image a
        client has open and that does not run is held back, as a second guest would destroy its disk.
    type: dict
  lease:
    description:
      - Seconds after which the work ends by itself when the one who started it does not ask for it any more. Only with
        O(record).
    type: float
    default: 30.0
  request_timeout:
    description:
      - Seconds that one power call may block before its outcome is read from the VM's state.
    type: float
    default: 90.0
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  action:
    description: Has an action plugin of the same name, which starts the work as a job and shows its progress.
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
- name: Stop two VMs gracefully
  pilw.maintenance.pilw_vm_power:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    state: stopped
    vms:
      - 5b0cfa4e-0000-4000-8000-000000000001
      - 5b0cfa4e-0000-4000-8000-000000000002
"""

RETURN = r"""
counts:
  description: How many VMs had each outcome.
  returned: always
  type: dict
  sample: {clean: 118, would_not_stop: 2}
vms:
  description: The VMs with their C(outcome) and C(error).
  returned: without record
  type: list
  elements: dict
exceptions:
  description: VMs that are not in the wanted state, with C(outcome) and C(error). At most 100.
  returned: always
  type: list
  elements: dict
unsettled:
  description: How many VMs were not settled when the work ended early.
  returned: always
  type: int
left:
  description: How many VMs are left for further calls, with O(at_most).
  returned: with record
  type: int
further_calls:
  description: In how many further calls they can be tried.
  returned: with record
  type: int
timed_out:
  description: How many recorded VMs did not shut down in time and have not gone down since.
  returned: with record
  type: int
line:
  description: What came of it, in one line. The action plugin shows it.
  returned: with record
  type: str
calls:
  description: How many power calls were sent, or would be in check mode.
  returned: always
  type: int
"""

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _clock, _defaults
from ..module_utils._api.endpoints import POWER_TIMEOUT, Api
from ..module_utils._api.model import check_uuids, count_by
from ..module_utils._ceph import assessment
from ..module_utils._errors import InputError, Refused
from ..module_utils._module import options, runner
from ..module_utils._operations import progress
from ..module_utils._power import waves as _waves
from ..module_utils._power.engine import Engine, Journal, Orders, Result, Target, Wave
from ..module_utils._power.polls import read_states
from ..module_utils._power.settlement import is_done
from ..module_utils._record import force_limit
from ..module_utils._record.record import FELL, HELD, STARTING, STOPPING, Record
from ..module_utils._record.rows import Change, RecordedVm

MAX_EXCEPTIONS = 100


def orders_of(params: dict[str, t.Any]) -> Orders:
    start = params["state"] == "started"
    if start and params["force"]:
        raise InputError("force cuts power, so it goes with state=stopped only.")
    return Orders(
        start=start,
        force=params["force"],
        concurrency=params["concurrency"],
        timeout=params["timeout"],
        poll_interval=params["poll_interval"],
        retries=params["retries"],
        max_fail_percentage=params["max_fail_percentage"],
        call_seconds=params["request_timeout"],
    )


def run(params: dict[str, t.Any], api: Api, orders: Orders, check_mode: bool) -> dict[str, t.Any]:
    """Given VMs, without a record."""
    uuids = list(dict.fromkeys(params["vms"]))
    check_uuids(uuids)
    found = api.vms(rows_kept=False).vms
    absent = [uuid for uuid in uuids if uuid not in found and api.vm(uuid) is None]
    if absent:
        raise InputError(f"vms: the platform knows no VM {', '.join(absent)}. Nothing was sent.")
    never = force_limit.spared((found[uuid] for uuid in uuids if uuid in found), params["never_force"] or [])
    if orders.force and never:
        raise Refused(
            f"vms: these are never to be forced off ({'; '.join(sorted(set(never.values())))}): "
            f"{force_limit.by_owner(found[uuid] for uuid in never)}. Nothing was sent."
        )
    if check_mode:
        return predicted(sum(1 for uuid in uuids if not is_done(found[uuid].state if uuid in found else "", orders.start)))
    result = Engine(api, orders, Journal()).run([Wave("all", [Target(uuid, uuid) for uuid in uuids])])
    told = told_of(result, orders.start)
    told["vms"] = [{"uuid": u, "outcome": o, "error": e} for u, (o, e) in result.outcomes.items()]
    if result.failed(orders.start) and not told.get("failed"):
        told["failed"] = True
        told["msg"] = (
            f"{len(result.failed(orders.start))} of {len(uuids)} VMs are not {params['state']}: "
            + "; ".join(f"{entry['uuid']}: {entry['outcome']} ({entry['error']})" for entry in told["exceptions"][:20])
        )
    return told


def to_start(
    params: dict[str, t.Any], record: Record, recorded: list[RecordedVm], running: t.Collection[str]
) -> tuple[list[RecordedVm], list[Change]]:
    """VMs to start, and what to write down of the others: those that run, and those that must not be started."""
    accepted = record.accepted()
    targets, changes = _waves.to_start(recorded, running, set(accepted))
    if params["which"] == "untried":
        # A look names so many open images only, so what an earlier one held back stays so for this run.
        tried = record.named_in(params["run"], "start sent") | record.named_in(params["run"], HELD)
        targets = [vm for vm in targets if vm.uuid not in tried]
    elif params["which"] == "fallen":
        fell = record.named_in(params["run"], FELL)
        targets = [vm for vm in targets if vm.uuid in fell]
    nothing_yet = all(vm.start.sent_at is None for vm in recorded)
    storage = assessment.read(params["ceph_host"], params["ceph"])
    known = {*(vm.uuid for vm in recorded), *running, *record.seen()}
    wanted = [vm.uuid for vm in targets]
    held = assessment.held_back(storage, accepted, wanted, known, running, nothing_yet, params["which"] == "pending") if targets else {}
    changes += [_waves.held(vm, held[vm.uuid]) for vm in targets if vm.uuid in held]
    return [vm for vm in targets if vm.uuid not in held], changes


def never_forced(
    params: dict[str, t.Any], api: Api, record: Record, recorded: list[RecordedVm], groups: list[dict[str, t.Any]], check_mode: bool
) -> dict[str, str]:
    """Recorded VMs that are never forced off, by uuid, each with why.

    What is given is kept in the record for the calls that follow; what is not given stays as an earlier call gave it.
    """
    before, by_group = record.never_force(), None
    entries = params["never_force"]
    if entries and entries != before:
        try:
            force_limit.check_entries(entries, recorded)
        except InputError:  # a VM that did not run, perhaps
            force_limit.check_entries(entries, [*recorded, *api.vms(rows_kept=False).vms.values()])
    if groups:
        by_group = force_limit.spared_by_group(_waves.group_of(recorded, groups), groups)
    if not check_mode:
        record.spare(params["run"], entries, by_group)
    return {
        **(record.spared_by_group() if by_group is None else by_group),
        **force_limit.spared(recorded, before if entries is None else entries),
    }


def waves_of(
    params: dict[str, t.Any], api: Api, orders: Orders, record: Record, check_mode: bool
) -> tuple[list[Wave], list[Change]]:
    """What to do for the record's VMs, and what to write down without doing anything."""
    groups, maintenance = options.groups(params["groups"]), record.maintenance
    query, exclude = maintenance["query"], maintenance["exclude"]
    recorded = record.vms(rows=bool(groups or query or exclude))
    accepted = set(record.accepted())
    if orders.start:
        running = api.running_vms(rows_kept=False).vms
        targets, changes = to_start(params, record, recorded, running)
        canary_vms = params["canary_vms"] or []
        _waves.check_canaries(canary_vms, recorded)
        # Only a VM that an earlier run may have started can show that the platform still works on that.
        unclear = [vm.uuid for vm in targets if vm.start_unclear]
        states = read_states(api, unclear) if unclear else {}
        return _waves.start_waves(targets, groups, params["canary"], canary_vms, states), changes
    never, count = never_forced(params, api, record, recorded, groups, check_mode), len(recorded)
    recorded = _waves.within(recorded, query, exclude)
    states = read_states(api, [vm.uuid for vm in recorded])
    if orders.force:
        timed_out = _waves.to_force(recorded, states, accepted)
        targets = force_limit.choose(timed_out, never, record.forced(), count, params["max_force_percentage"])
        return _waves.stop_waves(targets, groups, ""), []
    targets, changes = _waves.to_stop(recorded, states, accepted)
    return _waves.stop_waves(targets, groups, states=states), changes


def run_recorded(
    params: dict[str, t.Any], api: Api, orders: Orders, record: Record, check_mode: bool
) -> dict[str, t.Any]:
    """The VMs of the record."""
    waves, changes = waves_of(params, api, orders, record, check_mode)
    waves, left = _waves.first(waves, params["at_most"])
    count = sum(len(wave.targets) for wave in waves)
    if check_mode:
        return {**predicted(count), "left": left}
    record.set_phase(params["run"], STARTING if orders.start else STOPPING)
    record.write(params["run"], changes)
    check_wanted = runner.caller_of(params, record, runner.lock_of(params)).check
    journal = Journal(functools.partial(record.write, params["run"]), check_wanted)
    began = _clock.monotonic()
    result = Engine(api, orders, journal).run(waves, left > 0)
    told = {**told_of(result, orders.start), "left": left, "further_calls": -(-left // (params["at_most"] or 1))}
    for change in changes:
        word = next((value for name, value in change.columns.items() if name.endswith("_outcome")), None)
        if word:
            told["counts"][word] = told["counts"].get(word, 0) + 1
    seconds = _clock.monotonic() - began
    told["timed_out"] = record.count_vms(timed_out=True)
    told["line"] = progress.totals(orders.start, told["counts"], told["unsettled"], result.calls, seconds)
    return told


def predicted(calls: int) -> dict[str, t.Any]:
    return {"changed": calls > 0, "counts": {}, "exceptions": [], "unsettled": 0, "calls": calls}


def told_of(result: Result, start: bool) -> dict[str, t.Any]:
    counts = count_by(outcome for outcome, _error in result.outcomes.values())
    exceptions = [
        {"uuid": uuid, "outcome": result.outcomes[uuid][0], "error": result.outcomes[uuid][1]}
        for uuid in result.failed(start)[:MAX_EXCEPTIONS]
    ]
    told: dict[str, t.Any] = {
        "changed": result.calls > 0,
        "counts": counts,
        "exceptions": exceptions,
        "unsettled": len(result.unsettled),
        "calls": result.calls,
        "diff": {"before": {}, "after": counts},
    }
    if result.ended:
        told.update(failed=True, msg=str(result.ended), **result.ended.facts())
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(POWER_TIMEOUT),
            **options.record_options(),
            "state": _defaults.choice("started", "stopped", required=True),
            "vms": {"type": "list", "elements": "str"},
            "which": _defaults.choice("pending", "untried", "fallen", default="pending"),
            **_defaults.of("force", "groups", "concurrency", "timeout", "poll_interval", "retries", "canary", "canary_vms", "at_most", "lease"),
            **_defaults.of("max_fail_percentage", "never_force", "max_force_percentage", "ceph_host", "ceph"),
        },
        required_by=options.NEEDS_RUN,
        required_one_of=[("vms", "record")],
        mutually_exclusive=[("vms", "record")],
        supports_check_mode=True,
    )
    runner.check_libraries(module)

    def work() -> dict[str, t.Any]:
        orders = orders_of(module.params)
        api = runner.api_for(module.params, power=True)
        if not module.params["record"]:
            return run(module.params, api, orders, module.check_mode)
        what = "starting VMs" if orders.start else ("cutting power" if orders.force else "stopping VMs")
        with runner.working_on(module.params, what, module.check_mode) as record:
            return run_recorded(module.params, api, orders, record, module.check_mode)

    runner.finish(module, work)


if __name__ == "__main__":
    main()
