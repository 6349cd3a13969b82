# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The locations of a platform for a plan: what each lists, whether one has a record under another name, and the wait for an answer."""

from __future__ import annotations

import contextlib
import typing as t

from .. import _clock, _waiting
from .._api.endpoints import Api, HostList
from .._api.model import VmList
from .._errors import ApiError, AuthError, Refused
from .._plan.plan import LocationFacts, Plan
from .._record.other_names import OtherRecord, open_elsewhere


def check_other_name(plan: Plan, params: dict[str, t.Any], default: str | None) -> None:
    """The default location can be named or left out. Two records of it, each under one name, would not know of each other.

    C(default): its slug, empty where the platform marks none, None where the locations could not be read.
    """
    given = params["location"] or ""
    for other in open_elsewhere(params):
        if _same_location(given, other, default):
            plan.refuse(f"This location has an open record under its other name. {other.text()}", ())
        else:
            plan.lines.append(other.text())


def _same_location(given: str, other: OtherRecord, default: str | None) -> bool:
    if default is None:
        return not (given and other.location)  # one of the two is the default, which may be the other
    return bool(default) and {given, other.location} == {"", default}


def look_at_locations(api: Api, plan: Plan, params: dict[str, t.Any]) -> list[LocationFacts]:
    """What the admin lists of each location give, when there is more than one."""
    try:
        locations = api.locations()
    except ApiError as exc:
        if not exc.sent:  # nor would anything else be read
            raise
        plan.warnings.append(f"The locations could not be read, so others may exist: {exc}")
        check_other_name(plan, params, None)
        return []
    slugs = [location.slug for location in locations]
    check_other_name(plan, params, next((one.slug for one in locations if one.is_default), slugs[0] if len(slugs) == 1 else ""))
    if len(slugs) < 2:
        return [LocationFacts(slug) for slug in slugs]
    found = []
    for slug in slugs:
        there = api.at(slug)
        try:
            vms, hosts = frozenset(there.vms(rows_kept=False).vms), len(there.hosts().hosts)
            facts = LocationFacts(slug, vms, hosts)
            plan.lines.append(f"Location {slug}: {len(vms)} VMs, {hosts} hosts" + ("" if vms or hosts else " (empty lists)"))
        except ApiError as exc:
            facts = LocationFacts(slug, problem=str(exc))
            plan.lines.append(f"Location {slug}: its admin lists are refused: {exc}")
        found.append(facts)
    return found


def listed_hosts(api: Api) -> HostList | None:
    """None where they cannot be listed: a restore starts the VMs all the same."""
    try:
        return api.hosts()
    except ApiError:
        return None


def unread_text(error: ApiError) -> str:
    """Say why there is no plan, and what to do."""
    if isinstance(error, AuthError):
        return f"The platform rejected the API key: {error}. Nothing was changed. Correct the key."
    if not error.sent:
        return (
            f"The platform cannot be reached: {error.detail}. Nothing was changed. Check ceph_maint_api_host and the network, then "
            "rerun the same command."
        )
    return f"The platform cannot be read: {error}. Nothing was changed. Once it answers, run the same command again."


def check_location(api: Api, error: ApiError) -> None:
    """Refuse a location that the platform does not list: no wait brings it. Where the locations cannot be read nothing is decided."""
    if error.status != 404 or not api.location:
        return
    with contextlib.suppress(ApiError):
        slugs = [location.slug for location in api.locations()]
        if slugs and api.location not in slugs:
            raise Refused(
                f"The platform does not have a location {api.location}; it has {', '.join(slugs)}. Nothing was changed. "
                f"Give the one of the prepare: -e ceph_maint_location={slugs[0] if len(slugs) == 1 else 'SLUG'}"
            )


def wait_for_api(params: dict[str, t.Any], api: Api) -> VmList | None:
    """The running VMs, as soon as the API answers; None when it does not and no wait was asked for."""
    patience = _waiting.of(params)
    while True:
        try:
            return api.running_vms(rows_kept=False)
        except AuthError:
            raise
        except ApiError as exc:
            check_location(api, exc)
            if patience.passed < params["api_wait"]:
                patience.check(params["api_wait"], f"{params['api_host']} gives no list of VMs: {exc}")
                _clock.sleep(params["poll_interval"])
            elif params["api_wait"] > 0:
                raise Refused(
                    f"The API has not answered for {params['api_wait']:g} s: {exc}. Nothing was changed. When it is back, run "
                    "the same command again, or wait longer with ceph_maint_api_wait."
                ) from exc
            else:
                return None
