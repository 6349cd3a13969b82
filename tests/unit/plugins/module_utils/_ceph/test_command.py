# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the operator's own ceph command: the words, the time they may take, and what counts as an answer."""

from __future__ import annotations

import math
import os
import time

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.command import Ceph, run_bounded
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError, InputError
from harness import ceph_answers


def answering(text, status=0, err=""):
    return Ceph(["ceph"], 5.0, run=lambda argv, given, seconds: (status, text, err))


@pytest.mark.parametrize(
    ("command", "tool", "expected"),
    [
        (["ceph"], "ceph", ["ceph", "status"]),
        (["ceph"], "rbd", ["rbd", "status"]),
        (["/opt/ceph/bin/ceph"], "rados", ["/opt/ceph/bin/rados", "status"]),
        (["cephadm", "shell", "--", "ceph"], "rbd", ["cephadm", "shell", "--", "rbd", "status"]),
        (
            ["podman", "exec", "-i", "ceph", "ceph", "--name", "client.x"],
            "rbd",
            ["podman", "exec", "-i", "ceph", "rbd", "--name", "client.x", "status"],
        ),
        (["podman", "exec", "ceph", "ceph"], "rados", ["podman", "exec", "ceph", "rados", "status"]),
        (["ceph", "--keyring", "/etc/ceph"], "rbd", ["rbd", "--keyring", "/etc/ceph", "status"]),
        (["ceph", "--cluster", "ceph"], "ceph", ["ceph", "--cluster", "ceph", "status"]),
        (["sudo", "-u", "ceph", "ceph"], "rbd", ["sudo", "-u", "ceph", "rbd", "status"]),
        (["sudo", "-n", "ceph"], "rbd", ["sudo", "-n", "rbd", "status"]),
        (["sudo", "-n", "ceph", "--cluster", "ceph"], "rbd", ["sudo", "-n", "rbd", "--cluster", "ceph", "status"]),
    ],
)
def test_the_other_tools_are_called_where_ceph_is(command, tool, expected):
    assert Ceph(command, 5.0).argv(tool, "status") == expected


@pytest.mark.parametrize("command", [[], ["rbd"], ["cephadm", "shell"], ["--name=ceph"]])
def test_a_command_without_ceph_is_refused_before_anything_is_asked(command):
    with pytest.raises(InputError, match="one of them ceph"):
        Ceph(command, 5.0)


def test_the_words_the_time_and_what_is_given_reach_the_process():
    seen = []

    def run(argv, given, seconds):
        seen.append((argv, given, seconds))
        return 0, b"[]", ""

    ceph = Ceph(["ceph"], 7.5, run=run)
    assert ceph.json("rbd", "ls", "vms") == []
    ceph.raw("rados", "put", "x", "-", given=b"abc")
    assert seen == [
        (["rbd", "ls", "vms", "--format", "json"], b"", 7.5),
        (["rados", "put", "x", "-"], b"abc", 7.5),
    ]


@pytest.mark.parametrize("text", [b'{"a": 1}', b'\n\n {"a": 1}\n', b'{"a": 1}listed 0 entries\n'])
def test_json_is_read_with_what_stands_around_it(text):
    assert answering(text).json("ceph", "x") == {"a": 1}


@pytest.mark.parametrize("text", [b"", b"words", b'{"a": ', b"\xff\xfe", b"[" * 100000])
def test_what_is_not_json_is_no_answer(text):
    with pytest.raises(CephError, match="not JSON") as caught:
        answering(text).json("ceph", "x")
    assert caught.value.status is None and caught.value.unreadable


def test_bare_inf_and_nan_of_reef_are_numbers():
    dump = answering(ceph_answers.OSD_DUMP_REEF).json("ceph", "osd", "dump")
    balance = dump["pools"][0]["read_balance"]
    assert (balance["score_acting"], balance["optimal_score"]) == (math.inf, 0)
    assert math.isnan(balance["average_primary_affinity_weighted"])
    assert [row["osd"] for row in dump["osds"]] == [0, 1, 2], "what stands behind them is read"


def test_inf_within_a_text_stays_what_it_is():
    pools = answering(ceph_answers.POOLS_REEF).json("ceph", "osd", "pool", "ls", "detail")
    assert [pool["pool_name"] for pool in pools] == ["vms", 'a ": inf, nan']
    assert pools[1]["read_balance"]["score_acting"] == -math.inf
    assert math.isnan(answering(ceph_answers.OSD_DF_JEWEL).json("ceph", "osd", "df")["nodes"][0]["var"])


