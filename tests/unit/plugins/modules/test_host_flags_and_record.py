# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing hosts remembers what they were; opening them puts back just that."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import HostList
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_host
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError, LeaseLost, PilwError
from ansible_collections.pilw.maintenance.plugins.module_utils._power import host_flags
from ansible_collections.pilw.maintenance.plugins.module_utils._record.lock import FOREGROUND, Caller
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_host_flags


class Cloud:
    """C(hosts): uuid to the flag (None: not shown) or to a state."""

    def __init__(self, **hosts):
        self.shown, self.sent, self.errors, self.on_call = hosts, [], {}, None
        self.list_error = None
        self.names = {}
        self.idle = set()  # say that all is well and do nothing

    def hosts(self):
        if self.list_error:
            raise self.list_error
        rows = []
        for uuid, value in self.shown.items():
            key = "status" if isinstance(value, str) else "is_accepting_workloads"
            rows.append({"uuid": uuid, "name": self.names.get(uuid, f"n-{uuid}"), key: value})
        return HostList({row["uuid"]: parse_host(row) for row in rows})

    def set_accepting(self, uuid, accepting):
        if self.on_call:
            self.on_call(uuid)
        self.sent.append((uuid, accepting))
        if uuid in self.errors:
            raise self.errors[uuid]
        if self.shown[uuid] is not None and uuid not in self.idle:
            self.shown[uuid] = accepting


@pytest.fixture
def made(tmp_path):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    yield record, record.begin_run("ann", "prepare")
    record.close()


def flags(cloud, made=None, check=False, caller=FOREGROUND, **options):
    record, token = made or (None, "")
    params = {"is_accepting_workloads": None, "restored": False, "hosts": None, "query": None, "keep_closed": None, "run": token}
    return pilw_host_flags.run({**params, **options}, cloud, record, check, caller)


def close(cloud, made=None, **options):
    return flags(cloud, made, is_accepting_workloads=False, **options)


def test_only_what_differs_is_written():
    cloud = Cloud(a=True, b=False, c=None, d="OFFLINE", e="MAINTENANCE")
    result = close(cloud)
    assert cloud.sent == [("a", False), ("c", False)]
    assert result["changed_hosts"] == ["a", "c"]
    assert [host["uuid"] for host in result["skipped_hosts"]] == ["d", "e"]


def test_check_mode_writes_nowhere(made):
    cloud = Cloud(a=True)
    assert close(cloud, made, check=True)["changed"]
    assert cloud.sent == [] and made[0].hosts() == []


def test_the_former_flag_is_on_disk_before_the_write_is_sent(made):
    cloud, seen = Cloud(a=True), []

    def look(uuid):
        other = Record(made[0].path)
        seen.extend((host.uuid, host.before, host.closed_by_us) for host in other.hosts())
        other.close()

    cloud.on_call = look
    close(cloud, made)
    assert seen == [("a", True, True)]


def test_only_hosts_that_we_closed_are_opened_again(made):
    cloud = Cloud(a=True, was=False, keep=True, hidden=None, away="OFFLINE", new=True)
    close(cloud, made, keep_closed=["n-keep"], hosts=["a", "was", "keep", "hidden", "away"])
    close(cloud, made, keep_closed=["n-keep"], hosts=["a", "was", "keep", "hidden", "away"])
    cloud.sent.clear()
    flags(cloud, made, restored=True)
    assert cloud.sent == [("a", True), ("hidden", True)]
    assert made[0].phase == "opening"


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch):
    """Writes of a group go out in their order, so that a test can read it."""
    monkeypatch.setattr(_clock.pace, "workers", lambda count: ThreadPoolExecutor(max_workers=1))


@pytest.fixture
def quick(monkeypatch):
    """Time passes by being slept. Gives the seconds slept so far."""
    slept = [0.0]
    monkeypatch.setattr(_clock.pace, "monotonic", lambda: slept[0])
    monkeypatch.setattr(_clock.pace, "sleep", lambda seconds: slept.__setitem__(0, slept[0] + seconds))
    return slept


