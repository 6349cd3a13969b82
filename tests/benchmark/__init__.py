# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection takes in time and memory, against what others take and as the number of VMs grows."""
