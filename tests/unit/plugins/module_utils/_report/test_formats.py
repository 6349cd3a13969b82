# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of VMs and the text for a ticket: all of it, and what tenants wrote stays text."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import Host, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, Record
from ansible_collections.pilw.maintenance.plugins.module_utils._report import data as _data
from ansible_collections.pilw.maintenance.plugins.module_utils._report.formats import named_files, page_name, summary_md, vms_csv


@pytest.fixture
def made(tmp_path):
    record = Record.create(str(tmp_path / "record.sqlite"), api_host="api.example.com", location="tll01", reason="replace\n*disks*")
    yield record, record.begin_run("ann", "prepare")
    record.close()


def add(made, *rows):
    """Each is uuid, owner, name and columns."""
    record, token = made
    record.add_running(token, [parse_vm({"uuid": u, "user_id": o, "name": n, "status": "running"}) for u, o, n, _c in rows], late=False)
    record.write(token, [Change(u, c) for u, _o, _n, c in rows])


def table(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_the_table_has_the_three_columns_of_the_runbook_first_and_every_vm(made):
    add(made, ("a", 8, "web", {"stop_outcome": "clean", "stopped_at": "t1", "state": "stopped"}), ("b", 9, "", {}))
    made[0].accept(made[1], ["vm:b"])
    rows = table(vms_csv(_data.report_data(made[0])))
    assert rows[0][:3] == ["uuid", "owner", "status"] and len(rows[0]) == 12
    assert rows[1] == ["a", "8", "stopped", "web", "clean", "", "t1", "", "", "", "false", "false"]
    assert rows[2] == ["b", "9", "running", "", "", "", "", "", "", "", "false", "true"]


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n\"',;|a1("), max_size=8))
def test_no_cell_is_a_formula_or_breaks_the_table(name):
    vm = dict.fromkeys(("stop", "stop_error", "stopped_at", "start", "start_error", "started_at"))
    rows = table(vms_csv({"vms": [{"uuid": "a", "user_id": "8", "status": "running", "name": name, "late": False, "accepted": False, **vm}]}))
    assert len(rows) == 2 and len(rows[1]) == 12
    assert rows[1][3] in (name, f"'{name}") and not rows[1][3].startswith(("=", "+", "-", "@", "\t", "\r"))


def whole_night(made):
    record, token = made
    record.write_safe(token, "SAFE", [])
    record.remember_hosts(token, [Host("h1", "rack1", True, "", {}), Host("h2", "rack2", False, "", {})], ())
    record.closing_host(token, "h1")
    record.host_written(token, "h1", False, "PUT answered 500")
    add(
        made,
        ("a", 9, "lost", {"stop_outcome": "clean", "start_outcome": "failed", "start_error": "answered 500"}),
        ("b", 8, "fine", {"stop_outcome": "clean", "start_outcome": "running"}),
        ("c", 8, "cut", {"stop_outcome": "forced", "start_outcome": "running"}),
        ("d", 8, "ran", {"stop_outcome": "would_not_stop", "start_outcome": "already_running"}),
        ("e", 9, "left", {"stop_outcome": "clean"}),
        ("f", 9, "given", {"stop_outcome": "clean", "start_outcome": "refused"}),
    )
    record.accept(token, ["lost:f"])


def test_what_needs_attention_stands_in_its_order_with_owner_and_reason(made):
    whole_night(made)
    made[0].set_phase(made[1], "starting")
    data = _data.report_data(made[0])
    assert {title: [(one["id"], one["owner"], one["why"]) for one in entries] for title, entries in data["attention"].items()} == {
        "Ran through the outage": [("d", "8", "look at its file system")],
        "Hosts still closed": [("h1", "", "PUT answered 500"), ("h2", "", "was closed before")],
        "Did not come back": [("a", "9", "answered 500")],
        "Not tried yet": [("e", "9", "down")],
        "Ended without": [("f", "9", "refused")],
        "Power was cut": [("c", "8", "its file system wants a check")],
        "Accepted": [("lost:f", "", "")],
    }
    assert list(data["attention"])[:3] == ["Ran through the outage", "Hosts still closed", "Accepted"]
    assert data["headline"] == "3 of 6 VMs run again or are gone; hosts still closed: 1"


