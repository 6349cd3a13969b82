# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The process of ansible-playbook that a run belongs to: which one it is, and whether it still lives, as far as this machine shows."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass

from .. import _clock
from . import files
from .rows import steady_left

# A process number, and when the process was started, in ticks since the machine was.
_PROCESS = re.compile(r"([1-9]\d{0,8}) (\d+)")
_ENDED_STATES = ("X", "Z")


def identify(pid: int) -> str:
    """One process of this machine, as text: start of the machine, process namespace, number, own start. Empty where /proc does not show it."""
    place, started = _place(), _stat(pid)[1]
    return f"{place} {pid} {started}" if place and started else ""


def lives(identity: str, own: str = "") -> bool | None:
    """Whether the process lives; C(None) when it runs on another machine, or where nothing shows it.

    C(own): the caller's ansible-playbook. What it began earlier is over: it does one thing after the other.
    """
    if identity and identity == own:
        return False
    place, _blank, process = identity.partition(" ")
    found = _PROCESS.fullmatch(process)
    if not found or place != _place():
        return None
    pid, started = int(found[1]), found[2]
    try:
        os.kill(pid, 0)  # sends nothing, and answers also of processes that /proc hides
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    state, since = _stat(pid)
    return not (since and since != started) and state not in _ENDED_STATES


def pid_of(identity: str) -> int | None:
    """Its number, on whatever machine."""
    found = _PROCESS.fullmatch(identity.partition(" ")[2])
    return int(found[1]) if found else None


def _place() -> str:
    """Where a process number means one process: this start of the machine and this process namespace. Empty where that is not shown."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    boot = _clock.pace.boot()
    return f"{boot}/{namespace}" if boot else ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process, both empty where they cannot be read. The name before them may hold anything."""
    fields = files.text_in(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


@dataclass(frozen=True)
class Presence:
    """What is known of a run of which no module is at work. C(gone): its ansible-playbook has ended. C(about): it lives, as the holder of a lock says it."""

    gone: bool = False
    about: dict[str, t.Any] | None = None


def presence(run: dict[str, t.Any], own: str = "") -> Presence:
    """C(run): as the record has it. C(own): the caller's ansible-playbook."""
    living, left = lives(run["controller"], own), steady_left(run["step_until"])
    if living is False:
        return Presence(gone=True)
    about = {"actor": run["actor"], "what": f"{run['purpose']}, between two steps,", "since": run["since"]}
    about["pid"] = pid_of(run["controller"]) or "unknown"
    if run["step"] and left > 0:
        return Presence(about={**about, "what": f"{run['step']}, for at most {left:.0f} s more,", "since": run["step_at"]})
    return Presence(about=about if living and not run["ended"] else None)
