# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`Cloud`: a simulated platform held by a test, in a thread of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Coroutine, TypeVar

from simulator.app import LOOPBACK, MakeBackend, Service, tls_context
from simulator.backends.base import Event, Host, Vm
from simulator.backends.memory import MemoryBackend
from simulator.config import Options, options_from
from simulator.request_log import Journal

Result = TypeVar("Result")

PATIENCE = 30.0  # real seconds for anything asked of the loop


class Cloud:
    """A context manager: `with Cloud(vms=5, deaf=1, time_scale=0.01) as cloud: ...`

    Takes the fields of Options as keywords, or an Options as a whole. `patience` is for anything asked of it.
    """

    def __init__(
        self,
        options: Options | None = None,
        tls: bool = False,
        port: int = 0,
        journal_path: str | None = None,
        make_backend: MakeBackend = MemoryBackend,
        patience: float = PATIENCE,
        **values: Any,
    ) -> None:
        if options is not None and values:
            raise ValueError("give an Options or its fields, not both")
        self.options = options or options_from(values)
        self.journal = Journal(journal_path)
        self._service = Service(self.options, self.journal, make_backend)
        self._patience = patience
        self._tls = tls
        self._port = port
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-cloud", daemon=True)

    def start(self) -> Cloud:
        """Serve; returns when requests are answered."""
        context = None
        if self._tls:
            self._folder = tempfile.TemporaryDirectory(prefix="cloud-ca-")
            context = tls_context(Path(self._folder.name))
        self._thread.start()
        try:
            self._port = self._run(self._service.open(self._port, context))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop serving, for good. The journal, events and states stay readable."""
        if self._thread.is_alive():
            self._run(self._service.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Cloud:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def api_host(self) -> str:
        """As the runbook's API_HOST: 127.0.0.1:port."""
        return "%s:%d" % (LOOPBACK, self._port)

    @property
    def url(self) -> str:
        """The base, without /v1."""
        return "%s://%s" % ("https" if self._tls else "http", self.api_host)

    @property
    def ca_path(self) -> str:
        """The test CA's certificate; empty on plain http."""
        return str(Path(self._folder.name) / "ca.pem") if self._folder is not None else ""

    @property
    def key(self) -> str:
        """A key with admin rights."""
        return self._service.keys.admin_key

    def user_key(self, owner: int) -> str:
        """The key of an owner."""
        return self._service.keys.user_key(owner)

    @property
    def vms(self) -> list[Vm]:
        """The truth about all VMs, as it is now."""
        return self._run(self._read_vms())

    def vm(self, which: Any) -> Vm:
        """The truth about one VM, named by uuid, name or position."""
        vms = self.vms
        return vms[which] if isinstance(which, int) else next(vm for vm in vms if which in (vm.uuid, vm.name))

    def in_state(self, state: str) -> set[str]:
        """The uuids of the VMs in a state."""
        return {vm.uuid for vm in self.vms if vm.state == state}

    @property
    def hosts(self) -> list[Host]:
        """The truth about all hosts."""
        return self._run(self._read_hosts())

    @property
    def events(self) -> list[Event]:
        """What happened to VMs, whoever caused it."""
        return list(self._service.backend.events)

    @property
    def turned_away(self) -> int:
        """Connections that were taken and dropped while the door flapped."""
        return self._service.door.turned_away

    def act(self, act: str, **arguments: Any) -> Any:
        """Do a named act now: see acts.Acts."""
        return self._run(self._service.acts.do(act, arguments))

    def schedule(self, act: str, **arguments: Any) -> None:
        """Do it later: `when` and `nth` (and `match`), or `delay`; see acts.Acts.schedule."""
        self._run(self._service.acts.schedule(act, **arguments))

    async def _read_vms(self) -> list[Vm]:
        return [vm.copy() for vm in await self._service.backend.vms(None)]

    async def _read_hosts(self) -> list[Host]:
        return [dataclasses.replace(host) for host in await self._service.backend.hosts(None)]

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """In the server's loop; after stop() nothing changes any more, and any loop will do."""
        if self._thread.is_alive():
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._patience)
        return asyncio.run(work)
