# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: answers spoiled on purpose. The one seam for every way in which an answer can go wrong.

A kind of fault is a function in INSTEAD (answers in place of the platform) or in SPOILED (changes what the platform
answered); adding one there is all that a new kind needs.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, AsyncIterator, Awaitable, Callable

from aiohttp import web

Real = Callable[[], Awaitable[web.Response]]

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
PIECES = 20  # a dribbled body comes in so many


@dataclass
class Fault:  # pylint: disable=too-many-instance-attributes
    """Spoils requests that match, `times` of them (-1: all) after letting `skip` pass."""

    kind: str = "status"  # a key of KINDS
    method: str = "*"
    path: str = "*"  # shell pattern over the path as it was asked, slug and all
    route: str = ""  # or a kind of request, as routes.ROUTES names them
    uuid: str = ""  # only requests about this one
    param: dict[str, str] = field(default_factory=dict)  # only requests with these parameters; "" for one left out
    times: int = 1
    skip: int = 0
    lasting: float = 0.0  # over so long after it was put in force; 0: never
    status: int = 0  # 0: 500 for kinds status and empty, 200 for html
    body: str = ""  # of kinds status and html; empty: one that fits
    retry_after: str = ""  # Retry-After of kind status, as it is sent; empty: no header
    content_type: str = "text/html"  # of kind mislabelled
    seconds: float = 0.0  # held this long before the answer; of kind dribble, from its first byte to its last
    after: bool = False  # what was asked for is done first, only its answer is spoiled
    keep: int = -1  # of kind list: only the first so many rows; -1: all
    drop: list[str] = field(default_factory=list)  # of kind list: uuids left out
    over: dict[str, Any] = field(default_factory=dict)  # of kind list: laid over each row
    add: list[Any] = field(default_factory=list)  # of kind list: rows added at the end
    ends: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError("kind must be one of %s" % ", ".join(sorted(KINDS)))

    def meets(self, method: str, path: str, route: str, params: dict[str, str]) -> bool:
        """Whether it is about this request."""
        return (
            self.method in ("*", method) and fnmatchcase(path, self.path)
            and self.route in ("", route) and self.uuid in ("", params.get("uuid", ""))
            and all(params.get(name, "") == value for name, value in self.param.items())
        )


async def _status(fault: Fault, request: web.Request) -> web.Response:
    """A status with a body."""
    body = fault.body or '{"message":"An unexpected error occurred"}'
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return web.Response(status=fault.status or 500, text=body, content_type="application/json", headers=headers)


async def _empty(fault: Fault, request: web.Request) -> web.Response:
    """A status without a body."""
    return web.Response(status=fault.status or 500)


async def _html(fault: Fault, request: web.Request) -> web.Response:
    """A page for people, as captive portals and proxies send it."""
    return web.Response(status=fault.status or 200, text=fault.body or PAGE, content_type="text/html")


async def _cut(fault: Fault, request: web.Request) -> web.Response:
    """The connection is cut without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _hang(fault: Fault, request: web.Request) -> web.Response:
    """No answer, until the client leaves."""
    await asyncio.Event().wait()
    raise AssertionError


async def _truncated(fault: Fault, request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """Half of the body, as if it were whole."""
    whole = _body(answer)
    return _again(answer, whole[:len(whole) // 2])


async def _broken_off(fault: Fault, request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """Half of the body, then the connection is cut."""
    whole = _body(answer)
    part = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    part.content_length = len(whole)
    await part.prepare(request)
    await part.write(whole[:len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return part


async def _mislabelled(fault: Fault, request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """The right body under a wrong content type."""
    return web.Response(status=answer.status, body=_body(answer), content_type=fault.content_type)


async def _dribble(fault: Fault, request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """The right body, a few bytes at a time."""
    whole = _body(answer)
    step = max(1, len(whole) // PIECES)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), step):
            yield whole[start:start + step]
            await asyncio.sleep(seconds / PIECES)

    return web.Response(status=answer.status, body=pieces(), content_type=answer.content_type)


async def _list(fault: Fault, request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """A list with other rows than it should have."""
    if answer.status != 200:
        return answer
    rows = [dict(row, **fault.over) for row in json.loads(_body(answer)) if row.get("uuid") not in fault.drop]
    rows = (rows[:fault.keep] if fault.keep >= 0 else rows) + fault.add
    return _again(answer, json.dumps(rows).encode())


def _body(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


def _again(answer: web.Response, body: bytes) -> web.Response:
    return web.Response(status=answer.status, body=body, content_type=answer.content_type)


Instead = Callable[[Fault, web.Request], Awaitable[web.Response]]
Spoiled = Callable[[Fault, web.Request, web.Response, float], Awaitable[web.StreamResponse]]
INSTEAD: dict[str, Instead] = {"status": _status, "empty": _empty, "html": _html, "cut": _cut, "hang": _hang}
SPOILED: dict[str, Spoiled] = {
    "truncated": _truncated, "broken_off": _broken_off, "mislabelled": _mislabelled, "dribble": _dribble, "list": _list,
}
KINDS = INSTEAD.keys() | SPOILED.keys()


class Faults:
    """The faults in force, first match first."""

    def __init__(self, real_seconds: Callable[[float], float]) -> None:
        self._faults: list[Fault] = []
        self._real_seconds = real_seconds

    def add(self, **fields: Any) -> None:
        """Put a fault in force."""
        fault = Fault(**fields)
        if fault.lasting:
            fault.ends = time.monotonic() + self._real_seconds(fault.lasting)
        self._faults.append(fault)

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def take(self, method: str, path: str, route: str, params: dict[str, str]) -> Fault | None:
        """The fault this request meets, counted as met."""
        for fault in self._faults:
            over = fault.times == 0 or (fault.lasting and time.monotonic() >= fault.ends)
            if over or not fault.meets(method, path, route, params):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1 if fault.times > 0 else 0
            return fault
        return None

    async def spoil(self, fault: Fault, request: web.Request, real: Real) -> web.StreamResponse:
        """Answer in place of the platform, or spoil what it answers."""
        seconds = self._real_seconds(fault.seconds)
        answer = await real() if fault.after or fault.kind in SPOILED else None
        if fault.kind != "dribble":
            await asyncio.sleep(seconds)
        if answer is None or fault.kind in INSTEAD:
            return await INSTEAD[fault.kind](fault, request)
        return await SPOILED[fault.kind](fault, request, answer, seconds)
