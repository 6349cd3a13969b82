# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' sequence of modules in one process: what ansible-playbook does, at a thousandth of its price.

The modules' own main() runs, with arguments checked by Ansible's own validator; only Ansible itself is left out. What the
roles add to that is tested with the real ansible-playbook elsewhere.
"""

from __future__ import annotations

import tempfile
import threading
import typing as t
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module.options import native
from ansible_collections.pilw.maintenance.plugins.modules import (
    pilw_host_flags,
    pilw_maintenance,
    pilw_maintenance_info,
    pilw_vm_list,
    pilw_vm_power,
    pilw_vm_status,
)

MODULES = (pilw_host_flags, pilw_maintenance, pilw_maintenance_info, pilw_vm_list, pilw_vm_power, pilw_vm_status)
ROUNDS = 3  # as the prepare role has them
HOOK_SECONDS = 120.0  # of a task file with one task, as the roles have them
# The settings that each role gives to its plan.
PLANNED = {
    "prepare": (
        "record_copy", "record_dir_persistent", "query", "exclude", "only_owners", "exclude_owners", "only_vms", "exclude_vms",
        "hosts_query", "hosts_keep_closed", "groups", "concurrency", "stop_timeout",
        "force_timeout", "max_force_percentage", "never_force",
        "poll_interval", "proof_interval", "settle_timeout", "lease", "window", "max_age", "notice_templates", "notice_dir",
        "ceph_host", "osd_flags",
    ),
    "restore": (
        "record_copy", "record_dir_persistent", "hosts_keep_closed",
        "groups", "running_vms", "open_hosts", "max_age", "api_wait", "poll_interval", "concurrency", "stop_timeout",
        "start_timeout", "canary", "canary_vms", "max_fail_percentage", "lease", "window", "notice_dir",
        "ceph_host",
    ),
}  # fmt: skip

_call = threading.local()


class _Ended(BaseException):
    """A module has given its result."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__()
        self.result = result


class Bench:
    """In the place of AnsibleModule: takes arguments from here and gives the result back."""

    def __init__(self, argument_spec: dict[str, t.Any], supports_check_mode: bool = False, **rules: t.Any) -> None:
        given, self.check_mode, self.tmpdir = _call.given
        required_by = rules.pop("required_by", None)
        checked = ArgumentSpecValidator(argument_spec, required_by=required_by, **rules).validate(dict(given))
        assert not checked.error_messages, checked.error_messages
        self.params = {**checked.validated_parameters, "_wait": _call.wait}  # in the place of the environment of the task
        self._warnings: list[str] = []

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        raise _Ended({**result, "failed": True, "warnings": self._warnings})

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        raise _Ended({**result, "warnings": self._warnings})


for _module in MODULES:
    _module.AnsibleModule = Bench  # type: ignore[attr-defined]


def run_module(module: ModuleType, given: dict[str, t.Any], check: bool = False, tmpdir: str = "") -> dict[str, t.Any]:
    """One module from its arguments to its result."""
    try:
        given = native({name: value for name, value in given.items() if value is not None})  # as the action plugins do
    except InputError as exc:
        return {"failed": True, "msg": str(exc)}
    _call.wait = given.pop("_wait", {})
    _call.given = (given, check, tmpdir)
    try:
        module.main()
    except _Ended as ended:
        return ended.result
    raise AssertionError("a module ended without a result")


