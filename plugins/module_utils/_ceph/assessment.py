# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What a look at Ceph means for a plan, for the proof and for the starts. Pure: the result of C(pilw_ceph_check) in, reasons out."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .. import _accept
from .._api.model import Vm, printable
from .._errors import InputError, Refused

# Set by prepare itself once everything is down, so no sign of illness.
_OUR_CHECKS = frozenset(("OSDMAP_FLAGS", "OSD_FLAGS"))
# As C(ceph osd set) takes them; pause reads back as two. Those that Ceph sets by itself are left to it.
SETTABLE = (
    *("noup", "nodown", "noout", "noin", "nobackfill", "norebalance", "norecover", "noscrub", "nodeep-scrub"),
    *("nosnaptrim", "notieragent", "pause"),
)
# Of the many images of one look, so many are named.
SHOWN = 20
BLIND = "images open for reading only, clients of CephFS and RGW, and a client that has been frozen for more than 30 s"
NOT_ASKED = "Not proved: that no Ceph client still has an image open; Ceph itself was not asked (ceph_maint_ceph_host is not set)."


@dataclass(frozen=True)
class Open:
    """An image that a client has open. C(vm): uuid, empty where the image's name does not tell it."""

    image: str
    client: str
    address: str
    vm: str

    @property
    def start_item(self) -> str:
        """Accepts a start in spite of this very client."""
        return _accept.START(f"{self.image}@{self.client}")

    def accepted(self, accepted: t.Container[str]) -> bool:
        return _accept.WATCHER(self.image) in accepted or bool(self.vm and _accept.VM(self.vm) in accepted)

    def label(self) -> str:
        return f"image {self.image} is open at {self.client} ({self.address})" + (f", the disk of VM {self.vm}" if self.vm else "")


@dataclass
class Storage:
    """One look at Ceph. C(problem): why it proves nothing."""

    host: str
    problem: str = ""
    status: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    osds: str = ""
    recovery: str = ""
    flags: list[str] = field(default_factory=list)
    opens: list[Open] = field(default_factory=list)
    where: str = ""
    vms: frozenset[str] = frozenset()  # all that have an image open, also those beyond the named ones
    mapped: bool = False  # whether the names of images were to tell their VMs
    fsid: str = ""  # which cluster it is
    unread: dict[str, str] = field(default_factory=dict)  # pools and namespaces that the key may not read, each with why
    unchecked: list[str] = field(default_factory=list)  # what this look does not cover, a sentence each
    pools: list[str] = field(default_factory=list)  # and namespaces whose images were checked

    @property
    def checked(self) -> bool:
        """Whether Ceph gave a complete answer. One that the key may read nothing for says nothing."""
        return not self.problem and bool(self.pools or not self.unread)

    @property
    def unread_items(self) -> dict[str, str]:
        """Accept item and text of each pool that the key may not read."""
        return {
            _accept.UNCHECKED(pool): f"The key on {self.host} may not read the pool {pool}, so its images are not checked: {why}"
            for pool, why in self.unread.items()
        }

    @property
    def unhealthy_items(self) -> list[str]:
        """One for each complaint; none when Ceph is well, but for flags."""
        ill = sorted(set(self.checks) - _OUR_CHECKS)
        if not ill and not self.checks and self.status != "HEALTH_OK":
            ill = [self.status or "unknown"]
        return [_accept.HEALTH(name) for name in ill]


def other_cluster(fsid: str, known: str) -> tuple[str, str]:
    """The accept item and the text where it is not the cluster that this maintenance knows; two empty ones otherwise."""
    if not known or not fsid or fsid == known:
        return "", ""
    return _accept.CLUSTER(fsid), f"another cluster answers than the one of which safe was proved: {fsid}, and not {known}"


def check_flags(names: list[str]) -> None:
    """Refuse names that are none of flags before anything is done: one that was written down could never be unset."""
    unknown = [name for name in names if name not in SETTABLE]
    if unknown:
        raise InputError(
            f"Ceph has no flag {', '.join(map(printable, unknown))} that can be set. There are: {', '.join(SETTABLE)}. Nothing was changed."
        )


