# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that docs/examples gives to operators: real Ansible, with stand-ins for the programs of Ceph and systemd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
LIMIT = 120
DAEMONS = ["mon.a", "mgr.x", "osd.0", "osd.1", "rgw.web", "prometheus.a"]
GROUPS = {"ceph": ["c1", "c2"], "mons": ["c1"], "mgrs": ["c1"], "osds": ["c1", "c2"], "rgws": ["c1"], "mdss": ["c2"]}
ENDED = 3  # how often the stand-in shows an OSD that is still ending

# Every word that it gets is written down, one line a call.
WRITES_DOWN = f"""#!{sys.executable}
import os, sys
words, place = sys.argv[1:], os.path.dirname(os.path.abspath(__file__))
with open(place + "/calls", "a+", encoding="utf-8") as calls:
    calls.write(" ".join([os.path.basename(__file__), *words]) + chr(10))
    calls.seek(0)
    before = calls.read()
"""
STAND_INS = {
    "cephadm": f"""
if words[0] == "ls":
    print({json.dumps([{"style": "cephadm:v1", "fsid": "f-1", "name": name} for name in DAEMONS])!r})
""",
    "systemctl": """
if words[0] == "show":
    unit = words[-1].strip("'")
    last = [line.split()[1] for line in before.splitlines() if line.endswith(" " + unit) and line.split()[1] != "show"]
    print("LoadState=loaded")
    print("ActiveState=" + ("inactive" if last and last[-1] == "stop" else "active"))
""",
    "pgrep": f"""
sys.exit(0 if before.count("pgrep") < {ENDED} else 1)
""",
}


def ansible(folder: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example with an inventory of two hosts, both of which are this one."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "ansible_become": False}
    groups = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in GROUPS.items()}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"vars": local, "children": groups}}), encoding="utf-8")
    command = Path(os.environ.get("PILW_TEST_BIN", Path(sys.executable).parent)) / "ansible-playbook"
    kept = {name: os.environ[name] for name in ("LANG", "ANSIBLE_COLLECTIONS_PATH") if name in os.environ}
    return subprocess.run(
        [str(command), "-i", str(inventory), str(EXAMPLES / playbook), *arguments],
        env={**kept, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.fixture
def calls(tmp_path):
    """The file with the calls of the stand-ins, which stand first in PATH."""
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.write_text(WRITES_DOWN + body, encoding="utf-8")
        path.chmod(0o755)
    return tmp_path / "bin" / "calls"


def steps(calls: Path, acts: dict[str, tuple[str, str]]) -> list[tuple[str, str]]:
    """What was stopped and started, in the order in which the first call of each came, and that no two of them mingle."""
    found: list[tuple[str, str]] = []
    for line in calls.read_text(encoding="utf-8").splitlines():
        step = acts.get(line.split(" unit ")[-1].strip()) or acts.get(line)
        if step and (not found or found[-1] != step):
            found.append(step)
    assert len(found) == len(set(found)), f"steps mingle: {found}"
    return found


ORDER = ["uses", "osd", "mgr", "mon"]
WHOLE = [*(("stop", kind) for kind in ORDER), ("work", ""), *(("start", kind) for kind in reversed(ORDER))]


def work(folder: Path) -> str:
    tasks = [{"name": "Work", "ansible.builtin.command": {"argv": ["cephadm", "the-work"]}, "changed_when": True}]
    (folder / "work.yml").write_text(json.dumps(tasks), encoding="utf-8")
    return f"ceph_work={folder / 'work.yml'}"


def test_cephadm(calls, tmp_path):
    """Each kind is down on all hosts before the next one stops; the monitors go last and come first."""
    done = ansible(tmp_path, "ceph_with_cephadm.yml", "-e", work(tmp_path))
    assert done.returncode == 0, done.stdout
    kinds = {"mon.a": "mon", "mgr.x": "mgr", "osd.0": "osd", "osd.1": "osd", "rgw.web": "uses"}
    acts = {f"--fsid f-1 --name {name} {act}": (act, kind) for name, kind in kinds.items() for act in ("stop", "start")}
    assert steps(calls, {**acts, "cephadm the-work": ("work", "")}) == WHOLE
    assert "prometheus" not in calls.read_text(encoding="utf-8")


def test_systemd(calls, tmp_path):
    """The same, on the hosts of each group; the managers stop only when the last OSD has really ended."""
    # Without the pauses between two looks.
    text = (EXAMPLES / "ceph_with_systemd.yml").read_text(encoding="utf-8")
    quick = tmp_path / "quick.yml"
    quick.write_text(text.replace("delay: 5", "delay: 0"), encoding="utf-8")
    done = ansible(tmp_path, str(quick), "-e", work(tmp_path))
    assert done.returncode == 0, done.stdout
    units = {"ceph-mon": "mon", "ceph-mgr": "mgr", "ceph-osd": "osd", "ceph-radosgw": "uses", "ceph-mds": "uses"}
    acts = {f"systemctl {act} {unit}.target": (act, kind) for unit, kind in units.items() for act in ("stop", "start")}
    found = steps(calls, {**acts, "cephadm the-work": ("work", ""), "pgrep -x ceph-osd": ("stop", "osd")})
    assert found == WHOLE
    lines = calls.read_text(encoding="utf-8").splitlines()
    assert lines.index("systemctl stop ceph-mgr.target") > max(n for n, line in enumerate(lines) if line.startswith("pgrep"))
    assert sum(line.startswith("pgrep") for line in lines) >= ENDED


@pytest.mark.every_core
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("ceph_with_*.yml")), ids=lambda path: path.stem)
def test_syntax(path, tmp_path):
    done = ansible(tmp_path, path.name, "--syntax-check")
    assert done.returncode == 0, done.stdout
