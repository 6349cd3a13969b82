# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run a module as a job on the maintenance host, renew its lease and show its progress.

For modules that send writes for a record: the job ends by itself when the ansible-playbook that started it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible.errors import AnsibleConnectionFailure

try:
    from ansible.module_utils.common.json import Direction, get_module_decoder
except ImportError:  # ansible-core before 2.19, where the result of a module is plain JSON
    DECODER = json.JSONDecoder
else:
    DECODER = get_module_decoder("legacy", Direction.MODULE_TO_CONTROLLER)

from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import GONE, LongWait, between_lines, playbook_pid

INFO = "pilw.maintenance.pilw_maintenance_info"
# The job's own bounds end it; Ansible's limit on it is only there because a job must have one.
JOB_SECONDS = 7 * 24 * 3600
_DEAD = "What it did is recorded. Run the same command again: it goes on."
# Of the job itself, or of Ansible's wrapper.
_JOB_KEYS = frozenset(("ansible_job_id", "stderr"))


def wait_command(file, seconds):
    """Return the shell command that prints a result file as soon as there is a result in it, or after ``seconds``.

    Its first content is that the job has started. The result replaces it by a rename. The time is that of one process, as on a host under
    load each look may take long, and the lease is renewed after it.
    """
    unfinished = f"{{ [ ! -e {file} ] || grep -q '^..started.: ' {file}; }}"
    clock = f"sleep {seconds:g} >/dev/null 2>&1 </dev/null & p=$!"
    return f"{clock}; while kill -0 $p 2>/dev/null && {unfinished}; do sleep 0.1; done; kill $p 2>/dev/null; cat {file}"


def lease_of(args):
    """Return the seconds of the lease, or 0 for what cannot be one: the module says what is wrong with it."""
    try:
        lease = float(args.get("lease", 30))
    except (TypeError, ValueError):
        return 0.0
    return lease if 0 < lease < JOB_SECONDS else 0.0


class LeasedJob(LongWait):
    """Without a record, and in check mode, the module is run like any other."""

    MODULE = ""
    LINE = 0.0  # at least so many seconds between two lines
    _supports_async = False

    def lasts(self, args):
        """Whether the work may last so long that it is worth a job."""
        return True

    def run_plain(self, args, task_vars):
        return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars)

    def wait(self, args, task_vars):
        playbook = playbook_pid()
        lease = lease_of(args)
        if self._task.check_mode or self._task.async_val or not args.get("record") or not lease or not self.lasts(args):
            return self.run_plain(args, task_vars)
        job = self._start_job(args, task_vars)
        if not job.get("ansible_job_id"):
            return job
        file, result = self._connection._shell.quote(job["results_file"]), {}
        try:
            result = self._follow(file, args, task_vars, playbook, lease)
            return result
        finally:
            # What happened is worth more than a file that the next run removes, and a host that is gone is not tried again for it.
            if not result.get("unreachable"):
                with contextlib.suppress(AnsibleConnectionFailure):
                    self._low_level_execute_command(f"rm -f {file}")

    def _start_job(self, args, task_vars):
        # The job's result lies beside the record: a private folder, named without ~, which Ansible expands in two
        # different ways when HOME is not the home of the user database.
        shell = self._connection._shell
        former = shell.get_option("async_dir"), self._task.async_val
        shell.set_option("async_dir", os.path.dirname(args["record"]))
        self._task.async_val = JOB_SECONDS
        try:
            return self._execute_module(module_name=self.MODULE, module_args=args, task_vars=task_vars, wrap_async=True)
        finally:
            shell.set_option("async_dir", former[0])
            self._task.async_val = former[1]

    def _follow(self, file, args, task_vars, playbook, lease):
        """Wait for the result of the job, and renew its lease at least three times within it. A lost connection is retried for one lease."""
        began = shown_at = heard_at = busy_at = time.monotonic()
        while True:
            try:
                result = self._wait(file, min(between_lines(time.monotonic() - began), lease / 4))
                if result and "cmd" in result and "data" in result:
                    # The words of Ansible's wrapper for a job that left no result.
                    return {"failed": True, "msg": f"The work on the maintenance host was killed. {_DEAD}"}
                if result:
                    if result.get("line"):
                        self._display.display(f"  {result['line']}")
                    return {key: value for key, value in result.items() if key not in _JOB_KEYS}
                if os.getppid() != playbook:
                    # This worker process outlives a killed ansible-playbook (in a session of its own from core 2.19 on).
                    # Nobody wants the work any more: let the lease run out.
                    return {"failed": True, "msg": GONE}
                progress = self._progress(args, task_vars, lease)
            except AnsibleConnectionFailure as exc:
                if time.monotonic() - heard_at > lease:
                    return {
                        "failed": True,
                        "unreachable": True,
                        "msg": f"The maintenance host has not been reached for {lease:g} s: {exc}. The work there ends by itself "
                        "and is recorded. Run the same command again: it goes on.",
                    }
                time.sleep(min(1.0, lease / 4))
                continue
            heard_at = time.monotonic()
            if progress.get("busy"):
                busy_at = heard_at
            elif heard_at - busy_at > max(15.0, lease):
                why = progress.get("msg") or "Restart, out of memory?"
                return {"failed": True, "msg": f"The work on the maintenance host has died. {why} {_DEAD}"}
            if progress.get("text") and heard_at - shown_at >= max(between_lines(shown_at - began), self.LINE):
                shown_at = heard_at
                self._display.display(f"  {progress['text']}")

    def _wait(self, file, seconds):
        """Return the result of the job as soon as there is one, or an empty one after ``seconds``. One plain command, which costs little."""
        text = self._low_level_execute_command(wait_command(file, seconds))["stdout"]
        for line in reversed(text.splitlines()):  # a login shell may print before it
            with contextlib.suppress(ValueError):
                result = DECODER().raw_decode(line)[0]
                if isinstance(result, dict):
                    return {} if "started" in result and "ansible_job_id" in result else result
        return {}

    def _progress(self, args, task_vars, lease):
        """Read how far the work is, which renews its lease."""
        # It asks nothing of the platform, so the key stays here.
        wanted = {"api_host": args.get("api_host") or "none", "api_key": "not-needed"}
        wanted.update(gather="progress", record=args["record"], run=args["run"], lease=lease)
        return self._execute_module(module_name=INFO, module_args=wanted, task_vars=task_vars)
