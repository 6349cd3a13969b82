# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP: where the key goes, what is sent how often, and what each answer becomes."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import traceback
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client as _client
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, InputError, NoRoute, NotFound

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
def serving(*script, tls=None):
    """A loopback server that gives these answers in turn, the last one for ever. Yields its URL and what came.

    C(tls): the certificate authority that it has a certificate of.
    """
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
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", came
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
        ("HTTP://LocalHost:8080", "http://localhost:8080"),
        ("HTTPS://api.example.com.", "https://api.example.com."),
        ("api.example.com:", "https://api.example.com"),
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
        ("HTTP://api.example.com", "plain http would send the API key"),
        ("http://127.0.0.1.example.com", "plain http would send the API key"),
        ("http://localhost.", "plain http would send the API key"),
        ("http://127.0.0.1.", "plain http would send the API key"),
        ("http://127.1", "plain http would send the API key"),
        ("http://2130706433", "plain http would send the API key"),
        ("http://0.0.0.0", "plain http would send the API key"),
        ("http://[::]", "plain http would send the API key"),
        ("http://[::ffff:192.0.2.1]", "plain http would send the API key"),
        ("http://\uff1127.0.0.1", "plain http would send the API key"),
        ("http://localhost@example.com", "is not a host, host:port or URL"),
        ("http://example.com@localhost", "is not a host, host:port or URL"),
        ("http://@localhost", "is not a host, host:port or URL"),
        ("http://127.0.0.1:80@example.com", "is not a host, host:port or URL"),
        ("http://127.0.0.1\\@example.com", "is not a host, host:port or URL"),
        ("http://127.0.0.1\\.example.com", "is not a host, host:port or URL"),
        ("http://localhost%2eexample.com", "is not a host, host:port or URL"),
        ("http://localhost,example.com", "is not a host, host:port or URL"),
        ("http://localhost;example.com", "is not a host, host:port or URL"),
        ("http://[::1%25eth0]", "is not a host, host:port or URL"),
        ("http://127.0.0.1/@example.com", "is not a host, host:port or URL"),
        ("api.example.com:0", "is not a host, host:port or URL"),
        ("..", "is not a host, host:port or URL"),
        ("../../etc", "is not a host, host:port or URL"),
        ("//api.example.com", "is not a host, host:port or URL"),
        ("api..example.com", "is not a host, host:port or URL"),
        ("-api.example.com", "is not a host, host:port or URL"),
        ("a" * 64 + ".example.com", "is not a host, host:port or URL"),
        ("api.example.com/..", "is not a host, host:port or URL"),
        ("api.example.com/a/../b", "is not a host, host:port or URL"),
        ("api.example.com/%2e%2e/b", "is not a host, host:port or URL"),
        ("api.example.com?", "is not a host, host:port or URL"),
        ("api.example.com\x00", "is not a host, host:port or URL"),
        ("api.exam\nple.com", "is not a host, host:port or URL"),
        ("api.example.com\u200b", "is not a host, host:port or URL"),
        ("api.example.com\u202e", "is not a host, host:port or URL"),
    ],
)
def test_base_url_refuses(given_host, words):
    with pytest.raises(InputError) as caught:
        _client.base_url(given_host)
    assert words in str(caught.value)


@pytest.mark.parametrize("password", ["s3cret", "s3cret/x", "s3cret?x", "s3cret#x", "s3cret x"])
@pytest.mark.parametrize("scheme", ["https://", "ftp://", ""])
def test_base_url_with_a_password_is_refused_and_the_password_not_shown(scheme, password):
    with pytest.raises(InputError) as caught:
        _client.base_url(f"{scheme}admin:{password}@api.example.com")
    assert "without user" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.type, caught.value, None))


@pytest.mark.parametrize("key", ["two\nlines", "a b", "key\r\nX-Other: 1", "käy", "\x00"])
def test_a_key_that_is_none_is_refused_and_not_shown(key):
    with pytest.raises(InputError) as caught:
        _client.Client(HOST, key)
    assert str(caught.value) == "api_key holds a blank, a line break or another character that no key has."


