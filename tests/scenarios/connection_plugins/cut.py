# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection to this very machine that is lost while a file named by PILW_TEST_CUT exists. What runs there goes on.

PILW_TEST_HOME: the HOME that commands have there, where it is not that of ansible-playbook.
"""

from __future__ import annotations

DOCUMENTATION = """
name: cut
short_description: Local connection that a test can cut
description: For tests only.
author: pilw.maintenance contributors (@pilw-maintenance)
version_added: 0.1.0
options: {}
"""

import os
import shlex

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    transport = "cut"

    def _there(self):
        if os.path.exists(os.environ["PILW_TEST_CUT"]):
            raise AnsibleConnectionFailure("ssh: connect to host box port 22: Connection timed out")

    def exec_command(self, cmd, *args, **more):
        self._there()
        if home := os.environ.get("PILW_TEST_HOME"):
            cmd = f"export HOME={shlex.quote(home)}; {cmd}"
        result = super().exec_command(cmd, *args, **more)
        self._there()
        return result

    def put_file(self, *args, **more):
        self._there()
        return super().put_file(*args, **more)
