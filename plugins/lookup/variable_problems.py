# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Why variables cannot be used: mistyped names, and values of another type."""

from __future__ import annotations

DOCUMENTATION = r"""
name: variable_problems
short_description: Why variables of this collection cannot be used
version_added: 0.1.0
description:
  - Compares the variables that are visible here, and those of the maintenance host, with the argument specs of the roles.
  - Gives back one text that names each unknown variable, each value of a wrong type, and how to continue. Gives back nothing when there is
    no problem.
  - A variable of your own that begins with C(ceph_maint_my_) is left alone.
options:
  _terms:
    description:
      - Dictionaries of variables to check in the place of those that are visible.
    type: list
    elements: dict
  undone:
    description:
      - The sentence that says what was done so far.
    type: str
    default: Nothing was changed.
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Reject variables that cannot be used
  ansible.builtin.fail:
    msg: "{{ problem }}"
  vars:
    problem: "{{ lookup('pilw.maintenance.variable_problems') }}"
  when: problem | length > 0
"""

RETURN = r"""
_raw:
  description:
    - The text.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.pilw.maintenance.plugins.module_utils._accept import accept_argument, destructive
from ansible_collections.pilw.maintenance.plugins.plugin_utils.variable_check import REST_OF_WORDS, accepted_overrides, options, refusal


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        visible = dict(variables or {})
        accepted = accepted_overrides(self._value(visible, "ceph_maint_accept"))
        places = list(terms) or [self._maintenance_host(visible), visible]
        names = {str(name) for place in places for name in place}
        values = {name: self._value(place, name) for place in places for name in place if name in options() or name == REST_OF_WORDS}
        text = refusal(names, values, accepted, kwargs.get("undone", "Nothing was changed."))
        return [text for text in (text, self._elsewhere(visible, accepted)) if text][:1]

    def _elsewhere(self, visible, accepted):
        """Why what may destroy data is not taken from where it stands: nobody has decided it for this run."""
        items, names = destructive(accepted), {"ceph_maint_accept", "ceph_maint_accept_reason"} - {*load_extra_vars(self._loader)}
        left = [name for name in sorted(names) if items and self._value(visible, name)]
        return left and (
            f"{' and '.join(left)} must be given on the command line or in a survey, and not in the inventory or a playbook, to accept what "
            f"may destroy data: {', '.join(items)}. Nothing was changed. Remove it there. To accept it in this run: {accept_argument((), accepted)}"
        )

    def _maintenance_host(self, visible):
        """The variables of that host, as the first play runs on localhost; empty when there is no such host."""
        host = self._value(visible, "ceph_maint_host")
        everyone = visible.get("hostvars", {})
        return everyone[host] if host and host in everyone else {}

    def _value(self, place, name):
        """The value, or None for a template that cannot be resolved here: Ansible itself reports that where it is used."""
        try:
            return self._templar.template(place[name])
        except (AnsibleError, KeyError, TypeError):
            return None
