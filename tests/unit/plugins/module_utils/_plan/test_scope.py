# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator meant: lists made into an expression, and what matches nothing with the right form of it."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import selection
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import scope as _scope

ROWS = [
    {"uuid": "a", "user_id": 8, "name": "web", "status": "running"},
    {"uuid": "b", "user_id": 8, "name": "db`x'", "status": "stopped"},
    {"uuid": "c", "user_id": 9, "name": "db", "status": "running"},
    {"uuid": "d", "user_id": "text", "name": "web", "status": "running"},
    {"uuid": "e"},
]
VMS = list(parse_vm_list(ROWS).vms.values())
NUMBERS = VMS[:3]


def scope(query="", exclude="", groups=(), vms=None, **lists):
    vms = VMS if vms is None else vms
    found = _scope.scope_of(vms, query, exclude, lists)
    _scope.check(found, vms, query, exclude, list(groups))
    return found


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, "abcde"),
        ({"only_owners": ["8"]}, "ab"),
        ({"only_owners": ["8", "text"]}, "abd"),
        ({"exclude_owners": ["8"]}, "cde"),
        ({"only_vms": ["db", "d"]}, "cd"),
        ({"exclude_vms": ["db`x'"]}, "acde"),
        ({"only_owners": ["8"], "exclude_vms": ["a"]}, "b"),
        ({"only_owners": ["8"], "only_vms": ["a", "c"]}, "a"),
        ({"query": "[?name=='db']", "exclude_owners": ["8"]}, "c"),
        ({"exclude": "[?name=='db'].uuid", "exclude_owners": ["8"]}, "de"),
        ({"exclude": "[] | [?name=='db']", "exclude_vms": ["a"], "only_owners": ["8", "9"]}, "b"),
    ],
)
def test_lists_compose_with_the_expressions(given, chosen):
    found = scope(**given)
    assert selection.in_scope(VMS, given.get("query"), found.exclude) == set(chosen)
    assert not found.unmatched and not found.ambiguous


def test_entry_that_matches_nothing_is_found():
    found = scope(only_owners=["8", "77"], exclude_vms=["Web 1", "A"])
    assert found.unmatched == [
        ("ceph_maint_only_owners: 77 is no owner of a VM, in any state.", "no-match:77"),
        ("ceph_maint_exclude_vms: Web 1 is no uuid or name of a VM, in any state.", selection.no_match("Web 1")),
    ]
    assert selection.no_match("Web 1") != "no-match:Web 1"


def test_ambiguous_name_names_the_uuids():
    found = scope(exclude_vms=["web"])
    assert len(found.ambiguous) == 1
    assert "web is the name of 2 VMs" in found.ambiguous[0] and "a (web, owner 8" in found.ambiguous[0] and "d (web" in found.ambiguous[0]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[?user_id=='8']", "matches no VM, in any state. user_id is a number, and numbers stand in backticks: [?user_id==`8`]"),
        ('[?user_id==`"8"`]', "numbers stand in backticks: [?user_id==`8`]"),
        ('[?user_id=="8"]', "Text stands in single quotes: [?user_id=='8']"),
        ("[?name==`5`]", "name is text, and text stands in single quotes: [?name=='5']"),
        ('[?name=="db"]', "Text stands in single quotes: [?name=='db']"),
        ("[?owner==`8`]", "No row has a field owner; there are name, status, user_id, uuid."),
        ("[?name=='gone']", "[?name=='gone'] matches no VM, in any state."),
        ("[?user_id!='8']", "compares what cannot be equal. user_id is a number, and numbers stand in backticks: [?user_id!=`8`]"),
        ("[?name=='web' || user_id=='8']", "compares what cannot be equal. user_id is a number"),
    ],
)
@pytest.mark.parametrize("option", ["query", "exclude"])
def test_expression_that_matches_nothing_shows_the_right_form(option, expression, words):
    (text, item), *more = scope(vms=NUMBERS, **{option: expression}).unmatched
    assert text.startswith(f"ceph_maint_{option} {expression} ") and words in text
    assert item == selection.no_match(expression) and not more


def test_group_that_matches_nothing_is_found_unless_it_is_optional():
    groups = [{"name": "db", "query": "[?name=='nodb']"}, {"name": "web", "query": "[?name=='web']"}]
    ((text, item),) = scope(groups=groups).unmatched
    assert text.startswith("The group db ([?name=='nodb']) matches no VM, in any state.") and item == "no-match:db"
    assert not scope(groups=[{**groups[0], "optional": True}]).unmatched


def test_scope_that_leaves_nothing_is_found():
    assert scope(only_owners=["8"], only_vms=["c"]).unmatched == [("The scope leaves no VM in.", "no-match:scope")]


@pytest.mark.parametrize("expression", ["[?user_id==8]", "[?user_id=8]", "[?user_id=='8'", "[?user_id=="])
def test_expression_that_cannot_be_parsed_shows_an_example(expression):
    with pytest.raises(InputError) as caught:
        scope(query=expression)
    assert "Numbers stand in backticks and text in single quotes, as in [?user_id==`8`]" in str(caught.value)


def test_group_order_shows_count_and_order():
    groups = [{"name": "db", "query": "[?name=='db']"}, {"name": "web", "query": "[?name=='web']"}]
    assert _scope.group_order(groups, VMS, {"a", "c", "d", "e"}) == [
        "  Group db: 1 VM, stopped last, started first",
        "  Group web: 2 VMs, stopped before db, started after db",
        "  In no group: 1 VM, stopped first, started last",
    ]
    assert _scope.group_order([], VMS, {"a"}) == []
