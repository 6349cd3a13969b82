# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain prepare, Ceph work, restore: it stops at the first thing that did not go well, whatever arguments are given."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from scenarios.desk import Operator, Run, open_hosts
from scenarios.quick import QuickOperator

Platform = t.Callable[..., Operator]
LOCAL = "ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'"
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
        self.inventory.write_text(f"[ceph]\nceph1 {LOCAL}\nceph2 {LOCAL}\nmaint {LOCAL}\n")
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


def test_the_chain(chain: Chain) -> None:
    run = chain.run()
    assert run.rc == 0, run.text
    assert chain.ceph_was_down()
    chain.assert_as_before()
    assert len(run.text.splitlines()) < 420, "a quiet output"
    before_ceph = run.text.split("Ceph work")[0]
    assert "If this run ends here: 3 hosts are closed by us and 3 VMs are down" in before_ceph


def test_without_a_ceph_playbook_it_stops_at_once_and_explains(chain: Chain) -> None:
    run = chain.op.play("ceph_maintenance", "-i", str(chain.inventory), ceph_maint_confirm="true")
    assert run.rc != 0
    assert "pilw.maintenance.ceph_maint_prepare -e ceph_maint_confirm=true" in run.text
    assert not chain.op.cloud.journal.entries


def test_a_ceph_playbook_in_group_vars_is_not_seen_and_said_so(chain: Chain) -> None:
    chain.inventory.write_text(chain.inventory.read_text() + f"[all:vars]\nceph_maint_playbook={chain.playbook}\n")
    run = chain.op.play("ceph_maintenance", "-i", str(chain.inventory), ceph_maint_confirm="true")
    assert run.rc != 0
    assert "a variable of the inventory is not seen here" in run.text
    assert not chain.op.cloud.journal.entries


def test_an_inventory_without_ceph_hosts_is_refused(chain: Chain) -> None:
    given = {"ceph_maint_confirm": "true", "ceph_maint_playbook": chain.playbook, "ceph_maint_accept": "vm:abc"}
    run = chain.op.play("ceph_maintenance", **given)
    assert run.rc != 0
    assert "The inventory has no host beside the maintenance host" in run.text
    assert not chain.op.cloud.journal.entries
    name, value = run.accept_argument().split("=")
    assert value == "vm:abc,inventory:localhost"
    run = chain.op.play("ceph_maintenance", ceph_maint_confirm="true", ceph_maint_playbook=chain.playbook, **{name: value})
    assert run.rc == 0, run.text
    chain.assert_as_before()


@pytest.mark.every_core
def test_a_group_of_the_inventory_by_the_name_of_one_of_ours_is_refused(chain: Chain) -> None:
    chain.inventory.write_text(chain.inventory.read_text() + "[ceph_maint_hosts]\nceph1\n")
    run = chain.run()
    assert run.rc != 0
    assert "The inventory has a group called ceph_maint_hosts" in run.text
    assert not chain.op.cloud.journal.entries and not chain.op.records.exists()


@pytest.mark.every_core
def test_a_strategy_of_the_environment_changes_nothing(chain: Chain) -> None:
    chain.op.extra_environment["ANSIBLE_STRATEGY"] = "free"
    run = chain.run()
    assert run.rc == 0, run.text
    assert chain.ceph_was_down()
    chain.assert_as_before()


def test_one_of_two_ceph_hosts_fails(chain: Chain) -> None:
    run = chain.run(broken="ceph2")
    assert run.rc != 0
    assert chain.ceph_was_down()
    assert "Your Ceph playbook failed on, or did not reach: ceph2" in run.text
    assert not chain.op.cloud.journal.of("admin_vm_start")
    assert open_hosts(chain.op.cloud) == set()
    assert chain.op.phase() == "safe"
    assert QuickOperator(chain.op.cloud, chain.op.folder).restore().rc == 0
    chain.assert_as_before()


def test_all_ceph_hosts_fail(chain: Chain) -> None:
    run = chain.run(broken="ceph1,ceph2")
    assert run.rc != 0
    assert not chain.op.cloud.journal.of("admin_vm_start")
    assert chain.op.phase() == "safe"


