# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Looking at the platform, the record and the disk for a plan. Writes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import typing as t

from .. import _accept
from .._api import model
from .._api.endpoints import Api
from .._api.model import Vm, VmList
from .._api.selection import in_scope
from .._ceph import assessment
from .._environment import machine
from .._errors import DamagedRecord, Refused
from .._module import options
from .._plan import preconditions
from .._plan.details import prepare_data, restore_data
from .._plan.earlier_records import Earlier, earlier, starts_text
from .._plan.history import Ended, last_ended
from .._plan.plan import SHOWN, Plan, RecordFacts, Settings, named_lines, plan_prepare
from .._plan.preconditions import Refusal
from .._plan.restore import note_ended, nothing_to_restore, plan_adoption, plan_restore
from .._plan.scope import LISTS, Scope, check, given_lines, scope_of
from .._record import files, force_limit, paths
from .._record.other_names import elsewhere_text
from .._record.paths import Places
from .._record.record import DONE, Record
from .._record.recovery import accepted_in, find, find_whole, look
from .._record.rows import age_seconds
from .._report import workflow_stats
from .locations import listed_hosts, look_at_locations, wait_for_api

# Longer lists of reasons are cut in the text, never in the data.
SHOWN_REFUSALS = 40


def plan(params: dict[str, t.Any], api: Api) -> dict[str, t.Any]:
    """What O(purpose) would do."""
    places, preparing = Places.of(params), params["purpose"] == "prepare"
    folder, recorded = places.folder, accepted_in(places.path)
    now = _accept.given(params["accept"], params["accept_reason"], recorded)
    settings = settings_of(params, _accept.effective(recorded, now))
    assessment.check_flags(params["osd_flags"] or [])
    head = Plan()
    check_folders(head, places, preparing, settings)
    record, complete = record_facts(params, places, head, settings.accepted) if not head.refusals else None, ""
    if record and record.accepted != recorded:  # that of a damaged one is read from its copy
        recorded = record.accepted
        settings = dataclasses.replace(settings, accept=_accept.effective(recorded, now))
    check_copy(head, places, settings.accepted, record is None and (preparing or bool(params["running_vms"])))
    if preparing:
        locations = look_at_locations(api, head, params)
        here = machine.identity()
        machines = [here, params["machine"]] if params["machine"] not in (None, here) else [here]
        vms = api.vms()
        hosts = api.hosts()
        scope = check_scope(params, settings, vms.vms.values())
        made = plan_prepare(settings, hosts, vms, locations, record, machines)
        say_scope(made, scope, settings, opened=record is not None)
        if record is None:
            note_ended(made, last_ended(folder), vms, hosts)
        left = plan_earlier(made, earlier(folder), settings, vms, record)
        add_storage(made, params, vms, record, settings.accepted)
        check_room(head, params, len(made.stop), record is None)
        counts = {"hosts": len(made.close_hosts), "vms": len(made.stop)}
        uuids = [vm.uuid for vm in made.stop]
        each = prepare_data(made, settings, hosts, vms, left)
    else:
        made, complete = survey_restore(params, folder, api, settings, head, record)
        counts = {"hosts": len(made.open_hosts), "vms": len(made.start)}
        uuids = [vm.uuid for vm in made.start]
        each = restore_data(made, record, settings.accepted)
    if record:  # what was accepted at an earlier run does not count: it may have become old again
        old = preconditions.old(record.identity, record.phase, len(record.vms), record.age, params["max_age"], settings.accept)
        made.collect(old, settings.accepted if any(refusal.item in (now or ()) for refusal in old) else ())
    known = {*(vm.uuid for vm in record.vms), *(host.uuid for host in record.hosts)} if record else set()
    unused = [item for item in settings.accepted.unused(params["purpose"]) if item.partition(":")[2] not in known]
    head.lines += _accept.plan_lines(recorded, now, SHOWN)
    if not head.refusals and not made.refusals:
        head.warnings += _accept.notes(unused, now or [])
    items = head.items + made.items
    refusals = head.refusals + made.refusals
    lines = made.lines + head.lines + [f"Note: {warning}" for warning in head.warnings + made.warnings]
    if refusals:
        lines += refused_lines(refusals)
        if items:
            lines.append(f"To accept what can be accepted: {_accept.accept_argument(settings.accept, items)}")
    return {
        "changed": False,
        "lines": lines,
        "refusals": refusals,
        "complete": complete,
        "refused_items": items,
        "accepted": settings.accept,
        "osd_flags": record.osd_flags if record else [],
        "exclude": settings.exclude,
        "counts": counts,
        "stats": workflow_stats.of_plan(record.identity if record else "", record.phase if record else "", counts, len(refusals)),
        "vms": uuids,
        "each": each,
        "worst_seconds": made.worst_seconds,
        "whole_seconds": made.whole_seconds,
    }


