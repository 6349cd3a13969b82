# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An address that leads nowhere: one clear sentence, soon, with each urllib3."""

from __future__ import annotations

import contextlib
import socket
import threading
import types

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client, transport
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError

NAME = "api.example.invalid"
LIMIT = 10.0  # seconds until a plan ends, of which the tries themselves take little
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pauses(monkeypatch):
    """Pauses between tries are not slept. Gives their seconds."""
    slept = []
    monkeypatch.setattr(client, "_clock", types.SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def resolver(monkeypatch):
    """Give a function that puts another resolver in place, for names only. It gives how often that was asked."""

    def put(answer):
        asked, real = [], socket.getaddrinfo

        def getaddrinfo(host, *args, **kwargs):
            if host != NAME:
                return real(host, *args, **kwargs)
            asked.append(host)
            return answer()

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return put


def unreachable(host):
    with pytest.raises(ApiError) as caught:
        client.Client(host, "key").get("/v1/x", None, 120.0)
    assert not caught.value.sent and caught.value.status is None
    return caught.value.detail


def fail(error):
    raise error


def test_unknown_name_is_reported_within_seconds(resolver, pauses):
    asked = resolver(lambda: fail(UNKNOWN))
    assert unreachable(NAME) == f"the host name {NAME} cannot be resolved (Name or service not known)"
    assert len(asked) == 4 and sum(pauses) < LIMIT


def test_resolver_that_takes_long_is_asked_once(resolver, pauses, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(transport, "_clock", lambda: now[0])

    def answer():
        now[0] += 20.0
        raise UNKNOWN

    asked = resolver(answer)
    assert "cannot be resolved" in unreachable(NAME)
    assert len(asked) == 1 and pauses == []


def test_silent_resolver_is_reported_after_its_time(resolver, pauses, monkeypatch):
    assert transport.RESOLVER_TIMEOUT == 30.0
    monkeypatch.setattr(transport, "RESOLVER_TIMEOUT", 0.2)
    over = threading.Event()
    asked = resolver(over.wait)
    assert unreachable(NAME) == f"the host name {NAME} was not resolved within 0.2 s"
    assert len(asked) == 1 and pauses == []
    over.set()


def test_refused_port_is_reported_within_seconds(pauses):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert unreachable(f"127.0.0.1:{port}") == f"127.0.0.1 port {port} refused the connection"
    assert 0 < sum(pauses) < LIMIT


def test_refused_proxy_is_named(pauses, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        assert unreachable(NAME) == f"the proxy 127.0.0.1 port {port} refused the connection"
    assert sum(pauses) < LIMIT


def test_plain_http_port_is_reported_at_once(pauses):
    connections = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                line = server.accept()[0]
                connections.append(line)
                line.recv(65536)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                line.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        port = server.getsockname()[1]
        assert unreachable(f"127.0.0.1:{port}") == f"127.0.0.1 port {port} does not use TLS"
        server.shutdown(socket.SHUT_RDWR)
    assert len(connections) == 1 and pauses == []
