# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain prepare, Ceph work, restore: it stops at the first thing that did not go well, whatever arguments are given."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from harness.operator import ROOT, Operator, Run, open_hosts

Platform = t.Callable[..., Operator]
LOCAL = "ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'"
INVENTORY = f"[ceph]\nceph1 {LOCAL}\nceph2 {LOCAL}\nmaint {LOCAL}\n"
UNREACHABLE = "ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o ConnectTimeout=1'"
GUARDS = ROOT / "playbooks" / "internal"
CEPH_WORK = """
- name: Ceph work
  hosts: ceph
  gather_facts: false
  tasks:
    - name: Leave a trace
      ansible.builtin.copy:
        dest: "{{ playbook_dir }}/ceph-was-down-{{ inventory_hostname }}"
        content: done
        mode: "0600"
    - name: Fail where the test wants it
      ansible.builtin.fail:
        msg: this Ceph host is broken
      when: inventory_hostname in (broken | default(''))
"""


class Chain:
    """An operator with an inventory of two Ceph hosts and a playbook for them."""

    def __init__(self, op: Operator) -> None:
        self.op = op
        self.playbook = op.folder / "ceph.yml"
        self.playbook.write_text(CEPH_WORK)
        self.inventory = op.folder / "inventory"
        self.inventory.write_text(INVENTORY)
        self.before, self.hosts = op.cloud.in_state("running"), open_hosts(op.cloud)

    def run(self, *arguments: str, **variables: t.Any) -> Run:
        given: dict[str, t.Any] = {"ceph_maint_confirm": "true", "ceph_maint_playbook": self.playbook, **variables}
        return self.op.play("ceph_maintenance", "-i", str(self.inventory), *arguments, **given)

    def ceph_was_down(self) -> bool:
        return bool(list(self.op.folder.glob("ceph-was-down-*")))

    def assert_as_before(self) -> None:
        assert self.op.cloud.in_state("running") == self.before
        assert open_hosts(self.op.cloud) == self.hosts


@pytest.fixture
def chain(platform: Platform) -> Chain:
    return Chain(platform(vms=4, running=3))


@pytest.mark.smoke
def test_chain_restores_everything_under_any_strategy(chain: Chain) -> None:
    chain.op.extra_environment["ANSIBLE_STRATEGY"] = "free"
    run = chain.run()
    assert run.rc == 0, run.text
    assert chain.ceph_was_down()
    chain.assert_as_before()
    assert len(run.text.splitlines()) < 500, "a quiet output; this strategy repeats some banners"
    before_ceph = run.text.split("Ceph work")[0]
    assert "If this run ends here: 3 hosts are closed by us and 3 VMs are down" in before_ceph


@pytest.mark.smoke
def test_chain_on_another_host_stops_at_a_failed_ceph_host(chain: Chain) -> None:
    """The maintenance host has a HOME and, where the environment names one, a Python of its own."""
    home = chain.op.folder / "box-home"
    home.mkdir()
    python = os.environ.get("PILW_TEST_TARGET_PYTHON", chain.op.python)
    chain.inventory.write_text(f"box ansible_connection=cut ansible_python_interpreter={python} ansible_remote_tmp=~/tmp\n{INVENTORY}")
    chain.op.extra_environment = {
        "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection_plugins"),
        "PILW_TEST_CUT": str(chain.op.folder / "never"),
        "PILW_TEST_HOME": str(home),
    }
    on_box = {"ceph_maint_host": "box", "ceph_maint_record_dir": "~/records"}
    run = chain.run(broken="ceph2", **on_box)
    assert run.rc != 0
    assert chain.ceph_was_down()
    assert "Your Ceph playbook failed on, or did not reach: ceph2" in run.text, run.text
    assert not chain.op.cloud.journal.of("admin_vm_start")
    assert open_hosts(chain.op.cloud) == set()
    chain.op.records = home / "records"
    assert chain.op.phase() == "safe"
    run = chain.op.restore("-i", str(chain.inventory), **on_box)
    assert run.rc == 0, run.text
    chain.assert_as_before()
    assert not chain.op.place.joinpath("record.sqlite").exists()
    assert list(chain.op.place.glob("*.record.sqlite")), "the record is kept in the HOME of that host"