def survey_restore(
    params: dict[str, t.Any], folder: str, api: Api, settings: Settings, head: Plan, record: RecordFacts | None
) -> tuple[Plan, str]:
    """The plan of a restore, and the id of the last maintenance where that has restored all of it and all still is so."""
    made, adopting = Plan(), params["running_vms"] or ""
    if record is None and head.refusals:
        return made, ""
    ended = last_ended(folder) if record is None and not adopting else None
    different: list[str] = []
    if ended and ended.complete and ended.age <= params["max_age"] * 3600:
        different = differences(params, api, ended)
        if not different:
            made.lines = [
                f"Platform: {settings.place}",
                f"Restored already: maintenance {ended.identity} ended complete at {ended.done_at}. Its {ended.recorded} VMs and "
                f"{len(ended.hosts)} hosts are as it left them. Nothing to do.",
            ]
            return made, ended.identity
    running = wait_for_api(params, api) if record or adopting else None
    ceph_is_back = params["ceph_is_back"] or bool(params["ceph_host"])
    if record:
        listed = listed_hosts(api) if running is not None else None
        made = plan_restore(settings, record, running, listed, adopting, ceph_is_back)
    elif adopting:
        rows, open_hosts = files.read_running_vms(adopting), params["open_hosts"]
        made = plan_adoption(settings, adopting, rows, open_hosts, ceph_is_back)
    else:
        made = nothing_to_restore(folder, ended, elsewhere_text(params))
    if different and ended:
        made.lines.append(f"Not as maintenance {ended.identity} left it at {ended.done_at}: {len(different)}")
        made.lines += named_lines(different, "  ")
    say_storage(made, params["ceph_host"], record.osd_flags if record else [])
    return made, ""


def differences(params: dict[str, t.Any], api: Api, ended: Ended) -> list[str]:
    """What is not as a complete maintenance left it. The lists are waited for, as a restore does."""
    if wait_for_api(params, api) is None:
        return [f"{params['api_host']} gives no list of VMs"]
    return ended.differences(api.vms(rows_kept=False), api.hosts())


def refused_lines(refusals: list[str]) -> list[str]:
    """Each reason with its number, cut after a screen; what accepts them is never cut."""
    lines = ["Refused, because:", *(f"  {number}. {text}" for number, text in enumerate(refusals[:SHOWN_REFUSALS], 1))]
    if len(refusals) > SHOWN_REFUSALS:
        lines.append(f"  and {len(refusals) - SHOWN_REFUSALS} more reasons; -e ceph_maint_plan_file=/path/plan.json has all of them")
    return lines


def check_scope(params: dict[str, t.Any], settings: Settings, vms: t.Iterable[Vm]) -> Scope:
    """The scope with its plain lists made into C(exclude), and what of it and of the groups matches no VM."""
    lists = {name: params.get(name) or [] for name in LISTS}
    scope = scope_of(vms, settings.query, settings.exclude, lists)
    check(scope, vms, settings.query, settings.exclude, settings.groups)
    settings.scope_lines = given_lines(settings.query, settings.exclude, lists)
    settings.exclude = scope.exclude
    return scope


def say_scope(plan: Plan, scope: Scope, settings: Settings, opened: bool) -> None:
    """Refuse what matches nothing before a record is made. Later VMs may have gone, and what was begun goes on."""
    for text in scope.ambiguous:
        plan.refuse(text, ())
    for text, item in scope.unmatched:
        if opened:
            plan.warnings.append(text)
        else:
            plan.refuse(text, settings.accepted, item)


