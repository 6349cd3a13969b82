# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Where the record lives, and how files beside it are written: private, whole, never through a planted link."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import typing as t
from dataclasses import dataclass

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, RecordError
from ansible_collections.pilw.maintenance.plugins.module_utils._model import is_uuid

RECORD_NAME = "record.sqlite"
_CEPH_FILESYSTEMS = frozenset({"ceph", "fuse.ceph", "fuse.ceph-fuse"})
_CEPH_DEVICES = ("/dev/rbd", "/dev/mapper/ceph", "/dev/nbd")


def folder_for(record_dir: str, api_host: str, location: str) -> str:
    """The folder of one API host and location below C(record_dir)."""
    host = re.sub(r"^https?://|/(v1/?)?$", "", api_host.strip().lower())
    name = re.sub(r"[^0-9a-z.-]+", "_", host).strip("_.")
    if not name:
        raise InputError("api_host is empty. Give the API's host name, such as api.example.com, or set API_HOST.")
    return os.path.join(record_dir, f"{name}@{location}" if location else name)


def ensure_private_folder(path: str) -> None:
    """Make a 0700 folder, or see that an existing one is ours and closed to others."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as exc:
        raise RecordError(f"The folder {path} cannot be made: {exc}. Give another with ceph_maint_record_dir.") from exc
    problem = folder_problem(path)
    if problem:
        raise RecordError(problem)


def folder_problem(path: str) -> str | None:
    """Why a folder cannot hold the record; None when it can, or when it does not exist yet and can be made."""
    if not os.path.isabs(path):
        return f"{path} is not an absolute path, so where it lies is not certain. Give the whole path."
    if not os.path.lexists(path):
        parent = os.path.dirname(path)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK):
            return None
        return f"The folder {path} does not exist and cannot be made in {parent}. Set ceph_maint_record_dir."
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        return f"{path} is not a folder (a link is not followed). Set ceph_maint_record_dir to a folder of your own."
    if info.st_uid != os.geteuid():
        return (
            f"The folder {path} belongs to user id {info.st_uid}, and this is user id {os.geteuid()}. Run as that user, "
            "or set ceph_maint_record_dir to a folder of your own."
        )
    if info.st_mode & 0o077:
        return f"Others can get into the folder {path}. Close it with: chmod 700 {path}"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"The folder {path} cannot be written. Set ceph_maint_record_dir to one that can."
    return None


@dataclass(frozen=True)
class Mount:
    device: str
    point: str
    kind: str

    @property
    def on_ceph(self) -> bool:
        return self.kind in _CEPH_FILESYSTEMS or self.device.startswith(_CEPH_DEVICES)


def mount_of(path: str, mounts: str) -> Mount | None:
    """Which line of /proc/self/mounts a path lies on."""
    path = os.path.realpath(path)
    best = None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= len(best.point)):
            best = Mount(fields[0], point, fields[2])
    return best


def read_mounts() -> str:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def write_json(path: str, data: t.Any) -> None:
    """Replace a file by JSON."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=True) + "\n")


def write_text(path: str, text: str) -> None:
    """Replace a file in one step, mode 0600, on disk before the call returns."""
    unfinished = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(unfinished, path)


def read_running_vms(path: str) -> list[dict]:
    """The shell runbook's hand-made list: a JSON array of VM rows."""
    try:
        with open(path, encoding="utf-8") as handle:
            rows = json.load(handle)
    except OSError as exc:
        raise InputError(f"running_vms {path} cannot be read: {exc}.") from exc
    except ValueError as exc:
        raise InputError(f"running_vms {path} is not JSON: {exc}. Nothing was changed.") from exc
    if not isinstance(rows, list):
        raise InputError(f"running_vms {path} is not a JSON list of VM rows, as vm/all gives. Nothing was changed.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not is_uuid(row.get("uuid")):
            raise InputError(f"running_vms {path}: entry {number} of {len(rows)} has no usable uuid. Nothing was changed.")
    return rows
