# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook awx_setup with the real modules of awx.awx, on a simulated controller."""

from __future__ import annotations

import json

import pytest

from awx.conftest import GIVEN, KEY, ROOT, TOKEN, URL, Administrator
from awx.controller import ENCRYPTED

ALL = ("plan", "prepare", "left over", "force", "verify", "restore", "report", "status")
NODES = ("approve", "approve_force", "ceph_done", "force", "left_over", "plan", "prepare", "report", "restore", "verify")


def template(name: str) -> str:
    return f"Ceph maintenance {name}"


# What is made.


@pytest.mark.every_core
def test_everything_is_made_in_one_run(first):
    awx, run = first
    assert run.rc == 0, run.text
    assert awx.names("job_templates") == sorted(["Work on Ceph", *map(template, ALL)])
    assert awx.names("workflow_job_templates") == awx.names("projects") == awx.names("inventories") == ["Ceph maintenance"]
    assert awx.names("workflow_job_template_nodes") == sorted(NODES)


def test_a_second_run_writes_nothing_and_needs_no_key(made):
    run = made.set_up(env={"ADMIN_APIKEY": ""})
    assert (run.rc, run.changed, made.awx.writes) == (0, 0, []), run.text


def test_the_key_is_in_the_controller_and_nowhere_else(first):
    awx, run = first
    credential = awx.named("credentials", "Ceph maintenance cloud")
    assert credential["inputs"] == {"api_host": "api.example.com", "api_key": KEY}
    assert awx.shown("credentials", credential)["inputs"]["api_key"] == ENCRYPTED
    kind = awx.named("credential_types", "Pilw cloud")
    assert kind["injectors"] == {"env": {"API_HOST": "{{ api_host }}", "ADMIN_APIKEY": "{{ api_key }}"}}
    assert sorted(kind["inputs"]["required"]) == ["api_host", "api_key"]
    assert KEY not in run.text and TOKEN not in run.text


def test_inventory_and_project_are_as_given(first):
    awx = first[0]
    host = awx.named("hosts", "maint1")
    assert json.loads(host["variables"]) == GIVEN["ceph_maint_awx_host_variables"] and host["enabled"]
    project = awx.named("projects", "Ceph maintenance")
    assert (project["scm_url"], project["scm_type"], project["scm_update_on_launch"]) == (URL, "git", True)


@pytest.mark.every_core
def test_nothing_can_be_changed_at_a_launch_but_what_is_asked(first):
    awx = first[0]
    for name in ALL:
        found = awx.named("job_templates", template(name))
        assert not [key for key, value in found.items() if key.startswith("ask_") and value]
        assert (found["allow_simultaneous"], found["verbosity"], found["timeout"], found["job_type"]) == (False, 0, 0, "run")
        assert awx.linked("job_templates", template(name), "credentials") == ["Ceph maintenance cloud", "maintenance ssh"]
        expected = {"left over": {"ceph_maint_expect": "left_over"}, "report": {"ceph_maint_expect": "nothing_left"}}.get(name, {})
        assert json.loads(found["extra_vars"]) == {"ceph_maint_host": "maint1", **expected}
        spec = awx.surveys.get(("job_templates", found["id"]), {}).get("spec", [])
        assert found["survey_enabled"] == bool(spec)
    prepare = awx.surveys["job_templates", awx.named("job_templates", template("prepare"))["id"]]["spec"]
    defaults = {one["variable"]: one["default"] for one in prepare}
    assert (defaults["ceph_maint_stop_timeout"], defaults["ceph_maint_confirm"]) == (600, "false")
    workflow = awx.named("workflow_job_templates", "Ceph maintenance")
    assert not [key for key, value in workflow.items() if key.startswith("ask_") and value]
    assert (workflow["allow_simultaneous"], workflow["survey_enabled"]) == (False, True)


