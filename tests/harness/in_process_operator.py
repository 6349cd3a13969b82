# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same operator without ansible-playbook: the crew runs the modules in this process, in a twentieth of the time.

For what the modules decide. What the roles and Ansible add is tested with the real one.
"""

from __future__ import annotations

import json
import typing as t

import yaml

from harness.in_process import Crew, Outcome
from harness.operator import FAST, ROOT, Operator, Run

PREFIX = "ceph_maint_"
# Shorter than those of fast.yml still: between two modules there is no process to be started.
SHORTER = {name: Crew.FAST[name] for name in ("poll_interval", "proof_interval", "verify_hold")}


def said_by(role: str, tasks: str) -> str:
    """The message of the first task that fails in a task file of a role."""
    entries = yaml.safe_load((ROOT / "roles" / role / "tasks" / f"{tasks}.yml").read_text(encoding="utf-8"))
    return next(entry["ansible.builtin.fail"]["msg"] for entry in entries if "ansible.builtin.fail" in entry)


def is_true(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "1")


class Rehearsal(Crew):
    """In check mode each module is told so, and of an opened record the roles do no more than open it."""

    check_mode = True

    def _opened(self, out: Outcome, purpose: str, accept: t.Iterable[str], *work: t.Any, **more: t.Any) -> None:
        self._open(out, purpose, accept, **more)

    def close(self, accept: t.Iterable[str] = ()) -> Outcome:
        out = Outcome()
        self._guarded(out, lambda: self._closable(out, accept))
        return out


class QuickOperator(Operator):
    def crew(self, check: bool, settings: dict[str, t.Any]) -> Crew:
        return (Rehearsal if check else Crew)(self.folder, self.cloud.url, self.cloud.key, **settings)

    def play(self, playbook: str, *arguments: str, env: dict[str, str] | None = None, **variables: t.Any) -> Run:
        fast = yaml.safe_load(FAST.read_text(encoding="utf-8"))
        given = {name.removeprefix(PREFIX): value for name, value in fast.items()} | SHORTER
        given.update({name.removeprefix(PREFIX): value for name, value in variables.items() if value != ""})
        confirmed, force = is_true(given.pop("confirm", "")), is_true(given.pop("force", ""))
        back, reason = is_true(given.pop("ceph_is_back", "")), given.pop("reason", "")
        accept = given.pop("accept", "")
        given.pop("accept_reason", "")
        accept = accept if isinstance(accept, list) else [item for item in accept.split(",") if item]
        name = playbook.removeprefix(PREFIX)
        crew = self.crew("--check" in arguments, given)
        crew.record_dir = self.records
        check = "--check" in arguments or not confirmed
        plays: dict[str, t.Callable[[], Outcome]] = {
            "plan": crew.plan,
            "prepare": lambda: crew.prepare(force=force, accept=accept, check=check, reason=reason),
            "restore": lambda: crew.restore(ceph_is_back=back, accept=accept, check=check),
            "force": lambda: crew.force(accept=accept) if confirmed else Outcome(rc=2),
            "close": lambda: crew.close(accept=accept) if confirmed else crew.status(),
            "verify": lambda: crew.verify(accept=accept),
            "status": crew.status,
        }
        out = plays[name]()
        if name in ("prepare", "restore", "force", "close") and not confirmed and not out.refused and "--check" not in arguments:
            out.rc, out.error = 2, said_by("ceph_maint_prepare", "confirm")
        return Run(out.rc, "\n".join(json.dumps(line) for line in [*out.lines, out.error]).replace("\\n", " "))