def test_without_a_ceph_playbook_it_stops_at_once_and_explains(chain: Chain) -> None:
    """One in the variables of the inventory is not seen by an import."""
    chain.inventory.write_text(f"{INVENTORY}[all:vars]\nceph_maint_playbook={chain.playbook}\n")
    run = chain.op.play("ceph_maintenance", "-i", str(chain.inventory), ceph_maint_confirm="true")
    assert run.rc != 0
    assert "a variable of the inventory is not seen here" in run.text
    assert "pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true" in run.text
    assert not chain.op.cloud.journal.entries


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ceph_maint_playbok", "playbook"), ("ceph_maint_hst", "host"), ("ceph_maint_excude", "exclude")],
)
def test_mistyped_name_is_rejected_in_the_first_play(chain: Chain, given: str, meant: str) -> None:
    playbook = "ceph_maintenance" if meant == "playbook" else "ceph_maint_prepare"
    run = chain.op.play(playbook, ceph_maint_confirm="true", **{given: "x"})
    assert run.rc == 2 and f"did you mean ceph_maint_{meant}?" in run.text, run.text
    assert run.accept_argument() == f"ceph_maint_accept=no-match:{given}"
    assert not chain.op.cloud.journal.entries and not chain.op.records.exists()


@pytest.mark.every_core
def test_variables_of_the_maintenance_host_are_checked_too(chain: Chain) -> None:
    chain.inventory.write_text(f"{INVENTORY}[all:vars]\nceph_maint_my_own=1\n[stop:children]\nceph\n[stop:vars]\nceph_maint_stop_timeout=10m\n")
    run = chain.op.play("ceph_maint_plan", "-i", str(chain.inventory), fast=False, ceph_maint_host="ceph1")
    assert run.rc == 2 and "ceph_maint_stop_timeout is 10m. Give seconds, such as 600. Nothing was changed." in run.text, run.text
    assert "class" not in run.text and len(run.text) < 2500
    assert not chain.op.cloud.journal.entries


def test_role_in_a_play_of_several_hosts_is_rejected(chain: Chain) -> None:
    playbook = chain.op.folder / "roles.yml"
    for hosts, names, text in (
        ("ceph1,ceph2", {}, "This play has 2 hosts (ceph1, ceph2)"),
        ("maint", {"ceph_maint_forse": "x"}, "did you mean ceph_maint_force?"),
    ):
        playbook.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "roles": ["pilw.maintenance.ceph_maint_prepare"]}]))
        run = chain.op.play(str(playbook), "-i", str(chain.inventory), ceph_maint_confirm="true", **names)
        assert run.rc == 2 and text in run.text, run.text
        assert not chain.op.cloud.journal.entries and not chain.op.records.exists()


@pytest.mark.every_core
def test_key_from_a_vault_is_taken(chain: Chain) -> None:
    """As one value of a file, which Ansible before 2.19 does not hold as text."""
    secret, variables = chain.op.folder / "secret", chain.op.folder / "vars.yml"
    secret.write_text("sesame")
    vault = VaultLib([("default", VaultSecret(b"sesame"))])
    lines = vault.encrypt(chain.op.cloud.key, VaultSecret(b"sesame")).decode().splitlines()
    variables.write_text("ceph_maint_api_key: !vault |\n" + "".join(f"  {line}\n" for line in lines))
    run = chain.op.play("ceph_maint_plan", "-e", f"@{variables}", "--vault-password-file", str(secret), env={"ADMIN_APIKEY": ""})
    assert run.rc == 0 and "To stop: 3 VMs" in run.text, run.text
    assert chain.op.cloud.key not in run.text


def test_an_inventory_without_ceph_hosts_is_refused(chain: Chain) -> None:
    """Localhost, written in the inventory, is none."""
    chain.inventory.write_text("localhost ansible_connection=local\n")
    run = chain.run(ceph_maint_accept="vm:abc")
    assert run.rc != 0
    assert "The inventory has no host beside the maintenance host" in run.text
    assert not chain.op.cloud.journal.entries
    name, value = run.accept_argument().split("=")
    assert value == "vm:abc,no-match:localhost,no-match:ceph"
    run = chain.run("--check", **{name: value})
    assert run.rc == 0 and "To stop: 3 VMs" in run.text, run.text


def test_a_group_of_the_inventory_by_the_name_of_one_of_ours_is_refused(chain: Chain) -> None:
    chain.inventory.write_text(f"{INVENTORY}[ceph_maint_hosts]\nceph1\n")
    run = chain.run()
    assert run.rc != 0
    assert "The inventory has a group called ceph_maint_hosts" in run.text
    assert not chain.op.cloud.journal.entries and not chain.op.records.exists()


def test_a_typo_in_the_maintenance_host_is_refused(chain: Chain) -> None:
    run = chain.run(ceph_maint_host="mant")
    assert run.rc != 0
    assert "ceph_maint_host is mant, and the inventory has no such host" in run.text
    assert not chain.op.cloud.journal.entries


