# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of all that was asked, append-only, without secrets."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from simulator.routes import POWER, WRITES


@dataclass
class Entry:
    """One request. `status` None: still open; 0: it ended without an answer (cut, or the client left)."""

    number: int
    kind: str
    method: str
    path: str
    params: dict[str, str]
    key: str
    started: float
    correlation: str
    ended: float | None = None
    status: int | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def uuid(self) -> str:
        """The VM or host it is about."""
        return self.params.get("uuid", "")


class Journal:
    """Written by the server's loop only; readers elsewhere get copies of the list."""

    def __init__(self, path: str | None = None) -> None:
        self._entries: list[Entry] = []
        self._file: IO[str] | None = None
        self.open_power = 0
        self.max_open_power = 0
        if path:
            self._file = open(path, "a", encoding="utf-8", buffering=1)

    def begin(self, kind: str, method: str, path: str, params: dict[str, str], key: str, correlation: str) -> Entry:
        """Note a request that has just arrived."""
        shown = {name: "***" if name.lower() == "apikey" else value for name, value in params.items()}
        entry = Entry(len(self._entries) + 1, kind, method, path, shown, key, time.time(), correlation)
        self._entries.append(entry)
        if kind in POWER:
            self.open_power += 1
            self.max_open_power = max(self.max_open_power, self.open_power)
        self._write(entry)
        return entry

    def end(self, entry: Entry, status: int) -> None:
        """Note its end."""
        entry.status = status
        entry.ended = time.time()
        if entry.kind in POWER:
            self.open_power -= 1
        self._write(entry)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def entries(self) -> list[Entry]:
        """All requests so far, in order of arrival."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, *kinds: str) -> list[Entry]:
        """Requests of these kinds (see routes)."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def power(self, uuid: str | None = None) -> list[Entry]:
        """Power calls, of one VM or all."""
        return [entry for entry in self.of(*POWER) if uuid in (None, entry.uuid)]

    def writes(self) -> list[Entry]:
        """Everything that asks for a change, known path or not."""
        return [entry for entry in self.entries if entry.kind in WRITES or entry.method not in ("GET", "HEAD")]

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [asdict(entry) for entry in self.entries]

    def _write(self, entry: Entry) -> None:
        # Twice per request, at its begin and its end: the later line of a number holds.
        if self._file is not None:
            self._file.write(json.dumps(asdict(entry)) + "\n")
