# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's engine in a process of its own: what the module pilw_vm_power does for a record, without Ansible around it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t

# Of this process when it began, before anything large was loaded.
_BEGAN = time.monotonic()


def measure(platform: t.Any, **orders: t.Any) -> dict[str, t.Any]:
    """Stop or start VMs of a platform. C(record): write it all down; C(uuids): which VMs; the rest are the fields of Orders."""
    given = {"url": platform.url, "key": platform.key, "ca_path": platform.ca_path, "uuids": platform.uuids(), "record": True, "start": False, **orders}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.engine"],
        input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


def main() -> None:
    given = json.load(sys.stdin)
    from ansible_collections.pilw.maintenance.plugins.module_utils._api.client import Client
    from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import Api
    from ansible_collections.pilw.maintenance.plugins.module_utils._power import engine
    from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record

    url, key, uuids, ca_path = given.pop("url"), given.pop("key"), given.pop("uuids"), given.pop("ca_path")
    recorded = given.pop("record")
    orders = engine.Orders(**given)
    api = Api(Client(url, key, ca_path=ca_path or None, pool_size=orders.concurrency + 2))
    with tempfile.TemporaryDirectory(prefix="bench-record-", dir=os.environ.get("TMPDIR")) as folder:
        journal: engine.Journal = engine.Journal()
        if recorded:
            record = Record.create(os.path.join(folder, "record.sqlite"), api_host=url, location="", reason="")
            run = record.begin_run("bench", "prepare")
            record.add_running(run, api.vms().vms.values(), late=False)
            journal = engine.Journal(functools.partial(record.write, run), lambda: record.check_run(run))
        targets = [engine.Target(uuid, uuid) for uuid in uuids]
        ready, cpu = time.monotonic(), time.process_time()
        result = engine.Engine(api, orders, journal).run([engine.Wave("all", targets)])
        ended, cpu_ended = time.monotonic(), time.process_time()
    counts: dict[str, int] = {}
    for outcome, _error in result.outcomes.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    told = {"seconds": ended - ready, "cpu": cpu_ended - cpu, "before": ready - _BEGAN, "calls": result.calls}
    json.dump({**told, "counts": counts, "ended": str(result.ended or "")}, sys.stdout)


if __name__ == "__main__":
    main()
