# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""From module options to an Api, to the record, and to one way of ending.

What makes connections is imported where it is used: a look at the record, which comes every few seconds, does without.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .. import _waiting
from .._api.endpoints import LIST_TIMEOUT, POWER_TIMEOUT, Api
from .._api.selection import JMESPATH_IMPORT_ERROR
from .._errors import PilwError, disk_errors
from .._record.exports import copy_of
from .._record.lock import Caller, Lease, Lock
from .._record.record import Record
from .._record.rows import now_text
from . import options


def check_libraries(module: AnsibleModule) -> None:
    """Fail with Ansible's usual words when a library is missing on the host that the module runs on."""
    from .._api.transport import REQUESTS_IMPORT_ERROR

    if REQUESTS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=REQUESTS_IMPORT_ERROR)
    if JMESPATH_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("jmespath"), exception=JMESPATH_IMPORT_ERROR)


def api_for(params: dict[str, t.Any], *, power: bool = False) -> Api:
    """The API as the shared options name it. C(power): request_timeout is that of power calls, not of lists."""
    from .._api.client import Client

    client = Client(
        params["api_host"],
        params["api_key"],
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"] or None,
        pool_size=(params.get("concurrency") or 1) + 1,
    )
    limit = params["request_timeout"]
    return Api(
        client,
        params["location"] or None,
        list_timeout=LIST_TIMEOUT if power else limit,
        power_timeout=limit if power else POWER_TIMEOUT,
    )


def lock_of(params: dict[str, t.Any]) -> Lock:
    """That of the record."""
    return Lock(os.path.dirname(params["record"]))


def caller_of(params: dict[str, t.Any], record: Record, lock: Lock) -> Caller:
    """Who waits for a leased job: before each step it must still hold the record and renew its lease."""
    lease = Lease(os.path.dirname(params["record"]), params["run"], params["lease"])

    def check() -> None:
        record.check_run(params["run"])
        lease.check()

    return Caller(check, lock.say)


@contextlib.contextmanager
def working_on(
    params: dict[str, t.Any], what: str, check_mode: bool = False, lock: Lock | None = None, copied: bool = True
) -> t.Iterator[Record]:
    """The record of C(params), held by this process alone, for as long as this run is the one that holds it.

    C(lock): of the record's folder, for work that says through it how far it is. C(copied): bring the second copy up to date at the end.
    """
    record = Record(params["record"], copy_of(params["record"]))
    try:
        record.check_run(params["run"])
        if check_mode:
            yield record
            return
        run = record.run() or {}
        about = {
            "run": params["run"],
            "actor": run.get("actor", ""),
            "what": what,
            "since": now_text(),
            "pid": os.getpid(),
        }
        with (lock or lock_of(params)).held(about):
            record.check_run(params["run"])
            if run.get("step"):
                record.announce_step(params["run"], "", 0.0)
            yield record
            if copied:
                record.copy()
    finally:
        record.close()


def finish(module: AnsibleModule, run: t.Callable[[], dict[str, t.Any]]) -> None:
    """End the module with what C(run) returns, or with the words of the error that it raised."""
    options.tidy(module.params)
    module.params.setdefault("_wait", _waiting.from_environment())
    try:
        options.check_limits(module.params)
        with disk_errors("A file could not be read or written", "Nothing more is sent, and what the record held is whole."):
            result = run()
    except PilwError as exc:
        module.fail_json(msg=str(exc), **exc.facts())
    for note in result.pop("notes", []):
        module.warn(note)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
