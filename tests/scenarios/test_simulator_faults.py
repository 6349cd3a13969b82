# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated platform goes wrong exactly as it is told to."""

from __future__ import annotations

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from simulator.backends.base import Vm
from simulator.server import Cloud

FAST = 0.002
ALL = "/v1/user-resource/vm/all"
SHOW = "/v1/user-resource/admin/vm?uuid="
POWER = "/v1/user-resource/admin/vm/"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked directly, whatever the machine's proxies."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def ask(cloud: Cloud, path: str, method: str = "GET", **more: object) -> requests.Response:
    return requests.request(method, cloud.url + path, headers={"apikey": cloud.key}, **{"timeout": 20, **more})


def power(cloud: Cloud, word: str, vm: Vm, **more: str) -> requests.Response:
    return ask(cloud, POWER + word, "POST", data=dict(more, uuid=vm.uuid))


def states(cloud: Cloud) -> list[str]:
    return [row["status"] for row in ask(cloud, ALL).json()]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_error_before_and_after_the_act(status: int, after: bool) -> None:
    with Cloud(vms=1, time_scale=FAST) as cloud:
        cloud.act("fault", route="admin_vm_stop", status=status, after=after)
        assert power(cloud, "stop", cloud.vms[0]).status_code == status
        assert cloud.vms[0].state == ("stopped" if after else "running")


@pytest.mark.parametrize("after", [False, True])
def test_no_answer_before_and_after_the_act(after: bool) -> None:
    with Cloud(vms=1, time_scale=FAST) as cloud:
        cloud.act("fault", kind="hang", route="admin_vm_stop", after=after)
        with pytest.raises(requests.Timeout):
            ask(cloud, POWER + "stop", "POST", data={"uuid": cloud.vms[0].uuid}, timeout=0.3)
        assert cloud.vms[0].state == ("stopped" if after else "running")
        assert power(cloud, "stop", cloud.vms[0]).status_code == 200


