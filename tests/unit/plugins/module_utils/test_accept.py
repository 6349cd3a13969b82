# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of overrides, what is in effect, and the argument that gives it."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from pathlib import Path

import pytest
import yaml

from ansible_collections.pilw.maintenance.plugins.module_utils import _accept
from ansible_collections.pilw.maintenance.plugins.module_utils._accept import (
    DESTRUCTIVE,
    KINDS,
    Accepted,
    accept_argument,
    current,
    danger_lines,
    destructive,
    effective,
    given,
    is_of_plan,
    notes,
    plan_lines,
)
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._module import options

ROOT = Path(__file__).resolve().parents[4]
# What Linux takes as one argument (MAX_ARG_STRLEN), with the name before it.
MOST_BYTES = 128 * 1024 - 1
ODD = ["list:empty-127.0.0.1:8080", "list:empty-https://api.example.com@tll01", "old:20260101T000000Z-abc", "disk:ceph_maint_record_dir-0a"]


@pytest.mark.parametrize("items", [None, [], ["old:a", "lost:b"]])
def test_what_is_given_is_given_back(items):
    assert given(items, "") == items


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ("frog:a", "The kinds are old, takeover"),
        ("wacher:rbd/a", "Did you mean watcher:POOL/IMAGE?"),
        ("vms:a", "Did you mean vm:UUID?"),
        ("vm", "Did you mean vm:UUID?"),
        ("vm:", "Did you mean vm:UUID?"),
        ("host:a", "Did you mean lost:a?"),
        ("osd:3", "Did you mean health:osd-3?"),
        ("room:x", "The kinds are old, takeover"),
        ("flag", "The kinds are old, takeover"),
        ("self:a", "Did you mean vm:a?"),
    ],
)
def test_unknown_kind_is_rejected_with_the_nearest_one(item, hint):
    with pytest.raises(InputError, match=re.escape(f"ceph_maint_accept: {item} is not an override of this collection. {hint}")):
        given([item, "old:a"], "")


@pytest.mark.parametrize("reason", [None, "", "  ", "REASON"])
def test_what_may_destroy_data_needs_a_reason(reason):
    with pytest.raises(InputError, match=r"watcher:rbd.a may destroy data and needs a reason") as caught:
        given(["old:x", "watcher:rbd/a"], reason)
    assert str(caught.value).endswith("-e ceph_maint_accept=old:x,watcher:rbd/a -e \"ceph_maint_accept_reason='REASON'\"")
    assert given(["old:x", "watcher:rbd/a"], "a backup") == ["old:x", "watcher:rbd/a"]


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ("unchecked:host-mon1", True),
        ("unchecked:vms", False),
        ("list:location-tll01", True),
        ("list:row-abc", False),
        ("open-host:api.example.com", True),
        ("open-host:h1", False),
        ("vm:a", False),
    ],
)
def test_what_only_a_plan_asks_for_is_known(item, named):
    """The headline names it, whatever the proof finds."""
    assert is_of_plan(item, {"h1"}) is named


def test_what_is_recorded_with_a_reason_needs_none_again():
    assert given(["old:x", "vm:a"], "", ["vm:a"]) == ["old:x", "vm:a"]
    with pytest.raises(InputError, match=r"^vm:b may destroy data"):
        given(["vm:a", "vm:b"], "", ["vm:a"])


RECORDED = ["vm:a", "takeover:1", "old:2", "lost:c", "damaged:d", "watcher:i", "later:x"]


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (None, RECORDED),
        ([], []),
        (["vm:b"], ["takeover:1", "old:2", "lost:c", "damaged:d", "vm:b"]),
        (["vm:a", "lost:c"], ["vm:a", "takeover:1", "old:2", "lost:c", "damaged:d"]),
    ],
)
def test_list_replaces_what_does_not_act_once(now, found):
    assert effective(RECORDED, now) == found


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("vm:a", "vm:a"),
        ("row:0a", "list:row-0a"),
        ("empty:api.example.com@l1", "list:empty-api.example.com@l1"),
        ("no-hosts:api.example.com", "open-host:api.example.com"),
        ("kept:1.record.sqlite", "start-left:1.record.sqlite"),
        ("host:a", "lost:a"),
        ("start-unproved:mon1", "start:mon1"),
        ("unread-pool:vms/blue", "unchecked:vms/blue"),
        ("unhealthy:OSD_DOWN", "health:OSD_DOWN"),
        ("osd:none", "health:osd-none"),
        ("monitors:silent", "health:monitors-silent"),
        ("own-disk:0a", "disk:0a"),
        ("self:a", ""),
        ("room:0a", ""),
        ("not-running:0a", ""),
        ("later:x", ""),
    ],
)
def test_override_of_an_earlier_version_has_its_form_of_today(former, now):
    assert current(former) == now == (current(now) if now else "")


def test_no_former_kind_is_a_kind_and_each_leads_to_one():
    assert not set(_accept._FORMER) & set(KINDS)
    assert {lead.partition(":")[0] for lead in _accept._FORMER.values() if lead} <= set(KINDS)


def test_override_that_was_asked_for_has_an_effect():
    accepted = Accepted(["vm:a", "vm:b", "watcher:i", "health:osd-1", "later:x"])
    assert "vm:a" in accepted and "vm:c" not in accepted
    assert list(accepted) == ["vm:a", "vm:b", "watcher:i", "health:osd-1", "later:x"] and len(accepted) == 5
    assert accepted.unused(_accept.PREPARE) == ["vm:b", "health:osd-1"], "the plan does not ask for the others"
    assert accepted.unused(_accept.PROOF) == ["vm:b", "watcher:i"]


