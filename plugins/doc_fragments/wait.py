# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the options by which a long wait is made of several calls, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  patience:
    description:
      - Seconds of a wait after which the module comes back, with RV(ignore:waiting), to say what it waits for. V(0) waits to the end.
      - Set by the action plugin, which shows it and calls again.
    type: float
    default: 0.0
  waited:
    description:
      - Seconds that earlier calls have waited. Set by the action plugin.
    type: float
    default: 0.0
"""
