# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: each of its forms says what the platform's own journal says, wherever it is asked for, and its loss fails nothing."""

from __future__ import annotations

import csv
import json
import os
import re
import typing as t
from pathlib import Path

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, open_hosts
from scenarios.test_full_cycle import assert_safe
from simulator.server import Cloud

Platform = t.Callable[..., Operator]
FORMS = ("report.html", "report.json", "summary.md", "vms.csv")


class Journal:
    """What the platform itself knows of a maintenance."""

    def __init__(self, cloud: Cloud, ran: set[str]) -> None:
        self.ran = ran
        self.owner = {vm.uuid: str(vm.owner) for vm in cloud.vms}
        #: The last cause that brought each VM down, and whether it runs now.
        self.down_by: dict[str, str] = {}
        for event in cloud.events:
            if event.uuid in ran and event.state == "stopped":
                self.down_by[event.uuid] = event.cause
        self.running = cloud.in_state("running")
        self.asked_to_start = {entry.uuid for entry in cloud.journal.of("admin_vm_start")}
        self.open_hosts = open_hosts(cloud)
        self.hosts = {host.uuid for host in cloud.hosts}

    def down(self, cause: str) -> set[str]:
        return {uuid for uuid, by in self.down_by.items() if by == cause}


def assert_equal(op: Operator, journal: Journal, folder: Path, prefix: str = "") -> None:
    """Every number of every form, and what became of each VM and host."""
    data = json.loads((folder / f"{prefix}report.json").read_text())
    by = {name: {vm["uuid"] for vm in data["vms"] if vm["stop"] == name} for name in ("clean", "forced")}
    assert by == {"clean": journal.down("stop"), "forced": journal.down("force")}
    assert {vm["uuid"] for vm in data["vms"]} == journal.ran and data["counts"]["vms"] == len(journal.ran)
    assert all(journal.owner[vm["uuid"]] == vm["user_id"] for vm in data["vms"])
    stop = {name: len(uuids) for name, uuids in by.items() if uuids}
    start: dict[str, int] = {}
    if journal.asked_to_start:
        back = journal.asked_to_start & journal.running
        assert {vm["uuid"] for vm in data["vms"] if vm["start"] == "running"} == back
        lost = {"failed": len(journal.asked_to_start - back)} if journal.asked_to_start - back else {}
        start = {"running": len(back), **lost}
    assert data["counts"]["stop"] == stop and (data["counts"]["start"] == start or not start)
    assert {host["uuid"]: host["now"] for host in data["hosts"]} == {uuid: uuid in journal.open_hosts for uuid in journal.hosts}
    assert {host["uuid"] for host in data["hosts_left_closed"]} == journal.hosts - journal.open_hosts
    running = [point["running"] for point in data["running"]]
    assert running[0] == len(journal.ran) and running[-1] == len(journal.running & journal.ran)
    assert 0 in running, "all were down"

    rows = list(csv.reader((folder / f"{prefix}vms.csv").open(newline="", encoding="utf-8")))
    assert rows[0][:3] == ["uuid", "owner", "status"]
    assert {row[0]: row[1] for row in rows[1:]} == {uuid: journal.owner[uuid] for uuid in journal.ran}
    assert {row[0] for row in rows[1:] if row[2] == "running"} == journal.running & journal.ran

    summary = (folder / f"{prefix}summary.md").read_text()
    owners = len({journal.owner[uuid] for uuid in journal.ran})
    assert f"- VMs recorded: {len(journal.ran)}, of {owners} owners" in summary
    assert f"- Stop: stopped clean {len(by['clean'])}, power cut {len(by['forced'])}" in summary
    assert f"## Power was cut: {len(by['forced'])}" in summary

    page = (folder / f"{prefix}report.html").read_text()
    counts = {name: int(count) for name, count in re.findall(r'id="count-([\w-]+)">(\d+)<', page)}
    told = {f"stop-{name}": count for name, count in stop.items()} | {f"start-{name}": count for name, count in start.items()}
    closed = len(journal.hosts - journal.open_hosts)
    assert counts == {"vms": len(journal.ran), "owners": owners, **told, "hosts": len(journal.hosts), "hosts-closed": closed}
    assert {uuid for uuid in journal.ran if uuid in page} == journal.ran
    assert page.count("check its file system") == len(by["forced"])
    assert data["headline"] in page and data["headline"] in summary.replace("\\", "")


