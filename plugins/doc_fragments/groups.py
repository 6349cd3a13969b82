# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the option for ordered groups, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  groups:
    description:
      - Ordered groups of VMs. They are started in this order before the other VMs, and stopped in reverse after them. The next one waits
        until each VM of the former is settled. Only with a record.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - How the group is called in plan and report.
        type: str
        required: true
      query:
        description:
          - JMESPath expression over VM rows that selects its VMs.
        type: str
        required: true
      delay:
        description:
          - Seconds to wait after the group is started or stopped.
        type: float
        default: 0.0
      stop_timeout:
        description:
          - Seconds that each VM of the group has to stop. That of the run when not given.
        type: float
      start_timeout:
        description:
          - Seconds that each VM of the group has to start. That of the run when not given.
        type: float
      concurrency:
        description:
          - Power calls open at once. That of the run when not given.
        type: int
      force:
        description:
          - Whether VMs of the group that do not shut down in time may be forced off.
        type: str
        choices: [allowed, never]
        default: allowed
      optional:
        description:
          - Whether the group may match no VM.
        type: bool
        default: false
"""
