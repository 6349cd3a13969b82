# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the options of modules that write notices to owners, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  notice_templates:
    description:
      - The texts of the templates V(before), V(after) and V(not_started), in the language of Python's C(string.Template), as
        P(pilw.maintenance.notice_templates#lookup) gives them. No notices are written without.
    type: dict
  notice_dir:
    description:
      - Folder on the host of the module for notices to owners.
    type: path
  tell:
    description:
      - Whether the notices are given back too, for a hook.
    type: bool
    default: false
"""
