# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys: who a secret belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from simulator.backends.base import Refused
from simulator.config import Options
from simulator.data_center import ADMIN_USER, seeded_uuid


@dataclass(frozen=True)
class Identity:
    """`name` is what the journal shows."""

    name: str
    user: int
    admin: bool


class KeyRing:
    """All keys the platform knows; every owner has one."""

    def __init__(self, options: Options, owners: Iterable[int]) -> None:
        self._options = options
        secrets = options.admin_keys or ["adm-" + seeded_uuid(options, "key", "admin")]
        self.admin_key = secrets[0]
        self._known: dict[str, Identity] = {}
        self.revoked: set[str] = set()
        for owner in owners:
            self._known[self.user_key(owner)] = Identity("user:%d" % owner, owner, False)
        for secret, user in options.user_keys.items():
            self._known[secret] = Identity("user:%d" % user, user, False)
        for number, secret in enumerate(secrets, 1):
            self._known[secret] = Identity("admin:%d" % number, ADMIN_USER, True)

    def user_key(self, owner: int) -> str:
        """The key an owner has from the seed."""
        return "usr-" + seeded_uuid(self._options, "key", owner)

    def identify(self, secret: str | None) -> Identity | None:
        """Who it is, None when unknown."""
        return self._known.get(secret or "")

    def name(self, secret: str | None) -> str:
        """For the journal: never the secret."""
        who = self.identify(secret)
        if who is not None:
            return who.name
        return "none" if secret is None else "invalid"

    def check(self, secret: str | None, admin: bool) -> Identity:
        """The caller, or the gateway's refusal."""
        if secret is None:
            raise Refused(401, "missing apikey header", None)
        who = self.identify(secret)
        if who is None or secret in self.revoked:
            raise Refused(403, "Invalid authentication credentials", None)
        if admin and not who.admin:
            raise Refused(self._options.nonadmin_status, "You cannot consume this service", None)
        return who
