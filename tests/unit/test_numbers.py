# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No number of any module makes it wait for ever, end in a traceback or let through what it is there to stop."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import client
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import command, readiness
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module import options
from ansible_collections.pilw.maintenance.plugins.modules import pilw_maintenance_info
from harness.in_process import MODULES, run_module

UUID = "5b0cfa4e-0000-4000-8000-000000000001"
NEEDED = {
    "pilw_host_flags": {"is_accepting_workloads": False},
    "pilw_maintenance": {"state": "opened"},
    "pilw_maintenance_info": {"gather": "plan"},
    "pilw_vm_power": {"state": "stopped", "vms": [UUID]},
    "pilw_vm_status": {"vms": [UUID]},
}


class Taken(Exception):
    pass


def numbers(module, monkeypatch):
    """The options of a module that are numbers."""

    def take(argument_spec, **_rules):
        raise Taken(argument_spec)

    with monkeypatch.context() as patch:
        patch.setattr(module, "AnsibleModule", take)
        with pytest.raises(Taken) as taken:
            module.main()
    return {name: option for name, option in taken.value.args[0].items() if option["type"] in ("int", "float")}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_number_is_endless_or_negative(module, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(client, "Client", lambda *_given, **_named: asked.append("the platform"))
    name = module.__name__.rpartition(".")[2]
    given = {"api_host": "127.0.0.1:1", "api_key": "k", **NEEDED.get(name, {})}
    given.update({"record_dir": str(tmp_path / "records")} if "maintenance" in name else {})
    found = numbers(module, monkeypatch)
    assert "request_timeout" in found
    options.check_limits({name: option.get("default") for name, option in found.items()})
    for name, option in found.items():
        # Ansible itself takes no int that is none of the numbers.
        for wrong in (-1, 10**9) if option["type"] == "int" else (-1, "-0.1", "nan", "inf", "-inf", 1e9, "1e300"):
            result = run_module(module, {**given, name: wrong})
            assert result.get("failed"), (name, wrong)
            assert result["msg"].startswith(f"{name} must be ") and result["msg"].endswith("Nothing was changed."), result["msg"]
            assert not asked and not list(tmp_path.iterdir()), (name, wrong)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ({"api_wait": float("inf")}, "at most 1000000, and is inf"),
        ({"max_age": float("nan")}, "at least 0, and is nan"),
        ({"max_age": -1.0}, "at least 0, and is -1"),
        ({"concurrency": 0}, "at least 1, and is 0"),
        ({"lease": 0.0}, "more than 0 seconds, and is 0"),
        ({"request_timeout": 0.0}, "more than 0 seconds, and is 0"),
    ],
)
def test_the_words(number, words):
    with pytest.raises(InputError) as caught:
        options.check_limits(number)
    assert str(caught.value) == f"{next(iter(number))} must be {words}. Nothing was changed."


def test_numbers_that_are_meant_are_taken():
    options.check_limits({"api_wait": 0.0, "hold": 0.0, "canary": 0, "max_age": 1000000.0, "lease": 0.5, "concurrency": 1})
    options.check_limits({"force": False, "validate_certs": True, "record": None, "vms": [], "reason": "nan"})


def test_a_flag_that_ceph_does_not_have_is_refused_before_anything_is_done(tmp_path):
    """Written down first and refused later, it could never be unset, and no restore would come past it."""
    words = "Ceph has no flag noouts that can be set"
    given = {"gather": "plan", "api_host": "127.0.0.1:1", "api_key": "k", "record_dir": str(tmp_path / "records")}
    result = run_module(pilw_maintenance_info, {**given, "osd_flags": "noout,noouts"})
    assert result.get("failed") and result["msg"].startswith(words), result
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=words):
        readiness.put_flags(command.Ceph(["no-such/ceph"], 1.0), ["noout", "noouts"], True, 0.0, False)
