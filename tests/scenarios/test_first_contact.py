# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan with a wrong address or key ends with one clear sentence, after the tries of a single call."""

from __future__ import annotations

import socket
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client
from harness import in_process as crew
from harness.fast_clock import SETTINGS, GiveDesk, desks

desk = pytest.fixture(desks)
NAME = "api.example.invalid"


@pytest.fixture(name="slept")
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the pauses between tries, which are not slept."""
    seconds: list[float] = []

    monkeypatch.setattr(client, "_clock", types.SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture(name="unknown")
def unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def getaddrinfo(host: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if host == NAME:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def plan(folder: Path, host: str) -> crew.Outcome:
    return crew.Crew(folder, host, "key", **SETTINGS).plan()


def reached(detail: str) -> str:
    return (
        f"The platform cannot be reached: {detail}. Nothing was changed. Check ceph_maint_api_host and the network, then rerun the "
        "same command."
    )


def test_plan_with_unknown_host_name_ends_within_seconds(tmp_path: Path, unknown: None, slept: list[float]) -> None:
    out = plan(tmp_path, NAME)
    assert out.error == reached(f"the host name {NAME} cannot be resolved (Name or service not known)")
    assert sum(slept) < 10


def test_plan_with_refused_port_ends_within_seconds(tmp_path: Path, slept: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        out = plan(tmp_path, f"127.0.0.1:{port}")
    assert out.error == reached(f"127.0.0.1 port {port} refused the connection")
    assert sum(slept) < 10


def test_plan_with_plain_http_port_ends_at_once(desk: GiveDesk, tmp_path: Path, slept: list[float]) -> None:
    host = desk().cloud.url.removeprefix("http://")
    out = plan(tmp_path, host)
    assert out.error == reached(f"{host.replace(':', ' port ')} does not use TLS")
    assert slept == []


def test_plan_with_rejected_key_says_to_correct_it(desk: GiveDesk, tmp_path: Path) -> None:
    out = plan(tmp_path, desk().cloud.url)
    assert out.error.startswith("The platform rejected the API key: ") and out.error.endswith(". Nothing was changed. Correct the key.")


def test_restore_waits_until_the_host_name_is_known(desk: GiveDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver may be a VM of the same cloud."""
    at = desk()
    assert at.crew.prepare().safe
    resolve, left = socket.getaddrinfo, [30]

    def getaddrinfo(*args: t.Any, **kwargs: t.Any) -> t.Any:
        left[0] -= 1
        if left[0] > 0:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    out = at.crew.restore()
    assert out.rc == 0 and left[0] < 0, out.text
    assert at.cloud.in_state("running") == at.running
