# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record under another location name of the same API host is found, and the argument that uses it is printed."""

from __future__ import annotations

import typing as t

import pytest

from harness import in_process as crew
from harness.fast_clock import Desk, GiveDesk, desks
from harness.in_process_operator import QuickOperator
from harness.operator import Operator

desk = pytest.fixture(desks)
ARGUMENT = "To use it: -e ceph_maint_location=tll01"


def opened(desk: GiveDesk, location: str | None, other: str | None, **given: t.Any) -> Desk:
    """A maintenance is open under one name, and the operator goes on with another."""
    at = desk(location=location, **given)
    assert at.crew.prepare().safe
    at.crew.settings["location"] = other
    return at


def outcomes(at: Desk) -> dict[str, crew.Outcome]:
    return {"restore": at.crew.restore(), "close": at.crew.close(), "force": at.crew.force(), "verify": at.crew.verify()}


def test_record_under_a_location_is_found_without_one(desk: GiveDesk) -> None:
    at = opened(desk, "tll01", None)
    ((identity,),) = at.ask("SELECT id FROM maintenance")
    sent = len(at.cloud.journal.writes())
    for name, out in outcomes(at).items():
        assert (out.rc, ARGUMENT in out.text, identity in out.text) == (2, True, True), (name, out.text)
        assert str(at.crew.record_dir) in out.text, name
    status = at.crew.status()
    assert status.rc == 0
    assert any(f"{identity}, phase safe, 6 VMs, in " in line and line.endswith(ARGUMENT) for line in status.lines), status.text
    found = status.results["status"]["status"]["elsewhere"]
    assert [(one["location"], one["argument"]) for one in found] == [("tll01", "-e ceph_maint_location=tll01")]
    assert len(at.cloud.journal.writes()) == sent
    at.crew.settings["location"] = "tll01"
    assert at.crew.restore().rc == 0
    at.crew.settings["location"] = None
    assert at.crew.status().results["status"]["elsewhere"] == ""


def test_record_without_a_location_is_found_with_one(desk: GiveDesk) -> None:
    at = opened(desk, None, "tll01")
    for name, out in outcomes(at).items():
        assert out.rc == (0 if name == "verify" else 2), out.text
        assert "under no location name" in out.text and "To use it: -e ceph_maint_location=" in out.text, (name, out.text)


def test_record_of_another_location_is_one_line(desk: GiveDesk) -> None:
    at = opened(desk, "tll01", "jhv02", locations=["tll01", "jhv02"])
    for out in (at.crew.status(), at.crew.plan()):
        assert out.rc == 0, out.text
        assert sum("under the location name tll01" in line for line in out.lines) == 1, out.text
    assert at.crew.prepare().safe, "one location does not hold up another"


def test_damaged_record_under_another_name_is_found(desk: GiveDesk) -> None:
    at = opened(desk, "tll01", None)
    next(at.folder.glob("records/*/record.sqlite")).write_bytes(b"no record")
    assert "it cannot be read (" in at.crew.status().text
    assert at.crew.prepare().refused


def test_prepare_is_rejected_where_the_default_is_unknown(desk: GiveDesk) -> None:
    """The locations cannot be read, so the record may be of this very location."""
    at = opened(desk, "tll01", None)
    at.act("fault", route="locations", status=500, times=-1)
    sent = len(at.cloud.journal.writes())
    out = at.crew.prepare()
    assert out.refused and ARGUMENT in out.text, out.text
    assert len(at.cloud.journal.writes()) == sent


@pytest.mark.smoke
def test_nothing_left_fails_on_a_record_under_another_name(platform: t.Callable[..., Operator]) -> None:
    op = platform(vms=2, hosts=1, locations=["tll01"])
    assert QuickOperator(op.cloud, op.folder).prepare(ceph_maint_location="tll01").rc == 0
    run = op.play("ceph_maint_status", ceph_maint_expect="nothing_left")
    assert run.rc == 2 and "one is open under another" in run.text and ARGUMENT in run.text, run.text
    run = op.play("ceph_maint_close", ceph_maint_confirm="true")
    assert run.rc == 2 and "there is nothing to close" in run.text and ARGUMENT in run.text, run.text
    run = op.play("ceph_maint_status", ceph_maint_expect="nothing_left", ceph_maint_location="other")
    assert run.rc == 0, run.text
