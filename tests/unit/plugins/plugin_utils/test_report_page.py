# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for people: what it says, in which order, and that what tenants wrote stays text."""

from __future__ import annotations

import html.parser
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.plugin_utils import report_page
from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_chart import HEIGHT, WIDTH, chart
from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_page import by_number, duration, render, view


def at(minute):
    return f"2027-01-15T{8 + minute // 60:02}:{minute % 60:02}:00Z"


def vm(uuid="a", owner="8", **more):
    empty = dict.fromkeys(("stop", "stop_error", "stopped_at", "start", "start_error", "started_at"))
    return {"uuid": uuid, "user_id": owner, "status": "running", "name": f"vm {uuid}", "late": False, "accepted": False, **empty, **more}


def report(vms=(), attention=None, headline="2 of 2 VMs run again or are gone", phase="done", **more):
    vms = list(vms) or [vm()]
    words = {}
    for action in ("stop", "start"):
        words[action] = {}
        for one in vms:
            words[action][one[action] or ""] = words[action].get(one[action] or "", 0) + 1
    empty = {"location": "", "reason": "", "query": "", "exclude": "", "adopted_from": None, "safe_at": None, "done_at": None}
    return {
        "headline": headline,
        "written_at": at(90),
        "maintenance": {"id": "20270115T080000Z-aaaaaa", "api_host": "api.example.com", "phase": phase, "opened_at": at(0), **empty},
        "runs": [{"actor": "ann", "purpose": "prepare", "since": at(0), "ended": None}],
        "phases": [{"phase": "closing", "at": at(0)}, {"phase": "stopping", "at": at(1)}, {"phase": "safe", "at": at(30)}],
        "running": [{"at": at(0), "running": len(vms)}, {"at": at(20), "running": 0}],
        "attention": attention or {},
        "counts": {"vms": len(vms), "late": 0, **words},
        "osd_flags": [],
        "hosts": [{"uuid": "h1", "name": "rack1", "before": True, "now": None, "keep_closed": False, "closed_by_us": True, "error": "PUT answered 500"}],
        "hosts_left_closed": [],
        "vms": vms,
        "events": [
            {"number": 1, "at": at(1), "run": "r", "what": "host is being closed", "uuid": "h1", "detail": None},
            {"number": 2, "at": at(2), "run": "r", "what": "stop sent", "uuid": "a", "detail": None},
            {"number": 3, "at": at(3), "run": "r", "what": "accepted", "uuid": None, "detail": "vm:a"},
        ],
        **more,
    }


class Page(html.parser.HTMLParser):
    """The text of a page, its elements, and that every element is closed."""

    VOID = {"meta", "link", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def test_the_page_is_one_whole_without_script_or_anything_from_elsewhere():
    text = render(report())
    page = Page(text)
    names = {name for name, _attributes in page.elements}
    assert not names & {"script", "iframe", "object", "embed", "img", "form", "base", "a"}
    assert not re.search(r"https?:|//|url\(|@import|javascript:", text.replace("http-equiv", ""))
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}) in page.elements
    assert not any(name.startswith("on") for _tag, attributes in page.elements for name in attributes)


HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</style><svg onload=alert(1)>",
    "<!-- --> &lt;b&gt; &amp;",
    "\u202etxt.exe",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_tenant_wrote_stays_text_everywhere(text):
    hostile = vm(text, text, name=text, status=text, stop="forced", stop_error=text, start="failed", start_error=text, stopped_at=text, started_at=text)
    entry = {"id": text, "name": text, "owner": text, "why": text}
    data = report([hostile], {text: [entry], "Power was cut": [entry] * 40}, headline=text)
    data["maintenance"].update(reason=text, query=text, exclude=text, adopted_from=text, location=text)
    data["hosts"][0].update(name=text, error=text)
    data["events"].append({"number": 4, "at": at(4), "run": "r", "what": text, "uuid": None, "detail": text})
    data["runs"][0]["actor"] = text
    page, plain = Page(render(data)), Page(render(report(attention={"Power was cut": [entry]})))
    assert {name for name, _attributes in page.elements} <= {name for name, _attributes in plain.elements} | {"br", "dd", "dt", "span"}
    assert not any(name.startswith("on") for _tag, attributes in page.elements for name in attributes)
    assert text in "".join(page.texts)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_any_name_can_be_shown(name):
    assert Page(render(report([vm(name=name)])))


def test_what_needs_attention_stands_before_the_rest_in_the_order_of_the_report():
    entry = {"id": "a", "name": "web", "owner": "8", "why": "look at its file system"}
    attention = {"Ran through the outage": [entry], "Hosts still closed": [{**entry, "owner": ""}], "Accepted": [{**entry, "why": ""}]}
    text = Page(render(report([vm(stop="clean", start="running")], attention))).text
    places = [text.index(words) for words in ("2 of 2 VMs", "Needs attention", *attention, "Counts", "Running VMs over time", "Owners", "Hosts 1", "Timeline")]
    assert places == sorted(places)
    assert "owner 8 : a web: look at its file system" in text


def test_many_entries_are_folded():
    entries = [{"id": f"v{number}", "name": "", "owner": "8", "why": "power"} for number in range(100)]
    page = Page(render(report(attention={"Power was cut": entries})))
    assert "Power was cut 100" in page.text and "88 more" in page.text
    assert all(f"v{number}" in page.text for number in range(100))


def test_a_vm_whose_power_was_cut_wants_a_check():
    text = Page(render(report([vm(stop="forced", start="running"), vm("b", stop="clean", start="failed", start_error="answered 500")]))).text
    assert "power cut check its file system" in text and "answered 500" in text


