# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What came of a maintenance, from its record: data for programs and a few lines for people."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import _accept
from .._api import model
from .._api.model import count_by
from .._record.record import CLOSING, DONE, FELL, OPENING, RECORDED, SAFE, STARTING, STOPPING, Record
from .._record.rows import RecordedHost, RecordedVm, now_text
from .timeline import phases, running_over_time

# Titles of what needs attention.
RAN_THROUGH, STILL_CLOSED, NOT_BACK = "Ran through the outage", "Hosts still closed", "Did not come back"
UNTRIED, DISOBEYED, WITHOUT = "Not tried yet", "Would not stop", "Ended without"
CUT, ACCEPTED = "Power was cut", "Accepted"

# Longer lists are cut in the text, never in the data.
SHOWN = 40
# Why a host of the record stays closed that was removed from the platform.
NOT_LISTED = "the platform does not list it any more"

WORDS = {
    model.CLEAN: "stopped clean",
    model.FORCED: "power cut",
    model.ALREADY_STOPPED: "already stopped",
    model.VANISHED: "vanished",
    model.WOULD_NOT_STOP: "would not stop",
    model.REFUSED: "refused",
    model.STARTED: "running again",
    model.ALREADY_RUNNING: "already running",
    model.FAILED: "did not start",
    "": "not tried",
}

NEXT_STEP = {
    **dict.fromkeys((CLOSING, RECORDED, STOPPING), "pilw.maintenance.ceph_maint_prepare goes on; pilw.maintenance.ceph_maint_restore undoes"),
    SAFE: "pilw.maintenance.ceph_maint_verify just before Ceph goes down; pilw.maintenance.ceph_maint_restore when it is back",
    OPENING: "pilw.maintenance.ceph_maint_restore goes on",
    STARTING: "pilw.maintenance.ceph_maint_restore tries those that do not run; pilw.maintenance.ceph_maint_close gives them up",
    DONE: "nothing",
}


def hosts_left_closed(record: Record) -> list[dict[str, t.Any]]:
    """Hosts that do not take workloads as far as is known, each with why."""
    found = []
    accepted = set(record.accepted())
    for host in record.hosts():
        if host.now is True:
            continue
        if host.error:
            why = host.error
        elif host.keep_closed:
            why = "kept closed as asked"
        elif host.before is False:
            why = "was closed before"
        elif host.closed_by_us:
            why = "closed by this maintenance, not opened yet"
        elif host.now is None and not host.closed_by_us:
            continue
        else:
            why = "not touched by this maintenance"
        found.append({"uuid": host.uuid, "name": host.name, "why": why, "ours": _ours(host, accepted)})
    return found


def _ours(host: RecordedHost, accepted: t.Container[str]) -> bool:
    return host.closed_by_us and host.to_open and _accept.LOST(host.uuid) not in accepted


class Outcome:
    """What became of the VMs and hosts of a record, sorted once.

    ``closed``: hosts that do not take workloads, ``ours`` those that this maintenance closed. Of VMs: ``left`` do not run again and are
    not gone, so each must run, be accepted or be given up (``tried`` and ``untried`` are its parts); ``without`` the operator has accepted
    to end without; ``untouched`` run and were never seen stopped, ``ran_through`` those of them that ran while Ceph may have been down;
    ``disobeying`` were asked to stop in vain.
    """

    def __init__(self, record: Record) -> None:
        accepted, self.vms = set(record.accepted()), record.vms()
        self.closed = hosts_left_closed(record)
        self.ours = [host for host in self.closed if host["ours"]]
        down = [vm for vm in self.vms if not vm.start_done]
        self.left = [vm for vm in down if _accept.LOST(vm.uuid) not in accepted]
        self.tried = [vm for vm in self.left if vm.start.outcome]
        self.untried = [vm for vm in self.left if not vm.start.outcome]
        self.without = [vm for vm in down if _accept.LOST(vm.uuid) in accepted]
        self.untouched = [vm for vm in self.vms if vm.start.outcome == model.ALREADY_RUNNING and not vm.stop_done]
        self.ran_through = self.untouched if ceph_may_have_been_down(record) else []
        self.disobeying = [vm for vm in self.vms if vm.stop.outcome in (model.WOULD_NOT_STOP, model.REFUSED)]

    @property
    def complete(self) -> bool:
        """Whether all runs again or is accepted, and no host is left closed by this maintenance."""
        return not (self.left or self.ours)

    @property
    def gives_up(self) -> bool:
        """Whether to end now gives up more than VMs whose start was tried: a restore has not done its work."""
        return bool(self.untried or self.ours)

    @property
    def stay_down(self) -> list[RecordedVm]:
        """VMs that stay down when the maintenance ends now, accepted ones too."""
        return [vm for vm in [*self.left, *self.without] if vm.stop_done or vm.start.outcome]


