# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: answers spoiled on purpose. The one seam for every way in which an answer can go wrong.

A kind of fault is a function in KINDS; adding one there is all that a new kind needs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Awaitable, Callable

from aiohttp import web

Real = Callable[[], Awaitable[web.Response]]


@dataclass
class Fault:
    """Spoils requests that match, `times` of them (-1: all) after letting `skip` pass."""

    kind: str = "status"  # a key of KINDS
    method: str = "*"
    path: str = "*"  # shell pattern over the path as it was asked, slug and all
    route: str = ""  # or a kind of request, as routes.ROUTES names them
    uuid: str = ""  # only requests about this one
    times: int = 1
    skip: int = 0
    status: int = 500
    body: str = ""  # of kind status; empty: an envelope that fits
    seconds: float = 0.0  # held this long before the answer
    after: bool = False  # what was asked for is done first, only its answer is spoiled

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError("kind must be one of %s" % ", ".join(sorted(KINDS)))

    def meets(self, method: str, path: str, route: str, uuid: str) -> bool:
        """Whether it is about this request."""
        return (
            self.method in ("*", method) and fnmatchcase(path, self.path)
            and self.route in ("", route) and self.uuid in ("", uuid)
        )


async def _status(fault: Fault, request: web.Request) -> web.Response:
    body = fault.body or '{"message":"An unexpected error occurred"}'
    return web.Response(status=fault.status, text=body, content_type="application/json")


async def _empty(fault: Fault, request: web.Request) -> web.Response:
    return web.Response(status=fault.status)


async def _cut(fault: Fault, request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=fault.status)


Kind = Callable[[Fault, web.Request], Awaitable[web.Response]]
KINDS: dict[str, Kind] = {"status": _status, "empty": _empty, "cut": _cut}


class Faults:
    """The faults in force, first match first."""

    def __init__(self, real_seconds: Callable[[float], float]) -> None:
        self._faults: list[Fault] = []
        self._real_seconds = real_seconds

    def add(self, **fields: Any) -> None:
        """Put a fault in force."""
        self._faults.append(Fault(**fields))

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def take(self, method: str, path: str, route: str, uuid: str) -> Fault | None:
        """The fault this request meets, counted as met."""
        for fault in self._faults:
            if fault.times == 0 or not fault.meets(method, path, route, uuid):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1 if fault.times > 0 else 0
            return fault
        return None

    async def spoil(self, fault: Fault, request: web.Request, real: Real) -> web.Response:
        """Answer in place of the platform."""
        if fault.after:
            await real()
        await asyncio.sleep(self._real_seconds(fault.seconds))
        return await KINDS[fault.kind](fault, request)