def plan_earlier(plan: Plan, before: Earlier, settings: Settings, vms: VmList, record: RecordFacts | None) -> set[str]:
    """Refuse starts of ended maintenances that may still bring a VM up. Returns the uuids of these VMs.

    One that runs is stopped like any other, and then nothing is at work on it; one that the scope leaves out is told of only.
    """
    scope = in_scope(vms.vms.values(), settings.query, settings.exclude)
    stopped = {vm.uuid for vm in record.vms if vm.stop_done} if record else set()
    waiting = [vm.uuid for vm in vms.vms.values() if vm.state not in (model.RUNNING, model.DELETED) and vm.uuid not in stopped]
    left = {uuid: before.starts[_accept.START_LEFT(uuid)] for uuid in waiting if _accept.START_LEFT(uuid) in before.starts}
    inside = {uuid: text for uuid, text in left.items() if uuid in scope and _accept.START_LEFT(uuid) not in settings.accepted}
    told = [text for uuid, text in left.items() if uuid not in inside]
    lost = [before.lost[uuid] for uuid in waiting if uuid in before.lost]
    if inside:
        plan.refuse(f"{starts_text(list(inside.values()))}.", settings.accepted, *map(_accept.START_LEFT, inside))
    if told:
        plan.warnings.append(f"Accepted, or left out by the scope: {len(told)} starts that nobody has seen end. {starts_text(told)}.")
    if lost:
        plan.warnings.append(f"Accepted as lost in an earlier maintenance: {len(lost)} VMs. One that comes up is stopped. {starts_text(lost)}.")
    for item, text in before.unread.items():
        plan.refuse(f"{text}. Mend it, or see for yourself that no start is left at work.", settings.accepted, item)
    return set(left)


def add_storage(
    plan: Plan, params: dict[str, t.Any], vms: VmList, record: RecordFacts | None, accept: t.Container[str]
) -> None:
    """What Ceph says against a prepare, before any host is closed."""
    storage = assessment.read(params["ceph_host"], params["ceph"])
    if storage is None:
        plan.warnings.append(assessment.NOT_ASKED)
        return
    plan.lines += assessment.plan_lines(storage)
    recorded = {vm.uuid for vm in record.vms} if record else set()
    for text, items in assessment.plan_reasons(storage, vms.vms, record.ceph_fsid if record else "", recorded):
        plan.refuse(text, accept, *items)
    note = assessment.plan_note(storage)
    if note:
        plan.warnings.append(note)


def say_storage(plan: Plan, host: str | None, flags: list[str]) -> None:
    """What a restore does about Ceph. C(flags): those that the prepare set."""
    if host:
        plan.lines.append(f"Ceph: asked on {host} before anything is opened or started")
        return
    plan.lines.append(
        "Ceph: not asked (ceph_maint_ceph_host is not set); that it serves, and that no guest still has an image open, is not proved"
    )
    if flags:
        plan.warnings.append(
            f"Flags of Ceph that this maintenance set are not unset without ceph_maint_ceph_host: {', '.join(flags)}. Give it as in the "
            "prepare, or unset each by hand: ceph osd unset FLAG"
        )


def settings_of(params: dict[str, t.Any], accept: list[str]) -> Settings:
    """The operator's wishes, out of options that may be plain strings, and what is accepted."""
    plain = {one.name: params[one.name] or "" if one.default == "" else params[one.name] for one in dataclasses.fields(Settings) if one.name in params}
    parsed = {
        "accept": accept,
        "keep_closed": params["hosts_keep_closed"],
        "groups": options.groups(params["groups"]),
        "canary_vms": params["canary_vms"] or [],
        "never_force": params["never_force"],
        "window": params["window"] * 60,
    }
    return Settings(**{**plain, **parsed})


def open_record(params: dict[str, t.Any]) -> Record | None:
    """The open record, if there is one."""
    places = Places.of(params)
    record = find_whole(places.path, params["accept"] or [], places.copy_dir, "status")
    return record if record and record.phase != DONE else None


