# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: each refusal names what accepts it, and accepting all of it leaves none."""

from __future__ import annotations

import dataclasses
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._accept import accept_argument
from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import POWER_TIMEOUT, HostList
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import digest, parse_host, parse_vm_list
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module import options
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import plan as _plan
from ansible_collections.pilw.maintenance.plugins.module_utils._plan import restore as _restore
from ansible_collections.pilw.maintenance.plugins.module_utils._plan.plan import LocationFacts, RecordFacts, Settings
from ansible_collections.pilw.maintenance.plugins.module_utils._record import force_limit
from ansible_collections.pilw.maintenance.plugins.module_utils._record.rows import Attempt, RecordedHost

CALM = settings(deadline=None, database=None, derandomize=True)

SETTINGS = Settings(api_host="api.example.com", record_copy="/copy")
BAD_ROW = {"name": "no uuid"}


def host_list(*rows):
    hosts = [parse_host(row) for row in rows]
    return HostList(
        {host.uuid: host for host in hosts if host},
        tuple(digest(row) for row, host in zip(rows, hosts) if host is None),
    )


OPEN = {"uuid": "h1", "name": "rack1", "is_accepting_workloads": True}
CLOSED = {"uuid": "h2", "name": "rack2", "is_accepting_workloads": False}
SILENT = {"uuid": "h3", "name": "rack3"}
AWAY = {"uuid": "h4", "name": "rack4", "status": "OFFLINE"}
RUNNING = {"uuid": "a", "status": "running", "user_id": 8, "name": "web"}
STOPPED = {"uuid": "b", "status": "stopped", "user_id": 9}


def prepare(*, hosts=(OPEN,), vms=(RUNNING, STOPPED), locations=(), record=None, machines=(), **wishes):
    return _plan.plan_prepare(
        dataclasses.replace(SETTINGS, **wishes),
        host_list(*hosts),
        parse_vm_list(list(vms)),
        list(locations),
        record,
        list(machines),
    )


def facts(**more):
    known = {"identity": "id-1", "phase": "stopping", "opened_at": "t", "safe_at": None, "age": 0.0, "adopted_from": None}
    return RecordFacts(**{**known, "hosts": [], "vms": [], **more})


def recorded_host(uuid, **more):
    as_usual = {"name": "", "before": True, "now": False, "keep_closed": False, "closed_by_us": True, "error": None, "at": ""}
    return RecordedHost(uuid, **{**as_usual, **more})


class Recorded:
    def __init__(self, uuid, owner="8", name=""):
        self.uuid, self.owner, self.name = uuid, owner, name
        self.row = {"uuid": uuid, "status": "running"}
        self.start = Attempt()

    def label(self):
        return f"{self.uuid} ({self.name}, owner {self.owner})"


def test_a_plan_without_a_word_against_it():
    plan = prepare(hosts=(OPEN, CLOSED, AWAY))
    assert (plan.refusals, plan.items, plan.warnings) == ([], [], [])
    assert [vm.uuid for vm in plan.stop] == ["a"]
    assert [host.uuid for host in plan.close_hosts] == ["h1"]
    assert plan.lines == [
        "Platform: api.example.com",
        "Hosts: 3 of 3; to close 1, closed already 1, left alone (MAINTENANCE, OFFLINE) 1, to stay closed at the end 0",
        "  to close: h1 (rack1)",
        "  closed already: h2 (rack2)",
        "  left alone: h4 (rack4)",
        "VMs: 2 of 2 owners: running 1, stopped 1",
        "To stop: 1 VMs of 1 owners",
        "  owner 8: 1 (web)",
        "Time to stop: about 22 s if all goes well (22 s each, 20 at once), at most 40 min; "
        "whatever is not settled then is named. The whole run, with all else and while the API gives its lists: at most 179 min",
        "VMs that do not stop in time: named; their power is not cut (ceph_maint_force=false)",
        "Force: none (ceph_maint_force=false); with it at most 1 of 1 VMs (ceph_maint_max_force_percentage=20)",
    ]


