# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: what three lists must show before safe is said."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import MAX_UNREAD
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError
from ansible_collections.pilw.maintenance.plugins.module_utils._operations import verify
from ansible_collections.pilw.maintenance.plugins.module_utils._operations.verify import NOT_SAFE_WORDS, SCOPE_WORDS


def rows(**states):
    return [{"uuid": uuid, "status": state, "user_id": 8 if uuid < "m" else 9} for uuid, state in states.items()]


class Cloud:
    """An API that gives these lists in turn (whole, running, whole), the last kind for ever, and details."""

    def __init__(self, *lists, running=None, details=None):
        self.lists, self.running, self.details = list(lists), running or [], details or {}
        self.log = []

    def vms(self):
        self.log.append("all")
        return parse_vm_list(self.lists.pop(0) if len(self.lists) > 1 else self.lists[0])

    def running_vms(self):
        self.log.append("running")
        return parse_vm_list(self.running)

    def vm(self, uuid):
        self.log.append(f"detail {uuid}")
        state = self.details[uuid]
        if isinstance(state, Exception):
            raise state
        return parse_vm({"uuid": uuid, "status": state, "user_id": 8 if uuid < "m" else 9}) if state else None


ALL_STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."


class Pauses(verify.Pause):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def sleep(self, seconds, text):
        self.log.append(seconds)


def prove(cloud, known=(), accepted=(), query="", exclude=""):
    """By the lists alone: Ceph is asked by others."""
    noted = []
    seen = verify.Seen(lambda: known, noted.append)
    verdict = verify.prove(cloud, verify.Scope(query, exclude, accepted), seen, 30, 0, Pauses(cloud.log))
    verdict.noted = noted
    return verdict


def test_safe_takes_two_whole_lists_and_one_of_running_vms_apart_in_time():
    cloud = Cloud(rows(a="stopped", b="deleted", c="Stopped"))
    verdict = prove(cloud, known=["a"])
    assert verdict.safe and verdict.headline() == ALL_STOPPED
    assert cloud.log == ["all", 30, "running", 30, "all"]
    assert len(verdict.noted) == 3
    assert verdict.proofs == [
        "two whole lists of VMs 60 s apart, and one of running VMs between them, show none that is not stopped or deleted"
    ]


@pytest.mark.parametrize("state", ["running", "started", "creating", "paused", "error", "", None, "shutoff", "stopping"])
def test_whatever_is_not_stopped_or_deleted_is_not_safe(state):
    verdict = prove(Cloud(rows(a="stopped", b=state)))
    assert not verdict.safe
    assert verdict.headline() == NOT_SAFE_WORDS == "NOT SAFE TO TAKE CEPH DOWN"
    assert verdict.items == ["vm:b"]
    assert verdict.reasons()[0].startswith("VM b (no name, owner 8, ")
    assert [vm.uuid for vm in verdict.to_stop] == (["b"] if state in ("running", "started") else [])


def test_the_list_of_running_vms_catches_what_the_whole_lists_hide():
    cloud = Cloud(rows(a="stopped"), running=rows(b="running"))
    verdict = prove(cloud)
    assert verdict.items == ["vm:b"] and verdict.headline() == NOT_SAFE_WORDS
    assert cloud.log == ["all", 30, "running"]


def test_the_second_whole_list_counts_as_much_as_the_first():
    verdict = prove(Cloud(rows(a="stopped"), rows(a="running")))
    assert verdict.headline() == NOT_SAFE_WORDS and verdict.proofs == []


@pytest.mark.parametrize("state", [None, "deleted", "Deleted"])
def test_a_missing_vm_is_gone_only_by_its_own_detail(state):
    verdict = prove(Cloud(rows(a="stopped"), details={"b": state}), known=["a", "b"])
    assert verdict.safe and verdict.gone == {"b"}


