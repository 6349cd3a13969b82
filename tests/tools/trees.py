# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The places under .build/ where this checkout can be found as the collection pilw.maintenance.

link          a symlink to the checkout: for pytest, playbooks and the demo, never out of date
tree          a copy of the files git would take: for the linters, the documentation check and the build
tree-<name>   one such copy for each environment: ansible-test wants a real folder that is its own git repository, and writes to it
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
INSIDE = Path("ansible_collections") / "pilw" / "maintenance"
COPIES = ("tree", "tree-main", "tree-floor", "tree-newest")
NOT_OURS = {".git", ".build", ".ansible", ".venv", ".hypothesis", "__pycache__"}
# Anywhere else such a folder may be ours.
NOT_OURS_HERE = {ROOT / "tests" / "output", ROOT / "collections"}


def files() -> list[str]:
    """What git knows or would add; without git, everything that is no build product."""
    # The checkout may belong to someone else than the caller (a container, a CI volume).
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        names = sorted({os.fsdecode(name) for name in done.stdout.split(b"\0") if name})
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, found in os.walk(ROOT):
            folders[:] = [name for name in folders if name not in NOT_OURS and Path(folder, name) not in NOT_OURS_HERE]
            names += [os.path.relpath(os.path.join(folder, name), ROOT) for name in found]
    # A file that was deleted but is still staged is listed by git, and is not there.
    return [name for name in names if os.path.lexists(ROOT / name) and not (ROOT / name).is_dir()]


def link() -> Path:
    path = BUILD / "link" / INSIDE
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(os.path.relpath(ROOT, path.parent), target_is_directory=True)
    return path


def copy(name: str, names: list[str]) -> Path:
    tree = BUILD / name / INSIDE
    tree.mkdir(parents=True, exist_ok=True)
    # tests/output holds the environments that ansible-test made; all else goes, so that no deleted file lives on.
    for entry in [*tree.iterdir(), *(tree / "tests").glob("*")]:
        if entry in (tree / ".git", tree / "tests", tree / "tests" / "output"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for file in names:
        target = tree / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, target, follow_symlinks=False)
    if not (tree / ".git" / "HEAD").is_file():
        subprocess.run(["git", "init", "-q", str(tree)], stdin=subprocess.DEVNULL, check=True)
    return tree


def refresh() -> None:
    link()
    names = files()
    for name in COPIES:
        copy(name, names)


if __name__ == "__main__":
    refresh()