def test_an_empty_key_is_refused():
    with pytest.raises(InputError, match=r"api_key is empty\. Give the key of an admin user, or set ADMIN_APIKEY\."):
        _client.Client(HOST, "")


def test_what_a_request_carries():
    with serving(Answer(200, b"[1]")) as (url, came):
        assert client(f"{url}/behind/a/path").get("/v1/x", {"status": "running", "b": "a b&c"}, 5) == [1]
    [(method, path, body, headers)] = came
    assert (method, path, body) == ("GET", "/behind/a/path/v1/x?status=running&b=a+b%26c", "")
    assert headers["apikey"] == KEY
    assert headers["User-Agent"] == "pilw.maintenance"


@pytest.mark.parametrize(("form", "body"), [({"uuid": "a", "b": "a b&c\u00e4"}, "uuid=a&b=a+b%26c%C3%A4"), ({}, "")])
def test_what_a_write_carries(form, body):
    with serving(Answer(200, b"{}")) as (url, came):
        client(url).send("POST", "/v1/x", form, 5)
    assert came[0][:3] == ("POST", "/v1/x", body)
    assert came[0][3].get("Content-Type") == ("application/x-www-form-urlencoded" if form else None)
    assert came[0][3]["Content-Length"] == str(len(body))


CA, OTHER_CA = trustme.CA(), trustme.CA()


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({}, False),
        ({"ca_path": "ca.pem"}, True),
        ({"ca_path": "other.pem"}, False),
        ({"validate_certs": False}, True),
        ({"validate_certs": False, "ca_path": "/no/such/ca.pem"}, True),
    ],
)
def test_the_environment_overrules_neither_verification_nor_the_key(options, good, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    CA.cert_pem.write_to_path("ca.pem")
    OTHER_CA.cert_pem.write_to_path("other.pem")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    # A bundle that would change what is trusted.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "other.pem" if good else "ca.pem")
    with serving(Answer(200, b"[]"), tls=CA) as (url, came):
        one = client(url, **options)
        for method in ("GET", "POST"):
            with contextlib.nullcontext() if good else pytest.raises(ApiError, match="the TLS certificate cannot be verified"):
                call(one, method)
    assert len(came) == (2 if good else 0)
    for _method, _path, _body, headers in came:
        assert "Authorization" not in headers
        assert headers["apikey"] == KEY


def test_a_ca_path_that_is_not_there_is_said_before_anything_is_sent():
    with pytest.raises(InputError) as caught:
        client(ca_path="/no/such/ca.pem")
    assert str(caught.value) == "ca_path /no/such/ca.pem cannot be read. Give a file or folder of CA certificates on this machine."


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_plain_http_to_this_machine_goes_through_no_proxy(method, name, monkeypatch):
    """A proxy would read the key."""
    with serving(Answer()) as (proxy, came_to_proxy), serving(Answer(200, b"[1]")) as (url, came):
        monkeypatch.setenv(name, proxy)
        assert call(client(url), method) == [1]
    assert len(came) == 1
    assert came_to_proxy == []


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        (HOST, None, False),
        (HOST, "api.example.com", True),
        (HOST, "example.com", True),
        (HOST, ".example.com", True),
        (HOST, "other.example.com, api.example.com", True),
        (HOST, "*", True),
        (HOST, "ample.org", False),
        (f"{HOST}:8443", "api.example.com:8443", True),
        (f"{HOST}:8443", "api.example.com:443", False),
        ("https://192.0.2.7", "192.0.2.0/24", True),
        ("https://192.0.2.7", "198.51.100.0/24", False),
        ("https://127.0.0.1:8443", None, True),
        ("https://localhost:8443", None, True),
        ("https://[::1]:8443", None, True),
        ("http://localhost:8080", None, True),
    ],
)
@pytest.mark.parametrize("lower", [True, False])
def test_which_hosts_are_asked_through_the_proxy_of_the_environment(host, no_proxy, direct, lower, monkeypatch):
    for name, value in (("http_proxy", "http://proxy:3128"), ("https_proxy", "http://proxy:3128"), ("no_proxy", no_proxy)):
        monkeypatch.delenv(name.upper() if lower else name, raising=False)
        if value:
            monkeypatch.setenv(name if lower else name.upper(), value)
    pool = client(host)._session.pool()
    assert (pool.proxy is None) is direct
    assert direct or str(pool.proxy) == "http://proxy:3128"


