# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each argument that the role gives to a module of awx.awx is one that the real module takes, and its fixed values too."""

from __future__ import annotations

import importlib
import sys

import pytest
import yaml

from awx.conftest import MODULES, ROOT

FOLDER = ROOT / "roles" / "ceph_maint_awx" / "tasks"


def tasks(found):
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


USED = [
    (path.stem, task["name"], key.removeprefix("awx.awx."), task[key])
    for path in sorted(FOLDER.glob("*.yml"))
    for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")))
    for key in task
    if key.startswith("awx.awx.")
]


class Caught(Exception):
    pass


def specification(name, monkeypatch):
    """What main() hands to the class that all modules of awx.awx share."""

    def catch(**options):
        raise Caught(options)

    # The finder of Ansible, which a run of it leaves in a process, has places of its own.
    monkeypatch.setattr(sys, "path", [str(MODULES), *sys.path])
    package = importlib.import_module("ansible_collections")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(MODULES / "ansible_collections")])
    module = importlib.import_module(f"ansible_collections.awx.awx.plugins.modules.{name}")
    monkeypatch.setattr(module, "ControllerAPIModule", catch)
    with pytest.raises(Caught) as caught:
        module.main()
    return caught.value.args[0]


def test_the_modules_are_there():
    assert (MODULES / "ansible_collections" / "awx" / "awx").is_dir(), "run tests/tools/awx_modules.py first"
    assert len(USED) >= 12


@pytest.mark.parametrize(("file", "task", "name", "arguments"), USED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_takes_what_it_is_given(file, task, name, arguments, monkeypatch):
    options = specification(name, monkeypatch)
    spec = options["argument_spec"]
    # Aliases are left to others: a name that is documented as such stays.
    assert set(arguments) <= set(spec)
    assert {key for key, option in spec.items() if option.get("required")} <= set(arguments)
    for keys in options.get("mutually_exclusive", []):
        assert len(set(keys) & set(arguments)) <= 1
    kinds = {"bool": bool, "int": int, "dict": dict, "list": list, "str": str}
    for key, value in arguments.items():
        if not (isinstance(value, str) and "{{" in value):
            assert isinstance(value, kinds[spec[key].get("type", "str")]), key
            assert value in spec[key].get("choices", [value]), key


def test_all_that_may_be_asked_at_a_launch_is_said_not_to_be(monkeypatch):
    given = {name: set(arguments) for _file, _task, name, arguments in USED}
    for name in ("job_template", "workflow_job_template"):
        asks = {key for key in specification(name, monkeypatch)["argument_spec"] if key.startswith("ask_")}
        assert asks and asks <= given[name]


def test_nothing_says_where_the_controller_is():
    for _file, _task, _name, arguments in USED:
        assert not [key for key in arguments if key.startswith(("controller_", "tower_", "validate_"))]
