# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows nothing: it makes the collection call a wait long after PILW_TEST_LINE seconds, so that a test need not wait for lines."""

from __future__ import annotations

DOCUMENTATION = """
name: soon
type: aggregate
short_description: Lines of long waits come soon
description: For tests only.
author: pilw.maintenance contributors (@pilw-maintenance)
version_added: 0.1.0
options: {}
"""

import os

from ansible.plugins.callback import CallbackBase

from ansible_collections.pilw.maintenance.plugins.plugin_utils import long_wait

# Before the first task: the workers are forked from this process.
long_wait.LINE = long_wait.SHOWN_FIRST = float(os.environ["PILW_TEST_LINE"])


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "soon"
    CALLBACK_NEEDS_ENABLED = True
