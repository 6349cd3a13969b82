# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The texts of the templates for notices to owners."""

from __future__ import annotations

DOCUMENTATION = r"""
name: notice_templates
short_description: The texts of the templates for notices to owners
version_added: 0.1.0
description:
  - Reads the templates C(before.txt), C(after.txt) and C(not_started.txt) where C(ansible-playbook) runs, and gives back their texts by
    name. Those that a folder does not have are those of this collection.
options:
  _terms:
    description:
      - An absolute path of a folder with templates. Empty for none.
    type: list
    elements: str
    required: true
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Show the texts
  ansible.builtin.debug:
    msg: "{{ lookup('pilw.maintenance.notice_templates', '/etc/pilw/notices') }}"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary with the texts.
  type: list
  elements: dict
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.pilw.maintenance.plugins.module_utils._notices.compose import KINDS

OWN = os.path.join(os.path.dirname(__file__), "..", "..", "roles", "ceph_maint", "files", "notices")


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        folder = os.path.expanduser(str(terms[0])) if terms and terms[0] else ""
        if folder and not (os.path.isabs(folder) and os.path.isdir(folder)):
            raise AnsibleLookupError(
                f"ceph_maint_notice_templates is {folder}, and that is no absolute path of a folder where ansible-playbook runs. Correct it, or "
                "leave it empty."
            )
        return [{kind: read(folder, kind) for kind in KINDS}]


def read(folder, kind):
    """The text of one template."""
    path = os.path.join(folder, f"{kind}.txt")
    if not folder or not os.path.lexists(path):
        path = os.path.join(OWN, f"{kind}.txt")
    try:
        # Some editors begin a text with a mark that nobody sees.
        with open(path, encoding="utf-8-sig") as stream:
            return stream.read()
    except (OSError, ValueError) as exc:
        raise AnsibleLookupError(f"The template {path} cannot be read: {exc}. Mend it, or remove it to use that of the collection.") from exc