@pytest.mark.every_core
def test_the_nodes_lead_where_they_should(first):
    awx = first[0]
    kind = "workflow_job_template_nodes"
    ways = {(name, way): awx.linked(kind, name, f"{way}_nodes") for name in NODES for way in ("success", "failure", "always")}
    assert {key: value for key, value in ways.items() if value} == {
        ("plan", "success"): ["approve"],
        ("approve", "success"): ["prepare"],
        ("prepare", "success"): ["ceph_done"],
        ("prepare", "failure"): ["left_over"],
        ("left_over", "success"): ["approve_force"],
        ("approve_force", "success"): ["force"],
        ("approve_force", "failure"): ["report"],
        ("force", "success"): ["verify"],
        ("force", "failure"): ["report"],
        ("verify", "success"): ["ceph_done"],
        ("verify", "failure"): ["report"],
        ("ceph_done", "success"): ["restore"],
        ("ceph_done", "failure"): ["report"],
        ("restore", "always"): ["report"],
    }
    assert awx.named(kind, "restore")["extra_data"] == {"ceph_maint_confirm": "true", "ceph_maint_ceph_is_back": "true"}
    decision = awx.unified(awx.named(kind, "approve_force")["unified_job_template"])
    assert (decision["name"], decision["timeout"]) == ("Cut power?", 0)


# What a later run changes.


def test_a_changed_variable_changes_just_that(made):
    run = made.set_up(ceph_maint_awx_settings={"ceph_maint_stop_timeout": 1200}, ceph_maint_awx_job_timeout=-1)
    assert run.rc == 0, run.text
    assert {tuple(path.split("/")[3:4] + path.split("/")[5:-1]) for _method, path in made.awx.writes} == {
        ("job_templates",),
        ("job_templates", "survey_spec"),
        ("workflow_job_templates", "survey_spec"),
    }
    prepare = made.awx.named("job_templates", template("prepare"))
    asked = {one["variable"]: one for one in made.awx.surveys["job_templates", prepare["id"]]["spec"]}
    assert (prepare["timeout"], asked["ceph_maint_stop_timeout"]["default"]) == (-1, 1200)
    assert json.loads(prepare["extra_vars"])["ceph_maint_stop_timeout"] == 1200


def test_ones_own_work_on_ceph_takes_the_place_of_the_word_and_is_left_as_it_is(made):
    awx = made.awx
    before = dict(awx.named("job_templates", "Work on Ceph"))
    run = made.set_up(ceph_maint_awx_ceph_template="Work on Ceph", ceph_maint_awx_notifications=["on call", "mail"])
    assert run.rc == 0, run.text
    kind = "workflow_job_template_nodes"
    assert "ceph_done" not in awx.names(kind)
    assert awx.named(kind, "ceph_work")["unified_job_template"] == before["id"]
    assert awx.linked(kind, "prepare", "success_nodes") == awx.linked(kind, "verify", "success_nodes") == ["ceph_work"]
    for when in ("started", "success", "error", "approvals"):
        assert awx.linked("workflow_job_templates", "Ceph maintenance", f"notification_templates_{when}") == ["mail", "on call"]
    run = made.set_up()
    assert run.rc == 0, run.text
    assert "ceph_work" not in awx.names(kind) and awx.linked(kind, "ceph_done", "success_nodes") == ["restore"]
    assert awx.named("job_templates", "Work on Ceph") == before
    # Nobody asked to have them removed.
    assert awx.linked("workflow_job_templates", "Ceph maintenance", "notification_templates_error") == ["mail", "on call"]


def test_the_key_is_written_again_only_when_asked_for(made):
    credential = made.awx.named("credentials", "Ceph maintenance cloud")
    other = "key-that-is-new-77d0"
    run = made.set_up("-vvv", env={"ADMIN_APIKEY": other}, ceph_maint_awx_rotate_key=True)
    assert run.rc == 0, run.text
    assert credential["inputs"]["api_key"] == other and other not in run.text
    assert made.awx.writes == [("PATCH", credential["url"])]


# Without a change.


