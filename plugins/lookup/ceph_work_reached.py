# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a play of the operator's Ceph playbook has reached a host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ceph_work_reached
short_description: Whether a playbook that was imported with this lookup as a condition has reached a host
version_added: 0.1.0
description:
  - As a condition of C(import_playbook) it is evaluated on each host that a task of the playbook reaches. It is always true there, and leaves
    a mark for this run of C(ansible-playbook).
  - Without a term it tells whether that mark was left. Ansible itself tells no later play that an earlier one matched no host.
options:
  _terms:
    description:
      - V(mark) leaves the mark.
    type: list
    elements: str
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Work on Ceph
  ansible.builtin.import_playbook: "{{ ceph_maint_playbook }}"
  when: lookup('pilw.maintenance.ceph_work_reached', 'mark')
"""

RETURN = r"""
_raw:
  description:
    - True or false.
  type: list
  elements: bool
"""

import os

from ansible import constants as C
from ansible.plugins.lookup import LookupBase

NAME = "pilw-ceph-work-reached"


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        # Conditions are evaluated in worker processes. This folder is of one run of Ansible only, shared by them, and removed with it.
        path = os.path.join(C.DEFAULT_LOCAL_TMP, NAME)
        if list(terms) == ["mark"]:
            with open(path, "a", encoding="utf-8"):
                return [True]
        return [os.path.exists(path)]
