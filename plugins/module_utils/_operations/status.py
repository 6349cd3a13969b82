# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Where a maintenance stands: what its record says and what the platform shows now, for programs and on one screen. Writes nothing."""

from __future__ import annotations

import os
import typing as t

from .. import _accept
from .._api import model
from .._api.endpoints import Api
from .._api.model import VmList, count_by
from .._errors import ApiError, AuthError
from .._plan.earlier_records import kept_records
from .._record import controller
from .._record.exports import SUMMARY
from .._record.lock import Lock, describe
from .._record.other_names import OtherRecord
from .._record.paths import RECORD_NAME
from .._record.record import OPENING, SAFE, STARTING, Record
from .._report import data as _data
from .._report import workflow_stats

# So many of what is left are named: one screen.
NAMED = 10
# As much of a summary is read, in characters, and so many lines are shown.
# Of a run.
NOT_SHOWN = ("token", "controller", "step", "step_at", "step_until")
MOST_OF_A_SUMMARY, SHOWN_OF_A_SUMMARY = 100_000, 40


def no_maintenance(path: str, api: Api, others: list[OtherRecord]) -> dict[str, t.Any]:
    """Nothing is open here. C(others): open records of the same API host under another location name.

    Calls the API once, so that a wrong address or key shows before the night.
    """
    folder = os.path.dirname(path)
    kept = kept_records(folder)
    last = summary_of(os.path.join(folder, kept[-1])) if kept else []
    lines = [f"No maintenance is open in {folder}.", *(other.text() for other in others), *(f"  kept: {name}" for name in kept[-5:])]
    if last:
        lines += ["The last one, as its summary tells:", *(f"  {line}".rstrip() for line in last)]
    access = api_access(api)
    lines.append(access["line"])
    data = {"open": False, "folder": folder, "kept": kept, "last": last, "api": access, "elsewhere": [other.data() for other in others]}
    return {"changed": False, "open": False, "stats": workflow_stats.NOTHING_OPEN, "lines": lines, "status": data}


def api_access(api: Api) -> dict[str, t.Any]:
    """Whether address, key and read rights work: C(works), counts of VMs, and a line for people."""
    try:
        found = api.vms(rows_kept=False, once=True)
    except AuthError as exc:
        line = f"API: the key is rejected, or may not read: {exc}. Correct ADMIN_APIKEY (ceph_maint_api_key)."
    except ApiError as exc:
        line = f"API: no usable answer: {exc}. Correct API_HOST (ceph_maint_api_host) or ceph_maint_location, or repair the connection."
    else:
        total, running = len(found.vms), len(found.running)
        line = f"API: address, key and read rights work: {total} VMs, running {running}."
        if not total:
            line = "API: address and key work, and no VM is shown. A key without admin rights or a wrong location looks the same."
        return {"works": total > 0, "vms": total, "running": running, "line": line}
    return {"works": False, "vms": None, "running": None, "line": line}


def summary_of(record: str) -> list[str]:
    """Lines of the summary that was kept with a record, and where its files lie; empty when there is none to read."""
    base = record.removesuffix(RECORD_NAME)
    try:
        with open(f"{base}{SUMMARY}", encoding="utf-8", errors="replace") as handle:
            text = handle.read(MOST_OF_A_SUMMARY)
    except OSError:
        return []
    lines = [model.printable(line, 200) for line in text.splitlines()]
    return [*lines[:SHOWN_OF_A_SUMMARY], *(["..."] if len(lines) > SHOWN_OF_A_SUMMARY else []), f"Its files: {base}*"]


def status(record: Record, api: Api, others: list[OtherRecord], accepted: list[str]) -> dict[str, t.Any]:
    """C(status) holds all that C(lines) tell. C(accepted): what this command accepts, beside what the record knows."""
    try:
        now: VmList | ApiError = api.vms(rows_kept=False)
    except ApiError as exc:
        now = exc
    with record.at_rest():
        told = _told(record, now)
        told["status"]["elsewhere"] = [other.data() for other in others]
        told["lines"] += [other.text() for other in others]
        return {**told, "give_up": _data.give_up_refusal(record, [*record.accepted(), *accepted])}


