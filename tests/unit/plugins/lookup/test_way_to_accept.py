# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook prints to be pasted holds what was accepted before, however that was given."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError

from ansible_collections.pilw.maintenance.plugins.lookup import way_to_accept

ITEM = "inventory:localhost"


def way(accepted):
    return way_to_accept.LookupModule().run([ITEM], {}, accepted=accepted)


@pytest.mark.parametrize("accepted", [[], "", "none", None, "[]"])
def test_nothing_was_accepted_before(accepted):
    assert way(accepted) == [f"-e ceph_maint_accept={ITEM}"]


@pytest.mark.parametrize("accepted", [["vm:abc", "old:x"], "vm:abc,old:x", '["vm:abc","old:x"]', "['vm:abc', 'old:x']"])
def test_what_was_accepted_before_stays_accepted(accepted):
    assert way(accepted) == [f"-e ceph_maint_accept=vm:abc,old:x,{ITEM}"]


@pytest.mark.parametrize("accepted", [[ITEM], ITEM, f"vm:abc, {ITEM}", f'["{ITEM}"]'])
def test_what_is_accepted_already_needs_no_way(accepted):
    assert way(accepted) == []


def test_what_cannot_be_read_is_said():
    with pytest.raises(AnsibleError, match="ceph_maint_accept looks like JSON and is not"):
        way('["vm:abc"')