def why_down(vm: RecordedVm) -> str:
    return vm.start.error or WORDS[vm.start.outcome or ""]


def why_untried(vm: RecordedVm) -> str:
    return "down" if vm.stop_done else "its stop is not on record"


def left_items(record: Record, untried: bool = False) -> list[str]:
    """What would have to be accepted to end without hosts and VMs that are not as they were.

    VMs that were not tried yet are not among them, nor hosts before a restore has come to them (but with C(untried)): those are not
    to be given up by pasting a line.
    """
    outcome = Outcome(record)
    hosts = outcome.ours if untried or record.phase in (OPENING, STARTING) else []
    return [_accept.LOST(host["uuid"]) for host in hosts] + [_accept.LOST(vm.uuid) for vm in outcome.tried]


def report_data(record: Record) -> dict[str, t.Any]:
    """The whole maintenance, as report.json holds it."""
    maintenance, events = record.maintenance, record.events()
    accepted, recorded = set(record.accepted()), record.vms()
    vms = [
        {
            "uuid": vm.uuid,
            "user_id": vm.owner,
            "status": vm.state,
            "name": vm.name,
            "late": vm.late,
            "stop": vm.stop.outcome,
            "stop_error": vm.stop.error,
            "stopped_at": vm.stop.done_at,
            "start": vm.start.outcome,
            "start_error": vm.start.error,
            "started_at": vm.start.done_at,
            "accepted": bool({_accept.VM(vm.uuid), _accept.LOST(vm.uuid)} & accepted),
        }
        for vm in recorded
    ]
    return {
        "headline": headline(record),
        "written_at": now_text(),
        "maintenance": maintenance,
        "runs": record.runs(),
        "phases": phases(events, maintenance["opened_at"]),
        "running": running_over_time(events, maintenance["opened_at"], not maintenance["adopted_from"]),
        "attention": attention(record),
        "accepted": sorted(accepted),
        "counts": {
            "vms": len(vms),
            "late": sum(1 for vm in recorded if vm.late),
            "stop": count_by(vm.stop.outcome or "" for vm in recorded),
            "start": count_by(vm.start.outcome or "" for vm in recorded),
        },
        "osd_flags": record.osd_flags(),
        "hosts": [dataclasses.asdict(host) for host in record.hosts()],
        "hosts_left_closed": hosts_left_closed(record),
        "vms": vms,
        "events": events,
    }


def without_vm_events(data: dict[str, t.Any]) -> dict[str, t.Any]:
    """A report with the events of the maintenance and of its hosts alone: those of each VM are most of it."""
    hosts = {host["uuid"] for host in data["hosts"]}
    return {**data, "events": [event for event in data["events"] if not event["uuid"] or event["uuid"] in hosts]}


def headline(record: Record) -> str:
    """What happened, in a few words."""
    maintenance, recorded = record.maintenance, record.count_vms()
    phase, outcome = maintenance["phase"], Outcome(record)
    if phase == SAFE:
        return maintenance["headline"]
    if phase in (OPENING, STARTING, DONE):
        text = f"{recorded - len(outcome.left) - len(outcome.without)} of {recorded} VMs run again or are gone"
        return f"{text}; hosts still closed: {len(outcome.ours)}" if outcome.ours else text
    return "NOT SAFE TO TAKE CEPH DOWN"


