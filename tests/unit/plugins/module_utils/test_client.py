# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP: where the key goes, what is sent how often, and what each answer becomes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils import _client
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import (
    ApiError,
    AuthError,
    InputError,
    NoRoute,
    NotFound,
)

CALM = settings(deadline=None, database=None, derandomize=True)

KEY = "k3y-of-an-admin"
HOST = "https://api.example.com"
CORRELATION = "X-Warren-Correlation-Id"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def client(host=HOST, **options):
    return _client.Client(host, KEY, backoff=0, **options)


class Answer:
    """One scripted answer. C(cut): hang up instead. C(hang): wait for the end of the test first."""

    def __init__(self, status=200, body=b"[]", headers=(), cut=False, hang=False, stall=False):
        self.status, self.body, self.headers = status, body, dict(headers)
        self.cut, self.hang, self.stall = cut, hang, stall


@contextlib.contextmanager
def serving(*script):
    """A loopback server that gives these answers in turn, the last one for ever. Yields its URL and what came."""
    came, over, left = [], threading.Event(), list(script)

    class Handler(BaseHTTPRequestHandler):
        def do_any(self):
            answer = left.pop(0) if len(left) > 1 else left[0]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            came.append((self.command, self.path, body, dict(self.headers)))
            if answer.hang:
                over.wait(10)
            if answer.hang or answer.cut:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.stall:
                over.wait(10)
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_any

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        over.set()
        server.shutdown()
        server.server_close()


# Where the key may go.