def test_a_flag_that_was_not_taken_is_tried_again_after_the_others(made, quick):
    cloud = Cloud(a=True, b=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=429, detail="words", retry_after=30.0)
    cloud.on_call = lambda uuid: cloud.errors.clear() if len(cloud.sent) == 2 else None
    assert close(cloud, made)["changed_hosts"] == ["a", "b"]
    assert cloud.sent == [("a", False), ("b", False), ("a", False)]
    assert quick[0] >= 30.0, "the platform asked for that pause"


def test_a_flag_that_is_taken_in_words_only_is_found_out(made, quick):
    cloud = Cloud(a=True, b=True)
    cloud.idle = {"a"}
    result = close(cloud, made)
    assert result["failed"] and result["changed_hosts"] == ["b"]
    assert "and the host list still shows the flag as it was" in result["msg"]
    assert [host.now for host in made[0].hosts()] == [True, False]


def test_a_lost_answer_is_settled_by_reading(made, quick):
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", detail="connection lost")
    cloud.on_call = lambda uuid: cloud.shown.__setitem__("a", False)
    assert close(cloud, made)["changed_hosts"] == ["a"]
    assert cloud.sent == [("a", False)]
    assert [(host.now, host.error) for host in made[0].hosts()] == [(False, None)]


def test_a_refused_flag_is_not_tried_again(made):
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=400, detail="words")
    assert close(cloud, made)["failed"] and len(cloud.sent) == 1


def test_trying_again_has_an_end(made, quick):
    cloud = Cloud(**{f"h{number}": True for number in range(100)})
    cloud.errors = {uuid: ApiError("PUT", "/x", timed_out=True) for uuid in cloud.shown}
    cloud.on_call = lambda uuid: quick.__setitem__(0, quick[0] + 30.0)
    result = close(cloud, made)
    assert quick[0] <= host_flags.LIMIT + 30.0 * host_flags.POOL
    assert len(result["failed_hosts"]) == 100, "those that were not even tried are named too"


@pytest.mark.parametrize("asked_for", [0, 1, 3])
def test_nothing_more_is_sent_once_nobody_asks_for_it(made, quick, asked_for, monkeypatch):
    monkeypatch.setattr(host_flags, "POOL", 1)
    cloud = Cloud(a=True, b=True, c=True, d=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=503)

    def check():
        if len(cloud.sent) >= asked_for:
            raise LeaseLost("nobody asks")

    with pytest.raises(LeaseLost):
        flags(cloud, made, is_accepting_workloads=False, caller=Caller(check))
    assert len(cloud.sent) == asked_for


def test_a_host_that_cannot_be_closed_fails_with_the_item_and_the_others_are_closed(made):
    cloud = Cloud(a=True, b=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=400, detail="words")
    result = close(cloud, made)
    assert result["failed"] and cloud.sent == [("a", False), ("b", False)]
    assert result["msg"] == (
        "1 hosts could not be closed: a (n-a): PUT /x answered 400: words. 1 others were. Run the same again once they answer, "
        "or go on with them open: -e ceph_maint_accept=open-host:a"
    )
    assert result["refused_items"] == ["open-host:a"]
    made[0].accept(made[1], ["open-host:a"])
    assert "failed" not in close(cloud, made)
    flags(cloud, made, restored=True)
    assert [host.now for host in made[0].hosts()] == [True, True]


def test_the_way_on_keeps_what_was_accepted_before(made):
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=500, detail="words")
    cloud.errors["a"].status = 400
    made[0].accept(made[1], ["old:x"])
    assert close(cloud, made)["msg"].endswith("-e ceph_maint_accept=old:x,open-host:a")


def test_a_refused_key_ends_it_at_once(made, monkeypatch):
    monkeypatch.setattr(host_flags, "POOL", 1)
    cloud = Cloud(a=True, b=True)
    cloud.errors["a"] = AuthError("PUT", "/x", status=403)
    cloud.on_call = lambda uuid: setattr(cloud, "list_error", AuthError("GET", "/hosts", status=403))
    with pytest.raises(AuthError):
        close(cloud, made)
    assert cloud.sent == [("a", False)]


