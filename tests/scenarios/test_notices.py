# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices to owners and the operator's hook: real playbooks, and the crew where Ansible itself adds nothing."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from harness import in_process as crew
from harness.operator import Operator
from scenarios.test_security import assert_inert
from simulator.server import Cloud

Platform = t.Callable[..., Operator]
CANARY = "{{ lookup('pipe','touch ~/canary') }}"
# Each notice as one line; what a task of the hook makes of the text may do no harm either.
HOOK = """
- name: Write it down
  ansible.builtin.command:
    argv: ["{{ ansible_playbook_python }}", -c, "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + chr(10))", "LOG", "{{ ceph_maint_notice | to_json }}"]
- name: "Tell {{ ceph_maint_notice.owner | default('nobody') }} of {{ ceph_maint_notice.text | default('') }}"
  ansible.builtin.debug:
    msg: "For {{ ceph_maint_notice.owner | default('nobody') }}: {{ ceph_maint_notice.text | default('') }}"
- name: Fail
  ansible.builtin.fail:
    msg: "No way to {{ ceph_maint_notice.owner }}: {{ ceph_maint_notice.text }}"
  when: ceph_maint_notice.event == 'not_started'
"""
# For one event each: a failure that says what tenants wrote, a task that hangs, and a host that is not reached.
FAULTS = """
- name: Fail
  ansible.builtin.fail:
    msg: "No way to {{ ceph_maint_notice.owner }} with {{ ceph_maint_notice.text }}"
  when: ceph_maint_notice.owner | default('') == '8'
- name: Hang
  ansible.builtin.command: sleep 60
  when: ceph_maint_notice.event == 'started'
- name: Ask a host that is away
  ansible.builtin.ping:
  delegate_to: away
  register: asked
  when: ceph_maint_notice.owner | default('') == '9'
- name: Say so
  ansible.builtin.fail:
    msg: away was not reached
  when: asked is unreachable
"""
INVENTORY = "away ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh ansible_ssh_common_args='-o BatchMode=yes'\n"


def rows(owners: dict[str, list[str]]) -> list[dict[str, t.Any]]:
    """Running VMs, by owner the names."""
    names = [(owner, name) for owner, named in owners.items() for name in named]
    return [
        {"uuid": f"00000000-0000-4000-8000-{number:012d}", "user_id": owner, "name": name, "status": "running"}
        for number, (owner, name) in enumerate(names)
    ]


def hook(folder: Path, tasks: str) -> Path:
    path = folder / "hook.yml"
    path.write_text(tasks.replace("LOG", str(folder / "told")), encoding="utf-8")
    return path


def told(folder: Path) -> list[dict[str, t.Any]]:
    """What the hook was given since this was asked last."""
    path = folder / "told"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [json.loads(line) for line in lines]


def brief(notices: list[dict[str, t.Any]]) -> list[tuple[str, ...]]:
    return [(one["event"], one["owner"]) if "owner" in one else (one["event"],) for one in notices]


@pytest.mark.smoke
def test_a_maintenance_tells_each_owner_once_and_runs_no_tenants_text(platform: Platform) -> None:
    """Owner and name are templates; templates of the operator; the files; one VM that does not start."""
    op = platform(from_list=rows({"8": ["db", CANARY]}), row_extra={"user_id": CANARY}, fail_start=["db"])
    (op.folder / "templates").mkdir()
    template = op.folder / "templates" / "before.txt"
    template.write_text("Subject: $count for $owner\n\n$vms\n{{ 'xq' ~ 'zw' ~ 'kv' }} $$5 $reason\n")
    given = {"ceph_maint_notify_tasks": hook(op.folder, HOOK), "ceph_maint_notice_templates": template.parent}
    run = op.prepare(ceph_maint_reason="disks", **given)
    assert run.rc == 0, run.text
    assert_inert(op, run.text.replace("{{ 'xq' ~ 'zw' ~ 'kv' }}", ""))
    found = told(op.folder)
    assert brief(found) == [("started",), ("before", CANARY), ("safe",)]
    first, before, safe = found
    db, other = (row["uuid"] for row in rows({"8": ["db", CANARY]}))
    assert (first["maintenance"], first["reason"], first["counts"]["vms"]) == (before["maintenance"], "disks", 2)
    assert safe["headline"] == "ALL VMS STOPPED. CEPH WAS NOT CHECKED." and safe["counts"]["stopped"] == 2
    assert before["subject"] == f"2 for {CANARY}" and before["vms"] == [db, other]
    assert before["text"] == f"{db} db\n{other} {CANARY}\n{{{{ 'xq' ~ 'zw' ~ 'kv' }}}} $5 disks\n"
    file = Path(before["file"])
    assert file.parent == op.place / "notices" and file.read_text() == f"Subject: {before['subject']}\n\n{before['text']}"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    run = op.restore(**given)
    assert run.rc != 0 and "(X-Warren" in run.text, run.text
    failed, after, lost = told(op.folder)
    assert brief([failed, after, lost]) == [("failed",), ("after", CANARY), ("not_started", CANARY)]
    assert (after["vms"], lost["vms"]) == ([other], [db])
    assert f"{db} db: POST " in lost["text"]
    assert "1 times your task file" in run.text and f'"owner": "{CANARY}"' in run.text
    assert failed["headline"] == "The restore failed: 1 of 2 VMs run again or are gone"
    assert_inert(op, run.text)


