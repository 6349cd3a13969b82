# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated controller, and somebody who sets it up with the real modules of awx.awx."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from awx.controller import Controller, Served

ROOT = Path(__file__).resolve().parents[2]
# Brought by tests/tools/awx_modules.py.
MODULES = ROOT / ".build" / "awx" / "10.7.0"
URL = "https://git.example.com/storage/maintenance.git"
TOKEN = "token-of-a-test-9b1f"
KEY = "key-of-a-test-4c7a"
PLAYBOOKS = sorted(path.name for path in (ROOT / "docs" / "awx_project").glob("*.yml"))
GIVEN: dict[str, t.Any] = {
    "ceph_maint_awx_host": "maint1",
    "ceph_maint_awx_host_variables": {"ansible_host": "192.0.2.7", "ansible_user": "maintenance"},
    "ceph_maint_awx_machine_credential": "maintenance ssh",
    "ceph_maint_awx_scm_url": URL,
}


class Run(t.NamedTuple):
    rc: int
    text: str

    @property
    def changed(self) -> int:
        return int(self.text.split("PLAY RECAP")[-1].split("changed=")[1].split()[0])


class Administrator:
    """Somebody with a token, a key, and what is to be made."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.awx = served.controller

    def set_up(self, *arguments: str, env: dict[str, str] | None = None, modules: bool = True, **variables: t.Any) -> Run:
        assert (MODULES / "ansible_collections" / "awx" / "awx").is_dir(), "run tests/tools/awx_modules.py first"
        folder = Path(os.environ.get("PILW_TEST_BIN", Path(sys.executable).parent))
        given = self.folder / "given.json"
        given.write_text(json.dumps({**GIVEN, **variables}), encoding="utf-8")
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build' / 'link'}" + (f":{MODULES}" if modules else ""),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
            "CONTROLLER_HOST": self.served.url,
            "CONTROLLER_OAUTH_TOKEN": TOKEN,
            "API_HOST": "api.example.com",
            "ADMIN_APIKEY": KEY,
            **(env or {}),
        }
        done = subprocess.run(
            [str(folder / "ansible-playbook"), "pilw.maintenance.awx_setup", "-e", f"@{given}", *arguments],
            env={name: value for name, value in environ.items() if value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            cwd=self.folder,
            check=False,
        )
        assert KEY not in done.stdout and TOKEN not in done.stdout
        return Run(done.returncode, done.stdout)


def new_controller() -> Controller:
    controller = Controller({URL: PLAYBOOKS}, TOKEN)
    machine = controller.named("credential_types", "Machine")["id"]
    controller.add("credentials", name="maintenance ssh", credential_type=machine)
    controller.add("job_templates", name="Work on Ceph", description="of somebody else", timeout=60)
    for name in ("on call", "mail"):
        controller.add("notification_templates", name=name)
    return controller


@pytest.fixture
def administrator(tmp_path: Path) -> t.Iterator[Administrator]:
    """Of a controller on which nothing was set up yet."""
    served = Served(new_controller())
    yield Administrator(served, tmp_path)
    served.stop()


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Controller, Run]:
    """A controller on which everything was made, and how that went."""
    served = Served(new_controller())
    run = Administrator(served, tmp_path_factory.mktemp("first")).set_up("-vvv")
    served.stop()
    return served.controller, run


@pytest.fixture
def made(first: tuple[Controller, Run], tmp_path: Path) -> t.Iterator[Administrator]:
    """Of a copy of that controller."""
    served = Served(first[0].copy())
    yield Administrator(served, tmp_path)
    served.stop()