@pytest.mark.parametrize("way", ["closing", "opening"])
def test_one_host_that_is_refused_holds_up_no_other(made, way):
    cloud = Cloud(a=True, b=True)
    if way == "opening":
        close(cloud, made)
    cloud.sent.clear()
    cloud.errors["a"] = AuthError("PUT", "/x", status=403, detail="words")
    result = close(cloud, made) if way == "closing" else flags(cloud, made, restored=True)
    assert sorted(cloud.sent) == [("a", way == "opening"), ("b", way == "opening")]
    assert [host["uuid"] for host in result["failed_hosts"]] == ["a"]
    assert bool(result.get("failed")) is (way == "closing"), "VMs are started although a host stays closed"


def test_hosts_whose_list_cannot_be_read_are_no_reason_to_leave_vms_down(made):
    cloud = Cloud(a=True)
    close(cloud, made)
    cloud.list_error = ApiError("GET", "/hosts", status=502, detail="bad gateway")
    result = flags(cloud, made, restored=True)
    assert "failed" not in result
    assert result["failed_hosts"] == [{"uuid": "a", "name": "n-a", "why": "the host list cannot be read: GET /hosts answered 502: bad gateway"}]
    assert made[0].hosts()[0].error
    cloud.list_error = None
    assert flags(cloud, made, restored=True)["changed_hosts"] == ["a"]


def test_a_host_that_somebody_else_closes_after_us_is_theirs(made):
    cloud = Cloud(a=True, b=True)
    close(cloud, made)
    flags(cloud, made, restored=True)
    cloud.shown["a"] = False
    cloud.sent.clear()
    assert flags(cloud, made, restored=True)["changed_hosts"] == []
    close(cloud, made)
    assert cloud.sent == [("b", False)]
    cloud.sent.clear()
    flags(cloud, made, restored=True)
    assert cloud.sent == [("b", True)]


def test_a_host_that_was_being_closed_when_the_run_was_killed_is_opened(made):
    cloud = Cloud(a=True)
    close(cloud, made)
    made[0].closing_host(made[1], "a")
    assert flags(cloud, made, restored=True)["changed_hosts"] == ["a"]


def test_a_host_that_was_closed_by_a_write_without_an_answer_is_opened(made):
    """The answer was lost, and the list could not be read back: nobody knows, so the restore looks."""
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", detail="connection lost")

    def taken_and_then_away(uuid):
        cloud.shown["a"] = False
        cloud.list_error = ApiError("GET", "/hosts", status=502)

    cloud.on_call = taken_and_then_away
    with pytest.raises(PilwError, match="cannot be read back"):
        close(cloud, made)
    cloud.on_call = cloud.list_error = None
    cloud.errors.clear()
    assert flags(cloud, made, restored=True)["changed_hosts"] == ["a"]


def test_a_host_that_is_answered_as_opened_and_cannot_be_read_back_is_named_and_looked_at_again(made, quick):
    """The VMs are started all the same."""
    cloud = Cloud(a=True)
    close(cloud, made)
    cloud.idle.add("a")  # says that all is well and does nothing

    def away(_uuid):
        cloud.list_error = ApiError("GET", "/hosts", status=503)

    cloud.on_call = away
    result = flags(cloud, made, restored=True)
    assert [host["uuid"] for host in result["failed_hosts"]] == ["a"] and not result.get("failed")
    assert made[0].hosts()[0].now is None
    cloud.on_call = cloud.list_error = None
    cloud.idle.clear()
    assert flags(cloud, made, restored=True)["changed_hosts"] == ["a"] and cloud.shown == {"a": True}


def test_hosts_to_keep_closed_are_remembered_at_the_restore_too(made):
    cloud = Cloud(a=True, b=True)
    close(cloud, made)
    flags(cloud, made, restored=True, keep_closed=["n-a"])
    flags(cloud, made, restored=True)
    assert cloud.shown == {"a": False, "b": True}


def test_a_host_that_is_moved_away_meanwhile_gets_no_further_write(made, quick):
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=409, detail="words")
    cloud.on_call = lambda uuid: cloud.shown.__setitem__("a", "MAINTENANCE")
    result = close(cloud, made)
    assert cloud.sent == [("a", False)]
    assert result["failed_hosts"] == [{"uuid": "a", "name": "n-a", "why": "the platform has it as MAINTENANCE"}]


