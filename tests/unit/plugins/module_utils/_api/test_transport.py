# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every try of a call ends, whatever the other side sends and however slowly, and no answer fills the memory."""

from __future__ import annotations

import contextlib
import errno
import gzip
import http.client
import json
import re
import socket
import threading
import time
import tracemalloc
import zlib
from urllib.parse import quote

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client, transport
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, BrokenOff

TIMEOUT = 0.3
# Far more than the tries of a read take, and far less than the other side would take.
PATIENCE = 8.0
OK = b"HTTP/1.1 200 OK\r\n"
METHODS = pytest.mark.parametrize("method", ["GET", "POST", "PUT"])


def whole_request(line):
    """Head and body, which may come in two pieces. Empty when the other side has hung up."""
    request, missing = b"", 1
    while missing > 0:
        piece = line.recv(65536)
        if not piece:
            return b""
        request += piece
        head, ended, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        missing = (int(length[1]) if length else 0) - len(body) if ended else 1
    return request


@contextlib.contextmanager
def talking(*talks):
    """A loopback port. Each connection gets the next of these talks, the last one for ever. Yields its URL and what was asked."""
    asked, left, over = [], list(talks), threading.Event()

    def one(line, talk):
        with line, contextlib.suppress(OSError):
            while request := whole_request(line):
                asked.append(request)
                for piece in talk() if callable(talk) else [talk]:
                    if over.wait(0.02 if callable(talk) else 0):
                        return
                    line.sendall(piece)
                if not talk or callable(talk) or b"Connection: close" in talk:
                    return

    def accept():
        with contextlib.suppress(OSError):
            while True:
                line = server.accept()[0]
                talk = left.pop(0) if len(left) > 1 else left[0]
                threading.Thread(target=one, args=(line, talk), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)


def for_ever(first, again):
    def talk():
        yield first
        while True:
            yield again

    return talk


def call(url, method="POST", timeout=TIMEOUT, once=False, key="k3y-of-an-admin"):
    one = client.Client(url, key, backoff=0)
    return one.get("/v1/x", None, timeout, once) if method == "GET" else one.send(method, "/v1/x", {"uuid": "a"}, timeout)


def refused(url, method="POST", **more):
    """The error of a call, within a time that has nothing to do with what the other side does."""
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        call(url, method, **more)
    assert time.monotonic() - began < PATIENCE
    return caught.value


def answer(body, *headers, status=200):
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# No wait is without end.


