# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rows of the platform mean, however odd they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api import model

CALM = settings(deadline=None, database=None, derandomize=True)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("raw", "state", "holds"),
    [
        ("running", "running", True),
        (" Running ", "running", True),
        ("STARTED", "running", True),
        ("stopped", "stopped", False),
        ("Deleted", "deleted", False),
        ("creating", "creating", True),
        ("paused", "paused", True),
        ("Not Known Yet", "not known yet", True),
        ("stopping", "stopping", True),
        ("shutoff", "shutoff", True),
        ("stopped\x1b[0m", "stopped [0m", True),
        ("", "unknown", True),
        (None, "unknown", True),
        (0, "unknown", True),
        (["stopped"], "unknown", True),
    ],
)
def test_states_and_who_lets_go_of_the_disk(raw, state, holds):
    vm = model.parse_vm({"uuid": "a", "status": raw})
    assert (vm.state, vm.holds_storage) == (state, holds)


@pytest.mark.parametrize("word", ["a", "5b0cfa4e-0000-4000-8000-000000000001", "A1", "x" * 64])
def test_usable_uuids(word):
    assert model.is_uuid(word)


@pytest.mark.parametrize(
    "word", ["", "-a", "a-", "a b", "a\n", "../a", "a&force=True", "a;b", "a,b", "x" * 65, "ä", "١", None, 7, ["a"]]
)
def test_unusable_uuids(word):
    assert not model.is_uuid(word)


def test_a_vm_needs_only_its_uuid():
    vm = model.parse_vm({"uuid": "a"})
    assert vm.brief() == {"uuid": "a", "user_id": "unknown", "name": "", "status": "unknown"}
    assert vm.label() == "a (no name, owner unknown, unknown)"
    assert model.parse_vm({"uuid": "a", "hostname": "h", "user_id": 8, "status": "running"}).label() == "a (h, owner 8, running)"


@pytest.mark.parametrize("row", [None, 5, "a", [], {}, {"uuid": None}, {"uuid": 3}, {"uuid": "a b"}])
def test_rows_without_a_usable_uuid(row):
    assert model.parse_vm(row) is None
    assert model.parse_host(row) is None
    found = model.parse_vm_list([row, {"uuid": "good", "status": "running"}])
    assert list(found.vms) == ["good"]
    assert found.unreadable == (model.digest(row),)


def test_a_row_without_a_usable_uuid_keeps_its_name_when_its_state_changes():
    row = {"uuid": None, "hostname": "h", "mac": "m", "status": "running", "updated_at": 1, "memory": 5}
    assert model.digest({**row, "status": "stopped", "updated_at": 2, "memory": 6}) == model.digest(row)
    assert model.digest({**row, "mac": "n"}) != model.digest(row)
    bare = {"uuid": None, "status": "stopped", "updated_at": 1}
    assert model.digest({**bare, "updated_at": 2}) == model.digest(bare)
    assert model.digest({**bare, "status": "running"}) != model.digest(bare)


@CALM
@given(st.lists(JSON, max_size=6))
def test_no_list_of_json_breaks_the_parser_and_no_row_is_lost(rows):
    found = model.parse_vm_list(rows)
    assert len(found.vms) + len(found.unreadable) <= len(rows)
    assert bool(rows) == bool(found.vms or found.unreadable)
    for row in rows:
        model.parse_host(row)


@pytest.mark.parametrize("worst", ["running", "creating", "paused", ""])
@pytest.mark.parametrize("other", ["stopped", "deleted"])
def test_of_two_rows_of_one_vm_the_one_that_holds_storage_counts(worst, other):
    rows = [{"uuid": "a", "status": worst}, {"uuid": "a", "status": other}]
    for order in (rows, rows[::-1]):
        assert model.parse_vm_list(order).vms["a"].state == (worst or "unknown")


@pytest.mark.parametrize("other", ["creating", "paused", ""])
def test_of_two_rows_of_one_vm_running_counts_most_so_that_it_is_recorded_and_stopped(other):
    rows = [{"uuid": "a", "status": "running"}, {"uuid": "a", "status": other}]
    for order in (rows, rows[::-1]):
        assert [vm.uuid for vm in model.parse_vm_list(order).running] == ["a"]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("two\nlines", "two lines"),
        ("a\x1b[31mred\x07", "a [31mred"),
        ("left\u202eright", "left right"),
        ("a\u2028b\u200bc", "a b c"),
        ("\ud800", ""),
        ("x" * 61, "x" * 57 + "..."),
        ("x" * 60, "x" * 60),
        ("Ülo 東京", "Ülo 東京"),
        (None, ""),
        (7, "7"),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_tenant_text_does_no_harm(hostile, shown):
    assert model.printable(hostile) == shown
    assert model.parse_vm({"uuid": "a", "name": hostile}).name == shown
    assert model.parse_host({"uuid": "a", "name": hostile}).name == shown


@CALM
@given(st.text())
def test_printable_is_one_short_line_for_any_text(text):
    shown = model.printable(text)
    assert shown.isprintable() and len(shown) <= 60


@CALM
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_the_row_is_kept_untouched(row):
    row = {**row, "uuid": "a"}
    copy = json.loads(json.dumps(row))
    assert model.parse_vm(row).row == copy


@pytest.mark.parametrize(
    ("value", "accepting"),
    [
        (True, True),
        (1, True),
        ("1", True),
        ("true", True),
        ("True", True),
        (" TRUE ", True),
        (False, False),
        (0, False),
        ("0", False),
        ("False", False),
        (None, None),
        ("", None),
        ("maybe", None),
        (2, None),
        ([], None),
    ],
)
def test_host_flags_in_all_spellings(value, accepting):
    assert model.parse_host({"uuid": "h", "is_accepting_workloads": value}).accepting is accepting


def test_a_host_that_shows_nothing_is_unknown():
    host = model.parse_host({"uuid": "h"})
    assert (host.accepting, host.state, host.untouchable, host.label()) == (None, "", False, "h")
    assert model.parse_host({"uuid": "h", "name": "rack1"}).label() == "h (rack1)"


@pytest.mark.parametrize(
    ("fields", "state", "accepting", "untouchable"),
    [
        ({"status": "AVAILABLE"}, "AVAILABLE", True, False),
        ({"status": "not_accepting"}, "NOT ACCEPTING", False, False),
        ({"status": "Not-Accepting"}, "NOT ACCEPTING", False, False),
        ({"state": "maintenance"}, "MAINTENANCE", None, True),
        ({"status": " Offline "}, "OFFLINE", None, True),
        ({"status": 5, "state": "OFFLINE"}, "OFFLINE", None, True),
        ({"status": "AVAILABLE", "is_accepting_workloads": False}, "AVAILABLE", False, False),
        ({"status": "MAINTENANCE", "is_accepting_workloads": 1}, "MAINTENANCE", True, True),
        ({"status": 5}, "", None, False),
    ],
)
def test_host_states(fields, state, accepting, untouchable):
    host = model.parse_host({"uuid": "h", **fields})
    assert (host.state, host.accepting, host.untouchable) == (state, accepting, untouchable)


def test_counts_come_largest_first():
    assert list(model.count_by(["b", "c", "a", "c"]).items()) == [("c", 2), ("a", 1), ("b", 1)]