def read(host: str | None, look: t.Any) -> Storage | None:
    """The look as a module gave it, None where no Ceph host is named. What is not a whole look is a problem."""
    if not host:
        return None
    look = _dict(look)
    if look.get("mistake"):
        raise InputError(printable(look["mistake"], 400))
    watchers = _dict(look.get("watchers"))
    if not watchers:
        return Storage(host, printable(look.get("problem"), 400) or "it was not asked, or gave no answer")
    opens = [
        Open(*(printable(row.get(name), 200) for name in ("image", "client", "address", "vm")))
        for row in _list(watchers.get("open"))
        if isinstance(row, dict) and row.get("image")
    ]
    problem = printable(look.get("problem") or "; ".join(map(str, _list(watchers.get("missing"))[:3])), 400)
    if not problem and not _whole(look, watchers):
        problem = "its answer is not whole"
    if not problem and watchers["count"] > len(opens):
        opens.append(Open(f"{watchers['count'] - len(opens)} more", "several clients", "", ""))
    health, images, note, pools = _dict(look.get("health")), watchers.get("images"), watchers.get("note"), _texts(watchers.get("pools"))
    where = f"the pools {', '.join(pools) or '(none)'}"
    where += f" ({printable(images)} images asked one by one" if images is not None else " (each OSD asked"
    where += f", at {printable(look['at'])})" if look.get("at") else ")"
    return Storage(
        host,
        problem,
        status=printable(health.get("status")),
        checks={printable(name): printable(text, 200) for name, text in _dict(health.get("checks")).items()},
        osds=printable(health.get("osds"), 100),
        recovery=printable(health.get("recovery"), 100),
        flags=_texts(look.get("flags")),
        opens=opens,
        where=where + (f"; {printable(note, 300)}" if note else ""),
        vms=frozenset(_texts(watchers.get("vms"))),
        mapped=watchers.get("mapped") is True,
        fsid=printable(look.get("fsid"), 40),
        unread={printable(pool, 200): printable(why, 200) for pool, why in _dict(watchers.get("unread")).items()},
        unchecked=[printable(line, 1000) for line in _list(watchers.get("unchecked"))],
        pools=pools,
    )


def _whole(look: dict[str, t.Any], watchers: dict[str, t.Any]) -> bool:
    """Whether a look says all that a proof needs. What is left out of it says nothing."""
    rows, count = watchers.get("open"), watchers.get("count")
    return (
        look.get("problem") == ""
        and watchers.get("missing") == []
        and isinstance(watchers.get("unread"), (dict, type(None)))
        and isinstance(rows, list)
        and all(isinstance(row, dict) and row.get("image") for row in rows)
        and isinstance(count, int)
        and not isinstance(count, bool)
        and count >= len(rows)
    )


