# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-process operator with a Ceph host: the Ceph modules ask a stand-in, and their results are handed on as the roles do it.

Neither Ansible nor a process for each call of C(ceph) is needed, so a call that hangs costs no time.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t
from pathlib import Path
from types import ModuleType
from unittest import mock

import jinja2
import yaml

from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import readiness, watchers
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.command import Ceph
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError
from ansible_collections.pilw.maintenance.plugins.modules import pilw_ceph_check, pilw_ceph_flags, pilw_maintenance
from ansible_collections.pilw.maintenance.plugins.plugin_utils.long_wait import LINE
from harness import in_process as crew
from harness.fake_ceph_cli import Failure, Hanging, StandIn, answer

ROLES = Path(__file__).resolve().parents[2] / "roles"
HOLDING = ("pause", "nodown", "noup")  # as the gate of the restore role has them
LOST = "Failed to connect to the host via ssh: ssh: connect to host box port 22: Connection timed out"
BETWEEN_CHECKS = 0.05  # seconds, in the place of those that a real cluster needs


def refusal(role: str, tasks: str, task: str, **values: t.Any) -> str:
    """The message with which a task of a role fails."""
    entries = yaml.safe_load((ROLES / role / "tasks" / f"{tasks}.yml").read_text(encoding="utf-8"))
    (message,) = [entry["ansible.builtin.fail"]["msg"] for entry in entries if entry["name"] == task]
    return jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined).from_string(message).render(**values)


