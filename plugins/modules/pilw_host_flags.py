#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_host_flags
short_description: Close hypervisor hosts to new workloads, or open them again
version_added: 0.1.0
description:
  - Sets the flag C(is_accepting_workloads) of all or some hypervisor hosts, and only where it differs.
  - Where the host list does not show the flag it is not known, and it is set.
  - Hosts that the list shows as MAINTENANCE or OFFLINE get no write in either direction, as the platform moves their VMs.
  - A write that the platform did not take is tried again after those of the other hosts, a few times within ten minutes.
  - With O(record) the work runs as a job on the maintenance host. It ends by itself within O(lease) after the
    C(ansible-playbook) that started it is gone.
options:
  is_accepting_workloads:
    description:
      - Whether the hosts are to take new workloads.
      - One of O(is_accepting_workloads) and O(restored) is needed.
    type: bool
  restored:
    description:
      - Put back what the record remembers, and nothing else. Only hosts that this maintenance closed, that took workloads
        before, and that are not in O(keep_closed) are opened. Needs O(record).
    type: bool
    default: false
  hosts:
    description:
      - Uuids or names of the hosts to change. All hosts when not given.
    type: list
    elements: str
  query:
    description:
      - JMESPath expression over the host rows that selects the hosts to change, such as V([?pool=='compute']).
    type: str
  keep_closed:
    description:
      - Uuids or names of hosts that are to stay closed at the end. Remembered in the record.
    type: list
    elements: str
  lease:
    description:
      - Seconds after which the work ends by itself when the one who started it does not ask for it any more. Only with
        O(record).
    type: float
    default: 30.0
  request_timeout:
    description:
      - Seconds that one request may take.
    type: float
    default: 120.0
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Where the platform does not show the flag, it is set again at each run.
  action:
    description: Has an action plugin of the same name, which with O(record) runs the module as a job under a lease.
    support: full
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.attributes
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Close all hosts to new workloads
  pilw.maintenance.pilw_host_flags:
    api_host: api.example.com
    api_key: "{{ vault_api_key }}"
    is_accepting_workloads: false

- name: Open one host
  pilw.maintenance.pilw_host_flags:
    hosts: [5b0cfa4e-0000-4000-8000-000000000001]
    is_accepting_workloads: true
"""

RETURN = r"""
changed_hosts:
  description: Uuids of the hosts whose flag was set, or would be in check mode.
  returned: always
  type: list
  elements: str
failed_hosts:
  description: Hosts that could not be set, each with C(uuid), C(name) and C(why).
  returned: always
  type: list
  elements: dict
skipped_hosts:
  description: Hosts left alone as MAINTENANCE or OFFLINE, each with C(uuid), C(name) and C(why).
  returned: always
  type: list
  elements: dict
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accept, _defaults
from ..module_utils._api.endpoints import LIST_TIMEOUT, Api, HostList
from ..module_utils._api.model import Host
from ..module_utils._errors import ApiError, AuthError
from ..module_utils._module import options, runner
from ..module_utils._plan.plan import choose_hosts, hosts_named, none_open
from ..module_utils._power.host_flags import Flags, moved_away
from ..module_utils._record.lock import FOREGROUND, Caller
from ..module_utils._record.record import OPENING, Record
from ..module_utils._record.rows import RecordedHost
from ..module_utils._report.data import NOT_LISTED


def told(host: Host | RecordedHost, why: str) -> dict[str, str]:
    """How a result names a host."""
    return {"uuid": host.uuid, "name": host.name, "why": why}


def choose(params: dict[str, t.Any], listed: HostList) -> list[Host]:
    """The hosts that the options name."""
    chosen = choose_hosts(listed, params["query"] or "")
    names = params["hosts"]
    if names is None:
        return chosen
    uuids = hosts_named(listed, names, "hosts")
    return [host for host in chosen if host.uuid in uuids]


def choose_remembered(params: dict[str, t.Any], listed: HostList, record: Record) -> tuple[list[Host], list[dict]]:
    """The hosts that the record says are to be opened, and those that cannot be."""
    chosen, failed = [], []
    for host in sorted(record.hosts_to_open(), key=lambda host: (host.error is not None, host.at)):
        if host.uuid in listed.hosts:
            chosen.append(listed.hosts[host.uuid])
        else:
            failed.append(told(host, NOT_LISTED))
    return chosen, failed


def keep_closed(params: dict[str, t.Any], listed: HostList, record: Record) -> list[str]:
    """The uuids of the hosts that the operator wants to stay closed: of a name, all that have it or had it."""
    names, recorded = params["keep_closed"] or [], record.hosts()
    known = {name for host in recorded for name in (host.uuid, host.name)}
    shown = {name for uuid, host in listed.hosts.items() for name in (uuid, host.name)}
    found = {host.uuid for host in recorded if host.uuid in names or host.name in names}
    # A host that is not listed any more is known from the record; a name that is in neither is an error.
    return sorted(found | hosts_named(listed, [name for name in names if name in shown or name not in known], "keep_closed"))


