# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that do not end by themselves: the engine abandons them, records them as unclear and ends."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api.client import Client
from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import Api
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import VmList, parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError
from ansible_collections.pilw.maintenance.plugins.module_utils._power import batch
from ansible_collections.pilw.maintenance.plugins.module_utils._power import engine as _engine
from ansible_collections.pilw.maintenance.plugins.module_utils._power.engine import Engine, Orders, Target, Wave

RUNNING = {"uuid": "a", "status": "running"}
WAVES = [Wave("all", [Target("a", "VM a")])]


class Journal:
    def __init__(self):
        self.events = []

    def write(self, changes):
        self.events += [(change.event, change.detail) for change in changes]

    def check_wanted(self):
        pass


class Platform:
    """One VM, which runs. A call of the kind C(hanging) never ends; time passes fast while one hangs."""

    def __init__(self, hanging):
        self.hanging, self.now = hanging, 0.0
        self.hangs, self.ends = threading.Event(), threading.Event()
        self.calls = 0

    def _hang(self, kind):
        if self.hanging == kind:
            self.hangs.set()
            self.ends.wait()
            raise ApiError("POST", "/x", detail="ended after all")

    def power(self, uuid, action, force=False):
        self.calls += 1
        self._hang("power")
        return ""

    def running_vms_now(self):
        self._hang("list after a call" if self.calls else "list")
        return VmList({"a": parse_vm(RUNNING)})

    def vm_now(self, uuid):
        return parse_vm(RUNNING)

    def pass_time(self, *_given):
        self.now += 0.5 if self.hangs.is_set() else 0.01
        time.sleep(0.0001)


@pytest.fixture
def engine(monkeypatch):
    """Give a function that runs the engine on a platform. Its time is that of the platform."""
    platforms = []

    def run(platform):
        platforms.append(platform)
        monkeypatch.setattr(_clock.pace, "sleep", platform.pass_time)
        monkeypatch.setattr(_clock.pace, "wait", platform.pass_time)
        orders = Orders(start=False, timeout=30.0, poll_interval=1.0, call_seconds=60.0)
        journal = Journal()
        return Engine(platform, orders, journal, lambda: platform.now).run(WAVES), journal

    yield run
    for platform in platforms:
        platform.ends.set()


END = batch.group_seconds(1, 20, 30.0, 60.0)


def test_call_that_hangs_is_abandoned_and_recorded_as_unclear(engine):
    platform = Platform("power")
    result, journal = engine(platform)
    [answer] = [text for event, text in journal.events if event == "stop answered"]
    assert answer == "still at work The call to the platform gave no answer: it was abandoned 10 s after its time limit"
    assert result.outcomes["a"][0] == "would_not_stop" and platform.calls == 1
    assert 70 < platform.now < END


def test_list_that_hangs_counts_as_an_outage(engine):
    platform = Platform("list")
    result, _journal = engine(platform)
    assert str(result.ended).startswith("The API has given no VM list for ") and platform.calls == 0
    assert platform.now < batch.OUTAGE_LIMIT + 100


def test_group_ends_in_its_time_while_a_list_hangs(engine, monkeypatch):
    monkeypatch.setattr(_engine, "OUTAGE_LIMIT", 2 * END)
    platform = Platform("list after a call")
    result, _journal = engine(platform)
    assert result.ended is None and result.outcomes["a"] == ("would_not_stop", "the time for its group was over before it was settled")
    assert platform.now < END + 20


def test_process_ends_while_a_call_hangs():
    code = (
        "import threading\n"
        f"from {_clock.__name__} import pace\n"
        "workers = pace.workers()\n"
        "hung = workers.submit(threading.Event().wait)\n"
        "assert workers.submit(int, '7').result() == 7\n"
        "workers.shutdown(wait=False)\n"
        "print('ended', hung.done())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=30, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "ended False\n"


@contextlib.contextmanager
def dripping():
    """A platform with one VM, that answers lists, and each power call with a head that never ends. Yields its URL."""
    over = threading.Event()

    def one(line):
        body = json.dumps([RUNNING]).encode()
        with line, contextlib.suppress(OSError):
            while request := line.recv(65536):
                if request.startswith(b"GET"):
                    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    continue
                line.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
                while not over.wait(0.02):
                    line.sendall(b"a")

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        server.shutdown(socket.SHUT_RDWR)


def test_head_that_drips_for_ever_leaves_the_vm_unclear():
    journal = Journal()
    orders = Orders(start=False, timeout=0.3, poll_interval=0.05, call_seconds=0.3)
    with dripping() as url:
        api = Api(Client(url, "key"), power_timeout=0.3)
        began = time.monotonic()
        result = Engine(api, orders, journal).run(WAVES)
        assert time.monotonic() - began < 8.0
    [answer] = [text for event, text in journal.events if event == "stop answered"]
    assert answer.startswith("still at work POST /v1/user-resource/admin/vm/stop gave no answer")
    assert result.outcomes["a"][0] == "would_not_stop" and result.calls == 1
