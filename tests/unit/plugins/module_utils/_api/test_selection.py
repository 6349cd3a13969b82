# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath over rows: what a scope and a group select, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import selection
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError

ROWS = [
    {"uuid": "a", "user_id": 8, "name": "web", "status": "running"},
    {"uuid": "b", "user_id": 8, "name": "db", "status": "stopped"},
    {"uuid": "c", "user_id": 9, "name": "db", "status": "running"},
    {"uuid": "d"},
]
VMS = list(parse_vm_list(ROWS).vms.values())


@pytest.mark.parametrize(
    ("query", "exclude", "chosen"),
    [
        (None, None, "abcd"),
        ("", "", "abcd"),
        ("[?user_id==`8`]", None, "ab"),
        ("[?user_id==`8`].uuid", None, "ab"),
        (None, "[?name=='db']", "ad"),
        ("[?user_id==`8`]", "[?name=='db']", "a"),
        ("[?user_id==`1`]", None, ""),
        ("['a', '00000000-0000-4000-8000-000000000000']", None, "a"),
    ],
)
def test_scope(query, exclude, chosen):
    assert selection.in_scope(iter(VMS), query, exclude) == set(chosen)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[?user_id==", "query: the JMESPath expression [?user_id== cannot be used: "),
        ("nosuch(@)", "query: the JMESPath expression nosuch(@) cannot be used: "),
        ("abs(@)", "query: the JMESPath expression abs(@) cannot be used: "),
        (
            "[0]",
            "query: the JMESPath expression [0] must give a list of rows or of uuids, such as [?user_id==`8`]; it gave dict.",
        ),
        ("[].user_id", "must give a list of rows or of uuids"),
        ("length(@)", "it gave int."),
        ("nothing", "it gave NoneType."),
    ],
)
def test_an_expression_that_selects_no_rows_is_refused(expression, words):
    with pytest.raises(InputError) as caught:
        selection.in_scope(VMS, expression, None)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_group_that_matches_has_the_vm_and_a_bad_one_is_named():
    groups = [{"name": "db", "query": "[?name=='db']"}, {"name": "eight", "query": "[?user_id==`8`]"}]
    assert selection.group_names(VMS, groups) == {"a": "eight", "b": "db", "c": "db"}
    with pytest.raises(InputError, match="groups, bad: the JMESPath expression"):
        selection.group_names(VMS, [{"name": "bad", "query": "]"}])
