# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The proof that every VM is down: three lists, apart in time, each judged row by row."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .. import _accept, _clock
from .._api.endpoints import Api, read_details
from .._api.model import CEPH_UNCHECKED, DELETED, RUNNING, Vm, VmList
from .._api.selection import in_scope
from .._errors import ApiError
from .._record.lock import FOREGROUND, Caller

# More VMs than this missing from a list are not asked for one by one: such a list is not whole.
MAX_DETAILS = 200

SAFE_WORDS = "SAFE TO TAKE CEPH DOWN"
SCOPE_WORDS = "SCOPE STOPPED, NOT SAFE TO TAKE CEPH DOWN"
NOT_SAFE_WORDS = "NOT SAFE TO TAKE CEPH DOWN"


@dataclass(frozen=True)
class Scope:
    """What a maintenance acts on, and the overrides in effect on it."""

    query: str = ""
    exclude: str = ""
    accepted: t.Container[str] = ()

    def holds(self, vms: t.Iterable[Vm]) -> set[str]:
        """The uuids of those that it leaves in."""
        return in_scope(vms, self.query, self.exclude)

    def accepts(self, uuid: str) -> bool:
        """Whether a VM may be left as it is."""
        return _accept.VM(uuid) in self.accepted


class Seen(t.NamedTuple):
    """What earlier lists have shown: uuids that must not be missing, and how a further list is kept."""

    known: t.Callable[[], t.Iterable[str]]
    note: t.Callable[[VmList], None]


class Pause:
    """Between two lists of a proof: says how long it lasts, and ends the proof when nobody wants it any more."""

    def __init__(self, caller: Caller = FOREGROUND) -> None:
        self.caller = caller

    def sleep(self, seconds: float, text: str) -> None:
        """C(text): what the pause is for."""
        until = _clock.monotonic() + seconds
        while (left := until - _clock.monotonic()) > 0:
            self.caller.check()
            self.caller.say(f"{text}; the next list in {left:.0f} s")
            _clock.sleep(min(left, 1.0))


@dataclass
class Verdict:
    """What the lists together say."""

    holding: dict[str, Vm] = field(default_factory=dict)  # not released, not accepted, in scope
    outside: dict[str, Vm] = field(default_factory=dict)  # not released, not accepted, left out by the scope
    excepted: dict[str, str] = field(default_factory=dict)  # what was accepted by name, and what it is
    unexplained: dict[str, str] = field(default_factory=dict)  # seen before, missing now: why that is not enough
    unreadable: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)  # of what was accepted, by uuid, where it has one
    also: dict[str, str] = field(default_factory=dict)  # anything else against safe: accept item and text
    gone: set[str] = field(default_factory=set)  # missing now, and their own detail says that they are no more
    proofs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what else is to be said of them
    ceph_checked: bool = False  # Ceph gave a complete answer to who has images open

    @property
    def clean(self) -> bool:
        return not (self.holding or self.unexplained or self.unreadable or self.also)

    @property
    def safe(self) -> bool:
        return self.clean and not self.outside

    @property
    def to_stop(self) -> list[Vm]:
        """In scope and running: a stop can bring these down."""
        return [vm for vm in self.holding.values() if vm.state == RUNNING]

    @property
    def items(self) -> list[str]:
        """What would have to be accepted."""
        named = [_accept.VM(uuid) for uuid in [*self.holding, *self.unexplained]]
        if self.clean:
            named = [_accept.VM(uuid) for uuid in self.outside]
        return named + [_accept.LIST(f"row-{row}") for row in sorted(self.unreadable)] + list(self.also)

    @property
    def on_its_way(self) -> bool:
        """All that stands against safe are VMs that are neither running nor stopped: that may pass."""
        return bool(self.holding) and not (self.to_stop or self.unexplained or self.unreadable or self.also)

    def headline(self) -> str:
        if not self.clean:
            return NOT_SAFE_WORDS
        if self.outside:
            return SCOPE_WORDS
        # That Ceph could not be asked is accepted by name, and is what the end of the headline states.
        names = sorted(self._named(name) for name in self.excepted if self.ceph_checked or _accept.kind_of(name) is not _accept.CEPH)
        if self.ceph_checked:
            return f"SAFE EXCEPT {len(names)} ACCEPTED: {', '.join(names)}" if names else SAFE_WORDS
        if names:
            return f"ALL VMS STOPPED EXCEPT {len(names)} ACCEPTED: {', '.join(names)}. {CEPH_UNCHECKED}"
        return f"ALL VMS STOPPED. {CEPH_UNCHECKED}"

    def _named(self, what: str) -> str:
        """How the headline names what was accepted."""
        name = self.names.get(what)
        return f"{name} ({what})" if name else what

    def reasons(self) -> list[str]:
        """Each thing that stands against safe, one line each."""
        lines = [f"VM {vm.label()}" for vm in self.holding.values()]
        lines += [f"VM {uuid}: {why}" for uuid, why in self.unexplained.items()]
        lines += [f"a list row without a usable uuid ({row})" for row in sorted(self.unreadable)]
        return lines + list(self.also.values())


