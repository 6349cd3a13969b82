# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each variable given as a plain string on the command line, as operators do."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from harness.operator import ROOT, Operator, open_hosts

Platform = t.Callable[..., Operator]

# Not the defaults where that can be told apart by what the platform sees.
PLAIN = {
    "ceph_maint_location": "",
    "ceph_maint_validate_certs": "false",
    "ceph_maint_ca_path": "",
    "ceph_maint_host": "localhost",
    "ceph_maint_record_copy": "",
    "ceph_maint_record_dir_persistent": "false",
    "ceph_maint_max_age": "24",
    "ceph_maint_lease": "20",
    "ceph_maint_window": "90",
    "ceph_maint_report_dir": "",
    "ceph_maint_report_fetch": "false",
    "ceph_maint_report_fetch_dir": "/nowhere",
    "ceph_maint_plan_file": "",
    "ceph_maint_status_file": "",
    "ceph_maint_expect": "",
    "ceph_maint_notice_dir": "",
    "ceph_maint_notice_templates": "",
    "ceph_maint_notify_tasks": "",
    "ceph_maint_notify_before": "false",
    "ceph_maint_notify_timeout": "20",
    "ceph_maint_confirm": "true",
    "ceph_maint_reason": "'two words'",
    "ceph_maint_accept": "none",
    "ceph_maint_accept_reason": "",
    "ceph_maint_ceph_is_back": "true",
    "ceph_maint_playbook": "",
    "ceph_maint_query": "[?vcpu]",
    "ceph_maint_exclude": "[?status=='stopped']",
    "ceph_maint_exclude_owners": "none",
    "ceph_maint_hosts_query": "[?uuid]",
    "ceph_maint_hosts_keep_closed": "none",
    "ceph_maint_groups": '[{"name":"last","query":"[?user_id==`8`]","delay":0,"concurrency":"1","start_timeout":9}]',
    # Plain strings with a Ceph host: test_storage.py.
    "ceph_maint_ceph_host": "",
    "ceph_maint_ceph_command": "cephadm,shell,--,ceph",
    "ceph_maint_ceph_timeout": "20",
    "ceph_maint_ceph_wait": "60",
    "ceph_maint_ceph_wave": "2",
    "ceph_maint_watchers_linger": "1",
    "ceph_maint_watchers_way": "image",
    "ceph_maint_rbd_pools": "vms,images",
    "ceph_maint_rbd_image_regex": "^vm-([0-9a-f-]{36})",
    "ceph_maint_osd_flags": "noout,norebalance",
    "ceph_maint_probe_pool": "vms",
    "ceph_maint_concurrency": "2",
    "ceph_maint_poll_interval": "0.3",
    "ceph_maint_proof_interval": "0.2",
    "ceph_maint_settle_timeout": "5",
    "ceph_maint_stop_timeout": "3",
    "ceph_maint_force": "false",
    "ceph_maint_force_timeout": "5",
    "ceph_maint_max_force_percentage": "30",
    "ceph_maint_never_force": "9,vm-4",
    "ceph_maint_api_wait": "5",
    "ceph_maint_start_timeout": "10",
    "ceph_maint_start_retries": "1",
    "ceph_maint_canary": "0",
    "ceph_maint_canary_vms": "vm-3",
    "ceph_maint_max_fail_percentage": "50",
    "ceph_maint_verify_hold": "0",
    "ceph_maint_fail_on_unrecovered": "true",
    "ceph_maint_running_vms": "",
    "ceph_maint_open_hosts": "none",
}


@pytest.mark.every_core
def test_every_variable_as_a_plain_string(platform: Platform) -> None:
    op = platform(vms=6, running=5, deaf=["vm-3"])
    defaults = yaml.safe_load((ROOT / "roles/ceph_maint/defaults/main.yml").read_text())
    stopped = next(vm.name for vm in op.cloud.vms if vm.uuid in op.cloud.in_state("stopped"))
    lists = {"only_owners": ",".join({str(vm.owner) for vm in op.cloud.vms}), "only_vms": ",".join(vm.name for vm in op.cloud.vms), "exclude_vms": stopped}
    given = {**PLAIN, **{f"ceph_maint_{name}": text for name, text in lists.items()}}
    given |= {"ceph_maint_record_dir": op.records, "ceph_maint_api_host": op.cloud.url, "ceph_maint_api_key": op.cloud.key}
    assert set(given) == set(defaults)
    before, hosts = op.cloud.in_state("running"), open_hosts(op.cloud)
    run = op.play("ceph_maint_prepare", fast=False, **given)
    assert run.rc != 0
    assert "-e ceph_maint_force=true" in run.text, run.text
    assert "with it at most 5 of 5 VMs (ceph_maint_max_force_percentage=30)" in run.text
    assert "Never forced off, but named: " in run.text and "Group last: start_timeout 9, concurrency 1" in run.text
    assert op.cloud.in_state("running") == {op.cloud.vm("vm-3").uuid}
    assert not [entry for entry in op.cloud.journal.power() if "force" in entry.params], "-e ceph_maint_force=false cuts no power"
    assert op.cloud.journal.max_open_power <= 2
    last = [op.cloud.vm(entry.uuid).owner == 8 for entry in op.cloud.journal.of("admin_vm_stop")]
    assert any(last), "the group has VMs"
    assert last == sorted(last), "the group is stopped after the rest"
    run = op.play("ceph_maint_restore", fast=False, **given)
    assert run.rc == 0, run.text
    assert op.cloud.in_state("running") == before
    assert open_hosts(op.cloud) == hosts
