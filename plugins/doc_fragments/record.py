# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the options that tie a module to a maintenance record, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  record:
    description:
      - The maintenance record that the module reads from and writes to, as M(pilw.maintenance.pilw_maintenance) returned it.
      - Without it the module works on its own and remembers nothing.
    type: path
  run:
    description:
      - The token of the run that holds the record, as M(pilw.maintenance.pilw_maintenance) returned it. Refused when
        another run has taken over since.
      - Required with O(record).
    type: str
"""
