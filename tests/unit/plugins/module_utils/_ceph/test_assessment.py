# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at Ceph means. Whatever it is, it proves nothing unless it says in full that nobody has an image open."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.pilw.maintenance.plugins.module_utils._api.model import parse_vm
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import assessment
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import InputError, Refused


def row(image="vms/volume-a", vm="a", client="client.4", address="10.0.0.4:0/7"):
    return {"image": image, "client": client, "address": address, "vm": vm}


def look(*opens, **more):
    watchers = {"way": "osd", "pools": ["vms"], "images": None, "count": len(opens), "open": list(opens), "vms": [], "mapped": True, "missing": [], "note": ""}
    watchers.update({name: more.pop(name) for name in list(more) if name in watchers or name in ("unread", "unchecked")})
    health = {"status": "HEALTH_OK", "checks": {}, "osds": "3 of 3 OSDs up, 3 in", "recovery": ""}
    return {"problem": "", "health": health, "flags": ["noout"], "watchers": watchers, **more}


def read(*opens, **more):
    return assessment.read("mon1", look(*opens, **more))


def proof(storage, accepted=(), outside=(), scoped=False):
    return assessment.proof(storage, accepted, outside, scoped)


def reasons(storage, vms=()):
    """Accept items of a plan's reasons."""
    return [item for _text, items in assessment.plan_reasons(storage, dict(vms)) for item in items]


def vm(uuid, status):
    return parse_vm({"uuid": uuid, "status": status, "user_id": 8})


# The proof.


def test_nobody_has_an_image_open():
    found = proof(read())
    assert found.proofs == ["no client has an image open in the pools vms (each OSD asked)"]
    assert (found.against, found.excepted) == ({}, {})
    assert "CephFS" in found.notes[0]


@pytest.mark.parametrize(("known", "accepted", "where"), [("b", (), "against"), ("b", ("cluster:a",), "excepted"), ("a", (), ""), ("", (), "")])
def test_another_cluster_than_that_of_an_earlier_proof(known, accepted, where):
    storage = read(fsid="a")
    found = assessment.proof(storage, accepted, (), False, known)
    told = {"cluster:a": "asked on mon1, another cluster answers than the one of which safe was proved: a, and not b"}
    assert {name: value for name, value in (("against", found.against), ("excepted", found.excepted)) if value} == ({where: told} if where else {})
    planned = [items for _text, items in assessment.plan_reasons(storage, {}, known)]
    assert planned == ([["cluster:a"]] if known == "b" else [])


@pytest.mark.parametrize("host", ["", None])
def test_without_a_ceph_host_it_is_said_that_nobody_was_asked(host):
    assert assessment.read(host, look()) is None
    found = proof(None)
    assert (found.proofs, found.against, found.notes) == ([], {}, [assessment.NOT_ASKED])


def test_an_open_image_stands_against_safe_with_all_that_finds_its_client():
    found = proof(read(row()))
    assert found.against == {"watcher:vms/volume-a": "image vms/volume-a is open at client.4 (10.0.0.4:0/7), the disk of VM a"}
    assert found.proofs == []


@pytest.mark.parametrize("item", ["watcher:vms/volume-a", "vm:a"])
def test_an_open_image_that_is_accepted_is_an_exception(item):
    found = proof(read(row(), row("vms/b", "")), [item])
    assert list(found.excepted) == ["watcher:vms/volume-a"]
    assert list(found.against) == ["watcher:vms/b"] and found.proofs == []
    found = proof(read(row()), [item])
    assert found.proofs[0].endswith("except those accepted")


def test_an_item_of_an_unknown_vm_accepts_nothing():
    assert proof(read(row("vms/b", "")), ["vm:", "watcher:"]).against


def test_what_the_scope_leaves_out_is_told_and_not_held_against_it():
    found = proof(read(row(), row("vms/b", "")), outside={"a"}, scoped=True)
    assert found.against == {}
    assert len([note for note in found.notes if note.startswith("outside of the scope")]) == 2
    assert proof(read(row("vms/c", "c")), outside={"a"}, scoped=True).against


