# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the simulated platform as a process of its own: `python tests/simulator --vms 50 --port-file /tmp/port`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Run as a directory or as a module, the package is `simulator` in the folder above, and its files are no top-level names.
    _FOLDER = Path(__file__).resolve().parent
    sys.path[:] = [str(_FOLDER.parent)] + [entry for entry in sys.path if Path(entry or ".").resolve() != _FOLDER]

from simulator.app import LOOPBACK, Service, tls_context
from simulator.config import describe, options_from
from simulator.request_log import Journal


def pick(text: str) -> int | float:
    """A count, or with a point a share."""
    return float(text) if "." in text else int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="simulator", description=__doc__, epilog="Options for --options:\n\n" + describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--port", type=int, default=0, help="loopback port; 0: any free one")
    made.add_argument("--port-file", help="host:port is written here, whole, once requests are answered")
    made.add_argument("--tls-dir", help="serve TLS, and write the test CA's certificate here as ca.pem")
    made.add_argument("--journal", help="file to append the journal to, JSON lines")
    made.add_argument("--key", help="the admin key")
    made.add_argument("--vms", type=int)
    made.add_argument("--owners", type=int)
    made.add_argument("--hosts", type=int)
    made.add_argument("--closed-hosts", type=pick, help="count or share")
    made.add_argument("--deaf", type=pick, help="count or share of VMs that ignore a graceful stop")
    made.add_argument("--fail-start", type=pick, help="count or share of VMs that do not start")
    made.add_argument("--time-scale", type=float)
    made.add_argument("--from-list", help="saved vm/all answer to start from")
    made.add_argument("--options", default="{}", help="JSON object of any options; the arguments above win")
    return made


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """Option values out of the command line."""
    values = dict(json.loads(arguments.options))
    for name in ("vms", "owners", "hosts", "closed_hosts", "deaf", "fail_start", "time_scale", "from_list"):
        if getattr(arguments, name) is not None:
            values[name] = getattr(arguments, name)
    if arguments.key:
        values["admin_keys"] = [arguments.key]
    return values


def write_whole(path: str, text: str) -> None:
    """A reader sees all of it or no file."""
    fresh = "%s.%d" % (path, os.getpid())
    Path(fresh).write_text(text, encoding="utf-8")
    os.replace(fresh, path)


async def serve(arguments: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    service = Service(options_from(chosen(arguments)), Journal(arguments.journal))
    context = tls_context(Path(arguments.tls_dir)) if arguments.tls_dir else None
    port = await service.open(arguments.port, context)
    try:
        sys.stderr.write("%s://%s:%d\n" % ("https" if context else "http", LOOPBACK, port))
        if arguments.port_file:
            write_whole(arguments.port_file, "%s:%d" % (LOOPBACK, port))
        await ended.wait()
    finally:
        await service.close()


if __name__ == "__main__":
    asyncio.run(serve(parser().parse_args()))
