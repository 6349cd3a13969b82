# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told what, in which words, in which file."""

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.pilw.maintenance.plugins.lookup.notice_templates import LookupModule
from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import ALREADY_RUNNING, CLEAN, FAILED, STARTED, VANISHED
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._notices import compose, deliver
from ansible_collections.pilw.maintenance.plugins.module_utils._notices.compose import AFTER, BEFORE, KINDS, NOT_STARTED, About, Told
from ansible_collections.pilw.maintenance.plugins.module_utils._record.rows import Attempt, RecordedVm

ABOUT = About("20261122T120227Z-39e6b3", "disks", "api.example.com", "tll01")
(OWN,) = LookupModule().run([""])


def vm(uuid, owner="8", state="running", stop=None, start=None, name="web"):
    return RecordedVm(uuid, owner, name, False, state, Attempt(stop), Attempt(start, "no disk" if start == FAILED else None))


def found(vms, *kinds, accepted=(), told=None):
    return {
        kind: [(one.uuid, one.new) for one in told_of] for kind, told_of in compose.of_record(vms, accepted, told or {}, kinds).items()
    }


def test_before_is_for_what_is_to_be_stopped():
    vms = [vm("up"), vm("down", state="stopped", stop=CLEAN), vm("gone", stop=VANISHED), vm("left"), vm("told")]
    assert found(vms, BEFORE, accepted={"vm:left"}, told={"told": BEFORE}) == {BEFORE: [("up", True), ("down", False), ("told", False)]}


def test_what_came_back_and_what_did_not():
    vms = [
        *(vm("ran", start=STARTED), vm("lost", start=FAILED), vm("untried"), vm("gone", start=VANISHED), vm("up", start=ALREADY_RUNNING)),
        vm("left", start=ALREADY_RUNNING),
    ]
    assert found(vms, AFTER, NOT_STARTED, accepted={"vm:left", "lost:lost"}) == {AFTER: [("ran", True), ("up", True)], NOT_STARTED: [("lost", True)]}


@pytest.mark.parametrize(
    ("last", "now", "new"),
    [
        *((None, STARTED, True), (BEFORE, STARTED, True), (AFTER, STARTED, False), (NOT_STARTED, STARTED, True)),
        *((NOT_STARTED, FAILED, False), (AFTER, FAILED, True)),
    ],
)
def test_nobody_is_told_the_same_twice(last, now, new):
    told = {"a": last} if last else {}
    ((one,),) = [told_of for told_of in found([vm("a", start=now)], AFTER, NOT_STARTED, told=told).values() if told_of]
    assert one == ("a", new)


def test_a_stop_after_a_start_is_new_again():
    assert found([vm("a")], BEFORE, told={"a": AFTER}) == {BEFORE: [("a", True)]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_templates(kind):
    compose.check_templates(OWN)
    why = "no disk" if kind == NOT_STARTED else ""
    subject, text = compose.compose(OWN[kind], ABOUT, "8", [Told("u1", "8", "web", why), Told("u2", "8", "", why)])
    assert subject.endswith(": 2") and "$" not in subject + text
    assert "\nu1 web: no disk\nu2: no disk\n" in text if why else "\nu1 web\nu2\n" in text
    assert "disks" in text and "api.example.com" in text
    if kind == BEFORE:
        subject, text = compose.compose(OWN[kind], About("", "", "h", ""), "8", [Told("u1", "8", "web")])
        assert text.endswith("Reason: not given\n")


def test_a_template_may_begin_with_the_mark_that_some_editors_write(tmp_path):
    (tmp_path / "before.txt").write_bytes(b"\xef\xbb\xbfSubject: \xc3\xb5 $owner\n\n$vms\n")
    (templates,) = LookupModule().run([str(tmp_path)])
    compose.check_templates(templates)
    assert templates == {**OWN, BEFORE: "Subject: \u00f5 $owner\n\n$vms\n"}


def test_nothing_that_tenants_wrote_is_a_template_or_a_second_line():
    evil = "$owner {{ 7 * 7 }} ${vms}"
    subject, text = compose.compose("Subject: $owner $vms\n$owner|$vms|$$", ABOUT, evil, [Told("u1", evil, evil), Told("u2", evil, "x")])
    assert subject == f"{evil} u1 {evil} u2 x"
    assert text == f"{evil}|u1 {evil}\nu2 x|$"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Subject: $nobody", "before.txt has the unknown placeholder $nobody. Known are $owner, $count"),
        ("Subject: x\n${Owner}", "the unknown placeholder $Owner"),
        ("Subject: x\n\n5 $ each", "a $ on line 3 that begins no placeholder"),
        ("Hello $owner", "does not begin with a line Subject:"),
    ],
)
def test_templates_that_cannot_be_composed_are_refused(text, said):
    with pytest.raises(InputError, match=re.escape(said)):
        compose.check_templates({**OWN, BEFORE: text})


