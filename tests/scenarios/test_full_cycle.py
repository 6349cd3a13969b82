# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare and restore as an operator runs them: each kind of fleet, each rerun, each refusal.

Each way through the playbooks is gone once with ansible-playbook. What the modules decide on the way is told by the quick operator.
"""

from __future__ import annotations

import json
import re
import typing as t

import pytest

from harness.in_process_operator import QuickOperator
from harness.operator import Operator, Run, open_hosts, wait_until

Platform = t.Callable[..., Operator]
ALL_STOPPED = '"ALL VMS STOPPED. CEPH WAS NOT CHECKED."'
NOT_SAFE = '"NOT SAFE TO TAKE CEPH DOWN"'


def uuids(entries: t.Iterable[t.Any]) -> list[str]:
    return [entry.uuid for entry in entries]


def stops(op: Operator, force: bool = False) -> list[str]:
    found = op.cloud.journal.of("admin_vm_stop")
    return uuids(entry for entry in found if bool(entry.params.get("force")) is force)


def starts(op: Operator) -> list[str]:
    return uuids(op.cloud.journal.of("admin_vm_start"))


def quickly(op: Operator) -> QuickOperator:
    """The same operator, where nothing of Ansible is asked for."""
    return QuickOperator(op.cloud, op.folder)


def assert_safe(run: Run) -> None:
    assert run.rc == 0, run.text
    assert ALL_STOPPED in run.text


def assert_restored(op: Operator, run: Run, running: set[str], hosts: set[str]) -> None:
    """Exactly as before: nothing extra, nothing lost, hosts as they were, and the record put away."""
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == running
    assert open_hosts(op.cloud) == hosts
    assert op.phase() == "", "the record is still open"


@pytest.mark.smoke
def test_the_whole_maintenance(platform: Platform) -> None:
    """Some run, some do not, one is deaf, one host was closed on purpose: two commands bring all of it back."""
    op = platform(vms=14, running=10, deaf=["vm-0"], hosts=3, closed_hosts=1, deleted=2, state_case="mixed")
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    run = op.prepare(ceph_maint_force="true", ceph_maint_reason="new switches")
    assert_safe(run)
    assert op.cloud.in_state("running") == set()
    assert open_hosts(op.cloud) == set()
    assert set(stops(op)) == before
    assert stops(op, force=True) == [op.cloud.vm("vm-0").uuid]
    assert op.recorded() == before
    back = op.restore(ceph_maint_verify_hold="1")
    assert_restored(op, back, before, hosts)
    assert set(starts(op)) == before
    assert "running again 10" in back.text
    assert "was closed before" in back.text
    for text in (run.text, back.text):
        assert not re.search(r"^  (After \d|Proof)", text, re.MULTILINE), f"a short wait is not talked about:\n{text}"


def test_a_plan_writes_nothing_and_says_how_to_go_on(quick: Platform) -> None:
    op = quick(vms=6, running=4)
    for run in (op.play("ceph_maint_prepare"), op.play("ceph_maint_plan")):
        assert "To stop: 4 VMs of" in run.text
        assert not op.cloud.journal.writes()
        assert not op.records.exists()


def test_check_mode_sends_nothing_and_predicts_the_real_run(platform: Platform) -> None:
    """With the settings that operators get. Without check mode and without the go-ahead it is the same."""
    op = platform(vms=9, running=5, closed_hosts=1)
    run = op.prepare("--check", "--diff", fast=False, ceph_maint_report_dir=op.folder / "there")
    assert run.rc == 0, run.text
    assert "To stop: 5 VMs" in run.text
    assert "to close 2, closed already 1" in run.text
    run = op.play("ceph_maint_prepare")
    assert run.rc != 0
    assert "-e ceph_maint_confirm=true" in run.text
    assert not op.cloud.journal.writes()
    assert not op.records.exists() and not (op.folder / "there").exists()
    assert_safe(quickly(op).prepare())
    assert len(stops(op)) == 5
    assert len(op.cloud.journal.of("host_flags")) == 2
    sent = len(op.cloud.journal.writes())
    run = op.restore("--check")
    assert run.rc == 0, run.text
    assert len(op.cloud.journal.writes()) == sent
    assert op.phase() == "safe"
    assert "VMs to start: 5 of 5" in run.text
    assert "Hosts to open: 2" in run.text


def test_none_running(quick: Platform) -> None:
    op = quick(running=0)
    hosts = open_hosts(op.cloud)
    assert_safe(op.prepare())
    assert not op.cloud.journal.power()
    assert_restored(op, op.restore(), set(), hosts)


def test_without_leave_no_power_is_cut_and_a_later_run_cuts_at_once(quick: Platform) -> None:
    """A plain -e ceph_maint_force=false must not cut power."""
    op = quick(deaf=["vm-1", "vm-2"])
    deaf = {op.cloud.vm(name).uuid for name in ("vm-1", "vm-2")}
    run = op.prepare(ceph_maint_force="false")
    assert run.rc != 0
    assert NOT_SAFE in run.text
    assert op.cloud.in_state("running") == deaf
    assert not stops(op, force=True)
    for uuid in deaf:
        assert f"{uuid} {op.cloud.vm(uuid).name}: would not stop" in run.text
    assert "-e ceph_maint_force=true" in run.text
    before = len(stops(op))
    assert_safe(op.prepare(ceph_maint_force="true"))
    assert set(stops(op, force=True)) == deaf
    assert len(stops(op)) == before, "those that outlived a stop are cut at once, without a second wait"


@pytest.mark.edge_cores
def test_the_force_playbook_cuts_only_what_outlived(platform: Platform) -> None:
    op = platform(deaf=["vm-1"])
    run = op.play("ceph_maint_force", ceph_maint_confirm="true")
    assert run.rc != 0
    assert "none whose power may be cut" in run.text
    assert quickly(op).prepare().rc != 0
    run = op.play("ceph_maint_force")
    assert run.rc != 0
    assert not stops(op, force=True)
    assert_safe(op.play("ceph_maint_force", ceph_maint_confirm="true"))
    assert stops(op, force=True) == [op.cloud.vm("vm-1").uuid]


def test_a_deaf_vm_can_be_left_as_it_is_by_name(quick: Platform) -> None:
    op = quick(deaf=["vm-1"])
    deaf = op.cloud.vm("vm-1").uuid
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    refused = op.prepare()
    name, value = refused.accept_argument().split("=")
    assert value == f"vm:{deaf}"
    run = op.prepare(**{name: value})
    assert run.rc == 0, run.text
    assert f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: vm-1 ({deaf}). CEPH WAS NOT CHECKED." in run.text
    run = op.restore()
    assert_restored(op, run, before, hosts)
    assert "Ran through the outage" in run.text
    assert deaf not in starts(op)


def test_hosts_whose_flag_cannot_be_read(quick: Platform) -> None:
    op = quick(flag_readable=False, hosts=3, closed_hosts=1)
    closed = next(host.uuid for host in op.cloud.hosts if not host.accepting)
    hosts = open_hosts(op.cloud)
    run = op.prepare()
    assert run.rc != 0
    assert "does not show whether 3 of 3 hosts take workloads" in run.text
    assert not op.cloud.journal.writes()
    assert_safe(op.prepare(ceph_maint_hosts_keep_closed=closed))
    assert open_hosts(op.cloud) == set()
    run = op.restore()
    assert run.rc == 0, run.text
    assert open_hosts(op.cloud) == hosts, "what was to stay closed is remembered from the prepare"
    assert "kept closed as asked" in run.text


def test_no_host_open_at_the_start_is_asked_about(quick: Platform) -> None:
    op = quick(hosts=3, closed_hosts=3)
    broken = op.cloud.hosts[0].uuid
    run = op.prepare()
    assert run.rc != 0
    assert "No host takes workloads now" in run.text
    assert not op.cloud.journal.writes()
    assert_safe(op.prepare(ceph_maint_hosts_keep_closed=broken))
    assert op.restore().rc == 0
    assert open_hosts(op.cloud) == {host.uuid for host in op.cloud.hosts} - {broken}, "the answer says what opens at the end"


def test_hosts_in_maintenance_get_no_write(quick: Platform) -> None:
    op = quick(hosts=4, maintenance_hosts=1, offline_hosts=1, host_status_shown=True)
    assert_safe(op.prepare())
    assert op.restore().rc == 0
    left_alone = {host.uuid for host in op.cloud.hosts if host.status in ("MAINTENANCE", "OFFLINE")}
    assert len(left_alone) == 2
    assert not left_alone & set(uuids(op.cloud.journal.of("host_flags")))


def test_every_playbook_can_be_run_again(quick: Platform) -> None:
    op = quick(vms=6, running=4)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    plan = op.folder / "plan.json"
    assert_safe(op.prepare(ceph_maint_plan_file=str(plan)))
    planned = json.loads(plan.read_text(encoding="utf-8"))
    assert {vm["uuid"] for vm in planned["vms"] if vm["what"] == "stop"} == before and len(planned["vms"]) == 6
    assert {host["uuid"] for host in planned["hosts"] if host["what"] == "close"} == hosts
    assert (planned["purpose"], planned["counts"], planned["refusals"]) == ("prepare", {"hosts": len(hosts), "vms": 4}, [])
    sent = len(op.cloud.journal.writes())
    assert_safe(op.prepare())
    assert len(op.cloud.journal.writes()) == sent, "a second prepare finds nothing to do"
    for _again in range(2):
        assert_safe(op.play("ceph_maint_verify"))
        assert "phase safe since 2" in op.play("ceph_maint_status").text
    assert len(op.cloud.journal.writes()) == sent, "verify and status send no write"
    assert_restored(op, op.restore(), before, hosts)
    run = op.restore()
    assert run.rc == 0 and "Restored already: maintenance " in run.text, run.text
    assert op.play("ceph_maint_status").rc == 0
    assert len(starts(op)) == 4


@pytest.mark.smoke
def test_verify_and_status_send_no_write(platform: Platform) -> None:
    op = platform(vms=3)
    status = op.folder / "status.json"
    assert_safe(quickly(op).prepare())
    sent = len(op.cloud.journal.writes())
    assert_safe(op.play("ceph_maint_verify"))
    run = op.play("ceph_maint_status", ceph_maint_status_file=str(status))
    assert run.rc == 0, run.text
    assert "phase safe since 2" in run.text
    told = json.loads(status.read_text(encoding="utf-8"))
    assert (told["phase"], told["vms"]["stop"], told["left"], told["at_work"]) == ("safe", {"clean": 3}, [], None)
    assert told["last_run"]["purpose"] == "verify" and told["platform"]["recorded"] == {"stopped": 3}
    assert status.stat().st_mode & 0o777 == 0o600
    assert len(op.cloud.journal.writes()) == sent


def test_restore_after_an_aborted_prepare(quick: Platform) -> None:
    """Safe was never reached, so nobody has to say that Ceph is back."""
    op = quick(deaf=["vm-3"])
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert op.prepare().rc != 0
    run = op.play("ceph_maint_restore", ceph_maint_confirm="true")
    assert_restored(op, run, before, hosts)


def test_prepare_again_after_half_a_restore(quick: Platform) -> None:
    """Ceph broke again: the same set goes down again, and comes back."""
    op = quick(vms=10, fail_start=["vm-4"], fail_start_times=3)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    run = op.restore()
    assert run.rc != 0
    assert "Did not come back: 1" in run.text
    assert_safe(op.prepare())
    assert op.cloud.in_state("running") == set()
    assert op.recorded() == before
    assert_restored(op, op.restore(), before, hosts)


def test_a_vm_that_does_not_start_is_named_and_tried_again_alone(quick: Platform) -> None:
    op = quick(vms=12, fail_start=["vm-7"], fail_start_times=3)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    lost = op.cloud.vm("vm-7")
    assert_safe(op.prepare())
    run = op.restore()
    assert run.rc != 0
    assert f"owner {lost.owner}: {lost.uuid} vm-7: POST" in run.text
    assert "answered 500" in run.text
    assert op.cloud.in_state("running") == before - {lost.uuid}
    count = len(starts(op))
    run = op.restore()
    assert_restored(op, run, before, hosts)
    assert starts(op)[count:] == [lost.uuid]


def test_a_vm_that_is_given_up_by_name_lets_the_restore_end(quick: Platform) -> None:
    """What the failed restore printed is pasted as it is."""
    op = quick(fail_start=["vm-2"])
    lost, before, hosts = op.cloud.vm("vm-2").uuid, op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    run = op.restore()
    assert run.rc != 0
    assert "Did not come back: 1" in run.text
    assert op.phase() == "starting"
    ((identity,),) = op.ask("SELECT id FROM maintenance")
    name, value = run.accept_argument().split("=")
    assert value == f"lost:{lost}"
    run = op.restore(**{name: value})
    assert_restored(op, run, before - {lost}, hosts)
    assert lost in run.text and "answered 500" in run.text, "the restore that ends without it names it, and says why"
    assert (op.place / f"{identity}.record.sqlite").is_file(), "the record was not put away"
    report = json.loads((op.place / f"{identity}.report.json").read_text())
    assert f"lost:{lost}" in report["accepted"]
    again = op.prepare()
    assert_safe(again)
    assert f"VM {lost}" in again.text and "Accepted as lost in an earlier maintenance: 1 VMs" in again.text, again.text
    assert lost not in op.recorded(), "the next maintenance is a new one"


@pytest.mark.smoke
def test_what_does_not_come_back_can_be_given_up(platform: Platform) -> None:
    """A restore need not fail for it: the record stays open for another try, until it is closed."""
    op = platform(vms=4, fail_start=["vm-2"])
    lost = op.cloud.vm("vm-2").uuid
    assert_safe(quickly(op).prepare())
    run = op.restore(ceph_maint_fail_on_unrecovered="false")
    assert run.rc == 0, run.text
    assert "Did not come back: 1" in run.text
    assert op.phase() == "starting"
    run = op.play("ceph_maint_close")
    assert run.rc != 0
    assert op.phase() == "starting"
    run = op.play("ceph_maint_close", ceph_maint_confirm="true")
    assert run.rc == 0, run.text
    assert lost in run.text
    assert op.phase() == ""


def test_the_brake_stops_a_start_that_goes_wrong(quick: Platform) -> None:
    """Most of the first few fail, so the rest is not touched; the rerun goes on when Ceph is well."""
    op = quick(vms=30, owners=30, fail_start=1.0, fail_start_times=3)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    run = op.restore()
    assert run.rc != 0
    assert "Most of the first 3 VMs did not start, so the rest was not touched" in run.text
    assert len(set(starts(op))) == 3
    for vm in op.cloud.vms:
        op.cloud.act("trait", vm=vm.uuid, trait="fail_start", on=False)
    assert_restored(op, op.restore(), before, hosts)


def test_owners_act_in_between(quick: Platform) -> None:
    """One VM is deleted, one started by its owner, one that was off is started before safe: all are accounted for."""
    op = quick(vms=8, running=6)
    off = sorted(op.cloud.in_state("stopped"))
    hosts = open_hosts(op.cloud)
    before = op.cloud.in_state("running")
    victim = sorted(before)[0]
    op.cloud.schedule("start", vm=off[0], when="admin_vm_stop", nth=3)
    assert_safe(op.prepare())
    assert op.recorded() == before | {off[0]}, "what came up before safe is recorded and stopped too"
    op.cloud.act("delete", vm=victim)
    run = op.restore()
    assert_restored(op, run, before - {victim} | {off[0]}, hosts)
    assert "vanished 1" in run.text
    assert off[1] not in starts(op)


def test_a_vm_started_after_safe_fails_verify_and_is_never_ours(quick: Platform) -> None:
    op = quick(vms=8, running=6)
    off = sorted(op.cloud.in_state("stopped"))[0]
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    op.cloud.act("start", vm=off)
    run = op.play("ceph_maint_verify")
    assert run.rc != 0
    assert NOT_SAFE in run.text
    assert off in run.text
    op.cloud.act("stop", vm=off)
    assert_restored(op, op.restore(), before, hosts)
    assert off not in starts(op)


def test_odd_states_are_refused_in_the_plan_by_name(quick: Platform) -> None:
    op = quick(vms=8, unknown_state=["vm-5"])
    odd = op.cloud.vm("vm-5").uuid
    run = op.prepare()
    assert run.rc != 0
    assert f"VM {odd} (vm-5, owner" in run.text
    assert "paused) is neither running nor stopped" in run.text
    assert not op.cloud.journal.writes()
    name, value = run.accept_argument().split("=")
    run = op.prepare(**{name: value})
    assert run.rc == 0, run.text
    assert "ALL VMS STOPPED EXCEPT 1 ACCEPTED" in run.text


def test_an_empty_platform_is_refused(quick: Platform) -> None:
    op = quick(vms=0)
    run = op.prepare()
    assert run.rc != 0
    assert "shows no VM at all" in run.text
    name, value = run.accept_argument().split("=", 1)
    run = op.prepare(**{name: value})
    assert run.rc == 0, run.text
    assert "ALL VMS STOPPED EXCEPT 1 ACCEPTED: " in run.text, "what was accepted is in the headline"


def test_vms_that_are_being_created_are_waited_for(quick: Platform) -> None:
    op = quick(vms=4, creating=1, creating_seconds=120)
    assert_safe(op.prepare())
    assert len(op.recorded()) == 5
    assert op.cloud.in_state("running") == set()


def test_a_vm_that_stays_in_creation_is_refused_by_name(quick: Platform) -> None:
    op = quick(vms=4, creating=1, creating_seconds=100_000)
    stuck = next(iter(op.cloud.in_state("creating")))
    run = op.prepare(ceph_maint_settle_timeout="0.5")
    assert run.rc != 0
    assert f"Still being created after 0.5 s: {stuck}" in run.text
    assert not op.cloud.journal.power()
    assert run.accept_argument() == f"ceph_maint_accept=vm:{stuck}"


def test_groups_start_in_order_and_stop_in_reverse(quick: Platform) -> None:
    op = quick(vms=9, owners=3)
    owners = sorted({vm.owner for vm in op.cloud.vms})
    groups = [{"name": f"owner-{owner}", "query": f"[?user_id==`{owner}`]", "delay": 0.1} for owner in owners[:2]]
    order = {vm.uuid: owners.index(vm.owner) for vm in op.cloud.vms}
    assert_safe(op.prepare(ceph_maint_groups=groups))
    assert [order[uuid] for uuid in stops(op)] == [2] * 3 + [1] * 3 + [0] * 3
    run = op.restore(ceph_maint_groups=json.dumps(groups, separators=(",", ":")), ceph_maint_canary="1")
    assert run.rc == 0, run.text
    assert [order[uuid] for uuid in starts(op)] == [2, *[0] * 3, *[1] * 3, *[2] * 2], "the trial is of those that start last"


def test_a_scope_is_never_called_safe(quick: Platform) -> None:
    op = quick(vms=9, owners=3)
    owner = op.cloud.vms[0].owner
    mine = {vm.uuid for vm in op.cloud.vms if vm.owner == owner}
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    run = op.prepare(ceph_maint_query=f"[?user_id==`{owner}`]")
    assert run.rc != 0
    assert '"SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN"' in run.text
    assert '"SAFE' not in run.text and ALL_STOPPED not in run.text
    assert set(stops(op)) == mine
    assert_restored(op, op.play("ceph_maint_restore", ceph_maint_confirm="true"), before, hosts)


def test_a_scope_whose_rest_is_down_is_safe(quick: Platform) -> None:
    op = quick(vms=6, running=[f"vm-{number}" for number in range(4)])
    off = sorted(op.cloud.in_state("stopped"))
    assert_safe(op.prepare(ceph_maint_exclude=f"[?uuid=='{off[0]}'||uuid=='{off[1]}']"))


def test_several_locations_are_refused_until_one_is_chosen(quick: Platform) -> None:
    op = quick(vms=8, hosts=4, locations=["tll01", "jhv02"])
    run = op.prepare()
    assert run.rc != 0
    assert "-e ceph_maint_location=SLUG" in run.text
    assert "Location tll01: 4 VMs, 2 hosts" in run.text
    run = op.prepare(ceph_maint_location="jhv02")
    assert_safe(run)
    assert "Covered: jhv02. Not looked at: tll01." in run.text
    there = {vm.uuid for vm in op.cloud.vms if vm.location == "jhv02"}
    assert set(stops(op)) == there
    assert {vm.uuid for vm in op.cloud.vms if vm.state == "running"} == {vm.uuid for vm in op.cloud.vms} - there
    assert op.restore(ceph_maint_location="jhv02").rc == 0


def test_locations_that_show_the_same_rows(quick: Platform) -> None:
    op = quick(locations=["tll01", "jhv02"], slug_ignored=True)
    run = op.prepare(ceph_maint_location="tll01")
    assert run.rc != 0
    assert "show the same VMs" in run.text
    name, value = run.accept_argument().split("=")
    assert value == "list:same-rows-tll01+jhv02"
    run = op.prepare(ceph_maint_location="tll01", **{name: value})
    assert run.rc == 0 and f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: {value}. CEPH WAS NOT CHECKED." in run.text, run.text


def test_locations_that_refuse_or_are_empty_are_said_to_be(quick: Platform) -> None:
    op = quick(locations=["tll01", "jhv02", "sgp01"], admin_lists_refused=["jhv02"], empty_locations=["sgp01"])
    run = op.play("ceph_maint_plan", ceph_maint_location="tll01")
    assert run.rc == 0, run.text
    assert "Location jhv02: its admin lists are refused: GET" in run.text
    assert "Location sgp01: 0 VMs, 0 hosts (empty lists)" in run.text


def test_a_wrong_location_is_never_taken_for_gone(quick: Platform) -> None:
    op = quick()
    run = op.prepare(ceph_maint_location="nowhere")
    assert run.rc != 0
    assert "The location slug is wrong" in run.text
    assert not op.cloud.journal.writes()


def test_a_stale_record_is_refused_until_it_is_named(quick: Platform) -> None:
    op = quick()
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    assert_safe(op.prepare())
    run = op.restore(ceph_maint_max_age="0")
    assert run.rc != 0
    assert "was last worked on" in run.text
    name, value = run.accept_argument().split("=")
    assert value.startswith("old:")
    assert_restored(op, op.restore(ceph_maint_max_age="0", **{name: value}), before, hosts)


def test_restore_waits_for_the_word_that_ceph_is_back(quick: Platform) -> None:
    op = quick()
    assert_safe(op.prepare())
    sent = len(op.cloud.journal.writes())
    run = op.play("ceph_maint_restore", ceph_maint_confirm="true")
    assert run.rc != 0
    assert "-e ceph_maint_ceph_is_back=true" in run.text
    assert len(op.cloud.journal.writes()) == sent


def test_restore_from_the_hand_made_list(quick: Platform) -> None:
    """The shell runbook began; this collection ends."""
    op = quick(vms=6, running=4)
    before = op.cloud.in_state("running")
    hosts = open_hosts(op.cloud)
    rows = [{**vm.row, "uuid": vm.uuid, "user_id": vm.owner, "status": "running"} for vm in op.cloud.vms if vm.uuid in before]
    listed = op.folder / "running_vms.json"
    listed.write_text(json.dumps(rows))
    for vm in before:
        op.cloud.act("stop", vm=vm)
    for host in hosts:
        op.cloud.act("host", host=host, accepting=False)
    run = op.restore(ceph_maint_running_vms=listed)
    assert run.rc != 0
    assert "-e ceph_maint_open_hosts=all" in run.text
    assert not op.cloud.journal.writes()
    assert_restored(op, op.restore(ceph_maint_running_vms=listed, ceph_maint_open_hosts="all"), before, hosts)
    assert_safe(op.prepare())
    run = op.restore(ceph_maint_running_vms=listed, ceph_maint_open_hosts="all")
    assert run.rc != 0
    assert "There is an open record" in run.text


@pytest.mark.parametrize("text", ["{}", "not json", '[{"uuid": "../x"}]', '["a"]'])
def test_a_broken_hand_made_list_is_refused(quick: Platform, text: str) -> None:
    op = quick(vms=2)
    listed = op.folder / "running_vms.json"
    listed.write_text(text)
    run = op.restore(ceph_maint_running_vms=listed, ceph_maint_open_hosts="none")
    assert run.rc != 0
    assert str(listed) in run.text
    assert not op.cloud.journal.writes()
    assert op.phase() == ""


def test_the_files_beside_the_record_serve_the_shell_runbook(quick: Platform) -> None:
    op = quick(vms=5, running=3, closed_hosts=1)
    hosts = open_hosts(op.cloud)
    before = op.cloud.in_state("running")
    assert_safe(op.prepare(ceph_maint_record_copy=op.folder / "copy", ceph_maint_accept=f"same-disk:{op.folder / 'copy'}"))
    for folder in (op.place, op.folder / "copy" / op.place.name):
        rows = json.loads((folder / "running_vms.json").read_text())
        assert {row["uuid"] for row in rows} == before
        assert all(row["status"].lower() == "running" and "user_id" in row for row in rows)
        assert {row["uuid"] for row in json.loads((folder / "hosts_to_open.json").read_text())} == hosts
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
        assert folder.stat().st_mode & 0o077 == 0


def test_a_start_that_may_still_work_is_stopped_before_safe_is_said(quick: Platform) -> None:
    """Starts hang as Ceph breaks again: their VMs come up minutes later, so a prepare stops them before it proves."""
    op = quick(vms=3)
    before = op.cloud.in_state("running")
    assert_safe(op.prepare())
    op.cloud.act("options", power_mode="gateway", gateway_patience=20, start_seconds=800)
    assert op.restore(ceph_maint_start_timeout="1", ceph_maint_canary="0", ceph_maint_start_retries=0).rc != 0
    op.cloud.act("options", power_mode="blocking")
    count = len(stops(op))
    run = op.prepare(ceph_maint_stop_timeout="20")
    assert_safe(run)
    assert set(stops(op)[count:]) == before, "each gets a stop, though no list shows it running"
    safe_at = run.text.count(ALL_STOPPED)
    assert safe_at
    assert not op.cloud.in_state("running")
    came_up = [event for event in op.cloud.events if event.state == "running"]
    down = [event for event in op.cloud.events if event.state == "stopped"]
    assert len(came_up) <= len(down)


def test_a_guest_that_obeys_after_the_prepare_was_called_off_is_started_again(platform: Platform) -> None:
    op = platform(vms=4, power_mode="gateway", gateway_patience=20, stop_seconds=500)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    op.killed("ceph_maint_prepare", lambda: len(stops(op)) >= 4, ceph_maint_confirm="true", ceph_maint_lease="2")
    wait_until(lambda: op.holder() is None)
    quick = quickly(op)
    run = quick.play("ceph_maint_restore", ceph_maint_confirm="true", ceph_maint_stop_timeout="7")
    if run.rc != 0:
        assert "it ran again, and is stopped now" in run.text
        assert op.phase() == "starting", "what fell is named and the record stays open"
        run = quick.restore(ceph_maint_stop_timeout="7")
    assert_restored(op, run, before, hosts)


def test_a_query_that_chooses_no_host_is_refused(quick: Platform) -> None:
    op = quick(vms=2)
    run = op.prepare(ceph_maint_hosts_query="[?uuid==`1`]")
    assert run.rc != 0
    assert "No host is chosen by ceph_maint_hosts_query" in run.text
    assert not op.cloud.journal.writes()


@pytest.mark.parametrize(
    ("name", "value"),
    [("concurrency", "0"), ("poll_interval", "0"), ("lease", "0"), ("proof_interval", "-1"), ("stop_timeout", "nan")],
)
def test_numbers_that_cannot_work_are_refused_before_anything_is_done(quick: Platform, name: str, value: str) -> None:
    op = quick(vms=2)
    run = op.prepare(**{f"ceph_maint_{name}": value})
    assert run.rc != 0
    assert f"{name} must be" in run.text
    assert "Nothing was changed" in run.text
    assert not op.cloud.journal.writes()


@pytest.mark.full
def test_defaults_on_a_small_fleet(platform: Platform) -> None:
    """Once with the intervals that operators get, on real time; everything else runs with short ones."""
    op = platform(vms=3)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    run = op.prepare(fast=False)
    assert_safe(run)
    assert "two whole lists of VMs 60 s apart" in run.text
    assert_restored(op, op.restore(fast=False), before, hosts)
