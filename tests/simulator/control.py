# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control face, for tests in another process: `/_cloud/...` on the same port, never in the journal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from simulator.backends.base import Backend, Vm
from simulator.interventions import Acts
from simulator.request_log import Journal


def vm_dict(vm: Vm) -> dict[str, Any]:
    """The truth about a VM, for JSON."""
    return dict(asdict(vm), traits=sorted(vm.traits))


class Control:
    """GET journal, vms, hosts, events; POST act and schedule with a JSON object: `act` and its arguments."""

    def __init__(self, backend: Backend, acts: Acts, journal: Journal) -> None:
        self._backend = backend
        self._acts = acts
        self._journal = journal

    def add_to(self, app: web.Application) -> None:
        """Put the routes in place."""
        app.router.add_get("/_cloud/journal", self._read_journal)
        app.router.add_get("/_cloud/vms", self._read_vms)
        app.router.add_get("/_cloud/hosts", self._read_hosts)
        app.router.add_get("/_cloud/events", self._read_events)
        app.router.add_post("/_cloud/act", self._act)
        app.router.add_post("/_cloud/schedule", self._schedule)

    async def _read_journal(self, request: web.Request) -> web.Response:
        journal = self._journal
        return web.json_response({"max_open_power": journal.max_open_power, "entries": journal.as_dicts()})

    async def _read_vms(self, request: web.Request) -> web.Response:
        return web.json_response([vm_dict(vm) for vm in await self._backend.vms(None)])

    async def _read_hosts(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(host) for host in await self._backend.hosts(None)])

    async def _read_events(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(event) for event in self._backend.events])

    async def _act(self, request: web.Request) -> web.Response:
        arguments = dict(await request.json())
        try:
            result = await self._acts.do(arguments.pop("act", ""), arguments)
        except (ValueError, TypeError, IndexError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"result": result})

    async def _schedule(self, request: web.Request) -> web.Response:
        arguments = dict(await request.json())
        try:
            await self._acts.schedule(**arguments)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"result": None})
