# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Texts of the connection options, once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_host:
    description:
      - The API of the platform, as host, V(host:port) or URL. Plain http is refused, except to a loopback address.
      - When not given, the environment variable E(API_HOST) where the module runs.
    type: str
    required: true
  api_key:
    description:
      - API key of an admin user. It is sent to O(api_host) only.
      - When not given, the environment variable E(ADMIN_APIKEY) where the module runs.
    type: str
    required: true
  location:
    description:
      - Slug of the location, as C(/v1/config/locations) lists it. Empty means the platform's default location.
    type: str
  validate_certs:
    description:
      - Whether the API's TLS certificate is verified. The environment cannot overrule it.
    type: bool
    default: true
  ca_path:
    description:
      - File with CA certificates that the API's certificate is verified against, on the host the module runs on.
    type: path
requirements:
  - requests
  - jmespath
"""
