# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: rows in, JSON and Markdown out, with the machine that they were measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import tempfile
import typing as t
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Row:
    """One measurement. C(ratio) is what the goal is about, C(met) None where there is none to meet."""

    what: str
    against: str
    goal: str
    measured: str
    ratio: float | None = None
    met: bool | None = None
    details: dict[str, t.Any] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """Where and with what it was measured."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    curl = subprocess.run(["curl", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1]
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "pilw.maintenance": _collection(),
        "processors": f"{os.cpu_count()} ({cpu.group(1).strip() if cpu else platform.machine()})",
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ansible-core": version("ansible-core"),
        "requests": version("requests"),
        "urllib3": version("urllib3"),
        "sqlite": sqlite3.sqlite_version,
        "curl": curl,
        "file system": _file_system(tempfile.gettempdir()),
    }


def _collection() -> str:
    """Its version, and the commit with what was changed since, where git tells."""
    found = re.search(r"^version: *(\S+)", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    git = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if shutil.which("git") else ""
    return f"{found.group(1) if found else ''} {f'({git})' if git else ''}".strip()


def _file_system(folder: str) -> str:
    """Where the records of the benchmark lie: each write of them waits for it."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return max((len(place), kind) for place, kind in mounts if Path(folder).resolve().is_relative_to(place))[1]


def as_json(rows: list[Row], seconds: float) -> dict[str, t.Any]:
    return {"machine": machine(), "seconds": round(seconds), "rows": [asdict(row) for row in rows]}


def as_markdown(data: dict[str, t.Any]) -> str:
    """What stands in the documentation."""
    about = ", ".join(f"{name} {value}" for name, value in data["machine"].items() if name != "date")
    lines = [
        f"Measured on {data['machine']['date']} in {data['seconds'] // 60 + 1} minutes: {about}.",
        "",
        "| What | Against | Goal | Measured | Met |",
        "| --- | --- | --- | --- | --- |",
    ]
    words = {True: "yes", False: "**no**", None: ""}
    for row in data["rows"]:
        cells = [row["what"], row["against"], row["goal"], row["measured"], words[row["met"]]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
