# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Does this run in a container that is gone with its job, as those of AWX are? Then a record on its own disk is gone with it."""

from __future__ import annotations

import os
import typing as t

from .._accept import DISK
from .._api.model import digest
from .._record.paths import Mount, mount_of, read_mounts

# What container engines, and base images that are made for them, put into the variable "container". A system container that has an init
# of its own (lxc, systemd-nspawn) lives on, and is a machine to us.
_ENGINES = frozenset({"docker", "kube", "oci", "podman"})
_PODMAN, _DOCKER = "/run/.containerenv", "/.dockerenv"
_LAYERS = frozenset({"aufs", "fuse.fuse-overlayfs", "overlay"})
# Where AWX and ansible-runner lay the files of one job, which they remove after it.
_JOB_FOLDER = "/runner"


def engine(environ: t.Mapping[str, str], exists: t.Callable[[str], bool], root: Mount | None) -> str:
    """What runs this as a container, in a word; empty on a machine. C(root): the file system at /."""
    named = environ.get("container", "")
    if exists(_PODMAN):
        return "podman"
    if named in _ENGINES:
        return "Kubernetes" if environ.get("KUBERNETES_SERVICE_HOST") else named
    # Either can stand on a machine too: the layers of an image below / are the container.
    if root is None or root.kind not in _LAYERS:
        return ""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    return "docker" if exists(_DOCKER) else ""


def problem(path: str, persistent: bool, runs_in: str, mount: Mount | None) -> tuple[str, str]:
    """Why the record in a folder would not outlive the job, and the item that accepts it, if any does. Both empty when it would."""
    if not runs_in:
        return "", ""
    if not persistent:
        return (
            f"This runs in a container ({runs_in}), and a record on its own disk would be gone with the job: after the Ceph work nobody "
            "would know what ran. Set ceph_maint_host to a host of the inventory that stays (the modules run and the record lies there), "
            f"or mount a volume that stays into the container, set ceph_maint_record_dir (now {path}) to a folder on it, and say so with "
            "ceph_maint_record_dir_persistent=true.",
            "",
        )
    if mount is None or (mount.point not in ("/", _JOB_FOLDER) and not mount.in_memory):
        return "", ""
    return (
        f"ceph_maint_record_dir_persistent says that {path} outlives this container ({runs_in}), and it lies at {mount.point} "
        f"({mount.kind}), which is the container's own. Mount a volume that stays, and set ceph_maint_record_dir to a folder on it.",
        DISK(digest(path)),
    )


def here() -> str:
    """What runs this very process as a container; empty on a machine."""
    return engine(os.environ, os.path.lexists, mount_of("/", read_mounts()))