class AsksCeph(crew.Crew):
    """A crew with a Ceph host, which is lost while the file C(cut) exists."""

    SETTINGS: dict[str, t.Any] = {
        **crew.Crew.SETTINGS,
        "ceph_command": None,
        "rbd_pools": None,
        "rbd_image_regex": None,
        "watchers_way": "auto",
        "probe_pool": None,
    }
    stand_in: StandIn
    cut: Path

    def _check_ceph(self, out: crew.Outcome, **options: t.Any) -> dict[str, t.Any]:
        if not self.settings["ceph_host"]:
            return super()._check_ceph(out)
        self._announce(out, "checking Ceph on the host")
        wanted = {"way": self.settings["watchers_way"], "linger": self.settings["watchers_linger"], **options}
        accepted = out.results.get("open", {}).get("accepted", self.accept)
        wanted.update(pools=self.settings["rbd_pools"], image_regex=self.settings["rbd_image_regex"], accept=accepted)
        result = self._asked(out, "ceph", pilw_ceph_check, checks=["health", "watchers"], **wanted)
        return result.get("look", {"problem": result.get("msg", "")})

    def _check_ceph_between_waves(self, out: crew.Outcome, before: dict[str, t.Any]) -> dict[str, t.Any]:
        self._announce(out, "waiting for Ceph on the host")
        result = self._asked(out, "ramp", pilw_ceph_check, checks=["ramp"], timeout=self.settings["ceph_wait"], **self._serving(out))
        self._refuse_lost(result, "wave", "Wave | Refuse when Ceph cannot be asked")
        if self.settings["watchers_way"] == "osd" and self.settings["rbd_image_regex"]:
            return self._check_ceph(out, linger=0.0)
        return before

    def _wait_for_ceph(self, out: crew.Outcome) -> None:
        if not self.settings["ceph_host"]:
            return
        opened = out.results["open"]
        self._announce(out, "waiting for Ceph on the host")
        holding = [flag for flag in opened["osd_flags"] if flag in HOLDING]
        if holding:
            result = self._unset(out, "early", holding, timeout=self.settings["ceph_wait"])
            if result.get("failed"):
                raise crew.Failed(result)
        result = self._asked(out, "gate", pilw_ceph_check, checks=["serving"], timeout=self.settings["ceph_wait"], **self._serving(out))
        self._refuse_lost(result, "gate", "Gate | Refuse when Ceph cannot be asked")
        out.lines += result["lines"]
        if opened["osd_flags"]:
            result = self._unset(out, "late", opened["osd_flags"])
            self._refuse_lost(result, "gate", "Gate | Refuse when flags are left", __ceph_maint_restore_open=opened)

    def _set_flags(self, out: crew.Outcome, proof: dict[str, t.Any]) -> None:
        self._announce(out, "setting flags of Ceph on the host")
        result = self._asked(out, "flags", pilw_ceph_flags, flags=proof["osd_flags"], fsid=proof["ceph_fsid"])
        self._refuse_lost(result, "flags", "Flags | Refuse when they could not be set", role="ceph_maint_prepare", __ceph_maint_prepare_proof=proof)

    def _changed_flags(self, out: crew.Outcome, purpose: str) -> dict[str, t.Any]:
        named = [flag for name in ("early", "late") for flag in out.results.get(name, {}).get("named", [])]
        found = out.results.get("flags", {}).get("unchanged", [])
        return {"osd_flags_unset": named} if purpose == "restore" else {"osd_flags_found": found}

    def _show_leftovers(self, out: crew.Outcome, vms: list[str]) -> None:
        if self.settings["ceph_host"]:
            options = {"pools": self.settings["rbd_pools"], "image_regex": self.settings["rbd_image_regex"], "vms": vms}
            out.lines += self._asked(out, "leftovers", pilw_ceph_check, checks=["leftovers"], **options).get("lines", [])

    # Their parts.

    def _announce(self, out: crew.Outcome, step: str) -> None:
        """Once the record is open."""
        if "open" in out.results:
            run = {name: out.results["open"][name] for name in ("record", "run")}
            self._task(out, "busy", pilw_maintenance, state="busy", step=step, step_seconds=7200.0, **run)

    def _serving(self, out: crew.Outcome) -> dict[str, t.Any]:
        fsid, accepted = out.results["open"]["ceph_fsid"], out.results["plan"]["accepted"]
        return {"pools": self.settings["rbd_pools"], "probe_pool": self.settings["probe_pool"], "fsid": fsid, "accept": accepted}

    def _unset(self, out: crew.Outcome, name: str, flags: list[str], **more: t.Any) -> dict[str, t.Any]:
        known = {"fsid": out.results["open"]["ceph_fsid"], "accept": out.results["plan"]["accepted"]}
        return self._asked(out, name, pilw_ceph_flags, state="absent", flags=flags, **known, **more)

    def _refuse_lost(self, result: dict[str, t.Any], tasks: str, task: str, role: str = "ceph_maint_restore", **values: t.Any) -> None:
        """As the role does it: a module that fails ends the run, and so does a host that is lost."""
        if result.get("unreachable"):
            raise crew.Failed({"msg": refusal(role, tasks, task, ceph_maint_ceph_host=self.settings["ceph_host"], **values)})
        if result.get("failed"):
            raise crew.Failed(result)

    def _asked(self, out: crew.Outcome, name: str, module: ModuleType, **given: t.Any) -> dict[str, t.Any]:
        """A task on the Ceph host: the result of its module, or that the host was lost before or meanwhile."""
        out.results[name] = lost = {"unreachable": True, "msg": LOST}
        if not self.cut.exists():
            command = self.settings["ceph_command"] or ["ceph"]
            wait = {"waited": 0.0, "piece": LINE}
            options = {"command": command, "call_timeout": self.settings["ceph_timeout"], **({"_wait": wait} if module is pilw_ceph_check else {}), **given}
            with self._answering(module):
                result = crew.run_module(module, options, check=self.check_mode, tmpdir=self.tmpdir)
                while result.get("waiting"):
                    wait["waited"] += LINE
                    result = crew.run_module(module, options, check=self.check_mode, tmpdir=self.tmpdir)
            out.results[name] = lost if self.cut.exists() else result
        return out.results[name]

    @contextlib.contextmanager
    def _answering(self, module: ModuleType) -> t.Iterator[None]:
        with contextlib.ExitStack() as stack:
            for holder, name, value in (
                (module, "AnsibleModule", crew.Bench),
                (module, "Ceph", functools.partial(Ceph, run=self._call)),
                (readiness, "_AGAIN", BETWEEN_CHECKS),
                (watchers, "_AGAIN", BETWEEN_CHECKS),
            ):
                stack.enter_context(mock.patch.object(holder, name, value))
            yield

    def _call(self, argv: list[str], given: bytes, seconds: float) -> tuple[int, bytes, str]:
        try:
            return 0, answer(self.stand_in.folder, argv[0], argv[1:], lambda: given), ""
        except Failure as exc:
            return exc.status, b"", str(exc)
        except Hanging as exc:
            raise CephError(argv, f"gave no answer within {seconds:g} s", timed_out=True) from exc
