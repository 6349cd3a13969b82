# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls over TLS and through a proxy end within their time, and tell for sure whether the request went out."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
import typing as t

import pytest
import trustme

from ansible_collections.pilw.maintenance.plugins.module_utils._api.client import Client
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError

TIMEOUT = 0.6
PATIENCE = 15.0
Serve = t.Callable[[socket.socket], None]
HEADERS = b"HTTP/1.1 200 OK\r\nX-A: "
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(name="certificate", scope="module")
def made_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """What a server for two names needs, and the file with the CA."""
    authority = trustme.CA()
    path = str(tmp_path_factory.mktemp("ca") / "ca.pem")
    authority.cert_pem.write_to_path(path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "api.example.com").configure_cert(context)
    return context, path


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def answering(serve: Serve) -> t.Iterator[int]:
    """A loopback port; each connection has a thread of its own."""

    def one(line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(PATIENCE)
            serve(line)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def drip(line: socket.socket, first: bytes, again: bytes = b"a") -> None:
    line.sendall(first)
    for _each in range(int(PATIENCE / 0.05)):
        line.sendall(again)
        time.sleep(0.05)


def over_tls(context: ssl.SSLContext, asked: list[bytes], talk: Serve) -> Serve:
    def serve(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as wrapped:
            asked.append(wrapped.recv(65536))
            talk(wrapped)

    return serve


def tunnel(port: int) -> Serve:
    """A proxy that takes every CONNECT to one port of this machine."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(line: socket.socket) -> None:
        assert line.recv(65536).startswith(b"CONNECT api.example.com:443 ")
        with socket.create_connection(("127.0.0.1", port)) as onward:
            line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, line), daemon=True)
            back.start()
            pump(line, onward)
            back.join(PATIENCE)

    return serve


def fails(host: str, ca_path: str, method: str = "POST") -> ApiError:
    client = Client(host, "k3y-of-an-admin", ca_path=ca_path, backoff=0)
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        if method == "GET":
            client.get("/v1/x", None, TIMEOUT, once=True)
        else:
            client.send(method, "/v1/x", {"uuid": "a"}, TIMEOUT)
    assert time.monotonic() - began < PATIENCE / 2
    assert "k3y" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("method", "begin", "proxied"),
    [
        ("GET", HEADERS, False),
        ("GET", BODY, True),
        ("POST", HEADERS, False),
        ("POST", BODY, False),
        ("POST", b"", False),
        ("POST", HEADERS, True),
        ("POST", BODY, True),
        ("POST", b"", True),
    ],
    ids=lambda one: {HEADERS: "header", BODY: "body", b"": "continue", True: "tunnel", False: "direct"}.get(one, one),
)
def test_an_answer_over_tls_that_drips_ends(
    certificate: tuple[ssl.SSLContext, str], method: str, begin: bytes, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    again = b"a" if begin else b"HTTP/1.1 100 Continue\r\n\r\n"
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(answering(over_tls(certificate[0], asked, lambda line: drip(line, begin, again))))
        host = f"127.0.0.1:{port}"
        if proxied:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{stack.enter_context(answering(tunnel(port)))}")
            host = "api.example.com"
        error = fails(host, certificate[1], method)
    assert (error.timed_out, error.sent) == (True, True)
    assert [one.split(b" ")[0] for one in asked] == [method.encode()]


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 Connection established\r\nX-A: ", b"HTTP/1.1 20", b"HTTP/1.1 407 No\r\nX-A: "])
def test_a_proxy_that_drips_ends_it_with_nothing_sent(begin: bytes, certificate: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(line: socket.socket) -> None:
        line.recv(65536)
        drip(line, begin)

    with answering(serve) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        assert fails("api.example.com", certificate[1]).sent is False


@pytest.mark.parametrize(
    "hello", [b"", b"\x16\x03\x03\x40\x00", b"\x15\x03\x03\x00\x02\x02\x28", b"HTTP/1.1 400 Bad\r\n\r\n"], ids="silent drips alert http".split()
)
def test_a_handshake_that_fails_or_drips_means_not_sent(hello: bytes, certificate: tuple[ssl.SSLContext, str]) -> None:
    def serve(line: socket.socket) -> None:
        line.recv(65536)
        if hello.startswith(b"\x16"):
            drip(line, hello, b"\2")
        elif hello:
            line.sendall(hello)
        else:
            line.recv(1)

    with answering(serve) as port:
        assert fails(f"127.0.0.1:{port}", certificate[1]).sent is False


def spoil(line: socket.socket) -> None:
    """Bytes that no TLS record is made of."""
    with socket.socket(fileno=os.dup(line.fileno())) as plain:
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)


def test_tls_that_breaks_once_the_request_is_out_is_unclear(certificate: tuple[ssl.SSLContext, str]) -> None:
    asked: list[bytes] = []
    with answering(over_tls(certificate[0], asked, spoil)) as port:
        error = fails(f"127.0.0.1:{port}", certificate[1])
    assert (error.sent, error.timed_out, error.status, len(asked)) == (True, False, None, 1)


def test_tls_that_breaks_within_the_body_is_unclear(certificate: tuple[ssl.SSLContext, str]) -> None:
    asked: list[bytes] = []

    def talk(line: socket.socket) -> None:
        line.sendall(BODY)
        spoil(line)

    with answering(over_tls(certificate[0], asked, talk)) as port:
        error = fails(f"127.0.0.1:{port}", certificate[1])
    # The break may overtake what was sent before it: then no answer came at all.
    assert (error.sent, error.timed_out) == (True, False) and error.status in (200, None)


def test_a_connection_that_breaks_when_it_is_used_again_is_unclear(certificate: tuple[ssl.SSLContext, str]) -> None:
    asked: list[bytes] = []

    def talk(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        asked.append(line.recv(65536))
        spoil(line)

    with answering(over_tls(certificate[0], asked, talk)) as port:
        client = Client(f"127.0.0.1:{port}", "key", ca_path=certificate[1], backoff=0)
        assert client.send("POST", "/v1/x", {}, PATIENCE) == {}
        with pytest.raises(ApiError) as caught:
            client.send("POST", "/v1/x", {}, PATIENCE)
    assert caught.value.sent and len(asked) == 2