def test_owners_with_something_to_look_at_come_first_and_then_by_number():
    entry = {"id": "c", "name": "", "owner": "10", "why": "down"}
    shown = view(report([vm("a", "9"), vm("b", "11"), vm("c", "10"), vm("d", "ann"), vm("e", "10")], {"Did not come back": [entry]}))["owners"]
    assert [one["owner"] for one in shown] == ["10", "9", "11", "ann"]
    assert [one["uuid"] for one in shown[0]["vms"]] == ["c", "e"] and shown[0]["marked"] == 1


def test_of_very_many_vms_a_page_names_some_and_counts_all(monkeypatch):
    monkeypatch.setattr(report_page, "MOST_VMS", 5)
    monkeypatch.setattr(report_page, "MOST_ENTRIES", 20)
    vms = [vm(f"{owner}-{number}", str(owner)) for owner in range(4) for number in range(4)]
    marked = {"id": "3-3", "name": "", "owner": "3", "why": "down"}
    entries = [marked, *({"id": f"v{number}", "name": "", "owner": "9", "why": "down"} for number in range(29))]
    data = report(vms, {"Did not come back": entries})
    shown = view(data)["owners"]
    assert [(one["owner"], len(one["vms"]), one["left_out"], one["count"]) for one in shown] == [
        *(("3", 4, 0, 4), ("0", 1, 3, 4), ("1", 0, 4, 4), ("2", 0, 4, 4)),
    ]
    assert shown[0]["vms"][0]["uuid"] == "3-3"
    text = Page(render(data)).text
    assert "Did not come back 30" in text and "18 more" in text and "and 10 more: report.json has them." in text and "v28" not in text


@pytest.mark.parametrize(
    ("tone", "more"),
    [
        ("good", {}),
        ("good", {"phase": "safe", "headline": "SAFE TO TAKE CEPH DOWN", "attention": {"Power was cut": [{"id": "a"}]}}),
        ("fair", {"phase": "safe", "headline": "SAFE EXCEPT 1 ACCEPTED: a"}),
        ("fair", {"phase": "safe", "headline": "ALL VMS STOPPED. CEPH WAS NOT CHECKED."}),
        ("fair", {"phase": "stopping", "headline": "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN"}),
        ("fair", {"attention": {"Not tried yet": [{"id": "a"}]}}),
        ("fair", {"hosts_left_closed": [{"ours": True}]}),
        ("good", {"hosts_left_closed": [{"ours": False}]}),
        ("bad", {"phase": "stopping", "headline": "NOT SAFE TO TAKE CEPH DOWN"}),
        ("bad", {"attention": {"Did not come back": [{"id": "a"}]}}),
        ("bad", {"attention": {"Ran through the outage": [{"id": "a"}]}}),
    ],
)
def test_how_the_headline_looks(tone, more):
    assert report_page.tone(report(**more)) == tone


def test_counts_are_named_for_programs_and_no_start_is_told_before_one():
    text = render(report([vm(stop="clean"), vm("b", stop="forced"), vm("c", "9", stop="clean")]))
    assert re.findall(r'id="count-([\w-]+)">(\d+)<', text) == [
        *(("vms", "3"), ("owners", "2"), ("stop-clean", "2"), ("stop-forced", "1"), ("hosts", "1"), ("hosts-closed", "0")),
    ]
    text = render(report([vm(stop="clean", start="running"), vm("b", stop="refused")]))
    assert re.findall(r'id="count-([\w-]+)">(\d+)</b><span>([^<]+)<', text)[2:6] == [
        *(("stop-clean", "1", "stopped clean"), ("stop-refused", "1", "refused (at the stop)")),
        *(("start-running", "1", "running again"), ("start-not-tried", "1", "not tried (at the start)")),
    ]


def test_events_of_single_vms_are_left_to_the_report():
    text = Page(render(report())).text
    assert "host is being closed" in text and "h1 rack1" in text and "vm:a" in text and "stop sent" not in text


def test_hosts_before_and_after():
    text = Page(render(report())).text
    assert "h1 rack1 open not known closed by this maintenance; PUT answered 500" in text


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (360000, "100 h 00 min"), (-5, "0 s")])
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_owners_sort_as_numbers_where_they_are():
    assert sorted(["10", "9", "b", "²", ""], key=by_number) == ["9", "10", "", "b", "²"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100 * 60), st.integers(0, 100000)), min_size=1, max_size=50, unique_by=lambda one: one[0]),
    st.lists(st.integers(0, 100 * 60), max_size=12),
    st.integers(0, 2000),
)
def test_the_chart_stays_within_its_drawing(running, begins, later):
    def clock(seconds):
        return f"2027-01-{15 + seconds // 86400:02}T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"

    running = sorted(running)
    phases = [{"phase": "stopping", "at": clock(max(second, running[0][0]))} for second in sorted(begins)]
    drawn = chart([{"at": clock(second), "running": count} for second, count in running], phases, clock(running[-1][0] + later * 60))
    numbers = [float(number) for number in re.findall(r"[MHV]([\d.]+)", drawn["line"])]
    assert all(0 <= number <= WIDTH for number in numbers)
    assert all(0 <= band["x"] and band["x"] + band["width"] <= WIDTH for band in drawn["phases"])
    assert all(drawn["top"] <= count["y"] <= drawn["base"] for count in drawn["counts"]) and 2 <= len(drawn["counts"]) <= 6
    assert 2 <= len(drawn["times"]) <= 9 and drawn["base"] < HEIGHT
    rows = {}
    for band in drawn["phases"]:
        if band["label_y"] is not None:
            assert rows.get(band["label_y"], 0) <= band["label_x"], "one label covers another"
            rows[band["label_y"]] = band["label_x"] + len(band["phase"]) * 9