def telling(hook: t.Callable[[dict[str, t.Any]], None]) -> dict[str, t.Any]:
    """Settings of an operator who has owners told, with the templates of the collection."""
    folder = Path(__file__).parents[2] / "roles" / "ceph_maint" / "files" / "notices"
    return {"hook": hook, "notice_templates": {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.txt")}}


class JobKilled(Exception):
    """Set as the outcome of a job that was killed."""


class Failed(Exception):
    """A task failed: Ansible goes on with what stands under always, and ends with this."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.items = list(result.get("refused_items", []))


@dataclass
class Outcome:
    """What the operator sees of one playbook. C(rc): 0 or 2. C(items): what could be accepted."""

    rc: int = 0
    lines: list[str] = field(default_factory=list)
    error: str = ""
    items: list[str] = field(default_factory=list)
    headline: str = ""
    refused: bool = False  # by the plan or a gate, before anything was done
    worst_seconds: float = 0.0  # of the stops or starts, as the plan printed it
    whole_seconds: float = 0.0  # of the whole run from the plan on, likewise
    results: dict[str, dict[str, t.Any]] = field(default_factory=dict)

    @property
    def safe(self) -> bool:
        return self.rc == 0 and self.headline.startswith(("SAFE", "ALL VMS STOPPED"))

    @property
    def text(self) -> str:
        return "\n".join([*self.lines, self.error])

    def accept_argument(self) -> list[str]:
        """The items of the last argument that was printed, as an operator would paste it."""
        words = [word for word in self.text.split() if word.startswith("ceph_maint_accept=")]
        return words[-1].rstrip(".").partition("=")[2].split(",") if words else []


# Why this operator accepts what may destroy data.
REASON = "told by its owner"


class Crew:
    """An operator with settings; each method is a playbook. Without a Ceph host: harness/ceph_in_process.py adds one."""

    check_mode = False

    SETTINGS: dict[str, t.Any] = {
        "record_copy": None,
        "record_dir_persistent": False,
        "query": None,
        "exclude": None,
        "only_owners": None,
        "exclude_owners": None,
        "only_vms": None,
        "exclude_vms": None,
        "hosts_query": None,
        "hosts_keep_closed": None,
        "groups": None,
        "concurrency": 20,
        "poll_interval": 5.0,
        "proof_interval": 30.0,
        "settle_timeout": 300.0,
        "stop_timeout": 600.0,
        "force_timeout": 300.0,
        "max_force_percentage": 20.0,
        "never_force": None,
        "start_timeout": 900.0,
        "start_retries": 2,
        "canary": 3,
        "canary_vms": None,
        "max_fail_percentage": 20.0,
        "verify_hold": 60.0,
        "api_wait": 1800.0,
        "lease": 30.0,
        "max_age": 24.0,
        "window": 0.0,
        "validate_certs": True,
        "ca_path": None,
        "location": None,
        "running_vms": None,
        "open_hosts": None,
        "fail_on_unrecovered": True,
        "notice_templates": None,
        "notice_dir": None,
        "hook": None,  # a function that is given each notice, in the place of the operator's task file
        "request_timeout": None,
        "ceph_host": "",
        "ceph_timeout": 30.0,
        "ceph_wait": 1800.0,
        "ceph_wave": 200,
        "watchers_linger": 35.0,
        "osd_flags": ["noout"],
        "plan_file": None,
        "status_file": None,
    }
    # For a platform whose own times are scaled down, as tests/fast.yml is.
    FAST: dict[str, t.Any] = {
        "poll_interval": 0.05,
        "proof_interval": 0.02,
        "settle_timeout": 2.0,
        "stop_timeout": 2.0,
        "force_timeout": 2.0,
        "start_timeout": 2.0,
        "verify_hold": 0.05,
        "api_wait": 5.0,
        "lease": 5.0,
    }

    def __init__(self, folder: Path, api_host: str, api_key: str, actor: str = "ann", **settings: t.Any) -> None:
        unknown = set(settings) - set(self.SETTINGS)
        assert not unknown, unknown
        self.record_dir = folder / "records"
        self.actor = actor
        self.settings = {**self.SETTINGS, **settings}
        self.accept = ""  # of the playbook that runs
        self.connection = {"api_host": api_host, "api_key": api_key}
        self.tmpdir = tempfile.mkdtemp(dir=folder)
        self.jobs: t.Callable[[], Executor] = lambda: _clock.pace.workers(1)

    # The playbooks.

    def plan(self) -> Outcome:
        out = Outcome()
        self._guarded(out, lambda: self._plan(out, "prepare", ()))
        return out

    def prepare(self, force: bool = False, accept: t.Iterable[str] = (), check: bool = False, reason: str = "") -> Outcome:
        out = Outcome()

        def work() -> None:
            self._plan(out, "prepare", accept, force=force)
            if not check:
                self._opened(out, "prepare", accept, lambda run: self._prepare(out, run, force), reason=reason)

        self._guarded(out, work)
        return out

    def verify(self, accept: t.Iterable[str] = ()) -> Outcome:
        out = Outcome()

        def work(run: dict[str, t.Any]) -> None:
            self._prove(out, run, osd_flags=[])
            self._conclude(out)

        def whole() -> None:
            run = self._open(out, "verify", accept)
            if run["run"]:
                self._work_on(out, "verify", run, work)
            else:
                work(run)

        self._guarded(out, whole)
        return out

    def force(self, accept: t.Iterable[str] = ()) -> Outcome:
        out = Outcome()

        def work(run: dict[str, t.Any]) -> None:
            self._power(out, run, "force")
            self._prove(out, run)
            self._conclude(out)

        def whole() -> None:
            status = self._status(out)
            if not status.get("outlived"):
                out.refused = True
                raise Failed({"msg": f"No VM of an open record outlived its stop timeout: run ceph_maint_prepare{status['elsewhere']}"})
            self._opened(out, "force", accept, work)

        self._guarded(out, whole)
        return out

    def restore(self, ceph_is_back: bool = True, accept: t.Iterable[str] = (), check: bool = False) -> Outcome:
        out = Outcome()

        def work(run: dict[str, t.Any]) -> None:
            self._wait_for_ceph(out)
            self._job(out, "open_hosts", pilw_host_flags, restored=True, **self._kept_closed(), **run)
            self._start_in_waves(out, run)
            hold = {"hold": self.settings["verify_hold"], **self._chosen("stop_timeout", "groups")}
            if self._task(out, "verify", pilw_vm_status, state="running", **hold, **run)["fallen"]:
                self._start(out, run, self._check_ceph(out, way="image"), which="fallen", canary=0, at_most=0)
                self._task(out, "verify_again", pilw_vm_status, state="running", **run)

        def conclude(run: dict[str, t.Any]) -> None:
            end = out.results["end"]
            if end["left"] == 0 and end["hosts_left"] == 0:
                self._task(out, "close", pilw_maintenance, state="closed", **run)
            elif self.settings["fail_on_unrecovered"]:
                raise Failed({"msg": end["left_text"]})

        def whole() -> None:
            self._plan(out, "restore", accept, ceph_is_back=ceph_is_back)
            if not check and not out.results["plan"]["complete"]:
                self._opened(out, "restore", accept, work, conclude, ceph_is_back=ceph_is_back)

        self._guarded(out, whole)
        return out

    def close(self, accept: t.Iterable[str] = ()) -> Outcome:
        out = Outcome()

        def whole() -> None:
            self._closable(out, accept)
            run = self._open(out, "close", accept, max_age=1000000.0)
            result = self._task(out, "close", pilw_maintenance, state="closed", give_up=True, **run)
            out.lines += result["lines"]

        self._guarded(out, whole)
        return out

    def _closable(self, out: Outcome, accept: t.Iterable[str]) -> None:
        self.accept = ",".join(accept)
        found = self._status(out)
        nothing = f"No maintenance is open, so there is nothing to close. Nothing was changed{found['elsewhere']}"
        if text := found["give_up"] if found["open"] else nothing:
            out.refused = True
            raise Failed({"msg": text})

    def status(self) -> Outcome:
        out = Outcome()
        self._guarded(out, lambda: self._status(out, file=self.settings["status_file"]))
        return out

    # Their parts.

    def _plan(self, out: Outcome, purpose: str, accept: t.Iterable[str], **more: t.Any) -> None:
        self.accept = ",".join(accept)
        settings = self._chosen(*PLANNED[purpose])
        settings["file"] = self.settings["plan_file"]
        if purpose == "restore":
            settings.update(retries=self.settings["start_retries"], hold=self.settings["verify_hold"])
        else:
            settings.update(notices=False, reason="", tell=False, ceph=self._check_ceph(out, linger=0.0))
        result = self._info(out, "plan", gather="plan", purpose=purpose, accept=self.accept, accept_reason=REASON, **settings, **more)
        out.worst_seconds, out.whole_seconds = result["worst_seconds"], result["whole_seconds"]
        if result["refusals"]:
            out.refused = True
            raise Failed({"msg": "Refused. The reasons are numbered in the plan above", "refused_items": result["refused_items"]})

    def _open(self, out: Outcome, purpose: str, accept: t.Iterable[str], **more: t.Any) -> dict[str, t.Any]:
        self.accept = ",".join(accept)
        given = {
            "record_dir": str(self.record_dir),
            "actor": self.actor,
            "accept": self.accept,
            "accept_reason": REASON,
            **self._chosen("record_copy", "record_dir_persistent", "max_age", "lease", "window", "notice_dir"),
            **(self._scope(out) if purpose in ("prepare", "verify", "force") else {}),
            **({"ceph_is_back": False, **self._chosen("ceph_host", "running_vms", "open_hosts")} if purpose in ("restore", "close") else {}),
            **{"reason": "", **more},
        }
        try:
            result = self._task(out, "open", pilw_maintenance, state="opened", purpose=purpose, **given)
        except Failed:
            out.refused = True
            raise
        return {"record": result["record"], "run": result["run"]}

    def _scope(self, out: Outcome) -> dict[str, t.Any]:
        """The plan has made the plain lists into the expression."""
        return {**self._chosen("query", "exclude"), **({"exclude": out.results["plan"]["exclude"]} if "plan" in out.results else {})}

    def _opened(
        self,
        out: Outcome,
        purpose: str,
        accept: t.Iterable[str],
        work: t.Callable[[dict[str, t.Any]], None],
        afterwards: t.Callable[[dict[str, t.Any]], None] = lambda run: None,
        **more: t.Any,
    ) -> None:
        """Open the record and work on it."""
        self._work_on(out, purpose, self._open(out, purpose, accept, **more), work, afterwards)

    def _work_on(
        self,
        out: Outcome,
        purpose: str,
        run: dict[str, t.Any],
        work: t.Callable[[dict[str, t.Any]], None],
        afterwards: t.Callable[[dict[str, t.Any]], None] = lambda run: None,
    ) -> None:
        """Work on the opened record, and say in the end what came of it, well or not."""
        failure = None
        try:
            work(run)
        except Failed as exc:
            failure = exc
        end_of_work = {"complete": failure is None, **self._notices()}
        end = self._task(out, "end", pilw_maintenance, state="ended", **self._changed_flags(out, purpose), **end_of_work, **run)
        if purpose == "restore" or not out.results.get("proof", {}).get("safe"):
            out.lines += end["lines"]
        if purpose == "restore" and end["left_vms"]:
            self._show_leftovers(out, end["left_vms"])
        self._tell(out, end, run)
        if failure:
            raise failure
        afterwards(run)

    def _prepare(self, out: Outcome, run: dict[str, t.Any], force: bool) -> None:
        names = {"query": self.settings["hosts_query"], **self._kept_closed()}
        self._job(out, "close_hosts", pilw_host_flags, is_accepting_workloads=False, **names, **run)
        wanted = self._chosen("settle_timeout", "poll_interval")
        self._task(out, "record", pilw_vm_list, **self._scope(out), **wanted, **run)
        if self.settings["hook"]:
            self._tell(out, self._task(out, "announced", pilw_maintenance, state="announced", **self._notices(), **run), run)
        if force and out.results["open"]["timed_out"]:
            self._power(out, run, "force")
        for _round in range(ROUNDS):
            self._power(out, run, "stop")
            if force and out.results["stop"]["timed_out"]:
                self._power(out, run, "force")
            if not self._prove(out, run)["to_stop"]:
                break
        self._conclude(out)

    def _notices(self) -> dict[str, t.Any]:
        return {"tell": self.settings["hook"] is not None, **self._chosen("notice_templates", "notice_dir")}

    def _tell(self, out: Outcome, found: dict[str, t.Any], run: dict[str, t.Any]) -> None:
        """What the hook raises is that it did not end well."""
        if not found["notices"]:
            return
        step = {"step": "telling owners through ceph_maint_notify_tasks", "step_seconds": HOOK_SECONDS}
        self._task(out, "busy", pilw_maintenance, state="busy", **step, **run)
        for notice in found["notices"]:
            try:
                self.settings["hook"](notice)
            except RuntimeError:
                continue
            if "owner" in notice:
                self._task(out, "told", pilw_maintenance, state="told", notice=notice, **step, **run)
        self._task(out, "busy", pilw_maintenance, state="busy", **run)

    def _kept_closed(self) -> dict[str, t.Any]:
        return {"keep_closed": self.settings["hosts_keep_closed"], **self._chosen("lease")}

    def _prove(self, out: Outcome, run: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        wanted = self._chosen("proof_interval", "settle_timeout", "lease", "ceph_host", "osd_flags", "record_copy", "query", "exclude")
        wanted.update(record_dir=str(self.record_dir), accept=self.accept, accept_reason=REASON)
        proof = self._task(out, "proof", pilw_maintenance, state="proven", **{**wanted, **more}, ceph=self._check_ceph(out), **run)
        out.headline = proof["headline"]
        return proof

    def _conclude(self, out: Outcome) -> None:
        proof = out.results["proof"]
        out.lines += proof["lines"]
        if not proof["safe"]:
            raise Failed({"msg": f"{proof['headline']}. The summary above says why", "refused_items": proof["refused_items"]})
        if proof["osd_flags"]:
            self._set_flags(out, proof)

    def _power(self, out: Outcome, run: dict[str, t.Any], what: str, **more: t.Any) -> None:
        given = self._chosen("groups", "concurrency", "poll_interval", "lease", "request_timeout")
        given.update(state="started" if what == "start" else "stopped", timeout=self.settings[f"{what}_timeout"], **more)
        given.update({"never_force": self.settings["never_force"]} if what != "start" else {})
        given.update({"force": True, **self._chosen("max_force_percentage")} if what == "force" else {})
        self._job(out, what, pilw_vm_power, **given, **run)

    def _start(self, out: Outcome, run: dict[str, t.Any], ceph: dict[str, t.Any], **more: t.Any) -> None:
        more.update(self._chosen("canary_vms", "max_fail_percentage", "ceph_host"), retries=self.settings["start_retries"], ceph=ceph)
        self._power(out, run, "start", **more)

    def _start_in_waves(self, out: Outcome, run: dict[str, t.Any]) -> None:
        at_most = self.settings["ceph_wave"] if self.settings["ceph_host"] else 0
        ceph = self._check_ceph(out, way="image")
        self._start(out, run, ceph, which="pending", canary=self.settings["canary"], at_most=at_most)
        for _wave in range(out.results["start"]["further_calls"]):
            ceph = self._check_ceph_between_waves(out, ceph)
            self._start(out, run, ceph, which="untried", canary=0, at_most=at_most)

    # What a Ceph host is asked and told: nothing here.

    def _check_ceph(self, out: Outcome, **options: t.Any) -> dict[str, t.Any]:
        """Health and open images, as each module that judges them takes them."""
        return {"problem": ""}

    def _check_ceph_between_waves(self, out: Outcome, before: dict[str, t.Any]) -> dict[str, t.Any]:
        return before

    def _wait_for_ceph(self, out: Outcome) -> None:
        pass

    def _set_flags(self, out: Outcome, proof: dict[str, t.Any]) -> None:
        pass

    def _changed_flags(self, out: Outcome, purpose: str) -> dict[str, t.Any]:
        return {"osd_flags_unset" if purpose == "restore" else "osd_flags_found": []}

    def _show_leftovers(self, out: Outcome, vms: list[str]) -> None:
        pass

    # Tasks.

    def _chosen(self, *names: str) -> dict[str, t.Any]:
        return {name: self.settings[name] for name in names}

    def _run(self, module: ModuleType, **given: t.Any) -> dict[str, t.Any]:
        where = {name: self.settings[name] for name in ("location", "validate_certs", "ca_path")}
        return run_module(module, {**self.connection, **where, **given}, check=self.check_mode, tmpdir=self.tmpdir)

    def _task(self, out: Outcome, name: str, module: ModuleType, **given: t.Any) -> dict[str, t.Any]:
        return self._taken(out, name, self._run(module, **given))

    def _taken(self, out: Outcome, name: str, result: dict[str, t.Any]) -> dict[str, t.Any]:
        out.results[name] = result
        out.lines += [f"[WARNING]: {text}" for text in result["warnings"]]
        if result.get("failed"):
            raise Failed(result)
        return result

    def _status(self, out: Outcome, **more: t.Any) -> dict[str, t.Any]:
        return self._info(out, "status", gather="status", accept=self.accept, **self._chosen("record_copy", "record_dir_persistent"), **more)

    def _info(self, out: Outcome, name: str, **given: t.Any) -> dict[str, t.Any]:
        result = self._task(out, name, pilw_maintenance_info, record_dir=str(self.record_dir), **given)
        out.lines += result["lines"]
        return result

    def _job(self, out: Outcome, name: str, module: ModuleType, **given: t.Any) -> None:
        """As the action plugin does it: apart, and asked for as long as somebody wants it."""
        job = self.jobs().submit(self._run, module, **given)
        lease = {name: given[name] for name in ("record", "run", "lease")}
        while not job.done():
            _clock.pace.wait([job], min(3.0, float(given["lease"]) / 4))
            if not job.done():
                self._run(pilw_maintenance_info, gather="progress", **lease)
        if isinstance(job.exception(), JobKilled):
            raise Failed({"msg": "The work on the maintenance host was killed. What it did is recorded."})
        self._taken(out, name, job.result())

    @staticmethod
    def _guarded(out: Outcome, work: t.Callable[[], t.Any]) -> None:
        try:
            work()
        except Failed as failure:
            out.rc, out.error, out.items = 2, str(failure), failure.items