def attention(record: Record) -> dict[str, list[dict[str, str]]]:
    """What somebody must look at, the worst first: title, and each VM, host or item with why. Empty titles are left out."""
    outcome = Outcome(record)
    starting, spared = record.phase in (OPENING, STARTING, DONE), record.spared()

    def told(some: t.Iterable[RecordedVm], why: t.Callable[[RecordedVm], str]) -> list[dict[str, str]]:
        return [{"id": vm.uuid, "name": vm.name, "owner": vm.owner, "why": why(vm)} for vm in sorted(some, key=lambda vm: (vm.owner, vm.uuid))]

    found = {
        RAN_THROUGH: told(outcome.ran_through, lambda vm: "look at its file system"),
        STILL_CLOSED: [
            {"id": host["uuid"], "name": host["name"], "owner": "", "why": host["why"]}
            for host in sorted(outcome.closed, key=lambda host: not host["ours"])
            if starting
        ],
        ACCEPTED: [{"id": item, "name": "", "owner": "", "why": why} for item, why in sorted(record.reasons().items())],
        NOT_BACK: told(outcome.tried, why_down),
        UNTRIED: told(outcome.untried if starting else [], why_untried),
        DISOBEYED: told([] if starting else outcome.disobeying, lambda vm: why_left(vm, False, spared)),
        WITHOUT: told(outcome.without, why_down),
        CUT: told(
            (vm for vm in outcome.vms if vm.stop.outcome == model.FORCED), lambda vm: "its file system wants a check"
        ),
    }
    return {title: entries for title, entries in found.items() if entries}


def ceph_may_have_been_down(record: Record) -> bool:
    """Whether it was safe once, or what happened before this record began is not known."""
    maintenance = record.maintenance
    return bool(maintenance["safe_at"] or maintenance["adopted_from"])


def counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{WORDS.get(word, word)} {count}" for word, count in counts.items()) or "none"


