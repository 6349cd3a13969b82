# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring the collection awx.awx for the tests of the set-up: awx_modules.py

It lies in the package `ansible`, in one version that is known, and is taken out of it to .build/awx/VERSION/ansible_collections/awx.
Nothing of the package is installed. Exit status 0: it is there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Holds awx.awx 24.6.1.
VERSION = "10.7.0"
PLACE = ROOT / ".build" / "awx" / VERSION
INSIDE = "ansible_collections/awx/"


def take_out(wheel: Path, place: Path) -> None:
    """All or nothing: a folder that is there is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder, zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder, [name for name in packed.namelist() if name.startswith(INSIDE)])
        shutil.rmtree(place, ignore_errors=True)
        Path(folder, INSIDE.split("/", maxsplit=1)[0]).rename(place.parent / f"{VERSION}.new")
    place.mkdir()
    (place.parent / f"{VERSION}.new").rename(place / "ansible_collections")


def main() -> int:
    if (PLACE / INSIDE / "awx" / "MANIFEST.json").is_file():
        print(f"{PLACE}: there already")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, f"ansible=={VERSION}"]
        for attempt in (1, 2, 3):
            if subprocess.run(pip, stdin=subprocess.DEVNULL, check=False).returncode == 0:
                break
            print(f"pip failed, attempt {attempt} of 3", flush=True)
        else:
            return 1
        (wheel,) = Path(folder).glob("ansible-*.whl")
        take_out(wheel, PLACE)
    print(f"{PLACE}: made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
