# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Open records of the same API host under another location name. One location can be named, or left out as the default."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass

from .._errors import PilwError
from .paths import RECORD_NAME, folder_for
from .record import DONE
from .recovery import find


@dataclass(frozen=True)
class OtherRecord:
    """An open record in C(folder). C(location) is empty where the prepare named none. C(about): id, phase and count, or what is wrong."""

    location: str
    folder: str
    about: str

    @property
    def argument(self) -> str:
        return f"-e ceph_maint_location={self.location}"

    def text(self) -> str:
        """Where it is, and the argument that uses it."""
        name = f"the location name {self.location}" if self.location else "no location name"
        return f"An open record of this API host is under {name}: {self.about}, in {self.folder}. To use it: {self.argument}"

    def data(self) -> dict[str, str]:
        return {"location": self.location, "folder": self.folder, "about": self.about, "argument": self.argument}


def open_elsewhere(params: dict[str, t.Any]) -> list[OtherRecord]:
    """The open records of O(api_host) in O(record_dir), those under O(location) aside. A damaged one counts as open."""
    base, own = (os.path.basename(folder_for("/", params["api_host"], location)) for location in ("", params["location"] or ""))
    try:
        names = os.listdir(params["record_dir"]) if params["record_dir"] else []
    except OSError:
        return []
    others = sorted(name for name in names if (name == base or name.startswith(f"{base}@")) and name != own)
    found = [_open_in(os.path.join(params["record_dir"], name), name[len(base) + 1 :]) for name in others]
    return [one for one in found if one]


def _open_in(folder: str, location: str) -> OtherRecord | None:
    try:
        record = find(os.path.join(folder, RECORD_NAME), [])
        if record is None:
            return None
        with contextlib.closing(record):
            if record.phase == DONE:
                return None
            about = f"{record.maintenance['id']}, phase {record.phase}, {record.count_vms()} VMs"
    except PilwError as exc:
        about = f"it cannot be read ({exc})"
    return OtherRecord(location, folder, about)


def elsewhere_text(params: dict[str, t.Any]) -> str:
    """All of them as the end of a message, with what divides it from what stands before; empty when there is none."""
    return "".join(f"; {other.text()}" for other in open_elsewhere(params))