def test_before_a_start_nobody_is_said_not_to_have_come_back(made):
    whole_night(made)
    record, token = made
    record.set_phase(token, "stopping")
    data = _data.report_data(record)
    assert data["headline"] == "NOT SAFE TO TAKE CEPH DOWN"
    assert [one["id"] for one in data["attention"]["Would not stop"]] == ["d"]
    assert "Not tried yet" not in data["attention"] and "Hosts still closed" not in data["attention"]
    record.write_safe(token, "SAFE EXCEPT 1 ACCEPTED: d", ["p"])
    assert _data.report_data(record)["headline"] == "SAFE EXCEPT 1 ACCEPTED: d"


def test_the_text_for_a_ticket(made):
    whole_night(made)
    made[0].set_phase(made[1], "starting")
    data = _data.report_data(made[0])
    data["maintenance"].update(id="20270115T080000Z-aaaaaa", opened_at="t0", safe_at="t1")
    assert summary_md(data).splitlines()[:18] == [
        "# Ceph maintenance 20270115T080000Z-aaaaaa: 3 of 6 VMs run again or are gone; hosts still closed: 1",
        "",
        "- Platform: api.example.com, location tll01",
        r"- Reason: replace \*disks\*",
        "- Times (UTC): opened t0, safe t1",
        "- VMs recorded: 6, of 2 owners",
        "- Stop: stopped clean 4, power cut 1, would not stop 1",
        "- Start: running again 2, not tried 1, already running 1, did not start 1, refused 1",
        "- Hosts recorded: 2",
        "",
        "## Ran through the outage: 1",
        "",
        "- owner 8: d ran: look at its file system",
        "",
        "## Hosts still closed: 2",
        "",
        "- h1 rack1: PUT answered 500",
        "- h2 rack2: was closed before",
    ]


def test_ten_thousand_vms_are_a_short_text(made):
    add(made, *((f"v{number}", number % 70, "", {"stop_outcome": "forced"}) for number in range(1000)))
    lines = summary_md(_data.report_data(made[0])).splitlines()
    assert len(lines) < 70 and "- and 960 more; all of them are in report.json" in lines
    assert any(line.startswith("By owner: 0: 15, ") for line in lines)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[x](https://example.com)", "# head", "| a | b |", "`x` **b** _i_", "a &amp; b", "@all"])
def test_what_a_tenant_wrote_is_no_markdown(made, name):
    add(made, ("a", 8, name, {"stop_outcome": "forced"}))
    (line,) = [line for line in summary_md(_data.report_data(made[0])).splitlines() if line.startswith("- owner 8")]
    shown = line.removeprefix("- owner 8: a ").removesuffix(": its file system wants a check")
    assert all(shown[place - 1] == "\\" for place, letter in enumerate(shown) if letter in "`*_[]()#|<>&@")
    assert shown.replace("\\", "") == name


def test_in_a_folder_of_many_each_file_has_the_id_of_its_maintenance(made):
    add(made, ("a", 8, "web", {}))
    data = _data.report_data(made[0])
    files, identity = named_files(data, "<p>"), made[0].maintenance["id"]
    assert sorted(files) == [f"{identity}.{name}" for name in ("report.html", "report.json", "summary.md", "vms.csv")]
    assert files[f"{identity}.report.html"] == "<p>" and json.loads(files[f"{identity}.report.json"]) == data


def test_the_page_lies_beside_its_report():
    assert page_name("/r/report.json") == "/r/report.html"
    assert page_name("/r/2026.report.json") == "/r/2026.report.html"
    assert page_name("/r.json/report") == "/r.json/report.html"


@pytest.mark.parametrize("identity", ["../../etc/x", "/etc/x", "", "a/b", "a.b", "x\n", None])
def test_what_a_host_gives_as_the_id_leads_to_no_other_folder(made, identity):
    """The files are also written where ansible-playbook runs, under a name that the maintenance host has given."""
    add(made, ("a", 8, "web", {}))
    data = _data.report_data(made[0])
    data["maintenance"]["id"] = identity
    with pytest.raises(ValueError, match="is no id of a maintenance"):
        named_files(data, "")
