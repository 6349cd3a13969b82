# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One direction of imports, few doors to the libraries, and files that can be read in one go."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
UTILS = "ansible_collections.pilw.maintenance.plugins.module_utils"
FILES = sorted(PLUGINS.rglob("*.py"))
OWN = {path.stem for path in (PLUGINS / "module_utils").glob("*.py")} - {"__init__"}

# What each may import of its own kind. A name that is not here yet must find its place.
ALLOWED = {
    "_errors": set(),
    "_options": set(),
    "_preconditions": {"_accept", "_container", "_errors", "_folders", "_model"},
    "_pace": set(),
    "_model": {"_errors"},
    "_patience": {"_errors", "_pace"},
    "_transport": {"_pace"},
    "_entries": set(),
    "_client": {"_entries", "_errors", "_pace", "_transport"},
    "_api": {"_client", "_errors", "_model"},
    "_argspec": {"_errors", "_options"},
    "_accept": {"_errors"},
    "_select": {"_accept", "_errors", "_model"},
    "_scope": {"_model", "_select"},
    "_container": {"_accept", "_folders", "_model"},
    "_machine": {"_container", "_files", "_model"},
    "_files": {"_errors", "_model"},
    "_folders": {"_errors", "_files"},
    "_ceph": {"_errors", "_model", "_pace"},
    "_rbd": {"_ceph", "_errors", "_model"},
    "_watchers": {"_ceph", "_errors", "_model", "_pace", "_rbd"},
    "_leftovers": {"_ceph", "_errors", "_model", "_rbd", "_watchers"},
    "_serving": {"_accept", "_ceph", "_errors", "_pace", "_rbd", "_storage"},
    "_storage": {"_accept", "_errors", "_model"},
    "_controller": {"_files", "_pace", "_recorded"},
    "_lock": {"_accept", "_controller", "_errors", "_files", "_pace"},
    "_database": {"_errors", "_files", "_folders"},
    "_beside": {"_database", "_files", "_folders"},
    "_recorded": {"_model", "_pace"},
    "_force": {"_errors"},
    "_spared": {"_force", "_recorded"},
    "_record": {"_accept", "_beside", "_database", "_errors", "_model", "_recorded", "_spared"},
    "_settlement": {"_model"},
    "_backlog": set(),
    "_batch": {"_backlog", "_errors", "_model", "_settlement"},
    "_polls": {"_api", "_errors", "_model", "_pace", "_settlement"},
    "_throttle": set(),
    "_in_memory": {"_database", "_errors", "_model", "_other_names", "_record", "_recorded", "_salvage"},
    "_power": {"_api", "_backlog", "_batch", "_errors", "_model", "_options", "_pace", "_polls", "_record", "_throttle"},
    "_flags": {"_api", "_errors", "_lock", "_model", "_pace", "_record"},
    "_targets": {"_accept", "_errors", "_model", "_power", "_record", "_select", "_settlement"},
    "_proof": {"_accept", "_api", "_errors", "_lock", "_model", "_pace", "_select"},
    "_bounds": {"_api", "_batch", "_flags", "_model", "_select"},
    "_plan": {"_accept", "_api", "_bounds", "_errors", "_force", "_machine"}
    | {"_model", "_options", "_plan_limits", "_preconditions", "_record", "_scope", "_select"},
    "_plan_limits": {"_model"},
    "_history": {"_api", "_beside", "_earlier", "_errors", "_folders", "_model", "_record", "_report"},
    "_other_names": {"_errors", "_folders", "_record", "_salvage"},
    "_plan_restore": {"_accept", "_api", "_bounds", "_history", "_model", "_plan"}
    | {"_plan_limits", "_preconditions", "_record", "_scope", "_select", "_targets"},
    "_plan_data": {"_accept", "_api", "_model", "_plan", "_record", "_select"},
    "_course": {"_model", "_record"},
    "_report": {"_accept", "_course", "_model", "_record"},
    "_notices": {"_accept", "_errors", "_model", "_record", "_report"},
    "_telling": {"_beside", "_errors", "_files", "_folders", "_notices", "_record", "_report"},
    "_stats": {"_model", "_record", "_report"},
    "_progress": {"_bounds", "_record", "_report"},
    "_report_files": {"_errors", "_files", "_model", "_report"},
    "_salvage": {"_accept", "_beside", "_errors", "_files", "_model", "_record"},
    "_module": {"_api", "_argspec", "_beside", "_client", "_errors", "_lock", "_patience", "_record", "_select", "_transport"},
    "_summary": {"_accept", "_api", "_errors", "_model", "_proof", "_record", "_report"},
    "_earlier": {"_accept", "_errors", "_folders", "_pace", "_record"},
    "_locations": {"_api", "_errors", "_model", "_other_names", "_pace", "_patience", "_plan"},
    "_survey": {"_accept", "_api", "_argspec", "_earlier", "_errors", "_files", "_folders", "_force", "_history", "_locations", "_machine"}
    | {"_model", "_other_names", "_plan", "_plan_data", "_plan_restore", "_preconditions", "_record", "_salvage", "_scope", "_select", "_stats", "_storage"},
    "_status": {"_accept", "_api", "_beside", "_controller", "_earlier", "_errors"}
    | {"_folders", "_lock", "_model", "_other_names", "_record", "_report", "_stats"},
    "_opening": {"_accept", "_api", "_beside", "_controller", "_errors", "_files", "_folders", "_lock", "_model"}
    | {"_module", "_other_names", "_pace", "_patience", "_plan", "_preconditions", "_record", "_report", "_salvage"},
}
DOORS = {
    "time": {"_pace"},
    "subprocess": {"_ceph"},
    "requests": {"_transport"},
    "urllib3": {"_transport"},
    "jmespath": {"_select"},
    "ansible": {"_argspec", "_module"},
}


