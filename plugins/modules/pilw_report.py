#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_report
short_description: Make a page for people of the report of a maintenance
version_added: 0.1.0
description:
  - Makes one self-contained HTML page of the C(report.json) that M(pilw.maintenance.pilw_maintenance) wrote, and puts it beside it.
  - The page is made where C(ansible-playbook) runs, with Jinja2, which escapes all that tenants wrote. It has no script, and asks
    nothing of any other place. No data of tenants becomes a variable.
  - Knows nothing of the platform, and writes nothing to it.
options:
  src:
    description:
      - The C(report.json), also one that was kept under the id of its maintenance. The page gets the same name with C(.html).
    type: path
    required: true
  dest:
    description:
      - Folder on the same host that gets the page, C(report.json), C(vms.csv) and C(summary.md) as well, each with the id of the
        maintenance before its name. It is made where it is missing.
    type: path
  fetch_dest:
    description:
      - Folder on the machine on which C(ansible-playbook) runs that gets the same four files. It is made where it is missing.
    type: path
  page:
    description:
      - The page. It is made and given by the action plugin of the same name.
    type: str
attributes:
  check_mode:
    description: Can run in check mode, says what it would write and writes nothing.
    support: full
  diff_mode:
    description: Shows what would change, with --diff.
    support: none
  idempotent:
    description: A second run leaves the same files.
    support: partial
    details:
      - The page is written again, and says when its report was.
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Make the page of a maintenance that has ended
  pilw.maintenance.pilw_report:
    src: ~/.pilw-maintenance/api.example.com/20261122T120227Z-39e6b3.report.json
    dest: /srv/maintenance-reports
"""

RETURN = r"""
page:
  description: Path of the page.
  returned: success
  type: str
files:
  description: Every file that was written on the host.
  returned: success
  type: list
  elements: str
fetched:
  description: Every file that was written where C(ansible-playbook) runs.
  returned: success
  type: list
  elements: str
"""

import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pilw.maintenance.plugins.module_utils import _files, _module
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, RecordError
from ansible_collections.pilw.maintenance.plugins.module_utils._report import without_vm_events
from ansible_collections.pilw.maintenance.plugins.module_utils._report_files import named_files, page_name

SPEC = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path"},
    "fetch_dest": {"type": "path"},
    "page": {"type": "str", "no_log": True},  # Ansible logs each option of a module
}


def read(src: str) -> dict[str, t.Any]:
    """The report that lies there."""
    try:
        data = json.loads(_files.read_private(src))
        if not isinstance(data, dict) or "running" not in data:
            raise ValueError("it is no report of this version")
    except (OSError, ValueError) as exc:
        raise InputError(f"The report {src} cannot be read: {exc}. No page was made. What the record holds is not touched by that.") from exc
    return data


def written(params: dict[str, t.Any], check_mode: bool) -> list[str]:
    """Put the page where it belongs, each file whole. Beside its report first: that waits for no second place."""
    page, dest = page_name(params["src"]), params["dest"]
    if not check_mode:
        try:
            _files.write_text(page, params["page"])
        except (OSError, ValueError) as exc:
            raise RecordError(
                f"The report could not be written: {exc}. The record, and report.json beside it, are whole. Make room or mend the disk."
            ) from exc
    return [page, *(_written_again(dest, params, page, check_mode) if dest else [])]


def _written_again(dest: str, params: dict[str, t.Any], page: str, check_mode: bool) -> list[str]:
    """All forms of it in another folder."""
    if not os.path.isabs(dest):
        raise InputError(f"The folder for the report, {dest}, is no absolute path. Set ceph_maint_report_dir to one. The page is {page}")
    data = read(params["src"])
    try:
        return _files.write_all(dest, named_files(data, params["page"]), check_mode)
    except (OSError, ValueError) as exc:
        raise RecordError(
            f"The report could not be written to {dest}: {exc}. Mend that, or set ceph_maint_report_dir to a folder that can be written. "
            f"The page is {page}"
        ) from exc


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Without a page return the report that it is to be made of, else write the page."""
    if params["page"] is None:
        data = read(params["src"])
        # As text: Ansible would look into each of a hundred thousand entries.
        return {"changed": False, "report": json.dumps(data if params["fetch_dest"] else without_vm_events(data))}
    return {"changed": True, "page": page_name(params["src"]), "files": written(params, check_mode), "fetched": []}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    _module.finish(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
