# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Where the record and its copy may lie: a private folder of ours, on a disk with room that is not on Ceph."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import typing as t
from dataclasses import dataclass

from .._errors import InputError, RecordError
from . import files

RECORD_NAME = "record.sqlite"
_CEPH_FILESYSTEMS = frozenset({"ceph", "fuse.ceph", "fuse.ceph-fuse"})
_CEPH_DEVICES = ("/dev/rbd", "/dev/mapper/ceph", "/dev/nbd")
_NETWORK_FILESYSTEMS = frozenset(
    "nfs nfs4 cifs smb smb3 smbfs 9p afs lustre glusterfs beegfs gpfs ocfs2 gfs2 virtiofs davfs fuse.sshfs fuse.glusterfs "
    "fuse.davfs2 fuse.s3fs fuse.rclone fuse.smbnetfs fuse.curlftpfs fuse.juicefs".split()
)
_MEMORY_FILESYSTEMS = frozenset({"ramfs", "tmpfs"})
# The folder of the notices to owners.
NOTICES = "notices"
# What a run writes beside the record, and the unfinished forms of it.
_OURS = (
    *(RECORD_NAME, f"{RECORD_NAME}-journal"),
    *("running_vms.json", "hosts_to_open.json", "report.json", "report.html", "vms.csv", "summary.md", "maintenance_id", "copy_dir", "lock", "lease"),
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


@dataclass(frozen=True)
class Places:
    """Where the record of one platform and location lies, or is to lie, and its second copy."""

    api_host: str
    location: str
    record_dir: str
    record_copy: str
    record: str = ""
    persistent: bool = False

    @classmethod
    def of(cls, params: dict[str, t.Any]) -> Places:
        """As the options of a module name them."""
        names = ("api_host", "location", "record_dir", "record_copy", "record")
        return cls(**{name: params[name] or "" for name in names}, persistent=params["record_dir_persistent"])

    @property
    def path(self) -> str:
        """Of the record's file."""
        if not self.record and not self.record_dir:
            raise InputError("record_dir is needed to find the record.")
        return self.record or os.path.join(folder_for(self.record_dir, self.api_host, self.location), RECORD_NAME)

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)

    @property
    def copy_dir(self) -> str:
        """The folder of the second copy, empty where none is wanted now."""
        return folder_for(self.record_copy, self.api_host, self.location) if self.record_copy else ""

    @property
    def name(self) -> str:
        """The platform and location as the record names them."""
        return os.path.basename(folder_for("/", self.api_host, self.location))


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


def copy_disk_problem(copy: str, folder: str, mounts: str) -> str:
    """Why a second copy in C(copy) would be lost together with the record in C(folder), empty when it lies on another file system.

    Neither need exist yet. C(mounts): as C(read_mounts) returns them.
    """
    if not _same_file_system(copy, folder, mounts):
        return ""
    return (
        f"ceph_maint_record_copy {copy} lies on the file system of the record ({describe_disk(copy, mounts)}), so that one failure would "
        "lose both. Mount the other disk, or set ceph_maint_record_copy to a folder on one."
    )


def _same_file_system(one: str, other: str, mounts: str) -> bool:
    """By device number, which a bind mount shares, or by what is mounted, which subvolumes share."""
    places = [_nearest(path) for path in (one, other)]
    with contextlib.suppress(OSError):
        if os.stat(places[0]).st_dev == os.stat(places[1]).st_dev:
            return True
    first, second = (mount_of(place, mounts) for place in places)
    return first is not None and second is not None and first.device == second.device and "/" in first.device


def _nearest(path: str) -> str:
    """The path itself, or the nearest folder above it that exists. Links are followed."""
    path = os.path.realpath(path)
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def describe_disk(path: str, mounts: str) -> str:
    """Mount point, device and type of the file system of a path, which need not exist yet."""
    mount = mount_of(_nearest(path), mounts)
    return f"{mount.point}, {mount.device}, {mount.kind}" if mount else "file system unknown"


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
    try:
        disk = os.statvfs(_nearest(path))
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

    @property
    def in_memory(self) -> bool:
        return self.kind in _MEMORY_FILESYSTEMS


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
    return files.text_in("/proc/self/mounts")
