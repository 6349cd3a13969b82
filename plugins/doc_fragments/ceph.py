# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the options of modules that ask Ceph, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  command:
    description:
      - The words that run C(ceph) on this host, such as V([cephadm, shell, --, ceph]) or
        V([ceph, --name, client.maintenance]). C(rbd) and C(rados) are run in the same way, in the place of C(ceph).
      - Takes a list, or a comma separated string.
    type: list
    elements: str
    default: [ceph]
  call_timeout:
    description:
      - Seconds that one call of the command may take. A cluster without quorum answers never.
    type: float
    default: 30.0
attributes:
  action_group:
    description: Use C(group/pilw.maintenance.pilw_ceph) in C(module_defaults) to set the options of the command once.
    support: full
    membership:
      - pilw.maintenance.pilw_ceph
"""
