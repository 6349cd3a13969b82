# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do instead, each as its users write it: the runbook's shell, loops of Ansible, and plain clients in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STOP = "/v1/user-resource/admin/vm/stop"
TIMEOUT = 90

LOOP_OF_URI = """
    - name: Stop
      ansible.builtin.uri:
        url: "{{ url }}/v1/user-resource/admin/vm/stop"
        method: POST
        headers: {apikey: "{{ key }}"}
        body_format: form-urlencoded
        body: {uuid: "{{ item }}"}
        timeout: 90
      loop: "{{ uuids }}"
"""
LOOP_OF_OURS = """
    - name: Stop
      pilw.maintenance.pilw_vm_power:
        api_host: "{{ url }}"
        api_key: "{{ key }}"
        vms: ["{{ item }}"]
        state: stopped
        poll_interval: "{{ poll_interval }}"
      loop: "{{ uuids }}"
"""
TEN_PINGS = 10 * """
    - name: Ping
      ansible.builtin.ping:"""
PLAY = """---
- name: Others
  hosts: localhost
  gather_facts: false
  tasks:"""


def xargs(platform: t.Any, uuids: list[str], at_once: int = 1) -> float:
    """The runbook's line, with as many at once as told. Seconds."""
    began = time.monotonic()
    call = ["curl", "-sS", "-X", "POST", "-H", f"apikey: {platform.key}", platform.url + STOP, "-d", "uuid={}"]
    subprocess.run(
        ["xargs", "-n", "1", "-P", str(at_once), "-I", "{}", *call],
        input="\n".join(uuids), text=True, stdout=subprocess.DEVNULL, check=True,
    )
    return time.monotonic() - began


def curl(platform: t.Any, uuids: list[str], at_once: int) -> float:
    """One curl with one file of options. Seconds."""
    blocks = []
    for uuid in uuids:
        lines = [f'url = "{platform.url}{STOP}"', f'header = "apikey: {platform.key}"', f'data = "uuid={uuid}"', 'output = "/dev/null"']
        blocks.append("\n".join(lines + ([f'cacert = "{platform.ca_path}"'] if platform.ca_path else [])))
    with tempfile.NamedTemporaryFile("w", suffix=".curl", encoding="utf-8") as file:
        file.write("\nnext\n".join(blocks))
        file.flush()
        began = time.monotonic()
        subprocess.run(
            ["curl", "--silent", "--no-progress-meter", "--parallel", "--parallel-max", str(at_once), "--config", file.name],
            check=True, stdout=subprocess.DEVNULL,
        )
        return time.monotonic() - began


def loop(platform: t.Any, uuids: list[str], task: str, run: t.Callable[..., t.Any], poll_interval: float) -> float:
    """A loop in a playbook. Seconds from the first call to the end, so without the start of Ansible."""
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as folder:
        play = Path(folder) / "loop.yml"
        play.write_text(PLAY + task, encoding="utf-8")
        given = {"url": platform.url, "key": platform.key, "uuids": uuids, "poll_interval": poll_interval}
        done = run(str(play), given)
        ended = time.time()
    assert done.rc == 0, done.text
    return ended - min(entry["started"] for entry in platform.journal().entries)


def client(platform: t.Any, way: str, uuids: list[str], at_once: int = 1) -> dict[str, float]:
    """A plain client in a process of its own: seconds, cpu (without its start), failed calls."""
    given = {"url": platform.url, "key": platform.key, "ca_path": platform.ca_path, "way": way, "uuids": uuids, "at_once": at_once}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.contenders"],
        input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


def main() -> None:
    import requests
    import urllib3

    given = json.load(sys.stdin)
    url, headers, verify = given["url"] + STOP, {"apikey": given["key"]}, given["ca_path"] or True
    session = requests.Session()
    session.trust_env, session.verify = False, verify
    session.headers.update(headers)
    session.mount(given["url"], requests.adapters.HTTPAdapter(pool_maxsize=given["at_once"]))
    pool = urllib3.PoolManager(ca_certs=given["ca_path"] or None, maxsize=given["at_once"])
    ways: dict[str, t.Callable[[dict[str, str]], int]] = {
        "session": lambda form: session.post(url, data=form, timeout=TIMEOUT).status_code,
        "requests": lambda form: requests.post(url, data=form, headers=headers, verify=verify, timeout=TIMEOUT).status_code,
        "urllib3": lambda form: pool.request("POST", url, fields=form, headers=headers, encode_multipart=False, timeout=TIMEOUT).status,
    }
    call = ways[given["way"]]

    def until_done(uuid: str) -> int:
        """At once again, as a pool without back-off does. The failed calls."""
        failed = 0
        while call({"uuid": uuid}) != 200:
            failed += 1
        return failed

    began, cpu = time.monotonic(), time.process_time()
    if given["at_once"] == 1:
        failed = sum(map(until_done, given["uuids"]))
    else:
        with ThreadPoolExecutor(given["at_once"]) as workers:
            failed = sum(workers.map(until_done, given["uuids"]))
    told = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "failed": failed}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