@pytest.mark.parametrize(("state", "items"), [("running", ["vm:b"]), ("paused", ["vm:b"]), ("stopped", ["vm:b"])])
def test_a_list_that_shrank_without_a_reason_is_not_safe(state, items):
    verdict = prove(Cloud(rows(a="stopped"), details={"b": state}), known=["a", "b"])
    assert verdict.headline() == NOT_SAFE_WORDS
    assert verdict.items == items
    if state == "stopped":
        assert verdict.reasons() == ["VM b: stopped by its own detail, but missing from the list: the list is not whole"]


ODD = ApiError("GET", "/x", status=500, detail="words")


def test_a_detail_that_cannot_be_read_is_no_proof_and_names_its_vm():
    verdict = prove(Cloud(rows(a="stopped"), details={"b": ODD}), known=["b"])
    assert verdict.headline() == NOT_SAFE_WORDS and verdict.items == ["vm:b"]
    assert verdict.reasons() == ["VM b: missing from the list, and its own detail cannot be read: GET /x answered 500: words"]


def test_a_detail_that_cannot_be_read_can_be_accepted():
    verdict = prove(Cloud(rows(a="stopped"), details={"b": ODD}), known=["b"], accepted=["vm:b"])
    assert verdict.safe and verdict.headline() == "ALL VMS STOPPED EXCEPT 1 ACCEPTED: b. CEPH WAS NOT CHECKED."
    assert verdict.excepted["b"].startswith("VM b, missing from the list, and its own detail cannot be read: GET /x")


def test_when_details_cannot_be_read_at_all_not_each_is_asked_for():
    known = [f"b{number}" for number in range(50)]
    cloud = Cloud(rows(a="stopped"), details=dict.fromkeys(known, ODD))
    verdict = prove(cloud, known=known)
    assert set(verdict.unexplained) == set(known)
    assert verdict.unexplained["b49"] == "missing from the list, and its own detail was not asked for, as those of others could not be read"
    assert [entry for entry in cloud.log if str(entry).startswith("detail")] == [f"detail {uuid}" for uuid in known[: MAX_UNREAD]]


def test_a_vm_seen_in_the_first_list_may_not_be_missing_in_the_second():
    cloud, known = Cloud(rows(a="stopped", b="stopped"), rows(a="stopped"), details={"b": "stopped"}), []
    seen = verify.Seen(lambda: known, lambda found: known.extend(found.vms))
    verdict = verify.prove(cloud, verify.Scope(), seen, 0, 0, verify.Pause())
    assert verdict.headline() == NOT_SAFE_WORDS


def test_an_empty_list_is_never_taken_for_safe_by_asking_for_each_vm():
    known = [f"vm{number}" for number in range(250)]
    cloud = Cloud([], details=dict.fromkeys(known))
    verdict = prove(cloud, known=known)
    assert verdict.headline() == NOT_SAFE_WORDS
    assert sum(1 for one in cloud.log if str(one).startswith("detail")) == 200
    assert len(verdict.unexplained) == 50
    assert "missing from the list, as are 250 in all: the list is not whole" in verdict.reasons()[0]


def test_a_row_without_a_uuid_is_not_safe():
    bad = [{"name": "who", "status": "stopped"}]
    verdict = prove(Cloud(bad))
    assert verdict.headline() == NOT_SAFE_WORDS
    assert len(verdict.items) == 1 and verdict.items[0].startswith("list:row-")
    assert verdict.reasons() == [f"a list row without a usable uuid ({verdict.items[0].removeprefix('list:row-')})"]


def test_accepted_vms_are_in_the_headline():
    verdict = prove(Cloud(rows(a="stopped", c="paused", b="running"), running=rows(b="running")), accepted=["vm:b", "vm:c"])
    assert verdict.safe
    assert verdict.headline() == "ALL VMS STOPPED EXCEPT 2 ACCEPTED: b, c. CEPH WAS NOT CHECKED."
    assert verdict.proofs[0].endswith("that is not stopped or deleted, except those accepted")