@pytest.mark.parametrize(
    "given_look",
    [
        None, {}, [], "HEALTH_OK", 0, {"problem": "timed out"}, {"problem": "", "watchers": None}, {"watchers": {}}, {"watchers": []},
        look(missing=["osd.1 gave no answer"]), look(problem="x"), look(count=None), look(count="0"), look(count=-1), look(count=False),
        look(open=None), look(open="none"), look(open={}), look(missing=None, open=None), look(missing="osd.1"), look(missing={"osd.1": "x"}),
        look(missing=1), look(problem=1), look(missing=0),
        {**look(), "watchers": {**look()["watchers"], "open": [row()], "count": 0}},
        {**look(), "watchers": {name: value for name, value in look()["watchers"].items() if name != "missing"}},
        {name: value for name, value in look().items() if name != "problem"},
    ],
)  # fmt: skip
def test_what_is_not_a_whole_look_is_a_problem_with_an_item(given_look):
    storage = assessment.read("mon1", given_look)
    found = proof(storage)
    assert [item for item in found.against if not item.startswith("watcher:")] == ["ceph:mon1"] and found.proofs == []
    assert "mon1" in found.against["ceph:mon1"] and not found.against["ceph:mon1"].endswith(": ")
    found = proof(storage, ["ceph:mon1", "watcher:vms/volume-a"])
    assert ("ceph:mon1" in found.excepted, found.against, found.proofs) == (True, {}, [])
    assert reasons(storage) == ["ceph:mon1"]
    with pytest.raises(Refused) as caught:
        held_back(storage)
    assert caught.value.items == ["start:mon1"]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OPENS = st.lists(st.fixed_dictionaries({}, optional={name: st.sampled_from(["vms/a", "a", "", "vms/b"]) | ODD for name in row()}) | ODD, max_size=4)
NAMES = ["problem", "health", "flags", "watchers"]
WATCHERS = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(0, 4) | ODD, "open": OPENS | ODD, "missing": st.just([]) | ODD, "pools": st.just(["vms"]) | ODD,
        "images": st.none() | ODD, "note": st.just("") | ODD, "way": ODD,
    },
)  # fmt: skip
LOOKS = st.fixed_dictionaries({}, optional={"problem": st.just("") | ODD, "health": ODD, "flags": ODD, "watchers": WATCHERS | ODD}) | ODD
ACCEPTED = st.lists(st.sampled_from(["watcher:vms/a", "watcher:vms/b", "vm:a", "vm:", "watcher:", "ceph:other"]), max_size=3)


def says_that_nobody(given_look, accepted):
    """Written down once more, as simply as it goes: what a look must say in so many words."""
    if not isinstance(given_look, dict) or given_look.get("problem") != "" or not isinstance(given_look.get("watchers"), dict):
        return False
    watchers = given_look["watchers"]
    if watchers.get("missing") != [] or not isinstance(watchers.get("open"), list):
        return False
    count = watchers.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or count != len(watchers["open"]):
        return False
    return all(
        isinstance(one, dict) and (f"watcher:{one.get('image')}" in accepted or (f"vm:{one.get('vm')}" in accepted and one.get("vm")))
        for one in watchers["open"]
    )


@given(given_look=LOOKS, accepted=ACCEPTED)
@settings(max_examples=400, deadline=None)
@example(given_look=look(), accepted=[])
@example(given_look=look(row("vms/a")), accepted=["watcher:vms/a"])
@example(given_look=look(row("vms/a"), count=2), accepted=["watcher:vms/a"])
@example(given_look=look({}), accepted=["watcher:", "vm:"])
def test_whatever_the_look_it_proves_only_what_it_says(given_look, accepted):
    storage = assessment.read("mon1", given_look)
    found = proof(storage, accepted)
    assert not found.proofs or says_that_nobody(given_look, accepted)
    assert bool(found.proofs) != bool(found.against), "one or the other"
    for word in [*found.proofs, *found.notes, *found.against.values(), *assessment.plan_lines(storage), assessment.plan_note(storage)]:
        assert word.isprintable() or not word
    assessment.plan_reasons(storage, {})
    try:
        held = held_back(storage, accepted)
    except Refused as exc:
        assert exc.items
    else:
        assert all(held) and (found.proofs or held), "what stands against safe is not passed over by the starts"


