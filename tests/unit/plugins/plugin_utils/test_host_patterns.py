# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The literal host patterns of a playbook, through its imports."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleFileNotFound

from ansible_collections.pilw.maintenance.plugins.plugin_utils.host_patterns import patterns_of


def read(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.safe_load(stream)
    except FileNotFoundError as exc:
        raise AnsibleFileNotFound(file_name=path) from exc


@pytest.mark.parametrize(
    ("hosts", "patterns"),
    [
        ("ceph", ["ceph"]),
        ("mons:osds", ["mons", "osds"]),
        ("mons,osds", ["mons", "osds"]),
        (["mons", "osds"], ["mons", "osds"]),
        ("all:!mant:&ceph", ["all", "mant", "ceph"]),
        ("{{ target }}", []),
        (["mons", "{{ target }}"], ["mons"]),
        ("web[0:2]", ["web[0:2]"]),
        (None, []),
    ],
)
def test_each_literal_part_is_found(tmp_path, hosts, patterns):
    path = tmp_path / "ceph.yml"
    path.write_text(yaml.safe_dump([{"hosts": hosts, "tasks": []}]))
    assert patterns_of(str(path), read) == patterns


def test_imports_are_followed_and_a_circle_ends(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yml").write_text(
        "- import_playbook: sub/b.yml\n- ansible.builtin.import_playbook: '{{ x }}'\n- import_playbook: gone.yml\n- hosts: a\n"
    )
    (tmp_path / "sub" / "b.yml").write_text("- hosts: b\n- import_playbook: c.yml\n")
    (tmp_path / "sub" / "c.yml").write_text("- hosts: c:b\n- import_playbook: ../a.yml\n")
    assert patterns_of(str(tmp_path / "a.yml"), read) == ["b", "c", "a"]


@pytest.mark.parametrize("text", ["", "just text", "- text", "{}", "[]"])
def test_what_is_no_playbook_has_no_patterns(tmp_path, text):
    (tmp_path / "a.yml").write_text(text)
    assert patterns_of(str(tmp_path / "a.yml"), read) == []
