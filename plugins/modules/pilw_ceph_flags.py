#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_ceph_flags
short_description: Set or unset OSD flags of a Ceph cluster
version_added: 0.1.0
description:
  - Sets or unsets flags of the whole cluster such as C(noout), only where they differ, and reads them back.
  - Runs on a host with the C(ceph) command. Flags of CRUSH nodes (C(set-group)) are left alone.
options:
  flags:
    description:
      - Names of flags, as C(ceph osd set) takes them.
    type: list
    elements: str
    required: true
  state:
    description:
      - Whether the flags are to be set.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description:
      - Seconds to try again while the monitors do not answer.
    type: float
    default: 30.0
  fsid:
    description:
      - The cluster that is meant. Another one is refused. Any when it is empty.
    type: str
  accept:
    description:
      - V(cluster:FSID) goes on with another cluster than O(fsid). Takes a list or a comma separated string.
    type: list
    elements: str
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without writing anything anywhere.
    support: full
  diff_mode:
    description: Shows in diff mode what has changed or would change.
    support: full
  idempotent:
    description: A second run with the same options finds nothing to change.
    support: full
extends_documentation_fragment:
  - pilw.maintenance.ceph
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: Keep Ceph from moving data while OSDs are down
  pilw.maintenance.pilw_ceph_flags:
    flags: [noout, norebalance]

- name: Let it move data again
  pilw.maintenance.pilw_ceph_flags:
    flags: [norebalance, noout]
    state: absent
    timeout: 600
"""

RETURN = r"""
flags:
  description: The flags of the cluster that are set in the end; in check mode those that would be.
  returned: always
  type: list
  elements: str
named:
  description: The flags of O(flags), which are as O(state) says now.
  returned: success
  type: list
  elements: str
unchanged:
  description: Those of them that were so before.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _defaults
from ..module_utils._ceph import readiness
from ..module_utils._ceph.command import Ceph
from ..module_utils._module import options, runner


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    ceph = Ceph(params["command"] or [], params["call_timeout"])
    wanted = params["flags"] or []
    setting = params["state"] == "present"
    accepted = params["accept"] or []
    before, after = readiness.put_flags(ceph, wanted, setting, params["timeout"], check_mode, params["fsid"] or "", accepted)
    shown = [sorted(set(flags) & set(wanted)) for flags in (before, after)]
    return {
        "changed": shown[0] != shown[1],
        "flags": after,
        "named": wanted,
        "unchanged": [flag for flag in wanted if (flag in before) == setting],
        "diff": {"before": {"flags": shown[0]}, "after": {"flags": shown[1]}},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.ceph_options(),
            "flags": {**_defaults.of("flags")["flags"], "required": True},
            "state": _defaults.choice("present", "absent", default="present"),
            **_defaults.of("fsid", "accept", timeout=30.0),
        },
        supports_check_mode=True,
    )
    runner.finish(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
