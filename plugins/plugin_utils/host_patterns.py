# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Find the literal host patterns of a playbook, through its imports too."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.manager import split_host_pattern
from ansible.utils.collection_loader._collection_finder import _get_collection_playbook_path

# What the plays of this collection make and go by. Of a group of the inventory they could not tell that it is another one.
GROUPS = ("ceph_maint_hosts", "ceph_maint_safe", "ceph_maint_restored")
IMPORTS = ("import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook")


def patterns_of(name: str, read: t.Callable[[str], t.Any], folder: str = "", seen: tuple[str, ...] = ()) -> list[str]:
    """Return each literal part of each ``hosts`` in the playbook, without what negates or intersects it.

    ``name`` is a path or the name of a playbook in a collection, ``read`` loads a YAML file. What cannot be read, and what a
    template names, is left out.
    """
    path = _path(name, folder)
    if path in seen:
        return []
    try:
        plays = read(path)
    except (AnsibleError, OSError):
        return []
    found: list[str] = []
    for play in plays if isinstance(plays, list) else []:
        if not isinstance(play, dict):
            continue
        imported = next((play[key] for key in IMPORTS if key in play), None)
        if isinstance(imported, str) and "{{" not in imported:
            found += patterns_of(imported.strip(), read, os.path.dirname(path), (*seen, path))
        elif imported is None:
            found += _parts(play.get("hosts"))
    return list(dict.fromkeys(found))


def _path(name: str, folder: str) -> str:
    resource = _get_collection_playbook_path(name)
    return resource[1] if resource else os.path.normpath(os.path.join(folder, os.path.expanduser(name)))


def _parts(hosts: t.Any) -> list[str]:
    given = hosts if isinstance(hosts, (list, tuple)) else [hosts]
    literal = [one for one in given if isinstance(one, str) and "{{" not in one]
    return [part.lstrip("!&") for part in split_host_pattern(literal) if part.lstrip("!&")]
