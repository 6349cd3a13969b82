# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run the module pilw_ceph_flags with options in their native types. They are documented in the module of the same name."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LongWait


class ActionModule(LongWait):
    def wait(self, args, task_vars):
        return self._execute_module(module_args=args, task_vars=task_vars, wrap_async=bool(self._task.async_val))