def test_bodies_that_are_not_what_they_should_be() -> None:
    with Cloud(vms=3, time_scale=FAST) as cloud:
        whole = ask(cloud, ALL)
        cloud.act("fault", kind="truncated", route="vm_all")
        half = ask(cloud, ALL)
        assert (half.status_code, half.content) == (200, whole.content[: len(whole.content) // 2])
        with pytest.raises(ValueError):
            half.json()
        cloud.act("fault", kind="broken_off", route="vm_all")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            ask(cloud, ALL)
        cloud.act("fault", kind="html", route="vm_all")
        page = ask(cloud, ALL)
        assert (page.status_code, page.headers["Content-Type"][:9]) == (200, "text/html")
        assert page.text.startswith("<!DOCTYPE html>")
        cloud.act("fault", kind="mislabelled", route="vm_all", content_type="application/octet-stream")
        label = ask(cloud, ALL)
        assert (label.headers["Content-Type"], label.content) == ("application/octet-stream", whole.content)
        cloud.act("fault", kind="dribble", route="vm_all", seconds=200)
        began = time.monotonic()
        slow = ask(cloud, ALL, stream=True)
        head = time.monotonic() - began
        assert (slow.content, slow.headers["Content-Type"]) == (whole.content, whole.headers["Content-Type"])
        assert head < 0.3 < time.monotonic() - began
        for status in (200, 400):
            cloud.act("fault", kind="empty", status=status, route="vm_all")
            assert (ask(cloud, ALL).status_code, cloud.journal.entries[-1].faults) == (status, ["empty"])
        assert ask(cloud, ALL).content == whole.content


def test_retry_after_is_sent_as_it_is_given() -> None:
    with Cloud(vms=1, time_scale=FAST) as cloud:
        for value in ("7", "Fri, 31 Dec 1999 23:59:59 GMT", "86400", "soon", "-5"):
            cloud.act("fault", status=429, retry_after=value)
            answer = ask(cloud, ALL)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, value)
        cloud.act("fault", status=429)
        assert "Retry-After" not in ask(cloud, ALL).headers
        cloud.act("options", rate_limit=1, rate_window=1e9, retry_after="tomorrow")
        assert [ask(cloud, ALL).headers.get("Retry-After") for dummy in range(2)] == [None, "tomorrow"]


def test_lists_with_other_rows() -> None:
    with Cloud(vms=4, time_scale=FAST) as cloud:
        first, second = cloud.vms[0].uuid, cloud.vms[1].uuid
        odd = [None, 7, "row", [], {"uuid": None}, {"uuid": first, "status": "stopped"}]
        cloud.act("fault", kind="list", route="vm_all", drop=[second], keep=2, over={"status": None, "new": {}}, add=odd)
        rows = ask(cloud, ALL).json()
        assert [(row["uuid"], row["status"], row["new"]) for row in rows[:2]] == [
            (first, None, {}), (cloud.vms[2].uuid, None, {})
        ]
        assert rows[2:] == odd
        cloud.act("fault", kind="list", route="vm_all", keep=0, param={"status": "running"}, times=-1)
        assert ask(cloud, ALL + "?status=running").json() == []
        assert len(ask(cloud, ALL).json()) == 4
        cloud.act("clear_faults")
        cloud.act("fault", kind="list", route="vm_all", keep=0, param={"status": ""})
        assert len(ask(cloud, ALL + "?status=running").json()) == 4
        assert ask(cloud, ALL).json() == []


def test_fault_passes_with_time() -> None:
    with Cloud(vms=1, time_scale=FAST) as cloud:
        cloud.act("fault", status=502, times=-1, lasting=100)
        assert ask(cloud, ALL).status_code == 502
        time.sleep(0.25)
        assert ask(cloud, ALL).status_code == 200


def test_list_and_detail_disagree_for_a_while() -> None:
    with Cloud(vms=1, time_scale=FAST, list_lag=150) as cloud:
        vm = cloud.vms[0]
        assert power(cloud, "stop", vm).json()["status"] == "stopped"
        new = cloud.act("create", state="running")
        assert (states(cloud), ask(cloud, SHOW + vm.uuid).json()["status"]) == (["running"], "stopped")
        assert ask(cloud, SHOW + new).status_code == 200
        assert len(ask(cloud, ALL + "?status=running").json()) == 1
        time.sleep(0.35)
        assert states(cloud) == ["stopped", "running"]
        cloud.act("options", list_lag=0, detail_lag=150)
        power(cloud, "start", vm)
        new = cloud.act("create", state="running")
        assert (states(cloud)[0], ask(cloud, SHOW + vm.uuid).json()["status"]) == ("running", "stopped")
        assert ask(cloud, SHOW + new).status_code == 400


def test_success_is_reported_and_nothing_done() -> None:
    with Cloud(vms=1, time_scale=FAST, feigns=1, owners=1) as cloud:
        vm = cloud.vms[0]
        assert (power(cloud, "stop", vm).json()["status"], cloud.vms[0].state) == ("stopped", "running")
        assert states(cloud) == ["running"]
        assert (power(cloud, "stop", vm, force="True").json()["status"], cloud.vms[0].state) == ("stopped", "stopped")
        assert (power(cloud, "start", vm).json()["status"], cloud.vms[0].state) == ("running", "stopped")
        cloud.act("options", feigned_actions=["force"])
        assert (power(cloud, "start", vm).json()["status"], cloud.vms[0].state) == ("running", "running")
        assert (power(cloud, "stop", vm, force="True").json()["status"], cloud.vms[0].state) == ("stopped", "running")
        cloud.act("freeze", owner=vm.owner)
        assert power(cloud, "stop", vm, force="True").status_code == 403


def test_key_is_revoked_in_the_middle() -> None:
    with Cloud(vms=2, time_scale=FAST) as cloud:
        cloud.schedule("revoke", when="vm_all", nth=2)
        answers = [ask(cloud, ALL) for dummy in range(3)]
        assert [answer.status_code for answer in answers] == [200, 403, 403]
        assert answers[1].json() == {"message": "Invalid authentication credentials"}
        assert power(cloud, "stop", cloud.vms[0]).status_code == 403
        cloud.act("grant")
        assert ask(cloud, ALL).status_code == 200
        assert {entry.key for entry in cloud.journal.entries} == {"admin:1"}


def test_nobody_listens_for_a_while_and_what_goes_on_goes_on() -> None:
    with Cloud(vms=1, time_scale=0.01, stop_seconds=30) as cloud:
        port = int(cloud.api_host.rpartition(":")[2])
        cloud.schedule("away", seconds=60, delay=10)
        with pytest.raises(requests.ConnectionError):
            power(cloud, "stop", cloud.vms[0])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        time.sleep(0.8)
        assert states(cloud) == ["stopped"]
        assert cloud.journal.power()[0].status == 0
        cloud.schedule("away", seconds=20, when="vm_all")
        with pytest.raises(requests.ConnectionError):
            ask(cloud, ALL)
        time.sleep(0.4)
        assert states(cloud) == ["stopped"]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after_hello", [False, True])
def test_handshakes_flap_for_a_while(after_hello: bool, reset: bool) -> None:
    with Cloud(vms=1, time_scale=0.01, tls=True) as cloud:
        host, port = cloud.api_host.split(":")
        assert ask(cloud, ALL, verify=cloud.ca_path).status_code == 200
        cloud.act("flap", seconds=60, after_hello=after_hello, reset=reset)
        with pytest.raises(OSError):
            ssl.create_default_context(cafile=cloud.ca_path).wrap_socket(
                socket.create_connection((host, int(port)), 5), server_hostname=host
            )
        with pytest.raises(requests.ConnectionError):
            ask(cloud, ALL, verify=cloud.ca_path)
        assert cloud.turned_away == 2
        time.sleep(0.8)
        assert ask(cloud, ALL, verify=cloud.ca_path).status_code == 200
        assert len(cloud.journal) == 2
        assert json.loads(json.dumps(cloud.journal.as_dicts()))


def test_a_platform_takes_so_many_power_calls_at_once_or_refuses_some_by_chance() -> None:
    with Cloud(vms=8, time_scale=0.01, stop_seconds=50.0, power_at_once=3, power_refused_status=[503]) as cloud:
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda vm: power(cloud, "stop", vm).status_code, cloud.vms))
        assert sorted(statuses) == [200] * 3 + [503] * 5
        assert len(cloud.in_state("stopped")) == 3
    with Cloud(vms=200, time_scale=0.0, power_refused=0.3) as cloud:
        statuses = [power(cloud, "stop", vm).status_code for vm in cloud.vms]
        assert set(statuses) == {200, 429, 503}
        assert 40 < len(statuses) - statuses.count(200) < 80
