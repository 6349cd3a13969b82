# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and memory of each part of the work for many VMs: `python tests/benchmark/large.py 10000 100000`.

Each part runs in a process of its own, as a module does, and reads lists of rows of 1 KB over HTTP from another one. The answers are
prepared, so that the reader is what is measured. Times are those of this machine: what counts is how they grow.
"""

from __future__ import annotations

import argparse
import cProfile
import http.server
import json
import os
import pstats
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Optional
from urllib.parse import urlsplit

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # Run as a file: what the tests import is in the folder above, and the collection where `make setup` has linked it.
    sys.path[:0] = [str(TESTS), str(TESTS.parent / ".build" / "link")]

KEY = "benchmark"
ROW = 1024  # bytes, about
HOSTS = 40
TOGETHER = 64  # VMs of which one transaction tells
IMPORTED = (
    "module_utils._api.client",
    "module_utils._operations.status",
    "module_utils._operations.plan",
    "modules.pilw_maintenance",
    "plugin_utils.report_page",
)
LISTS = {"/v1/config/locations": "locations", "/v1/base-operator/host/list": "hosts"}


class Desk:
    """Where the parts of one measurement find what they need."""

    def __init__(self, folder: Path, count: int, api_host: str) -> None:
        self.folder, self.count, self.api_host = folder, count, api_host

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def note(self) -> Path:
        """Where the record lies, and the token of its run."""
        return self.folder / "run.json"

    @property
    def down(self) -> Path:
        """There once the platform shows all VMs stopped."""
        return self.folder / "down"

    def run(self) -> dict[str, str]:
        return json.loads(self.note.read_text(encoding="utf-8"))

    def api(self) -> Any:
        from ansible_collections.pilw.maintenance.plugins.module_utils._api.client import Client
        from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import Api

        return Api(Client(self.api_host, KEY))

    def module(self, name: str, **given: Any) -> dict[str, Any]:
        """One module from its options to its result."""
        from harness import in_process as crew

        module = import_module(f"ansible_collections.pilw.maintenance.plugins.modules.{name}")
        module.AnsibleModule = crew.Bench  # type: ignore[attr-defined]
        result = crew.run_module(module, given, tmpdir=str(self.folder))
        assert not result.get("failed"), result
        return result

    def info(self, gather: str, **given: Any) -> dict[str, Any]:
        common = {"api_host": self.api_host, "api_key": KEY, "record_dir": str(self.records)}
        return self.module("pilw_maintenance_info", **common, gather=gather, **given)


def part_list(desk: Desk) -> None:
    """One whole list, and one of those that run."""
    assert len(desk.api().vms().vms) == desk.count


def part_running(desk: Desk) -> None:
    """The list that is asked for again and again while VMs are stopped: two, as the first is let go of only when the next has come."""
    api = desk.api()
    running = api.running_vms_now()
    running = api.running_vms_now()
    assert len(running.vms) == desk.count


def part_record(desk: Desk) -> None:
    """A record of all from its beginning: the list, its files, and a change for each VM."""
    from ansible_collections.pilw.maintenance.plugins.module_utils._record import paths
    from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import STOPPING, Record

    folder = Path(paths.folder_for(str(desk.records), desk.api_host, ""))
    folder.mkdir(parents=True, mode=0o700)
    desk.records.chmod(0o700)
    path = str(folder / paths.RECORD_NAME)
    record = Record.create(path, api_host=folder.name, location="", reason="")
    token = record.begin_run("benchmark", "prepare")
    api = desk.api()
    record.remember_hosts(token, api.hosts().hosts.values(), ())
    found = api.vms()
    for _again in range(2):  # two lists have to agree
        record.note_states(token, found)
        record.add_running(token, found.running, late=False)
    uuids = list(found.vms)
    del found
    record.set_phase(token, STOPPING)
    told(record, token, "stop", "clean", "stopped_at", uuids, len(uuids) // 10 * 9)
    record.check()
    desk.note.write_text(json.dumps({"record": path, "run": token}), encoding="utf-8")


def part_plan(desk: Desk) -> None:
    """The plan of a prepare, with an open record, and the file for programs."""
    desk.info("plan", purpose="prepare", file=str(desk.folder / "plan.json"), osd_flags=["noout"])


def part_plan_restore(desk: Desk) -> None:
    """The plan of a restore, likewise."""
    desk.info("plan", purpose="restore", ceph_is_back=True, file=str(desk.folder / "plan.json"))


def part_status(desk: Desk) -> None:
    """Where it stands, and what the platform shows."""
    desk.info("status", file=str(desk.folder / "status.json"))


def part_progress(desk: Desk) -> None:
    """One look at the work that goes on."""
    assert str(desk.count) in desk.info("progress", **desk.run())["text"]


def part_proof(desk: Desk) -> None:
    """All are down: three lists, and what the record learns of them."""
    desk.down.touch()
    more = {"proof_interval": 0.0, "settle_timeout": 0.0, "ceph_host": "", "ceph": {"problem": ""}}
    found = desk.module("pilw_maintenance", api_host=desk.api_host, api_key=KEY, state="proven", **more, **desk.run())
    assert found["safe"], found["lines"]


def part_starts(desk: Desk) -> None:
    """A change for each VM again, so that the report is of a whole maintenance."""
    from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import STARTING, Record

    run = desk.run()
    record = Record(run["record"])
    record.set_phase(run["run"], STARTING)
    uuids = [vm.uuid for vm in record.vms()]
    told(record, run["run"], "start", "running", "started_at", uuids, len(uuids) // 10 * 9)


def part_report(desk: Desk) -> None:
    """The end of a run: its report in three forms."""
    desk.module("pilw_maintenance", api_host=desk.api_host, api_key=KEY, state="ended", **desk.run())


def part_read_report(desk: Desk) -> None:
    """What the maker of the page is given."""
    found = desk.module("pilw_report", src=str(Path(desk.run()["record"]).parent / "report.json"))
    (desk.folder / "handed.json").write_text(found["report"], encoding="utf-8")


def part_page(desk: Desk) -> None:
    """The page, where Ansible runs."""
    from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_page import render

    page = render(json.loads((desk.folder / "handed.json").read_text(encoding="utf-8")))
    (desk.folder / "page.html").write_text(page, encoding="utf-8")


def part_fetched(desk: Desk) -> None:
    """The page, and all forms of the report, where they are brought to where Ansible runs."""
    from ansible_collections.pilw.maintenance.plugins.module_utils._report.formats import named_files
    from ansible_collections.pilw.maintenance.plugins.plugin_utils.report_page import render

    data = json.loads((Path(desk.run()["record"]).parent / "report.json").read_text(encoding="utf-8"))
    for name, text in named_files(data, render(data)).items():
        (desk.folder / name).write_text(text, encoding="utf-8")


def part_playbook(desk: Desk) -> dict[str, int]:
    """The same by Ansible: the most that all of its processes have in memory together."""
    from benchmark.playbooks import Operator

    module = {"src": str(Path(desk.run()["record"]).parent / "report.json"), "fetch_dest": str(desk.folder / "fetched")}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"name": "Report", "pilw.maintenance.pilw_report": module}]}]
    path = desk.folder / "report.yml"
    path.write_text(json.dumps(play), encoding="utf-8")
    ran = Operator(None, desk.folder, 1.0).play(str(path))
    assert ran.rc == 0, ran.text
    return {"peak_bytes": ran.peak}


PARTS: dict[str, Callable[[Desk], Optional[dict[str, int]]]] = {
    name[len("part_") :]: value for name, value in list(globals().items()) if name.startswith("part_")
}


def told(record: Any, token: str, verb: str, outcome: str, done_at: str, uuids: list[str], done: int) -> None:
    """What the engine writes down of calls: all sent and answered, and the first C(done) done."""
    from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Change, now_text

    for group in grouped(uuids):
        record.write(token, [Change(uuid, {f"{verb}_sent_at": now_text(), f"{verb}_outcome": None}, f"{verb} sent") for uuid in group])
    for group in grouped(uuids):
        record.write(token, [Change(uuid, {f"{verb}_answered_at": now_text()}, f"{verb} answered", "accepted") for uuid in group])
    for group in grouped(uuids[:done]):
        columns = {f"{verb}_outcome": outcome, f"{verb}_error": None, done_at: now_text()}
        record.write(token, [Change(uuid, columns, f"{verb}: {outcome}") for uuid in group])


def grouped(uuids: list[str]) -> Iterator[list[str]]:
    """As many as are told of together."""
    for begin in range(0, len(uuids), TOGETHER):
        yield uuids[begin : begin + TOGETHER]


def work(part: str, desk: Desk, profile: bool) -> dict[str, Any]:
    """One part, in this process. What all of them import is no part of it."""
    for name in IMPORTED:
        import_module(f"ansible_collections.pilw.maintenance.plugins.{name}")
    profiler = cProfile.Profile() if profile else None
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    found = (profiler.runcall(PARTS[part], desk) if profiler else PARTS[part](desk)) or {}
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    more = profiled(pstats.Stats(profiler)) if profiler else {}
    return {"cpu_seconds": round(cpu, 3), "wall_seconds": round(wall, 3), "peak_bytes": peak(), **more, **found}


def profiled(stats: Any, shown: int = 10) -> dict[str, Any]:
    """How many functions were called, and in which most of the time was spent, with their share of it."""
    spent = sorted(((one[2], where) for where, one in stats.stats.items()), reverse=True)[:shown]
    top = [f"{function.strip('<>')} {seconds / stats.total_tt:.0%}" for seconds, (_file, _line, function) in spent]
    return {"python_calls": stats.total_calls, "top": top}


def peak() -> int:
    """The most bytes that this process ever had in memory. Its ru_maxrss begins with the peak of the process that started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return 1024 * (int(found.group(1)) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def prepared(folder: Path, count: int) -> None:
    """The answers of the platform, as files."""
    from simulator.backends.base import Host
    from simulator.config import Options
    from simulator.data_center import make_vm, seeded_uuid
    from simulator.serializers import host_row, location_rows, vm_row

    options = Options(owners=max(3, count // 20))
    hosts = [host_row(Host(seeded_uuid(options, "host", number), f"hv-{number:02}", "tll01"), options) for number in range(HOSTS)]
    (folder / "hosts").write_text(json.dumps(hosts), encoding="utf-8")
    (folder / "locations").write_text(json.dumps(location_rows(options)), encoding="utf-8")
    with open(folder / "running", "w", encoding="utf-8") as running, open(folder / "stopped", "w", encoding="utf-8") as stopped:
        for number in range(count):
            row = vm_row(make_vm(options, number, "tll01", "running"), options)
            row["storage"].append({"name": "x" * max(0, ROW - len(json.dumps(row)) - 14)})
            for stream, state in ((running, "running"), (stopped, "stopped")):
                stream.write("[" if number == 0 else ",\n")
                stream.write(json.dumps({**row, "status": state}))
        for stream in (running, stopped):
            stream.write("]" if count else "[]")
    (folder / "none").write_text("[]", encoding="utf-8")


class Platform(http.server.BaseHTTPRequestHandler):
    """Gives prepared answers."""

    folder = Path()

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        name = LISTS.get(asked.path, "running")
        if name == "running" and (self.folder / "down").exists():
            name = "none" if asked.query else "stopped"
        with open(self.folder / name, "rb") as stream:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            self.end_headers()
            while piece := stream.read(1 << 16):
                self.wfile.write(piece)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def measure(count: int, parts: Optional[Iterable[str]] = None, profile: bool = False) -> dict[str, dict[str, Any]]:
    """For each part C(cpu_seconds), C(wall_seconds) and C(peak_bytes), with C(profile) also C(python_calls) and C(top).

    Those after C(record) need what the parts before them have left.
    """
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, str(Path(__file__).resolve()), "--inside", place, str(count)]
        subprocess.run([*command, "prepared"], check=True)
        handler = type("Prepared", (Platform,), {"folder": folder})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            api_host = f"http://127.0.0.1:{server.server_address[1]}"
            for part in PARTS if parts is None else parts:
                ran = subprocess.run(
                    [*command, part, "--api-host", api_host, *(["--profile"] if profile else [])], check=True, stdout=subprocess.PIPE
                )
                found[part] = json.loads(ran.stdout)
        finally:
            server.shutdown()
            server.server_close()
    return found


def ratios(small: dict[str, dict[str, Any]], large: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How many times the CPU seconds of each part."""
    return {part: round(large[part]["cpu_seconds"] / max(small[part]["cpu_seconds"], 0.001), 1) for part in small if part in large}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="+", help="VMs; of several counts the growth from the first to the last is told too")
    parser.add_argument("--parts", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--profile", action="store_true", help="also count the calls of functions and tell where the time goes, and take longer")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",") if arguments.parts else None
    found = {count: measure(count, parts, arguments.profile) for count in arguments.count}
    growth = {"growth": ratios(found[arguments.count[0]], found[arguments.count[-1]])} if len(found) > 1 else {}
    print(json.dumps({**found, **growth}, indent=1))


def inside() -> None:
    """A part in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inside", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("part")
    parser.add_argument("--api-host", default="")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    if given.part == "prepared":
        prepared(given.inside, given.count)
    else:
        print(json.dumps(work(given.part, Desk(given.inside, given.count, given.api_host), given.profile)))


if __name__ == "__main__":
    (inside if "--inside" in sys.argv else main)()
