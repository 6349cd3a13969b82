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
_NETWORK_FILESYSTEMS = frozenset(
    "nfs nfs4 cifs smb smb3 smbfs 9p afs lustre glusterfs beegfs gpfs ocfs2 gfs2 virtiofs davfs fuse.sshfs fuse.glusterfs "
    "fuse.davfs2 fuse.s3fs fuse.rclone fuse.smbnetfs fuse.curlftpfs fuse.juicefs".split()
)
# What a run writes beside the record, and the unfinished forms of it.
_OURS = (
    *(RECORD_NAME, f"{RECORD_NAME}-journal"),
    *("running_vms.json", "hosts_to_open.json", "report.json", "maintenance_id", "copy_dir", "lock", "lease"),
)
# Bytes of disk for each VM, all files and their unfinished forms together, and for what does not grow. Measured, and doubled.
_ROOM_A_VM = 16 * 1024
_ROOM = 1024 * 1024


def folder_for(record_dir: str, api_host: str, location: str) -> str:
    """The folder of one API host and location below C(record_dir)."""
    host = re.sub(r"^https?://|/(v1/?)?$", "", api_host.strip().lower())
    name = re.sub(r"[^0-9a-z.-]+", "_", re.sub(r"^([^/]*):443(?=/|$)", r"\1", host)).strip("_.")
    if not name:
        raise InputError("api_host is empty. Give the API's host name, such as api.example.com, or set API_HOST.")
    if location and not re.fullmatch(r"[0-9A-Za-z_-]+", location):
        raise InputError(f"location {location} is not a location slug, such as tll01.")
    return os.path.join(record_dir, f"{name}@{location}" if location else name)


def ensure_private_folder(path: str, option: str = "ceph_maint_record_dir") -> None:
    """Make a 0700 folder, or see that an existing one is ours and closed to others."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as exc:
        raise RecordError(f"The folder {path} cannot be made: {exc}. Give another with {option}.") from exc
    problem = folder_problem(path, option)
    if problem:
        raise RecordError(problem)


def folder_problem(path: str, option: str = "ceph_maint_record_dir") -> str | None:
    """Why a folder cannot hold the record; None when it can, or when it does not exist yet and can be made."""
    if not os.path.isabs(path):
        return f"{path} is not an absolute path, so where it lies is not certain. Give the whole path."
    if not os.path.lexists(path):
        parent = os.path.dirname(path)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK):
            return None
        return f"The folder {path} does not exist and cannot be made in {parent}. Set {option} to a folder of your own."
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        return f"{path} is not a folder (a link is not followed). Set {option} to a folder of your own."
    if info.st_uid != os.geteuid():
        return (
            f"The folder {path} belongs to user id {info.st_uid}, and this is user id {os.geteuid()}. Run as that user, "
            f"or set {option} to a folder of your own."
        )
    if info.st_mode & 0o077:
        return f"Others can get into the folder {path}. Close it with: chmod 700 {path}"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"The folder {path} cannot be written. Set {option} to one that can."
    return None


def same_folder(one: str, other: str) -> bool:
    """Whether two paths lead to one folder, which need not exist yet."""
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def copy_problem(copy_dir: str | None, folder: str) -> str | None:
    """Why a folder cannot hold the second copy of the record in another; None when it can, or when none is wanted."""
    if not copy_dir or not same_folder(copy_dir, folder):
        return None
    return (
        f"ceph_maint_record_copy leads to {copy_dir}, where the record itself lies, so that there would be no second copy. Set it "
        "to a folder on another disk, or leave it out."
    )


def file_problem(path: str) -> str | None:
    """Why a file of a run cannot be used; None when it can, or when there is none. No link is followed."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return f"The file {path} cannot be looked at: {exc}. Mend that, or find out who put it there."
    if not stat.S_ISREG(info.st_mode):
        return f"{path} is not a plain file (a link is not followed). Find out who put it there, and move it away."
    if info.st_uid != os.geteuid():
        return (
            f"The file {path} belongs to user id {info.st_uid}, and this is user id {os.geteuid()}. Run as that user, or, if "
            f"it is the right file, take it over as root: chown {os.geteuid()} {path}"
        )
    if info.st_mode & 0o077:
        return f"Others can get at the file {path}. If it is the right file, close it with: chmod 600 {path}"
    return None


