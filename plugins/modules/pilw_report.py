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

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._module import runner
from ..module_utils._report.formats import SPEC, run


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    runner.finish(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