@METHODS
@pytest.mark.parametrize(
    "talk",
    [
        for_ever(b"HTTP/1.1 20", b"0"),
        for_ever(OK + b"X-A: ", b"a"),
        for_ever(OK, b"X-A: a\r\n"),
        for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        for_ever(OK + b"Content-Length: 100000\r\n\r\n", b" "),
        for_ever(OK + b"\r\n", b" "),
        for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: a\r\n"),
        for_ever(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 100000\r\n\r\n", b" "),
        for_ever(b"HTTP/1.1 503 Away\r\nContent-Length: 100000\r\n\r\n", b" "),
        for_ever(b"HTTP/1.1 401 No\r\nContent-Length: 100000\r\n\r\n", b" "),
        for_ever(OK + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + gzip.compress(b"[]")[:10], b"\0"),
    ],
    ids="status header headers continue body until-end chunks chunk-size trailer redirect busy refused gzip".split(),
)
def test_an_answer_that_drips_ends_with_the_time_limit(method, talk):
    with talking(talk) as (url, asked):
        error = refused(url, method)
    assert error.__class__ is ApiError and error.timed_out and error.sent
    assert 1 <= len(asked) <= (6 if method == "GET" else 1)


def test_an_answer_that_ends_because_it_was_hung_up_on_is_no_answer():
    """Without a length the end of the connection is the end of the body."""
    with talking(for_ever(OK + b"\r\n[]", b" ")) as (url, _asked):
        assert str(refused(url, "GET")) == "GET /v1/x gave no answer: the answer came too slowly to end within the time limit"


@METHODS
def test_silence_is_told_as_such(method):
    with talking(for_ever(b"", b"")) as (url, asked):
        error = refused(url, method, once=True)
    assert str(error) == f"{method} /v1/x gave no answer: nothing came within 0.3 s"
    assert (error.timed_out, error.sent, len(asked)) == (True, True, 1)


def test_a_read_that_takes_the_whole_time_limit_is_tried_three_times():
    with talking(for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as (url, asked):
        assert refused(url, "GET").timed_out
    assert len(asked) == 3


def test_each_try_of_a_read_has_the_whole_time():
    slow = for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    with talking(slow, slow, answer(b"[1]")) as (url, _asked):
        assert call(url, "GET") == [1]


def test_a_time_limit_of_one_call_does_not_reach_the_next_on_the_same_connection():
    with talking(answer(b"[1]"), answer(b"[2]")) as (url, asked):
        one = client.Client(url, "key", backoff=0)
        for pause in (TIMEOUT / 2, TIMEOUT * 0.8, TIMEOUT * 1.5, 0):
            assert one.get("/v1/x", None, TIMEOUT) == [1]
            time.sleep(pause)
    assert len(asked) == 4


def test_connections_are_kept_between_calls():
    with talking(answer(b"[1]"), answer(b"[2]")) as (url, _asked):
        one = client.Client(url, "key", backoff=0)
        assert [one.get("/v1/x", None, 30) for _each in range(5)] == [[1]] * 5
        assert [one.send("POST", "/v1/x", {}, 30) for _each in range(5)] == [[1]] * 5


@pytest.mark.parametrize("auto_open", [1, 0])
def test_a_connection_that_lay_idle_is_not_used_again(monkeypatch, auto_open):
    """What lies between may have forgotten it without a word: the call would be sent to nobody, and count as sent.

    urllib3 1.26 forbids the library below to connect anew by itself where the connection goes through a tunnel.
    """
    with talking(answer(b"[1]"), answer(b"[2]")) as (url, _asked):
        one = client.Client(url, "key", backoff=0)
        assert [one.send("POST", "/v1/x", {}, TIMEOUT) for _each in range(2)] == [[1], [1]]
        with monkeypatch.context() as later:
            later.setattr(transport, "_clock", lambda: time.monotonic() + transport.MAX_IDLE)
            later.setattr(http.client.HTTPConnection, "auto_open", auto_open)
            assert one.send("POST", "/v1/x", {}, 2 * transport.MAX_IDLE) == [2]
        assert one.send("POST", "/v1/x", {}, TIMEOUT) == [2]


def test_call_is_not_sent_when_no_file_may_be_opened(monkeypatch):
    def no_more(*_given, **_named):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", no_more)
    error = refused("http://127.0.0.1:9")
    assert not error.sent and "Too many open files" in str(error)


@METHODS
def test_no_cookie_is_taken(method):
    with talking(answer(b"[1]", "Set-Cookie: a=1; Path=/")) as (url, asked):
        one = client.Client(url, "key", backoff=0)
        for _each in range(2):
            one.get("/v1/x", None, 30) if method == "GET" else one.send(method, "/v1/x", {"uuid": "a"}, 30)
    assert len(asked) == 2
    assert b"cookie" not in b"".join(asked).lower()


def test_what_one_request_carries_is_not_in_the_next():
    with talking(answer(b"[1]")) as (url, asked):
        one = client.Client(url, "key", backoff=0)
        one.get("/v1/x", {"uuid": "first"}, 30)
        one.get("/v1/x", None, 30)
        one.get("/v1/x", {"status": "third"}, 30)
        one.send("POST", "/v1/x", {"uuid": "fourth", "force": "True"}, 30)
        one.send("POST", "/v1/x", {"uuid": "fifth"}, 30)
        one.send("POST", "/v1/x", {}, 30)
    lines = [request.split(b"\r\n")[0] for request in asked]
    assert lines[:3] == [b"GET /v1/x?uuid=first HTTP/1.1", b"GET /v1/x HTTP/1.1", b"GET /v1/x?status=third HTTP/1.1"]
    bodies = [request.partition(b"\r\n\r\n")[2] for request in asked]
    assert bodies == [b"", b"", b"", b"uuid=fourth&force=True", b"uuid=fifth", b""]
    assert all(b"Content-Length: %d\r\n" % len(body) in request for body, request in list(zip(bodies, asked))[3:])


# Redirects are not looked into.


@METHODS
@pytest.mark.parametrize("location", [b"http://[x", b"/\xff\xfe", b"", b"//", b"http://127.0.0.1:99999/", b"a" * 60000])
def test_a_redirect_to_nowhere_is_a_redirect(method, location):
    head = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with talking(head) as (url, asked):
        error = refused(url, method)
    assert "answered 302: a redirect, which is never followed" in str(error)
    assert len(asked) == 1


@pytest.mark.parametrize("error", [ValueError("no"), UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"), transport.http.client.HTTPException("no")])
@METHODS
def test_what_the_libraries_raise_is_an_error_like_others(method, error, monkeypatch):
    def fail(*given, **named):
        raise error

    monkeypatch.setattr(transport.Session, "request", fail)
    got = refused("http://127.0.0.1:9", method)
    assert (got.sent, got.timed_out, got.status) == (True, False, None)


# No answer fills the memory.


def packed(size):
    return gzip.compress(b"[" + b" " * size + b"]", 1)


def test_a_list_of_a_hundred_thousand_long_rows_is_not_too_large():
    assert 100_000 * 1024 * 2 < client.MOST_OF_A_LIST


@pytest.mark.parametrize("headers", [["Content-Encoding: gzip"], []])
def test_a_list_that_is_too_large_is_not_read_to_its_end(headers, monkeypatch):
    monkeypatch.setattr(client, "MOST_OF_A_LIST", 3 << 20)
    body = packed(200 << 20) if headers else b" " * (200 << 20)
    with talking(answer(body, *headers)) as (url, _asked):
        tracemalloc.start()
        try:
            error = refused(url, "GET", timeout=30)
            assert tracemalloc.get_traced_memory()[1] < len(body) + (16 << 20)
        finally:
            tracemalloc.stop()
    assert str(error) == "GET /v1/x answered 200: the answer is larger than 3 MiB"


@pytest.mark.parametrize(("method", "status"), [("POST", 200), ("PUT", 200), ("POST", 400), ("GET", 404)])
def test_nothing_but_a_list_may_be_as_large(method, status):
    with talking(answer(packed(5 << 20), "Content-Encoding: gzip", status=status)) as (url, _asked):
        error = refused(url, method, timeout=30)
    assert (error.status, error.detail, error.sent) == (status, "the answer is larger than 4 MiB", True)


def test_memory_that_is_full_is_an_error_like_others(monkeypatch):
    def full(*given):
        raise MemoryError

    with talking(answer(b"[]")) as (url, _asked):
        monkeypatch.setattr(client.json, "loads", full)
        assert "does not fit into the memory" in str(refused(url, "GET"))
        monkeypatch.setattr(transport, "body_of", full)
        assert "does not fit into the memory" in str(refused(url))


@METHODS
@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_a_packed_answer_is_unpacked(method, name):
    rows = [{"uuid": str(number)} for number in range(60000)]
    with talking(answer(gzip.compress(json.dumps(rows).encode()), f"Content-Encoding: {name}")) as (url, asked):
        assert call(url, method, timeout=30) == rows
    assert b"Accept-Encoding: gzip\r\n" in asked[0]


def test_packed_answer_of_several_members_is_whole():
    body = gzip.compress(b'["a", ') + gzip.compress(b'"b"') + gzip.compress(b"]")
    with talking(answer(body, "Content-Encoding: gzip")) as (url, _asked):
        assert call(url, "GET", timeout=30) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", packed(9)[:-3]), ("gzip", packed(9) + packed(9)[:-3]),
        ("gzip", b"[]"), ("gzip", zlib.compress(b"[]")), ("br", b"[]"), ("gzip, gzip", gzip.compress(packed(9))),
    ],
    ids="cut cut-member plain deflate brotli twice".split(),
)
def test_an_answer_that_cannot_be_unpacked_is_none(name, body):
    with talking(answer(body, f"Content-Encoding: {name}")) as (url, _asked):
        error = refused(url)
    assert isinstance(error, BrokenOff) and error.sent and not error.timed_out


@pytest.mark.parametrize("name", ["gzip", "identity"])
def test_an_empty_answer_is_empty_however_it_is_packed(name):
    with talking(answer(b"", f"Content-Encoding: {name}")) as (url, _asked):
        assert call(url) is None


def test_a_body_that_is_cut_short_is_broken_off_with_each_urllib3():
    with talking(OK + b"Content-Length: 9\r\nConnection: close\r\n\r\n[]") as (url, _asked):
        assert isinstance(refused(url), BrokenOff)


# Depth.


@pytest.mark.parametrize("levels", [101, 500, 950, 3000, 100_000])
@pytest.mark.parametrize("form", ['[{"uuid": "a", "deep": %s}]', '{"errors": {"Error": %s}}', '{"message": %s}'], ids="row errors message".split())
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 200), ("GET", 404), ("POST", 400)])
def test_json_nested_too_deep_is_an_error_like_others(method, status, form, levels):
    body = (form % ("[" * levels + "]" * levels)).encode()
    with talking(answer(body, status=status)) as (url, _asked):
        error = refused(url, method, timeout=30)
    assert error.status == status
    if status == 200:
        assert error.detail == "the body is nested deeper than 100 levels"


