# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure everything, or some of it, and write the table: `make bench`, or `python -m benchmark --only record deaf`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from benchmark import rows, table

ALL = {
    "ceiling": rows.ceiling,
    "stop": rows.stop_a_thousand,
    "short": rows.short_calls,
    "cpu": rows.processor_time,
    "whole": rows.whole,
    "too_much": rows.too_much,
    "deaf": rows.deaf,
    "brake": rows.brake,
    "fixed": rows.fixed_cost,
    "record": rows.record,
    "large": rows.hundred_thousand,
}
PROGRAMS = ("curl", "xargs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(ALL), help="some of the measurements")
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="folder for table.json and table.md")
    arguments = parser.parse_args()
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        parser.error(f"what others use is compared with, and these are not installed: {', '.join(missing)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    began, found = time.monotonic(), []
    for name in arguments.only or ALL:
        since = time.monotonic()
        found += ALL[name]()
        print(f"[{time.monotonic() - began:6.1f} s] {name} took {time.monotonic() - since:.1f} s", flush=True)
        # Each time anew, so that nothing is lost when a later one fails.
        data = table.as_json(found, time.monotonic() - began)
        (arguments.out / "table.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "table.md").write_text(table.as_markdown(data), encoding="utf-8")
    print(table.as_markdown(data))
    print(f"The table is in {arguments.out}")
    missed = [row.what for row in found if row.met is False]
    print(f"Goals that were not met: {'; '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
