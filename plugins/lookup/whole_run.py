# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Refuses a run of which parts are to be left out, or whose guards could be taken in."""

from __future__ import annotations

DOCUMENTATION = r"""
name: whole_run
short_description: Give back its terms, unless parts of the run are to be left out
version_added: 0.1.0
description:
  - Fails when C(ansible-playbook) was called with C(--tags), C(--skip-tags), C(--start-at-task), C(--limit) or C(--step).
  - Fails when the inventory has a group by the name of one that these playbooks make and go by.
  - The playbooks of this collection use it in C(hosts), which is looked at whatever is left out. A task could not tell,
    as it would be left out itself, and the run would end with exit status 0 and nothing done.
options:
  _terms:
    description:
      - What to give back.
    type: list
    elements: str
    required: true
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: A play that is never skipped
  hosts: "{{ lookup('pilw.maintenance.whole_run', 'localhost') }}"
  gather_facts: false
  tasks: []
"""

RETURN = r"""
_raw:
  description:
    - The terms.
  type: list
  elements: str
"""

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.pilw.maintenance.plugins.plugin_utils.host_patterns import GROUPS


class LookupModule(LookupBase):
    # Whether the groups were looked at in this run of Ansible. Afterwards those that are there are our own.
    looked = False

    def run(self, terms, variables=None, **kwargs):
        given = context.CLIARGS
        refused = [
            option
            for option, used in (
                ("--tags", list(given.get("tags") or ["all"]) != ["all"]),
                ("--skip-tags", bool(given.get("skip_tags"))),
                ("--start-at-task", bool(given.get("start_at_task"))),
                ("--limit", bool(given.get("subset"))),
                ("--step", bool(given.get("step"))),
            )
            if used
        ]
        if refused:
            raise AnsibleLookupError(
                f"A maintenance runs whole, so that no guard is left out: {', '.join(refused)} is refused. Nothing was done. "
                "Each step has a playbook of its own, such as pilw.maintenance.ceph_maint_restore."
            )
        if not LookupModule.looked:
            taken = [name for name in GROUPS if name in (variables or {}).get("groups", {})]
            if taken:
                raise AnsibleLookupError(
                    f"The inventory has a group called {', '.join(taken)}, and a maintenance makes groups of that name itself and goes "
                    "by who is in them. Rename it there. Nothing was done."
                )
            LookupModule.looked = True
        return list(terms)
