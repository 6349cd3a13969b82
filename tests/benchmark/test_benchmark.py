# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark still measures what it says. With a few VMs: its numbers are asked for elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import contenders, engine, large, rows, table
from benchmark.playbooks import Operator
from benchmark.simulated import Platform


@pytest.mark.parametrize("tls", [False, True])
def test_each_way_stops_all(tls: bool) -> None:
    ways = {
        "ours": lambda platform, uuids: engine.measure(platform, concurrency=4, poll_interval=0.05)["seconds"],
        "curl": lambda platform, uuids: contenders.curl(platform, uuids, 4),
        **{way: lambda platform, uuids, way=way: contenders.client(platform, way, uuids, 4)["seconds"] for way in ("session", "urllib3")},
        **({} if tls else {"xargs": contenders.xargs}),
    }
    for name, way in ways.items():
        with Platform(tls=tls, vms=9, stop_seconds=0.01) as platform:
            assert way(platform, platform.uuids()) > 0
            assert platform.running() == set(), name
            assert len(platform.journal().stops()) == 9, name


def test_a_pool_without_back_off_counts_what_failed() -> None:
    with Platform(vms=40, stop_seconds=0.0, power_refused=0.3) as platform:
        told = contenders.client(platform, "session", platform.uuids(), 4)
        assert told["failed"] == sum(1 for entry in platform.journal().stops() if entry["status"] != 200) > 0


@pytest.mark.parametrize("task", [contenders.LOOP_OF_URI, contenders.LOOP_OF_OURS])
def test_loops_of_ansible_stop_all(task: str, tmp_path: Path) -> None:
    with Platform(vms=2, stop_seconds=0.01) as platform:
        operator = Operator(platform, tmp_path, 0.01)
        assert contenders.loop(platform, platform.uuids(), task, operator.play, 0.05) > 0
        assert platform.running() == set()


def test_each_part_of_the_work_is_measured() -> None:
    found = large.measure(30, (*rows.LARGE, "playbook"))
    assert list(found) == [*rows.LARGE, "playbook"]
    assert all(part["cpu_seconds"] > 0 and part["peak_bytes"] > 1 << 20 for part in found.values())


def test_the_table_tells_what_was_met() -> None:
    found = rows.record(scale=0.005, vms=20, rounds=1)
    data = table.as_json([*found, table.Row("a | b", "c", "d", "e", met=False)], 61.0)
    text = table.as_markdown(json.loads(json.dumps(data)))
    assert "a \\| b | c | d | e | **no** |" in text
    assert "ansible-core" in text and data["machine"]["date"] in text


def test_calls_after_too_many_have_failed() -> None:
    calls = [{"started": number, "ended": number + 1.5, "status": 500 if number in (3, 30, 40) else 200} for number in range(50)]
    assert rows._after_too_many(calls, 5) == 39  # from the tenth answer on one of them is too many; the next call but one has begun by then
    assert rows._after_too_many(calls, 10) == 0


def test_each_part_can_be_profiled() -> None:
    found = large.measure(30, ["list"], profile=True)["list"]
    assert found["python_calls"] > 30 and len(found["top"]) > 3


def test_the_fixed_cost_is_compared_with_pings() -> None:
    (row,) = rows.fixed_cost(vms=3)
    assert row.ratio and row.ratio > 1 and len(row.details["pings"]) == 2
