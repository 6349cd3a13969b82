# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing hosts remembers what they were; opening them puts back just that."""

from __future__ import annotations

import os

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._api import HostList
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, AuthError
from ansible_collections.pilw.maintenance.plugins.module_utils._model import parse_host
from ansible_collections.pilw.maintenance.plugins.module_utils._record import Record
from ansible_collections.pilw.maintenance.plugins.modules import pilw_host_flags


class Cloud:
    """C(hosts): uuid to the flag (None: not shown) or to a state."""

    def __init__(self, **hosts):
        self.shown, self.sent, self.errors, self.on_call = hosts, [], {}, None

    def hosts(self):
        rows = []
        for uuid, value in self.shown.items():
            key = "status" if isinstance(value, str) else "is_accepting_workloads"
            rows.append({"uuid": uuid, "name": f"n-{uuid}", key: value})
        return HostList({row["uuid"]: parse_host(row) for row in rows})

    def set_accepting(self, uuid, accepting):
        if self.on_call:
            self.on_call(uuid)
        self.sent.append((uuid, accepting))
        if uuid in self.errors:
            raise self.errors[uuid]
        if self.shown[uuid] is not None:
            self.shown[uuid] = accepting


@pytest.fixture
def made(tmp_path):
    record = Record.create(os.path.join(str(tmp_path), "r.sqlite"), api_host="h", location="", reason="")
    yield record, record.begin_run("ann", "prepare")
    record.close()


def flags(cloud, made=None, check=False, **options):
    record, token = made or (None, "")
    params = {"is_accepting_workloads": None, "restored": False, "hosts": None, "query": None, "keep_closed": None, "run": token}
    return pilw_host_flags.run({**params, **options}, cloud, record, check)


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
        seen.extend((host["uuid"], host["before"], host["closed_by_us"]) for host in other.hosts())
        other.close()

    cloud.on_call = look
    close(cloud, made)
    assert seen == [("a", True, True)]


def test_only_hosts_that_we_closed_are_opened_again(made):
    cloud = Cloud(a=True, was=False, keep=True, hidden=None, away="OFFLINE", new=True)
    close(cloud, made, keep_closed="n-keep", hosts="a,was,keep,hidden,away")
    close(cloud, made, keep_closed="n-keep", hosts="a,was,keep,hidden,away")
    cloud.sent.clear()
    flags(cloud, made, restored=True)
    assert cloud.sent == [("a", True), ("hidden", True)]
    assert made[0].phase == "opening"


def test_a_host_that_cannot_be_closed_fails_with_the_item_and_the_others_are_closed(made):
    cloud = Cloud(a=True, b=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=500, detail="words")
    result = close(cloud, made)
    assert result["failed"] and cloud.sent == [("a", False), ("b", False)]
    assert result["msg"] == (
        "1 hosts could not be closed: a (n-a): PUT /x answered 500: words. 1 others were. Run the same again once they answer, "
        "or go on with them open: -e ceph_maint_accept=host:a"
    )
    made[0].accept(made[1], ["host:a"])
    assert "failed" not in close(cloud, made)
    flags(cloud, made, restored=True)
    assert [host["now"] for host in made[0].hosts()] == [True, True]


def test_the_way_on_keeps_what_was_accepted_before(made):
    cloud = Cloud(a=True)
    cloud.errors["a"] = ApiError("PUT", "/x", status=500, detail="words")
    made[0].accept(made[1], ["old:x"])
    assert close(cloud, made)["msg"].endswith("-e ceph_maint_accept=old:x,host:a")


def test_a_refused_key_ends_it_at_once(made):
    cloud = Cloud(a=True, b=True)
    cloud.errors["a"] = AuthError("PUT", "/x", status=403)
    with pytest.raises(AuthError):
        close(cloud, made)
    assert cloud.sent == [("a", False)]


def test_a_host_that_is_listed_no_more_is_told(made):
    cloud = Cloud(a=True, b=True)
    close(cloud, made)
    del cloud.shown["a"]
    result = flags(cloud, made, restored=True)
    assert result["failed_hosts"] == [{"uuid": "a", "name": "n-a", "why": "the platform does not list it any more"}]
    assert cloud.sent[-1] == ("b", True)


def test_hosts_that_a_lost_maintenance_closed_are_opened_where_the_operator_named_the_others(made):
    cloud = Cloud(a=False, keep=False)
    close(cloud, made, keep_closed="keep")
    assert cloud.sent == []
    flags(cloud, made, restored=True)
    assert cloud.sent == [("a", True)]
