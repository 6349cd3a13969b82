# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs the module pilw_host_flags as a leased job. The documentation of its options stands in the module of the same name."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.plugin_utils.leased_job import LeasedJob


class ActionModule(LeasedJob):
    MODULE = "pilw.maintenance.pilw_host_flags"