def test_check_mode_writes_nothing_on_a_new_controller_and_a_password_does_too(administrator):
    login = {"CONTROLLER_OAUTH_TOKEN": "", "CONTROLLER_USERNAME": "admin", "CONTROLLER_PASSWORD": TOKEN}
    run = administrator.set_up("--check", env=login)
    assert (run.rc, administrator.awx.writes) == (0, []), run.text


def test_check_mode_shows_what_would_change(made):
    run = made.set_up("--check", ceph_maint_awx_job_timeout=600, ceph_maint_awx_ceph_template="Work on Ceph")
    assert (run.rc, made.awx.writes) == (0, []), run.text
    assert run.changed >= 3


# Refused, and nothing made.


def refused(administrator: Administrator, *words: str, **options) -> None:
    run = administrator.set_up(**options)
    text = " ".join(run.text.split())
    assert run.rc != 0 and administrator.awx.writes == [], run.text
    for word in (*words, "Nothing was made."):
        assert word in text, run.text


@pytest.mark.every_core
def test_without_the_collection(administrator):
    refused(administrator, "The collection awx.awx is not there", "ansible-galaxy collection install awx.awx", modules=False)


@pytest.mark.every_core
def test_without_an_answer(administrator):
    refused(administrator, "The controller could not be asked", "Connection refused", env={"CONTROLLER_HOST": "http://127.0.0.1:9"})


@pytest.mark.every_core
def test_with_a_wrong_token(administrator):
    refused(administrator, "Invalid authentication credentials", "CONTROLLER_OAUTH_TOKEN", env={"CONTROLLER_OAUTH_TOKEN": "another"})


def test_without_a_key(administrator):
    refused(administrator, "There is no API key", "ADMIN_APIKEY", env={"ADMIN_APIKEY": ""})


def test_a_new_key_that_is_none(made):
    refused(made, "There is no API key", env={"ADMIN_APIKEY": ""}, ceph_maint_awx_rotate_key=True)


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"ceph_maint_awx_host": ""}, "must both be given"),
        ({"ceph_maint_awx_host": "localhost"}, "in the container of a job"),
        ({"ceph_maint_awx_machine_credential": ""}, "is entered by SSH"),
        ({"ceph_maint_awx_settings": {"ceph_maint_confirm": True}}, "unasked: ceph_maint_confirm."),
        ({"ceph_maint_awx_machine_credential": "of nobody"}, "no machine credential called of nobody"),
        ({"ceph_maint_awx_ceph_template": "of nobody"}, "no job template called of nobody"),
        ({"ceph_maint_awx_notifications": ["on call", "of nobody"]}, "no notification template called of nobody"),
    ],
)
def test_what_cannot_be(administrator, variables, word):
    refused(administrator, word, **variables)


def test_a_mounted_folder_lets_localhost_be_the_host_and_a_set_up_that_stopped_goes_on(administrator):
    settings = {"ceph_maint_record_dir": "/records", "ceph_maint_record_dir_persistent": True}
    given = {"ceph_maint_awx_host": "localhost", "ceph_maint_awx_machine_credential": "", "ceph_maint_awx_settings": settings}
    given.update(ceph_maint_awx_host_variables={}, ceph_maint_awx_playbooks="playbooks", ceph_maint_awx_image="registry.example.com/ee:1")
    run = administrator.set_up(**given)
    text = " ".join(run.text.split())
    assert run.rc != 0 and "The set-up of the controller stopped at: Templates | Make the job templates." in text, run.text
    assert "Playbook not found for project." in text and "it goes on" in text
    administrator.awx.repositories[URL] = [f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")]
    run = administrator.set_up(**given)
    assert run.rc == 0, run.text
    plan = administrator.awx.named("job_templates", template("plan"))
    assert plan["playbook"] == "playbooks/ceph_maint_plan.yml"
    assert plan["execution_environment"] == administrator.awx.named("execution_environments", "Ceph maintenance")["id"]
    assert json.loads(plan["extra_vars"]) == {"ceph_maint_host": "localhost", **settings}
    assert administrator.awx.linked("job_templates", template("plan"), "credentials") == ["Ceph maintenance cloud"]