def remember(params: dict[str, t.Any], listed: HostList, chosen: list[Host], record: Record) -> None:
    """Keep what the flags were before the first write."""
    # No host of the platform is open, nothing is on record, and the operator has said which ones are to stay closed: the
    # others were closed by an earlier maintenance that left no record, and are opened at the end.
    chosen = [host for host in chosen if not host.untouchable]
    asked = params["keep_closed"] is not None
    lost = asked and not record.hosts() and none_open(listed)
    if lost:
        chosen = [dataclasses.replace(host, accepting=None) for host in chosen]
    record.remember_hosts(params["run"], chosen, keep_closed(params, listed, record), ours=lost)


def unread(params: dict[str, t.Any], record: Record, why: str, check_mode: bool) -> dict[str, t.Any]:
    """No host list at a restore: hosts stay closed and are named, and the VMs are started all the same."""
    left = record.hosts_to_open()
    why = f"the host list cannot be read: {why}"
    if not check_mode:
        record.set_phase(params["run"], OPENING)
        for host in left:
            record.host_written(params["run"], host.uuid, host.now, why)
    failed = [told(host, why) for host in left]
    return {"changed": False, "changed_hosts": [], "failed_hosts": failed, "skipped_hosts": [], "diff": {"before": {}, "after": {}}}


def run(params: dict[str, t.Any], api: Api, record: Record | None, check_mode: bool, caller: Caller = FOREGROUND) -> dict[str, t.Any]:
    """Bring the chosen hosts to the wanted state and say what was done."""
    failed: list[dict] = []
    try:
        listed = api.hosts()
    except ApiError as exc:
        if not (record and params["restored"]) or isinstance(exc, AuthError):
            raise
        return unread(params, record, str(exc), check_mode)
    accepting = True if params["restored"] else params["is_accepting_workloads"]
    if record and params["restored"]:
        if not check_mode:
            record.set_phase(params["run"], OPENING)
            record.keep_closed(params["run"], keep_closed(params, listed, record))
        chosen, failed = choose_remembered(params, listed, record)
        for host in [] if check_mode else failed:
            record.host_written(params["run"], host["uuid"], None, host["why"])
    else:
        chosen = choose(params, listed)
        if record and not check_mode:
            remember(params, listed, chosen, record)
    skipped = [told(host, moved_away(host)) for host in chosen if host.untouchable]
    pending = [host for host in chosen if not host.untouchable and host.accepting is not accepting]
    if record and not check_mode:
        for host in chosen:
            if host.untouchable and params["restored"]:
                record.host_written(params["run"], host.uuid, False, moved_away(host))
            elif host.accepting is accepting:
                record.host_seen(params["run"], host.uuid, accepting)
    flags = Flags(api, accepting, record, params["run"], caller)
    errors = {} if check_mode else flags.write(pending)
    failed += [told(host, errors[host.uuid]) for host in pending if host.uuid in errors]
    changed = [host for host in pending if host.uuid not in errors]
    result: dict[str, t.Any] = {
        "changed": bool(changed),
        "changed_hosts": [host.uuid for host in changed],
        "failed_hosts": failed,
        "skipped_hosts": skipped,
        "diff": {
            "before": {host.uuid: {"is_accepting_workloads": host.accepting} for host in changed},
            "after": {host.uuid: {"is_accepting_workloads": accepting} for host in changed},
        },
    }
    accepted = record.accepted() if record else []
    fatal = [host for host in failed if _accept.OPEN_HOST(host["uuid"]) not in accepted]
    if fatal and not (record and params["restored"]):
        result["failed"] = True
        word = "opened" if accepting else "closed"
        items = [_accept.OPEN_HOST(host["uuid"]) for host in fatal] if record else []
        result["refused_items"] = items
        result["msg"] = (
            f"{len(fatal)} hosts could not be {word}: "
            + "; ".join(f"{host['uuid']} ({host['name']}): {host['why']}" for host in fatal)
            + f". {len(changed)} others were. Run the same again once they answer"
            + (f", or go on with them open: {_accept.accept_argument(accepted, items)}" if items else ".")
        )
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(LIST_TIMEOUT),
            **options.record_options(),
            "is_accepting_workloads": {"type": "bool"},
            **_defaults.of("restored", "hosts", "query", "keep_closed", "lease"),
        },
        required_by=options.NEEDS_RUN,
        required_if=[("restored", True, ("record",)), ("restored", False, ("is_accepting_workloads",))],
        supports_check_mode=True,
    )
    runner.check_libraries(module)

    def work() -> dict[str, t.Any]:
        api = runner.api_for(module.params)
        if not module.params["record"]:
            return run(module.params, api, None, module.check_mode)
        lock = runner.lock_of(module.params)
        with runner.working_on(module.params, "setting host flags", module.check_mode, lock) as record:
            return run(module.params, api, record, module.check_mode, runner.caller_of(module.params, record, lock))

    runner.finish(module, work)


if __name__ == "__main__":
    main()
