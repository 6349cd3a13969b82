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
      - V(proven) makes the proof that every VM is down, and only if it holds writes the phase C(safe). In check mode, and without
        O(record), it makes the same proof of what O(record_dir) holds and writes nothing, also beside a living run and where no
        maintenance is open.
      - V(announced) writes the notices to the owners of VMs that are to be stopped. Once the running set is recorded, before the first stop.
      - V(told) remembers that an owner was told, so that nobody is told the same twice.
      - V(busy) announces a step during which the run calls no module on this host, such as a check on the Ceph host. See O(step).
      - V(ended) says that the run is over and writes C(report.json), C(vms.csv) and C(summary.md) beside the record, and the notices.
      - V(closed) ends the maintenance. Refused while a recorded VM does not run again, unless it is accepted or O(give_up)
        is true. The record is kept under its id.
    type: str
    choices: [opened, announced, told, busy, proven, ended, closed]
    required: true
  record_dir:
    description:
      - Folder of all records, mode 0700. Needed with O(state=opened), and with O(state=proven) without O(record).
    type: path
  record_dir_persistent:
    description:
      - Says that O(record_dir) outlives the container that the module runs in. Without it a container that may be gone with its job
        is refused.
    type: bool
    default: false
  record_copy:
    description:
      - Folder on another disk for a second copy of everything. On the file system of the record it is rejected when a record is
        made, and is a warning on an open record.
    type: path
  purpose:
    description:
      - What the run is for. V(prepare) makes a record where none is open; all others need an open one, except V(restore)
        with O(running_vms). V(verify) without an open one returns an empty RV(record), with which a proof only reads.
    type: str
    choices: [prepare, verify, force, restore, close]
    default: prepare
  actor:
    description:
      - Who runs this, as others are told. The user of the module's process when not given.
    type: str
  controller:
    description:
      - The process of ansible-playbook that the run belongs to. Set by the action plugin.
    type: str
  step:
    description:
      - What the run does next without a module on this host, with O(state=busy) or O(state=told). Until the next module of the run that
        works on the record, for at most O(step_seconds), other runs are rejected, naming the step. Empty ends that.
    type: str
    default: ""
  step_seconds:
    description:
      - The limit of O(step) in seconds.
    type: float
    default: 0.0
  reason:
    description:
      - Why the maintenance is made. Kept in the record and the report.
    type: str
  accept:
    description:
      - What the operator accepts, by the items that refusals printed.
      - Not given, what is recorded stays. A list replaces it, but for those that act once (C(damaged:), C(lost:), C(old:), C(takeover:)).
        V(none) withdraws all.
    type: list
    elements: str
  accept_reason:
    description:
      - Why what may destroy data is accepted. Required when O(accept) has such an override that is not recorded yet.
    type: str
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
  window:
    description:
      - With O(state=opened), minutes that this run may take. Its progress says when it will take longer. V(0) is no limit.
    type: float
    default: 0.0
  ceph_is_back:
    description:
      - With O(purpose=restore), the operator's word that Ceph serves again. Needed once safe was reached.
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
      - With O(state=proven), flags of Ceph to be set once it is safe. Those that are not set already are remembered, so that a restore
        unsets just them.
    type: list
    elements: str
  osd_flags_unset:
    description:
      - With O(state=ended), flags of Ceph that this run has unset, so that the record forgets them. Takes a list, a comma separated
        string, or V(none).
    type: list
    elements: str
  osd_flags_found:
    description:
      - With O(state=ended), flags of Ceph that this run was to set and that somebody had set a moment before, so that they are left
        to him.
    type: list
    elements: str
  complete:
    description:
      - With O(state=ended), whether each step of the run went well. Told in RV(notices) only.
    type: bool
    default: true
  notice:
    description:
      - With O(state=told), one of RV(notices) that has an owner, whose hook ended well.
    type: dict
  running_vms:
    description:
      - With O(purpose=restore), the shell runbook's hand-made list of VMs to bring back (JSON array of rows). Refused while
        an open record exists.
    type: path
  open_hosts:
    description:
      - With O(running_vms), the hosts to open by uuid or name, V(all) or V(none).
    type: list
    elements: str
  proof_interval:
    description:
      - Seconds between the lists of the proof.
    type: float
    default: 30.0
  settle_timeout:
    description:
      - With O(state=proven), seconds to begin the proof anew while only VMs in passing states speak against it.
    type: float
    default: 300.0
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
      - In check mode nothing is opened or written. A proof is made all the same, as it only reads.
  diff_mode:
    support: N/A
  idempotent:
    support: partial
    details:
      - Each O(state=opened) is a new run on the same record.
