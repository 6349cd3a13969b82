# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every behaviour of the simulated platform, as a named option.

All times are seconds of the platform; `time_scale` turns them into real ones.
A *pick* chooses VMs (or hosts, owners): a whole number is a count, a fraction with a point (0.1, 1.0) a share, and a
list names them by uuid, name or position (owners and only owners: by user id).
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, fields
from typing import Any, Optional, Union

Pick = Union[int, float, list[Any]]

CHOICES = {
    "power_mode": ("blocking", "early", "gateway"),
    "state_case": ("lower", "mixed"),
    "deleted_detail": ("tombstone", "gone"),
    "flag_as": ("bool", "int", "text"),
    "host_flags_body": ("host", "empty", "ok"),
}


def _opt(default: Any, doc: str) -> Any:
    """A dataclass field that carries its own description."""
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.copy(default), metadata={"doc": doc})  # pylint: disable=invalid-field-call
    return field(default=default, metadata={"doc": doc})  # pylint: disable=invalid-field-call


@dataclass
class Options:
    """What the platform has, and how it behaves."""

    seed: int = _opt(1, "all uuids, keys and random choices follow from it")
    time_scale: float = _opt(1.0, "multiplies every sleep of the platform: 0.01 makes 22 s last 0.22 s")

    # Locations
    locations: list[str] = _opt(["tll01"], "slugs of the locations")
    default_location: str = _opt("", "slug that answers when a path has none; empty: the first")
    empty_locations: list[str] = _opt([], "slugs without hosts and VMs")
    slug_ignored: bool = _opt(False, "every known slug shows the rows of the default location")
    admin_scoped: bool = _opt(True, "False: admin paths under a slug do not exist, and without one show all locations")
    admin_lists_refused: list[str] = _opt([], "slugs under which the two admin lists answer 403")

    # Keys
    admin_keys: list[str] = _opt([], "secrets with admin rights; empty: one made from the seed")
    user_keys: dict[str, int] = _opt({}, "secret -> user id, besides the one that every owner has from the seed")
    nonadmin_status: int = _opt(403, "answer to a valid key without admin rights on an admin path")

    # Hosts
    hosts: int = _opt(3, "hypervisor hosts, spread over the locations that are not empty")
    closed_hosts: Pick = _opt(0, "pick of hosts that are NOT ACCEPTING from the start")
    maintenance_hosts: Pick = _opt(0, "pick of hosts in MAINTENANCE from the start")
    offline_hosts: Pick = _opt(0, "pick of hosts OFFLINE from the start")
    flag_readable: bool = _opt(True, "host rows show is_accepting_workloads")
    flag_as: str = _opt("bool", "how rows spell it: bool (true), int (1) or text (\"1\")")
    host_name_shown: bool = _opt(False, "host rows have a name")
    host_status_shown: bool = _opt(False, "host rows have a status (AVAILABLE, NOT ACCEPTING, ...)")
    host_flags_body: str = _opt("host", "body of a successful flag write: the host's row, empty, or ok ({})")

    # VMs
    vms: int = _opt(20, "VMs that are running or stopped, spread over the locations that are not empty")
    owners: int = _opt(3, "owners the VMs belong to, turn by turn")
    running: Pick = _opt(1.0, "pick of the VMs that run at the start; the others are stopped")
    from_list: Union[str, list[Any]] = _opt("", "saved vm/all answer (path or rows) to start from, instead of `vms`")
    row_extra: dict[str, Any] = _opt({}, "keys added to every VM row, as hypervisor_id or tags")
    row_missing: list[str] = _opt([], "keys left out of every VM row")
    hostile_text: bool = _opt(False, "names and descriptions with quotes, templates, markup and line ends")
    state_case: str = _opt("lower", "mixed: rows spell states Running, STOPPED, stopped ...")
    started_word: Pick = _opt(0, "pick of VMs whose running state reads `started`")
    unknown_state: Pick = _opt(0, "pick of VMs that are in `unknown_state_word`")
    unknown_state_word: str = _opt("paused", "a state outside the known ones")
    creating: int = _opt(0, "further VMs that are being created")
    creating_seconds: float = _opt(60.0, "until they run")
    deleted: int = _opt(0, "further records of deleted VMs")
    deleted_listed: bool = _opt(True, "admin lists without a filter show deleted records")
    deleted_detail: str = _opt("tombstone", "admin detail of a deleted VM: a row with status Deleted, or gone (400)")
    filter_ignored: bool = _opt(False, "vm/all ignores its status parameter")
    list_seconds: float = _opt(0.0, "a list is answered this long after its rows were read")
    list_lag: float = _opt(0.0, "lists show each VM as it was so long ago; details and power calls are exact")
    detail_lag: float = _opt(0.0, "details show the VM as it was so long ago; lists are exact")

    # Power calls
    power_mode: str = _opt("blocking", "blocking until done; early: answers at once and goes on; gateway: see below")
    transitional_states: bool = _opt(False, "a VM shows `stopping` or `starting` while a power call works on it (not with real guests)")
    power_queue: int = _opt(0, "power calls worked on at once; further ones wait in order, forced ones too; 0: no limit")
    gateway_patience: float = _opt(60.0, "in gateway mode any answer slower than this is a 504, the action goes on")
    stop_seconds: float = _opt(22.0, "a graceful stop")
    force_seconds: float = _opt(1.0, "a forced stop")
    start_seconds: float = _opt(4.0, "a start")
    stop_stopped_status: int = _opt(200, "answer to the stop of a stopped VM")
    start_running_status: int = _opt(200, "answer to the start of a running VM")
    deaf: Pick = _opt(0, "pick of VMs that ignore a graceful stop")
    deaf_seconds: float = _opt(120.0, "a stop on a deaf VM is held this long before the platform gives up")
    deaf_status: int = _opt(200, "and then answers this; 200 shows the VM still running")
    slow: Pick = _opt(0, "pick of VMs that take their time over a graceful stop")
    slow_seconds: float = _opt(60.0, "this long")
    stuck: Pick = _opt(0, "pick of VMs that a power call leaves in `stopping` or `starting`; a forced stop ends that")
    stuck_actions: list[str] = _opt(["stop"], "the power calls that get stuck: stop, start")
    fail_start: Pick = _opt(0, "pick of VMs that do not start")
    fail_start_status: int = _opt(500, "answer to such a start; 200 shows the VM still stopped")
    fail_start_times: int = _opt(-1, "starts that fail before one works; -1: all")
    locked: Pick = _opt(0, "pick of VMs that are locked (409) from their first power call on")
    locked_seconds: float = _opt(60.0, "for this long")
    starts_itself: Pick = _opt(0, "pick of VMs that come up again after a stop call stopped them")
    starts_itself_seconds: float = _opt(30.0, "this long after the stop")
    starts_itself_times: int = _opt(1, "how often; -1: always")
    feigns: Pick = _opt(0, "pick of VMs whose power calls report success at once and do nothing")
    feigned_actions: list[str] = _opt(["stop", "start"], "the power calls that are feigned; force is a third")
    frozen_owners: Pick = _opt(0, "pick of owners (user ids) whose account is frozen: power calls on their VMs get 403")
    frozen_actions: list[str] = _opt(["stop", "start"], "the power calls a frozen account refuses")
    busy_refuses: bool = _opt(True, "a second power call on a VM gets 409; False: the same call joins the first")
    force_overrides_busy: bool = _opt(True, "a forced stop goes through while a graceful one is open")
    needs_open_host_to_start: bool = _opt(False, "a start is refused when no host of the location accepts workloads")
    no_host_status: int = _opt(409, "with this status (409 or 400)")

    # Gateway
    malformed_uuid_empty: bool = _opt(True, "a uuid that is none gets the 400 with an empty body")
    rate_limit: int = _opt(0, "requests per `rate_window` and key before 429; 0: no limit")
    rate_window: float = _opt(60.0, "the window of the rate limit")
    power_at_once: int = _opt(0, "power calls at work at once before a further one is refused; 0: no limit")
    power_refused: float = _opt(0.0, "share of power calls that are refused by chance, which follows from the seed")
    power_refused_status: list[int] = _opt([429, 503], "with these statuses, turn by turn")
    retry_after: Optional[Union[int, str]] = _opt(None, "Retry-After of a 429, as it is sent (real seconds); None: no header")
    errors: list[dict[str, Any]] = _opt([], "faults from the start, each a dict of the fields of faults.Fault")
    acts: list[dict[str, Any]] = _opt([], "scheduled acts, each a dict of the arguments of acts.Acts.schedule")

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse values that would silently mean something else."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError("%s must be one of %s" % (name, ", ".join(allowed)))
        if not self.locations or self.default not in self.locations:
            raise ValueError("default_location must be one of locations")
        for name in ("empty_locations", "admin_lists_refused"):
            unknown = set(getattr(self, name)) - set(self.locations)
            if unknown:
                raise ValueError("%s: no such location: %s" % (name, ", ".join(sorted(unknown))))

    @property
    def default(self) -> str:
        """The location of a path without slug."""
        return self.default_location or (self.locations[0] if self.locations else "")

    def real(self, seconds: float) -> float:
        """Platform seconds as seconds of this machine."""
        return seconds * self.time_scale

    def update(self, values: dict[str, Any]) -> None:
        """Change options of a living platform; what was built from them at the start stays as it is."""
        known = {item.name for item in fields(self)}
        unknown = set(values) - known
        if unknown:
            raise ValueError("unknown options: %s" % ", ".join(sorted(unknown)))
        before = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        try:
            self.check()
        except ValueError:
            for name, value in before.items():
                setattr(self, name, value)
            raise


def options_from(values: dict[str, Any]) -> Options:
    """Options from a plain dict; an unknown name is an error."""
    options = Options()
    options.update(values)
    return options


def describe() -> str:
    """One line per option: name, default, meaning."""
    plain = Options()
    return "\n".join(
        "%s = %s: %s" % (item.name, json.dumps(getattr(plain, item.name)), item.metadata["doc"]) for item in fields(plain)
    )
