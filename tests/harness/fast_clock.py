# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform and its operator on one fast clock: every limit of the product is scaled as the platform's times are."""

from __future__ import annotations

import collections
import contextlib
import sqlite3
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api import client, transport
from ansible_collections.pilw.maintenance.plugins.module_utils._module import runner
from ansible_collections.pilw.maintenance.plugins.module_utils._operations import open_run
from ansible_collections.pilw.maintenance.plugins.module_utils._power import backlog, batch, engine, host_flags, throttle
from harness import in_process as crew
from simulator.server import Cloud

SCALE = 0.01
STOP_TIMEOUT = 1.2
PATIENCE = 0.9  # seconds that a power call may block
NOT_SAFE = "NOT SAFE TO TAKE CEPH DOWN"
LIST_PATIENCE = 0.6  # and a list
# Where the product keeps seconds of its own.
CONSTANTS = [
    (place, name, getattr(place, name))
    for place, name in (
        (client, "MAX_BACKOFF"),
        (transport, "MAX_RETRY_AFTER"),
        (backlog, "GIVEN_UP_AFTER"),
        (batch, "MAX_BACKOFF"),
        (batch, "OUTAGE_LIMIT"),
        (engine, "OUTAGE_LIMIT"),
        (open_run, "BETWEEN_STEPS"),
        (host_flags, "PAUSE"),
        (host_flags, "LIMIT"),
        (throttle, "FIRST_PAUSE"),
        (throttle, "LONGEST_PAUSE"),
    )
]
LISTERS = (*crew.MODULES, runner)
SETTINGS: dict[str, t.Any] = {
    "poll_interval": 0.05,
    "proof_interval": 0.05,
    "settle_timeout": 1.0,
    "stop_timeout": STOP_TIMEOUT,
    "force_timeout": STOP_TIMEOUT,
    "start_timeout": STOP_TIMEOUT,
    "verify_hold": 0.05,
    "api_wait": 5.0,
    "lease": 10.0,
    "request_timeout": PATIENCE,
    "max_fail_percentage": 100.0,
}


