# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that docs/examples gives to operators: real Ansible, with stand-ins for the programs of Ceph and systemd."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
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
        env={**kept, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1"},
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


@pytest.mark.playbook
def test_cephadm(calls, tmp_path):
    """Each kind is down on all hosts before the next one stops; the monitors go last and come first."""
    done = ansible(tmp_path, "ceph_with_cephadm.yml", "-e", work(tmp_path))
    assert done.returncode == 0, done.stdout
    kinds = {"mon.a": "mon", "mgr.x": "mgr", "osd.0": "osd", "osd.1": "osd", "rgw.web": "uses"}
    acts = {f"--fsid f-1 --name {name} {act}": (act, kind) for name, kind in kinds.items() for act in ("stop", "start")}
    assert steps(calls, {**acts, "cephadm the-work": ("work", "")}) == WHOLE
    assert "prometheus" not in calls.read_text(encoding="utf-8")


@pytest.mark.playbook
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


@pytest.fixture
def webhook():
    """A small http server on loopback: its port, and what was posted to it."""
    posted: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if posted[-1]["event"] == "failed" else 204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing of it on the screen."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], posted
    server.shutdown()
    server.server_close()


@pytest.mark.playbook
def test_webhook(webhook, tmp_path):
    """Each notice arrives as it was given, whatever is in it; an answer that is no good fails the hook."""
    port, posted = webhook
    texts = {"owner": "{{ 1 + 1 }}", "text": "two\nlines é {{ lookup('pipe', 'touch ~/canary') }}", "vms": ["u1"], "counts": {"vms": 1}}
    (tmp_path / "notices.json").write_text(json.dumps([{"event": "before", **texts}, {"event": "failed"}]), encoding="utf-8")
    tasks = [
        # As of a module's result, nothing is templated in what slurp gives.
        {"ansible.builtin.slurp": {"src": str(tmp_path / "notices.json")}, "register": "read"},
        {
            "ansible.builtin.include_tasks": str(EXAMPLES / "notify_webhook.yml"),
            "loop": "{{ read.content | b64decode | from_json }}",
            "loop_control": {"loop_var": "ceph_maint_notice"},
        },
    ]
    play = [{"hosts": "c1", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    done = ansible(tmp_path, str(tmp_path / "play.yml"), "-e", f"notify_url=http://127.0.0.1:{port}/hook", "-e", "ansible_python_interpreter=" + sys.executable)
    assert posted == [{"event": "before", **texts}, {"event": "failed"}], done.stdout
    assert done.returncode == 2 and "HTTP Error 503" in done.stdout
    assert not (tmp_path / "canary").exists()


def test_the_page_shows_the_webhook_as_it_is():
    tasks = (EXAMPLES / "notify_webhook.yml").read_text(encoding="utf-8").split("---\n")[1]
    shown = "\n".join(line for line in tasks.splitlines() if not line.lstrip().startswith("#"))
    assert shown in (ROOT / "docs" / "notices_to_owners.md").read_text(encoding="utf-8")


@pytest.mark.playbook
@pytest.mark.every_core
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("ceph_with_*.yml")), ids=lambda path: path.stem)
def test_syntax(path, tmp_path):
    done = ansible(tmp_path, path.name, "--syntax-check")
    assert done.returncode == 0, done.stdout