def test_more_open_images_than_are_named_are_not_forgotten():
    found = proof(read(row(), count=700), ["watcher:vms/volume-a"])
    assert found.proofs == [] and "699 more" in "".join(found.against.values())


def test_the_answer_says_how_it_was_asked():
    found = proof(read(images=7, way="image", note="each image was asked, as the OSDs could not be"))
    assert "in the pools vms (7 images asked one by one); each image was asked" in found.proofs[0]
    assert "in the pools vms (each OSD asked, at 03:12:44 UTC)" in proof(read(at="03:12:44 UTC")).proofs[0]


# The plan.


def test_a_plan_shows_what_ceph_says():
    storage = read(row())
    storage.checks["PG_DEGRADED"], storage.recovery = "some", "degraded objects 7"
    text = "\n".join(assessment.plan_lines(storage))
    for words in ("mon1: HEALTH_OK, 3 of 3 OSDs up, 3 in; images open: 1", "PG_DEGRADED: some", "degraded objects 7", "flags: noout"):
        assert words in text


@pytest.mark.parametrize(
    ("checks", "item"),
    [
        ({}, ""),
        ({"OSDMAP_FLAGS": "noout", "OSD_FLAGS": "x"}, ""),
        ({"PG_DEGRADED": "x", "OSDMAP_FLAGS": "y", "OSD_DOWN": "z"}, "health:OSD_DOWN health:PG_DEGRADED"),
    ],
)
def test_an_ill_cluster_is_refused_by_what_ails_it(checks, item):
    """One that is only flagged is well, and an item that was accepted once accepts no other illness."""
    storage = read(health={"status": "HEALTH_WARN" if checks else "HEALTH_OK", "checks": checks})
    assert " ".join(storage.unhealthy_items) == item
    assert reasons(storage) == item.split()


def test_an_ill_cluster_without_a_check_is_ill_all_the_same():
    storage = read(health={"status": "HEALTH_ERR", "checks": {}})
    assert reasons(storage) == ["health:HEALTH_ERR"]


def test_open_images_are_those_of_running_vms():
    vms = {"a": vm("a", "running"), "s": vm("s", "stopped")}
    storage = read(row(), row("vms/volume-s", "s"), row("vms/volume-x", "x"), row("vms/iso", ""))
    assert reasons(storage, vms) == ["watcher:vms/volume-s", "watcher:vms/volume-x", "watcher:vms/iso"]
    asked = [items for _text, items in assessment.plan_reasons(storage, vms, recorded={"s"})]
    assert asked == [["watcher:vms/volume-x", "watcher:vms/iso"]], "it has just been stopped, perhaps between the two looks"
    assert assessment.plan_note(storage) == ""


def test_without_a_pattern_the_plan_says_what_it_cannot_tell_and_refuses_nothing():
    storage = read(row(vm=""), row("vms/b", ""), mapped=False)
    assert reasons(storage, {"a": vm("a", "running")}) == []
    assert "ceph_maint_rbd_image_regex would tell" in assessment.plan_note(storage)
    assert assessment.plan_note(read(mapped=False)) == ""


def test_a_pattern_that_finds_no_vm_of_the_platform_is_wrong():
    """One image of another cloud would be an odd one; all of them are a mistake, and cannot be accepted one by one."""
    storage = read(row(vm=""), row("vms/b", "strange"))
    ((text, items),) = assessment.plan_reasons(storage, {"a": vm("a", "running")})
    assert "ceph_maint_rbd_image_regex finds the VM of none" in text and items == []
    assert reasons(storage, {"a": vm("a", "stopped")}) == ["watcher:vms/volume-a", "watcher:vms/b"], "with none running, each is odd"