@pytest.mark.edge_cores
def test_a_hook_that_fails_hangs_or_is_not_reached_stops_nothing(platform: Platform) -> None:
    op = platform(from_list=rows({"8": [CANARY], "9": ["a"], "10": ["b"]}))
    (op.folder / "inventory").write_text(INVENTORY)
    given = {"ceph_maint_notify_tasks": hook(op.folder, FAULTS + HOOK), "ceph_maint_notify_timeout": "4"}
    run = op.prepare("-i", "inventory", **given)
    assert run.rc == 0, run.text
    assert_inert(op, run.text)
    assert brief(told(op.folder)) == [("before", "10"), ("safe",)]
    assert "3 times your task file" in run.text.split("Tell | Say that not")[-1]
    assert [row[0] for row in op.ask("SELECT uuid FROM events WHERE what='told before'")] == [rows({"8": [CANARY], "9": ["a"], "10": ["b"]})[2]["uuid"]]
    assert op.phase() == "safe"


def test_a_plan_writes_what_owners_are_told_days_before(platform: Platform) -> None:
    """And tells it when asked to, but for check mode. A hook that is not there is refused, and so is an unknown placeholder."""
    op = platform(from_list=rows({"8": ["a"], "9": ["b"]}))
    (op.folder / "templates").mkdir()
    (op.folder / "templates" / "before.txt").write_text("Subject: $nobody\n")
    refused = op.play("ceph_maint_plan", ceph_maint_notice_templates=op.folder / "templates")
    assert "The template before.txt has the unknown placeholder $nobody. Known are $owner, $count, $vms, " in refused.text, refused.text
    given: dict[str, t.Any] = {"ceph_maint_notice_dir": op.folder / "out"}
    run = op.play("ceph_maint_plan", ceph_maint_notify_before="true", ceph_maint_notify_tasks=op.folder / "none.yml", **given)
    assert run.rc != 0 and "that is no absolute path of a file" in run.text, run.text
    assert op.prepare(ceph_maint_notify_tasks=hook(op.folder, "- name: [\n")).rc != 0
    assert not op.records.exists() and not op.cloud.journal.writes(), "it would have ended the run later, in the middle"
    given.update(ceph_maint_notify_tasks=hook(op.folder, HOOK), ceph_maint_notify_before="true")
    assert op.play("ceph_maint_plan", "--check", **given).rc == 0
    assert not (op.folder / "out").exists() and not told(op.folder)
    run = op.play("ceph_maint_plan", **given)
    assert run.rc == 0, run.text
    assert brief(told(op.folder)) == [("before", "8"), ("before", "9")]
    assert sorted(path.name for path in (op.folder / "out").iterdir()) == ["before.8.txt", "before.9.txt"]
    assert not op.records.exists() and not op.cloud.journal.writes()


def test_a_rerun_tells_only_what_is_new(tmp_path: Path) -> None:
    """One VM does not start at first, one owner's hook fails once, and Ceph breaks again after the end of it all."""
    heard: list[dict[str, t.Any]] = []
    broken = ["9"]

    def hear(notice: dict[str, t.Any]) -> None:
        if notice.get("owner") in broken:
            raise RuntimeError
        heard.append(notice)

    def said() -> list[tuple[str, ...]]:
        found = brief(heard)
        heard.clear()
        return found

    def names(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    owners = {"8": ["a", "b"], "9": ["c"]}
    with Cloud(from_list=rows(owners), fail_start=["a"], fail_start_times=1, deaf=["b"], time_scale=0.01) as cloud:
        operator = crew.Crew(tmp_path, cloud.url, cloud.key, **{**crew.Crew.FAST, "stop_timeout": 0.5, "start_retries": 0}, **crew.telling(hear))
        assert operator.prepare().rc == 2
        assert said() == [("started",), ("before", "8"), ("failed",)]
        broken.clear()
        cloud.act("trait", vm=rows(owners)[2]["uuid"], trait="deaf")
        assert operator.prepare(force=True).rc == 0
        assert said() == [("started",), ("safe",)], "nobody is told that a VM will be stopped which is down"
        (place,) = operator.record_dir.iterdir()
        assert names(place / "notices") == ["before.8.txt", "before.9.txt"]
        assert operator.verify().rc == 0
        assert operator.restore().rc == 2
        assert said() == [("failed",), ("after", "8"), ("after", "9"), ("not_started", "8")]
        assert names(place / "notices") == ["after.8.txt", "after.9.txt", "before.8.txt", "before.9.txt", "not_started.8.txt"]
        assert operator.prepare(force=True).rc == 0
        assert said() == [("started",), ("before", "8"), ("before", "9"), ("safe",)], "they ran again"
        assert names(place / "notices") == ["before.8.txt", "before.9.txt"]
        assert operator.restore().rc == 0
        assert said() == [("restored",), ("after", "8"), ("after", "9")]
        (kept,) = place.glob("*.notices")
        assert names(kept) == ["after.8.txt", "after.9.txt", "before.8.txt", "before.9.txt"]
        assert not (place / "notices").exists()


def test_notices_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    heard: list[dict[str, t.Any]] = []
    with Cloud(vms=2, time_scale=0.01) as cloud:
        settings = {**crew.Crew.FAST, **crew.telling(heard.append)}
        operator = crew.Crew(tmp_path, cloud.url, cloud.key, notice_dir=str(tmp_path / "file"), **settings)
        run = operator.prepare()
        assert run.rc == 0 and "The notices to owners could not be written to" in run.text
        assert [notice["file"] for notice in heard if "owner" in notice] == ["", ""]
        operator = crew.Crew(tmp_path, cloud.url, cloud.key, notice_dir="out", **settings)
        refused = operator.restore()
        assert refused.rc == 2 and "notice_dir out is no absolute path" in refused.text