def test_each_number_of_each_form_is_that_of_the_platform(platform: Platform) -> None:
    """At the end of a restore that does not bring all back, and of the one that ends the maintenance."""
    op = platform(vms=9, owners=4, hosts=3, closed_hosts=1, running=0.9, deaf=2, fail_start=1, fail_start_times=4)
    ran, there, here = op.cloud.in_state("running"), op.folder / "there", op.folder / "here"
    given = {"ceph_maint_report_dir": there, "ceph_maint_report_fetch": "true", "ceph_maint_report_fetch_dir": here}
    assert_safe(QuickOperator(op.cloud, op.folder).prepare(ceph_maint_force="true"))
    run = op.restore(ceph_maint_start_retries=0, **given)
    assert run.rc == 2 and "Did not come back: 1" in run.text, run.text
    assert f"The report for people: {op.place / 'report.html'}, {here}" in run.text
    assert_equal(op, Journal(op.cloud, ran), op.place)
    assert_all_places_hold_the_same(op.place, there, here)
    page = (op.place / "report.html").read_text()
    assert f"{len(ran) - 1} of {len(ran)} VMs run again or are gone" in page and "Did not come back" in page

    run = op.restore(ceph_maint_start_retries=5, **given)
    assert run.rc == 0, run.text
    (kept,) = op.place.glob("*.report.json")
    assert_equal(op, Journal(op.cloud, ran), op.place, kept.name.removesuffix("report.json"))
    assert not (op.place / "report.html").exists(), "put away with all else"
    assert f"{len(ran)} of {len(ran)} VMs run again or are gone" in kept.with_suffix(".html").read_text()
    assert_all_places_hold_the_same(op.place, there, here, kept.name.removesuffix("report.json"))


def assert_all_places_hold_the_same(place: Path, there: Path, here: Path, prefix: str = "") -> None:
    """Beside the record, where it is asked for as well, and where Ansible runs; all of them private."""
    identity = json.loads((place / f"{prefix}report.json").read_text())["maintenance"]["id"]
    for folder in (there, here):
        assert sorted(os.listdir(folder)) == [f"{identity}.{form}" for form in FORMS]
        assert folder.stat().st_mode & 0o777 == 0o700
        for form in FORMS:
            file = folder / f"{identity}.{form}"
            assert file.read_text() == (place / f"{prefix}{form}").read_text() and file.stat().st_mode & 0o777 == 0o600
    assert (place / f"{prefix}report.html").stat().st_mode & 0o777 == 0o600


def test_a_page_that_cannot_be_written_is_told(platform: Platform) -> None:
    """Neither does a prepare that fails go without a report."""
    op = platform(vms=3, deaf=1)
    (op.folder / "blocked").write_text("a file")
    run = op.prepare(ceph_maint_report_dir=op.folder / "blocked" / "reports")
    assert run.rc == 2 and "The report could not be written to" in run.text and "failed=1" in run.recap, run.text
    page = (op.place / "report.html").read_text()
    assert "NOT SAFE TO TAKE CEPH DOWN" in page and "Would not stop" in page and 'class="bad"' in page, "that beside the record waits for no other"
    assert json.loads((op.place / "report.json").read_text())["headline"] == "NOT SAFE TO TAKE CEPH DOWN"
    run = op.play("ceph_maint_restore", ceph_maint_confirm="true", ceph_maint_report_fetch="true", ceph_maint_report_fetch_dir="somewhere")
    assert run.rc == 0, run.text
    assert "The report could not be fetched: somewhere is no absolute path" in run.text
    assert list(op.place.glob("*.report.html")), "the page itself is there"
