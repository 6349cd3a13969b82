# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator who has a host that can ask Ceph: the stand-in for the cluster, and the connection to that host, are in the test's hand."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from harness.ceph_in_process import AsksCeph
from harness.fake_ceph_cli import StandIn
from harness.in_process import Crew
from harness.in_process_operator import QuickOperator, Rehearsal
from harness.operator import Operator, Run

HOST = "mon1"
REGEX = "volume-([0-9a-f-]{36})"
CALL_SECONDS = 4  # for one call of the stand-in, on a busy machine


class StorageOperator(Operator):
    """Its Ceph host is another one than the maintenance host, as it mostly is."""

    def __init__(self, op: Operator, folder: Path, ceph: StandIn | None = None) -> None:
        super().__init__(op.cloud, folder)
        self.ceph = ceph or StandIn(folder / "ceph", self.python, op.cloud.url)
        self.cut = folder / "cut"
        self.inventory = folder / "inventory"
        self.inventory.write_text(
            f"maint ansible_connection=local ansible_python_interpreter={self.python}\n"
            f"{HOST} ansible_connection=cut ansible_python_interpreter={self.python}\n",
            encoding="utf-8",
        )
        self.extra_environment = {
            "PATH": f"{self.ceph.bin}:{os.environ['PATH']}",
            "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parents[1] / "scenarios" / "connection_plugins"),
            "PILW_TEST_CUT": str(self.cut),
        }

    def play(self, playbook: str, *arguments: str, env: dict[str, str] | None = None, **variables: t.Any) -> Run:
        given: dict[str, t.Any] = {
            "ceph_maint_ceph_host": HOST,
            "ceph_maint_rbd_image_regex": REGEX,
            "ceph_maint_watchers_linger": "0.3",
            "ceph_maint_ceph_timeout": CALL_SECONDS * 5,
            "ceph_maint_ceph_wait": "20",
        }
        return super().play(playbook, "-i", str(self.inventory), *arguments, env=env, **{**given, **variables})

    def restore(self, *arguments: str, **variables: t.Any) -> Run:
        """With a Ceph host nobody has to give his word that Ceph is back."""
        return self.play("ceph_maint_restore", *arguments, **{"ceph_maint_confirm": "true", **variables})

    def quickly(self) -> QuickStorageOperator:
        """The same operator, where nothing of Ansible is asked for."""
        return QuickStorageOperator(self, self.folder, self.ceph)

    def image(self, vm: t.Any) -> str:
        return f"volume-{self.cloud.vm(vm).uuid}"

    def flags(self) -> set[str]:
        return set(self.ceph.state["flags"])


class CephRehearsal(AsksCeph, Rehearsal):
    """In check mode, Ceph is asked all the same."""


class QuickStorageOperator(StorageOperator, QuickOperator):
    """The same operator without ansible-playbook, and without a process for each call of the stand-in."""

    def crew(self, check: bool, settings: dict[str, t.Any]) -> Crew:
        numbers = {name: float(settings[name]) for name in ("ceph_timeout", "ceph_wait") if name in settings}
        crew = (CephRehearsal if check else AsksCeph)(self.folder, self.cloud.url, self.cloud.key, **{**settings, **numbers})
        crew.stand_in, crew.cut = self.ceph, self.cut
        return crew