def test_hosts_that_hang_are_last_the_next_time(made, quick):
    cloud = Cloud(**{f"h{number}": True for number in range(4)})
    close(cloud, made)
    cloud.errors = {uuid: ApiError("PUT", "/x", timed_out=True) for uuid in ("h0", "h1")}
    flags(cloud, made, restored=True)
    for uuid in ("h2", "h3"):
        cloud.shown[uuid] = False
        made[0].closing_host(made[1], uuid)
    cloud.sent.clear()
    flags(cloud, made, restored=True)
    assert [uuid for uuid, _accepting in cloud.sent][:4] == ["h2", "h3", "h0", "h1"]


def test_a_host_that_is_listed_no_more_is_told(made):
    cloud = Cloud(a=True, b=True)
    close(cloud, made)
    del cloud.shown["a"]
    result = flags(cloud, made, restored=True)
    assert result["failed_hosts"] == [{"uuid": "a", "name": "n-a", "why": "the platform does not list it any more"}]
    assert cloud.sent[-1] == ("b", True)


def test_hosts_that_a_lost_maintenance_closed_are_opened_where_the_operator_named_the_others(made):
    cloud = Cloud(a=False, keep=False)
    close(cloud, made, keep_closed=["keep"])
    assert cloud.sent == []
    flags(cloud, made, restored=True)
    assert cloud.sent == [("a", True)]


def test_a_name_means_all_hosts_of_that_name_each_time(made):
    record, _token = made
    cloud = Cloud(a=True, b=True, c=True, d=True)
    cloud.names = {"a": "hv", "b": "hv", "d": "hv"}
    del cloud.shown["d"]
    close(cloud, made, keep_closed=["hv"])
    assert {host.uuid for host in record.hosts() if host.keep_closed} == {"a", "b"}
    cloud.shown["d"] = True  # came while we were at it
    close(cloud, made, keep_closed=["hv"])
    assert {host.uuid for host in record.hosts() if host.keep_closed} == {"a", "b", "d"}
    del cloud.shown["a"]  # not listed any more, and still known by its name
    assert set(pilw_host_flags.keep_closed({"keep_closed": ["hv"]}, cloud.hosts(), record)) == {"a", "b", "d"}
    result = flags(cloud, made, restored=True, keep_closed=["hv"])
    assert result["changed_hosts"] == ["c"]


@pytest.mark.parametrize("raised", [RuntimeError("no thread"), LeaseLost("gone")], ids=repr)
def test_an_error_of_no_known_kind_loses_no_answer_of_the_others(made, raised):
    record, _token = made
    cloud = Cloud(a=True, b=True, c=True)
    cloud.errors["a"] = raised
    with pytest.raises(PilwError, match=r"RuntimeError: no thread\. Nothing more is sent|gone"):
        close(cloud, made)
    assert sorted(uuid for uuid, _accepting in cloud.sent) == ["a", "b", "c"]
    kept = {row.uuid: row for row in record.hosts()}
    assert (kept["b"].now, kept["c"].now) == (0, 0)
    assert kept["a"].before == 1 and kept["a"].closed_by_us, "nobody knows, so the restore opens it"


def test_many_hosts_are_counted_while_they_are_closed(made, monkeypatch):
    monkeypatch.setattr(host_flags, "RETRIES", 0)
    cloud, said = Cloud(**{f"h{number:02}": True for number in range(12)}), []
    cloud.errors["h03"] = ApiError("PUT", "host_flags", status=500)
    params = {"is_accepting_workloads": False, "restored": False, "hosts": None, "query": None, "keep_closed": None, "run": made[1]}
    pilw_host_flags.run(params, cloud, made[0], False, Caller(say=said.append))
    assert said == [
        "Closing the hosts: 0 of 12 are closed",
        "Closing the hosts: 7 of 12 are closed; 1 did not take it so far",
        "Closing the hosts: 11 of 12 are closed; 1 did not take it so far",
    ]
