# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Attribute texts, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without writing anything anywhere.
  diff_mode:
    description: Shows in diff mode what has changed or would change.
  idempotent:
    description: A second run with the same options finds nothing to change.
  action_group:
    description: Use C(group/pilw.maintenance.pilw) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - pilw.maintenance.pilw
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
  idempotent:
    description: A second run with the same options finds nothing to change.
    support: full
  action_group:
    description: Use C(group/pilw.maintenance.pilw) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - pilw.maintenance.pilw
"""
