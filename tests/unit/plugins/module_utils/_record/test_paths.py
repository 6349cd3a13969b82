# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the record and its copy may lie."""

from __future__ import annotations

import os
import stat
import types

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, RecordError
from ansible_collections.pilw.maintenance.plugins.module_utils._record import paths

MOUNTS = """/dev/sda1 / ext4 rw 0 0
/dev/rbd0 /srv/with\\040blank ext4 rw 0 0
10.0.0.1:6789:/ /mnt/cephfs ceph rw 0 0
ceph-fuse /mnt/fuse fuse.ceph-fuse rw 0 0
/dev/nbd3 /mnt/nbd xfs rw 0 0
tmpfs /mnt/cephfs/inner tmpfs rw 0 0
broken
"""


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize(
    ("host", "location", "name"),
    [
        ("api.example.com", "", "api.example.com"),
        ("api.example.com", "tll01", "api.example.com@tll01"),
        ("api.example.com:8443", "", "api.example.com_8443"),
        ("https://api.example.com/", "", "api.example.com"),
        ("http://[::1]:8080", "", "1_8080"),
    ],
)
def test_one_folder_for_each_host_and_location(host, location, name):
    assert paths.folder_for("/r", host, location) == f"/r/{name}"


@pytest.mark.parametrize(
    "spelling", ["api.example.com", " api.example.com ", "https://api.example.com", "https://api.example.com/v1", "API.Example.com"]
)
def test_one_platform_has_one_record_however_its_host_is_spelt(spelling):
    assert paths.folder_for("/r", spelling, "") == "/r/api.example.com"


@pytest.mark.parametrize("host", ["", "  ", "https://", "..", "/"])
def test_a_host_that_names_no_folder_is_refused(host):
    with pytest.raises(InputError, match=r"api_host is empty\. Give the API's host name"):
        paths.folder_for("/r", host, "")


@pytest.mark.parametrize("host", ["../../etc", "a/../../b"])
def test_a_host_leads_out_of_no_folder(host):
    assert os.path.dirname(os.path.normpath(paths.folder_for("/r", host, ""))) == "/r"


def test_a_folder_is_made_private(tmp_path):
    path = str(tmp_path / "a" / "b")
    assert paths.folder_problem(path) is None
    paths.ensure_private_folder(path)
    paths.ensure_private_folder(path)
    assert mode(path) == 0o700


@pytest.mark.parametrize("bits", [0o701, 0o710, 0o750, 0o755, 0o770])
def test_a_folder_open_to_others_is_refused_with_the_way_to_close_it(tmp_path, bits):
    path = tmp_path / "r"
    path.mkdir()
    path.chmod(bits)
    with pytest.raises(RecordError) as caught:
        paths.ensure_private_folder(str(path))
    assert str(caught.value) == f"Others can get into the folder {path}. Close it with: chmod 700 {path}"
    assert mode(path) == bits


def test_a_planted_link_or_a_file_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "file").write_text("")
    for name in ("link", "dangling", "file"):
        path = tmp_path / name
        assert paths.folder_problem(str(path)) == (
            f"{path} is not a folder (a link is not followed). Set ceph_maint_record_dir to a folder of your own."
        )
    with pytest.raises(RecordError):
        paths.ensure_private_folder(str(tmp_path / "dangling"))


def test_a_folder_of_somebody_else_is_refused_with_who(tmp_path, monkeypatch):
    path = tmp_path / "r"
    path.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(paths.os, "geteuid", lambda: owner + 1)
    assert paths.folder_problem(str(path)) == (
        f"The folder {path} belongs to user id {owner}, and this is user id {owner + 1}. Run as that user, "
        "or set ceph_maint_record_dir to a folder of your own."
    )


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "a" / "b")
    assert paths.folder_problem(path) == (
        f"The folder {path} does not exist and cannot be made in {tmp_path}/file. Set ceph_maint_record_dir to a folder of your own."
    )
    with pytest.raises(RecordError, match=r"cannot be made: .*Give another with ceph_maint_record_dir"):
        paths.ensure_private_folder(path)


@pytest.mark.parametrize("path", ["none", "none/deeper", "./none"])
def test_a_relative_path_gets_an_answer_too(path, tmp_path, monkeypatch):
    calls, real = [], os.path.lexists

    def counted(asked):
        calls.append(asked)
        assert len(calls) < 50, "it looks for a parent for ever"
        return real(asked)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths.os.path, "lexists", counted)
    paths.folder_problem(path)