GROUP = {"name": "db", "query": "[?user_id==`8`]", "delay": 0.0, "force": "never", "stop_timeout": 1200.0, "start_timeout": 1800.0, "concurrency": 1}


def test_plan_shows_the_force_limit_and_whom_it_never_hits():
    many = [{**RUNNING, "uuid": f"u{number}", "name": f"n{number}", "user_id": number % 4} for number in range(100)]
    plan = prepare(vms=many, force=True, never_force=["3", "n8"], max_force_percentage=30)
    assert "Force: at most 30 of 100 VMs (ceph_maint_max_force_percentage=30)" in plan.lines
    place = plan.lines.index("Never forced off, but named: 26 of the VMs to stop")
    assert plan.lines[place + 1 : place + 3] == ["  owner 3: 25 (n3, n7, n11, n15, n19, ...)", "  owner 0: 1 (n8)"]
    record = facts(vms=[Recorded("a")], force=force_limit.Kept(["8"], {}, {"x", "y"}))
    lines = prepare(record=record, force=True).lines
    assert "Force: at most 1 of 1 VMs (ceph_maint_max_force_percentage=20), 2 of them forced off already" in lines
    assert "Never forced off, but named: 1 of the VMs to stop" in lines, "what an earlier run said stays"
    assert not [line for line in prepare(record=record, never_force=[]).lines if line.startswith("Never")], "none withdraws it"


def test_never_force_entry_that_no_vm_has_is_rejected():
    with pytest.raises(InputError, match=r"^ceph_maint_never_force: no VM has the uuid, name or owner webb, "):
        prepare(never_force=["web", "webb"])


def test_plan_counts_with_the_limits_of_groups():
    plain, own = prepare(), prepare(groups=[GROUP])
    assert "Group db: stop_timeout 1200, start_timeout 1800, concurrency 1, force never" in own.lines
    assert own.worst_seconds - plain.worst_seconds == 2 * (1200 - 600)
    assert "Never forced off, but named: 1 of the VMs to stop" in own.lines
    many = [{**RUNNING, "uuid": f"u{number}"} for number in range(100)]
    one_by_one = prepare(vms=many, groups=[{**GROUP, "stop_timeout": 600.0}]).worst_seconds
    assert one_by_one - prepare(vms=many).worst_seconds == (100 - 5) * POWER_TIMEOUT, "20 at once but for the group"


def test_restore_names_what_is_started_first():
    vms = [Recorded("a", owner="8", name="web"), Recorded("b", owner="9", name="test-1")]
    plan = restore(facts(vms=vms), canary=1, canary_vms=["test-1"])
    place = plan.lines.index("Started first, alone, as a trial: 1 VMs")
    assert plan.lines[place + 1] == "  first: b (test-1, owner 9)"
    assert "  first: a (web, owner 8)" in restore(facts(vms=vms), canary=1, groups=[{**GROUP, "query": "[?uuid=='b']"}]).lines
    with pytest.raises(InputError, match=r"^ceph_maint_canary_vms: no VM of the record has the uuid or name x. "):
        restore(facts(vms=vms), canary=1, canary_vms=["x"])


