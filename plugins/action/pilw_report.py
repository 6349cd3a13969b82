# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Makes the page of a report where Ansible runs. The documentation of its options stands in the module of the same name."""

from __future__ import annotations

import contextlib
import json
import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.pilw.maintenance.plugins.module_utils._environment import container
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import PilwError
from ansible_collections.pilw.maintenance.plugins.module_utils._record import files as _files
from ansible_collections.pilw.maintenance.plugins.module_utils._report import formats
from ansible_collections.pilw.maintenance.plugins.module_utils._report.formats import named_files
from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_page import render

_GONE_WITH_THE_JOB = "What was fetched lies in the container of this job, and is gone with it unless a volume is mounted there."


class ActionModule(ActionBase):
    """The module reads the report and writes the page. In between the page is made here, where Jinja2 is."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        args = {name: value for name, value in self._task.args.items() if value or name == "src"}
        try:
            found = self._call(args, task_vars)
            if "report" not in found:
                return found
            data = json.loads(str(found["report"]))
            page = render(data)
            result = self._call({**args, "page": page}, task_vars)
        except AnsibleConnectionFailure as exc:
            return {"failed": True, "msg": f"The host with the report was not reached, so no page was made: {exc}"}
        if result.get("failed"):
            return result
        where = result["page"]
        if args.get("fetch_dest"):
            try:
                result["fetched"] = self._fetch(os.path.expanduser(args["fetch_dest"]), named_files(data, page))
            except (OSError, ValueError) as exc:
                return {**result, "failed": True, "msg": f"The report could not be fetched: {exc}. On the host it is whole: {where}"}
            where = ", ".join([where, *(path for path in result["fetched"] if path.endswith(".html"))])
        if not self._task.check_mode:
            self._display.display(f"  The report for people: {where}")
            if args.get("fetch_dest") and container.here():
                self._display.display(f"  {_GONE_WITH_THE_JOB}")
        return result

    def _call(self, args, task_vars):
        if self._connection.transport != "local" or self._play_context.become:
            return self._execute_module(module_args=args, task_vars=task_vars)
        # On this machine and as this user: a module would be built, copied and started to read a file that lies here.
        _result, params = self.validate_argument_spec(formats.SPEC)
        try:
            return formats.run({**params, "page": args.get("page")}, self._task.check_mode)
        except PilwError as exc:
            return {"failed": True, "msg": str(exc)}

    def _fetch(self, folder, files):
        """Write them here. In check mode only say which."""
        if not os.path.isabs(folder):
            raise OSError(f"{folder} is no absolute path. Set ceph_maint_report_fetch_dir to one")
        return _files.write_all(folder, files, self._task.check_mode)

    def cleanup(self, force=False):
        # Of a host that is gone the words of run() are to be seen, not that its files could not be removed.
        with contextlib.suppress(AnsibleConnectionFailure):
            super().cleanup(force)
