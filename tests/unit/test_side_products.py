# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and notices come after what the operator must know, and a host that is lost in the midst of them ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"


def tasks(found):
    """Each task, in order, those of blocks too."""
    for one in found:
        inner = [each for part in ("block", "rescue", "always") for each in one.get(part, [])]
        yield from tasks(inner) if inner else [one]


def read(path):
    return list(tasks(yaml.safe_load((ROLES / path).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", ["ceph_maint_prepare/tasks/end.yml", "ceph_maint_restore/tasks/report.yml", "ceph_maint_restore/tasks/only_close.yml"])
def test_what_came_of_a_run_is_said_before_its_page_is_made(path):
    found = read(path)
    page = next(number for number, one in enumerate(found) if one.get("ansible.builtin.include_role", {}).get("tasks_from") == "report_page")
    said = [number for number, one in enumerate(found) if "lines }}" in str(one.get("ansible.builtin.debug", ""))]
    assert said and max(said) < page


def test_a_host_that_is_lost_while_it_is_remembered_who_was_told_ends_nothing():
    (remember,) = [one for one in read("ceph_maint/tasks/tell_one.yml") if "pilw.maintenance.pilw_maintenance" in one]
    assert remember["ignore_unreachable"] is True


def test_of_a_notice_only_what_is_remembered_is_given_on():
    """Ansible logs each option of a module, and the text names VMs."""
    (remember,) = [one for one in read("ceph_maint/tasks/tell_one.yml") if "pilw.maintenance.pilw_maintenance" in one]
    assert set(remember["pilw.maintenance.pilw_maintenance"]["notice"]) == {"event", "vms"}


def test_a_restore_that_failed_with_nothing_left_has_a_page_too():
    """The record is not closed then, which is where the page of a restore that went well is made."""
    (page,) = [one for one in read("ceph_maint_restore/tasks/report.yml") if one.get("vars", {}).get("__ceph_maint_report")]
    assert "not __ceph_maint_restore_complete" in page["when"]