def test_json_nested_as_rows_are_is_taken():
    deep = "[" * 99 + "]" * 99
    with talking(answer(deep.encode())) as (url, _asked):
        assert json.dumps(call(url, "GET")) == deep


# The key in its three spellings.

KEY = 'abc+"def/ghi=='
SPELLED = {"as it is": KEY, "JSON": json.dumps(KEY)[1:-1], "URL": quote(KEY, safe="")}


@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED)
@pytest.mark.parametrize(
    "form",
    ['{"message": "no %s here"}', '{"errors": {"Error": "no %s here"}}', '{"errors": {"a": {"b": "no %s here"}}}', '{"x %s x": ["%s"]}', "<p>%s", '["%s'],
    ids="message error nested key page broken".split(),
)
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 400)])
def test_key_is_masked_in_three_spellings(method, status, form, spelled):
    body = form.replace("%s", spelled).encode()
    with talking(answer(body, status=status)) as (url, _asked):
        try:
            shown = json.dumps(call(url, method, key=KEY, timeout=30))
        except ApiError as error:
            shown = str(error) + json.dumps(error.facts())
    assert "***" in shown
    assert "def" not in shown


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16"])
@pytest.mark.parametrize("status", [200, 400])
def test_the_key_is_not_shown_in_another_coding(coding, status):
    with talking(answer(json.dumps({"message": KEY}).encode(coding), status=status)) as (url, _asked):
        try:
            shown = json.dumps(call(url, key=KEY, timeout=30))
        except ApiError as error:
            shown = str(error)
    assert "***" in shown and "def" not in shown


def test_no_part_of_the_key_is_left_where_a_detail_is_cut():
    with talking(answer(b"x" * (client.DETAIL_LENGTH - 5) + KEY.encode(), status=400)) as (url, _asked):
        assert "abc" not in str(refused(url, key=KEY))


def test_what_looks_a_little_like_the_key_stays():
    rows = [{"name": 'abc+"def/ghi=', "user": "100% abc\\def"}]
    with talking(answer(json.dumps(rows).encode())) as (url, _asked):
        assert call(url, "GET", key=KEY) == rows


@pytest.mark.parametrize("body", ["<", "a", "abc+def"])
def test_a_body_that_repeats_itself_takes_no_time(body):
    began = time.monotonic()
    client.error_detail(body.encode() * 200_000, client.Client("localhost", KEY)._hide)
    assert time.monotonic() - began < PATIENCE