@pytest.mark.parametrize(
    ("path", "point", "on_ceph"),
    [
        ("/var/lib", "/", False),
        ("/srv/with blank/r", "/srv/with blank", True),
        ("/srv/with blank", "/srv/with blank", True),
        ("/srv/with blanks", "/", False),
        ("/mnt/cephfs/a", "/mnt/cephfs", True),
        ("/mnt/cephfs/inner/a", "/mnt/cephfs/inner", False),
        ("/mnt/fuse", "/mnt/fuse", True),
        ("/mnt/nbd/a", "/mnt/nbd", True),
    ],
)
def test_which_mount_a_path_lies_on(path, point, on_ceph):
    mount = paths.mount_of(path, MOUNTS)
    assert (mount.point, mount.on_ceph) == (point, on_ceph)


def test_no_mounts_no_answer():
    assert paths.mount_of("/a", "") is None


def test_room_is_asked_where_the_folder_will_be(tmp_path, monkeypatch):
    asked = []

    class Disk:
        f_bavail, f_frsize, f_blocks = 1000, 4096, 5000

    monkeypatch.setattr(paths.os, "statvfs", lambda path: asked.append(path) or Disk)
    assert paths.room_problem(str(tmp_path / "a" / "b"), 100) is None
    assert paths.room_problem(str(tmp_path / "a" / "b"), 1000).startswith("has 3.9 MiB free, and 1000 VMs may need 17 MiB. ")
    assert asked == [str(tmp_path)] * 2
    Disk.f_blocks = 0
    assert paths.room_problem(str(tmp_path), 1000) is None, "some disks do not tell"


@pytest.mark.parametrize(("kind", "network"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)])
def test_network_file_systems(kind, network):
    assert paths.Mount("x", "/", kind).on_network is network


DISKS = "/dev/vda1 / ext4 rw 0 0\n/dev/sdb1 /mnt/usb vfat rw 0 0\ntmpfs /run tmpfs rw 0 0\nnas:/vol /nas/a nfs4 rw 0 0\nnas:/vol /nas/b nfs4 rw 0 0\n"
DISKS += "/dev/sdc /pool/a btrfs rw,subvol=/a 0 0\n/dev/sdc /pool/b btrfs rw,subvol=/b 0 0\noverlay /o/a overlay rw 0 0\noverlay /o/b overlay rw 0 0\n"


@pytest.fixture
def disks(monkeypatch):
    """Folders of which each mount point has a device number of its own, but where two are one by a bind mount."""
    numbers = {"/mnt/usb": 2, "/run": 3, "/nas/a": 4, "/nas/b": 5, "/pool/a": 6, "/pool/b": 7, "/o/a": 8, "/o/b": 9, "/srv/bound": 2}

    def stat(path):
        point = next((one for one in numbers if path == one or path.startswith(f"{one}/")), "")
        return types.SimpleNamespace(st_dev=numbers.get(point, 1))

    monkeypatch.setattr(paths.os, "stat", stat)
    monkeypatch.setattr(paths, "_nearest", lambda path: path)


@pytest.mark.parametrize(
    ("copy", "folder", "refused"),
    [
        ("/home/copy", "/root/records", "/, /dev/vda1, ext4"),
        ("/mnt/usb/copy", "/root/records", ""),
        ("/root/records/copy", "/root/records", "/, /dev/vda1, ext4"),
        ("/mnt/usb/copy", "/srv/bound/records", "/mnt/usb, /dev/sdb1, vfat"),
        ("/nas/a/copy", "/nas/b/records", "/nas/a, nas:/vol, nfs4"),
        ("/pool/a/copy", "/pool/b/records", "/pool/a, /dev/sdc, btrfs"),
        ("/o/a/copy", "/o/b/records", ""),
        ("/run/copy", "/root/records", ""),
        ("/run/copy", "/run/records", "/run, tmpfs, tmpfs"),
    ],
)
def test_copy_on_the_file_system_of_the_record_is_named(disks, copy, folder, refused):
    found = paths.copy_disk_problem(copy, folder, DISKS)
    assert bool(found) is bool(refused)
    if refused:
        assert found.startswith(f"ceph_maint_record_copy {copy} lies on the file system of the record ({refused}), so that one failure")


def test_copy_through_a_link_is_where_the_link_leads(tmp_path):
    (tmp_path / "link").symlink_to("/dev/shm" if os.path.ismount("/dev/shm") else "/proc")
    mounts = paths.read_mounts()
    assert not paths.copy_disk_problem(str(tmp_path / "link" / "copy"), str(tmp_path / "records"), mounts)
    assert paths.copy_disk_problem(str(tmp_path / "not" / "yet"), str(tmp_path / "records"), mounts)
