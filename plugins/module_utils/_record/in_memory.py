# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""A record in memory, for a proof that writes nothing: a copy of the open one, or an empty one where none is open."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass

from .._api.model import printable
from .._errors import Refused
from . import schema
from .other_names import elsewhere_text
from .record import CLOSING, DONE, STOPPING, Record
from .recovery import find_whole
from .rows import new_maintenance, now_text


@dataclass
class View:
    """C(record) is in memory and C(run) is the only run on it. C(phase) is that of the open record, empty where none is open."""

    record: Record
    run: str
    phase: str


@contextlib.contextmanager
def view(path: str, params: dict[str, t.Any], accepted: list[str] | None, copy_dir: str | None) -> t.Iterator[View]:
    """The open record as it is now, also while another run works on it. C(path): where it lies, or would lie."""
    opened = find_whole(path, accepted or [], copy_dir, "verify")
    phase = opened.phase if opened else DONE
    if phase == DONE and not params["location"] and (others := elsewhere_text(params)):
        raise Refused(f"No maintenance is open under this name, and one is open under another{others}")
    if opened and phase != DONE:
        record = opened.in_memory()
    else:
        new = new_maintenance(now_text(), api_host=os.path.basename(os.path.dirname(path)), location=params["location"] or "", reason="")
        record = Record(path, database=schema.in_memory(new))
    if opened:
        opened.close()
    with contextlib.closing(record):
        run = record.begin_run("", "verify")
        record.accept(run, accepted, printable(params["accept_reason"], 200))
        if phase == DONE:
            record.set_scope(run, params["query"] or "", params["exclude"] or "")
        if record.phase == CLOSING:
            record.set_phase(run, STOPPING)
        yield View(record, run, "" if phase == DONE else phase)
