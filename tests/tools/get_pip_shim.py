# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-in for the pip bootstrap script that ansible-test would download.

noxfile.py puts it where ansible-test looks first. pip comes from Python's own ensurepip, and then in the wanted version
from the package index that pip is set up for.
"""

from __future__ import annotations

import os
import subprocess
import sys

wanted = [arg for arg in sys.argv[1:] if "==" in arg]
env = {key: value for key, value in os.environ.items() if key != "GET_PIP"}
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL, env=env)
if wanted:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", *wanted], env=env)
