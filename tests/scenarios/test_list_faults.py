# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a list, a detail or a host flag can go wrong: safe is never said too early, and nothing is forgotten."""

from __future__ import annotations

import re
import typing as t

import pytest

from harness.fast_clock import LIST_PATIENCE, Desk, GiveDesk, desks

desk = pytest.fixture(desks)

NOT_SAFE = "NOT SAFE TO TAKE CEPH DOWN"
ALL_STOPPED = "ALL VMS STOPPED. CEPH WAS NOT CHECKED."
ONE = "vm-0"
ALL = "GET /v1/user-resource/vm/all"
ID = r" \(X-Warren-Correlation-Id [0-9a-f-]{36}\)"
WHOLE = {"status": ""}  # lists without a filter; all others ask for running VMs
PLAN, TAKE, PROOF = 0, 1, 4  # so many whole lists come before, in a prepare
NOT_WHOLE = "missing from the list: the list is not whole"


def assert_all_down(at: Desk, out: t.Any) -> None:
    assert (out.rc, out.headline, out.error) == (0, ALL_STOPPED, ""), out.text
    assert at.cloud.in_state("running") == set()
    assert {row[0] for row in at.ask("SELECT uuid FROM vms")} == at.running


def events(at: Desk, what: str) -> list[str]:
    return [row[0] for row in at.ask("SELECT uuid FROM events WHERE what=?", what)]


