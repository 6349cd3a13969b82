# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON list in pieces is the same list, wherever it is cut; and what is none is none."""

from __future__ import annotations

import contextlib
import gc
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client, json_stream
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError

CALM = settings(deadline=None, database=None, derandomize=True)

KEY = "k3y/of+an=admin"
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ud800", "\x1b[31m", "two\nlines", "50%", "a\\b", KEY, f"not {KEY}!", "\ufeff"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)
PIECES = st.sampled_from([1, 2, 3, 7, 64, 1 << 20])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
ONE = client.Client("api.example.com", KEY)


def read(body, piece):
    """Of all entries text and data."""
    before, json_stream._PIECE = json_stream._PIECE, piece
    try:
        return list(json_stream.entries(body))
    finally:
        json_stream._PIECE = before


def outcome(work):
    """What it gives, or the words in which it fails."""
    try:
        return work()
    except ApiError as exc:
        return str(exc)


@CALM
@given(st.lists(VALUES), PIECES, ENCODINGS, st.booleans(), st.sampled_from([None, 1]))
def test_a_list_in_pieces_is_the_same_list(rows, piece, encoding, ascii_only, indent):
    body = json.dumps(rows, ensure_ascii=ascii_only, indent=indent).encode(encoding, "surrogatepass")
    found = read(body, piece)
    assert [data for _text, data in found] == rows
    assert [json.loads(text) for text, _data in found] == rows


@CALM
@given(st.lists(VALUES), st.booleans(), st.sampled_from([None, 1]))
def test_rows_are_made_inert_as_any_other_answer(rows, ascii_only, indent):
    body = json.dumps(rows, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert list(ONE._entries("/x", body, 200, None)) == ONE._parsed("GET", "/x", body, 200, None)


@pytest.mark.parametrize("spelling", [KEY, r"k3y\/of\u002ban\u003Dadmin", "k3y%2Fof%2Ban%3Dadmin"])
def test_the_key_is_hidden_in_the_row_that_echoes_it(spelling):
    rows = f'[{{"uuid": "a"}}, {{"uuid": "b", "name": "not {spelling}!"}}, {{"not {spelling}!": 1}}]'
    assert list(ONE._entries("/x", rows.encode(), 200, None)) == [{"uuid": "a"}, {"uuid": "b", "name": "not ***!"}, {"not ***!": 1}]


@pytest.mark.parametrize("levels", [98, 99, 100, 101, 500, 100_000])
@pytest.mark.parametrize("row", ["%s", '{"uuid": "a", "deep": %s}', '[%s, "[[[[[["]'])
def test_what_is_nested_too_deep_for_any_answer_is_so_for_a_row(levels, row):
    body = ("[" + row % ("[" * levels + "]" * levels) + "]").encode()
    found = outcome(lambda: list(ONE._entries("/x", body, 200, None)))
    assert found == outcome(lambda: ONE._parsed("GET", "/x", body, 200, None))
    assert (levels < 99) is not isinstance(found, str) or row == "%s"


@pytest.mark.parametrize("piece", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[]x", b"[1]]", b'[{"a": 1]', b'["a', b'["a\n"]', b"[tru]", b"[-]", b"[1.]", b"[1e]",
        b'["\xff"]', b'["\xc3"]', b"\xff\xfe[]", b"<html>", b"[" + b"1" * 5000 + b"]", b"x" * 100,
    ],
)  # fmt: skip
def test_what_is_no_json_is_none(body, piece):
    with pytest.raises(ValueError):
        read(body, piece)


@pytest.mark.parametrize(("body", "word"), [(b"{}", "dict"), (b" null", "NoneType"), (b'"[]"', "str"), (b'{"vms": []}', "dict"), (b"5", "int")])
def test_what_is_no_list_is_named(body, word):
    with pytest.raises(json_stream.NoList, match=f"^{word}$"):
        read(body, 1)
    with pytest.raises(ApiError, match=f"a list was expected, a {word} came"):
        list(ONE._entries("/x", body, 200, None))


@pytest.mark.parametrize("body", [b"[1, <b>login</b>", b'[{"uuid": "a"}, {"uuid": "b"'])
def test_a_list_that_is_broken_off_gives_no_list_at_all(body):
    with pytest.raises(ApiError, match="the body is not JSON"):
        list(ONE._entries("/x", body, 200, None))


def test_one_long_entry_is_not_read_over_and_over():
    class Counting(json_stream._Text):
        pieces = 0

        def _more(self, size):
            Counting.pieces += 1
            return super()._more(size)

    before, json_stream._PIECE = json_stream._PIECE, 16
    try:
        text = Counting(json.dumps("x" * 100_000).encode())
        text.next()
        assert text.value()[1] == "x" * 100_000
    finally:
        json_stream._PIECE = before
    assert Counting.pieces < 20


@pytest.mark.parametrize("body", [b"[1, 2, 3]", b"[1, 2, x]", b"[]"])
@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_whatever_comes(body, before):
    def read_one():
        for _entry in json_stream.entries(body):
            assert not gc.isenabled()
            return

    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        read_one()
        assert gc.isenabled() is before, "the list was read in part"
        with contextlib.suppress(ValueError):
            list(json_stream.entries(body))
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()


def test_all_rows_share_the_names_of_their_fields():
    (first, second) = (data for _text, data in read(b'[{"field": 1}, {"field": 2}]', 1 << 20))
    assert next(iter(first)) is next(iter(second))