@pytest.mark.parametrize("proxy", ["http://user:secret@proxy:99999", "http://user:se/cret@proxy", "http://user:secret@[::1", "http://:3128"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_proxy_that_is_no_url_is_told_without_its_password(method, proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ApiError) as caught:
        call(client("https://api.invalid"), method)
    assert "secret" not in str(caught.value) and "se/cret" not in str(caught.value)
    assert not caught.value.sent


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


@pytest.mark.parametrize(
    ("status", "body", "kind", "detail"),
    [
        (401, '{"message":"missing apikey header"}', AuthError, "missing apikey header"),
        (403, '{"message":"Invalid authentication credentials"}', AuthError, "Invalid authentication credentials"),
        (400, '{"errors":{"Error":"No such virtual machine exists: a"}}', NotFound, "No such virtual machine exists: a"),
        (400, '{"errors":{"uuid":"Required parameter \'uuid\' not supplied"}}', ApiError, "uuid: Required parameter 'uuid' not supplied"),
        (400, "", ApiError, "empty body"),
        (404, '{"message":"no route and no API found with those values"}', NoRoute, "no route and no API found with those values"),
        (404, '{"message":"no Route matched with those values"}', NoRoute, "no Route matched with those values"),
        (404, '{"message":"VM unknown"}', NotFound, "VM unknown"),
        (404, "404 page not found", ApiError, "404 page not found"),
        (404, "", ApiError, "empty body"),
        (404, "[]", ApiError, "[]"),
        (409, '{"errors":{"Error":"Server is locked"}}', ApiError, "Server is locked"),
        (418, "<html><body>a <b>teapot</b></body></html>", ApiError, "a teapot"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_have_a_kind_and_all_that_is_known(method, status, body, kind, detail):
    with serving(Answer(status, body.encode(), {CORRELATION: "c-17"})) as (url, _came), pytest.raises(ApiError) as caught:
        call(client(url), method)
    assert caught.type is kind
    advice = " (the API key must be that of an admin user; a frozen account answers so too)" if kind is AuthError else ""
    assert str(caught.value) == f"{method} /v1/x answered {status}: {detail} (X-Warren-Correlation-Id c-17){advice}"
    assert caught.value.sent
    assert caught.value.facts() == {
        "error": {"method": method, "path": "/v1/x", "status": status, "detail": detail, "correlation_id": "c-17"}
    }


def test_retry_after_reaches_the_one_who_decides():
    with serving(Answer(429, b'{"message": "slow down"}', {"Retry-After": "7"})) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "POST")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    assert len(came) == 1


@pytest.mark.parametrize("body", ["", "<html>login</html>", "{"])
def test_a_read_without_json_is_an_error(body):
    with serving(Answer(200, body.encode(), {CORRELATION: "c-1"})) as (url, _came), pytest.raises(ApiError) as caught:
        call(client(url), "GET")
    assert str(caught.value).startswith("GET /v1/x answered 200: the body is not JSON: ")
    assert str(caught.value).endswith("(X-Warren-Correlation-Id c-1)")


@pytest.mark.parametrize(("status", "body", "given_back"), [(200, "", None), (204, "", None), (200, " ", None), (201, "{}", {})])
def test_a_write_takes_any_2xx(status, body, given_back):
    with serving(Answer(status, body.encode())) as (url, _came):
        assert call(client(url), "POST") == given_back


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


@pytest.mark.parametrize("first", [Answer(500), Answer(503), Answer(429), Answer(504), Answer(cut=True)])
def test_reads_are_repeated(first):
    with serving(first, first, Answer(200, b"[1]")) as (url, came):
        assert call(client(url), "GET") == [1]
    assert len(came) == 3


def test_repeating_has_an_end_and_the_last_answer_is_told():
    with serving(Answer(503, b'{"message":"away"}')) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "GET")
    assert str(caught.value) == "GET /v1/x answered 503: away"
    assert 2 <= len(came) <= 9


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("first", [Answer(500), Answer(503), Answer(429), Answer(504), Answer(cut=True)])
def test_a_write_is_sent_once(method, first):
    with serving(first, Answer(200, b"[1]")) as (url, came), pytest.raises(ApiError):
        call(client(url), method)
    assert len(came) == 1


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


@pytest.fixture
def pauses(monkeypatch):
    """Pauses between tries are not slept. Gives their seconds."""
    slept = []
    monkeypatch.setattr(_client, "_clock", types.SimpleNamespace(sleep=slept.append))
    return slept


@pytest.mark.parametrize(("asked", "waited"), [("3", 3), ("86400", 60), ("Fri, 31 Dec 2999 23:59:59 GMT", 60)])
def test_retry_after_of_read_is_waited_for_and_capped(asked, waited, pauses):
    with serving(Answer(503, b"", {"Retry-After": asked}), Answer(200, b"[1]")) as (url, _came):
        assert client(url).get("/v1/x", None, 5) == [1]
    assert pauses == [waited]


@pytest.mark.parametrize(("failure", "waited"), [(Answer(503), [0, 2, 4, 8, 16]), (Answer(cut=True), [0, 2, 4, 8, 16, 20, 20, 20])])
def test_pauses_between_reads_grow_up_to_a_cap(failure, waited, pauses):
    with serving(failure) as (url, came), pytest.raises(ApiError):
        _client.Client(url, KEY).get("/v1/x", None, 5)
    assert (pauses, len(came)) == (waited, len(waited) + 1)


# Small readers.


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        ("1.5", None),
        ("-3", None),
        ("86400", 60.0),
        ("nan", None),
        ("soon", None),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Wed, 31 Dec 2025 23:59:00 -0000", 0.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 60.0),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    assert _client.retry_after_seconds(value) == seconds


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


# A server that echoes what it was sent, and text that customers chose.


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 500])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(
    "body", [f"apikey: {KEY}", f'{{"message":"{KEY}"}}', f'{{"errors":{{"Error":"{KEY}"}}}}', f"[{KEY}]"], ids="text message error list".split()
)
def test_a_key_that_is_echoed_gets_into_no_message(method, status, body):
    answer = Answer(status, body.encode(), {CORRELATION: f"c-{KEY}", "Retry-After": "0", "Location": KEY, "X-Echo": KEY})
    with serving(answer) as (url, _came):
        try:
            given_back = call(client(url), method)
        except ApiError as error:
            shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            assert KEY not in shown + json.dumps(error.facts())
            assert "***" in str(error)
        else:
            assert KEY not in json.dumps(given_back)


def test_a_key_that_is_echoed_in_a_row_gets_into_no_record():
    with serving(Answer(200, json.dumps([{"uuid": "a", "name": KEY}]).encode())) as (url, _came):
        assert call(client(url), "GET") == [{"uuid": "a", "name": "***"}]


@pytest.mark.parametrize("spelling", [r'k\/\"y\\z', r'k/\"y\\z', "k%2F%22y%5Cz"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_key_that_is_echoed_in_another_spelling_is_not_shown(status, spelling):
    key = 'k/"y\\z'
    with serving(Answer(status, f'{{"message": "not {spelling} of yours"}}'.encode(), {"Retry-After": "0"})) as (url, _came):
        one = _client.Client(url, key, backoff=0)
        try:
            shown = one.get("/v1/x", None, 5)["message"]
        except ApiError as error:
            shown = error.detail
    assert shown == "not *** of yours"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_that_is_no_http_is_shown_without_the_key(method):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo():
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    asked = connection.recv(65536)
                    connection.sendall(b" ".join(asked.split()) + b"\x1b[31m\r\n\r\n")
                    connection.close()

        threading.Thread(target=echo, daemon=True).start()
        with pytest.raises(ApiError) as caught:
            call(client(f"http://127.0.0.1:{server.getsockname()[1]}"), method)
        shown = "".join(traceback.format_exception(caught.type, caught.value, caught.value.__traceback__))
        assert "BadStatusLine" in str(caught.value)
        assert KEY not in shown
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (r'"plain \u00f5\ud83d\udc27"', "plain \u00f5\U0001f427"),
        (r'"half \ud800 pair"', "half \ufffd pair"),
        (r'"\udc80"', "\ufffd"),
        (r'"nul\u0000"', "nul\ufffd"),
        (r'"\u001b[31mred"', "\ufffd[31mred"),
        ('"\u009b31mred"', "\ufffd31mred"),
        (r'"\u202etxt.exe"', "\ufffdtxt.exe"),
        (r'"zero\u200bwidth\ufeff"', "zero\ufffdwidth\ufffd"),
        (r'"del\u007f\u2028"', "del\ufffd\ufffd"),
        (r'"two\nlines\tand a tab\r"', "two\nlines\tand a tab\ufffd"),
        (r'"{{ 1 }} =cmd() <b>"', "{{ 1 }} =cmd() <b>"),
        (r'{"ke\u001by": [{"a": "\ud800"}], "n": 1.5, "t": true, "z": null}', {"ke\ufffdy": [{"a": "\ufffd"}], "n": 1.5, "t": True, "z": None}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_steers_terminals_and_what_is_no_text_gets_no_further(method, sent, got):
    with serving(Answer(200, sent.encode())) as (url, _came):
        assert call(client(url), method) == got


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=10,
)


@CALM
@given(JSON_VALUES)
def test_inert_data_can_be_written_anywhere(value):
    text = json.dumps(_client.inert(value), ensure_ascii=False)
    text.encode()
    assert text.isprintable()
    assert _client.inert(_client.inert(value)) == _client.inert(value)


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b"1" * 5000, b"\xff\xfe[]", b'{"a": "\xc3"}'])
@pytest.mark.parametrize("status", [200, 500])
def test_json_that_cannot_be_read_is_an_error_like_others(status, body):
    with serving(Answer(status, body, {"Retry-After": "0"})) as (url, _came):
        with pytest.raises(ApiError):
            call(client(url), "GET")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_correlation_id_does_no_harm_on_a_terminal(method):
    with serving(Answer(400, b"", {CORRELATION: "c\x9b31m" + "x" * 9999})) as (url, _came), pytest.raises(ApiError) as caught:
        call(client(url), method)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_page_for_people_is_no_answer_to_a_write():
    with serving(Answer(200, b"<h1>Please sign in</h1>")) as (url, came), pytest.raises(ApiError) as caught:
        call(client(url), "POST")
    assert str(caught.value) == "POST /v1/x answered 200: the body is not JSON: Please sign in"
    assert len(came) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
         "Remote end closed connection without response"),
        ("Max retries exceeded with url: /x (Caused by ProtocolError('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer')))",
         "Connection reset by peer"),
        ("(Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish: [Errno 111] refused'))",
         "Failed to establish: [Errno 111] refused"),
    ],
)  # fmt: skip
def test_a_lost_connection_is_told_without_the_names_of_classes(words, told):
    assert _client._transport_words(words) == told
