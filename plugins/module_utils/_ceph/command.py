# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The operator's own ceph command: each call bounded in time, its answer read as JSON. The only file that starts a process.

A cluster without quorum, without OSDs or with C(pause) set answers never, and C(--connect-timeout) bounds the connection only
(seen on 16.2), so a call that outlives its time is killed with all that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import typing as t

from .. import _clock
from .._api.model import printable
from .._errors import CephError, InputError

Run = t.Callable[[t.List[str], bytes, float], t.Tuple[int, bytes, str]]
# Seconds that a killed call may take to be gone.
_DYING = 5.0
# Calls at once: one waits for its daemon most of the time, and a monitor is not to be flooded.
_AT_ONCE = 8
_BATCH = 64
# C++ writes a number that is none as inf or nan, which JSON does not have: read_balance of Reef, osd df of Jewel.
_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:inf|nan)\b')
_PARSED_AS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN", "-nan": "NaN"}


def run_bounded(argv: list[str], given: bytes, seconds: float) -> tuple[int, bytes, str]:
    """Exit status, standard output and standard error of a program that ends within C(seconds)."""
    try:
        # AnsibleModule.run_command has no time limit.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as exc:
        raise InputError(
            f"{' '.join(argv)} cannot be run: {exc.strerror}. Correct ceph_maint_ceph_command, or do without asking Ceph: "
            "-e ceph_maint_ceph_host="
        ) from exc
    try:
        out, err = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired as exc:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_DYING)
        raise CephError(argv, f"gave no answer within {seconds:g} s", timed_out=True) from exc
    return process.returncode, out, err.decode("utf-8", "replace")


class Ceph:
    """C(command) runs C(ceph), in a container too: C([cephadm, shell, --, ceph]). Its C(rbd) and C(rados) are called alike."""

    def __init__(self, command: list[str], seconds: float, run: Run = run_bounded) -> None:
        self.command = command
        self.seconds = seconds
        self._run = run
        self._at = _place_of_tool(command)

    def argv(self, tool: str, *words: str) -> list[str]:
        """The whole command line of C(tool), which lies where C(ceph) does."""
        there = os.path.join(os.path.dirname(self.command[self._at]), tool)
        return [*self.command[: self._at], there, *self.command[self._at + 1 :], *words]

    def json(self, tool: str, *words: str) -> t.Any:
        """What the tool answers, with C(--format json)."""
        argv = self.argv(tool, *words, "--format", "json")
        text = self._output(argv, b"").decode("utf-8", "replace").lstrip()
        try:
            found = documents(text)
        except (ValueError, RecursionError) as exc:
            raise CephError(argv, f"gave an answer that is not JSON: {printable(text, 200)}", unreadable=True) from exc
        if len(found) == 1:
            return found[0]
        if all(isinstance(one, list) for one in found):
            return [row for rows in found for row in rows]
        raise CephError(argv, f"gave several answers at once: {printable(text, 200)}", unreadable=True)

    def rows(self, tool: str, *words: str) -> list[t.Any]:
        """The same for what some releases give as a list, and others as an object."""
        found = self.json(tool, *words)
        return list(found.values()) if isinstance(found, dict) else found

    def group_states(self) -> list[str]:
        """The states of placement groups that the manager knows of."""
        answer = self.json("ceph", "pg", "stat")
        return [row["name"] for row in answer.get("pg_summary", answer)["num_pg_by_state"]]

    def raw(self, tool: str, *words: str, given: bytes = b"") -> bytes:
        """What the tool writes, as it is."""
        return self._output(self.argv(tool, *words), given)

    def at_once(self, work: t.Callable[[t.Any], t.Any], items: list[t.Any]) -> list[tuple[t.Any, t.Any]]:
        """Each item with what C(work) gave for it, a few at a time, in their order; an error of Ceph is such a result.

        Once some gave no answer, or the key may ask none, the next ones are not asked any more: each would take its time in vain.
        """

        def tried(item: t.Any) -> t.Any:
            try:
                return work(item)
            except CephError as exc:
                return exc

        found: list[tuple[t.Any, t.Any]] = []
        workers = _clock.pace.workers(_AT_ONCE)
        try:
            for start in range(0, len(items), _BATCH):
                some = items[start : start + _BATCH]
                found += zip(some, workers.map(tried, some))
                failures = [result for _item, result in found[start:] if isinstance(result, CephError)]
                if any(failure.timed_out for failure in failures) or (len(failures) == len(some) and all(failure.forbidden for failure in failures)):
                    break
        finally:
            workers.shutdown()
        return found

    def _output(self, argv: list[str], given: bytes) -> bytes:
        status, out, err = self._run(argv, given, self.seconds)
        if status:
            lines = [line for line in err.splitlines() if line.strip()]
            # The status of rados is 1 for every error; of an object it says "POOL/OBJECT: (2) No such file or directory".
            number = re.search(rf"/{re.escape(argv[-1])}: \((\d+)\) ", err) if status == 1 else None
            raise CephError(
                argv,
                f"ended with status {status}: {printable(lines[-1] if lines else 'it said nothing', 200)}",
                status=int(number[1]) if number else status,
            )
        return out


def documents(text: str) -> list[t.Any]:
    """Parse an answer of Ceph: every JSON document in it, of which C(osd blocklist ls) writes two.

    Words may stand behind the last one. Raises ValueError where a document is not whole, and where there is none.
    """
    plain = _NO_NUMBER.sub(lambda token: _PARSED_AS.get(token[0], token[0]), text)
    decoder, rest = json.JSONDecoder(), 0
    found: list[t.Any] = []
    while not found or plain[rest : rest + 1] in ("[", "{"):
        document, rest = decoder.raw_decode(plain, rest)
        found.append(document)
        rest += len(plain[rest:]) - len(plain[rest:].lstrip())
    return found


def is_active(state: str) -> bool:
    """Whether a placement group in this state, such as C(active+undersized), takes reads and writes of all its objects now.

    C(laggy) and C(wait) hold them back for a while, and those of an object that is not found wait for ever (Ceph's documentation).
    """
    words = set(state.split("+"))
    return "active" in words and not {"stale", "unknown", "laggy", "wait", "recovery_unfound", "backfill_unfound"} & words


def _place_of_tool(command: list[str]) -> int:
    """Where in the command C(ceph) stands: the last word that is it, and no value of an option such as C(--keyring /etc/ceph).

    Where each one follows an option, as in C(sudo -n ceph), it is the first.
    """
    places = [number for number, word in enumerate(command) if os.path.basename(word) == "ceph" and not word.startswith("-")]
    if not places:
        raise InputError(
            "command must be a list of words, one of them ceph, such as [ceph] or [cephadm, shell, --, ceph]. Nothing was asked."
        )
    values = [number for number in places if number and command[number - 1].startswith("-") and command[number - 1] != "--"]
    free = [number for number in places if number not in values]
    return free[-1] if free else places[0]