@pytest.mark.parametrize(
    ("text", "count"),
    [(ceph_answers.BLOCKLIST_PACIFIC, 3), (ceph_answers.BLOCKLIST_WITHOUT_RANGES, 1), (ceph_answers.BLOCKLIST_LATER, 2)],
)
def test_several_lists_in_one_answer_are_read_as_one(text, count):
    assert len(answering(text).json("ceph", "osd", "blocklist", "ls")) == count


@pytest.mark.parametrize("text", [b'[{"addr": "a"}]\n[{"range": "b', b'{"a": 1}{"a": 2}', b'[]{"a": 1}', b'{"a": 1} {"b"'])
def test_an_answer_that_is_read_in_part_only_is_no_answer(text):
    with pytest.raises(CephError) as caught:
        answering(text).json("ceph", "x")
    assert caught.value.unreadable


def test_a_failure_says_its_last_line_and_its_status():
    with pytest.raises(CephError, match=r"ceph x ended with status 13: Error EACCES: access denied$") as caught:
        answering(b"", 13, "a warning\nError EACCES: access \x1b[31mdenied\n\n".replace("\x1b[31m", "")).raw("ceph", "x")
    assert (caught.value.status, caught.value.timed_out) == (13, False)
    with pytest.raises(CephError, match="it said nothing"):
        answering(b"", 1).raw("ceph", "x")


def test_many_are_asked_at_once_and_answers_keep_their_order():
    def work(number):
        if number == 3:
            raise CephError(["ceph"], "failed")
        return number * 2

    found = Ceph(["ceph"], 5.0).at_once(work, list(range(20)))
    number, failure = found.pop(3)
    assert number == 3 and isinstance(failure, CephError)
    assert found == [(number, number * 2) for number in range(20) if number != 3]
    assert Ceph(["ceph"], 5.0).at_once(work, []) == []


@pytest.mark.parametrize(("status", "asked"), [(None, 64), (13, 200), (1, 200), (2, 200), (110, 200)])
def test_when_some_give_no_answer_or_may_not_be_asked_the_next_ones_are_not_asked(status, asked):
    """Each would take its whole time, and what is known already proves nothing."""
    seen = []

    def work(number):
        seen.append(number)
        if number == 5:
            raise CephError(["ceph"], "failed", timed_out=status is None, status=status)

    found = Ceph(["ceph"], 5.0).at_once(work, list(range(200)))
    assert len(seen) == len(found) == asked


@pytest.mark.parametrize(("status", "asked"), [(13, 64), (1, 64), (2, 200)])
def test_when_none_may_be_asked_the_next_ones_are_not(status, asked):
    """And where one may, a refusal of another means something else: the rest is asked."""

    def work(number):
        raise CephError(["ceph"], "failed", status=status)

    assert len(Ceph(["ceph"], 5.0).at_once(work, list(range(200)))) == asked


def test_any_other_error_of_such_work_is_not_swallowed():
    with pytest.raises(KeyError):
        Ceph(["ceph"], 5.0).at_once(lambda one: {}[one], [1])


# With real processes.


def test_a_program_gets_its_input_and_gives_output_and_status():
    assert run_bounded(["sh", "-c", "cat; echo oops >&2; exit 3"], b"given", 30.0) == (3, b"given", "oops\n")


def test_a_program_that_is_not_there_says_so():
    with pytest.raises(InputError, match=r"/no/such/ceph status cannot be run: No such file.*Correct ceph_maint_ceph_command"):
        run_bounded(["/no/such/ceph", "status"], b"", 5.0)


def gone(pid):
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")
def test_a_call_that_outlives_its_time_is_killed_with_its_children(tmp_path):
    pids = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(CephError, match="gave no answer within 1 s") as caught:
        run_bounded(["sh", "-c", f"trap '' TERM INT; sleep 600 & echo $$ $! > {pids}; wait; wait"], b"", 1.0)
    assert caught.value.timed_out and caught.value.status is None
    assert time.monotonic() - started < 30
    found = pids.read_text().split()
    assert len(found) == 2
    deadline = time.monotonic() + 20
    while not all(map(gone, found)):
        assert time.monotonic() < deadline, "it lives on"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")
def test_a_call_whose_child_keeps_the_output_open_ends_too(tmp_path):
    """The command has ended, what it left behind has not: there is no answer, and nothing is left."""
    with pytest.raises(CephError, match="gave no answer"):
        run_bounded(["sh", "-c", f"sleep 600 & echo $! > {tmp_path / 'pid'}"], b"", 1.0)
    deadline = time.monotonic() + 20
    while not gone((tmp_path / "pid").read_text().strip()):
        assert time.monotonic() < deadline, "it lives on"
