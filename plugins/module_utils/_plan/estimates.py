# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""How long a prepare or a restore takes, and may take at most, as its plan tells it. Pure. Times in seconds.

Not counted is the time for which the API gives no list outside of the engine's own allowance, and for which Ceph is asked:
nobody can know it.
"""

from __future__ import annotations

import math

from .._api.endpoints import LIST_TIMEOUT, POWER_TIMEOUT
from .._api.model import Vm, count_by
from .._api.selection import group_names
from .._power.batch import group_seconds
from .._power.host_flags import LIMIT

# So often a prepare stops what has come up since, and proves (roles/ceph_maint_prepare/tasks/main.yml).
ROUNDS = 3
# Seconds that a stop and a start took on one deployment; only used to estimate.
STOP_TIME, START_TIME = 22.0, 4.0
# Host flags: what is sent just before its limit is answered, and the list is read back.
FLAG_SECONDS = LIMIT + POWER_TIMEOUT + LIST_TIMEOUT


def settled_seconds(vms: list[Vm], groups: list[dict], concurrency: int, timeout: float, of_group: str = "") -> float:
    """When all are settled at the latest, group after group. C(of_group): the name of the time limit that a group may have of its own."""
    names = group_names(vms, groups) if groups else {}
    counts = count_by(names.get(vm.uuid, "") for vm in vms)
    own = {group["name"]: group for group in groups}
    delays = sum(group["delay"] for group in groups)

    def seconds(name: str, count: int) -> float:
        group = own.get(name, {})
        return group_seconds(count, group.get("concurrency", concurrency), group.get(of_group, timeout), POWER_TIMEOUT)

    return delays + sum(seconds(name, count) for name, count in counts.items())


def trial_seconds(count: int, concurrency: int, timeout: float) -> float:
    """The first few, alone."""
    return group_seconds(count, concurrency, timeout, POWER_TIMEOUT)


def prepare_seconds(stop: float, force: float, settle: float, interval: float) -> float:
    """A whole prepare: C(stop) and C(force) are those of one round. A proof is begun anew for at most C(settle)."""
    proof = settle + 3 * (LIST_TIMEOUT + interval)
    return FLAG_SECONDS + settle + 2 * LIST_TIMEOUT + force + ROUNDS * (stop + force + proof)


def restore_seconds(start: float, hold: float) -> float:
    """A whole restore, from the moment in which the API answers."""
    # Those that went down again are started once more.
    return FLAG_SECONDS + 2 * start + hold + 4 * LIST_TIMEOUT


def likely(count: int, each: float, concurrency: int) -> float:
    """Seconds for C(count) VMs if all goes well."""
    return math.ceil(count / concurrency) * each


def time_line(count: int, each: float, concurrency: int, worst: float, whole: float) -> str:
    return (
        f"about {minutes(likely(count, each, concurrency))} if all goes well ({each:.0f} s each, {concurrency} at once), "
        f"at most {minutes(worst)}; whatever is not settled then is named. The whole run, with all else and while the API gives its lists: "
        f"at most {minutes(whole)}"
    )


def window_note(window: float, needed: float) -> str:
    """What is wrong with a window of so many seconds, empty when nothing is."""
    if not window or needed <= window:
        return ""
    return (
        f"The window of {minutes(window)} will not be met: about {minutes(needed)} are needed if all goes well. Give it more time, or raise "
        "ceph_maint_concurrency if the platform bears it."
    )


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"
