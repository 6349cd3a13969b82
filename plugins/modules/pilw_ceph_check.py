#!/usr/bin/python

# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pilw_ceph_check
short_description: Ask Ceph who has RBD images open, and whether it really serves
version_added: 0.1.0
description:
  - Runs on a host with the C(ceph) command, and asks with the operator's own key. Every call is bounded in time.
  - What could not be asked is returned as O(ignore:look.problem) by the checks V(health), V(watchers) and V(leftovers), and never
    counted as good. The checks V(serving) and V(ramp) fail when something is missing in the end.
  - A client that opened an image for reading only, CephFS and RGW clients cannot be seen.
options:
  checks:
    description:
      - V(health) reads the state of the cluster and its flags.
      - V(watchers) finds every client that has an RBD image open.
      - V(serving) waits until the monitors have quorum, the manager's report moves on, every OSD that is in is up and answers, all
        placement groups are active, no flag holds writes back, and a write comes back where O(probe_pool) is given.
      - V(ramp) is V(serving) without speaking to each OSD, and also holds while requests are slow.
      - V(leftovers) finds blocklisted clients, and locks on the images of O(vms).
    type: list
    elements: str
    choices: [health, watchers, serving, ramp, leftovers]
    default: [health, watchers]
  pools:
    description:
      - Pools whose images are checked, with all their namespaces and their trash. When empty, all but those whose applications are
        C(cephfs), C(rgw), C(nfs), C(mgr) or C(mgr_devicehealth) alone.
    type: list
    elements: str
  image_regex:
    description:
      - Regular expression over image names whose first group is the uuid of the VM, such as V(^vm-([0-9a-f-]{36})).
    type: str
  way:
    description:
      - V(osd) asks every OSD for all its watchers, which needs a key that may use C(ceph tell osd.N). V(image) asks each image, for
        which a key that only reads is enough. V(auto) tries the first and falls back to the second.
    type: str
    choices: [auto, osd, image]
    default: auto
  linger:
    description:
      - Seconds to look again while clients have images open. The watcher of a client that died stays for 30 seconds.
    type: float
    default: 35.0
  probe_pool:
    description:
      - Pool in which V(serving) writes, reads and removes a small object. None is written when not given, and in check mode.
    type: str
  vms:
    description:
      - With V(leftovers), the uuids of VMs whose images are looked at for locks. Needs O(image_regex).
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait with V(serving) and V(ramp). What is missing is shown every 15 seconds.
    type: float
    default: 1800.0
  fsid:
    description:
      - The cluster that is meant. With V(serving) and V(ramp) another one is refused at once. Any when it is empty.
    type: str
  accept:
    description:
      - What the operator accepts, by the items that refusals printed.
    type: list
    elements: str
attributes:
  check_mode:
    description: Can run in check mode; then not even the small object of V(serving) is written.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
  idempotent:
    description: A second run with the same options finds nothing to change.
    support: full
extends_documentation_fragment:
  - pilw.maintenance.ceph
author:
  - pilw.maintenance contributors (@pilw-maintenance)
"""

EXAMPLES = r"""
- name: See that no client has an image open
  pilw.maintenance.pilw_ceph_check:
    checks: [watchers]
    image_regex: ^vm-([0-9a-f-]{36})
  register: storage
  failed_when: storage.look.problem or storage.look.watchers.missing or storage.look.watchers.unread or storage.look.watchers.count > 0

- name: Wait until Ceph serves
  pilw.maintenance.pilw_ceph_check:
    checks: [serving]
    command: [cephadm, shell, --, ceph]
    probe_pool: vms
    timeout: 900
"""

RETURN = r"""
look:
  description: What was found. Given to M(pilw.maintenance.pilw_maintenance), which judges it.
  returned: always
  type: dict
  contains:
    problem:
      description: Why the look proves nothing. Empty when all could be asked.
      type: str
    mistake:
      description: What is wrong with O(pools) or O(image_regex). Whoever is given the look refuses it.
      type: str
    at:
      description: When the look began, by the clock of the host.
      type: str
    health:
      description: State, checks, OSDs and recovery as C(ceph status) tells them.
      type: dict
    flags:
      description: Flags of the cluster that are set.
      type: list
      elements: str
    fsid:
      description: Which cluster it is.
      type: str
    watchers:
      description:
        - Way, pools, number of images asked, count and list of what is open (image, client, address, vm; at most 20000), the uuids of all VMs
          that have an image open (vms), and what could not be asked (missing).
        - Pools and namespaces that the key may not read, each with the reason (unread), and sentences on what is not covered (unchecked).
      type: dict
lines:
  description: What is to be said of V(serving), V(ramp) and V(leftovers).
  returned: always
  type: list
  elements: str
missing:
  description: What is missing, when V(serving) or V(ramp) fails.
  returned: failure
  type: str
