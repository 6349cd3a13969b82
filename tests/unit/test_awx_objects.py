# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ceph_maint_awx makes in a controller: surveys that ask for what the roles know, and a workflow that leaves nobody in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


MADE = load("roles/ceph_maint_awx/vars/main.yml")
QUESTIONS = MADE["__ceph_maint_awx_questions"]
TEMPLATES = {template["name"]: template for template in MADE["__ceph_maint_awx_templates"]}
NODES = {node["identifier"]: node for node in MADE["__ceph_maint_awx_nodes"]}
ASKED_OF_ALL = MADE["__ceph_maint_awx_workflow_asks"]
DEFAULTS = load("roles/ceph_maint/defaults/main.yml")
SPEC = load("roles/ceph_maint/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
WAYS = ("success", "failure", "always")
# What may stop, cut, open or start something once it is true.
WORDS = {"ceph_maint_confirm", "ceph_maint_force", "ceph_maint_ceph_is_back"}
# Nodes whose job shows what is closed and what comes next, by their playbook.
SAYS = "ceph_maint_status"


def template_of(node):
    """The template of ours that a node has, if any."""
    found = re.fullmatch(r"\{\{ ceph_maint_awx_prefix \}\} (.+)", node.get("template", ""))
    return TEMPLATES[found.group(1)] if found else None


def leads(name, *ways):
    return [other for way in ways for other in NODES[name].get(way, [])]


def reached(name):
    """All that may run at or after a node."""
    found, todo = set(), [name]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += leads(one, *WAYS)
    return found


# Surveys.


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_for_a_variable_of_the_roles_and_offers_its_default(name):
    question = QUESTIONS[name]
    default = {False: "false", True: "true"}.get(DEFAULTS[name], DEFAULTS[name]) if isinstance(DEFAULTS[name], bool) else DEFAULTS[name]
    assert question["variable"] == name
    # A text that is empty is no list at all.
    assert question["default"] == ("" if default == [] else default)
    assert question["required"] is False
    assert question["question_name"] and question["question_description"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_the_type_of_its_variable(name):
    question = QUESTIONS[name]
    kinds = {"int": "integer", "float": "integer", "bool": "multiplechoice", "str": "text", "raw": "text"}
    # A list may have one entry a line.
    assert question["type"] in (kinds[SPEC[name]["type"]], "textarea" if SPEC[name]["type"] == "raw" else "")
    expected = int if question["type"] == "integer" else str
    assert isinstance(question["default"], expected) and not isinstance(question["default"], bool)
    if question["type"] == "multiplechoice":
        assert question["choices"] == ["false", "true"] and question["default"] == "false"
    if question["type"] == "integer":
        assert question["min"] == 1


def test_every_survey_asks_what_there_is_and_nothing_twice():
    for asks in [ASKED_OF_ALL, *(template["asks"] for template in TEMPLATES.values())]:
        assert set(asks) <= set(QUESTIONS) and len(set(asks)) == len(asks)
    assert {name for template in TEMPLATES.values() for name in template["asks"]} == set(QUESTIONS)


def test_only_what_acts_asks_for_a_go_ahead():
    asking = {name: WORDS & set(template["asks"]) for name, template in TEMPLATES.items()}
    assert {name: words for name, words in asking.items() if words} == {
        "prepare": {"ceph_maint_confirm", "ceph_maint_force"},
        "force": {"ceph_maint_confirm"},
        "restore": {"ceph_maint_confirm", "ceph_maint_ceph_is_back"},
    }


def test_no_template_has_a_word_of_the_operator_already():
    for template in TEMPLATES.values():
        assert set(template["variables"]) <= {"ceph_maint_expect"}
    assert WORDS <= set(MADE["__ceph_maint_awx_never_set"])


def test_the_answers_of_the_workflow_outdo_no_node():
    """In AWX they have the last word, over what a node gives."""
    given = {name for node in NODES.values() for name in node.get("extra_data", {})}
    assert not set(ASKED_OF_ALL) & (given | WORDS)


def test_what_the_jobs_of_the_workflow_ask_the_workflow_asks_too():
    used = {name for node in NODES.values() if template_of(node) for name in template_of(node)["asks"]}
    assert used - WORDS == set(ASKED_OF_ALL)


def test_the_project_has_a_playbook_for_each_template():
    for folder in ("playbooks", "docs/awx_project"):
        assert {template["playbook"] for template in TEMPLATES.values()} <= {path.stem for path in (ROOT / folder).glob("*.yml")}
    for path in (ROOT / "docs" / "awx_project").glob("*.yml"):
        (play,) = load(path)
        assert play["ansible.builtin.import_playbook"] == f"pilw.maintenance.{path.stem}"
        assert (ROOT / "playbooks" / path.name).is_file()


# The workflow.


@pytest.mark.parametrize("name", NODES)
def test_a_node_gives_only_what_its_template_asks(name):
    template, given = template_of(NODES[name]), NODES[name].get("extra_data", {})
    assert set(given) <= set(template["asks"] if template else [])
    for variable, value in given.items():
        assert value in QUESTIONS[variable]["choices"]


def test_each_step_that_acts_has_the_go_ahead_of_the_decision_before_it():
    acting = {name: NODES[name]["extra_data"] for name in NODES if "extra_data" in NODES[name]}
    assert acting == {
        "prepare": {"ceph_maint_confirm": "true"},
        "force": {"ceph_maint_confirm": "true"},
        "restore": {"ceph_maint_confirm": "true", "ceph_maint_ceph_is_back": "true"},
    }
    for name in ("prepare", "force"):
        before = [node for node in NODES if name in leads(node, *WAYS)]
        assert len(before) == 1 and name in leads(before[0], "success") and "template" not in NODES[before[0]]


def test_there_is_one_beginning_no_cycle_and_nothing_loose():
    targets = {other for name in NODES for other in leads(name, *WAYS)}
    assert set(NODES) - targets == {"plan"} and targets <= set(NODES)
    assert reached("plan") == set(NODES)
    for name in NODES:
        assert not any(name in reached(other) for other in leads(name, *WAYS)), f"a cycle at {name}"


@pytest.mark.parametrize("name", sorted(reached("prepare")))
def test_each_failure_after_a_prepare_began_ends_where_it_is_said_what_is_left(name):
    template = template_of(NODES[name])
    says = template is not None and template["playbook"] == SAYS
    after = leads(name, "failure", "always")
    assert says or after
    for other in after:
        found = template_of(NODES[other])
        assert found is not None and found["playbook"] == SAYS


@pytest.mark.parametrize("name", NODES)
def test_a_workflow_that_ends_by_a_failure_shows_as_failed(name):
    """AWX takes a failure for a success when it leads to a node that succeeds."""
    for other in leads(name, "failure"):
        expects = template_of(NODES[other])["variables"]["ceph_maint_expect"]
        # It fails while something is left, and of the failures that lead there none leaves nothing; or it is the look that decides.
        assert (expects, name) == ("left_over", "prepare") or (expects == "nothing_left" and not leads(other, *WAYS) and name != "prepare")
    if name == "left_over":
        # With nothing closed and nothing open its own failure is the end.
        assert not leads(name, "failure", "always")


def test_only_a_proof_leads_to_ceph_and_only_ceph_to_the_restore():
    for work in ("ceph_work", "ceph_done"):
        assert {(name, way) for name in NODES for way in WAYS if work in leads(name, way)} == {("prepare", "success"), ("verify", "success")}
    assert {(name, way) for name in NODES for way in WAYS if "restore" in leads(name, way)} == {("ceph_work", "success"), ("ceph_done", "success")}


def test_power_is_cut_only_after_the_look_and_the_decision():
    assert {(name, way) for name in NODES for way in WAYS if "force" in leads(name, way)} == {("approve_force", "success")}
    assert {(name, way) for name in NODES for way in WAYS if "approve_force" in leads(name, way)} == {("left_over", "success")}
    assert {(name, way) for name in NODES for way in WAYS if "left_over" in leads(name, way)} == {("prepare", "failure")}


def test_before_the_first_decision_nothing_acts():
    assert leads("plan", *WAYS) == ["approve"] and leads("approve", *WAYS) == ["prepare"]
    assert template_of(NODES["plan"])["playbook"] == "ceph_maint_plan"