extends_documentation_fragment:
  - pilw.maintenance.api
  - pilw.maintenance.record
  - pilw.maintenance.notices
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
timed_out:
  description: How many recorded VMs did not shut down in time, as an earlier run has left them.
  returned: with state=opened, not in check mode
  type: int
accepted:
  description: What is accepted on the record from now on.
  returned: with state=opened, not in check mode
  type: list
  elements: str
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
  returned: with state=proven and closed
  type: str
osd_flags:
  description: Flags of Ceph to be set now; with O(state=opened) those that an earlier run has set.
  returned: with state=proven and opened
  type: list
  elements: str
ceph_fsid:
  description: The Ceph cluster of which safe was proved; empty when none was asked. With O(state=proven) the one that was asked now.
  returned: with state=opened and proven
  type: str
to_stop:
  description: How many running VMs stand against safe and have not been asked to stop since they came up.
  returned: with state=proven
  type: int
refused_items:
  description: What the operator can accept, in the words of O(accept).
  returned: with state=proven and ended, and when refused
  type: list
  elements: str
lines:
  description: The summary, as read by people.
  returned: with state=proven, ended and closed
  type: list
  elements: str
left:
  description: How many recorded VMs do not run again and are not accepted.
  returned: with state=ended and closed
  type: int
left_text:
  description: What a restore left, and how to continue. Empty when it is complete.
  returned: with state=ended
  type: str
left_vms:
  description: The first of their uuids, without VMs that were not tried yet.
  returned: with state=ended
  type: list
  elements: str
notices:
  description:
    - What a hook is to tell, in this order. Each has C(event), which is V(started), V(safe), V(restored), V(failed), V(before), V(after) or
      V(not_started), and C(maintenance), C(reason), C(headline) and C(counts). The last three events are for owners, and have C(owner), C(subject),
      C(text), C(file) and C(vms) too.
    - Of VMs of which the owner was not told the same before. Empty without O(tell).
  returned: with state=announced and ended
  type: list
  elements: dict
stats:
  description: The id of the record, its phase and counts, and nothing else, for the next job of a workflow. Empty in check mode.
  returned: with state=ended and closed
  type: dict
hosts_left:
  description: How many hosts that this maintenance closed are not open again.
  returned: with state=ended and closed
  type: int
report:
  description: Path of the report.
  returned: with state=ended and closed
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accept, _defaults
from ..module_utils._api import model
from ..module_utils._api.endpoints import LIST_TIMEOUT, Api
from ..module_utils._ceph import assessment
from ..module_utils._errors import Refused
from ..module_utils._module import options, runner
from ..module_utils._notices import deliver
from ..module_utils._operations.open_run import opened
from ..module_utils._operations.verdict_text import not_safe_lines, safe_lines
from ..module_utils._operations.verify import Pause, Scope, Seen, prove
from ..module_utils._plan.earlier_records import Earlier, earlier, starts_text
from ..module_utils._plan.history import ended_of
from ..module_utils._power import waves
from ..module_utils._power.settlement import is_passing
from ..module_utils._record.exports import REPORT
from ..module_utils._record.in_memory import view
from ..module_utils._record.other_names import open_elsewhere
from ..module_utils._record.paths import Places
from ..module_utils._record.record import CLOSING, DONE, SAFE, Record
from ..module_utils._record.recovery import accepted_in
from ..module_utils._report import data as _data
from ..module_utils._report import workflow_stats
from ..module_utils._report.formats import summary_md, vms_csv