class Desk:
    """One platform, one operator, and what became of both."""

    def __init__(self, folder: Path, cloud: Cloud, settings: dict[str, t.Any]) -> None:
        self.cloud = cloud
        self.running = cloud.in_state("running")
        self.crew = crew.Crew(folder, cloud.url, cloud.key, **{**SETTINGS, **settings})
        self.folder = folder
        # Kept by a test for later: errors by uuid, and how often each was asked to start.
        self.stop_errors: dict[str, str] = {}
        self.start_errors: dict[str, str] = {}
        self.calls: dict[str, int] = {}

    def act(self, act: str, **arguments: t.Any) -> t.Any:
        return self.cloud.act(act, **arguments)

    def uuid(self, which: t.Any) -> str:
        return self.cloud.vm(which).uuid

    def ask(self, sql: str, *values: t.Any) -> list[tuple]:
        """Look into the record, open or put away."""
        (path,) = self.folder.glob("records/*/*.sqlite")
        with sqlite3.connect(path, timeout=20) as db:
            return db.execute(sql, values).fetchall()

    def phase(self) -> str:
        return self.ask("SELECT phase FROM maintenance")[0][0]

    def outcomes(self, word: str) -> dict[tuple[str | None, str | None], set[str]]:
        found: dict[tuple[str | None, str | None], set[str]] = collections.defaultdict(set)
        for uuid, outcome, error in self.ask(f"SELECT uuid, {word}_outcome, {word}_error FROM vms"):
            found[outcome, error].add(uuid)
        return dict(found)

    def one(self, word: str, which: t.Any) -> tuple[t.Any, t.Any]:
        """Outcome and error of one VM."""
        uuid = which if which in self.running else self.uuid(which)
        return self.ask(f"SELECT {word}_outcome, {word}_error FROM vms WHERE uuid=?", uuid)[0]

    def answers(self, word: str, which: t.Any) -> list[str]:
        """What the record keeps of the answers to one VM's calls."""
        rows = self.ask("SELECT detail FROM events WHERE uuid=? AND what=? ORDER BY number", self.uuid(which), f"{word} answered")
        return [row[0] for row in rows]

    def sent(self, word: str) -> dict[str, int]:
        return dict(collections.Counter(entry.uuid for entry in self.cloud.journal.of(f"admin_vm_{word}")))

    def asked_at(self, word: str) -> dict[str, float]:
        """When each VM was asked first, in seconds since 1970 as the events of the platform have it."""
        found: dict[str, float] = {}
        for entry in self.cloud.journal.of(f"admin_vm_{word}"):
            found.setdefault(entry.uuid, entry.started)
        return found

    def assert_looked_before_sending_again(self, word: str) -> None:
        """Between two calls for one VM, the running VMs were listed: nothing is sent again blindly, but for what 429 says was not taken."""
        asked: set[str] = set()
        for entry in self.cloud.journal.of(f"admin_vm_{word}", "vm_all"):
            if entry.kind == "vm_all":
                asked = set()
            elif entry.status != 429:
                assert entry.uuid not in asked, "sent again without a look"
                asked.add(entry.uuid)

    def assert_only_one_left(self, out: crew.Outcome, calls: int | None = None) -> None:
        """vm-0 stands against safe and everything else is down; it is named, with the way to leave it as it is."""
        one = self.uuid("vm-0")
        assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{one}"]), out.text
        assert out.error == f"{NOT_SAFE}. The summary above says why"
        assert self.cloud.in_state("running") == {one}
        assert {self.one("stop", uuid)[0] for uuid in self.running - {one}} == {"clean"}
        assert "What stands against it: 1" in out.lines
        assert f"  VM {one} (vm-0, owner 8, running)" in out.lines, out.text
        assert (
            "To leave them as they are (Ceph going down will hang them; the headline will name them): "
            f"-e ceph_maint_accept=vm:{one} -e \"ceph_maint_accept_reason='REASON'\""
        ) in out.lines
        assert self.phase() == "stopping"
        if calls is not None:
            assert self.sent("stop") == {uuid: calls if uuid == one else 1 for uuid in self.running}
        self.assert_looked_before_sending_again("stop")


GiveDesk = t.Callable[..., Desk]


def desks(tmp_path: Path) -> t.Iterator[GiveDesk]:
    """A fixture: platforms and operators, each made by a call."""
    with desks_in(tmp_path) as make:
        yield make


@contextlib.contextmanager
def desks_in(folder: Path) -> t.Iterator[GiveDesk]:
    """Make a platform from options of the simulator, and an operator from settings of the crew."""
    clouds: list[Cloud] = []

    def make(tls: bool = False, **given: t.Any) -> Desk:
        settings = {name: given.pop(name) for name in list(given) if name in crew.Crew.SETTINGS}
        options = {"vms": 6, "owners": 3, "hosts": 2, "stop_seconds": 10, "time_scale": SCALE, **given}
        cloud = Cloud(tls=tls, **options).start()
        clouds.append(cloud)
        if tls:
            settings["ca_path"] = cloud.ca_path
        return Desk(folder, cloud, settings)

    with pytest.MonkeyPatch.context() as patch:
        scale(patch)
        try:
            yield make
        finally:
            for cloud in clouds:
                cloud.stop()


def scale(patch: pytest.MonkeyPatch) -> None:
    """The product's own seconds become the platform's."""
    for place, name, seconds in CONSTANTS:
        patch.setattr(place, name, seconds * SCALE)
    for place in LISTERS:
        if hasattr(place, "LIST_TIMEOUT"):
            patch.setattr(place, "LIST_TIMEOUT", LIST_PATIENCE)
    patch.setitem(client.Client.__init__.__kwdefaults__, "backoff", SCALE)


class JumpingPace(_clock.Pace):
    """A wall clock that is C(base) seconds off, and C(seconds) more once C(when) holds; the steady one goes on as it does."""

    def __init__(self, seconds: float, when: t.Callable[[], t.Any] = lambda: True, base: float = 0.0) -> None:
        self._seconds, self._when, self._base = seconds, when, base

    def wall(self) -> float:
        return super().wall() + self._base + (self._seconds if self._when() else 0.0)
