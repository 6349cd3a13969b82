# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module that writes the page of a report leaves elsewhere."""

from __future__ import annotations

from ansible_collections.pilw.maintenance.plugins.modules import pilw_report


def test_the_page_is_not_logged(monkeypatch):
    """Ansible writes each option of a module to the system log, and the page is as private as the record."""
    made = {}

    class Module:
        def __init__(self, argument_spec, supports_check_mode):
            made.update(argument_spec)
            raise SystemExit

    monkeypatch.setattr(pilw_report, "AnsibleModule", Module)
    try:
        pilw_report.main()
    except SystemExit:
        pass
    assert made["page"].get("no_log") is True
