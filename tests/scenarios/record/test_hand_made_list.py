# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list that the shell procedure leaves: taken whole, or refused with the line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import PilwError, Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._record import files
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record
from scenarios.record.fire import enter, plan_for


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[\n {"uuid": "a"},\n {"uuid": "b",\n  "x": 1},\n {"name": "c"}\n]\n', "line 5: entry 3 of 3 has no usable uuid"),
        ('[{"uuid": "a"},\n{"uuid": "../x"}]', "line 2: entry 2 of 2 has no usable uuid"),
        ('\n\n[\n\n"a"]', "line 5: entry 1 of 1 has no usable uuid"),
        ('[{"uuid": "a"}\n{"uuid": "b"}]', "is not JSON: Expecting ',' delimiter: line 2 column 1"),
        ('{"vms": []}', "is not a JSON list of VM rows"),
        ("[" * 200000, "nested too deep"),
        (b'[\n{"uuid": "\xff"}]', "is not JSON: line 2 is not UTF-8 text"),
        (b"\xff\xfe[\x00]\x00", "line 1 is not UTF-8 text"),
    ],
    ids=range(8),
)
def test_a_hand_made_list_is_refused_with_the_line(quick, tmp_path, text, words) -> None:
    op, hand = quick(), tmp_path / "hand.json"
    hand.write_bytes(text if isinstance(text, bytes) else text.encode())
    given = {"purpose": "restore", "running_vms": str(hand), "open_hosts": "none", "api_host": op.cloud.url, "api_key": op.cloud.key}
    for work in (lambda: plan_for(op.cloud, op.records, **given), lambda: enter(op.records, **given)):
        with pytest.raises(PilwError) as caught:
            work()
        assert words in str(caught.value) and str(hand) in str(caught.value)
        assert str(caught.value).endswith("Nothing was changed.")
    assert not list(op.records.rglob("record.sqlite*"))


def test_a_list_of_all_vms_is_refused(quick, tmp_path) -> None:
    """Who has taken the list without its filter would start VMs that never ran."""
    op, hand = quick(), tmp_path / "hand.json"
    rows = [{"uuid": "a", "status": "Running"}, {"uuid": "b", "status": "stopped"}, {"uuid": "c"}, {"uuid": "d", "status": "paused"}]
    hand.write_text(json.dumps(rows))
    given = {"purpose": "restore", "running_vms": str(hand), "open_hosts": "none", "api_host": op.cloud.url, "api_key": op.cloud.key}
    found = plan_for(op.cloud, op.records, **given)
    assert found["refused_items"] == []
    assert found["refusals"][0].startswith(f"2 of 4 VMs in {hand} were not running when it was made (paused 1, stopped 1), and would")
    kept, _or, stripped = found["refusals"][0].partition("Keep those that ran only: ")[2].partition("; or, if each of them ran before the maintenance, ")
    assert kept == f"jq --arg s running '[.[]|select(.status==$s)]' {hand}"
    assert stripped == f"leave the states out: jq 'map(del(.status))' {hand}"
    with pytest.raises(Refused, match=r"were not running when it was made.* Nothing was changed\.$"):
        enter(op.records, **given)
    hand.write_text(json.dumps([{"uuid": row["uuid"]} for row in rows]))
    assert plan_for(op.cloud, op.records, **given)["refusals"] == []
    enter(op.records, **given)


def test_what_is_no_file_is_not_waited_for(quick, tmp_path) -> None:
    op = quick()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(PilwError, match=r"cannot be read: .*Nothing was changed\."):
            plan_for(op.cloud, op.records, purpose="restore", running_vms=str(path), open_hosts="none")


def test_a_huge_list_with_rows_given_twice(quick, tmp_path) -> None:
    op, hand = quick(), tmp_path / "hand.json"
    rows = [{"uuid": f"vm-{number}", "name": "x" * 300} for number in range(20000)]
    hand.write_text("\ufeff" + json.dumps(rows + rows[:10], indent=1), encoding="utf-8")
    found = enter(
        op.records, purpose="restore", running_vms=str(hand), open_hosts="none", api_host=op.cloud.url, api_key=op.cloud.key
    )
    record = Record(found["record"])
    assert record.count_vms() == 20000
    record.close()


def test_adopting_the_list_beside_never_empties_it(quick) -> None:
    """Cut off in the middle, the only list there is must still hold all."""
    op = quick()
    op.records.mkdir(mode=0o700)
    op.place.mkdir(mode=0o700)
    hand = op.place / "running_vms.json"
    files.write_json(str(hand), [{"uuid": "a"}, {"uuid": "b"}])
    given = {"purpose": "restore", "running_vms": str(hand), "api_host": op.cloud.url, "api_key": op.cloud.key}
    with pytest.raises(PilwError, match="no host has the uuid or name"):
        enter(op.records, open_hosts="none-such", **given)
    assert len(json.loads(hand.read_text())) == 2
    enter(op.records, open_hosts="all", **given)
    assert len(json.loads(hand.read_text())) == 2