PAUSED = {"uuid": "p", "status": "paused", "user_id": 8}
ME = {"name": "desk", "smbios_uuid": "", "macs": ["52:54:00:00:00:01"], "addresses": ["10.0.0.5"], "unread": []}
TWINS = [LocationFacts("l1", frozenset("ab")), LocationFacts("l2", frozenset("ab"))]
ACCEPTABLE = {
    "unknown state": (
        {"vms": (RUNNING, PAUSED)},
        "vm:p",
        "VM p (no name, owner 8, paused) is neither running nor stopped and would hold Ceph open.",
    ),
    "self": (
        {"vms": ({**RUNNING, "mac": "52:54:00:00:00:01"},), "machines": (ME,)},
        "vm:a",
        "VM a (web, owner 8, running) has the MAC address of desk, the machine that runs this: it would stop itself. "
        "Run from a machine outside this cloud, or leave this VM running.",
    ),
    "unlisted location": (
        {"location": "l9", "locations": (LocationFacts("l1"),)},
        "list:location-l9",
        "The platform does not list a location l9; it lists l1.",
    ),
    "same rows": (
        {"location": "l1", "locations": TWINS},
        "list:same-rows-l1+l2",
        "The locations l1 and l2 show the same VMs: this platform seems to ignore the location in admin lists, so what a "
        "list covers is not known.",
    ),
    "no vm": (
        {"vms": ()},
        "list:empty-api.example.com",
        "The platform api.example.com shows no VM at all. A key without admin rights or a wrong location looks the same.",
    ),
    "no host": (
        {"hosts": (), "location": "l1"},
        "open-host:api.example.com@l1",
        "The platform api.example.com@l1 shows no hypervisor host, so none can be closed to new VMs.",
    ),
    "vm row": (
        {"vms": (RUNNING, BAD_ROW)},
        f"list:row-{digest(BAD_ROW)}",
        f"A row of a list has no usable uuid ({digest(BAD_ROW)}) and cannot be acted on.",
    ),
    "host row": (
        {"hosts": (OPEN, BAD_ROW)},
        f"list:row-{digest(BAD_ROW)}",
        f"A row of a list has no usable uuid ({digest(BAD_ROW)}) and cannot be acted on.",
    ),
}


@pytest.mark.parametrize("name", ACCEPTABLE)
def test_each_refusal_names_what_accepts_it_and_accepting_turns_it_into_a_note(name):
    found, item, text = ACCEPTABLE[name]
    plan = prepare(**found)
    assert (plan.refusals, plan.items) == ([text], [item])
    given_back = options.words(shlex.split(accept_argument(["old:x"], plan.items))[1].partition("=")[2], "accept")
    assert given_back == ["old:x", item]
    accepted = prepare(**found, accept=given_back)
    assert (accepted.refusals, accepted.items) == ([], [])
    assert f"Accepted: {text}" in accepted.warnings


def test_an_item_left_in_a_template_accepts_nothing_new():
    items = [item for _found, item, _text in ACCEPTABLE.values()]
    other = prepare(vms=(RUNNING, {**PAUSED, "uuid": "new"}, {"name": "other"}), accept=items)
    assert other.items == ["list:row-" + digest({"name": "other"}), "vm:new"]