@pytest.mark.parametrize("templates", [{}, {BEFORE: "Subject: x"}, {**OWN, "more": "Subject: x"}])
def test_all_templates_are_needed_and_no_others(templates):
    with pytest.raises(InputError, match="must hold before, after, not_started"):
        compose.check_templates(templates)


ODD = [
    *("", ".", "..", "../../etc/passwd", "a b", "a_b", "a/b", "a\\b", "-rf", "Ä", "x" * 41, "x" * 42),
    *("{{ x }}", "a\nb", "\ud800", "before.8", "a_b.0123456789abcdef"),
]


def test_each_owner_has_a_file_name_of_his_own_and_a_harmless_one():
    names = [compose.file_name(kind, owner) for kind in KINDS for owner in [*ODD, "8"]]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z][0-9A-Za-z_.-]+\.txt", name) and len(name) < 80 for name in names)
    assert all(compose.is_ours(name, KINDS) for name in names)
    assert compose.file_name(BEFORE, "8") == "before.8.txt"


def test_a_folder_holds_just_what_is_so(tmp_path):
    folder = tmp_path / "notices"
    deliver.write(str(folder), {"before.8.txt": "a", "after.8.txt": "b"}, KINDS)
    (folder / "before.notes").write_text("mine")
    (folder / "not_started.9.txt.new").write_text("of a run that was killed")
    deliver.write(str(folder), {"after.9.txt": "c"}, (AFTER, NOT_STARTED))
    assert sorted(os.listdir(folder)) == ["after.9.txt", "before.8.txt", "before.notes"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "after.9.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["link", "file", "open to others"])
def test_a_folder_that_is_not_what_it_should_be_gets_nothing(tmp_path, kind):
    """It is told, and ends no run: a tool that sends mail may need to read there."""
    path, elsewhere = tmp_path / "notices", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "file":
        path.write_text("")
    else:
        path.mkdir()
        path.chmod(0o750)
    with pytest.raises(OSError, match="exists" if kind == "file" else "Others can get into" if kind == "open to others" else "a link is not followed"):
        deliver.write(str(path), {"before.8.txt": "a"}, KINDS)
    assert not list(elsewhere.iterdir()) and (kind == "file" or not list(path.iterdir()))


def test_what_is_told_is_only_what_is_new_and_the_file_has_all():
    vms = {AFTER: [Told("u1", "8", "a", new=False), Told("u2", "8", "b"), Told("u3", "9", "c", new=False)]}
    (one,) = compose.notices(vms, OWN, ABOUT, "/n")
    assert (one["event"], one["owner"], one["vms"], one["counts"], one["file"]) == (AFTER, "8", ["u2"], {"vms": 1}, "/n/after.8.txt")
    assert one["maintenance"] == ABOUT.identity and one["headline"] == "1 VMs of owner 8 run again"
    files = compose.files(vms, OWN, ABOUT)
    assert set(files) == {"after.8.txt", "after.9.txt"}
    assert "\nu1 a\nu2 b\n" in files["after.8.txt"] and "u1" not in one["text"]


@pytest.mark.parametrize("templates", [None, {}, {**OWN, BEFORE: "Subject: $nobody"}])
def test_templates_that_somebody_has_broken_meanwhile_end_nothing(templates, tmp_path):
    params = {"notice_templates": templates, "notice_dir": str(tmp_path / "out"), "tell": True, "reason": "", "api_host": "h", "location": None}
    found = deliver.of_plan(params, [{"uuid": "u1", "user_id": "8", "name": "web", "what": "stop"}], False)
    assert found["notices"] == [] and not (tmp_path / "out").exists()
    assert bool(found["notes"]) == bool(templates)