def by_owner(vms: list[RecordedVm], reason: t.Callable[[RecordedVm], str]) -> list[str]:
    """One line a VM, grouped by owner, cut after a screen."""
    ordered = sorted(vms, key=lambda vm: (vm.owner, vm.uuid))
    lines = [f"  owner {vm.owner}: {vm.uuid} {vm.name}".rstrip() + f": {reason(vm)}" for vm in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        lines.append(f"  and {len(ordered) - SHOWN} more; all of them are in report.json beside the record")
    return lines


def why_left(vm: RecordedVm, starting: bool, spared: t.Mapping[str, str]) -> str:
    """Why a VM does not run again, or did not stop. C(spared): VMs that are never forced off, each with why."""
    if starting:
        return why_down(vm)
    why = f"{WORDS[vm.stop.outcome or '']}: {vm.stop.error or 'no answer kept'}"
    return f"{why}; never forced off: {spared[vm.uuid]}" if vm.uuid in spared else why


def stop_lines(record: Record) -> list[str]:
    """What became of the stop, with those that do not obey by owner."""
    vms = record.vms()
    counts = count_by(vm.stop.outcome or "" for vm in vms)
    lines = [*origin_lines(record), f"VMs recorded {len(vms)}: {counts_text(counts)}"]
    up = [vm for vm in vms if vm.stop_done and vm.state == model.RUNNING]
    if up:
        lines.append(f"Of these run now: {len(up)}")
        lines += by_owner(up, lambda vm: "came up again")
    spared = record.spared()
    return lines + by_owner(Outcome(record).disobeying, lambda vm: why_left(vm, False, spared))


def origin_lines(record: Record) -> list[str]:
    """What a record that was not written from the beginning cannot know."""
    source = record.maintenance["adopted_from"]
    return [f"Taken over from {source}: what became of each VM before is not known"] if source else []


def start_lines(record: Record, ending: bool = False) -> list[str]:
    """What became of the start: hosts still closed first, then suspects, then what did not come back, by owner.

    C(ending): the maintenance ends with this, so that no override is needed any more.
    """
    outcome = Outcome(record)
    vms, closed, untouched = outcome.vms, outcome.closed, outcome.untouched
    lines = [*_accept.danger_lines(record.reasons(), SHOWN), f"Hosts still closed: {len(closed)}"]
    lines += [f"  {host['uuid']} {host['name']}".rstrip() + f": {host['why']}" for host in closed[:SHOWN]]
    lines += origin_lines(record)
    if outcome.ran_through:
        lines.append("Ran through the outage, or were never stopped by us: look at their file systems")
        lines += by_owner(outcome.ran_through, lambda vm: "running")
    elif untouched:
        lines.append(f"Called off before it was safe: {len(untouched)} VMs were not stopped and run on")
    slow = [vm for vm in untouched if vm.stop.outcome == model.WOULD_NOT_STOP and vm.state == model.RUNNING]
    if slow:
        lines.append(f"Outlived their stop and run, so they may still obey it: {len(slow)}. Look at them again later")
        lines += by_owner(slow, lambda vm: "running")
    fell = record.named_in((record.run() or {}).get("token", ""), FELL)
    again = [vm for vm in vms if vm.uuid in fell and vm.start_done]
    if again:
        lines.append(f"Went down again after they ran, and were started once more: {len(again)}. Look at their file systems")
        lines += by_owner(again, lambda vm: "running")
    lines.append(f"VMs recorded {len(vms)}: {counts_text(count_by(vm.start.outcome or '' for vm in vms))}")
    if outcome.tried:
        lines += [f"Did not come back: {len(outcome.tried)}", *by_owner(outcome.tried, why_down)]
    if outcome.untried:
        lines += [f"Not tried yet: {len(outcome.untried)}", *by_owner(outcome.untried, why_untried)]
    if outcome.without:
        lines += [f"Ended without, as accepted: {len(outcome.without)}", *by_owner(outcome.without, why_down)]
    items = left_items(record)
    if items and not ending:
        lines.append(f"To end without them, each named: {_accept.accept_argument(record.accepted(), items)}")
    return lines


def flag_lines(record: Record) -> list[str]:
    """Flags of Ceph that this maintenance has set and not unset."""
    return [f"Set by this maintenance, and not unset by it. If it still is: ceph osd unset {flag}" for flag in record.osd_flags()]


SAME_SETTINGS = "Give each of these commands the same inventory and the same settings of platform, location, record and Ceph as this one."


def restore_command(record: Record) -> str:
    """The whole command that brings everything back."""
    command = "ansible-playbook pilw.maintenance.ceph_maint_restore -e ceph_maint_confirm=true"
    return command + (" -e ceph_maint_ceph_is_back=true" if ceph_may_have_been_down(record) else "")


def ended_headline(record: Record) -> str:
    """What the end of a maintenance leaves."""
    return f"ENDED. {len(Outcome(record).stay_down)} VMS STAY DOWN, {len(record.hosts_to_open())} HOSTS STAY CLOSED."


def close_command(record: Record) -> str:
    """The whole command that ends the maintenance as it stands."""
    command = "ansible-playbook pilw.maintenance.ceph_maint_close -e ceph_maint_confirm=true"
    return f"{command} {_accept.accept_argument(record.accepted(), [_accept.GIVE_UP(record.maintenance['id'])])}" if Outcome(record).gives_up else command


def give_up_refusal(record: Record, accepted: t.Container[str]) -> str:
    """Why the maintenance cannot be closed without the override that names it; empty when it can."""
    maintenance, outcome = record.maintenance, Outcome(record)
    if not outcome.gives_up or _accept.GIVE_UP(maintenance["id"]) in accepted:
        return ""
    return (
        f"Closing would give up the maintenance {maintenance['id']} (phase {maintenance['phase']}): {len(outcome.stay_down)} VMs would stay down and "
        f"{len(record.hosts_to_open())} hosts closed. Nothing was changed. To bring them back: {restore_command(record)}; or, to end it all the same: "
        f"{close_command(record)}"
    )


def left_text(record: Record) -> str:
    """What a restore that is not complete left, and how to continue."""
    outcome = Outcome(record)
    again = bool(outcome.left) or any(host["why"] != NOT_LISTED for host in outcome.ours)
    text = (
        f"{len(outcome.left)} recorded VMs do not run again and {len(outcome.ours)} hosts are still closed by this maintenance; the summary above "
        "names them."
    )
    if again:
        text += " Rerun the same command to try just those."
    ways_out = [f"to give up all that is left: {close_command(record)}"] if again else []
    items = left_items(record, untried=True)
    if len(items) > SHOWN:
        ways_out.append("to end without those that cannot be brought back, each named: the argument at the end of the summary above")
    elif items:
        ways_out.append(f"to end without those that cannot be brought back, each named: {_accept.accept_argument(record.accepted(), items)}")
    return f"{text} T{'; t'.join(way[1:] for way in ways_out)}"


def ways(record: Record, purpose: str) -> list[str]:
    """What can be done next, each with its whole command."""
    go_on = {
        "prepare": "To go on, mend what the failure names and run the same command again.",
        "force": "To go on, mend what the failure names and run the same command again.",
        "verify": "To stop what runs: ansible-playbook pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true",
    }.get(purpose)
    if purpose == "restore" and not Outcome(record).complete:
        return ["To go on, mend what the failure names and run the same command again: it tries just what is left.", SAME_SETTINGS]
    if go_on is None:
        return []
    return [
        f"Phase {record.phase}. Hosts that were closed stay closed, and VMs that are down stay down.",
        go_on,
        f"To call it off and bring everything back, Ceph being up: {restore_command(record)}",
        SAME_SETTINGS,
    ]
