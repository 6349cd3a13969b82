# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as they come from -e, from JSON, and from YAML."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError

CALM = settings(deadline=None, database=None, derandomize=True)

GROUP = {"name": "db", "query": "[?name=='db']"}
PARSED = {"name": "db", "query": "[?name=='db']", "delay": 0.0, "force": "allowed"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("none", []),
        ("None", []),
        (" NONE ", []),
        ([], []),
        ("[]", []),
        ("vm:A\nvm:B\n", ["vm:A", "vm:B"]),
        ("vm:A\r\nvm:B\r\n", ["vm:A", "vm:B"]),
        ("vm:A,\n vm:B", ["vm:A", "vm:B"]),
        ("- vm:A\n- vm:B\n", ["vm:A", "vm:B"]),
        ("- 'vm:A'\n- \"vm:B\"\n-\n", ["vm:A", "vm:B"]),
        ("- vm:A", ["vm:A"]),
        ("---\n- vm:A\n", ["vm:A"]),
        ("none\n", []),
        ("[\n  \"vm:A\",\n  \"vm:B\"\n]\n", ["vm:A", "vm:B"]),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ([8, "a"], ["8", "a"]),
        ("vm:5b0c-1,old:20260101T000000Z-abc", ["vm:5b0c-1", "old:20260101T000000Z-abc"]),
    ],
)
def test_words(value, words):
    assert _argspec.words(value, "accept") == words


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], [None], 7, '{"a": 1}', [{"a": 1}]])
def test_words_refuses_what_is_no_list(value):
    with pytest.raises(InputError) as caught:
        _argspec.words(value, "accept")
    assert str(caught.value) == "accept must be a list, a comma separated string, or none."


@pytest.mark.parametrize("value", ["[a", "[1,", "{'a': }", "{[]: 1}", "[a]"])
def test_what_looks_like_json_and_is_not_is_refused(value):
    for reader in (lambda text: _argspec.words(text, "accept"), _argspec.groups):
        with pytest.raises(InputError, match="looks like JSON and is not "):
            reader(value)


@CALM
@given(st.lists(st.from_regex(r"[a-z]+:[A-Za-z0-9.@-]+", fullmatch=True), max_size=5))
def test_every_way_of_giving_a_list_means_the_same(items):
    assert _argspec.words(items, "accept") == items
    assert _argspec.words(json.dumps(items), "accept") == items
    assert _argspec.words(repr(items), "accept") == items
    assert _argspec.words(",".join(items) or "none", "accept") == items


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (None, []),
        ("", []),
        ("none", []),
        ([], []),
        ([GROUP], [PARSED]),
        (json.dumps([GROUP]), [PARSED]),
        (repr([GROUP]), [PARSED]),
        ([{**GROUP, "delay": "7"}], [{**PARSED, "delay": 7.0}]),
        ([{**GROUP, "delay": None}], [PARSED]),
        ([{**GROUP, "stop_timeout": None}], [PARSED]),
        ([{**GROUP, "stop_timeout": "900", "start_timeout": 1.5}], [{**PARSED, "stop_timeout": 900.0, "start_timeout": 1.5}]),
        ([{**GROUP, "concurrency": "4", "force": "never"}], [{**PARSED, "concurrency": 4, "force": "never"}]),
    ],
)
def test_groups(value, groups):
    assert _argspec.groups(value) == groups


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "db"}, "groups must be a list of {name, query, delay, optional}, also as JSON, or none."),
        ("db", "groups must be a list of {name, query, delay, optional}, also as JSON, or none."),
        (["db"], "groups: each needs name and query, and may have delay (seconds); this does not: db"),
        ([{"name": "db"}], "groups: each needs name and query"),
        ([{**GROUP, "query": ""}], "groups: each needs name and query"),
        ([{**GROUP, "timeout": 1}], "groups: db has unknown keys (timeout); these are known: name, query, delay, stop_timeout, "),
        ([{**GROUP, "force": "yes"}], "groups: force of db must be allowed or never."),
        ([{**GROUP, "stop_timeout": 0}], "groups: stop_timeout of db must be a number of seconds above 0."),
        ([{**GROUP, "start_timeout": "nan"}], "groups: start_timeout of db must be a number of seconds above 0."),
        ([{**GROUP, "concurrency": 1.5}], "groups: concurrency of db must be a whole number of at least 1."),
        ([{**GROUP, "concurrency": True}], "groups: concurrency of db must be a whole number of at least 1."),
        ([{**GROUP, "delay": "soon"}], "groups: the delay of db is not a number of seconds."),
        ([{**GROUP, "delay": [1]}], "groups: the delay of db is not a number of seconds."),
        ([{**GROUP, "delay": "inf"}], "groups: the delay of db is not a number of seconds."),
        ([{**GROUP, "delay": "nan"}], "groups: the delay of db is not a number of seconds."),
        ([GROUP, GROUP], "groups: two have the same name."),
    ],
)
def test_groups_refused(value, words):
    with pytest.raises(InputError) as caught:
        _argspec.groups(value)
    assert words in str(caught.value)


def test_the_key_is_never_logged_and_comes_from_the_runbooks_variables():
    options = _argspec.api_options(90.0)
    assert options["api_key"]["no_log"] is True
    assert options["api_key"]["fallback"][1] == ["ADMIN_APIKEY"]
    assert options["api_host"]["fallback"][1] == ["API_HOST"]
    assert options["validate_certs"] == {"type": "bool", "default": True}
    assert options["request_timeout"]["default"] == 90.0
