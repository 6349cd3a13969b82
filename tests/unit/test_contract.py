# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written in one place and promised in another says the same in both."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.pilw.maintenance"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
# Those that ask Ceph, and not the platform.
CEPH_MODULES = [module for module in MODULES if module.startswith("pilw_ceph_")]
# Those that ask the platform: they share the connection. Of the others one just makes a page of a file.
API_MODULES = [module for module in MODULES if module not in (*CEPH_MODULES, "pilw_report")]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
COMPARED = ("type", "elements", "choices", "default", "required")


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def constant(path, name):
    """A text that a Python file assigns to C(name), without running the file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} has no {name}")


def documentation(module):
    return yaml.safe_load(constant(f"plugins/modules/{module}.py", "DOCUMENTATION"))


def with_fragments(module, part):
    found = {}
    doc = documentation(module)
    for fragment in doc.get("extends_documentation_fragment", []):
        name, _dot, variant = fragment.replace("pilw.maintenance.", "").partition(".")
        text = constant(f"plugins/doc_fragments/{name}.py", variant.upper() or "DOCUMENTATION")
        for key, value in (yaml.safe_load(text).get(part) or {}).items():
            found.setdefault(key, {}).update(value)
    for key, value in (doc.get(part) or {}).items():
        found.setdefault(key, {}).update(value)
    return found


class Caught(Exception):
    pass


def specification(module, monkeypatch):
    """What main() hands to AnsibleModule."""

    def catch(**options):
        raise Caught(options)

    loaded = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    monkeypatch.setattr(loaded, "AnsibleModule", catch)
    with pytest.raises(Caught) as caught:
        loaded.main()
    return caught.value.args[0]


def compared(option):
    shown = {key: option[key] for key in COMPARED if option.get(key) not in (None, False)}
    shown.setdefault("type", "str")
    return shown


# Modules.


def test_the_action_group_holds_every_module():
    assert load("meta/runtime.yml")["action_groups"] == {
        "pilw": API_MODULES,
        "pilw_ceph": CEPH_MODULES,
    }


@pytest.mark.parametrize("module", MODULES)
def test_what_is_documented_is_what_is_taken(module, monkeypatch):
    documented = {name: compared(option) for name, option in with_fragments(module, "options").items()}
    spec = specification(module, monkeypatch)
    taken = {name: compared(option) for name, option in spec["argument_spec"].items()}
    assert documented == taken


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_how_it_behaves(module, monkeypatch):
    attributes = with_fragments(module, "attributes")
    assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)
    assert all(attribute.get("support") and attribute.get("description") for attribute in attributes.values())
    groups = [f"pilw.maintenance.{name}" for name, members in (("pilw", API_MODULES), ("pilw_ceph", CEPH_MODULES)) if module in members]
    assert attributes.get("action_group", {}).get("membership", []) == groups
    assert attributes["check_mode"]["support"] == "full"
    assert specification(module, monkeypatch)["supports_check_mode"] is True


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_documented(module):
    doc = documentation(module)
    assert doc["module"] == module
    assert doc["version_added"] and doc["short_description"] and doc["author"]
    examples = yaml.safe_load(constant(f"plugins/modules/{module}.py", "EXAMPLES"))
    shown = [example[f"pilw.maintenance.{module}"] for example in examples if f"pilw.maintenance.{module}" in example]
    assert shown
    for options in shown:
        assert set(options) <= set(with_fragments(module, "options"))
    assert yaml.safe_load(constant(f"plugins/modules/{module}.py", "RETURN"))


@pytest.mark.parametrize("module", API_MODULES)
def test_the_key_is_no_logged_and_the_run_token_is_shown(module, monkeypatch):
    spec = specification(module, monkeypatch)["argument_spec"]
    assert spec["api_key"]["no_log"] is True
    assert spec["run"]["no_log"] is False


# The words of the interface.

DEFAULTS = {
    "ceph_maint_host": "localhost",
    "ceph_maint_validate_certs": True,
    "ceph_maint_concurrency": 20,
    "ceph_maint_poll_interval": 5,
    "ceph_maint_proof_interval": 30,
    "ceph_maint_settle_timeout": 300,
    "ceph_maint_stop_timeout": 600,
    "ceph_maint_force": False,
    "ceph_maint_force_timeout": 300,
    "ceph_maint_start_timeout": 900,
    "ceph_maint_start_retries": 2,
    "ceph_maint_canary": 3,
    "ceph_maint_max_fail_percentage": 20,
    "ceph_maint_max_age": 24,
    "ceph_maint_lease": 30,
    "ceph_maint_window": 0,
    "ceph_maint_report_dir": "",
    "ceph_maint_report_fetch": False,
    "ceph_maint_report_fetch_dir": "~/pilw-maintenance-reports",
    "ceph_maint_plan_file": "",
    "ceph_maint_status_file": "",
    "ceph_maint_expect": "",
    "ceph_maint_record_dir_persistent": False,
    "ceph_maint_notice_dir": "",
    "ceph_maint_notice_templates": "",
    "ceph_maint_notify_tasks": "",
    "ceph_maint_notify_before": False,
    "ceph_maint_notify_timeout": 60,
    "ceph_maint_api_wait": 1800,
    "ceph_maint_verify_hold": 60,
    "ceph_maint_fail_on_unrecovered": True,
    "ceph_maint_confirm": False,
    "ceph_maint_ceph_is_back": False,
    "ceph_maint_ceph_host": "",
    "ceph_maint_ceph_command": ["ceph"],
    "ceph_maint_osd_flags": ["noout"],
}
# Where a module has the same wish, it has the same value.
SAME = {
    ("pilw_vm_power", "concurrency"): 20,
    ("pilw_vm_power", "poll_interval"): 5,
    ("pilw_vm_power", "timeout"): 600,
    ("pilw_vm_power", "force"): False,
    ("pilw_vm_power", "retries"): 2,
    ("pilw_vm_power", "canary"): 3,
    ("pilw_vm_power", "max_fail_percentage"): 20,
    ("pilw_vm_power", "lease"): 30,
    ("pilw_vm_power", "validate_certs"): True,
    ("pilw_vm_list", "settle_timeout"): 300,
    ("pilw_vm_list", "poll_interval"): 5,
    ("pilw_maintenance", "proof_interval"): 30,
    ("pilw_maintenance", "max_age"): 24,
    ("pilw_maintenance", "lease"): 30,
    ("pilw_maintenance_info", "concurrency"): 20,
    ("pilw_maintenance_info", "stop_timeout"): 600,
    ("pilw_maintenance_info", "force_timeout"): 300,
    ("pilw_maintenance_info", "start_timeout"): 900,
    ("pilw_maintenance_info", "max_age"): 24,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_of_the_roles(name):
    value = load("roles/ceph_maint/defaults/main.yml")[name]
    assert (value, type(value)) == (DEFAULTS[name], type(DEFAULTS[name]))


@pytest.mark.parametrize(("module", "option"), SAME)
def test_defaults_of_the_modules(module, option):
    assert with_fragments(module, "options")[option]["default"] == SAME[module, option]


def test_the_key_and_the_host_come_from_the_runbooks_environment():
    defaults = load("roles/ceph_maint/defaults/main.yml")
    assert defaults["ceph_maint_api_host"] == "{{ lookup('ansible.builtin.env', 'API_HOST') }}"
    assert defaults["ceph_maint_api_key"] == "{{ lookup('ansible.builtin.env', 'ADMIN_APIKEY') }}"


# Roles.


@pytest.mark.parametrize("role", ROLES)
def test_role_options_are_its_defaults(role):
    entries = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    options = {name: option.get("default") for name, option in (entries["main"].get("options") or {}).items()}
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    # Ansible prints the whole specification, templated, when any variable is refused.
    secrets = [name for name in options if name.endswith("api_key")]
    assert options == {**defaults, **dict.fromkeys(secrets)}
    for entry in entries.values():
        assert entry["short_description"] and entry["description"]
        for option in (entry.get("options") or {}).values():
            assert option["type"] and option["description"]


def test_key_option_of_the_role_takes_a_vault_value():
    """Before 2.19 Ansible fails on no_log with a value of !vault."""
    for role in ROLES:
        entries = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
        assert not [name for entry in entries.values() for name, option in (entry.get("options") or {}).items() if "no_log" in option]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "ceph_maint"])
def test_the_roles_share_their_variables(role):
    assert load(f"roles/{role}/meta/main.yml")["dependencies"] == [{"role": "pilw.maintenance.ceph_maint"}]


def test_every_entry_point_of_a_role_has_its_tasks_and_the_other_way_round():
    for role in ROLES:
        entries = set(load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"])
        tasks = {path.stem for path in (ROOT / "roles" / role / "tasks").glob("*.yml")}
        assert {name for name in tasks if name.startswith("only_")} == entries - {"main"}


@pytest.mark.parametrize("path", sorted((ROOT / "roles").glob("*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_tasks_use_only_variables_that_are_documented(path):
    own = load(f"roles/{path.parts[-3]}/meta/argument_specs.yml")["argument_specs"]["main"].get("options") or {}
    options = {*load("roles/ceph_maint/meta/argument_specs.yml")["argument_specs"]["main"]["options"], *own}
    text = re.sub(r"(?m)^\s*#.*$|pilw\.maintenance\.\w+", "", path.read_text(encoding="utf-8"))
    used = set(re.findall(r"(?<![\w./])ceph_maint_\w+", text))
    groups = {"ceph_maint_safe", "ceph_maint_restored", "ceph_maint_hosts"}
    for_the_operator = {"ceph_maint_notice", "ceph_maint_stats"}
    assert used - groups - options - for_the_operator - set(ROLES) == set()


@pytest.mark.parametrize("role", ["ceph_maint_prepare", "ceph_maint_restore"])
def test_role_checks_every_variable_at_its_entry(role):
    """Whatever its entry point: what it depends on runs first, and has no module of the collection before or after the check."""
    assert load(f"roles/{role}/meta/main.yml")["dependencies"] == [{"role": "pilw.maintenance.ceph_maint"}]
    text = (ROOT / "roles" / "ceph_maint" / "tasks" / "main.yml").read_text(encoding="utf-8")
    assert "lookup('pilw.maintenance.variable_problems')" in text and "pilw.maintenance.pilw_" not in text


# Playbooks.


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_chooses_its_host_and_ends_with_a_guard(path):
    plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    imported = [play.get("ansible.builtin.import_playbook") for play in plays]
    if path.stem == "awx_setup":
        # Asks no platform and has no record: it runs where Ansible does.
        assert plays[0]["hosts"] == "{{ lookup('pilw.maintenance.whole_run', 'localhost') }}" and plays[0]["gather_facts"] is False
        assert imported[1:] == []
        return
    if path.stem == "ceph_maintenance":
        # Made of the others, each of which has its own.
        assert imported[1] == "ceph_maint_prepare.yml" and imported[-1] == "ceph_maint_restore.yml"
        assert imported[-2] == "internal/require_ceph_done.yml"
        return
    assert imported[0] == "internal/maintenance_host.yml"
    # Of what nothing is built upon the exit status is enough: whole_run lets no part be left out.
    guarded = path.stem not in ("ceph_maint_plan", "ceph_maint_close", "ceph_maint_status")
    if guarded:
        assert imported[-1].startswith("internal/require_")
        assert (path.parent / imported[-1]).exists()
    for play in plays[1:-1] if guarded else plays[1:]:
        assert play["hosts"] == "ceph_maint_hosts"
        assert play["gather_facts"] is False


@pytest.mark.parametrize(
    ("name", "guard"),
    [
        ("ceph_maint_prepare", "require_safe"),
        ("ceph_maint_verify", "require_safe"),
        ("ceph_maint_force", "require_safe"),
        ("ceph_maint_restore", "require_restored"),
    ],
)
def test_what_others_build_upon_is_guarded_by_its_own_proof(name, guard):
    plays = load(f"playbooks/{name}.yml")
    assert plays[-1]["ansible.builtin.import_playbook"] == f"internal/{guard}.yml"


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks" / "internal").glob("*.yml")), ids=lambda path: path.stem)
def test_no_choice_of_tags_skips_a_guard(path):
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        assert play["tags"] == ["always"]
        assert play["gather_facts"] is False


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").rglob("*.yml")), ids=lambda path: path.stem)
def test_no_strategy_of_the_environment_is_taken(path):
    """Under another one add_host is refused, and a guard would not wait for all hosts."""
    plays = [play for play in yaml.safe_load(path.read_text(encoding="utf-8")) if "hosts" in play]
    assert [play.get("strategy") for play in plays] == ["ansible.builtin.linear"] * len(plays)


def test_every_group_that_is_made_is_refused_when_the_inventory_has_it():
    made = set()
    for path in [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        text = path.read_text(encoding="utf-8")
        made |= set(re.findall(r"group_by:\n +key: (\w+)", text)) | set(re.findall(r"\n +groups: \[(\w+)\]", text))
    assert made == set(importlib.import_module(f"{COLLECTION}.plugins.lookup.whole_run").GROUPS)


# The README, and what messages point to.


def public_names():
    variables = load("roles/ceph_maint/defaults/main.yml")
    return [*MODULES, *ROLES, *(path.stem for path in PLAYBOOKS), *variables]


@pytest.mark.parametrize("name", dict.fromkeys(public_names()))
def test_the_readme_names_everything(name):
    assert re.search(rf"(?<!\w){name}(?!\w)", (ROOT / "README.md").read_text(encoding="utf-8"))


def spoken():
    """Variables and playbooks that the texts of the product point people to."""
    found = set()
    for path in [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"-e '?\{?\"?(ceph_maint_\w+)", text))
        found |= set(re.findall(r"pilw\.maintenance\.(ceph_maint\w+)", text))
        found |= {name for name in re.findall(r"\bSet (ceph_maint_\w+)|with (ceph_maint_\w+)", text) for name in name if name}
    return found


@pytest.mark.parametrize("name", sorted(spoken()))
def test_every_way_on_that_a_message_prints_exists(name):
    assert name in public_names()


def test_the_collection_file_agrees_with_itself():
    galaxy = load("galaxy.yml")
    assert (galaxy["namespace"], galaxy["name"]) == ("pilw", "maintenance")
    versions = {documentation(module)["version_added"] for module in MODULES}
    assert versions <= {galaxy["version"], "0.1.0"}
    needs = load("meta/runtime.yml")["requires_ansible"]
    for role in ROLES:
        info = load(f"roles/{role}/meta/main.yml")["galaxy_info"]
        assert needs == f">={info['min_ansible_version']}.0"
