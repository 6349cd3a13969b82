# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Host patterns of the operator's Ceph playbook that match no host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unmatched_hosts
short_description: Why the plays of a playbook would not reach the hosts that they name
version_added: 0.1.0
description:
  - Reads the C(hosts) of each play of a playbook, through its imports too, and compares each literal pattern with the inventory.
  - Gives back one text that names the patterns that match no host, with the argument that continues. Gives back nothing when all of them match,
    and of what cannot be read.
options:
  _terms:
    description:
      - The absolute path of the playbook, or its name in a collection.
    type: list
    elements: str
    required: true
  host:
    description:
      - The maintenance host. The playbook needs another one, unless it works on this one.
    type: str
    default: localhost
  accepted:
    description:
      - What was accepted before. Takes a list, JSON, a comma separated string, or V(none).
    type: raw
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Reject host patterns that match no host
  ansible.builtin.fail:
    msg: "{{ problem }}"
  vars:
    problem: "{{ lookup('pilw.maintenance.unmatched_hosts', ceph_maint_playbook, host='localhost', accepted=ceph_maint_accept) }}"
  when: problem | length > 0
"""

RETURN = r"""
_raw:
  description:
    - The text.
  type: list
  elements: str
"""

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ansible_collections.pilw.maintenance.plugins.module_utils._accept import accept_argument
from ansible_collections.pilw.maintenance.plugins.module_utils._api.selection import no_match
from ansible_collections.pilw.maintenance.plugins.plugin_utils.host_patterns import GROUPS, patterns_of
from ansible_collections.pilw.maintenance.plugins.plugin_utils.variable_check import accepted_overrides


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        host, everyone = str(kwargs.get("host", "localhost")), (variables or {}).get("groups", {}).get("all", [])
        accepted = accepted_overrides(kwargs.get("accepted"))
        inventory = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        patterns = patterns_of(str(terms[0]), self._loader.load_from_file)
        unmatched = [one for one in patterns if one not in GROUPS and not inventory.run([one], variables)]
        left = {item: one for one in unmatched if (item := no_match(one)) not in accepted}
        if not set(everyone) - {"localhost", host} and no_match(host) not in accepted:
            return [
                "The inventory has no host beside the maintenance host, so your Ceph playbook would match none and do nothing. Nothing was changed. "
                f"Give it with -i, or, if the playbook works on localhost: {accept_argument(accepted, [no_match(host), *left])}"
            ]
        if not left:
            return []
        return [
            f"Your Ceph playbook {terms[0]} names hosts that the inventory does not have: {', '.join(left.values())}. Nothing was changed. "
            "Correct hosts: there or give the inventory with -i. For a group that may be empty, or that the playbook makes itself: "
            f"{accept_argument(accepted, list(left))}"
        ]
