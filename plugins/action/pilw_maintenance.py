# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs the module pilw_maintenance, and says what a long wait waits for. The options are documented in the module of the same name."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.module_utils._record import controller
from ansible_collections.pilw.maintenance.plugins.plugin_utils.leased_job import LeasedJob
from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LINE, in_pieces, playbook_pid, told


class ActionModule(LeasedJob):
    """A long proof is a leased job: it is made in one call, whatever it takes. All else comes back to say what it waits for."""

    MODULE = "pilw.maintenance.pilw_maintenance"
    LINE = LINE
    _supports_async = True

    def lasts(self, args):
        return args.get("state") == "proven" and proof_seconds(args) > LINE

    def _start_job(self, args, task_vars):
        with told(self._task, leased=1):
            return super()._start_job(args, task_vars)

    def run_plain(self, args, task_vars):
        if args.get("state") == "opened":
            args = {**args, "controller": controller.identify(playbook_pid())}
        return in_pieces(self, args, task_vars)


def proof_seconds(args):
    """How long the pauses between its lists may last; 0 when that is no number, which the module says."""
    given = {"proof_interval": 30.0, "settle_timeout": 300.0, **{name: value for name, value in args.items() if value is not None}}
    try:
        return 2 * float(given["proof_interval"]) + float(given["settle_timeout"])
    except (TypeError, ValueError):
        return 0.0
