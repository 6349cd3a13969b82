# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs the module pilw_ceph_check, and says what a long wait waits for. The options are documented in the module of the same name."""

from __future__ import annotations

import contextlib
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.module_utils import _argspec

# Seconds for which the module waits before a line is shown.
LOOK_FOR = 15.0
# As in the module.
LONGEST = 1800.0


class ActionModule(ActionBase):
    """A module cannot show anything while it works. So a wait is made of short ones."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args, began = self._task.args, time.monotonic()
        try:
            timeout = float(args.get("timeout") or LONGEST)
        except (TypeError, ValueError):
            timeout = 0.0
        if not LOOK_FOR < timeout <= _argspec.MOST:  # a short wait, or no number: the module says what is wrong with it
            return self._execute_module(module_args=args, task_vars=task_vars)
        while True:
            waited = time.monotonic() - began
            given = {**args, "timeout": max(min(LOOK_FOR, timeout - waited), 0.1), "waited": waited}
            result = self._execute_module(module_args=given, task_vars=task_vars)
            waited = time.monotonic() - began
            if not result.get("missing") or waited >= timeout:
                return result
            text = f"After {waited:.0f} of at most {timeout:.0f} s: {result['missing']}"
            self._display.display(f"  {text}")

    def cleanup(self, force=False):
        # Of a host that is lost in the midst of it that is to be seen, not that its files could not be removed.
        with contextlib.suppress(AnsibleConnectionFailure):
            super().cleanup(force)