def files_problem(folder: str) -> str | None:
    """The first file of a run in a folder that cannot be used."""
    paths = (os.path.join(folder, name + end) for name in _OURS for end in ("", ".new"))
    return next(filter(None, map(file_problem, paths)), None)


def room_problem(path: str, vms: int) -> str | None:
    """Whether the disk has room for the record of so many VMs; None as well when the disk does not tell."""
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    free, needed = disk.f_bavail * disk.f_frsize, _ROOM + vms * _ROOM_A_VM
    if not disk.f_blocks or free >= needed:
        return None
    told = f"has {free / 1048576:.1f} MiB free, and {vms} VMs may need {needed / 1048576:.0f} MiB"
    return f"{told}. Make room, or choose another disk."


@dataclass(frozen=True)
class Mount:
    device: str
    point: str
    kind: str

    @property
    def on_ceph(self) -> bool:
        return self.kind in _CEPH_FILESYSTEMS or self.device.startswith(_CEPH_DEVICES)

    @property
    def on_network(self) -> bool:
        return self.kind in _NETWORK_FILESYSTEMS


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
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)  # on a full disk each page counts
        raise


def sync_folder(folder: str) -> None:
    """What got or lost a name in it is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep(path: str, mark: str) -> str | None:
    """Leave what a file holds under another name as well, as it is about to be replaced. Returns that name."""
    kept = f"{path}.{mark}"
    try:
        os.link(path, kept, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except FileExistsError:
        pass  # the mark stands for the content
    except OSError:  # a disk without hard links
        with open(kept, "wb", opener=lambda name, flags: os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)) as stream:
            stream.write(read_private(path))
            stream.flush()
            os.fsync(stream.fileno())
    return kept


def read_private(path: str) -> bytes:
    """A file of ours: no link is followed, and nothing but a plain file is waited for."""
    return _read(path, os.O_NOFOLLOW)


def _read(path: str, how: int = 0) -> bytes:
    # Without waiting: a pipe without a writer would hold the run for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | how)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is not a plain file")
        return stream.read()


def read_running_vms(path: str) -> list[dict]:
    """The shell runbook's hand-made list: a JSON array of VM rows."""
    try:
        return read_rows(_read(path))
    except OSError as exc:
        raise InputError(f"running_vms {path} cannot be read: {exc}. Give the path of a file that can. Nothing was changed.") from exc
    except ValueError as exc:
        raise InputError(f"running_vms {path} {exc}. Mend the list, then run the same command again. Nothing was changed.") from exc


def read_rows(content: bytes) -> list[dict]:
    """Rows with a usable uuid each, of VMs or hosts. ValueError says what is wrong, and on which line."""
    try:
        text = content.decode("utf-8-sig")
        rows = json.loads(text)
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"is not JSON: line {line} is not UTF-8 text") from exc
    except ValueError as exc:
        raise ValueError(f"is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise ValueError("is not JSON that can be read: it is nested too deep") from exc
    if not isinstance(rows, list):
        raise ValueError("is not a JSON list of VM rows, as vm/all gives")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not is_uuid(row.get("uuid")):
            line = _line_of(text, number)
            raise ValueError(f"line {line}: entry {number} of {len(rows)} has no usable uuid")
    return rows


def _line_of(text: str, number: int) -> int:
    """The line on which an entry of a JSON list begins. The text is known to be one."""
    at, decoder = text.index("[") + 1, json.JSONDecoder()
    for entry in range(number):
        while text[at] in " \t\r\n,":
            at += 1
        if entry + 1 < number:
            at = decoder.raw_decode(text, at)[1]
    return text.count("\n", 0, at) + 1
