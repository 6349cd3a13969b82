# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator of the scenarios at a pocket cloud, with times that suit real guests."""

from __future__ import annotations

import typing as t

from e2e.pocket import PocketCloud
from scenarios.desk import Operator

# Guests stop in a second and boot in three when alone, a dozen of them in half a minute.
TIMES = {
    "ceph_maint_poll_interval": 1,
    "ceph_maint_proof_interval": 1,
    "ceph_maint_stop_timeout": 15,
    "ceph_maint_force_timeout": 30,
    "ceph_maint_start_timeout": 150,
    "ceph_maint_verify_hold": 2,
    "ceph_maint_lease": 30,
}


class PocketOperator(Operator):
    """Its `cloud` is a PocketCloud."""

    cloud: PocketCloud

    def command(self, playbook: str, *arguments: str, fast: bool = True, **variables: t.Any) -> list[str]:
        times = TIMES if fast else {}
        return super().command(playbook, *arguments, fast=fast, **{**times, **variables})

    def stop_outcomes(self) -> dict[str, str]:
        """What the open record says of each VM's stop."""
        return dict(self.ask("SELECT uuid, stop_outcome FROM vms"))
