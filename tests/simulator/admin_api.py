# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP face: gateway (routing, keys, rate limit, patience) and the platform's endpoints behind it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any, Coroutine

from aiohttp import web

from simulator import request_params as parameters
from simulator.auth import Identity, KeyRing
from simulator.backends.base import Backend, Refused, Vm, no_such_vm
from simulator.config import Options
from simulator.data_center import seeded_uuid
from simulator.faults import Faults
from simulator.interventions import Acts
from simulator.power_calls import PowerDesk
from simulator.request_log import Entry, Journal
from simulator.routes import ADMIN, ADMIN_LISTS, UNROUTED, Route, resolve
from simulator.serializers import host_row, location_rows, vm_row

HIDDEN_FROM_USERS = ("creating", "deleted")


@dataclass
class Call:
    """A request, understood."""

    route: Route
    params: dict[str, str]
    secret: str | None
    entry: Entry


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")


def _refusal(refused: Refused) -> web.Response:
    if refused.text is None:
        return web.Response(status=refused.status)
    if refused.key is None:
        return _json({"message": refused.text}, refused.status)
    return _json({"errors": {refused.key: refused.text}}, refused.status)


class Face:
    """Answers every request of the platform; knows the backend by its interface only."""

    def __init__(
        self, options: Options, backend: Backend, desk: PowerDesk, keys: KeyRing, faults: Faults, acts: Acts, journal: Journal
    ) -> None:
        self._options = options
        self._backend = backend
        self._desk = desk
        self._keys = keys
        self._faults = faults
        self._acts = acts
        self._journal = journal
        self._windows: dict[str, tuple[float, int]] = {}
        self._chance = random.Random("%s/refused" % options.seed)
        self._at_work = 0
        self._refused = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request from arrival to answer, in the journal whatever comes of it."""
        path, query = request.raw_path.partition("?")[::2]
        route = resolve(self._options, request.method, path)
        params = parameters.collect(query, request.content_type, await request.read())
        secret = request.headers.get("apikey")
        correlation = seeded_uuid(self._options, "answer", len(self._journal))
        entry = self._journal.begin(route.kind, request.method, path, params, self._keys.name(secret), correlation)
        status = 0
        try:
            response = await self._spoiled_or_real(request, Call(route, params, secret, entry))
            if not response.prepared:
                response.headers["X-Warren-Correlation-Id"] = correlation
            if request.transport is not None and not request.transport.is_closing():
                status = response.status
            return response
        finally:
            self._journal.end(entry, status)

    async def _spoiled_or_real(self, request: web.Request, call: Call) -> web.StreamResponse:
        await self._acts.arrived(call.route.kind, call.params)
        entry = call.entry
        fault = self._faults.take(entry.method, entry.path, entry.kind, call.params)
        if fault is None:
            return await self._real(call)
        entry.faults.append(fault.kind)
        return await self._faults.spoil(fault, request, lambda: self._real(call))

    async def _real(self, call: Call) -> web.Response:
        try:
            return await self._gateway(call)
        except Refused as refused:
            return _refusal(refused)

    async def _gateway(self, call: Call) -> web.Response:
        options, route = self._options, call.route
        if route.kind == UNROUTED:
            raise Refused(404, "no route and no API found with those values", None)
        who = self._keys.check(call.secret, route.kind in ADMIN)
        if route.slug in options.admin_lists_refused and route.kind in ADMIN_LISTS:
            raise Refused(403, "You cannot consume this service", None)
        if self._over_limit(who):
            response = _json({"message": "API rate limit exceeded"}, 429)
            if options.retry_after is not None:
                response.headers["Retry-After"] = str(options.retry_after)
            return response
        answer: Coroutine[Any, Any, web.Response] = getattr(self, "_" + route.kind)(call, who)
        if options.power_mode != "gateway":
            return await answer
        try:
            return await asyncio.wait_for(answer, options.real(options.gateway_patience))
        except asyncio.TimeoutError:
            raise Refused(504, "The upstream server is timing out", None) from None

    def _over_limit(self, who: Identity) -> bool:
        options = self._options
        if options.rate_limit <= 0:
            return False
        now = time.monotonic()
        begun, count = self._windows.get(who.name, (now, 0))
        if now - begun >= options.real(options.rate_window):
            begun, count = now, 0
        self._windows[who.name] = (begun, count + 1)
        return count >= options.rate_limit

    async def _locations(self, call: Call, who: Identity) -> web.Response:
        return _json(location_rows(self._options))

    async def _host_list(self, call: Call, who: Identity) -> web.Response:
        hosts = await self._backend.hosts(call.route.location)
        return await self._slowly(_json([host_row(host, self._options) for host in hosts]))

    async def _host_flags(self, call: Call, who: Identity) -> web.Response:
        uuid = parameters.uuid_of(call.params, self._options.malformed_uuid_empty)
        accepting = parameters.boolean(call.params, "is_accepting_workloads")
        for host in await self._backend.hosts(call.route.location):
            if host.uuid == uuid:
                await self._backend.flag_host(host, accepting)
                body = self._options.host_flags_body
                if body == "empty":
                    return web.Response()
                return _json(host_row(host, self._options) if body == "host" else {})
        raise Refused(400, "No such host exists: %s" % uuid)

    async def _vm_all(self, call: Call, who: Identity) -> web.Response:
        options = self._options
        wanted = call.params.get("status", "").lower()
        rows = []
        for vm in await self._listed(call):
            if wanted and not options.filter_ignored:
                if vm.state != ("running" if wanted == "started" else wanted):
                    continue
            elif vm.state == "deleted" and not options.deleted_listed:
                continue
            rows.append(vm_row(vm, options))
        return await self._slowly(_json(rows))

    async def _vm_list(self, call: Call, who: Identity) -> web.Response:
        vms = [vm for vm in await self._listed(call) if self._visible(vm, who)]
        return await self._slowly(_json([vm_row(vm, self._options) for vm in vms]))

    async def _admin_vm_show(self, call: Call, who: Identity) -> web.Response:
        return await self._detail(call, None)

    async def _vm_show(self, call: Call, who: Identity) -> web.Response:
        return await self._detail(call, who)

    async def _admin_vm_stop(self, call: Call, who: Identity) -> web.Response:
        return await self._power(call, None, "stop")

    async def _admin_vm_start(self, call: Call, who: Identity) -> web.Response:
        return await self._power(call, None, "start")

    async def _vm_stop(self, call: Call, who: Identity) -> web.Response:
        return await self._power(call, who, "stop")

    async def _vm_start(self, call: Call, who: Identity) -> web.Response:
        return await self._power(call, who, "start")

    async def _power(self, call: Call, owner: Identity | None, word: str) -> web.Response:
        vm = await self._find(call, owner)
        force = word == "stop" and "force" in call.params and parameters.boolean(call.params, "force")
        self._refuse_some()
        self._at_work += 1
        try:
            action = await self._desk.begin(word, vm, force)
            if self._options.power_mode != "early":
                # Shielded: the action is the platform's, and outlives a gateway or client that waits no longer.
                await asyncio.shield(action)
            else:
                await asyncio.sleep(0)  # so that the answer shows the state that the action begins with
        finally:
            self._at_work -= 1
        row = vm_row(vm, self._options)
        if self._desk.feigned(word, vm, force):
            row["status"] = "running" if word == "start" else "stopped"
        return _json(row)

    def _refuse_some(self) -> None:
        options = self._options
        too_many = 0 < options.power_at_once <= self._at_work
        if too_many or (options.power_refused and self._chance.random() < options.power_refused):
            self._refused += 1
            raise Refused(options.power_refused_status[self._refused % len(options.power_refused_status)], "Too many requests", None)

    async def _listed(self, call: Call) -> list[Vm]:
        vms = await self._backend.vms(call.route.location)
        lag = self._options.real(self._options.list_lag)
        then = [self._backend.as_of(vm, lag) for vm in vms] if lag else vms
        return [vm for vm in then if vm is not None]

    async def _detail(self, call: Call, owner: Identity | None) -> web.Response:
        vm = await self._find(call, owner, self._options.real(self._options.detail_lag))
        return _json(vm_row(vm, self._options, detail=True))

    async def _find(self, call: Call, owner: Identity | None, lag: float = 0.0) -> Vm:
        uuid = parameters.uuid_of(call.params, self._options.malformed_uuid_empty)
        vm = await self._backend.find(call.route.location, uuid)
        if vm is not None and lag:
            vm = self._backend.as_of(vm, lag)
        if vm is None or (owner is not None and not self._visible(vm, owner)):
            raise no_such_vm(uuid)
        if vm.state == "deleted" and self._options.deleted_detail == "gone":
            raise no_such_vm(uuid)
        return vm

    @staticmethod
    def _visible(vm: Vm, who: Identity) -> bool:
        return vm.owner == who.user and vm.state not in HIDDEN_FROM_USERS

    async def _slowly(self, response: web.Response) -> web.Response:
        await asyncio.sleep(self._options.real(self._options.list_seconds))
        return response
