# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated platform is faithful: the operators' shell procedure and a third-party client run on it unchanged."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from pathlib import Path
from typing import Callable

import aiohttp
import pytest
import requests

from simulator.backends.base import Vm
from simulator.server import Cloud

RUNBOOK = Path(__file__).parent / "runbook.txt"
CLOUD = Path(__file__).parent.parent / "simulator"
FAST = 0.002
ROW_KEYS = set(
    "backup billing_account created_at description designated_pool_name designated_pool_uuid hostname mac memory name os_name"
    " os_version private_ipv4 status storage updated_at user_id username uuid vcpu".split()
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked directly, whatever the machine's proxies."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def commands() -> list[str]:
    """The runbook's command blocks, character by character."""
    found: list[str] = []
    block: list[str] = []
    for line in RUNBOOK.read_text(encoding="utf-8").splitlines():
        if block or re.match(r"(curl|cat|#) ", line):
            block.append(line)
            if not line.endswith("\\") and not line.startswith("#"):
                found.append("\n".join(block))
                block = []
    return found


class Shell:
    """The operator's terminal."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._folder = folder
        self._environment = dict(
            os.environ, API_HOST=cloud.api_host, ADMIN_APIKEY=cloud.key, CURL_CA_BUNDLE=cloud.ca_path
        )

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self._folder, env=self._environment, capture_output=True,
            text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        reason = "NOT PROVEN: the runbook was not run against the simulated platform, install %s" % ", ".join(missing)
        warnings.warn(reason, stacklevel=2)
        pytest.skip(reason)


def ask(cloud: Cloud, method: str, path: str, key: str | None = "", **more: object) -> requests.Response:
    """One request, with the admin key unless told otherwise."""
    headers = {} if key is None else {"apikey": key or cloud.key}
    return requests.request(method, cloud.url + path, headers=headers, timeout=20, **more)


def stop(cloud: Cloud, vm: Vm, **more: str) -> requests.Response:
    return ask(cloud, "POST", "/v1/user-resource/admin/vm/stop", data=dict(more, uuid=vm.uuid))


def start(cloud: Cloud, vm: Vm) -> requests.Response:
    return ask(cloud, "POST", "/v1/user-resource/admin/vm/start", data={"uuid": vm.uuid})


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that happens behind the API's back."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_runbook_runs_unchanged_from_start_to_end(tmp_path: Path) -> None:
    need("bash", "curl", "jq", "xargs")
    close, save, stop_all, force_all, reopen, start_all, table = commands()
    with Cloud(tls=True, vms=12, running=10, hosts=3, deaf=2, fail_start=1, deleted=2, creating=1, creating_seconds=1e9,
               time_scale=FAST) as cloud:
        shell = Shell(cloud, tmp_path)
        ran = cloud.in_state("running")
        deaf = {vm.uuid for vm in cloud.vms if "deaf" in vm.traits}
        failing = {vm.uuid for vm in cloud.vms if "fail_start" in vm.traits}
        assert (len(ran), len(deaf), len(failing)) == (10, 2, 1)

        shell.run(close)
        assert [host.accepting for host in cloud.hosts] == [False] * 3

        shell.run(save)
        saved = json.loads((tmp_path / "running_vms.json").read_text(encoding="utf-8"))
        assert {row["uuid"] for row in saved} == ran

        shell.run(stop_all)
        assert cloud.in_state("running") == deaf

        shell.run(force_all)
        assert cloud.in_state("running") == set()
        assert {event.uuid for event in cloud.events if event.cause == "force"} == deaf

        shell.run(reopen)
        assert [host.accepting for host in cloud.hosts] == [True] * 3

        shell.run(start_all)
        assert cloud.in_state("running") == ran - failing

        owners = {vm.uuid: str(vm.owner) for vm in cloud.vms}
        lines = shell.run(table).splitlines()
        assert sorted(tuple(line.split("\t")) for line in lines) == sorted(
            (one, owners[one], "stopped" if one in failing else "running") for one in ran
        )
        assert {entry.status for entry in cloud.journal.entries} == {200, 500}
        assert not cloud.journal.of("unrouted")


def test_third_party_client_lists_shows_stops_and_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    import pilwio

    with Cloud(vms=6, owners=2, creating=2, deleted=2, creating_seconds=1e9, time_scale=FAST) as cloud:
        monkeypatch.setattr(pilwio.V1, "ENDPOINT", cloud.url + "/v1")
        mine = [vm for vm in cloud.vms if vm.owner == 8 and vm.state == "running"]
        client = pilwio.V1(cloud.user_key(8)).vm
        assert {row["uuid"] for row in client.index()} == {vm.uuid for vm in mine}
        shown = client.show(mine[0].uuid)
        assert (shown["uuid"], shown["user_id"], shown["status"]) == (mine[0].uuid, 8, "running")
        assert client.stop(mine[0].uuid)["status"] == "stopped"
        assert cloud.in_state("stopped") == {mine[0].uuid}
        assert client.show(mine[0].uuid)["status"] == "stopped"
        assert client.start(mine[0].uuid)["status"] == "running"
        assert cloud.in_state("stopped") == set()
        other = next(vm for vm in cloud.vms if vm.owner == 9)
        assert client.stop(other.uuid) == {"errors": {"Error": "No such virtual machine exists: %s" % other.uuid}}
        assert {entry.key for entry in cloud.journal.entries} == {"user:8"}


def test_errors_are_exactly_those_of_the_platform() -> None:
    nobody = str(uuid.UUID(int=1, version=4))
    show = "/v1/user-resource/admin/vm"
    with Cloud(vms=2, owners=2, time_scale=FAST, locked=["vm-0"], locked_seconds=1e9, frozen_owners=[9]) as cloud:
        locked, frozen = sorted(cloud.vms, key=lambda vm: vm.owner)
        answers = [
            (ask(cloud, "GET", show, key=None), 401, {"message": "missing apikey header"}),
            (ask(cloud, "GET", show, key="wrong"), 403, {"message": "Invalid authentication credentials"}),
            (ask(cloud, "GET", show, key=cloud.user_key(8)), 403, {"message": "You cannot consume this service"}),
            (ask(cloud, "GET", show), 400, {"errors": {"uuid": "Required parameter 'uuid' not supplied"}}),
            (ask(cloud, "GET", show + "?uuid=" + nobody), 400,
             {"errors": {"Error": "No such virtual machine exists: " + nobody}}),
            (ask(cloud, "GET", show + "?uuid=not-one"), 400, None),
            (ask(cloud, "GET", "/v1/nowhere/user-resource/vm/all"), 404,
             {"message": "no route and no API found with those values"}),
            (ask(cloud, "POST", "/v1/user-resource/vm/all"), 404,
             {"message": "no route and no API found with those values"}),
            (ask(cloud, "PUT", "/v1/base-operator/admin/host_flags?is_accepting_workloads=maybe&uuid=" + nobody), 400,
             {"errors": {"is_accepting_workloads": "Parameter 'is_accepting_workloads' must be a boolean"}}),
            (stop(cloud, locked, force="perhaps"), 400, {"errors": {"force": "Parameter 'force' must be a boolean"}}),
            (stop(cloud, locked), 409, {"errors": {"Error": "Server is locked"}}),
            (stop(cloud, frozen), 403, {"message": "Billing account is frozen"}),
        ]
        cloud.act("options", rate_limit=1, rate_window=1e9, retry_after=7)
        ask(cloud, "GET", show)
        limited = ask(cloud, "GET", show)
        answers.append((limited, 429, {"message": "API rate limit exceeded"}))
        cloud.act("options", rate_limit=0, power_refused=1.0)
        answers += [(stop(cloud, locked), status, {"message": "Too many requests"}) for status in (503, 429)]
        cloud.act("options", power_refused=0.0)
        for answer, status, body in answers:
            assert answer.status_code == status
            assert (answer.json() if answer.content else None) == body
            assert uuid.UUID(answer.headers["X-Warren-Correlation-Id"])
        assert limited.headers["Retry-After"] == "7"
        correlations = {answer.headers["X-Warren-Correlation-Id"] for answer, _status, _body in answers}
        assert len(correlations) == len(answers)
        journal = json.dumps(cloud.journal.as_dicts())
        assert cloud.key not in journal and cloud.user_key(8) not in journal
        assert cloud.in_state("running") == {locked.uuid, frozen.uuid}


def test_spoiled_answers_before_and_after_the_deed() -> None:
    faults = [
        {"method": "GET", "path": "*/host/list", "kind": "status", "status": 502, "times": 2},
        {"route": "admin_vm_stop", "kind": "cut", "after": True},
        {"route": "vm_all", "kind": "empty", "status": 200, "skip": 1},
    ]
    with Cloud(vms=1, time_scale=FAST, errors=faults) as cloud:
        hosts = [ask(cloud, "GET", "/v1/base-operator/host/list") for dummy in range(3)]
        assert [answer.status_code for answer in hosts] == [502, 502, 200]
        with pytest.raises(requests.ConnectionError):
            stop(cloud, cloud.vms[0])
        assert cloud.vms[0].state == "stopped"
        assert [len(ask(cloud, "GET", "/v1/user-resource/vm/all").content) > 0 for dummy in range(3)] == [True, False, True]
        assert [entry.status for entry in cloud.journal.power()] == [0]


def test_rows_carry_the_live_keys() -> None:
    with Cloud(vms=3, deleted=1, state_case="mixed", unknown_state=1, time_scale=FAST) as cloud:
        rows = ask(cloud, "GET", "/v1/user-resource/vm/all").json()
        assert [set(row) for row in rows] == [ROW_KEYS] * 4
        assert {row["updated_at"] for row in rows} == {None}
        assert all(row["mac"].startswith("fa:16:3e:") for row in rows)
        assert sorted(row["status"].lower() for row in rows) == ["deleted", "paused", "running", "running"]
        gone = next(vm for vm in cloud.vms if vm.state == "deleted")
        assert ask(cloud, "GET", "/v1/user-resource/admin/vm?uuid=" + gone.uuid).json()["status"] == "Deleted"


def test_host_flags_and_whether_they_can_be_read() -> None:
    with Cloud(hosts=4, closed_hosts=1, maintenance_hosts=1, host_status_shown=True, vms=0) as cloud:
        rows = ask(cloud, "GET", "/v1/base-operator/host/list").json()
        assert sorted(row["status"] for row in rows) == ["AVAILABLE", "AVAILABLE", "MAINTENANCE", "NOT ACCEPTING"]
        for spelling, flag in (("0", False), ("True", True), ("false", False), ("1", True), ("False", False), ("true", True)):
            data = {"uuid": rows[0]["uuid"], "is_accepting_workloads": spelling}
            answer = ask(cloud, "PUT", "/v1/base-operator/admin/host_flags", data=data)
            assert (answer.status_code, answer.json()["is_accepting_workloads"]) == (200, flag)
        cloud.act("options", flag_readable=False, host_status_shown=False)
        assert [set(row) for row in ask(cloud, "GET", "/v1/base-operator/host/list").json()] == [{"uuid"}] * 4


def test_locations() -> None:
    with Cloud(locations=["tll01", "jhv02", "void"], empty_locations=["void"], vms=4, hosts=2, admin_lists_refused=["jhv02"],
               time_scale=FAST) as cloud:
        def listed(slug: str) -> set[str]:
            return {row["uuid"] for row in ask(cloud, "GET", "/v1%s/user-resource/vm/all" % slug).json()}

        rows = ask(cloud, "GET", "/v1/void/config/locations").json()
        assert [(row["slug"], row["is_default"]) for row in rows] == [("tll01", True), ("jhv02", False), ("void", False)]
        here = {vm.uuid for vm in cloud.vms if vm.location == "tll01"}
        assert listed("") == listed("/tll01") == here and len(here) == 2
        assert listed("/void") == set()
        assert ask(cloud, "GET", "/v1/jhv02/base-operator/host/list").status_code == 403
        away = next(vm for vm in cloud.vms if vm.location == "jhv02")
        assert ask(cloud, "GET", "/v1/tll01/user-resource/admin/vm?uuid=" + away.uuid).status_code == 400
        assert ask(cloud, "GET", "/v1/jhv02/user-resource/admin/vm?uuid=" + away.uuid).status_code == 200
        cloud.act("options", admin_scoped=False)
        assert ask(cloud, "GET", "/v1/tll01/user-resource/vm/all").status_code == 404
        assert listed("") == {vm.uuid for vm in cloud.vms}
    with Cloud(locations=["tll01", "jhv02"], slug_ignored=True, vms=3) as cloud:
        lists = [ask(cloud, "GET", "/v1/%s/user-resource/vm/all" % slug).json() for slug in ("tll01", "jhv02")]
        assert lists[0] == lists[1] and len(lists[0]) == 3


def test_parameters_come_from_form_or_query_and_plus_is_no_space() -> None:
    with Cloud(vms=2, time_scale=FAST) as cloud:
        first, second = cloud.vms
        assert ask(cloud, "POST", "/v1/user-resource/admin/vm/stop?uuid=%s&force=1" % first.uuid).json()["status"] == "stopped"
        assert stop(cloud, second, force="False").json()["status"] == "stopped"
        assert [event.cause for event in cloud.events] == ["force", "stop"]
        ask(cloud, "GET", "/v1/user-resource/admin/vm?uuid=a+b%20c%2Bd")
        assert cloud.journal.entries[-1].params == {"uuid": "a+b c+d"}
        as_json = ask(cloud, "POST", "/v1/user-resource/admin/vm/start", json={"uuid": first.uuid})
        assert as_json.json() == {"errors": {"uuid": "Required parameter 'uuid' not supplied"}}


def test_early_answer_goes_on() -> None:
    with Cloud(vms=1, power_mode="early", stop_seconds=0.5) as cloud:
        answer = stop(cloud, cloud.vms[0])
        assert (answer.status_code, answer.json()["status"]) == (200, "running")
        until(lambda: cloud.in_state("stopped"))


def test_gateway_gives_up_and_the_action_goes_on() -> None:
    with Cloud(vms=2, deaf=1, power_mode="gateway", gateway_patience=6, stop_seconds=60, deaf_seconds=1e6,
               time_scale=0.02) as cloud:
        deaf, willing = sorted(cloud.vms, key=lambda vm: "deaf" not in vm.traits)
        late = stop(cloud, willing)
        assert (late.status_code, late.json()) == (504, {"message": "The upstream server is timing out"})
        assert cloud.vm(willing.uuid).state == "running"
        until(lambda: willing.uuid in cloud.in_state("stopped"))
        assert stop(cloud, deaf).status_code == 504
        assert stop(cloud, deaf).status_code == 409
        assert stop(cloud, deaf, force="True").json()["status"] == "stopped"


def test_action_survives_a_client_that_leaves() -> None:
    with Cloud(vms=1, stop_seconds=1.0) as cloud:
        with pytest.raises(requests.Timeout):
            requests.post(cloud.url + "/v1/user-resource/admin/vm/stop", headers={"apikey": cloud.key},
                          data={"uuid": cloud.vms[0].uuid}, timeout=0.2)
        until(lambda: cloud.in_state("stopped"))
        assert [entry.status for entry in cloud.journal.power()] == [0]


def test_three_hundred_power_calls_open_at_once() -> None:
    async def stop_all(cloud: Cloud, vms: list[Vm]) -> list[int]:
        async def one(session: aiohttp.ClientSession, vm: Vm) -> int:
            data = {"uuid": vm.uuid}
            async with session.post(cloud.url + "/v1/user-resource/admin/vm/stop", data=data) as answer:
                return answer.status

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers={"apikey": cloud.key}, connector=connector) as session:
            calls = asyncio.gather(*(one(session, vm) for vm in vms))
            await asyncio.to_thread(until, lambda: cloud.journal.open_power == len(vms), 30.0)
            for vm in vms:
                cloud.act("stop", vm=vm.uuid)
            return await calls

    with Cloud(vms=300, stop_seconds=1e9) as cloud:
        assert asyncio.run(stop_all(cloud, cloud.vms)) == [200] * 300
        assert cloud.journal.max_open_power == 300
        assert len(cloud.in_state("stopped")) == 300


def test_owners_act_when_a_request_arrives() -> None:
    with Cloud(vms=3, time_scale=FAST, starts_itself=[2], starts_itself_seconds=50) as cloud:
        first, second, third = cloud.vms
        cloud.schedule("start", vm=first.uuid, when="vm_all", nth=2)
        cloud.schedule("delete", vm=second.uuid, when="admin_vm_stop", match={"uuid": second.uuid})
        assert stop(cloud, first).json()["status"] == "stopped"
        assert stop(cloud, second).status_code == 400
        assert stop(cloud, third).json()["status"] == "stopped"
        until(lambda: third.uuid in cloud.in_state("running"))
        lists = [ask(cloud, "GET", "/v1/user-resource/vm/all?status=running").json() for dummy in range(2)]
        assert [sorted(row["name"] for row in rows) for rows in lists] == [["vm-2"], ["vm-0", "vm-2"]]
        assert [event.cause for event in cloud.events] == ["stop", "owner", "stop", "itself", "owner"]


def test_starts_may_need_an_open_host_or_fail_a_few_times() -> None:
    with Cloud(vms=2, running=0, hosts=1, closed_hosts=1, needs_open_host_to_start=True, time_scale=FAST) as cloud:
        vm, other = cloud.vms
        assert start(cloud, vm).status_code == 409
        cloud.act("host", host=0, accepting=True)
        assert start(cloud, vm).json()["status"] == "running"
        cloud.act("options", fail_start_times=1)
        cloud.act("trait", vm=other.uuid, trait="fail_start")
        assert [start(cloud, other).status_code for dummy in range(2)] == [500, 200]


def test_process_of_its_own_from_a_saved_list(tmp_path: Path) -> None:
    with Cloud(vms=5, running=4, row_extra={"hypervisor_id": None}) as cloud:
        saved = ask(cloud, "GET", "/v1/user-resource/vm/all").json()
    (tmp_path / "saved.json").write_text(json.dumps(saved), encoding="utf-8")
    port_file, journal = tmp_path / "port", tmp_path / "journal"
    process = subprocess.Popen(
        [sys.executable, str(CLOUD), "--from-list", str(tmp_path / "saved.json"), "--port-file", str(port_file), "--tls-dir",
         str(tmp_path), "--journal", str(journal), "--key", "secret", "--time-scale", "0", "--options", '{"seed": 5}'],
        cwd=tmp_path, stderr=subprocess.DEVNULL,
    )
    try:
        until(port_file.exists)
        base = "https://" + port_file.read_text(encoding="utf-8")
        session = requests.Session()
        session.headers["apikey"], session.verify, session.trust_env = "secret", str(tmp_path / "ca.pem"), False
        assert session.get(base + "/v1/user-resource/vm/all", timeout=9).json() == saved
        act = {"act": "state", "vm": saved[0]["uuid"], "state": "paused"}
        assert session.post(base + "/_cloud/act", json=act, timeout=9).json() == {"result": None}
        truth = session.get(base + "/_cloud/vms", timeout=9).json()
        assert [vm["state"] for vm in truth if vm["uuid"] == saved[0]["uuid"]] == ["paused"]
        assert [entry["kind"] for entry in session.get(base + "/_cloud/journal", timeout=9).json()["entries"]] == ["vm_all"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [(line["number"], line["status"]) for line in lines] == [(1, None), (1, 200)]


def test_same_seed_same_platform() -> None:
    with Cloud(vms=20, deaf=0.2, seed=7) as one, Cloud(vms=20, deaf=0.2, seed=7) as two, Cloud(vms=20, seed=8) as three:
        assert one.vms == two.vms
        assert one.key == two.key
        assert {vm.uuid for vm in one.vms}.isdisjoint(vm.uuid for vm in three.vms)