def proven(params: dict[str, t.Any], api: Api, record: Record, pause: Pause, is_open: bool = True) -> dict[str, t.Any]:
    """Make the proof; the only place that leads to phase safe. C(is_open): a maintenance is open, of which it is the record."""
    maintenance, accepted, run = record.maintenance, _accept.Accepted(record.accepted()), params["run"]
    if maintenance["phase"] == CLOSING:
        raise Refused(
            "Nothing is recorded yet, so nothing can be proved. Go on with: "
            "ansible-playbook pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true"
        )
    before = earlier(os.path.dirname(record.path))
    scope = Scope(maintenance["query"], maintenance["exclude"], accepted)
    seen = Seen(lambda: known_vms(record, before), lambda found: record.note_states(run, found))
    verdict = prove(api, scope, seen, params["proof_interval"], params["settle_timeout"], pause)
    if verdict.clean:  # else it is not safe already, and a host list that fails must not keep that from being written down
        verdict.notes += note_open_hosts(api, record, run)
    record.note_gone(run, verdict.gone)
    recorded = {vm.uuid: vm for vm in record.vms()}
    record.write(run, [waves.vanished(recorded[uuid]) for uuid in verdict.gone if uuid in recorded])
    # VMs that obeyed after their time, or were seen down by nobody yet.
    record.write(run, [waves.down(vm) for vm in recorded.values() if vm.state in model.RELEASED and not vm.stop_done])
    named = {*verdict.gone, *verdict.holding}
    standing = standing_against(params, record, before, bool(verdict.outside))
    standing = {item: text for item, text in standing.items() if item.partition(":")[2] not in named}
    verdict.also = {item: text for item, text in standing.items() if item not in accepted}
    verdict.excepted.update({item.partition(":")[2]: text for item, text in standing.items() if item in accepted})
    known_names = [(vm.uuid, vm.name) for vm in recorded.values()] + [(host.uuid, host.name) for host in record.hosts()]
    verdict.names = {**before.names, **dict(known_names), **verdict.names}
    storage = assessment.read(params["ceph_host"], params["ceph"])
    told = assessment.proof(storage, accepted, set(verdict.outside), bool(verdict.outside), maintenance["ceph_fsid"])
    verdict.also.update(told.against)
    verdict.excepted.update(told.excepted)
    # The plan asked for these, and nothing of the proof does.
    known_hosts = {host.uuid for host in record.hosts()}
    verdict.excepted.update({item: _accept.kind_of(item).accepts for item in accepted if _accept.is_of_plan(item, known_hosts)})
    verdict.proofs += told.proofs
    verdict.notes += told.notes
    verdict.ceph_checked = told.checked
    if verdict.clean:
        verdict.notes += _accept.notes(accepted.unused(_accept.PROOF), record.given_to(run))
    # What did not obey a moment ago is named; only what came up since is worth another round.
    tried = {uuid for uuid, vm in recorded.items() if vm.stop.outcome in (model.WOULD_NOT_STOP, model.REFUSED)}
    stuck = [vm for vm in verdict.holding.values() if vm.uuid in recorded and vm.state != model.RUNNING and not is_passing(vm.state)]
    again = [vm for vm in [*verdict.to_stop, *stuck] if vm.uuid not in tried]
    headline = verdict.headline()
    flags = params["osd_flags"] or []
    assessment.check_flags(flags)
    if not (verdict.safe and storage and not storage.problem):
        if verdict.safe and storage and flags:
            verdict.notes.append(f"Ceph was not asked, so its flags are not set: {', '.join(flags)}.")
        flags = []
    known = maintenance["ceph_fsid"]
    other = storage is not None and bool(known) and storage.fsid not in ("", known)
    if storage and not storage.problem and not other:
        # One of ours that is not set is nobody's: who sets it from now on does it for himself.
        record.forget_flags(run, [flag for flag in record.osd_flags() if flag not in storage.flags])
    if verdict.safe:
        pause.caller.check()  # to nobody safe is not said; that it is not so is written down all the same
        if storage and other and record.osd_flags():
            verdict.notes.append(
                f"Flags that this maintenance set on the Ceph cluster {known} are not unset on {storage.fsid}. Unset them there by hand: "
                f"{', '.join(record.osd_flags())}."
            )
            record.forget_flags(run, record.osd_flags())
        record.remember_flags(run, [flag for flag in flags if storage and flag not in storage.flags])
        if storage and not storage.problem and storage.fsid:
            record.remember_cluster(run, storage.fsid)
        record.write_safe(run, headline, verdict.proofs)
    else:
        if (record.run() or {}).get("purpose") in ("prepare", "force"):
            record.add_running(run, verdict.to_stop, late=True)
        record.write_not_safe(run, "; ".join(verdict.reasons()[:20]) or headline)
    return {
        "changed": verdict.safe and maintenance["phase"] != SAFE,
        "safe": verdict.safe,
        "headline": headline,
        "osd_flags": flags,
        "ceph_fsid": storage.fsid if storage else "",
        "to_stop": len(again),
        "phase": record.phase,
        "lines": safe_lines(verdict, api, record, is_open) if verdict.clean else not_safe_lines(verdict, record),
        "refused_items": verdict.items,
    }