REPEATED: dict[str, dict[str, t.Any]] = {
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "504": {"status": 504},
    "429": {"status": 429, "retry_after": "86400"},
    "cut": {"kind": "cut"},
    "hangs": {"kind": "hang"},
    "broken off": {"kind": "broken_off"},
    "wrong type": {"kind": "mislabelled"},
    "dribbled": {"kind": "dribble", "seconds": 30},
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_read_that_goes_wrong_once_is_not_noticed(desk: GiveDesk, name: str) -> None:
    """Once in the plan, once when the list is taken, and once in the proof."""
    at = desk()
    for place in (PLAN, TAKE, PROOF):
        at.act("fault", route="vm_all", param=WHOLE, skip=place, **REPEATED[name])
    assert_all_down(at, at.crew.prepare())
    assert sum(bool(entry.faults) for entry in at.cloud.journal.of("vm_all")) >= 2
    assert at.sent("stop") == dict.fromkeys(at.running, 1)


# Answers that no asking again mends, and what is said of them.
BAD: dict[str, tuple[dict[str, t.Any], str]] = {
    "truncated": ({"kind": "truncated"}, f"{ALL} answered 200: the body is not JSON: .{{1,303}}{ID}"),
    "page": ({"kind": "html"}, f"{ALL} answered 200: the body is not JSON: Sign in Please sign in{ID}"),
    "empty 200": ({"kind": "empty", "status": 200}, f"{ALL} answered 200: the body is not JSON: empty body{ID}"),
    "empty 400": ({"kind": "empty", "status": 400}, f"{ALL} answered 400: empty body{ID}"),
    "no list": ({"status": 200, "body": '{"vms": []}'}, f"{ALL} answered 200: a list was expected, a dict came{ID}"),
    "500": ({"status": 500}, f"{ALL} answered 500: An unexpected error occurred{ID}"),
    "503": ({"status": 503}, f"{ALL} answered 503: An unexpected error occurred{ID}"),
    "cut": ({"kind": "cut"}, f"{ALL} gave no answer: .*"),
    "hangs": ({"kind": "hang"}, f"{ALL} gave no answer: nothing came within {LIST_PATIENCE:g} s"),
    "dribbled too slowly": (
        {"kind": "dribble", "seconds": 200}, f"{ALL} gave no answer: the answer came too slowly to end within the time limit{ID}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_no_list_no_plan(desk: GiveDesk, name: str) -> None:
    fault, words = BAD[name]
    at = desk()
    at.act("fault", route="vm_all", times=-1, **fault)
    out = at.crew.prepare()
    told = rf"The platform cannot be read: {words}\. Nothing was changed\. Once it answers, run the same command again\."
    assert out.rc == 2 and re.fullmatch(told, out.error), out.error
    assert at.cloud.journal.writes() == []
    assert not list(at.folder.glob("records/*/*"))
    at.act("clear_faults")
    assert_all_down(at, at.crew.prepare())


@pytest.mark.parametrize("name", ["page", "500"])
def test_a_plan_that_failed_says_that_nothing_was_changed(desk: GiveDesk, name: str) -> None:
    at = desk()
    at.act("fault", route="vm_all", times=-1, **BAD[name][0])
    assert "Nothing was changed" in at.crew.prepare().text


@pytest.mark.parametrize("name", ["truncated", "page", "empty 200", "500", "cut"])
def test_no_list_nothing_recorded_nothing_stopped(desk: GiveDesk, name: str) -> None:
    fault, words = BAD[name]
    at = desk()
    at.act("fault", route="vm_all", skip=TAKE, times=-1, **fault)
    out = at.crew.prepare()
    assert out.rc == 2 and re.match(words, out.error), out.error
    assert (at.phase(), at.sent("stop"), at.ask("SELECT uuid FROM vms")) == ("closing", {}, [])
    assert [host.accepting for host in at.cloud.hosts] == [False, False]
    assert "Phase closing. Hosts that were closed stay closed, and VMs that are down stay down." in out.lines
    assert "To go on, mend what the failure names and run the same command again." in out.lines
    at.act("clear_faults")
    assert_all_down(at, at.crew.prepare())


@pytest.mark.parametrize("name", ["truncated", "page", "empty 400", "500", "cut", "dribbled too slowly"])
def test_no_list_no_proof(desk: GiveDesk, name: str) -> None:
    """Everything is down, and still nothing is said that was not seen."""
    fault, words = BAD[name]
    at = desk()
    at.act("fault", route="vm_all", param=WHOLE, skip=PROOF + 1, times=-1, **fault)
    out = at.crew.prepare()
    assert out.rc == 2 and re.match(words, out.error), out.error
    assert (out.headline, at.phase()) == ("", "stopping")
    assert at.cloud.in_state("running") == set()
    assert "Phase stopping. Hosts that were closed stay closed, and VMs that are down stay down." in out.lines
    at.act("clear_faults")
    again = at.crew.prepare()
    assert_all_down(at, again)
    assert at.sent("stop") == dict.fromkeys(at.running, 1)


@pytest.mark.parametrize("name", ["truncated", "page", "no list", "503", "hangs"])
def test_no_list_for_a_while_amid_the_stops(desk: GiveDesk, name: str) -> None:
    """The engine waits, and sends nothing meanwhile."""
    at = desk(concurrency=2)
    fault = {"route": "vm_all", "times": -1, "lasting": 100, **BAD[name][0]}
    at.cloud.schedule("fault", when="admin_vm_stop", nth=2, **fault)
    assert_all_down(at, at.crew.prepare())
    assert at.sent("stop") == dict.fromkeys(at.running, 1)


def test_a_list_is_short_until_the_proof(desk: GiveDesk) -> None:
    """Whom the first lists do not show is found by the proof, written down, and stopped."""
    at = desk()
    at.act("fault", kind="list", route="vm_all", param=WHOLE, keep=2, times=PROOF)
    out = at.crew.prepare()
    assert_all_down(at, out)
    assert len(at.ask("SELECT uuid FROM vms WHERE late")) == 4
    assert at.sent("stop") == dict.fromkeys(at.running, 1)
    assert at.crew.restore().rc == 0
    assert at.cloud.in_state("running") == at.running


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("keep", [0, 2])
def test_a_list_is_short_in_the_proof(desk: GiveDesk, keep: int, which: int) -> None:
    """One of its two whole lists: what is missing is asked for one by one, and is not gone."""
    at = desk()
    at.act("fault", kind="list", route="vm_all", param=WHOLE, skip=PROOF + which, keep=keep)
    out = at.crew.prepare()
    assert (out.rc, out.headline, at.phase()) == (2, NOT_SAFE, "stopping")
    assert out.error.startswith(f"{NOT_SAFE}. The summary above says why")
    missing = [line for line in out.lines if line.endswith(f"stopped by its own detail, but {NOT_WHOLE}")]
    assert len(missing) == len(out.items) == 6 - keep
    assert at.cloud.in_state("running") == set()
    assert_all_down(at, at.crew.prepare())


def test_filter_that_shows_no_running_vm_hides_none(desk: GiveDesk) -> None:
    """A filtered list that is empty by mistake: the VMs' own details show that they run."""
    at = desk()
    at.act("fault", kind="list", route="vm_all", param={"status": "running"}, keep=0, times=-1)
    assert_all_down(at, at.crew.prepare())
    assert at.sent("stop") == dict.fromkeys(at.running, 1)


@pytest.mark.parametrize("keep", [0, 3])
def test_the_filter_shows_too_few_once(desk: GiveDesk, keep: int) -> None:
    at = desk()
    at.act("fault", kind="list", route="vm_all", param={"status": "running"}, keep=keep, times=2)
    assert_all_down(at, at.crew.prepare())
    assert at.sent("stop") == dict.fromkeys(at.running, 1)


@pytest.mark.parametrize("status", ["", "running"])
def test_lists_are_short_during_a_restore(desk: GiveDesk, status: str) -> None:
    """Each VM is started once, and who runs counts as running by its own detail."""
    at = desk()
    assert at.crew.prepare().safe
    at.act("fault", kind="list", route="vm_all", param={"status": status}, keep=2, times=-1)
    out = at.crew.restore()
    assert (out.rc, at.phase(), at.cloud.in_state("running")) == (0, "done", at.running)
    assert at.sent("start") == dict.fromkeys(at.running, 1)
    assert "VMs recorded 6: running again 6" in out.lines


def test_the_platform_shows_no_vm_at_all(desk: GiveDesk) -> None:
    at = desk()
    at.act("fault", kind="list", route="vm_all", keep=0, times=-1)
    out = at.crew.prepare()
    place = at.cloud.url
    assert (out.rc, out.refused, out.items) == (2, True, [f"list:empty-{place}"])
    text = f"The platform {place} shows no VM at all. A key without admin rights or a wrong location looks the same."
    assert f"  1. {text}" in out.lines
    assert f"To accept what can be accepted: -e ceph_maint_accept=list:empty-{place}" in out.lines
    assert at.cloud.journal.writes() == []


def test_the_platform_shows_no_vm_any_more(desk: GiveDesk) -> None:
    """After the plan every list is empty: nobody is thought to be down."""
    at = desk()
    at.act("fault", kind="list", route="vm_all", keep=0, skip=TAKE, times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"list:empty-{at.cloud.url}"])
    assert f"  the platform {at.cloud.url} shows no VM at all" in out.lines
    at.act("clear_faults")
    assert_all_down(at, at.crew.prepare())


@pytest.mark.parametrize("state", ["stopped", "deleted", "running", None])
def test_rows_that_contradict_each_other(desk: GiveDesk, state: str | None) -> None:
    """Of two rows with one uuid the one that holds Ceph counts, whichever comes first."""
    at = desk()
    at.act("fault", kind="list", route="vm_all", add=[{"uuid": at.uuid(ONE), "status": state}], times=-1)
    out = at.crew.prepare()
    if state in ("stopped", "deleted"):
        assert_all_down(at, out)
        return
    assert at.cloud.in_state("running") == set()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{at.uuid(ONE)}"])
    word = state or "unknown"
    assert any(line.startswith(f"  VM {at.uuid(ONE)} (no name, owner unknown, {word})") for line in out.lines), out.text


ODD = {"null": None, "number": 7, "text": "row", "list": [], "no uuid": {"name": "x", "status": "running"}, "null uuid": {"uuid": None}}


@pytest.mark.parametrize("name", ODD)
def test_a_row_that_is_no_vm_is_refused_by_name(desk: GiveDesk, name: str) -> None:
    at = desk()
    at.act("fault", kind="list", route="vm_all", add=[ODD[name]], times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.refused, len(out.items)) == (2, True, 1)
    row = out.items[0]
    assert re.fullmatch("list:row-[0-9a-f]{12}", row)
    assert f"  1. A row of a list has no usable uuid ({row.removeprefix('list:row-')}) and cannot be acted on." in out.lines
    assert f"To accept what can be accepted: -e ceph_maint_accept={row}" in out.lines
    assert at.cloud.journal.writes() == []
    accepted = at.crew.prepare(accept=out.accept_argument())
    assert (accepted.rc, accepted.headline) == (0, f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: {row.removeprefix('list:row-')}. CEPH WAS NOT CHECKED.")
    assert at.cloud.in_state("running") == set()


@pytest.mark.parametrize("name", ODD)
def test_a_row_that_is_no_vm_appears_only_in_the_proof(desk: GiveDesk, name: str) -> None:
    at = desk()
    at.act("fault", kind="list", route="vm_all", add=[ODD[name]], skip=PROOF, param=WHOLE, times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.headline) == (2, NOT_SAFE)
    assert f"  a list row without a usable uuid ({out.items[0].removeprefix('list:row-')})" in out.lines


def test_null_status_is_a_vm_that_may_hold_ceph(desk: GiveDesk) -> None:
    at = desk()
    at.act("fault", kind="list", route="vm_all", over={"status": None}, param=WHOLE, times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.refused) == (2, True)
    assert set(out.items) == {f"vm:{uuid}" for uuid in at.running}
    text = f"VM {at.uuid(ONE)} (vm-0, owner 8, unknown) is neither running nor stopped and would hold Ceph open."
    assert any(line.endswith(text) for line in out.lines), out.text
    assert at.cloud.journal.writes() == []


HOSTILE = [
    "n" * 100_000,
    "\x1b[2J\x1b]0;owned\x07",
    "{{ lookup('pipe', 'touch /tmp/owned') }}",
    "a\nSAFE TO TAKE CEPH DOWN\r\nb",
    "\u202eNWOD",
    "\ud83d",
    7,
    {"a": [1]},
    None,
    "",
]


@pytest.mark.parametrize("owner", [True, False])
def test_names_cannot_do_harm(desk: GiveDesk, owner: bool) -> None:
    """Whatever a customer writes in a name, a line stays one line, short and printable, and the work goes on."""
    rows = [
        {"uuid": f"5b0cfa4e-0000-4000-8000-{number:012d}", "name": text, "hostname": text, "description": text, "status": "running",
         "user_id": 8, "unheard_of": {"of": [1, None]}}
        for number, text in enumerate(HOSTILE)
    ]  # fmt: skip
    at = desk(from_list=rows, deaf=1.0)
    if owner:
        at.act("fault", kind="list", route="vm_all", over={"user_id": HOSTILE[3]}, times=-1)
    out = at.crew.prepare()
    assert (out.rc, out.headline, set(out.items)) == (2, NOT_SAFE, {f"vm:{row['uuid']}" for row in rows}), out.text
    for line in (*out.lines, *at.crew.status().lines):
        assert line.isprintable() and (len(line) < 400 or "ceph_maint_accept=" in line), repr(line[:300])
        assert "  VM" in line or "SAFE TO TAKE CEPH DOWN" not in line.replace(NOT_SAFE, "") or " owner " in line, line
    assert at.crew.prepare(force=True).safe
    assert at.crew.restore().rc == 0
    assert at.cloud.in_state("running") == at.running


def test_lists_lag_behind(desk: GiveDesk) -> None:
    """Lists show the past for half a minute: it takes longer, and who came up a moment before the proof is caught by it."""
    at = desk(list_lag=30, proof_interval=0.3, running=5)
    late = at.cloud.in_state("stopped").pop()
    assert_all_down(at, at.crew.prepare())
    assert at.sent("stop") == dict.fromkeys(at.running, 1)
    at.act("start", vm=late)
    out = at.crew.verify()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{late}"])
    assert at.phase() == "stopping"
    assert at.crew.prepare().safe
    assert at.cloud.in_state("running") == set()


def test_details_lag_behind(desk: GiveDesk) -> None:
    """A VM is deleted and no list shows it any more, while its own detail still says running: it is not gone yet."""
    at = desk(detail_lag=1e6, deleted_listed=False, deleted_detail="gone")
    at.cloud.schedule("delete", vm=ONE, when="admin_vm_stop")
    out = at.crew.prepare()
    assert (out.rc, out.headline, out.items) == (2, NOT_SAFE, [f"vm:{at.uuid(ONE)}"])
    at.act("options", detail_lag=0.0)
    assert_all_down(at, at.crew.prepare())
    assert at.one("stop", ONE)[0] == "vanished"


def test_the_detail_does_not_know_what_the_list_shows(desk: GiveDesk) -> None:
    """The list is the platform's word that it is there: a detail that denies it changes nothing."""
    at = desk(deaf=[ONE])
    gone = '{"errors":{"Error":"No such virtual machine exists: x"}}'
    at.act("fault", route="admin_vm_show", status=400, body=gone, times=-1)
    out = at.crew.prepare()
    at.assert_only_one_left(out, 1)


FLAG = "PUT /v1/base-operator/admin/host_flags"
FLAGS: dict[str, dict[str, t.Any]] = {
    **{str(status): {"status": status} for status in (409, 429, 500, 502, 503, 504)},
    **{f"{status} after": {"status": status, "after": True} for status in (500, 502, 503, 504)},
    "cut": {"kind": "cut"},
    "cut after": {"kind": "cut", "after": True},
    "page after": {"kind": "html", "after": True},
    "empty after": {"kind": "empty", "status": 200, "after": True},
    "truncated": {"kind": "truncated"},
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_host_flag_goes_wrong_once(desk: GiveDesk, name: str) -> None:
    at = desk()
    at.act("fault", route="host_flags", uuid=at.cloud.hosts[0].uuid, **FLAGS[name])
    assert_all_down(at, at.crew.prepare())
    assert [host.accepting for host in at.cloud.hosts] == [False, False]
    at.act("fault", route="host_flags", uuid=at.cloud.hosts[0].uuid, **FLAGS[name])
    out = at.crew.restore()
    assert (out.rc, at.phase()) == (0, "done")
    assert [host.accepting for host in at.cloud.hosts] == [True, True]
    assert "Hosts still closed: 0" in out.lines


def test_a_page_instead_of_a_flag(desk: GiveDesk) -> None:
    """A proxy answers 200 and nothing was written: a host that is open in truth must not count as closed."""
    at = desk()
    host = at.cloud.hosts[0].uuid
    at.act("fault", route="host_flags", uuid=host, kind="html", times=-1)
    out = at.crew.prepare()
    assert (out.rc, at.sent("stop"), [host.accepting for host in at.cloud.hosts]) == (2, {}, [True, False])
    expected = (
        rf"1 hosts could not be closed: {host} \(.*\): PUT .*base-operator/admin/host_flags answered 200: the body is not "
        rf"JSON: Sign in Please sign in \(.*\)\. 1 others were\. Run the same again once they answer, or go on with them open: "
        rf"-e ceph_maint_accept=open-host:{host}"
    )
    assert re.fullmatch(expected, out.error), out.error


@pytest.mark.parametrize("name", ["400", "409", "500", "cut"])
def test_a_host_that_cannot_be_closed(desk: GiveDesk, name: str) -> None:
    """The others are closed, no VM is touched, and one argument goes on with it open."""
    at = desk()
    host = at.cloud.hosts[0].uuid
    fault = {"kind": "cut"} if name == "cut" else {"status": int(name)}
    at.act("fault", route="host_flags", uuid=host, times=-1, **fault)
    out = at.crew.prepare()
    assert (out.rc, at.sent("stop"), at.phase()) == (2, {}, "closing")
    answer = "gave no answer: .*" if name == "cut" else f"answered {name}: An unexpected error occurred{ID}"
    expected = (
        rf"1 hosts could not be closed: {host} \(.*\): {FLAG} {answer}\. 1 others were\. Run the same again once they "
        rf"answer, or go on with them open: -e ceph_maint_accept=open-host:{host}"
    )
    assert re.fullmatch(expected, out.error), out.error
    accepted = at.crew.prepare(accept=out.accept_argument())
    assert (accepted.rc, at.cloud.in_state("running")) == (0, set())
    assert f"  accepted: open-host:{host}" in accepted.lines


def test_a_host_left_open_on_purpose_is_in_the_headline(desk: GiveDesk) -> None:
    at = desk()
    host = at.cloud.hosts[0].uuid
    at.act("fault", route="host_flags", uuid=host, times=-1, status=500)
    out = at.crew.prepare(accept=[f"open-host:{host}"])
    assert out.headline == f"ALL VMS STOPPED EXCEPT 1 ACCEPTED: {host}. CEPH WAS NOT CHECKED."


def test_a_restore_that_an_answer_ends_says_how_to_go_on(desk: GiveDesk) -> None:
    at = desk()
    assert at.crew.prepare().safe
    at.act("fault", route="host_list", kind="html", times=-1)
    out = at.crew.restore()
    assert out.rc == 2 and out.error.startswith("0 recorded VMs do not run again and 2 hosts are still closed"), out.error
    words = f"the host list cannot be read: GET /v1/base-operator/host/list answered 200: the body is not JSON: Sign in Please sign in{ID}"
    assert len([line for line in out.lines if re.search(words, line)]) == 2
    assert (at.phase(), at.cloud.in_state("running")) == ("starting", at.running), "hosts are no reason to leave VMs down"
    assert "run the same command again" in out.text
    at.act("clear_faults")
    assert at.crew.restore().rc == 0