@pytest.mark.every_core
def test_check_mode_of_the_chain_only_plans(chain: Chain) -> None:
    """On a maintenance host from the inventory's variables; without an interpreter of its own it gets the Python of Ansible."""
    text = INVENTORY.replace(f"maint {LOCAL}", "maint ansible_connection=local")
    chain.inventory.write_text(f"{text}[all:vars]\nceph_maint_host=maint\n")
    chain.op.extra_environment["ANSIBLE_STRATEGY"] = "free"  # under which Ansible refuses add_host
    run = chain.run("--check")
    assert run.rc == 0, run.text
    assert "ok: [maint]" in run.text and "To stop: 3 VMs" in run.text
    assert "discovered Python interpreter" not in run.text
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.writes()
    assert not chain.op.records.exists()


def test_chain_ends_with_a_prepare_that_failed(chain: Chain) -> None:
    run = chain.run(ceph_maint_confirm="false")
    assert run.rc != 0
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.writes()


@pytest.mark.every_core
def test_no_argument_slips_past_the_guards(chain: Chain) -> None:
    for arguments in (
        ["--limit", "ceph"],
        ["--tags", "always"],
        ["--skip-tags", "all,always"],
        ["--step"],
        ["--start-at-task", "Stop unless this very run has restored"],
        ["--start-at-task", "no such task"],
    ):
        run = chain.run(*arguments)
        assert run.rc != 0 and f"{arguments[0]} is refused" in run.text, run.text
        assert not chain.ceph_was_down()
        assert not chain.op.cloud.journal.writes()


def test_a_playbook_runs_from_a_path_too(chain: Chain) -> None:
    run = chain.op.play(str(ROOT / "playbooks" / "ceph_maint_status.yml"))
    assert run.rc == 0, run.text


def between_plays(chain: Chain, guard: str, *arguments: str, group: str = "", **variables: t.Any) -> bool:
    """Whether a play behind a guard is reached, where the one before it makes a group or is the Ceph work."""
    made = [{"ansible.builtin.group_by": {"key": group}}] if group else []
    plays = [
        {"hosts": "localhost", "gather_facts": False, "tasks": made},
        {"ansible.builtin.import_playbook": str(chain.playbook), "when": ["lookup('pilw.maintenance.ceph_work_reached', 'mark')"]},
        {"ansible.builtin.import_playbook": str(GUARDS / f"{guard}.yml")},
        {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "REACHED"}}]},
    ]
    playbook = chain.op.folder / "guarded.yml"
    playbook.write_text(json.dumps(plays))
    run = chain.op.play(str(playbook), "-i", str(chain.inventory), *arguments, **variables)
    reached = "REACHED" in run.text
    assert reached == (run.rc == 0), run.text
    return reached


@pytest.mark.parametrize(
    ("broken", "more", "reached"),
    [("", "", True), pytest.param("ceph2", "", False, marks=pytest.mark.every_core), ("ceph1,ceph2,maint", "", False), ("", f"ceph3 {UNREACHABLE}", False)],
    ids=["none", "one", "all", "unreachable"],
)
def test_restore_follows_only_ceph_work_that_failed_nowhere(chain: Chain, broken: str, more: str, reached: bool) -> None:
    chain.inventory.write_text(INVENTORY.replace("[ceph]", f"[ceph]\n{more}"))
    assert between_plays(chain, "require_ceph_done", broken=broken) is reached


@pytest.mark.every_core
@pytest.mark.parametrize(
    ("hosts", "reached"), [("nobody", False), ("{{ target | default('nobody') }}", False), ("ceph", True)], ids=["none", "template", "some"]
)
def test_restore_follows_only_ceph_work_that_reached_a_host(chain: Chain, hosts: str, reached: bool) -> None:
    chain.playbook.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": [{"meta": "noop"}, {"ansible.builtin.debug": {"msg": "x"}}]}]))
    assert between_plays(chain, "require_ceph_done") is reached
    assert between_plays(chain, "require_ceph_done", "--check")


def test_host_pattern_that_matches_nothing_is_rejected_first(chain: Chain) -> None:
    """Through an import too."""
    inner = chain.op.folder / "inner.yml"
    inner.write_text(json.dumps([{"hosts": "ceph:!mant:cehp", "tasks": []}]))
    chain.playbook.write_text(json.dumps([{"import_playbook": "inner.yml"}, {"hosts": "{{ target }}", "tasks": []}]))
    run = chain.run()
    assert run.rc == 2 and "names hosts that the inventory does not have: mant, cehp. Nothing was changed." in run.text, run.text
    assert run.accept_argument() == "ceph_maint_accept=no-match:mant,no-match:cehp"
    assert not chain.op.cloud.journal.entries and not chain.op.records.exists()


@pytest.mark.parametrize(("guard", "group"), [("require_safe", "ceph_maint_safe"), ("require_restored", "ceph_maint_restored")])
def test_guard_passes_only_what_this_run_has_done(chain: Chain, guard: str, group: str) -> None:
    assert not between_plays(chain, guard)
    assert between_plays(chain, guard, group=group)
    assert between_plays(chain, guard, "--check")
