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
UTILS_FOLDER = PLUGINS / "module_utils"
BASE = "base"  # the files beside the packages

# What each package may import, beside itself and the base. A package that is not here yet must find its place.
ALLOWED = {
    BASE: set(),
    "_api": set(),
    "_record": {"_api"},
    "_ceph": {"_api"},
    "_environment": {"_api", "_record"},
    "_power": {"_api", "_record"},
    "_report": {"_api", "_record"},
    "_plan": {"_api", "_environment", "_power", "_record", "_report"},
    "_notices": {"_api", "_record", "_report"},
    "_module": {"_api", "_record"},
    "_operations": {"_api", "_ceph", "_environment", "_module", "_plan", "_record", "_report"},
}
DOORS = {
    "time": {"_clock"},
    "subprocess": {"_ceph/command"},
    "requests": {"_api/transport"},
    "urllib3": {"_api/transport"},
    "jmespath": {"_api/selection"},
    "ansible": {"_module/options", "_module/runner"},
}


def imports(path):
    """Full names of all that a file imports, wherever in it; relative ones begin with the package that they are relative to."""
    parts = path.relative_to(PLUGINS).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            lead = [*UTILS.split(".")[:-1], *parts[: -node.level]] if node.level else []
            stem = ".".join([*lead, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def place(path):
    """The file as its package and name, such as _api/transport."""
    return path.relative_to(UTILS_FOLDER).with_suffix("").as_posix()


def own_imports(path):
    """The files of module_utils that a file imports."""
    found = set()
    for name in imports(path):
        if name.startswith(f"{UTILS}."):
            parts = name[len(UTILS) + 1 :].split(".")
            known = [place for place in ("/".join(parts[:count]) for count in (1, 2)) if place in OWN]
            assert known, f"{path} imports {name}, which is not there"
            found.add(known[0])
    return found


def package(place):
    return place.split("/")[0] if "/" in place else BASE


OWN = {place(path): path for path in UTILS_FOLDER.rglob("*.py") if path.stem != "__init__"}


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


@pytest.mark.parametrize("name", sorted({package(name) for name in OWN}))
def test_imports_go_one_direction(name):
    assert name in ALLOWED, "a new package: say above what it may import"
    files = [path for place, path in OWN.items() if package(place) == name]
    found = {package(place) for path in files for place in own_imports(path)}
    assert found - {BASE, name} == ALLOWED[name]


@pytest.mark.parametrize("path", OWN.values(), ids=OWN.keys())
def test_files_of_the_collection_are_imported_relatively(path):
    assert "ansible_collections" not in path.read_text(encoding="utf-8")


def without_cycle(graph):
    left = dict(graph)
    while left:
        free = [name for name, needs in left.items() if not needs & set(left)]
        assert free, f"a cycle among {sorted(left)}"
        for name in free:
            del left[name]


def test_neither_packages_nor_files_have_a_cycle():
    without_cycle(ALLOWED)
    without_cycle({place: own_imports(path) for place, path in OWN.items()})


# What can send a write, say safe, or choose what is started or forced.
CORE = ("_errors", "_accept", "_clock", "_defaults", "_api/", "_record/", "_power/", "_operations/verify", "_ceph/assessment")


def test_core_imports_nothing_outside():
    inside = {place for place in OWN if place.startswith(CORE)}
    assert {needed for place in inside for needed in own_imports(OWN[place])} <= inside
    assert all(name.strip("/") in (PLUGINS.parent / "docs" / "how_it_works.md").read_text(encoding="utf-8") for name in CORE)


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library):
    users = {place for place, path in OWN.items() if any(name.split(".")[0] == library for name in imports(path))}
    assert users <= DOORS[library]


@pytest.mark.parametrize("module", ["pilw_maintenance_info", "pilw_report"])
def test_what_asks_nothing_of_the_platform_loads_nothing_for_it(module):
    """They are started often, and to load it takes half of their time."""
    said = f"import sys, {UTILS.replace('module_utils', 'modules')}.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", said], env={"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True)
    assert f"{UTILS}._record.record" in loaded.stdout
    assert not {"requests", f"{UTILS}._operations.plan"} & set(loaded.stdout.split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PLUGINS).as_posix())
def test_a_file_can_be_read_in_one_go(path):
    assert code_lines(path) < 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PLUGINS).as_posix())
def test_modules_and_module_utils_import_no_module(path):
    own = [name for name in imports(path) if name.startswith("ansible_collections.")]
    shared = "ansible_collections.pilw.maintenance.plugins.plugin_utils."
    on_the_controller = path.parent.name in ("action", "lookup", "plugin_utils")
    assert all(name.startswith((f"{UTILS}.", shared) if on_the_controller else f"{UTILS}.") for name in own)
    if path.parent.name == "modules":
        others = {name.split(".")[0] for name in imports(path)} - {"__future__", "ansible_collections"}
        assert not others & {"requests", "urllib3", "jmespath", "sqlite3", "subprocess"}
        assert {name for name in imports(path) if name.startswith("ansible.")} <= {"ansible.module_utils.basic.AnsibleModule"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PLUGINS).as_posix())
def test_each_file_says_whose_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert "# Copyright (c) 2026, pilw.maintenance contributors\n" in text
    assert "from __future__ import annotations\n" in text
    if UTILS_FOLDER in path.parents:
        assert "# This module_util is private to the pilw.maintenance collection.\n" in text
