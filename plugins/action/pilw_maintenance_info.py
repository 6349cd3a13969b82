# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run the module pilw_maintenance_info, and show what a long wait waits for. The options are documented in the module of the same name."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.module_utils._environment import machine
from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LongWait, in_pieces


class ActionModule(LongWait):
    def wait(self, args, task_vars):
        # Whether this machine is a VM of the platform is to be known before that VM is stopped.
        return in_pieces(self, {**args, "machine": machine.identity()} if args.get("gather") == "plan" else args, task_vars)
