# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The report in its other forms, from its data: a table of VMs, a short text for a ticket, and its files.

What tenants wrote stays text.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import typing as t

from .._api.model import count_by, printable
from .._errors import InputError, RecordError
from .._record import files as _files
from .._record.files import json_text
from .data import SHOWN, counts_text, without_vm_events

# The shell runbook's three columns first.
COLUMNS = ("uuid", "owner", "status", "name", "stop", "stop_error", "stopped_at", "start", "start_error", "started_at", "late", "accepted")


def vms_csv(data: dict[str, t.Any]) -> str:
    """One line a VM, with a head line. Lines end as RFC 4180 wants it."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for vm in data["vms"]:
        table.writerow([_cell({**vm, "owner": vm["user_id"]}[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: t.Any) -> str:
    """No spreadsheet takes it for a formula."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def summary_md(data: dict[str, t.Any]) -> str:
    """What a ticket needs: what happened, what needs attention, and the counts."""
    maintenance, counts = data["maintenance"], data["counts"]
    where = maintenance["api_host"] + (f", location {maintenance['location']}" if maintenance["location"] else "")
    times = {"opened": maintenance["opened_at"], "safe": maintenance["safe_at"], "ended": maintenance["done_at"]}
    lines = [
        f"# Ceph maintenance {maintenance['id']}: {_plain(data['headline'])}",
        "",
        f"- Platform: {_plain(where)}",
        *([f"- Reason: {_plain(printable(maintenance['reason'], 200))}"] if maintenance["reason"] else []),
        "- Times (UTC): " + ", ".join(f"{what} {at}" for what, at in times.items() if at),
        f"- VMs recorded: {counts['vms']}, of {len({vm['user_id'] for vm in data['vms']})} owners",
        f"- Stop: {counts_text(counts['stop'])}",
        f"- Start: {counts_text(counts['start'])}",
        f"- Hosts recorded: {len(data['hosts'])}",
    ]
    for title, entries in data["attention"].items():
        lines += ["", f"## {title}: {len(entries)}", ""]
        owners = count_by(entry["owner"] for entry in entries if entry["owner"])
        if len(entries) > SHOWN:
            lines.append("By owner: " + ", ".join(f"{_plain(owner)}: {count}" for owner, count in list(owners.items())[:SHOWN]))
            lines.append("")
        lines += [f"- {_entry(entry)}" for entry in entries[:SHOWN]]
        if len(entries) > SHOWN:
            lines.append(f"- and {len(entries) - SHOWN} more; all of them are in report.json")
    return "\n".join(lines) + "\n"


def _entry(entry: dict[str, str]) -> str:
    owner = f"owner {entry['owner']}: " if entry["owner"] else ""
    return _plain(f"{owner}{entry['id']} {entry['name']}".rstrip() + (f": {entry['why']}" if entry["why"] else ""))


def _plain(text: str) -> str:
    """Nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&@])", r"\\\1", text)


def page_name(report: str) -> str:
    """How the page of a report is called, that lies beside it."""
    return re.sub(r"\.json$", "", report) + ".html"


def named_files(data: dict[str, t.Any], page: str) -> dict[str, str]:
    """All forms of a report under the id of its maintenance, for a folder that holds those of many.

    What makes up a name came with the report from another host: nothing but an id gets into a path.
    """
    identity = data["maintenance"]["id"]
    if not isinstance(identity, str) or not re.fullmatch("[0-9A-Za-z-]{1,64}", identity):
        raise ValueError(f"{str(identity)!r} is no id of a maintenance")
    files = {"report.html": page, "report.json": "".join(json_text(data)), "vms.csv": vms_csv(data), "summary.md": summary_md(data)}
    return {f"{identity}.{name}": text for name, text in files.items()}


SPEC = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path"},
    "fetch_dest": {"type": "path"},
    "page": {"type": "str", "no_log": True},  # Ansible logs each option of a module
}


def read(src: str) -> dict[str, t.Any]:
    """The report that lies there."""
    try:
        data = json.loads(_files.read_private(src))
        if not isinstance(data, dict) or "running" not in data:
            raise ValueError("it is no report of this version")
    except (OSError, ValueError) as exc:
        raise InputError(f"The report {src} cannot be read: {exc}. No page was made. What the record holds is not touched by that.") from exc
    return data


def written(params: dict[str, t.Any], check_mode: bool) -> list[str]:
    """Put the page where it belongs, each file whole. Beside its report first: that waits for no second place."""
    page, dest = page_name(params["src"]), params["dest"]
    if not check_mode:
        try:
            _files.write_text(page, params["page"])
        except (OSError, ValueError) as exc:
            raise RecordError(
                f"The report could not be written: {exc}. The record, and report.json beside it, are whole. Make room or mend the disk."
            ) from exc
    return [page, *(_written_again(dest, params, page, check_mode) if dest else [])]


def _written_again(dest: str, params: dict[str, t.Any], page: str, check_mode: bool) -> list[str]:
    """All forms of it in another folder."""
    if not os.path.isabs(dest):
        raise InputError(f"The folder for the report, {dest}, is no absolute path. Set ceph_maint_report_dir to one. The page is {page}")
    data = read(params["src"])
    try:
        return _files.write_all(dest, named_files(data, params["page"]), check_mode)
    except (OSError, ValueError) as exc:
        raise RecordError(
            f"The report could not be written to {dest}: {exc}. Mend that, or set ceph_maint_report_dir to a folder that can be written. "
            f"The page is {page}"
        ) from exc


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Without a page return the report that it is to be made of, else write the page."""
    if params["page"] is None:
        data = read(params["src"])
        # As text: Ansible would look into each of a hundred thousand entries.
        return {"changed": False, "report": json.dumps(data if params["fetch_dest"] else without_vm_events(data))}
    return {"changed": True, "page": page_name(params["src"]), "files": written(params, check_mode), "fetched": []}
