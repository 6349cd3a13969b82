# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""What owners are told: of which VMs, in which words, in which file. Pure. What tenants wrote stays text."""

from __future__ import annotations

import hashlib
import re
import string
import typing as t
from dataclasses import dataclass

from .._accept import VM
from .._api.model import ALREADY_RUNNING, RELEASED, STARTED, VANISHED, printable
from .._errors import InputError
from .._record.rows import RecordedVm
from .._report.data import why_down

BEFORE, AFTER, NOT_STARTED = KINDS = ("before", "after", "not_started")
PLACEHOLDERS = ("owner", "count", "vms", "reason", "maintenance", "api_host", "location")
_SUBJECT = "Subject:"
_WORDS = {BEFORE: "will be stopped", AFTER: "run again", NOT_STARTED: "did not start"}
# A name of ours. The dot before a digest is in no owner that is taken as it is, so that no two owners have one name.
_PLAIN = re.compile("[0-9A-Za-z_-]{1,40}")
_NAME = re.compile(r"(before|after|not_started)\.[0-9A-Za-z_-]{0,40}(\.[0-9a-f]{16})?\.txt(\.new)?")


@dataclass(frozen=True)
class Told:
    """One VM of which its owner is told. C(new): by a hook too, as it was not told this last."""

    uuid: str
    owner: str
    name: str
    why: str = ""
    new: bool = True


@dataclass(frozen=True)
class About:
    """The maintenance, as every notice names it. C(identity) is empty in a plan."""

    identity: str
    reason: str
    api_host: str
    location: str


def check_templates(templates: dict[str, t.Any]) -> None:
    """Refuse what could not be composed later."""
    if set(templates) != set(KINDS):
        raise InputError(f"notice_templates must hold {', '.join(KINDS)}, and holds {', '.join(sorted(map(str, templates))) or 'nothing'}.")
    for kind, text in templates.items():
        if not str(text).startswith(_SUBJECT):
            raise InputError(f"The template {kind}.txt does not begin with a line Subject: .... Add one, then run the same command again. Nothing was changed.")
        for found in string.Template.pattern.finditer(str(text)):
            name = found.group("named") or found.group("braced")
            if name and name not in PLACEHOLDERS:
                raise InputError(
                    f"The template {kind}.txt has the unknown placeholder ${printable(name, 40)}. Known are "
                    f"{', '.join(f'${known}' for known in PLACEHOLDERS)}. Correct it, then run the same command again. Nothing was changed."
                )
            if found.group("invalid") is not None:
                line = str(text).count("\n", 0, found.start()) + 1
                raise InputError(
                    f"The template {kind}.txt has a $ on line {line} that begins no placeholder; a plain one is written $$. Correct it, then run "
                    "the same command again. Nothing was changed."
                )


def of_record(vms: list[RecordedVm], accepted: t.Container[str], told: dict[str, str], kinds: t.Iterable[str]) -> dict[str, list[Told]]:
    """By kind, what is so now. C(told): the kind that each VM was told last.

    An owner is not told that a VM will be stopped which is down already, that one did not start which was not tried, or anything of one
    that was left alone.
    """
    found: dict[str, list[Told]] = {kind: [] for kind in kinds}
    for vm in vms:
        outcome = vm.start.outcome
        if BEFORE in found:
            kind = BEFORE if vm.stop.outcome != VANISHED and VM(vm.uuid) not in accepted else ""
        elif outcome == STARTED or (outcome == ALREADY_RUNNING and VM(vm.uuid) not in accepted):
            kind = AFTER
        else:
            kind = NOT_STARTED if outcome and not vm.start_done else ""
        if kind in found:
            new = told.get(vm.uuid) != kind and not (kind == BEFORE and vm.state in RELEASED)
            found[kind].append(Told(vm.uuid, vm.owner, vm.name, printable(why_down(vm), 200) if kind == NOT_STARTED else "", new))
    return found


def by_owner(vms: t.Iterable[Told]) -> dict[str, list[Told]]:
    """Owners in the order of their names, and their VMs likewise."""
    found: dict[str, list[Told]] = {}
    for vm in sorted(vms, key=lambda vm: (vm.owner, vm.uuid)):
        found.setdefault(vm.owner, []).append(vm)
    return found


def compose(template: str, about: About, owner: str, vms: list[Told]) -> tuple[str, str]:
    """Subject and text."""
    values = {
        "owner": owner,
        "count": str(len(vms)),
        "vms": "\n".join(f"{vm.uuid} {vm.name}".rstrip() + (f": {vm.why}" if vm.why else "") for vm in vms),
        "reason": printable(about.reason, 500) or "not given",
        "maintenance": about.identity,
        "api_host": about.api_host,
        "location": about.location,
    }
    first, _line_end, rest = template.partition("\n")
    subject = string.Template(first[len(_SUBJECT) :]).substitute(values)
    return printable(subject, 200), string.Template(rest.lstrip("\n")).substitute(values)


def file_name(kind: str, owner: str) -> str:
    """A name of its own for any owner, with nothing in it that a shell or a path could take for something else."""
    if _PLAIN.fullmatch(owner):
        return f"{kind}.{owner}.txt"
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{kind}.{re.sub('[^0-9A-Za-z_-]+', '_', owner)[:40]}.{digest}.txt"


def is_ours(name: str, kinds: t.Container[str]) -> bool:
    """Whether a file of that name is one of ours, finished or not."""
    found = _NAME.fullmatch(name)
    return found is not None and found.group(1) in kinds


def files(found: dict[str, list[Told]], templates: dict[str, str], about: About) -> dict[str, str]:
    """The text of each file, by its name: all VMs of an owner, told already or not."""
    texts = {}
    for kind, vms in found.items():
        for owner, owned in by_owner(vms).items():
            subject, text = compose(templates[kind], about, owner, owned)
            texts[file_name(kind, owner)] = f"{_SUBJECT} {subject}\n\n{text}"
    return texts


def notices(found: dict[str, list[Told]], templates: dict[str, str], about: About, folder: str) -> list[dict[str, t.Any]]:
    """For a hook: one for each owner with something new, of the new VMs alone."""
    told = []
    for kind, vms in found.items():
        for owner, owned in by_owner(vm for vm in vms if vm.new).items():
            subject, text = compose(templates[kind], about, owner, owned)
            whole = event(kind, about, f"{len(owned)} VMs of owner {owner} {_WORDS[kind]}", {"vms": len(owned)})
            more = {"owner": owner, "subject": subject, "text": text, "vms": [vm.uuid for vm in owned]}
            told.append({**whole, **more, "file": f"{folder}/{file_name(kind, owner)}" if folder else ""})
    return told


def event(name: str, about: About, headline: str, counts: dict[str, int]) -> dict[str, t.Any]:
    """For a hook: what everybody may be told."""
    return {"event": name, "maintenance": about.identity, "reason": about.reason, "headline": headline, "counts": counts}
