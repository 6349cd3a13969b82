# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chart of a report: running VMs over time with the phases behind, as numbers for an SVG. Pure."""

from __future__ import annotations

import datetime

# The drawing in units of the SVG, which scales to any width.
WIDTH, HEIGHT = 1000, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 70, 34
LETTER = 9.5  # width of a letter on a small screen, about
ROW = 21  # height of a row of labels
ROWS = 3
# What an axis may count in.
_COUNTS = (1, 2, 5)
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)


def seconds(text):
    """A time of the report as a number."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def chart(running, phases, end):
    """C(running) and C(phases) as the report has them, C(end) the time of its last moment.

    Returns C(line) and C(area) as path data, C(phases) with C(x), C(width) and C(label_y), and the C(ticks) of both axes.
    """
    begin = seconds(running[0]["at"])
    until = max(seconds(end), seconds(running[-1]["at"]), begin + 1)
    most = max(point["running"] for point in running)
    step_up = _step_of_counts(most)
    top = max(-(-most // step_up), 1) * step_up

    def across(moment):
        return round(LEFT + (min(max(moment, begin), until) - begin) / (until - begin) * (WIDTH - LEFT - RIGHT), 1)

    def down(count):
        return round(TOP + (1 - count / top) * (HEIGHT - TOP - BOTTOM), 1)

    line = f"M{across(begin)} {down(running[0]['running'])}"
    for point in running[1:]:
        line += f"H{across(seconds(point['at']))}V{down(point['running'])}"
    line += f"H{across(until)}"
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "top": TOP,
        "base": HEIGHT - BOTTOM,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "line": line,
        "area": f"{line}V{down(0)}H{across(begin)}Z",
        "phases": _bands(phases, across, until),
        "counts": [{"y": down(count), "text": str(count)} for count in range(0, top + 1, step_up)],
        "times": _times(begin, until, across),
    }


def _bands(phases, across, until):
    """One band a phase; its label in the first row in which it covers no other."""
    bands, free_from = [], [0.0] * ROWS
    for phase, following in zip(phases, [*phases[1:], None]):
        x, to = across(seconds(phase["at"])), across(seconds(following["at"]) if following else until)
        text, wide = phase["phase"], len(phase["phase"]) * LETTER
        label_x = min(x, WIDTH - RIGHT - wide)
        row = next((row for row in range(ROWS) if free_from[row] <= label_x), None)
        if row is not None:
            free_from[row] = label_x + wide + LETTER
        bands.append(
            {
                "phase": text,
                "x": x,
                "width": round(max(to - x, 0.5), 1),
                "label_x": round(label_x, 1),
                "label_y": None if row is None else 18 + row * ROW,
            }
        )
    return bands


def _step_of_counts(most):
    """So that there are at most five lines, in round numbers."""
    power = 1
    while True:
        for count in _COUNTS:
            if most <= 5 * count * power:
                return count * power
        power *= 10


def _times(begin, until, across):
    """At most seven round times; a maintenance of less than that many minutes has just its ends."""
    step = next((minutes * 60 for minutes in _MINUTES if (until - begin) / (minutes * 60) <= 7), (until - begin) / 7)
    first = -(-begin // step) * step
    moments = [first + number * step for number in range(int((until - first) // step) + 1)]
    if len(moments) < 2:
        moments = [begin, until]
    form = "%d %b %H:%M" if until - begin > 86400 else "%H:%M" if step >= 60 and moments[0] == first else "%H:%M:%S"
    return [
        {
            "x": across(moment),
            "text": datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime(form),
            "anchor": _anchor(across(moment)),
        }
        for moment in moments
    ]


def _anchor(x):
    """A label at an edge stays within the drawing."""
    return "start" if x < LEFT + 30 else "end" if x > WIDTH - RIGHT - 30 else "middle"