@pytest.mark.parametrize("mapped", [True, False])
def test_running_vms_without_any_open_image_have_their_disks_elsewhere(mapped):
    """A wrong pool, another cluster: a look at it proves nothing about these VMs."""
    storage = read(mapped=mapped)
    ((text, items),) = assessment.plan_reasons(storage, {"a": vm("a", "running"), "b": vm("b", "stopped")})
    assert "1 VMs are up" in text and "the pools vms" in text and items == ["unchecked:host-mon1"]
    assert reasons(storage, {"b": vm("b", "stopped")}) == []


def test_what_was_seen_counts_also_where_not_all_could_be_asked():
    """What is accepted is that something could not be asked, not what was found."""
    storage = read(row(), missing=["rbd status vms/b ended with status 5"])
    found = proof(storage, ["ceph:mon1"])
    assert (list(found.excepted), list(found.against)) == (["ceph:mon1"], ["watcher:vms/volume-a"])
    assert "client.4" in "".join(assessment.plan_lines(storage))
    assert list(held_back(storage, ["start:mon1"])) == ["a"]


def test_each_client_of_an_image_and_each_image_of_a_vm_is_named():
    storage = read(row(), row(client="client.5", address="10.0.0.5:0/7"), row("vms/data-a"))
    found = proof(storage)
    assert list(found.against) == ["watcher:vms/volume-a", "watcher:vms/data-a"]
    assert "client.4" in found.against["watcher:vms/volume-a"] and "client.5" in found.against["watcher:vms/volume-a"]
    items = ["start:vms/volume-a@client.4", "start:vms/volume-a@client.5", "start:vms/data-a@client.4"]
    held = held_back(storage)
    assert list(held) == ["a"] and f"ceph_maint_accept={','.join(items)}" in held["a"]
    assert list(held_back(storage, items[:2])) == ["a"]
    assert held_back(storage, items) == {}


def test_a_start_is_accepted_beside_one_client_and_no_later_one():
    assert list(held_back(read(row(client="client.5")), ["start:vms/volume-a@client.4"])) == ["a"]


def test_a_wrong_pattern_beside_running_vms_is_corrected_and_not_accepted():
    """Accepting the images one by one would accept that of a VM that is to be started."""
    storage = read(row("vms/x", ""), row("vms/y", "odd"))
    with pytest.raises(Refused, match="finds the VM of none of the 2 open images") as caught:
        held_back(storage, first=False, running=["q"])
    assert caught.value.items == []


# The starts.


def held_back(storage, accepted=(), first=True, refuse=True, known=frozenset("az"), running=()):
    return assessment.held_back(storage, list(accepted), ["a", "b", "z"], known, running, first, refuse)


@pytest.mark.parametrize("first", [True, False])
def test_a_vm_whose_image_is_open_is_held_back(first):
    held = held_back(read(row(), row("vms/volume-b", "b")), ["start:vms/volume-b@client.4", "watcher:vms/volume-a"], first)
    assert list(held) == ["a"]
    for words in ("held back", "vms/volume-a", "client.4", "10.0.0.4:0/7", "start:vms/volume-a@client.4"):
        assert words in held["a"]


def test_a_vm_beyond_those_that_are_named_is_held_back_too():
    held = held_back(read(row(), count=900, vms=["a", "z"]), ["start:899 more@several clients"])
    assert sorted(held) == ["a", "z"] and "too many to be named" in held["z"]


def test_a_vm_that_was_left_running_on_purpose_is_not_started_a_second_time():
    assert list(held_back(read(row()), ["vm:a"])) == ["a"]


@pytest.mark.parametrize("vm", ["", "c"])
def test_an_image_of_which_nobody_knows_the_vm_refuses_all_starts(vm):
    storage = read(row("vms/iso", vm), row())
    with pytest.raises(Refused, match="nothing was started") as caught:
        held_back(storage)
    assert caught.value.items == ["start:vms/iso@client.4"]
    assert list(held_back(storage, ["start:vms/iso@client.4"])) == ["a"]
    later = held_back(storage, first=False, refuse=False)
    assert sorted(later) == ["a", "b", "z"] and all("ceph_maint_accept=start:vms/iso@client.4" in why for why in later.values())


