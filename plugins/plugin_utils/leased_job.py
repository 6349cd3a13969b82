# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Starts a module as a job on the maintenance host, renews its lease, and shows how far it is.

For modules that send writes for a record: so they end by themselves when the ansible-playbook that started them is gone.
"""

from __future__ import annotations

import contextlib
import os
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import GONE, between_lines, playbook_pid

INFO = "pilw.maintenance.pilw_maintenance_info"
# The job's own bounds end it; Ansible's limit on it is only there because a job must have one.
JOB_SECONDS = 7 * 24 * 3600
# No job has ended before: each look, and the job's own start, takes nearly as long.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 3.0
_DEAD = "What it did is recorded. Run the same command again: it goes on."
# Of the job itself; of no use to who asked for the work.
_JOB_KEYS = frozenset(("ansible_job_id", "started", "finished", "results_file", "stdout", "stdout_lines", "stderr", "stderr_lines"))


class LeasedJob(ActionBase):
    """Without a record, and in check mode, the module is run like any other."""

    MODULE = ""
    LINE = 0.0  # at least so many seconds between two lines
    TRANSFERS_FILES = False

    def lasts(self, args):
        """Whether the work may last so long that it is worth a job."""
        return True

    def run_plain(self, args, task_vars):
        return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        playbook, args = playbook_pid(), self._task.args
        if self._task.check_mode or self._task.async_val or not args.get("record") or not self.lasts(args):
            return self.run_plain(args, task_vars)
        # The job's result lies beside the record: a private folder, named without ~, which Ansible expands in two
        # different ways when HOME is not the home of the user database.
        shell = self._connection._shell
        former = shell.get_option("async_dir")
        shell.set_option("async_dir", os.path.dirname(args["record"]))
        try:
            job = self._start_job(args, task_vars)
            if not job.get("ansible_job_id"):
                return job
            result = {}
            try:
                result = self._follow(job, args, task_vars, playbook)
                return result
            finally:
                # What happened is worth more than a file that the next run removes, and a host that is gone is not tried again for it.
                if not result.get("unreachable"):
                    with contextlib.suppress(AnsibleConnectionFailure):
                        self._status(job, task_vars, "cleanup")
        finally:
            shell.set_option("async_dir", former)

    def cleanup(self, force=False):
        # Of a host that is gone the words of run() are to be seen, not that its files could not be removed.
        with contextlib.suppress(AnsibleConnectionFailure):
            super().cleanup(force)

    def _start_job(self, args, task_vars):
        former = self._task.async_val
        self._task.async_val = JOB_SECONDS
        try:
            return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = former

    def _follow(self, job, args, task_vars, playbook):
        """Poll until the job has ended, at least three times in a lease. A lost connection is tried again within it."""
        lease = float(args.get("lease") or 30)
        pause, silent_since, began = min(FIRST_PAUSE, lease / 4), None, time.monotonic()
        shown_at = began
        idle_since = None
        while True:
            time.sleep(pause)
            if os.getppid() != playbook:
                # This worker process outlives a killed ansible-playbook (in a session of its own from core 2.19 on).
                # Nobody wants the work any more: let the lease run out.
                return {"failed": True, "msg": GONE}
            pause = min(pause * 1.5, LONGEST_PAUSE, lease / 4)
            try:
                progress = self._progress(args, task_vars, lease)
                if progress.get("busy"):
                    idle_since = None
                else:
                    result = self._status(job, task_vars, "status")
                    if "cmd" in result and "data" in result:
                        # The words of Ansible's wrapper for a job that left no result.
                        return {"failed": True, "msg": f"The work on the maintenance host was killed. {_DEAD}"}
                    if boolean(result.get("finished", False), strict=False) or result.get("failed"):
                        if result.get("line"):
                            self._display.display(f"  {result['line']}")
                        return {key: value for key, value in result.items() if key not in _JOB_KEYS}
                    idle_since = idle_since or time.monotonic()
                    if time.monotonic() - idle_since > max(15.0, lease):
                        why = progress.get("msg") or "Restart, out of memory?"
                        return {"failed": True, "msg": f"The work on the maintenance host has died. {why} {_DEAD}"}
            except AnsibleConnectionFailure as exc:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > lease:
                    return {
                        "failed": True,
                        "unreachable": True,
                        "msg": f"The maintenance host has not been reached for {lease:g} s: {exc}. The work there ends by itself "
                        "and is recorded. Run the same command again: it goes on.",
                    }
                continue
            silent_since = None
            if progress.get("text") and time.monotonic() - shown_at >= max(between_lines(shown_at - began), self.LINE):
                shown_at = time.monotonic()
                self._display.display(f"  {progress['text']}")

    def _progress(self, args, task_vars, lease):
        """One look at the record. It also tells the job that somebody still wants it."""
        # It asks nothing of the platform, so the key stays here.
        wanted = {"api_host": args.get("api_host") or "none", "api_key": "not-needed"}
        wanted.update(gather="progress", record=args["record"], run=args["run"], lease=lease)
        return self._execute_module(module_name=INFO, module_args=wanted, task_vars=task_vars)

    def _status(self, job, task_vars, mode):
        """Ask for the job's result, or remove its file."""
        task = self._task.copy()
        task.args = {"jid": job["ansible_job_id"], "mode": mode}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.async_status",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return action.run(task_vars=task_vars)