def test_given_without_effect_differs_from_recorded_and_over():
    assert notes(["vm:a", "vm:b", "lost:c"], ["vm:a"]) == [
        "Override without effect: vm:a. Nothing that it accepts was found.",
        "The recorded override vm:b has no effect any more. To withdraw it, give ceph_maint_accept without it, or none.",
    ]


def test_plan_shows_recorded_given_and_withdrawn_overrides():
    assert plan_lines(["vm:a", "old:b"], ["vm:a", "old:c"], 20) == [
        "Overrides: 3 in effect",
        "  vm:a: given now, may destroy data",
        "  old:b: recorded",
        "  old:c: given now",
    ]
    assert plan_lines(["old:a"], None, 20) == ["Overrides: 1 in effect", "  old:a: recorded"]
    assert plan_lines(["vm:a"], [], 20) == ["Overrides: 0 in effect", "  vm:a: withdrawn now, may destroy data"]
    assert plan_lines([], None, 20) == []
    assert plan_lines([f"vm:{number}" for number in range(30)], None, 20)[-1] == "  and 10 more"


def test_danger_line_names_each_reason_once():
    reasons = {"vm:a": "a backup", "old:x": "", "watcher:i": "it is dead", **{f"vm:{number}": "a backup" for number in range(5)}}
    assert danger_lines(reasons, 2) == ["Accepted, may destroy data: vm:a, watcher:i and 5 more. Reason: a backup; it is dead"]
    assert danger_lines({"vm:a": ""}, 2) == ["Accepted, may destroy data: vm:a. Reason: not recorded"]
    assert danger_lines({"old:x": ""}, 2) == []


def test_kinds_are_few_and_of_three_classes():
    assert len(KINDS) <= 20
    assert {kind.category for kind in KINDS.values()} == {_accept.HOUSEKEEPING, _accept.INCOMPLETE, DESTRUCTIVE}
    assert destructive(["vm:a", "watcher:i", "start:mon1", "cluster:f", "disk:d", "old:x", "health:A", "later:x"]) == [
        *("vm:a", "watcher:i", "start:mon1", "cluster:f", "disk:d")
    ]


def test_the_table_of_the_guide_is_that_of_the_code():
    text = (ROOT / "docs" / "operators_guide.md").read_text(encoding="utf-8")
    rows = [f"| `{kind.name}:{kind.of}` | {kind.accepts} | {kind.category} |" for kind in KINDS.values()]
    assert text.partition("| Override | Accepts | Class |\n|---|---|---|\n")[2].startswith("\n".join(rows) + "\n\n")


def test_overrides_are_made_and_asked_for_by_their_kinds():
    """A kind that nothing asks for any more would be reported always."""
    files = [path for path in (ROOT / "plugins").rglob("*.py") if path.name != "_accept.py"]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    names = "|".join(map(re.escape, [*KINDS, *_accept._FORMER]))
    by_hand = {path.name: found for path, text in texts.items() if (found := re.findall(rf"""f["'](?:{names}):\{{""", text))}
    assert by_hand == {}
    constants = {name for name, value in vars(_accept).items() if value in list(KINDS.values())}
    assert {name for name in constants if any(re.search(rf"\b{name}\b", text) for text in texts.values())} == constants
    assert len(constants) == len(KINDS)


def test_all_items_in_one_word():
    assert accept_argument([], ["lost:a"]) == "-e ceph_maint_accept=lost:a"
    assert accept_argument(["old:x", "lost:a"], ["lost:b", "lost:a"]) == "-e ceph_maint_accept=old:x,lost:a,lost:b"


@pytest.mark.parametrize("count", [1, 2000, 2400, 2560, 3000, 10000])
def test_however_many_there_are_the_way_on_can_be_gone(count):
    accepted = [*ODD[:3], *(f"lost:{uuid.UUID(int=number)}" for number in range(count // 2))]
    items = [f"lost:{uuid.UUID(int=number)}" for number in range(count // 2, count)]
    argument = accept_argument(accepted, items)
    if not argument.startswith("-e @accept.yml, "):
        word = argument.removeprefix("-e ")
        assert len(word.encode()) <= MOST_BYTES and not word.split()[1:]
        assert options.words(word.partition("=")[2], "accept") == [*accepted, *items]
        return
    assert count > 2000
    line = argument.split(" one line: ")[1]
    assert yaml.safe_load(line) == {"ceph_maint_accept": [*accepted, *items]}


@pytest.mark.parametrize("name", ["disk of ann", "a,b", "it's", "x;reboot", "$(reboot)", "`id`", 'say "no"', "näme"])
def test_a_name_that_a_shell_would_read_is_quoted(name):
    items = [f"watcher:rbd/{name}", "old:a"]
    option, value, *more = shlex.split(accept_argument([], items))
    assert (option, more) == ("-e", [])
    assert json.loads(value) == {"ceph_maint_accept": items, "ceph_maint_accept_reason": "REASON"}


def test_argument_of_what_may_destroy_data_has_a_place_for_the_reason():
    words = shlex.split(accept_argument(["old:x"], ["vm:a"]))
    assert words == ["-e", "ceph_maint_accept=old:x,vm:a", "-e", "ceph_maint_accept_reason='REASON'"]