refused_items:
  description: What the operator can accept, when V(serving) or V(ramp) fails.
  returned: failure
  type: list
  elements: str
"""

import time
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accept, _defaults, _waiting
from ..module_utils._ceph import assessment, leftovers, readiness
from ..module_utils._ceph import watchers as _watchers
from ..module_utils._ceph.command import Ceph
from ..module_utils._errors import CephError, InputError
from ..module_utils._module import options, runner

CHECKS = ("health", "watchers", "serving", "ramp", "leftovers")
# More open images than this are counted, not named.
MAX_OPEN = 20000


def look_at(params: dict[str, t.Any], ceph: Ceph, accepted: t.Container[str]) -> dict[str, t.Any]:
    """Health and watchers; what cannot be asked is a problem, no failure: others are to judge it."""
    look: dict[str, t.Any] = {"problem": "", "mistake": "", "at": time.strftime("%T UTC", time.gmtime())}
    try:
        if "health" in params["checks"]:
            look["health"] = asdict(readiness.read_state(ceph))
            look["flags"], look["fsid"] = readiness.read_flags(ceph)
        if "watchers" in params["checks"]:
            look["watchers"] = watchers(params, ceph, accepted)
    except CephError as exc:
        look["problem"] = str(exc)
    except InputError as exc:
        look["mistake"] = str(exc)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        look["problem"] = f"Ceph answered in a form that this version does not know ({type(exc).__name__}: {exc})"
    return look


def watchers(params: dict[str, t.Any], ceph: Ceph, accepted: t.Container[str]) -> dict[str, t.Any]:
    pattern = _watchers.image_pattern(params["image_regex"])

    def expected(one: _watchers.Watcher) -> bool:
        return _accept.WATCHER(one.image) in accepted or _accept.VM(_watchers.vm_of(one.image, pattern)) in accepted

    found = _watchers.look_until_free(ceph, params["pools"] or [], params["way"], params["linger"], expected)
    opens = [{**asdict(one), "vm": _watchers.vm_of(one.image, pattern)} for one in found.watchers]
    return {
        "way": found.way,
        "pools": found.places,
        "images": found.images,
        "count": len(opens),
        "open": opens[:MAX_OPEN],
        "vms": sorted({one["vm"] for one in opens if one["vm"]}),
        "mapped": pattern is not None,
        "missing": found.missing[:20],
        "unread": found.unread,
        "unchecked": found.unchecked,
        "note": found.note,
    }


def wait(params: dict[str, t.Any], ceph: Ceph, accepted: list[str], check_mode: bool) -> list[str]:
    """Wait until Ceph serves, as much of it as was asked for."""
    pools = params["pools"] or []
    gate = readiness.Gate(ceph, "" if check_mode else params["probe_pool"] or "", accepted, pools, params["fsid"] or "")
    whole = "serving" in params["checks"]
    patience = _waiting.of(params)
    lacks = gate.wait(min(params["timeout"] - patience.passed, patience.left), gate.whole if whole else gate.ramp)
    if lacks and patience.passed < params["timeout"]:
        patience.check(params["timeout"], readiness.told(lacks))
    if lacks:
        items = list(dict.fromkeys(lack.item for lack in lacks))
        raise readiness.NotServing(
            f"Ceph does not serve as it should after {params['timeout']:.0f} s: {readiness.told(lacks)}. Nothing more was "
            f"started. Mend it and run the same command again, or accept each by name: {_accept.accept_argument(accepted, items)}",
            items,
            readiness.told(lacks),
        )
    settable = [flag for flag in gate.flags if flag in assessment.SETTABLE]
    flags = [f"  flags that are set: {', '.join(settable)}"] if settable else []
    notes = [f"  not proved: {note}" for note in gate.notes.values()]
    return [readiness.headline(gate.passed_over, whole), *(f"  accepted: {lack.text}" for lack in gate.passed_over), *flags, *notes]


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    ceph = Ceph(params["command"] or [], params["call_timeout"])
    accepted = params["accept"] or []
    lines: list[str] = []
    if {"serving", "ramp"} & set(params["checks"]):
        lines += wait(params, ceph, accepted, check_mode)
    look = look_at(params, ceph, accepted)
    if "leftovers" in params["checks"]:
        lines += leftovers.lines(ceph, params["pools"] or [], params["image_regex"], params["vms"])
    return {"changed": False, "look": look, "lines": lines}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **options.ceph_options(),
            "checks": {**_defaults.choice(*CHECKS), "type": "list", "elements": "str", "default": ["health", "watchers"]},
            "way": _defaults.choice("auto", "osd", "image", default="auto"),
            "vms": {"type": "list", "elements": "str", "default": []},
            **_defaults.of("pools", "image_regex", "linger", "probe_pool", "fsid", "accept", timeout=1800.0),
        },
        supports_check_mode=True,
    )
    runner.finish(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
