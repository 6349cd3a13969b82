# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running platform: all parts put together and served on a loopback port, over http or TLS."""

from __future__ import annotations

import resource
import ssl
from pathlib import Path
from typing import Callable

from aiohttp import web

from simulator.admin_api import Face
from simulator.auth import KeyRing
from simulator.backends.base import Backend
from simulator.backends.memory import MemoryBackend
from simulator.config import Options
from simulator.control import Control
from simulator.data_center import Estate, build
from simulator.faults import Faults
from simulator.interventions import Acts
from simulator.listener import LOOPBACK, Door
from simulator.power_calls import PowerDesk
from simulator.request_log import Journal

OPEN_FILES = 16384

MakeBackend = Callable[[Options, Estate], Backend]


def tls_context(folder: Path) -> ssl.SSLContext:
    """A server context under a new test CA, whose certificate becomes ca.pem in the folder."""
    import trustme  # only here: plain http needs no CA

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK, "localhost").configure_cert(context)
    folder.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return context


def allow_open_files() -> None:
    """Hundreds of open calls are as many sockets: raise this process's soft limit as far as it may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Service:
    """Built anywhere; opened and closed in the loop that serves it."""

    def __init__(self, options: Options, journal: Journal, make_backend: MakeBackend = MemoryBackend) -> None:
        estate = build(options)
        self.options = options
        self.journal = journal
        self.backend = make_backend(options, estate)
        self.keys = KeyRing(options, estate.owners)
        self.desk = PowerDesk(options, self.backend, estate.frozen)
        self.faults = Faults(options.real)
        self.door = Door(options.real)
        self.acts = Acts(options, self.backend, self.desk, self.faults, self.keys, self.door)
        self._runner: web.AppRunner | None = None

    async def open(self, port: int = 0, tls: ssl.SSLContext | None = None) -> int:
        """Serve; returns the port."""
        allow_open_files()
        for fault in self.options.errors:
            self.faults.add(**fault)
        for act in self.options.acts:
            await self.acts.schedule(**act)
        await self.backend.open()
        face = Face(self.options, self.backend, self.desk, self.keys, self.faults, self.acts, self.journal)
        app = web.Application()
        Control(self.backend, self.acts, self.journal).add_to(app)
        app.router.add_route("*", "/{path:.*}", face.handle)
        # A client that leaves cancels its request (the journal then shows 0), never the action it asked for.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        return await self.door.open(self._runner, port, tls)

    async def close(self) -> None:
        """Stop serving and leave nothing running."""
        await self.acts.close()
        await self.door.close()
        await self.desk.close()
        await self.backend.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.journal.close()