def record_facts(params: dict[str, t.Any], places: Places, plan: Plan, accept: _accept.Accepted) -> RecordFacts | None:
    """What a plan needs of the open record, or of what a run would make of a damaged one."""
    try:
        return facts_of(find(places.path, accept, places.copy_dir), bool(params["groups"]))
    except DamagedRecord as damage:
        salvage = look(damage, places.copy_dir)
    except Refused as exc:
        plan.refuse(str(exc), accept, *exc.items)
        return None
    adopting = bool(params["running_vms"])
    if not (adopting and salvage.damage.missing):
        plan.refuse(salvage.text(), accept, *([salvage.item] if salvage.source or adopting else []))
    if adopting or not salvage.source:
        return None
    with tempfile.TemporaryDirectory() as inside:
        path = os.path.join(inside, paths.RECORD_NAME)
        record, _token = salvage.rebuild(path, places.name, places.location, "plan", "plan")
        with contextlib.closing(record):
            return facts_of(record, bool(params["groups"]))


def facts_of(record: Record | None, rows: bool) -> RecordFacts | None:
    """C(None) for no record, and for one that is done. C(rows): with those of the platform, out of which groups are made."""
    if record is None or record.phase == DONE:
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
        vms=record.vms(rows),
        accepted=record.accepted(),
        osd_flags=record.osd_flags(),
        ceph_fsid=maintenance["ceph_fsid"],
        force=force_limit.Kept(record.never_force(), record.spared_by_group(), record.forced()),
    )


def check_folders(plan: Plan, places: Places, preparing: bool, settings: Settings) -> None:
    """Where the record lies, or is to lie."""
    mounts, names = paths.read_mounts(), {"ceph_maint_record_dir": places.record_dir or places.folder}
    if preparing and places.record_copy:
        names["ceph_maint_record_copy"] = places.record_copy
        plan.collect(map(Refusal, filter(None, [paths.folder_problem(places.record_copy, "ceph_maint_record_copy")])), ())
    for name, one in names.items() if preparing else ():
        mount = paths.mount_of(one, mounts)
        if mount and mount.on_ceph:
            text = f"{name} {one} lies on Ceph ({mount.device}), which is about to go down with it. Choose another disk."
            plan.refuse(text, settings.accepted, _accept.DISK(f"{name}-{model.digest(one)}"))
        elif mount and mount.on_network and name == "ceph_maint_record_dir":
            plan.warnings.append(
                f"{name} {one} lies on a network file system ({mount.kind}, {mount.device}). File locks may not "
                "hold there, so that two runs may not see each other, and the server must stay up. A disk of this machine is "
                "better."
            )
    plan.collect([*preconditions.container(places), *preconditions.folders(places)], settings.accepted)
    if preparing:
        plan.lines.append(f"Record: {places.path} (private to user id {os.geteuid()}; a team shares it by running as one account)")


def check_copy(plan: Plan, places: Places, accepted: t.Container[str], new: bool) -> None:
    """Show where the second copy lies. One that would be lost with the record is refused before a record is made, and noted on an open one."""
    copy, folder, mounts = places.record_copy, places.folder, paths.read_mounts()
    if not copy:
        return
    plan.lines.append(
        f"Second copy of the record: {copy} (on {paths.describe_disk(copy, mounts)}); the record: {folder} "
        f"(on {paths.describe_disk(folder, mounts)})"
    )
    found = preconditions.copy_disk(places)
    if new:
        plan.collect(found, accepted)
    else:
        plan.warnings += [text for text, item in found if item not in accepted]
    mount = paths.mount_of(copy, mounts)
    if mount and mount.in_memory:
        plan.warnings.append(f"ceph_maint_record_copy {copy} lies in memory ({mount.kind} at {mount.point}): a restart of this machine loses it.")


def check_room(plan: Plan, params: dict[str, t.Any], vms: int, new: bool) -> None:
    """Refuse to begin a record on a disk that is nearly full. On an open record it is a warning."""
    for name in ("record_dir", "record_copy"):
        problem = paths.room_problem(params[name], vms) if params[name] else None
        if problem:
            (plan.refusals if new else plan.warnings).append(f"ceph_maint_{name} {params[name]} {problem}")
