# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs the module pilw_maintenance_info, and says what a long wait waits for. The options are documented in the module of the same name."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LongWait


class ActionModule(LongWait):
    pass