def _dict(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _texts(value: t.Any) -> list[str]:
    return [printable(one) for one in _list(value)]


@dataclass
class Findings:
    """C(against): accept item and text. C(excepted): what was accepted, and what it is."""

    against: dict[str, str] = field(default_factory=dict)
    excepted: dict[str, str] = field(default_factory=dict)
    proofs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: bool = False  # Ceph gave a complete answer


def proof(storage: Storage | None, accepted: t.Container[str], outside: t.Container[str], scoped: bool, known: str = "") -> Findings:
    """What a look says against safe.

    C(outside): VMs that the scope leaves out; C(scoped): some of them hold Ceph open anyway. C(known): the cluster of an earlier proof.
    """
    found = Findings(checked=storage is not None and storage.checked)
    if storage is None:
        found.notes.append(NOT_ASKED)
        return found
    standing = storage.unread_items
    if storage.problem:
        standing[_accept.CEPH(storage.host)] = f"Ceph could not be asked on {storage.host} who has images open: {storage.problem}"
    other, why = other_cluster(storage.fsid, known)
    if other:
        standing[other] = f"asked on {storage.host}, {why}"
    for item, text in standing.items():
        (found.excepted if item in accepted else found.against)[item] = text
    # What was seen counts also where something else could not be asked.
    for item, opens in _by(storage.opens, lambda one: _accept.WATCHER(one.image)).items():
        one, text = opens[0], _labels(opens)
        if one.accepted(accepted):
            found.excepted[item] = text
        elif one.vm in outside or (scoped and not one.vm):
            found.notes.append(f"outside of the scope, {text}")
        else:
            found.against[item] = text
    if not found.against and storage.checked:
        found.proofs.append(f"no client has an image open in {storage.where}" + (", except those accepted" if found.excepted else ""))
        found.notes.append(f"What Ceph cannot tell: {BLIND}.")
    found.notes += [f"{line}." for line in storage.unchecked]
    return found


def plan_lines(storage: Storage) -> list[str]:
    if storage.problem:
        return [f"Ceph, asked on {storage.host}: no whole answer", *(f"  {one.label()}" for one in storage.opens[:SHOWN])]
    lines = [f"Ceph, asked on {storage.host}: {storage.status}, {storage.osds}; images open: {len(storage.opens)} in {storage.where}"]
    lines += [f"  {line}" for line in storage.unchecked]
    lines += [f"  {name}: {text}" for name, text in storage.checks.items()]
    if storage.recovery:
        lines.append(f"  recovery: {storage.recovery}")
    flags = [flag for flag in storage.flags if flag in SETTABLE or flag == "full"]  # Ceph has others of its own
    if flags:
        lines.append(f"  flags: {', '.join(flags)}")
    return lines


def plan_reasons(
    storage: Storage, vms: t.Mapping[str, Vm], known: str = "", recorded: t.Container[str] = ()
) -> list[tuple[str, list[str]]]:
    """What would stand in the way of safe after every running VM has stopped: text and accept items. C(known): see C(proof).

    C(recorded): VMs of the open record, which may have gone down between this look and the list of VMs. The proof looks at them again.
    """
    found: list[tuple[str, list[str]]] = []
    if storage.problem:
        return [(f"Ceph could not be asked on {storage.host} who has images open: {storage.problem}", [_accept.CEPH(storage.host)])]
    other, why = other_cluster(storage.fsid, known)
    if other:
        found.append((f"Ceph is asked in the wrong place on {storage.host}: {why}. Correct ceph_maint_ceph_host or ceph_maint_ceph_command.", [other]))
    if storage.unread:
        text = (
            f"The key on {storage.host} may not read the pools {_pools(storage)}, so their images would not be checked. Give it the right to "
            "read them, or name the pools with disks of VMs: ceph_maint_rbd_pools."
        )
        found.append((text, list(storage.unread_items)))
    if storage.unhealthy_items:
        ill = "; ".join(text or name for name, text in storage.checks.items() if name not in _OUR_CHECKS)
        ill = ": ".join(filter(None, [storage.status or "it does not tell its state", ill]))
        found.append((f"Ceph is not well ({ill}). Let it heal first: what goes down ill comes back ill.", storage.unhealthy_items))
    up = {uuid for uuid, vm in vms.items() if vm.holds_storage}
    if up and not storage.opens:
        text = f"{len(up)} VMs are up, and no client has an image open in {storage.where}: their disks are not where Ceph was asked."
        found.append((f"{text} Correct ceph_maint_rbd_pools or ceph_maint_ceph_command.", [_accept.UNCHECKED(f"host-{storage.host}")]))
    if not storage.mapped or not storage.opens:
        return found
    if up and not any(one.vm in vms for one in storage.opens):
        text = f"ceph_maint_rbd_image_regex finds the VM of none of the {len(storage.opens)} open images, such as {storage.opens[0].image}."
        return [*found, (f"{text} Correct it, or leave it empty.", [])]
    odd = [one for one in storage.opens if one.vm not in up and one.vm not in recorded]
    if odd:
        found.append((f"No running VM of the platform explains that {_named(odd)}.", list(_by(odd, lambda one: _accept.WATCHER(one.image)))))
    return found


def _by(opens: list[Open], key: t.Callable[[Open], str]) -> dict[str, list[Open]]:
    found: dict[str, list[Open]] = {}
    for one in opens:
        found.setdefault(key(one), []).append(one)
    return found


def _pools(storage: Storage) -> str:
    """The pools that the key may not read, with why of the first."""
    names = list(storage.unread)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more} ({storage.unread[names[0]]})"


