# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The platform's endpoints, one small method each. Knows no Ansible; tolerant of what is not documented."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from .._errors import ApiError, InputError, NoRoute, NotFound
from .model import RUNNING, Host, Vm, VmList, digest, is_uuid, parse_host, parse_vm, parse_vm_list, printable

if t.TYPE_CHECKING:  # who only reads the record has no use for connections
    from .client import Client

LIST_TIMEOUT = 120.0
POWER_TIMEOUT = 90.0
DETAIL_TIMEOUT = 30.0
# After so many details that could not be read the others are not asked for: each try takes its time.
MAX_UNREAD = 3


@dataclass(frozen=True)
class Location:
    slug: str
    name: str
    is_default: bool


@dataclass(frozen=True)
class HostList:
    """C(unreadable) are digests of rows without a usable uuid."""

    hosts: dict[str, Host]
    unreadable: tuple[str, ...] = ()


class Api:
    """One location of one platform (the default location when C(location) is empty)."""

    def __init__(
        self,
        client: Client,
        location: str | None = None,
        *,
        list_timeout: float = LIST_TIMEOUT,
        power_timeout: float = POWER_TIMEOUT,
    ) -> None:
        if location and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", location):
            raise InputError(f"location {location} is not a location slug, such as tll01.")
        self._client = client
        self.location = location or ""
        self._list_timeout = list_timeout
        self._power_timeout = power_timeout

    def at(self, slug: str) -> Api:
        """The same platform, another location."""
        return Api(self._client, slug, list_timeout=self._list_timeout, power_timeout=self._power_timeout)

    def _path(self, tail: str) -> str:
        return f"/v1/{quote(self.location)}/{tail}" if self.location else f"/v1/{tail}"

    def _rows(self, path: str, params: dict[str, str] | None = None, once: bool = False) -> t.Iterable[t.Any]:
        try:
            return self._client.rows(path, params, self._list_timeout, once)
        except NoRoute as exc:
            raise ApiError(
                "GET",
                path,
                status=exc.status,
                correlation_id=exc.correlation_id,
                detail=f"{exc.detail}. The location slug is wrong, or this host does not serve the Warren API",
            ) from exc

    def locations(self) -> list[Location]:
        """All locations; unscoped."""
        found = []
        for row in self._rows("/v1/config/locations"):
            slug = row.get("slug") if isinstance(row, dict) else None
            if isinstance(slug, str) and is_uuid(slug.replace("_", "-")):
                found.append(Location(slug, printable(row.get("display_name")) or slug, row.get("is_default") is True))
        return found

    def vms(self, rows_kept: bool = True, once: bool = False) -> VmList:
        """Every VM in every state. Not paginated, as far as is known.

        Not C(rows_kept): without the platform's own rows, which take most of the memory. C(once): a failed call is not repeated.
        """
        return parse_vm_list(self._rows(self._path("user-resource/vm/all"), once=once), rows_kept)

    def vms_now(self) -> VmList:
        """As above, requested once, for a caller that asks again anyway, and without rows."""
        return self.vms(rows_kept=False, once=True)

    def running_vms_now(self) -> VmList:
        """As below, but asked once, for who asks again anyway, and without rows."""
        return self.running_vms(rows_kept=False, once=True)

    def running_vms(self, rows_kept: bool = True, once: bool = False) -> VmList:
        """What the platform's own filter calls running, checked row by row: other states are dropped."""
        found = parse_vm_list(self._rows(self._path("user-resource/vm/all"), {"status": RUNNING}, once), rows_kept)
        return VmList({vm.uuid: vm for vm in found.running}, found.unreadable)

    def vm_now(self, uuid: str) -> Vm | None:
        """As below, requested once, for a caller that asks again anyway."""
        return self.vm(uuid, once=True)

    def vm(self, uuid: str, once: bool = False) -> Vm | None:
        """One VM by its own detail, the authority for it; None when the platform says that it does not exist."""
        path = self._path("user-resource/admin/vm")
        try:
            row = self._client.get(path, {"uuid": _checked(uuid)}, DETAIL_TIMEOUT, once)
        except NotFound:
            return None
        vm = parse_vm(row)
        if vm is None or vm.uuid != uuid:
            raise ApiError("GET", path, status=200, detail=f"the answer is not the VM {uuid}")
        return vm

    def hosts(self) -> HostList:
        hosts: dict[str, Host] = {}
        unreadable = []
        for row in self._rows(self._path("base-operator/host/list")):
            host = parse_host(row)
            if host is None:
                unreadable.append(digest(row))
            else:
                hosts[host.uuid] = host
        return HostList(hosts, tuple(unreadable))

    def set_accepting(self, uuid: str, accepting: bool) -> None:
        """Whether new workloads may be placed on a host. Sets a flag, so that repeating it does no harm."""
        self._client.send(
            "PUT",
            self._path("base-operator/admin/host_flags"),
            {"uuid": _checked(uuid), "is_accepting_workloads": "1" if accepting else "0"},
            DETAIL_TIMEOUT,
        )

    def power(self, uuid: str, action: str, force: bool = False) -> str | None:
        """Send C(start) or C(stop). Blocks until the platform answers.

        Returns the VM's state as the answer tells it, empty when it tells none, None when there was no answer body.
        """
        form = {"uuid": _checked(uuid)}
        if force:
            form["force"] = "True"
        answer = self._client.send("POST", self._path(f"user-resource/admin/vm/{action}"), form, self._power_timeout)
        vm = parse_vm(answer)
        if vm is None or vm.uuid != uuid:
            return None if answer is None else ""
        return vm.state


def read_details(
    uuids: list[str], detail: t.Callable[[str], Vm | None], clock: t.Callable[[], float] = lambda: 0.0, most: float = 0.0
) -> dict[str, Vm | ApiError | None]:
    """Read the details of VMs one by one: each VM, None for one that does not exist, or why it cannot be read.

    Once C(MAX_UNREAD) could not be read, or C(most) seconds have passed, the others are not asked for, and have no entry.
    """
    found: dict[str, Vm | ApiError | None] = {}
    began, unread = clock(), 0
    for uuid in uuids:
        if unread >= MAX_UNREAD or clock() - began > most:
            break
        try:
            found[uuid] = detail(uuid)
        except ApiError as exc:
            found[uuid], unread = exc, unread + 1
    return found


def _checked(uuid: str) -> str:
    if not is_uuid(uuid):
        raise InputError("a uuid with characters that no uuid has was refused; nothing was sent for it.")
    return uuid