def test_without_a_pattern_open_images_are_accepted_as_a_whole_once_vms_run():
    storage = read(row("vms/iso", ""), mapped=False)
    for first, item in ((True, "start:vms/iso@client.4"), (False, "start:mon1")):
        with pytest.raises(Refused) as caught:
            held_back(storage, first=first)
        assert caught.value.items == [item]
        assert held_back(storage, [item], first) == {}


def test_what_was_accepted_as_not_provable_starts_no_second_guest_where_it_is_known():
    assert list(held_back(read(row()), ["start:mon1"])) == ["a"]


def test_without_a_ceph_host_or_with_leave_nothing_is_held_back():
    assert held_back(None) == {}
    assert held_back(read(problem="hangs"), ["start:mon1"]) == {}


def test_a_mistake_of_the_operator_is_no_answer_of_ceph():
    """It has to be corrected, and is nothing to accept."""
    with pytest.raises(InputError, match="no pool 'vmz'"):
        assessment.read("mon1", {"problem": "", "mistake": "pools: Ceph has no pool 'vmz'."})


@pytest.mark.parametrize("first", [True, False])
def test_where_ceph_cannot_be_asked_nothing_is_started(first):
    with pytest.raises(Refused, match="nothing was started"):
        held_back(read(problem="hangs"), first=first)


# What was not checked.

UNREAD = {"backup": "rbd namespace ls backup ended with status 1"}


def test_a_pool_that_the_key_may_not_read_stands_against_safe_under_its_name():
    found = proof(read(unread=UNREAD))
    assert list(found.against) == ["unchecked:backup"] and found.proofs == []
    assert UNREAD["backup"] in found.against["unchecked:backup"]


def test_an_accepted_unread_pool_is_an_exception_and_accepts_no_other():
    found = proof(read(unread={**UNREAD, "vms/blue": "why"}), ["unchecked:backup"])
    assert (list(found.against), list(found.excepted)) == (["unchecked:vms/blue"], ["unchecked:backup"])
    found = proof(read(unread=UNREAD), ["unchecked:backup"])
    assert (found.against, len(found.proofs)) == ({}, 1)


def test_where_no_pool_could_be_read_ceph_was_not_checked():
    found = proof(read(unread=UNREAD, pools=[]), ["unchecked:backup"])
    assert (found.against, found.proofs, found.checked) == ({}, [], False)
    assert proof(read(unread=UNREAD), ["unchecked:backup"]).checked


def test_a_plan_names_the_pools_that_the_key_may_not_read():
    ((text, items),) = assessment.plan_reasons(read(unread=UNREAD), {})
    assert items == ["unchecked:backup"] and "pools backup" in text and "ceph_maint_rbd_pools" in text


def test_plan_and_proof_say_what_was_not_checked():
    storage = read(unchecked=["Not checked: the pools cephfs_data"])
    assert "  Not checked: the pools cephfs_data" in assessment.plan_lines(storage)
    assert "Not checked: the pools cephfs_data." in proof(storage).notes


def test_nothing_is_started_beside_a_pool_that_the_key_may_not_read():
    """What was accepted before safe must not lead to a second guest on one image."""
    with pytest.raises(Refused, match="may not read the pools backup") as caught:
        assessment.held_back(read(unread=UNREAD), ["unchecked:backup"], ["a"], {"a"}, [], True, True)
    assert caught.value.items == ["start:mon1"]
    assert assessment.held_back(read(unread=UNREAD), ["start:mon1"], ["a"], {"a"}, [], True, True) == {}


@pytest.mark.parametrize("unread", [["backup"], "backup", 3])
def test_unread_pools_in_an_unknown_form_prove_nothing(unread):
    assert "mon1" in next(iter(proof(read(unread=unread)).against))