WAYS = {
    "several locations": (
        {"locations": (LocationFacts("l1"), LocationFacts("l2"))},
        {"location": "l1"},
        "The platform has 2 locations (l1, l2) and one run covers one of them. Choose with -e ceph_maint_location=SLUG",
    ),
    "flag not shown": (
        {"hosts": (OPEN, SILENT)},
        {"keep_closed": []},
        "The platform does not show whether 1 of 2 hosts take workloads, so what to put back is not known. Say which hosts "
        "are to stay closed at the end: -e ceph_maint_hosts_keep_closed=UUID,UUID (or none, when all of them took workloads "
        "before)",
    ),
    "all closed": (
        {"hosts": (CLOSED,)},
        {"keep_closed": ["rack2"]},
        "No host takes workloads now, and there is no record that says why: an earlier maintenance may have closed them. "
        "Say which hosts are to stay closed at the end: -e ceph_maint_hosts_keep_closed=UUID,UUID (or none, when all of them "
        "took workloads before)",
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_cannot_be_accepted_has_another_way_on(name):
    found, way, text = WAYS[name]
    plan = prepare(**found)
    assert (plan.refusals, plan.items) == ([text], [])
    assert prepare(**found, **way).refusals == []


def test_what_an_open_record_knows_is_not_asked_again():
    record = facts(hosts=[recorded_host("h3"), recorded_host("h2")])
    assert prepare(hosts=(SILENT,), record=record).refusals == []
    assert prepare(hosts=(CLOSED,), record=record).refusals == []
    assert "this run goes on with it" in prepare(record=record).lines[1]


def test_a_recorded_vm_that_is_left_out_now_is_not_stopped():
    plan = prepare(exclude="[?uuid=='a']", record=facts(vms=[Recorded("a")]))
    assert plan.stop == []


def test_a_scope_is_said_to_end_unsafe():
    plan = prepare(exclude="[?uuid=='a']")
    assert plan.stop == []
    said = plan.lines.index("Left out by the scope: 1 VMs that are not stopped, so the end will not be safe for Ceph")
    assert plan.lines[said + 1] == "  ceph_maint_exclude: [?uuid=='a']"


@pytest.mark.parametrize("expression", ["[].name", "[?name=='web'].name"])
@pytest.mark.parametrize("option", ["query", "exclude"])
def test_a_scope_that_selects_words_that_are_no_vm_is_not_passed_over_in_silence(option, expression):
    try:
        plan = prepare(**{option: expression})
        said = plan.refusals + plan.warnings
    except InputError as exc:
        said = [str(exc)]
    assert any(option in text for text in said)


def test_a_private_address_alone_warns():
    plan = prepare(vms=({**RUNNING, "private_ipv4": "10.0.0.5"},), machines=(ME,))
    assert plan.refusals == []
    assert plan.warnings == [
        "VM a (web, owner 8, running) has the private address of desk. A private address proves nothing; see that it is another "
        "machine."
    ]


def test_a_stopped_vm_that_looks_like_us_is_no_obstacle():
    assert prepare(vms=({**STOPPED, "mac": "52:54:00:00:00:01"},), machines=(ME,)).refusals == []


def test_what_could_not_be_proved_is_said():
    plan = prepare(machines=({**ME, "unread": ["SMBIOS UUID", "MAC addresses"]},), record_copy="")
    assert plan.warnings == [
        "Not proven that desk is no VM of this cloud: not readable there: SMBIOS UUID, MAC addresses.",
        "No second copy of the record is kept. Set ceph_maint_record_copy to a folder on another disk.",
    ]


@pytest.mark.parametrize(
    "wishes",
    [
        {"keep_closed": ["nosuch"]},
        {"hosts_query": "["},
        {"query": "["},
        {"groups": [{"name": "g", "query": "[", "delay": 0}]},
    ],
)
def test_wishes_that_cannot_be_read_are_refused_in_the_plan(wishes):
    with pytest.raises(InputError):
        prepare(**wishes)


def test_hosts_by_query_and_name():
    plan = prepare(hosts=(OPEN, {**OPEN, "uuid": "h9"}), hosts_query="[?uuid=='h9']")
    assert [host.uuid for host in plan.close_hosts] == ["h9"]
    with pytest.raises(InputError, match=r"hosts_keep_closed: no host has the uuid or name x\. Nothing was changed\."):
        _plan.hosts_named(host_list(OPEN), ["h1", "x"], "hosts_keep_closed")
    assert _plan.hosts_named(host_list(OPEN, CLOSED), ["h1", "rack2"], "o") == {"h1", "h2"}


def test_time_is_bounded_and_told():
    plan = prepare(vms=[{**RUNNING, "uuid": f"v{number}"} for number in range(200)], force=True)
    assert plan.worst_seconds == (10 * 90 + 2 * 600 + 600 + 480) + (10 * 90 + 2 * 300 + 600 + 480)
    assert "VMs that do not stop in time: their power is cut" in plan.lines
    # Three rounds for VMs that come up again, and before them the power cuts that an earlier run left.
    assert plan.whole_seconds == 810 + 300 + 2 * 120 + 2580 + 3 * (3180 + 2580 + 300 + 3 * 150)
    assert (
        "Time to stop: about 4 min if all goes well (22 s each, 20 at once), at most 96 min; whatever is not settled then is named. "
        "The whole run, with all else and while the API gives its lists: at most 391 min"
    ) in plan.lines


@pytest.mark.parametrize(("window", "told"), [(0, False), (280, False), (279, True)])
def test_a_window_that_is_too_short_is_said_in_the_plan(window, told):
    plan = prepare(vms=[{**RUNNING, "uuid": f"v{number}"} for number in range(200)], window=window)  # 220 s and the proof
    assert not plan.refusals
    said = [note for note in plan.warnings if note.startswith("The window of 5 min will not be met: about 5 min are needed if all goes well.")]
    assert bool(said) is told


def test_a_longer_wait_for_vms_in_creation_makes_the_run_longer():
    short, long = prepare(settle_timeout=0, proof_interval=0), prepare(settle_timeout=600, proof_interval=60)
    assert long.whole_seconds - short.whole_seconds == 600 + 3 * (600 + 3 * 60)


def test_ten_thousand_vms_print_a_few_lines():
    rows = [{"uuid": f"v{number}", "status": "running", "user_id": number} for number in range(10000)]
    plan = prepare(vms=rows, hosts=[{**OPEN, "uuid": f"h{number}"} for number in range(300)])
    assert len(plan.stop) == 10000
    assert len(plan.lines) < 60
    assert "  and 9980 more owners with 9980 VMs" in plan.lines
    assert "  to close: and 280 more" in plan.lines


UUIDS = st.sampled_from(["a", "b", "c"])
VM_ROWS = st.one_of(
    st.fixed_dictionaries(
        {
            "uuid": UUIDS,
            "status": st.sampled_from(["running", "stopped", "creating", "deleted", "paused", "", None, "Odd State"]),
            "mac": st.sampled_from(["52:54:00:00:00:01", None]),
            "private_ipv4": st.sampled_from(["10.0.0.5", None]),
        }
    ),
    st.sampled_from([BAD_ROW, 5, None, {"uuid": "b b"}]),
)
HOST_ROWS = st.sampled_from([OPEN, CLOSED, SILENT, AWAY, BAD_ROW, 7])
PLACES = st.lists(st.sampled_from(["l1", "l2", "l3"]), unique=True, max_size=3)


@settings(CALM, max_examples=120)
@given(
    st.lists(VM_ROWS, max_size=4),
    st.lists(HOST_ROWS, max_size=4),
    PLACES,
    st.sampled_from([frozenset(), frozenset("a")]),
    st.sampled_from(["", "l1", "l9"]),
    st.sampled_from(["api.example.com", "https://api.example.com:8443/v1", "[2001:db8::1]:443"]),
    st.booleans(),
)
def test_there_is_always_a_way_on(vms, hosts, slugs, shown, location, api_host, known):
    wishes = {"api_host": api_host, "location": location}
    found = {
        "vms": vms,
        "hosts": hosts,
        "locations": [LocationFacts(slug, shown) for slug in slugs],
        "machines": (ME,),
        "record": facts(vms=[Recorded("a")]) if known else None,
    }
    for _round in range(4):
        plan = prepare(**found, **wishes)
        if not plan.refusals:
            return
        text = " ".join(plan.refusals)
        argument = accept_argument(wishes.get("accept", []), plan.items)
        option, value, *reason = shlex.split(argument)
        assert (option, reason in ([], ["-e", "ceph_maint_accept_reason='REASON'"])) == ("-e", True)
        wishes["accept"] = options.words(value.removeprefix("ceph_maint_accept="), "accept") or []
        if "-e ceph_maint_location=" in text:
            wishes["location"] = slugs[0]
        if "-e ceph_maint_hosts_keep_closed=" in text:
            wishes["keep_closed"] = []
    raise AssertionError(plan.refusals)


# Restore.


def restore(record=None, running=(), adopting="", ceph_is_back=False, open_hosts=("all",), **wishes):
    wanted = dataclasses.replace(SETTINGS, **wishes)
    if record:
        return _restore.plan_restore(wanted, record, None if running is None else parse_vm_list(list(running)), None, adopting, ceph_is_back)
    if adopting:
        return _restore.plan_adoption(wanted, adopting, [RUNNING], None if open_hosts is None else list(open_hosts), ceph_is_back)
    return _restore.nothing_to_restore("/r/api.example.com", None, "")


def test_a_restore_without_a_record_says_where_it_looked_and_how_to_go_on():
    plan = restore()
    assert plan.items == []
    assert plan.refusals == [
        "There is no open record in /r/api.example.com, so nothing is known that could be brought back. If the record lies "
        "elsewhere, set ceph_maint_record_dir, ceph_maint_api_host and ceph_maint_location as they were in the prepare. "
        "To restore from a hand-made list: -e ceph_maint_running_vms=/path/running_vms.json"
    ]


def test_a_hand_made_list_does_not_replace_an_open_record():
    plan = restore(facts(), adopting="/tmp/list.json", ceph_is_back=True)
    assert len(plan.refusals) == 1
    assert plan.refusals[0].startswith("There is an open record (id-1, phase stopping, 0 VMs), and it knows more than /tmp/list.json.")


GATE = (
    "Ceph was to be taken down, and nothing here can tell whether it serves again, or went down at all. A VM started before it "
    "serves hangs. When Ceph is back: -e ceph_maint_ceph_is_back=true"
)


@pytest.mark.parametrize(
    ("record", "adopting", "closed"),
    [
        (facts(), "", False),
        (facts(safe_at="t", phase="safe"), "", True),
        (facts(safe_at="t", phase="starting"), "", True),
        (facts(adopted_from="/l"), "", True),
        (None, "/l", True),
    ],
)
def test_the_gate_once_ceph_may_have_been_down(record, adopting, closed):
    assert restore(record, adopting=adopting).refusals == ([GATE] if closed else [])
    assert restore(record, adopting=adopting, ceph_is_back=True).refusals == []


def test_a_hand_made_list_needs_the_word_which_hosts_were_closed():
    plan = restore(adopting="/l", ceph_is_back=True, open_hosts=None)
    assert plan.refusals == [
        "Which hosts the shell runbook closed is not known. Say it: -e ceph_maint_open_hosts=all (or none, or UUID,UUID)."
    ]
    assert restore(adopting="/l", ceph_is_back=True).lines == [
        "Platform: api.example.com",
        "Hand-made list /l: 1 VMs to bring back",
        "Hosts to open: all",
    ]


def test_only_hosts_that_we_closed_are_opened_and_only_what_does_not_run_is_started():
    hosts = [
        recorded_host("ours"),
        recorded_host("unknown", before=None),
        recorded_host("was-closed", before=False),
        recorded_host("kept", keep_closed=True),
        recorded_host("not-ours", closed_by_us=False),
        recorded_host("open-again", now=True),
    ]
    plan = restore(facts(hosts=hosts, vms=[Recorded("a"), Recorded("b")]), running=[RUNNING])
    assert [host.uuid for host in plan.open_hosts] == ["ours", "unknown"]
    assert [vm.uuid for vm in plan.start] == ["b"]
    assert plan.lines == [
        "Platform: api.example.com",
        "Record: id-1, phase stopping, since t",
        "Hosts to open: 2 of 6 recorded",
        "  to open: ours",
        "  to open: unknown",
        "  to stay closed: kept",
        "VMs to start: 1 of 2 recorded",
        "Time to start: about 4 s if all goes well (4 s each, 20 at once), at most 50 min; "
        "whatever is not settled then is named. The whole run, with all else and while the API gives its lists: at most 131 min",
    ]
    away = restore(facts(vms=[Recorded("a")]), running=None)
    assert "VMs to start: 1 of 1 recorded (the API does not answer yet)" in away.lines
