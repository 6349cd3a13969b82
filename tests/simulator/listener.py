# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door: the port on which the platform listens, and the times when it does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Callable, Coroutine

from aiohttp import web

Stand = Callable[[], Coroutine[None, None, None]]

LOOPBACK = "127.0.0.1"
BACKLOG = 4096
HELLO = 4096  # bytes of a ClientHello, at most
SETTLED = 0.02  # real seconds after which every connection that was being taken is known


class Door:
    """Open; away (connections are refused) or flapping (they are taken and dropped) for a while, then open again."""

    def __init__(self, real_seconds: Callable[[float], float]) -> None:
        self.turned_away = 0  # connections dropped by a flap
        self._real_seconds = real_seconds
        self._runner: web.AppRunner | None = None
        self._tls: ssl.SSLContext | None = None
        self._port = 0
        self._server: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._timer: asyncio.Task[None] | None = None

    async def open(self, runner: web.AppRunner, port: int, tls: ssl.SSLContext | None) -> int:
        """Serve; returns the port."""
        self._runner, self._tls, self._port = runner, tls, port
        await self._stand_open()
        assert self._server is not None
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self._port

    async def close(self) -> None:
        """Whatever it was doing, no more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._vacate()

    async def away(self, seconds: float) -> None:
        """Nobody listens for so long, and every open connection is cut."""
        await self._for(seconds, self._stand_away)

    async def flap(self, seconds: float, after_hello: bool, reset: bool, at_least: int) -> None:
        """Every connection is taken and dropped: at once or after the first bytes of a handshake, closed or reset.

        For so long, and until so many were dropped, as nobody may come in a short time on a busy machine.
        """
        goal = self.turned_away + at_least
        enough = asyncio.Event()

        async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.turned_away += 1
            if self.turned_away >= goal:
                enough.set()
            if after_hello:
                await reader.read(HELLO)
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async def stand() -> None:
            self._server = await asyncio.start_server(drop, LOOPBACK, self._port)

        await self._for(seconds, stand, enough if at_least else None)

    async def _for(self, seconds: float, stand: Stand, enough: asyncio.Event | None = None) -> None:
        # A task of its own: the request that brought this about is cut like all others.
        await asyncio.shield(asyncio.ensure_future(self._turn(seconds, stand, enough)))

    async def _turn(self, seconds: float, stand: Stand, enough: asyncio.Event | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._vacate()
        await stand()
        self._timer = asyncio.ensure_future(self._reopen(seconds, enough))

    async def _reopen(self, seconds: float, enough: asyncio.Event | None) -> None:
        await asyncio.sleep(self._real_seconds(seconds))
        if enough is not None:
            await enough.wait()
        place, self._place = self._place, None
        await self._vacate()
        await self._stand_open()
        if place is not None:
            place.close()

    async def _stand_open(self) -> None:
        assert self._runner is not None and self._runner.server is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._runner.server, LOOPBACK, self._port, ssl=self._tls, backlog=BACKLOG)

    async def _stand_away(self) -> None:
        # Bound and not listening: refused, and nobody else gets the port meanwhile.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind((LOOPBACK, self._port))

    async def _vacate(self) -> None:
        if self._server is not None:
            # Connections that are just being taken are first taken whole: or else nobody would serve or cut them.
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(SETTLED)
            self._server.close()
            self._server = None
        if self._runner is not None and self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        if self._place is not None:
            self._place.close()
            self._place = None
