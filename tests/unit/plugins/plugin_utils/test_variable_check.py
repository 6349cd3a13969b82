# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mistyped name is rejected, and one that the roles set themselves is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.pilw.maintenance.plugins.plugin_utils import variable_check
from ansible_collections.pilw.maintenance.plugins.plugin_utils.variable_check import options, refusal, unknown_names, value_problem

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ceph_maint_excude", "ceph_maint_exclude"),
        ("ceph_maint_forse", "ceph_maint_force"),
        ("ceph_maint_hosts_keepclosed", "ceph_maint_hosts_keep_closed"),
        ("ceph_maint_playbok", "ceph_maint_playbook"),
        ("ceph_maint_hst", "ceph_maint_host"),
        ("ceph_maint_Exclude", "ceph_maint_exclude"),
        ("ceph_maint_awx_hosts", "ceph_maint_awx_host"),
        ("ceph_maint_xyzzyplugh", ""),
        ("ceph_maint_", ""),
        ("ceph_mant_exclude", "ceph_maint_exclude"),
        ("CEPH_MAINT_FORCE", "ceph_maint_force"),
        ("ceph-maint-force", "ceph_maint_force"),
        ("cephmaint_force", "ceph_maint_force"),
    ],
)
def test_mistyped_name_is_found_with_the_nearest(name, nearest):
    assert unknown_names([name, "ansible_host"]) == {name: nearest}


@pytest.mark.parametrize(
    "name",
    ["ceph_maint_force", "ceph_maint_awx_host", "ceph_maint_stats", "ceph_maint_notice", "ceph_maint_my_cluster", "__ceph_maint_open"]
    + ["ceph_maintenance_window", "ceph_version", "maintenance_hosts", "groups"],
)
def test_other_names_are_left_alone(name):
    assert unknown_names([name]) == {}


def test_what_the_roles_set_is_known():
    """A new set_stats, fact, loop or task variable with our prefix is an option, or stands in SET_BY_ROLES."""
    found = set()
    for path in [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        text = path.read_text(encoding="utf-8")
        if "meta/" not in str(path):
            found |= set(re.findall(r"(?m)^\s+(?:loop_var: )?(ceph_maint_\w+)(?::|$)", text))
    assert {"ceph_maint_stats", "ceph_maint_notice"} <= found
    assert found <= set(options()) | variable_check.SET_BY_ROLES


def test_every_default_is_accepted():
    defaults = {}
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        defaults.update(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert refusal(defaults, defaults, []) == ""
    assert set(defaults) == set(options())


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ceph_maint_stop_timeout", "10m", "ceph_maint_stop_timeout is 10m. Give seconds, such as 600."),
        ("ceph_maint_stop_timeout", "", "ceph_maint_stop_timeout is empty. Give seconds, such as 600."),
        ("ceph_maint_window", "2h", "ceph_maint_window is 2h. Give minutes as a number."),
        ("ceph_maint_concurrency", "many", "ceph_maint_concurrency is many. Give a whole number, such as 20."),
        ("ceph_maint_force", "ja", "ceph_maint_force is ja. Give true or false."),
        ("ceph_maint_watchers_way", "osds", "ceph_maint_watchers_way is osds. Give one of auto, osd, image."),
        ("ceph_maint_expect", "left over", "ceph_maint_expect is left over. Give one of left_over, nothing_left."),
    ],
)
def test_value_of_another_type_says_what_to_give(name, value, text):
    assert value_problem(name, value) == text


@pytest.mark.parametrize("value", ["600", 600, "0.5", None])
def test_value_that_can_be_read_is_no_problem(value):
    assert value_problem("ceph_maint_stop_timeout", value) == ""


NUMBERS = sorted(name for name, option in options().items() if option["type"] in ("int", "float"))


@pytest.mark.parametrize("name", NUMBERS)
def test_number_out_of_range_is_rejected(name):
    for value in (-2, "-2", "nan", "inf", 10**9, "1e9", "soon", ""):
        assert value_problem(name, value).startswith(f"{name} "), value
    assert value_problem(name, options()[name]["default"]) == ""
    assert bool(value_problem(name, -1)) is (name != "ceph_maint_awx_job_timeout"), "for AWX it is no limit"


@pytest.mark.parametrize("name", ["lease", "poll_interval", "stop_timeout", "force_timeout", "start_timeout", "ceph_wait", "ceph_timeout", "concurrency"])
def test_zero_is_rejected_where_it_cannot_work(name):
    assert value_problem(f"ceph_maint_{name}", "0").startswith(f"ceph_maint_{name} must be ")


def test_refusal_prints_the_whole_argument_that_continues():
    text = refusal(["ceph_maint_excude", "ceph_maint_forse"], {}, ["old:a"])
    assert text.startswith("ceph_maint_excude is not a variable of this collection; did you mean ceph_maint_exclude? ceph_maint_forse")
    assert "Nothing was changed." in text
    assert text.endswith("-e ceph_maint_accept=old:a,no-match:ceph_maint_excude,no-match:ceph_maint_forse")
    assert refusal(["ceph_maint_excude"], {}, ["no-match:ceph_maint_excude"]) == ""


def test_words_that_ansible_cut_off_are_rejected():
    text = refusal(["_raw_params"], {"_raw_params": "disks now"}, [])
    assert text.startswith("Ansible cut off the end of a value of -e: disks now. Give that value in quotes within the quotes")
    assert text.endswith("-e ceph_maint_accept=no-match:_raw_params")
    assert refusal(["_raw_params"], {"_raw_params": "disks now"}, ["no-match:_raw_params"]) == ""
