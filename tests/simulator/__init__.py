# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated Warren cloud platform: one HTTP face over a backend with a state of its own."""

from __future__ import annotations