def imports(path):
    """Full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Ansible does not find relative imports everywhere"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path):
    found = {name[len(UTILS) + 1 :].split(".")[0] for name in imports(path) if name.startswith(f"{UTILS}.")}
    assert found <= OWN, "imports what is not there"
    return found


def code_lines(path):
    """Lines that hold code: no blank ones, no comments, no docstrings or documentation blocks."""
    text = path.read_text(encoding="utf-8")
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        ):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        value = getattr(node, "value", None)
        is_doc = isinstance(node, ast.Expr) or (
            isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("DOCUMENTATION", "EXAMPLES", "RETURN", "READS")
        )
        if is_doc and isinstance(value, ast.Constant) and isinstance(value.value, str):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


@pytest.mark.parametrize("name", sorted(OWN))
def test_imports_go_one_direction(name):
    assert name in ALLOWED, "a new file: say above what it may import"
    assert own_imports(PLUGINS / "module_utils" / f"{name}.py") == ALLOWED[name]


def test_what_is_allowed_has_no_cycle():
    left = dict(ALLOWED)
    while left:
        free = [name for name, needs in left.items() if not needs & set(left)]
        assert free, f"a cycle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library):
    users = {
        path.stem
        for path in (PLUGINS / "module_utils").glob("*.py")
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= DOORS[library]


@pytest.mark.parametrize("module", ["pilw_maintenance_info", "pilw_report"])
def test_what_asks_nothing_of_the_platform_loads_nothing_for_it(module):
    """They are started often, and to load it takes half of their time."""
    said = f"import sys, {UTILS.replace('module_utils', 'modules')}.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", said], env={"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True)
    assert f"{UTILS}._record" in loaded.stdout
    assert not {"requests", f"{UTILS}._survey"} & set(loaded.stdout.split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_can_be_read_in_one_go(path):
    assert code_lines(path) < 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_modules_and_module_utils_import_no_module(path):
    own = [name for name in imports(path) if name.startswith("ansible_collections.")]
    shared = "ansible_collections.pilw.maintenance.plugins.plugin_utils."
    on_the_controller = path.parent.name in ("action", "lookup", "plugin_utils")
    assert all(name.startswith((f"{UTILS}.", shared) if on_the_controller else f"{UTILS}.") for name in own)
    if path.parent.name == "modules":
        others = {name.split(".")[0] for name in imports(path)} - {"__future__", "ansible_collections"}
        assert not others & {"requests", "urllib3", "jmespath", "sqlite3", "subprocess"}
        assert {name for name in imports(path) if name.startswith("ansible.")} <= {"ansible.module_utils.basic.AnsibleModule"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_says_whose_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert "# Copyright (c) 2026, pilw.maintenance contributors\n" in text
    assert "from __future__ import annotations\n" in text
    if path.parent.name == "module_utils":
        assert "# This module_util is private to the pilw.maintenance collection.\n" in text
