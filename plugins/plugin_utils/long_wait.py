# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs a module that may wait for long, and says meanwhile what it waits for.

A module cannot show anything while it works. So it comes back after a while to say what it waits for, and is called again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.module_utils import _waiting
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module.options import native

# Seconds of one call of a module that waits. So a short wait shows no line, and the module ends soon after its ansible-playbook.
LINE = 15.0
# Seconds after which one call is overdue: it waits for an answer, and cannot come back to say so.
OVERDUE = LINE + 5.0
# Of work that goes on: few seconds at first, then a share of the time that has passed, so that long work has few lines too.
SHOWN_FIRST, SHOWN_SHARE, SHOWN_LAST = 5.0, 1 / 20, 60.0
GONE = "The ansible-playbook that started this work is gone, so the work ends. What it did is recorded. Run the same command again: it goes on."


def between_lines(passed):
    """Seconds between two lines of progress, so long after the work began."""
    return min(max(passed * SHOWN_SHARE, SHOWN_FIRST), SHOWN_LAST)


def playbook_pid():
    """The process of ansible-playbook that this worker process was made by."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent else os.getppid()


@contextlib.contextmanager
def shown_while_it_lasts(action, text):
    """Show a line now and then while one call of a module lasts longer than its piece, as it waits for an answer."""
    over = threading.Event()

    def show():
        while not over.wait(OVERDUE):
            action._display.display(f"  {text}")

    threading.Thread(target=show, daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextlib.contextmanager
def told(task, **wait):
    """Hand to the modules that a task calls how far their wait is."""
    former = task.environment
    task.environment = [*(former or []), {_waiting.VARIABLE: _waiting.text_of(wait)}]
    try:
        yield
    finally:
        task.environment = former


def in_pieces(action, args, task_vars):
    """Call the module of an action again and again until its wait is over, and show what it waits for between the calls."""
    if action._task.async_val:  # nobody watches
        return action._execute_module(module_args=args, task_vars=task_vars, wrap_async=True)
    playbook, began, waited, carried, shown = playbook_pid(), time.monotonic(), 0.0, {}, 0.0
    while True:
        waits_for = f"Waiting for an answer from {args.get('api_host') or 'Ceph'}."
        with told(action._task, waited=waited, piece=LINE), shown_while_it_lasts(action, waits_for):
            result = action._execute_module(module_args={**args, **carried}, task_vars=task_vars)
        if not result.get("waiting"):
            return result
        if os.getppid() != playbook:  # this process outlives a killed one
            return {"failed": True, "msg": GONE}
        waited, carried = time.monotonic() - began, result.get("carried") or {}
        if waited - shown >= max(LINE, between_lines(shown)):
            action._display.display(f"  {result['waiting']}")
            shown = waited


class LongWait(ActionBase):
    TRANSFERS_FILES = False
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        try:
            args = native(self._task.args)
        except InputError as exc:
            return {"failed": True, "msg": str(exc)}
        return self.wait(args, task_vars or {})

    def wait(self, args, task_vars):
        return in_pieces(self, args, task_vars)

    def cleanup(self, force=False):
        # Of a host that is gone the words of run() are to be seen, not that its files could not be removed.
        with contextlib.suppress(AnsibleConnectionFailure):
            super().cleanup(force)