def test_an_accepted_row_is_in_the_headline():
    bad = [{"name": "who", "status": "running"}]
    item = prove(Cloud(bad)).items[0]
    verdict = prove(Cloud(bad), accepted=[item])
    assert verdict.safe
    assert verdict.headline().startswith("ALL VMS STOPPED EXCEPT 1 ACCEPTED: ")


def test_an_accepted_vm_that_is_missing_is_in_the_headline():
    verdict = prove(Cloud(rows(a="stopped"), details={"b": "stopped"}), known=["a", "b"], accepted=["vm:b"])
    assert verdict.safe
    assert verdict.headline() == "ALL VMS STOPPED EXCEPT 1 ACCEPTED: b. CEPH WAS NOT CHECKED."


@pytest.mark.parametrize(
    ("checked", "excepted", "headline"),
    [
        (True, {}, "SAFE TO TAKE CEPH DOWN"),
        (True, {"b": "VM b"}, "SAFE EXCEPT 1 ACCEPTED: b"),
        (False, {}, ALL_STOPPED),
        (False, {"ceph:mon1": "no answer"}, ALL_STOPPED),
        (False, {"b": "VM b"}, "ALL VMS STOPPED EXCEPT 1 ACCEPTED: b. CEPH WAS NOT CHECKED."),
        (False, {"b": "VM b", "ceph:mon1": "no answer"}, "ALL VMS STOPPED EXCEPT 1 ACCEPTED: b. CEPH WAS NOT CHECKED."),
    ],
)
def test_headline_names_each_missing_proof(checked, excepted, headline):
    verdict = verify.Verdict(excepted=excepted, ceph_checked=checked)
    assert verdict.safe and verdict.headline() == headline


SCOPE = {"query": "[?user_id==`8`]"}


def test_a_scope_is_never_called_safe():
    verdict = prove(Cloud(rows(a="stopped", z="running"), running=rows(z="running")), **SCOPE)
    assert verdict.clean and not verdict.safe
    assert verdict.headline() == SCOPE_WORDS == "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN"
    assert list(verdict.outside) == ["z"] and verdict.to_stop == []


def test_a_scope_with_all_else_down_is_safe_and_one_that_runs_is_not():
    assert prove(Cloud(rows(a="stopped", z="stopped")), **SCOPE).headline() == ALL_STOPPED
    assert prove(Cloud(rows(a="running", z="stopped")), **SCOPE).headline() == NOT_SAFE_WORDS
    assert prove(Cloud(rows(a="running", z="stopped")), exclude="[?uuid=='a']").headline() == SCOPE_WORDS


def test_a_vm_outside_the_scope_that_a_list_lost_is_not_to_be_stopped():
    verdict = prove(Cloud(rows(a="stopped"), details={"z": "running"}), known=["a", "z"], **SCOPE)
    assert verdict.to_stop == []
    assert not verdict.safe


def test_before_each_pause_it_is_said_what_it_is_for(monkeypatch):
    now, said = [0.0], []

    class Told(verify.Pause):
        def sleep(self, seconds, text):
            now[0] += seconds
            said.append(text)

    monkeypatch.setattr(verify._clock, "monotonic", lambda: now[0])
    creating = rows(a="stopped", b="creating")
    seen = verify.Seen(tuple, lambda found: None)
    verify.prove(Cloud(creating, creating, rows(a="stopped", b="stopped")), verify.Scope(), seen, 20, 300, Told())
    assert said == [
        "Proof begun anew for 0 of at most 300 s: VM b (no name, owner 8, creating)",
        "Proof begun anew for 20 of at most 300 s: VM b (no name, owner 8, creating)",
        "Proof begun anew for 20 of at most 300 s: 1 of 3 lists",
        "Proof begun anew for 20 of at most 300 s: 2 of 3 lists",
    ]
