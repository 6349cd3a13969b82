# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a playbook prints for a refusal that can be accepted."""

from __future__ import annotations

DOCUMENTATION = r"""
name: way_to_accept
short_description: The argument that accepts an item, with all that was accepted before
version_added: 0.1.0
description:
  - Gives back the whole argument for C(ansible-playbook) that accepts the terms, and nothing when all of them are accepted
    already.
  - The playbooks of this collection use it where no module has been asked yet.
options:
  _terms:
    description:
      - The items.
    type: list
    elements: str
    required: true
  accepted:
    description:
      - What was accepted before. Takes a list, JSON, a comma separated string, or V(none).
    type: raw
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Say how to go on
  ansible.builtin.debug:
    msg: "{{ lookup('pilw.maintenance.way_to_accept', 'inventory:localhost', accepted=ceph_maint_accept) }}"
"""

RETURN = r"""
_raw:
  description:
    - The argument.
  type: list
  elements: str
"""

from ansible.plugins.lookup import LookupBase

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import accept_argument
from ansible_collections.pilw.maintenance.plugins.plugin_utils.variable_check import accepted_overrides


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        accepted = accepted_overrides(kwargs.get("accepted"))
        items = [str(item) for item in terms if item not in accepted]
        return [accept_argument(accepted, items)] if items else []