@pytest.mark.parametrize(
    ("given_host", "url"),
    [
        ("api.example.com", "https://api.example.com"),
        (" api.example.com \n", "https://api.example.com"),
        ("API.Example.com", "https://api.example.com"),
        ("api.example.com:8443", "https://api.example.com:8443"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com/v1", "https://api.example.com"),
        ("https://api.example.com:8443/v1/", "https://api.example.com:8443"),
        ("https://example.com/behind/a/path/v1", "https://example.com/behind/a/path"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_base_url(given_host, url):
    assert _client.base_url(given_host) == url


@pytest.mark.parametrize(
    ("given_host", "words"),
    [
        ("", "api_host is empty. Give the API's host name, such as api.example.com, or set API_HOST."),
        ("   ", "api_host is empty. Give the API's host name, such as api.example.com, or set API_HOST."),
        (
            "http://api.example.com",
            "api_host http://api.example.com: plain http would send the API key in clear over the network. Use https.",
        ),
        ("http://127.example.com", "plain http would send the API key"),
        ("http://localhost.example.com", "plain http would send the API key"),
        ("ftp://api.example.com", "only https is spoken, and http to a loopback address."),
        ("api.example.com:none", "is not a host, host:port or URL"),
        ("api.example.com:99999", "is not a host, host:port or URL"),
        ("[2001:db8::1", "is not a host, host:port or URL"),
        ("api.example.com/?a=b", "without user, query and fragment"),
        ("api.example.com#x", "without user, query and fragment"),
        ("api example.com", "is not a host, host:port or URL"),
        ("https://", "is not a host, host:port or URL"),
    ],
)
def test_base_url_refuses(given_host, words):
    with pytest.raises(InputError) as caught:
        _client.base_url(given_host)
    assert words in str(caught.value)


def test_base_url_with_a_password_is_refused_and_the_password_not_shown():
    with pytest.raises(InputError) as caught:
        _client.base_url("https://admin:s3cret@api.example.com")
    assert "without user" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", ["two\nlines", "a b", "key\r\nX-Other: 1", "käy", "\x00"])
def test_a_key_that_is_none_is_refused_and_not_shown(key):
    with pytest.raises(InputError) as caught:
        _client.Client(HOST, key)
    assert str(caught.value) == "api_key holds a blank, a line break or another character that no key has."


def test_an_empty_key_is_refused():
    with pytest.raises(InputError, match=r"api_key is empty\. Give the key of an admin user, or set ADMIN_APIKEY\."):
        _client.Client(HOST, "")


@responses.activate
def test_what_a_request_carries():
    responses.get(f"{HOST}/v1/x", json=[1])
    assert client().get("/v1/x", {"status": "running"}, 5) == [1]
    request = responses.calls[0].request
    assert request.headers["apikey"] == KEY
    assert request.headers["User-Agent"] == "pilw.maintenance"
    assert request.url == f"{HOST}/v1/x?status=running"


@responses.activate
@pytest.mark.parametrize(
    ("options", "verify"),
    [
        ({}, True),
        ({"ca_path": "/etc/own-ca.pem"}, "/etc/own-ca.pem"),
        ({"validate_certs": False}, False),
        ({"validate_certs": False, "ca_path": "/etc/own-ca.pem"}, False),
    ],
)
def test_the_environment_overrules_neither_verification_nor_the_key(options, verify, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine api.example.com login other password other\n")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/etc/hostname")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    responses.get(f"{HOST}/v1/x", json=[])
    responses.post(f"{HOST}/v1/x", json={})
    one = client(**options)
    one.get("/v1/x", None, 5)
    one.send("POST", "/v1/x", {}, 5)
    for call in responses.calls:
        assert call.request.req_kwargs["verify"] == verify
        assert "Authorization" not in call.request.headers
        assert call.request.headers["apikey"] == KEY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_redirect_is_never_followed(method, status):
    with serving(Answer()) as (elsewhere, came_elsewhere):
        with serving(Answer(status, b"", {"Location": f"{elsewhere}/v1/x"})) as (url, came):
            with pytest.raises(ApiError) as caught:
                call(client(url), method)
            assert len(came) == 1
            assert came_elsewhere == []
    assert str(caught.value) == (
        f"{method} /v1/x answered {status}: a redirect, which is never followed: the API key goes to the given host only"
    )


def call(one, method, timeout=5.0):
    return one.get("/v1/x", None, timeout) if method == "GET" else one.send(method, "/v1/x", {"uuid": "a"}, timeout)


# What an answer that is not 2xx becomes.


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "kind", "detail"),
    [
        (401, '{"message":"missing apikey header"}', AuthError, "missing apikey header"),
        (403, '{"message":"Invalid authentication credentials"}', AuthError, "Invalid authentication credentials"),
        (400, '{"errors":{"Error":"No such virtual machine exists: a"}}', NotFound, "No such virtual machine exists: a"),
        (400, '{"errors":{"uuid":"Required parameter \'uuid\' not supplied"}}', ApiError, "uuid: Required parameter 'uuid' not supplied"),
        (400, "", ApiError, "empty body"),
        (404, '{"message":"no route and no API found with those values"}', NoRoute, "no route and no API found with those values"),
        (404, '{"message":"VM unknown"}', NotFound, "VM unknown"),
        (409, '{"errors":{"Error":"Server is locked"}}', ApiError, "Server is locked"),
        (418, "<html><body>a <b>teapot</b></body></html>", ApiError, "a teapot"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_have_a_kind_and_all_that_is_known(method, status, body, kind, detail):
    responses.add(method, f"{HOST}/v1/x", body=body, status=status, headers={CORRELATION: "c-17"})
    with pytest.raises(ApiError) as caught:
        call(client(), method)
    assert caught.type is kind
    advice = " (the API key must be that of an admin user; a frozen account answers so too)" if kind is AuthError else ""
    assert str(caught.value) == f"{method} /v1/x answered {status}: {detail} (X-Warren-Correlation-Id c-17){advice}"
    assert caught.value.sent
    assert caught.value.facts() == {
        "error": {"method": method, "path": "/v1/x", "status": status, "detail": detail, "correlation_id": "c-17"}
    }


@responses.activate
def test_retry_after_reaches_the_one_who_decides():
    responses.post(f"{HOST}/v1/x", status=429, headers={"Retry-After": "7"}, json={"message": "slow down"})
    with pytest.raises(ApiError) as caught:
        call(client(), "POST")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize("body", ["", "<html>login</html>", "{"])
def test_a_read_without_json_is_an_error(body):
    responses.get(f"{HOST}/v1/x", body=body, headers={CORRELATION: "c-1"})
    with pytest.raises(ApiError) as caught:
        call(client(), "GET")
    assert str(caught.value).startswith("GET /v1/x answered 200: the body is not JSON: ")
    assert str(caught.value).endswith("(X-Warren-Correlation-Id c-1)")


@responses.activate
@pytest.mark.parametrize(("status", "body", "given_back"), [(200, "", None), (204, "", None), (200, "ok", None), (201, "{}", {})])
def test_a_write_takes_any_2xx(status, body, given_back):
    responses.post(f"{HOST}/v1/x", body=body, status=status)
    assert call(client(), "POST") == given_back


# How often something is sent.


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_power_call_is_sent_once_whatever_comes(status):
    with serving(Answer(status, b"{}", {"Retry-After": "0"})) as (url, came):
        with pytest.raises(ApiError) as caught:
            call(client(url), "POST")
    assert (caught.value.status, caught.value.sent, len(came)) == (status, True, 1)
    assert came[0][2] == "uuid=a"


def test_a_power_call_that_is_cut_is_sent_once_and_unclear():
    with serving(Answer(cut=True)) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "POST")
    assert (caught.value.status, caught.value.sent, caught.value.timed_out, len(came)) == (None, True, False, 1)
    assert str(caught.value).startswith("POST /v1/x gave no answer: ")


def test_a_power_call_that_hangs_is_sent_once_and_still_at_work():
    with serving(Answer(hang=True)) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "POST", timeout=0.2)
    assert (caught.value.sent, caught.value.timed_out, len(came)) == (True, True, 1)
    assert str(caught.value) == "POST /v1/x gave no answer: nothing came within 0.2 s"


def test_a_power_call_whose_answer_stalls_is_a_time_out_too():
    with serving(Answer(stall=True)) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "POST", timeout=0.2)
    assert (caught.value.sent, caught.value.timed_out, len(came)) == (True, True, 1)


def test_no_connection_means_certainly_not_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ApiError) as caught:
            call(client(url), "POST")
        assert caught.value.sent is False
        assert "refused" in str(caught.value)
        assert "object at 0x" not in str(caught.value)


def test_tls_that_fails_means_not_sent():
    with serving(Answer()) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url.replace("http:", "https:")), "POST")
    assert (caught.value.sent, came) == (False, [])


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("first", [Answer(500), Answer(503), Answer(429), Answer(504), Answer(cut=True)])
def test_reads_and_flags_are_repeated(method, first):
    with serving(first, first, Answer(200, b"[1]")) as (url, came):
        assert call(client(url), method) == [1]
    assert len(came) == 3


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_repeating_has_an_end_and_the_last_answer_is_told(method):
    with serving(Answer(503, b'{"message":"away"}')) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), method)
    assert str(caught.value) == f"{method} /v1/x answered 503: away"
    assert 2 <= len(came) <= 9


