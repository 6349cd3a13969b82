# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a maintenance went over time: what its events say of phases and of running VMs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._report import timeline
from ansible_collections.pilw.maintenance.plugins.module_utils._report.timeline import phases, running_over_time


def at(second):
    return f"2027-01-15T08:{second // 60:02}:{second % 60:02}Z"


def events(*told):
    return [{"at": at(second), "what": what, "uuid": uuid, "detail": None} for second, what, uuid in told]


NIGHT = (
    *((1, "recorded", "a"), (1, "recorded", "b"), (2, "phase stopping", None), (3, "stop sent", "a"), (3, "stop sent", "b")),
    *((20, "stop: clean", "a"), (30, "stop: would_not_stop", "b"), (31, "power cut sent", "b"), (33, "stop: forced", "b")),
    *((40, "phase safe", None), (60, "phase opening", None), (61, "phase starting", None)),
    *((62, "start sent", "a"), (64, "start: running", "a"), (65, "start: failed", "b")),
)


def counted(*told, before=True):
    return [(point["at"][14:19], point["running"]) for point in running_over_time(events(*told), at(0), before)]


def test_a_night():
    assert counted(*NIGHT) == [("00:00", 2), ("00:20", 1), ("00:33", 0), ("01:04", 1), ("01:05", 1)]


def test_phases_begin_with_the_opening_of_the_record():
    assert [(phase["phase"], phase["at"][14:19]) for phase in phases(events(*NIGHT), at(0))] == [
        *(("closing", "00:00"), ("stopping", "00:02"), ("safe", "00:40"), ("opening", "01:00"), ("starting", "01:01")),
    ]


def test_a_vm_that_came_up_again_is_counted_when_it_is_asked_to_stop_once_more():
    assert counted((1, "recorded", "a"), (2, "stop: clean", "a"), (5, "stop sent", "a"), (8, "stop: clean", "a"))[1:] == [
        *(("00:02", 0), ("00:05", 1), ("00:08", 0)),
    ]


def test_late_ones_come_when_they_are_seen_and_fallen_ones_go():
    assert counted((1, "recorded", "a"), (3, "recorded late", "b"), (4, "did not stay up", "b"), (6, "seen running after all", "b")) == [
        *(("00:00", 1), ("00:03", 2), ("00:04", 1), ("00:06", 2)),
    ]


def test_of_a_list_that_somebody_else_made_nothing_ran_before_it_was_started():
    assert counted((1, "recorded", "a"), (5, "start: running", "a"), before=False) == [("00:00", 0), ("00:05", 1)]


def test_nothing_recorded():
    assert counted() == [("00:00", 0)]
    assert counted((9, "run ended", None)) == [("00:00", 0), ("00:09", 0)]


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=3000))
def test_no_more_points_than_a_chart_shows_and_the_ends_are_true(told):
    words = [(second, "start: running" if up else "stop: clean", str(number % 50)) for number, (second, up) in enumerate(sorted(told))]
    points = running_over_time(events(*((0, "recorded", str(number)) for number in range(50)), *words), at(0))
    last = {str(number): True for number in range(50)} | {uuid: what == "start: running" for _second, what, uuid in words}
    assert points[0] == {"at": at(0), "running": 50} and points[-1]["running"] == sum(last.values())
    assert len(points) <= timeline.MOST_POINTS + 1
    assert [point["at"] for point in points[1:]] == sorted({point["at"] for point in points[1:]})
