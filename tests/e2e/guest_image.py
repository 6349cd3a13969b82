# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every guest boots: Debian's cloud kernel, and an initramfs of busybox and one script."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from e2e.processes import run

INIT = Path(__file__).parent / "guest_init.sh"
BUSYBOX = Path("/bin/busybox")
APPLETS = "sh mount umount insmod dd cat sleep sync poweroff acpid touch awk".split()
MODULES = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk button evdev".split()
ON_POWER_BUTTON = '#!/bin/sh\necho "POWER BUTTON" >/dev/console\ntouch /stop\n'


@dataclass(frozen=True)
class GuestImage:
    """Two files for QEMU."""

    kernel: Path
    initrd: Path


def find_kernel_package(folder: Path) -> Path | None:
    """The newest one that install.sh has left there."""
    return max(folder.glob("linux-image-*.deb"), key=lambda path: path.stat().st_mtime, default=None)


def build(folder: Path) -> GuestImage:
    """Make it in the folder with the kernel package, unless it is there already."""
    package = find_kernel_package(folder)
    assert package is not None, f"no kernel package in {folder}: install.sh puts one there"
    state = hashlib.sha256()
    for part in (INIT.read_bytes(), BUSYBOX.read_bytes(), package.name.encode(), Path(__file__).read_bytes()):
        state.update(part)
    image = folder / f"image-{state.hexdigest()[:16]}"
    if not image.is_dir():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = _build(package, Path(work))
            try:
                made.rename(image)
            except OSError:
                assert image.is_dir()  # another run was quicker
    return GuestImage(image / "vmlinuz", image / "initrd.gz")


def _build(package: Path, work: Path) -> Path:
    unpacked, root, made = work / "package", work / "root", work / "image"
    run("dpkg-deb", "-x", package, unpacked, limit=300)
    made.mkdir()
    shutil.copy(_only(unpacked.glob("boot/vmlinuz-*")), made / "vmlinuz")
    for name in ("bin", "modules", "dev", "proc", "sys", "data", "etc/acpi/PWRF"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    for module in MODULES:
        shutil.copy(_only(unpacked.glob(f"lib/modules/**/{module}.ko")), root / "modules")
    shutil.copy(INIT, root / "init")
    button = root / "etc/acpi/PWRF/00000080"
    button.write_text(ON_POWER_BUTTON, encoding="utf-8")
    for script in (root / "init", button):
        script.chmod(0o755)
    pack = 'cd "$1" && find . | cpio --quiet -o -H newc | gzip -9 >"$2"'
    run("sh", "-c", pack, "sh", root, made / "initrd.gz")
    return made


def _only(found: t.Iterable[Path]) -> Path:
    (path,) = found
    return path
