# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings as people give them: with a blank too many, or a number that nobody can mean."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.pilw.maintenance.plugins.plugin_utils.variable_check import options
from harness.in_process import Crew
from harness.operator import Operator
from simulator.server import Cloud


def test_a_blank_after_the_host_is_in_nothing_that_is_to_be_pasted(tmp_path: Path) -> None:
    with Cloud(vms=0, time_scale=0.01) as cloud:
        operator = Crew(tmp_path, cloud.url + "\t \n", cloud.key, **Crew.FAST)
        refused = operator.prepare()
        assert refused.rc == 2 and refused.items == [f"list:empty-{cloud.url}"]
        assert operator.prepare(accept=refused.accept_argument()).safe


def test_a_number_that_a_later_step_would_refuse_is_refused_before_the_first(tmp_path: Path) -> None:
    with Cloud(vms=3, time_scale=0.01) as cloud:
        operator = Crew(tmp_path, cloud.url, cloud.key, **Crew.FAST)
        operator.settings["settle_timeout"] = float("inf")
        refused = operator.prepare()
        assert refused.error == "settle_timeout must be at most 1000000, and is inf. Nothing was changed."
        assert not cloud.journal.entries
        operator.settings["settle_timeout"] = 2.0
        assert operator.prepare().safe
        operator.settings["stop_timeout"] = float("nan")
        refused = operator.restore()
        assert refused.error == "stop_timeout must be more than 0 seconds, and is nan. Nothing was changed."
        assert not any(host.accepting for host in cloud.hosts) and not cloud.in_state("running")


@pytest.mark.parametrize("playbook", ["ceph_maint_prepare", "ceph_maint_force", "ceph_maint_restore"])
def test_every_number_out_of_range_is_rejected_before_a_call(platform: t.Callable[..., Operator], playbook: str) -> None:
    op = platform(vms=3)
    wrong = {name: ("-1", "nan", "1e9")[number % 3] for number, name in enumerate(n for n, o in options().items() if o["type"] in ("int", "float"))}
    run = op.play(playbook, **{"ceph_maint_confirm": "true", **wrong})
    assert run.rc == 2, run.text
    for name in wrong:
        assert f"{name} must be " in run.text or f"{name} is " in run.text, name
    assert not op.cloud.journal.entries and not op.place.exists()