@pytest.mark.parametrize("first", [Answer(400, b""), Answer(401), Answer(403), Answer(404), Answer(409)])
def test_an_answer_that_will_not_change_is_not_asked_for_again(first):
    with serving(first) as (url, came), pytest.raises(ApiError):
        call(client(url), "GET")
    assert len(came) == 1


def test_a_read_that_hung_once_is_repeated_and_each_try_has_its_own_time():
    with serving(Answer(hang=True), Answer(200, b"[1]")) as (url, came):
        assert call(client(url), "GET", timeout=0.2) == [1]
    assert len(came) == 2


@pytest.mark.parametrize("header", ["soon", "nan", "0.0", ""])
def test_an_odd_retry_after_does_not_hinder_the_repeating(header):
    with serving(Answer(429, b"{}", {"Retry-After": header}), Answer(200, b"[1]")) as (url, came):
        assert call(client(url), "GET") == [1]
    assert len(came) == 2


@pytest.mark.parametrize(("asked", "waited"), [("3", 3), ("86400", 60), ("Fri, 31 Dec 2999 23:59:59 GMT", 60)])
def test_the_wait_between_reads_is_capped(asked, waited):
    class Given:
        headers = {"Retry-After": asked}

    assert _client._BoundedRetry().get_retry_after(Given()) == waited


def test_an_answer_that_drips_for_ever_ends():
    class Dripping:
        headers = {CORRELATION: "c-2"}

        @staticmethod
        def iter_content(size):
            while True:
                yield b"."

    with pytest.raises(ApiError) as caught:
        _client.Client._body(Dripping(), "GET", "/v1/x", 0.0)
    assert caught.value.timed_out
    assert str(caught.value) == (
        "GET /v1/x gave no answer: the answer came too slowly to end within the time limit (X-Warren-Correlation-Id c-2)"
    )


def test_an_unverified_certificate_says_what_to_do():
    words = "HTTPSConnectionPool(...): (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed')))"
    error = _client.Client._transport_error("GET", "/v1/x", 5, _client.requests.exceptions.SSLError(words))
    assert error.sent is False
    assert str(error) == (
        "GET /v1/x gave no answer: the TLS certificate cannot be verified. Give your own CA with ca_path, or, knowing the risk, "
        "validate_certs=false"
    )


def test_the_key_is_in_no_error():
    with serving(Answer(500, KEY.encode()[:4])) as (url, _came), pytest.raises(ApiError) as caught:
        call(client(url), "POST")
    assert KEY not in str(caught.value) + json.dumps(caught.value.facts())


# Small readers.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("86400", 60.0),
        ("inf", 60.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:00:20 GMT", 20.0),
        ("Thu, 01 Jan 2026 00:00:20 -0000", 20.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 60.0),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    assert _client.retry_after_seconds(value, datetime(2026, 1, 1, tzinfo=timezone.utc)) == seconds


@CALM
@given(st.text(max_size=40))
def test_retry_after_is_bounded_for_any_header(value):
    assert 0 <= (_client.retry_after_seconds(value) or 0) <= 60


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty body"),
        (b" \r\n ", "empty body"),
        (b'{"message":"no"}', "no"),
        (b'{"errors":{"Error":"locked"}}', "locked"),
        (b'{"errors":{"uuid":"missing","force":"bad"}}', "uuid: missing; force: bad"),
        (b'{"errors":{"card":{"number":"bad"}}}', "card: {'number': 'bad'}"),
        (b'{"errors":["odd"]}', '{"errors":["odd"]}'),
        (b'{"errors":{},"message":"so"}', "so"),
        (b"[1]", "[1]"),
        (b"<html><h1>502</h1>\n<p>Bad   Gateway</p></html>", "502 Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("red\x1b[31m\u202egnp\r\nnext".encode(), "red [31m gnp next"),
        (b"x" * 400, "x" * 300 + "..."),
    ],
)
def test_error_detail(body, text):
    assert _client.error_detail(body) == text


@CALM
@given(st.binary(max_size=200))
def test_error_detail_is_one_short_printable_line(body):
    text = _client.error_detail(body)
    assert text.isprintable() and len(text) <= 303


@responses.activate
@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_echoes_the_key_gets_it_into_no_message(status):
    responses.get(f"{HOST}/v1/x", body=f"apikey: {KEY}", status=status)
    with pytest.raises(ApiError) as caught:
        call(client(), "GET")
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)