def _told(record: Record, now: VmList | ApiError) -> dict[str, t.Any]:
    run = record.run()
    holder = Lock(os.path.dirname(record.path)).holder() or (run and controller.presence(run).about)
    maintenance, outcome, spared = record.maintenance, _data.Outcome(record), record.spared()
    starting = maintenance["phase"] in (OPENING, STARTING)
    vms, left = outcome.vms, outcome.left if starting else outcome.disobeying
    data: dict[str, t.Any] = {
        "open": True,
        "id": maintenance["id"],
        "phase": maintenance["phase"],
        "phase_since": record.phase_since(),
        "opened_at": maintenance["opened_at"],
        "reason": model.printable(maintenance["reason"], 200),
        "last_run": {name: value for name, value in (run or {}).items() if name not in NOT_SHOWN},
        "at_work": {name: value for name, value in holder.items() if name != "run"} if holder else None,
        "hosts": {
            "recorded": len(record.hosts()),
            "left_closed": outcome.ours,
        },
        "vms": {
            "recorded": len(vms),
            "stop": count_by(vm.stop.outcome or "" for vm in vms),
            "start": count_by(vm.start.outcome or "" for vm in vms),
            # Those that may be forced off.
            "outlived": sum(1 for vm in vms if vm.outlived and vm.uuid not in spared),
        },
        "platform": platform(now, [vm.uuid for vm in vms]),
        "left": [{"uuid": vm.uuid, "user_id": vm.owner, "name": vm.name, "why": _data.why_left(vm, starting, spared)} for vm in left],
        "safe": safe_line(record, now) if maintenance["phase"] == SAFE else "",
        "accepted": record.accepted(),
        "next": _data.NEXT_STEP[maintenance["phase"]],
    }
    return {
        "changed": False,
        "open": True,
        "phase": maintenance["phase"],
        "id": maintenance["id"],
        "stats": workflow_stats.of_record(record),
        "outlived": data["vms"]["outlived"],
        "left": len(outcome.left),
        "left_lines": _data.start_lines(record),
        "lines": lines_of(data, describe(holder) if holder else "nobody"),
        "status": data,
    }


def shortened(told: dict[str, t.Any]) -> dict[str, t.Any]:
    """As a task's result: what is left may be thousands of tenants' VMs."""
    left = told["status"].get("left", [])
    return {**told, "status": {**told["status"], **({"left": left[:NAMED], "left_count": len(left)} if told["open"] else {})}}


def lines_of(data: dict[str, t.Any], at_work: str) -> list[str]:
    """One screen of it."""
    run, hosts, vms, left = data["last_run"], data["hosts"], data["vms"], data["left"]
    lines = [
        f"Record {data['id']}: phase {data['phase']} since {data['phase_since']}, opened {data['opened_at']}"
        + (f", reason: {data['reason']}" if data["reason"] else ""),
        f"Last run: {run.get('actor')}, {run.get('purpose')}, since {run.get('since')}"
        + (f", ended {run['ended']}" if run.get("ended") else ", not ended"),
        f"At work now: {at_work}",
        f"Hosts recorded {hosts['recorded']}, closed by us and not open again {len(hosts['left_closed'])}",
        f"VMs recorded {vms['recorded']}. Stop: {_data.counts_text(vms['stop'])}. Start: {_data.counts_text(vms['start'])}",
        data["platform"]["line"],
    ]
    if left:
        lines.append(f"Left: {len(left)}")
        lines += [f"  owner {vm['user_id']}: {vm['uuid']} {vm['name']}".rstrip() + f": {vm['why']}" for vm in left[:NAMED]]
        if len(left) > NAMED:
            lines.append(f"  and {len(left) - NAMED} more")
    return [*lines, *filter(None, [data["safe"]]), f"Next: {data['next']}"]


def platform(now: VmList | ApiError, recorded: list[str]) -> dict[str, t.Any]:
    """What the platform shows of the recorded VMs."""
    if isinstance(now, ApiError):
        return {"line": f"Platform now: it does not tell: {now}"}
    states = count_by(now.vms[uuid].state if uuid in now.vms else "not listed" for uuid in recorded)
    shown = ", ".join(f"{state} {count}" for state, count in states.items()) or "none recorded"
    running = len(now.running)
    return {
        "recorded": states,
        "running": running,
        "line": f"Platform now: of the recorded VMs: {shown}; running in all {running}",
    }


def safe_line(record: Record, now: VmList | ApiError) -> str:
    """What was proved, and whether anything is known against it since. No list of now is a proof."""
    maintenance, accepted = record.maintenance, record.accepted()
    proved = f"{maintenance['headline'].rstrip('.')}, proved at {maintenance['safe_at']}"
    verify = "Prove it again: ansible-playbook pilw.maintenance.ceph_maint_verify"
    if isinstance(now, ApiError):
        return f"The API does not answer, so whether this still holds cannot be verified now: {proved}. {verify}"
    up = [vm for vm in now.holding if _accept.VM(vm.uuid) not in accepted]
    if up:
        named = ", ".join(vm.label() for vm in up[:3]) + (", ..." if len(up) > 3 else "")
        return (
            f"NOT SAFE ANY MORE: {proved}, and {len(up)} VMs are not stopped now: {named}. To stop them: "
            "ansible-playbook pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true"
        )
    return f"{proved}. {verify}"
