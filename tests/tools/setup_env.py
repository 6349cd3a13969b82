# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one of the test environments under .build/, unless it is there already.

    python3 tests/tools/setup_env.py main|floor|newest|importer

main      the newest ansible-core that this Python allows, and all tools
floor     the oldest ansible-core that the collection supports
newest    ansible-core 2.20 or later, for machines whose own Python is too old for it
importer  the check that a collection server makes of an uploaded file

Exit status: 0 made (or there already), 3 cannot be made on this machine (last line: "SKIPPED: why"), 4 not needed here.
"""

from __future__ import annotations

import argparse
import configparser
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
MADE, SKIPPED, NOT_NEEDED = 0, 3, 4

# name: (extra requirements, file of requirements, lowest and highest Python)
ENVIRONMENTS = {
    "main": ([], "requirements-dev.txt", (3, 11), (3, 99)),
    "floor": (["ansible-core==2.16.*"], "tests/requirements.txt", (3, 10), (3, 12)),
    "newest": (["ansible-core>=2.20"], "tests/requirements.txt", (3, 12), (3, 99)),
    "importer": ([], "tests/tools/requirements-importer.txt", (3, 11), (3, 99)),
}

# Names in the cache of ansible-test, should they not be found in its source.
KNOWN_PIP_VERSIONS = {"23.1.2", "24.2", "25.2"}

PROBE = "import ensurepip, sqlite3, ssl, sys, venv; print('%d %d' % sys.version_info[:2]); print(sys.executable)"


def venv(name: str) -> Path:
    return BUILD / "venv" / name


def home(name: str) -> Path:
    return BUILD / "home" / name


def probe(python: str) -> tuple[tuple[int, int], str] | None:
    """Version and path of an interpreter, if it runs and can make environments.

    It has to be run to know: version managers leave commands of that name in the PATH that only say what is missing.
    """
    try:
        done = subprocess.run([python, "-c", PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            return None
        version, path = done.stdout.splitlines()[:2]
        major, minor = version.split()
        return (int(major), int(minor)), path
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python(lowest: tuple[int, int], highest: tuple[int, int]) -> str | None:
    """The interpreter that runs this, or else the newest other one in the range."""
    mine = probe(sys.executable)
    if mine and lowest <= mine[0] <= highest:
        return mine[1]
    for minor in range(min(highest[1], 20), lowest[1] - 1, -1):
        name = f"python3.{minor}"
        candidates = [
            os.path.join(folder, name) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder
        ] + sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}*/bin/python")), reverse=True)
        for candidate in candidates:
            found = probe(candidate)
            if found and lowest <= found[0] <= highest:
                return found[1]
    return None


def write_pip_conf(target: Path) -> None:
    """Let the pip that ansible-test runs (other HOME, empty environment) use what the caller's pip uses."""
    config = configparser.ConfigParser(interpolation=None)
    user = Path.home()
    config.read([user / ".pip" / "pip.conf", user / ".config" / "pip" / "pip.conf"])
    if not config.has_section("global"):
        config.add_section("global")
    for key, value in os.environ.items():
        if key.startswith("PIP_") and key != "PIP_CONFIG_FILE" and value:
            config.set("global", key[4:].lower().replace("_", "-"), value)
    config.set("global", "cache-dir", str(BUILD / "cache" / "pip"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    with target.open("w") as stream:
        config.write(stream)


def prepare_home(name: str) -> None:
    """A home folder for the tools: the caller's own stays as it is."""
    write_pip_conf(home(name) / ".config" / "pip" / "pip.conf")
    versions = set(KNOWN_PIP_VERSIONS)
    for source in venv(name).glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"):
        versions.update(re.findall(r"pip=['\"]([\d.]+)['\"]", source.read_text()))
    cache = home(name) / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in versions:
        shutil.copyfile(ROOT / "tests/tools/get_pip_shim.py", cache / f"get_pip_{version.replace('.', '_')}.py")


def wanted_state(name: str, python: str) -> str:
    extra, requirements = ENVIRONMENTS[name][:2]
    state = hashlib.sha256(repr([str(venv(name)), python, extra]).encode())
    for file in (requirements, "tests/requirements.txt", "tests/tools/setup_env.py", "tests/tools/get_pip_shim.py"):
        state.update((ROOT / file).read_bytes())
    return state.hexdigest()


def make(name: str) -> int:
    extra, requirements, lowest, highest = ENVIRONMENTS[name]
    mine = probe(sys.executable)
    if mine is None:
        print(f"{sys.executable} cannot make virtual environments with pip: install its venv package (Debian: python3-venv).")
        return 1
    if name == "newest" and mine[0] >= lowest:
        print(f"Not needed: with Python {mine[0][0]}.{mine[0][1]} the main environment has the newest ansible-core.")
        return NOT_NEEDED
    if name in ("main", "importer") and mine[0] < lowest:
        print(f"{sys.executable} is Python {mine[0][0]}.{mine[0][1]}, the tests need {lowest[0]}.{lowest[1]} or later: make PYTHON=...")
        return 1
    python = find_python(lowest, highest)
    if python is None:
        span = f"{lowest[0]}.{lowest[1]} or later" if highest[1] == 99 else f"{lowest[0]}.{lowest[1]} to {highest[0]}.{highest[1]}"
        print(f"SKIPPED: {extra[0]}: this machine has no Python {span} that runs")
        return SKIPPED
    stamp = venv(name) / "made"
    state = wanted_state(name, python)
    if stamp.is_file() and stamp.read_text() == state:
        print(f"{venv(name)}: there already")
        return MADE
    print(f"{venv(name)}: {python}, {' '.join(extra)} {requirements}", flush=True)
    shutil.rmtree(venv(name), ignore_errors=True)
    shutil.rmtree(home(name), ignore_errors=True)
    environ = dict(os.environ, PIP_CACHE_DIR=str(BUILD / "cache" / "pip"), PIP_DISABLE_PIP_VERSION_CHECK="1")
    for key in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environ.pop(key, None)
    subprocess.run([python, "-m", "venv", str(venv(name))], check=True, env=environ)
    pip = [str(venv(name) / "bin" / "python"), "-m", "pip"]
    for attempt in (1, 2, 3):
        done = subprocess.run([*pip, "install", "-q", *extra, "-r", str(ROOT / requirements)], check=False, env=environ)
        if done.returncode == 0:
            break
        print(f"pip failed, attempt {attempt} of 3", flush=True)
    else:
        return 1
    subprocess.run([*pip, "check"], check=False, env=environ)
    prepare_home(name)
    stamp.write_text(state)
    return MADE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(ENVIRONMENTS))
    return make(parser.parse_args().name)


if __name__ == "__main__":
    sys.exit(main())
