# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator's Ceph playbook does to the cluster of a test: the daemons are children of the test, so it asks for each step here."""

from __future__ import annotations

import http.server
import threading
import time
import traceback
import typing as t
from pathlib import Path
from types import TracebackType

from e2e.real_platform import PocketCloud

PLAYBOOK = Path(__file__).parent / "ceph_work.yml"


class CephWork:
    """`with CephWork(look, ceph.stop, ceph.start) as work:` does each step when the playbook asks `work.url` for it."""

    def __init__(self, look: t.Callable[[], None], down: t.Callable[[], None], up: t.Callable[[], None]) -> None:
        steps = {"look": look, "down": down, "up": up}
        self.times: dict[str, tuple[float, float]] = {}  # of each step done: begin and end
        times = self.times

        class Door(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = self.path.strip("/")
                begun = time.time()
                try:
                    steps[name]()
                except Exception:  # the playbook fails, and shows why
                    self._answer(500, traceback.format_exc())
                    return
                times[name] = (begun, time.time())
                self._answer(200, "done\n")

            def log_message(self, *words: t.Any) -> None:
                """Nothing: the playbook tells what it asked."""

            def _answer(self, status: int, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CephWork:
        threading.Thread(target=self._server.serve_forever, name="ceph-work", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def timeline(cloud: PocketCloud, work: CephWork, begun: float, ended: float) -> str:
    """When each part of a maintenance came to its end, in seconds since its begin."""
    (safe, looked), (_began, down), (_ended, up) = (work.times[name] for name in ("look", "down", "up"))
    flags, stops, starts = (cloud.journal.of(kind) for kind in ("host_flags", "admin_vm_stop", "admin_vm_start"))
    moments = {
        "the run begins": begun,
        "hosts are closed": max(entry.ended or 0 for entry in flags if entry.started < safe),
        "first stop is asked": min(entry.started for entry in stops),
        "first power cut is asked": min(entry.started for entry in stops if "force" in entry.params),
        "last guest is off": max(event.time for event in cloud.events if event.state == "stopped" and event.time < safe),
        "safe is proven": safe,
        "the test has looked at the disks": looked,
        "Ceph is down": down,
        "Ceph's daemons are started": up,
        "hosts are open again": max(entry.ended or 0 for entry in flags),
        "first start is asked": min(entry.started for entry in starts),
        "last guest is up": max(event.time for event in cloud.events if event.state == "running"),
        "the run ends": ended,
    }
    order = sorted(moments.items(), key=lambda moment: moment[1])
    return "\n".join(f"{at - begun:7.1f} s  {what}" for what, at in order)