def proven_read_only(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """The same proof on a record in memory: nothing is written, and another run may be at work."""
    places = Places.of(params)
    accepted = _accept.given(params["accept"], params["accept_reason"], accepted_in(places.path))
    with view(places.path, params, accepted, places.copy_dir) as found:
        result = proven({**params, "run": found.run, "osd_flags": None}, api, found.record, Pause(), bool(found.phase))
    told = ["Read-only: the open record was not changed."] if found.phase else [other.text() for other in open_elsewhere(params)]
    return {**result, "changed": False, "phase": found.phase, "lines": [*result["lines"], *told]}


def note_open_hosts(api: Api, record: Record, run: str) -> list[str]:
    """Record which hosts that were closed by us are open again, as far as the platform shows it.

    Returns what to report of open hosts that are not on record: new VMs can come up there.
    """
    shown, recorded = api.hosts().hosts, record.hosts()
    known = {host.uuid for host in recorded}
    for host in recorded:
        listed = shown.get(host.uuid)
        if host.closed_by_us and host.now is not True and listed and listed.accepting and not listed.untouchable:
            record.host_seen(run, host.uuid, True)
    joined = [host.label() for uuid, host in shown.items() if uuid not in known and host.accepting and not host.untouchable]
    if not joined:
        return []
    named = ", ".join(joined[: _data.SHOWN]) + (", ..." if len(joined) > _data.SHOWN else "")
    note = f"Open to new VMs and not on record: {len(joined)} hosts: {named}. VMs can come up there."
    if recorded:
        note += (
            " They joined after the hosts were closed, or ceph_maint_hosts_query leaves them out. To close those that joined: "
            "ansible-playbook pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true"
        )
    return [note]


def known_vms(record: Record, before: Earlier) -> list[str]:
    """Every VM that a list must show, or whose own detail must say that it is gone. C(before): see C(standing_against)."""
    states = record.seen()
    seen = [uuid for uuid, state in states.items() if state != model.DELETED]
    recorded = [vm.uuid for vm in record.vms() if vm.stop.outcome != model.VANISHED]
    started = [uuid for uuid in [*before.uuids, *before.lost] if states.get(uuid) != model.DELETED]
    return list(dict.fromkeys([*seen, *recorded, *started]))


def standing_against(params: dict[str, t.Any], record: Record, before: Earlier, scoped: bool) -> dict[str, str]:
    """What is known against safe, beside the lists: accept item and text.

    C(before): what ended maintenances left at work. C(scoped): VMs outside of the scope hold Ceph open, so that safe is not said anyway.
    """
    found = {}
    place = f"{params['api_host']}@{params['location']}" if params["location"] else params["api_host"]
    if not record.seen():
        found[_accept.LIST(f"empty-{place}")] = f"the platform {place} shows no VM at all"
    for host in record.hosts():
        if host.closed_by_us and host.now is True:
            label = f"{host.uuid} {host.name}".strip()
            found[_accept.OPEN_HOST(host.uuid)] = f"host {label} is open again, so that new VMs can come up; prepare closes it"
    for vm in record.vms():
        if vm.may_come_up:
            found[_accept.VM(vm.uuid)] = f"VM {vm.label()}: a start was sent and nobody knows what came of it; prepare stops it"
    if scoped:
        return found
    states, stopped = record.seen(), {vm.uuid for vm in record.vms() if vm.stop_done}
    for uuid in before.uuids:
        if uuid not in stopped and states.get(uuid) != model.DELETED:
            found[_accept.START_LEFT(uuid)] = starts_text([before.starts[_accept.START_LEFT(uuid)]])
    return {**found, **before.unread}


def announce_step(params: dict[str, t.Any], record: Record) -> None:
    """The run continues elsewhere for a while. The next module of the run that works on the record ends that."""
    if params["step"]:
        record.announce_step(params["run"], params["step"], params["step_seconds"])


def write_report(record: Record) -> None:
    """All that came of it so far, in three forms."""
    data = _data.report_data(record)
    record.write_report(data, vms_csv(data), summary_md(data))


def ended(params: dict[str, t.Any], record: Record) -> dict[str, t.Any]:
    """The run is over, well or not: write the report and say what is left and what comes next."""
    outcome = _data.Outcome(record)
    record.forget_flags(params["run"], params["osd_flags_unset"] or [])
    record.disown_flags(params["run"], params["osd_flags_found"] or [])
    record.end_run(params["run"])
    record.export()
    write_report(record)
    notices = deliver.ended(params, record, not outcome.complete)
    purpose = (record.run() or {}).get("purpose")
    lines = [*_data.start_lines(record), *_data.flag_lines(record)] if purpose == "restore" else _data.stop_lines(record)
    return {
        "changed": True,
        "phase": record.phase,
        "left": len(outcome.left),
        "left_text": _data.left_text(record) if purpose == "restore" and not outcome.complete else "",
        "left_vms": [vm.uuid for vm in outcome.tried[: _data.SHOWN]],
        "hosts_left": len(outcome.ours),
        "lines": lines + _data.ways(record, str(purpose)),
        "refused_items": _data.left_items(record) if purpose == "restore" else [],
        "stats": workflow_stats.of_record(record),
        "report": os.path.join(os.path.dirname(record.path), REPORT),
        "notices": notices["notices"],
        "notes": record.warnings + notices["notes"],
    }


def closed(params: dict[str, t.Any], record: Record) -> dict[str, t.Any]:
    """End the maintenance."""
    outcome = _data.Outcome(record)
    if not outcome.complete and not params["give_up"]:
        items = _data.left_items(record, untried=True)
        text = (
            f"The maintenance cannot end: {len(outcome.left)} recorded VMs do not run again and {len(outcome.ours)} hosts are still closed "
            "by it. Run pilw.maintenance.ceph_maint_restore again, or give them up by name"
        )
        raise _accept.refusal(text, record.accepted(), items)
    identity = record.maintenance["id"]
    if text := _data.give_up_refusal(record, record.accepted()):
        raise Refused(text, [_accept.GIVE_UP(identity)])
    lines = [_data.ended_headline(record), *_data.start_lines(record, ending=True)]
    if params["give_up"]:
        lines += _data.flag_lines(record)
    record.write_done(params["run"])
    left_behind = ended_of(record, f"{identity}.")
    if not left_behind.complete:
        lines += [f"To bring them back later, Ceph being up: {left_behind.bring_back()}", _data.SAME_SETTINGS]
    stats = workflow_stats.of_record(record)
    write_report(record)
    record.export()
    record.archive()
    report = os.path.join(os.path.dirname(record.path), f"{identity}.{REPORT}")
    result = {"changed": True, "phase": DONE, "headline": lines[0], "lines": lines, "stats": stats, "report": report}
    return {**result, "left": len(outcome.left), "hosts_left": len(outcome.ours)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.api_options(LIST_TIMEOUT),
            **options.record_options(),
            **_defaults.of("ceph_host", "ceph", "notice_templates", "notice_dir", "tell"),
            "state": _defaults.choice("opened", "announced", "told", "busy", "proven", "ended", "closed", required=True),
            "purpose": _defaults.choice("prepare", "verify", "force", "restore", "close", default="prepare"),
            **_defaults.of("record_dir", "record_dir_persistent", "record_copy", "actor", "controller", "step", "step_seconds", "reason"),
            **_defaults.of("accept", "accept_reason", "query", "exclude", "max_age", "lease", "window", "ceph_is_back", "running_vms", "open_hosts"),
            **_defaults.of("osd_flags", "osd_flags_unset", "osd_flags_found", "complete", "notice", "proof_interval", "settle_timeout", "give_up"),
        },
        required_by=options.NEEDS_RUN,
        required_if=[
            ("state", "opened", ("record_dir",)),
            ("state", "announced", ("record",)),
            ("state", "told", ("record", "notice")),
            ("state", "busy", ("record",)),
            ("state", "proven", ("record", "record_dir"), True),
            ("state", "ended", ("record",)),
            ("state", "closed", ("record",)),
        ],
        supports_check_mode=True,
    )
    runner.check_libraries(module)
    params = module.params

    def work() -> dict[str, t.Any]:
        if params["state"] == "opened":
            deliver.check(params)
            return opened(params, module.check_mode, module.tmpdir)
        if params["state"] == "proven" and (module.check_mode or not params["run"]):
            return proven_read_only(params, runner.api_for(params))
        if module.check_mode:
            nothing = {"phase": "", "lines": [], "safe": False, "osd_flags": [], "left": 0, "hosts_left": 0, "stats": {}, "report": "", "notices": []}
            return {"changed": False, **nothing}
        lock = runner.lock_of(params)
        # One call for each owner, and the first stop waits for all of them: the record is copied by the next step.
        copied = params["state"] not in ("told", "busy")
        with runner.working_on(params, f"state {params['state']}", lock=lock, copied=copied) as record:
            if params["state"] == "proven":
                pause = Pause(runner.caller_of(params, record, lock)) if params["_wait"].get("leased") else Pause()
                return proven(params, runner.api_for(params), record, pause)
            if params["state"] == "busy":
                announce_step(params, record)
                return {"changed": False, "phase": record.phase}
            if params["state"] == "told":
                deliver.told(params, record)
                announce_step(params, record)
                return {"changed": True, "phase": record.phase}
            with record.at_rest():
                if params["state"] == "announced":
                    return {"changed": True, "phase": record.phase, **deliver.announced(params, record)}
                return (ended if params["state"] == "ended" else closed)(params, record)

    runner.finish(module, work)


if __name__ == "__main__":
    main()
