# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page, from the data of report.json. What tenants wrote is escaped by Jinja2, and the page runs no script."""

from __future__ import annotations

import os

import jinja2

from ansible_collections.pilw.maintenance.plugins.module_utils._api import model
from ansible_collections.pilw.maintenance.plugins.module_utils._report.data import (
    DISOBEYED,
    NOT_BACK,
    RAN_THROUGH,
    UNTRIED,
    WITHOUT,
    WORDS,
    without_vm_events,
)
from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_chart import chart, seconds

TEMPLATE = "report_page.html.j2"
# Entries that are shown at once; the others are folded.
SHOWN = 12
# VMs that a page names. Of more it names those first that need attention, and report.json has all.
MOST_VMS = 20000
# The same of each title of what needs attention.
MOST_ENTRIES = 5000

# Outcomes that a stop has as well as a start.
_OF_BOTH = frozenset({model.REFUSED, model.VANISHED, ""})
_GOOD = frozenset({model.CLEAN, model.ALREADY_STOPPED, model.VANISHED, model.STARTED, model.ALREADY_RUNNING, ""})


def render(data):
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(view(data)) + "\n"


def view(data):
    """All that the template shows, in the order in which it shows it."""
    maintenance, counts = data["maintenance"], data["counts"]
    attention = [
        {"title": title, "count": len(entries), "first": entries[:SHOWN], "rest": entries[SHOWN:MOST_ENTRIES], "left_out": len(entries[MOST_ENTRIES:])}
        for title, entries in data["attention"].items()
    ]
    end = maintenance["done_at"] or data["written_at"]
    return {
        "headline": data["headline"],
        "tone": tone(data),
        "maintenance": maintenance,
        "written_at": data["written_at"],
        "tiles": tiles(data),
        "attention": attention,
        "chart": chart(data["running"], data["phases"], end),
        "phases": lasted(data["phases"], end),
        "owners": owners(data["vms"], attention_ids(data)),
        "late": counts["late"],
        "hosts": [{**host, "before": flag(host["before"]), "now": flag(host["now"]), "note": note(host)} for host in data["hosts"]],
        "osd_flags": data["osd_flags"],
        "runs": data["runs"],
        "events": told(without_vm_events(data)["events"], data["hosts"]),
    }


def tone(data):
    """good, fair or bad: how the headline looks."""
    phase, headline, attention = data["maintenance"]["phase"], data["headline"], data["attention"]
    if headline.startswith("NOT SAFE") or {RAN_THROUGH, NOT_BACK, DISOBEYED} & set(attention):
        return "bad"
    ours = any(host["ours"] for host in data["hosts_left_closed"]) and phase in ("opening", "starting", "done")
    limited = headline.startswith(("SAFE EXCEPT", "SCOPE")) or headline.endswith(model.CEPH_UNCHECKED)
    if ours or limited or {UNTRIED, WITHOUT} & set(attention):
        return "fair"
    return "good"


def tiles(data):
    """The counts, each with a name for programs."""
    counts, hosts = data["counts"], data["hosts"]
    found = [("vms", counts["vms"], "VMs recorded"), ("owners", len({vm["user_id"] for vm in data["vms"]}), "owners")]
    # Before the first start there is nothing to be said of starts.
    for action in ("stop", "start") if any(counts["start"].get(word) for word in counts["start"] if word) else ("stop",):
        found += [(f"{action}-{word or 'not-tried'}", count, outcome(action, word)) for word, count in counts[action].items()]
    found.append(("hosts", len(hosts), "hosts recorded"))
    found.append(("hosts-closed", len(data["hosts_left_closed"]), "of them closed now"))
    return [{"id": name, "count": count, "text": text} for name, count, text in found]


def outcome(action, word):
    """An outcome in words that stand for themselves."""
    return f"{WORDS[word]} (at the {action})" if word in _OF_BOTH else WORDS[word]


def attention_ids(data):
    """VMs that somebody must look at."""
    return {entry["id"] for entries in data["attention"].values() for entry in entries}


def owners(vms, marked):
    """Each owner with his VMs; those who have something to look at first, then by name."""
    by_owner = {}
    for vm in vms:
        by_owner.setdefault(vm["user_id"], []).append(vm)
    found = [
        {
            "owner": owner,
            "count": len(own),
            "down": sum(1 for vm in own if vm["stop"] in (model.CLEAN, model.FORCED, model.ALREADY_STOPPED, model.VANISHED)),
            "up": sum(1 for vm in own if vm["start"] in (model.STARTED, model.ALREADY_RUNNING, model.VANISHED)),
            "marked": sum(1 for vm in own if vm["uuid"] in marked),
            "vms": [_vm(vm, marked) for vm in sorted(own, key=lambda vm: (vm["uuid"] not in marked, vm["uuid"]))],
        }
        for owner, own in by_owner.items()
    ]
    found.sort(key=lambda one: (not one["marked"], *by_number(one["owner"])))
    room = MOST_VMS
    for one in found:
        one["left_out"] = max(len(one["vms"]) - room, 0)
        one["vms"] = one["vms"][: len(one["vms"]) - one["left_out"]]
        room = max(room - len(one["vms"]), 0)
    return found


def by_number(text):
    """Sorts 9 before 10, and numbers before words."""
    return (0, int(text), "") if text.isascii() and text.isdigit() else (1, 0, text)


def _vm(vm, marked):
    return {
        **vm,
        "marked": vm["uuid"] in marked,
        "stop_text": WORDS[vm["stop"] or ""],
        "start_text": WORDS[vm["start"] or ""],
        "stop_good": (vm["stop"] or "") in _GOOD,
        "start_good": (vm["start"] or "") in _GOOD,
        "why": "; ".join(filter(None, [vm["stop_error"], vm["start_error"]])),
        "check": vm["stop"] == model.FORCED,
    }


def flag(accepting):
    """Whether a host takes workloads, in a word."""
    return "not known" if accepting is None else "open" if accepting else "closed"


def note(host):
    """What else is to be said of a host."""
    return "; ".join(
        filter(None, [host["closed_by_us"] and "closed by this maintenance", host["keep_closed"] and "kept closed as asked", host["error"]])
    )


def lasted(phases, end):
    """Each phase with how long it took."""
    ends = [phase["at"] for phase in phases[1:]] + [end]
    return [{**phase, "lasted": duration(seconds(until) - seconds(phase["at"]))} for phase, until in zip(phases, ends)]


def duration(number):
    """Seconds in words."""
    minutes, rest = divmod(int(max(number, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def told(events, hosts):
    """The events of the maintenance itself and of its hosts. Those of single VMs are in report.json."""
    names = {host["uuid"]: host["name"] for host in hosts}
    return [
        {
            "at": event["at"],
            "what": event["what"],
            "whom": f"{event['uuid']} {names[event['uuid']]}".strip() if event["uuid"] else "",
            "detail": event["detail"] or "",
        }
        for event in events
    ]