def test_one_ceph_host_is_unreachable(chain: Chain) -> None:
    gone = "ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o ConnectTimeout=1'"
    chain.inventory.write_text(f"[ceph]\nceph1 {LOCAL}\nceph2 {gone}\n")
    run = chain.run()
    assert run.rc != 0
    assert "did not reach: ceph2" in run.text
    assert not chain.op.cloud.journal.of("admin_vm_start")


def test_a_prepare_that_is_not_safe_ends_the_chain(platform: Platform) -> None:
    chain = Chain(platform(vms=4, deaf=["vm-0"]))
    run = chain.run()
    assert run.rc != 0
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.of("admin_vm_start")


def test_a_scope_ends_the_chain(chain: Chain) -> None:
    run = chain.run(ceph_maint_query=f"[?user_id==`{chain.op.cloud.vms[0].owner}`]")
    assert run.rc != 0
    assert "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN" in run.text
    assert not chain.ceph_was_down()


def test_check_mode_of_the_chain_only_plans(chain: Chain) -> None:
    run = chain.run("--check")
    assert run.rc == 0, run.text
    assert "To stop: 3 VMs" in run.text
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.writes()
    assert not chain.op.records.exists()


def test_without_confirm_nothing_happens(chain: Chain) -> None:
    run = chain.run(ceph_maint_confirm="false")
    assert run.rc != 0
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.writes()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--limit", "ceph"], marks=pytest.mark.every_core),
        ["--tags", "ceph"],
        ["--tags", "always"],
        pytest.param(["--skip-tags", "all,always"], marks=pytest.mark.every_core),
        ["--step"],
        ["--start-at-task", "Leave a trace"],
        ["--start-at-task", "Stop when a host failed or was not reached"],
        ["--start-at-task", "Stop unless this very run has restored"],
        pytest.param(["--start-at-task", "no such task"], marks=pytest.mark.every_core),
    ],
    ids=" ".join,
)
def test_no_argument_slips_past_the_guards(chain: Chain, arguments: list[str]) -> None:
    run = chain.run(*arguments)
    assert run.rc != 0, run.text
    assert not chain.ceph_was_down()
    assert not chain.op.cloud.journal.writes()


@pytest.mark.parametrize("playbook", ["plan", "prepare", "force", "verify", "restore", "close", "status"])
@pytest.mark.parametrize("arguments", [["--limit", "ceph1"], ["--skip-tags", "always"], ["--start-at-task", "no such task"]], ids=" ".join)
def test_no_step_ends_well_when_it_was_skipped(chain: Chain, playbook: str, arguments: list[str]) -> None:
    run = chain.op.play(f"ceph_maint_{playbook}", "-i", str(chain.inventory), *arguments, ceph_maint_confirm="true")
    assert run.rc != 0, run.text
    assert not chain.op.cloud.journal.writes()


def test_a_maintenance_host_that_is_not_localhost(chain: Chain) -> None:
    """The whole chain on one: below."""
    run = chain.run("--check", ceph_maint_host="maint")
    assert run.rc == 0, run.text
    assert "ok: [maint]" in run.text and "To stop: 3 VMs" in run.text


def test_the_maintenance_host_from_group_vars_without_an_interpreter(chain: Chain) -> None:
    """On a local connection it gets the Python of Ansible."""
    text = chain.inventory.read_text().replace(f"maint {LOCAL}", "maint ansible_connection=local")
    chain.inventory.write_text(text + "[all:vars]\nceph_maint_host=maint\n")
    run = chain.run()
    assert run.rc == 0, run.text
    assert "changed: [maint]" in run.text
    chain.assert_as_before()


def test_localhost_written_in_the_inventory(chain: Chain) -> None:
    chain.inventory.write_text(chain.inventory.read_text() + "localhost ansible_connection=local\n")
    run = chain.run()
    assert run.rc == 0, run.text
    chain.assert_as_before()


def test_a_typo_in_the_maintenance_host_is_refused(chain: Chain) -> None:
    run = chain.run(ceph_maint_host="mant")
    assert run.rc != 0
    assert "ceph_maint_host is mant, and the inventory has no such host" in run.text
    assert not chain.op.cloud.journal.entries


@pytest.mark.every_core
def test_it_runs_from_a_path_too(chain: Chain) -> None:
    from scenarios.desk import ROOT

    playbook = Path(ROOT) / "playbooks" / "ceph_maint_plan.yml"
    run = chain.op.play(str(playbook))
    assert run.rc == 0, run.text
