# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines are containers that are gone with their job, and which folders outlive them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._environment import container as _container
from ansible_collections.pilw.maintenance.plugins.module_utils._environment.container import engine, problem
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import Refused
from ansible_collections.pilw.maintenance.plugins.module_utils._plan.preconditions import check, container
from ansible_collections.pilw.maintenance.plugins.module_utils._record import paths
from ansible_collections.pilw.maintenance.plugins.module_utils._record.paths import Mount, Places

DISK, LAYERS = Mount("/dev/vda1", "/", "ext4"), Mount("overlay", "/", "overlay")
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "files", "root", "found"),
    [
        ({}, [], DISK, ""),
        ({}, [], None, ""),
        ({}, ["/run/.containerenv"], LAYERS, "podman"),
        ({}, ["/run/.containerenv"], DISK, "podman"),  # with its images on another kind of storage
        ({"container": "podman"}, [], LAYERS, "podman"),
        ({"container": "oci"}, [], LAYERS, "oci"),
        ({"container": "oci", **POD}, [], LAYERS, "Kubernetes"),
        (POD, [], LAYERS, "Kubernetes"),
        ({}, ["/.dockerenv"], LAYERS, "docker"),
        # Machines: a node of Kubernetes with its variables, a virtual machine that was made out of an image, containers with an init.
        (POD, [], DISK, ""),
        ({}, ["/.dockerenv"], DISK, ""),
        ({"container": "lxc"}, [], DISK, ""),
        ({"container": "systemd-nspawn"}, [], DISK, ""),
        ({}, [], LAYERS, ""),  # a live system
    ],
)
def test_what_is_a_container(environ, files, root, found):
    assert engine(environ, files.__contains__, root) == found


@pytest.mark.parametrize("mount", [DISK, LAYERS, Mount("nfs:/x", "/records", "nfs4"), None])
@pytest.mark.parametrize("persistent", [True, False])
def test_on_a_machine_every_folder_outlives_the_job(mount, persistent):
    assert problem("/records", persistent, "", mount) == ("", "")


@pytest.mark.parametrize("mount", [DISK, LAYERS, Mount("/dev/sdb", "/records", "ext4"), None])
def test_in_a_container_somebody_must_say_that_a_folder_stays(mount):
    text, item = problem("/records", False, "podman", mount)
    assert item == ""
    for words in ("container (podman)", "ceph_maint_host", "ceph_maint_record_dir (now /records)", "ceph_maint_record_dir_persistent=true"):
        assert words in text


@pytest.mark.parametrize("mount", [Mount("/dev/sdb", "/records", "ext4"), Mount("nfs:/x", "/mnt", "nfs4"), None])
def test_a_mounted_folder_is_taken_at_its_word(mount):
    assert problem("/records", True, "podman", mount) == ("", "")


@pytest.mark.parametrize(
    "mount", [DISK, LAYERS, Mount("/dev/vda1", "/runner", "xfs"), Mount("tmpfs", "/records", "tmpfs"), Mount("ramfs", "/records", "ramfs")]
)
def test_a_folder_of_the_container_itself_is_not(mount):
    text, item = problem("/records", True, "podman", mount)
    assert text.startswith("ceph_maint_record_dir_persistent says that /records outlives this container (podman), and it lies at ")
    assert item.startswith("disk:")


def test_what_is_refused_can_be_accepted_by_its_name(monkeypatch):
    monkeypatch.setattr(_container, "here", lambda: "podman")
    monkeypatch.setattr(paths, "mount_of", lambda path, mounts: LAYERS)
    places = Places("api.example.com", "", "/records", "", persistent=True)
    with pytest.raises(Refused, match="Nothing was changed") as refused:
        check(container(places), [])
    check(container(places), refused.value.items)
    with pytest.raises(Refused) as refused:
        check(container(replace(places, persistent=False)), [])
    assert refused.value.items == []