def _labels(opens: list[Open]) -> str:
    return "; and ".join(one.label() for one in opens[:SHOWN])


def _named(opens: list[Open], shown: int = SHOWN) -> str:
    return "; ".join(one.label() for one in opens[:shown]) + (f"; and {len(opens) - shown} more" if len(opens) > shown else "")


def plan_note(storage: Storage) -> str:
    """What the plan cannot tell of open images."""
    if storage.problem or storage.mapped or not storage.opens:
        return ""
    return (
        f"Which VM each of the {len(storage.opens)} open images belongs to is not known, so whether all of them close with the VMs is "
        "seen at the end only. ceph_maint_rbd_image_regex would tell."
    )


def held_back(
    storage: Storage | None,
    accepted: list[str],
    targets: t.Iterable[str],
    known: t.Container[str],
    running: t.Collection[str],
    nothing_yet: bool,
    refuse: bool,
) -> dict[str, str]:
    """VMs that must not be started, as a client has their image open, each with why. Two guests on one image destroy it.

    C(targets): uuids of those to be started. C(known): uuids of all VMs; an open image of another, or of nobody knows which, may be
    the disk of any target. Then all of them are held back, or, with C(refuse), everything is. C(running): those that run, whose images
    must be open. C(nothing_yet): no VM was started since the outage, so that no image may be open at all.
    """
    if storage is None:
        return {}
    unproved = _accept.START(storage.host)
    if (storage.problem or storage.unread) and unproved not in accepted:
        why, fix = f"Ceph could not be asked on {storage.host} who has images open: {storage.problem}", "Mend it"
        if not storage.problem:
            why = f"The key on {storage.host} may not read the pools {_pools(storage)}"
            fix = "Give it the right to read them, or name the pools with disks of VMs (ceph_maint_rbd_pools),"
        text = (
            f"{why}. A VM whose image is still open elsewhere would be destroyed by its start, so nothing was started. {fix} and run the "
            "same command again, or go on without this proof"
        )
        raise _accept.refusal(text, accepted, [unproved])
    # Items of their own: what was accepted before safe must not lead to a second guest on one image.
    opens = [one for one in storage.opens if one.start_item not in accepted]
    unknown = [one for one in opens if one.vm not in known]
    if storage.mapped and running and storage.opens and all(one.vm not in known for one in storage.opens):
        raise Refused(
            f"ceph_maint_rbd_image_regex finds the VM of none of the {len(storage.opens)} open images, such as {storage.opens[0].image}, so "
            "nothing was started. Correct it, or leave it empty, and run the same command again."
        )
    if unknown and unproved not in accepted:
        # Where no name tells its VM, those of VMs that run again are among them: accepted one by one they would prove nothing.
        items = [one.start_item for one in unknown] if storage.mapped or nothing_yet else [unproved]
        why = f"{_named(unknown, SHOWN if refuse else 1)}; of which VM is not known. A VM whose image is open elsewhere would be destroyed by its start"
        way = (
            "End those clients, or set ceph_maint_rbd_image_regex so that only their VMs are held back, then run the same command again. "
            f"To go on all the same: {_accept.accept_argument(accepted, items)}"
        )
        if refuse:
            raise Refused(f"Before anything was started, {why}, so nothing was started. {way}", items)
        return dict.fromkeys(targets, f"held back, as {why}. {way}")
    named = {one.vm for one in storage.opens}
    # Seen counts, also where something else could not be asked.
    held = {
        uuid: "held back, as a client has its image open, one of too many to be named. Look at it with rbd status, then run the same command again"
        for uuid in storage.vms
        if uuid not in named
    } | {
        uuid: f"held back, as {_labels(some)}: a second guest would destroy it. End that client, then run the same command again. To start "
        f"the VM all the same: {_accept.accept_argument(accepted, [one.start_item for one in some])}"
        for uuid, some in _by(opens, lambda one: one.vm).items()
        if uuid
    }
    return {uuid: held[uuid] for uuid in targets if uuid in held}