def judge(verdict: Verdict, found: VmList, scope: Scope, whole: bool) -> None:
    """Add what one list says to the verdict. C(whole): the list was asked for without a filter."""
    inside = scope.holds(found.vms.values())
    for vm in found.holding if whole else found.running:
        if scope.accepts(vm.uuid):
            verdict.excepted[vm.uuid], verdict.names[vm.uuid] = f"VM {vm.label()}", vm.name
        else:
            (verdict.holding if vm.uuid in inside else verdict.outside)[vm.uuid] = vm
    for row in found.unreadable:
        if _accept.LIST(f"row-{row}") in scope.accepted:
            verdict.excepted[row] = "a list row without a usable uuid"
        else:
            verdict.unreadable.add(row)


def explain_missing(verdict: Verdict, found: VmList, known: t.Iterable[str], api: Api, scope: Scope) -> None:
    """Every VM seen before and missing now must be gone by its own detail; otherwise the list is not whole."""
    missing = [uuid for uuid in known if uuid not in found.vms]
    details = read_details(missing[:MAX_DETAILS], api.vm)
    for uuid in missing[MAX_DETAILS:]:
        verdict.unexplained[uuid] = f"missing from the list, as are {len(missing)} in all: the list is not whole"
    for uuid in missing[:MAX_DETAILS]:
        vm, why = details.get(uuid), ""
        if uuid not in details:
            why = "missing from the list, and its own detail was not asked for, as those of others could not be read"
        elif isinstance(vm, ApiError):
            why = f"missing from the list, and its own detail cannot be read: {vm}"
        if why and scope.accepts(uuid):
            verdict.excepted[uuid] = f"VM {uuid}, {why}"
        elif why or isinstance(vm, ApiError):
            verdict.unexplained[uuid] = why
        elif vm is None or vm.state == DELETED:
            verdict.gone.add(uuid)
        elif scope.accepts(uuid):
            verdict.excepted[uuid], verdict.names[uuid] = f"VM {vm.label()}, missing from the list", vm.name
        elif vm.holds_storage:
            (verdict.holding if uuid in scope.holds([vm]) else verdict.outside)[uuid] = vm
        else:
            verdict.unexplained[uuid] = f"{vm.state} by its own detail, but missing from the list: the list is not whole"


def prove(api: Api, scope: Scope, seen: Seen, interval: float, settle: float, pause: Pause) -> Verdict:
    """Make the proof: all VMs, the running ones, all VMs again, C(interval) seconds apart.

    Ends at the first list that says no; where only VMs in passing states speak against it, the proof is begun anew for at most
    C(settle) seconds.
    """
    began = _clock.monotonic()

    def lists(begin: str) -> Verdict:
        verdict = Verdict()
        for number, whole in enumerate((True, False, True)):
            if number:
                pause.sleep(interval, f"{begin}: {number} of 3 lists")
            found = api.vms() if whole else api.running_vms()
            judge(verdict, found, scope, whole)
            if whole:
                explain_missing(verdict, found, list(seen.known()), api, scope)
            seen.note(found)
            del found  # before the next of them comes
            if not verdict.clean:
                return verdict
        verdict.proofs = [
            f"two whole lists of VMs {2 * interval:g} s apart, and one of running VMs between them, show none that is not "
            "stopped or deleted" + (", except those accepted" if verdict.excepted else "")
        ]
        return verdict

    begin = "Proof"
    while True:
        verdict = lists(begin)
        passed = _clock.monotonic() - began
        if not verdict.on_its_way or passed >= settle:
            return verdict
        begin = f"Proof begun anew for {passed:.0f} of at most {settle:.0f} s"
        first, more = next(iter(verdict.holding.values())), len(verdict.holding) - 1
        pause.sleep(max(interval, 0.2), f"{begin}: VM {first.label()}" + (f" and {more} more" if more else ""))
