# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image for AWX and its like, as far as it can be made without a container engine: context, Galaxy stage, what is found in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT = 120
DEFINITION = ROOT / "execution-environment.yml"
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
BUILT = f"pilw-maintenance-{VERSION}.tar.gz"
COLLECTIONS = "/usr/share/ansible/collections"  # in the image


def run(command: list[str], cwd: Path) -> str:
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        command, cwd=cwd, env={"HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def commands(text: str) -> list[list[str]]:
    """What an operator is told to type."""
    lines = [line.lstrip("# ") for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("ansible-galaxy collection build", "ansible-builder build"))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The definition, with the collection file built where it is looked for, and the context made of both."""
    folder = tmp_path_factory.mktemp("ee")
    (folder / DEFINITION.name).write_bytes(DEFINITION.read_bytes())
    build, image = commands(DEFINITION.read_text(encoding="utf-8"))
    run([*build, str(ROOT)], folder)
    said = run([image[0], "create", "--output-filename", "Containerfile"], folder)
    assert "Complete!" in said and "No matches" not in said, said
    return folder


def test_the_context_holds_all_that_the_image_is_made_of(checkout: Path) -> None:
    context = checkout / "context"
    assert (context / "_build" / BUILT).read_bytes() == (checkout / ".build" / "dist" / BUILT).read_bytes()
    galaxy = yaml.safe_load((context / "_build" / "requirements.yml").read_text(encoding="utf-8"))
    assert galaxy == {"collections": [{"name": BUILT, "type": "file"}]}
    assert (context / "_build" / "bindep.txt").read_text(encoding="utf-8").split() == ["openssh-clients"]
    steps = (context / "Containerfile").read_text(encoding="utf-8")
    base = re.findall(r'^ARG EE_BASE_IMAGE="(.+):(.+)"$', steps, re.MULTILINE)
    assert base and base[0][1] != "latest", "no image that can change under one's hands from one release to the next"
    assert f"ENV ANSIBLE_COLLECTIONS_PATH=/runner/requirements_collections:/home/runner/.ansible/collections:{COLLECTIONS}" in steps
    for wanted in ("ansible-core>=2.21,<2.22", "ansible-runner>=2.4,<3", "introspect.py introspect", COLLECTIONS):
        assert wanted in steps


def test_the_galaxy_stage_installs_the_collection_and_its_needs_are_found(checkout: Path) -> None:
    """That stage's own command, in the folder that it has there; then the question that the next stage asks."""
    context, installed = checkout / "context", checkout / "collections"
    stage = re.findall(rf"^RUN (.*ansible-galaxy collection install .* )\"{COLLECTIONS}\"$", (context / "Containerfile").read_text(), re.MULTILINE)
    assert len(stage) == 1
    run(["sh", "-c", f"{stage[0]} {installed}"], context / "_build")
    assert list(installed.glob("ansible_collections/*/*")) == [installed / "ansible_collections" / "pilw" / "maintenance"]
    playbooks = {path.name for path in (ROOT / "playbooks").glob("*.yml")}
    assert {path.name for path in installed.glob("ansible_collections/pilw/maintenance/playbooks/*.yml")} == playbooks
    found = yaml.safe_load(run(["ansible-builder", "introspect", str(installed)], checkout))
    needs = [line for line in (ROOT / "meta" / "ee-requirements.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [text.split("#")[0].strip() for text in found["python"]] == needs
    assert {re.split(r"[<>=]", need)[0] for need in needs} == {"requests", "jmespath"}
    assert found["system"] == []


def test_the_commands_and_the_version_are_the_same_wherever_they_are_told() -> None:
    text, readme = (path.read_text(encoding="utf-8") for path in (DEFINITION, ROOT / "README.md"))
    assert commands(text) == commands(readme) != []
    assert f"pilw-maintenance-ee:{VERSION}" in text
    assert set(re.findall(r"pilw-maintenance-\d[\w.]*\.tar\.gz", text + readme)) == {BUILT}
    assert set(re.findall(r"\d+\.\d+\.\d+", text)) == {VERSION}
