# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as they come from -e, from JSON, and from YAML."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils import _defaults
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module import options as _argspec

CALM = settings(deadline=None, database=None, derandomize=True)

GROUP = {"name": "db", "query": "[?name=='db']"}
PARSED = {"name": "db", "query": "[?name=='db']", "delay": 0.0, "force": "allowed", "optional": False}


def groups_of(value):
    """From what was given to what a module works with."""
    given = _argspec.native({"groups": value} if value is not None else {})
    checked = ArgumentSpecValidator(_defaults.of("groups")).validate(given)
    if checked.error_messages:
        raise InputError("; ".join(checked.error_messages))
    return _argspec.groups(checked.validated_parameters["groups"])


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
    for name in ("accept", "groups"):
        with pytest.raises(InputError, match="looks like JSON and is not "):
            _argspec.native({name: value})


@pytest.mark.parametrize(
    ("given_now", "taken"),
    [
        ({"accept": []}, {}),  # as the roles have it by default
        ({"accept": ""}, {}),
        ({"accept": None}, {}),
        ({"accept": "[]"}, {}),
        ({"accept": "none"}, {"accept": []}),
        ({"accept": " None "}, {"accept": []}),
        ({"accept": ["none"]}, {"accept": []}),
        ({"never_force": []}, {}),
        ({"never_force": "8\n"}, {"never_force": ["8"]}),
        ({"keep_closed": []}, {"keep_closed": []}),
        ({"hosts": "none"}, {"hosts": []}),
        ({"hosts": ""}, {}),
        ({"query": "none", "groups": " "}, {"query": "none"}),
        ({"groups": "none"}, {"groups": []}),
    ],
)
def test_an_empty_value_is_not_given_and_none_is_an_empty_list(given_now, taken):
    assert _argspec.native(given_now) == taken


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
    assert groups_of(value) == groups


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"name": "db"}, "groups must be a list of {name, query, delay, optional}, also as JSON, or none."),
        ("db", "groups must be a list of {name, query, delay, optional}, also as JSON, or none."),
        (["db"], "Elements value for option 'groups' is of type"),
        ([{"name": "db"}], "missing required arguments: query found in groups"),
        ([{**GROUP, "query": ""}], "groups: each needs name and query"),
        ([{**GROUP, "timeout": 1}], "groups.timeout. Supported parameters include: concurrency, delay, force, name, optional, query, start_timeout, "),
        ([{**GROUP, "force": "yes"}], "value of force must be one of: allowed, never, got: yes found in groups"),
        ([{**GROUP, "stop_timeout": 0}], "groups, db: stop_timeout must be more than 0 seconds, and is 0."),
        ([{**GROUP, "start_timeout": "nan"}], "groups, db: start_timeout must be more than 0 seconds, and is nan."),
        ([{**GROUP, "concurrency": 0}], "groups, db: concurrency must be at least 1, and is 0."),
        ([{**GROUP, "concurrency": 1.5}], "we were unable to convert to int"),
        ([{**GROUP, "delay": "soon"}], "we were unable to convert to float"),
        ([{**GROUP, "delay": "inf"}], "groups, db: delay must be at most 1000000, and is inf."),
        ([{**GROUP, "delay": "nan"}], "groups, db: delay must be at least 0, and is nan."),
        ([GROUP, GROUP], "groups: two have the same name."),
    ],
)
def test_groups_refused(value, words):
    with pytest.raises(InputError) as caught:
        groups_of(value)
    assert words in str(caught.value)


def test_the_key_is_never_logged_and_comes_from_the_runbooks_variables():
    options = _argspec.api_options(90.0)
    assert options["api_key"]["no_log"] is True
    assert options["api_key"]["fallback"][1] == ["ADMIN_APIKEY"]
    assert options["api_host"]["fallback"][1] == ["API_HOST"]
    assert options["validate_certs"] == {"type": "bool", "default": True}
    assert options["request_timeout"]["default"] == 90.0
