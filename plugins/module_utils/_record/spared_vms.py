# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The part of the record that says which VMs were forced off, and which never are."""

from __future__ import annotations

import json
import typing as t

from . import force_limit
from .rows import RecordedVm


class SparedVms:
    """Mixed into the record, whose reads and transactions it uses."""

    if t.TYPE_CHECKING:

        @property
        def maintenance(self) -> dict[str, t.Any]:
            """The one row of the table."""

        def vms(self) -> list[RecordedVm]:
            """The recorded VMs."""

        def _all(self, sql: str, *values: t.Any) -> list[t.Any]:
            """All rows of a query."""

        _transaction: t.Callable[[t.Optional[str]], t.ContextManager[t.Any]]

    def never_force(self) -> list[str]:
        """Uuids, names and owners of VMs that are never forced off, as they were given last."""
        return json.loads(self.maintenance["never_force"] or "[]")

    def spared(self) -> dict[str, str]:
        """Recorded VMs that are never forced off, by uuid, each with why."""
        return {**self.spared_by_group(), **force_limit.spared(self.vms(), self.never_force())}

    def spared_by_group(self) -> dict[str, str]:
        """Those whose group says so."""
        # The first records do not have the table.
        if not self._all("SELECT name FROM sqlite_master WHERE type='table' AND name='spared'"):
            return {}
        return {row["uuid"]: row["why"] for row in self._all("SELECT uuid, why FROM spared")}

    def forced(self) -> set[str]:
        """VMs that were forced off in this maintenance, or whose call to do so was sent."""
        return {row["uuid"] for row in self._all("SELECT uuid FROM vms WHERE force_sent_at IS NOT NULL")}

    def spare(self, token: str, entries: list[str] | None, by_group: dict[str, str] | None) -> None:
        """Remember what is never forced off: C(entries) of the operator's list, and VMs with a group that says so. None: as before."""
        with self._transaction(token) as db:
            if entries is not None:
                db.execute("UPDATE maintenance SET never_force=?", (json.dumps(entries),))
            if by_group is not None:
                db.execute("DELETE FROM spared")
                db.executemany("INSERT INTO spared (uuid, why) VALUES (?,?)", by_group.items())
