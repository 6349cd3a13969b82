# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has images open: two ways to ask a cluster that is a dictionary, and what is not known counts against."""

from __future__ import annotations

import json

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _pace, _watchers
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import Ceph
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError, InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._watchers import AUTO, IMAGE, OSD, Watcher

UUID = "0a1b2c3d-0000-4000-8000-00000000000a"
# (pool, namespace, name): id
IMAGES = {("vms", "", f"volume-{UUID}"): "a1", ("vms", "", "b"): "b2", ("vms", "blue", "c"): "c3", ("other", "", "d"): "d4"}


def address(number):
    return f"10.0.0.{number}:0"


class Cluster:
    """C(open): what is open, as (image key, client number). C(broken): what calls, by their first words, raise."""

    def __init__(self, *opens, broken=None, extra=()):
        self.open = list(opens)
        self.broken = broken or {}
        self.extra = list(extra)  # further rows of the first OSD
        self.osds = [{"osd": 0, "up": 1, "in": 1}, {"osd": 1, "up": 1, "in": 1}, {"osd": 2, "up": 0, "in": 0}]
        self.groups = ["active+clean", "active+undersized+degraded"]
        self.calls = []
        self.images = dict(IMAGES)

    def ceph(self):
        return Ceph(["ceph"], 5.0, run=self.run)

    def run(self, argv, given, seconds):
        words = [word for word in argv if word not in ("--format", "json")]
        self.calls.append(" ".join(words))
        for lead, failure in self.broken.items():
            if f"{self.calls[-1]}$".startswith(lead):  # a lead with $ is a whole call
                if failure is None:
                    raise CephError(argv, "gave no answer within 5 s", timed_out=True)
                return failure, b"", f"Error {failure}"
        found = self.answer(words)
        if isinstance(found, int):
            return found, b"", "no such thing"
        return 0, found if isinstance(found, bytes) else json.dumps(found).encode(), ""

    def answer(self, words):
        if words[:4] == ["ceph", "osd", "pool", "ls"]:
            return [
                {"pool_name": "vms", "application_metadata": {"rbd": {}}},
                {"pool_name": "other", "application_metadata": {"rbd": {}}},
                {"pool_name": "files", "application_metadata": {"cephfs": {}}},
            ]
        if words[:3] == ["ceph", "osd", "dump"]:
            return {"osds": self.osds}
        if words[:3] == ["ceph", "pg", "stat"]:
            return {"pg_ready": True, "pg_summary": {"num_pg_by_state": [{"name": name, "num": 1} for name in self.groups]}}
        if words[:2] == ["ceph", "tell"]:
            return self.rows(int(words[2].partition(".")[2]))
        if words[:3] == ["rbd", "namespace", "ls"]:
            return [{"name": space} for space in sorted({space for pool, space, _name in self.images if pool == words[3]} - {""})]
        if words[:2] == ["rbd", "ls"]:
            pool, _slash, space = words[2].partition("/")
            return [name for one, other, name in self.images if (one, other) == (pool, space)]
        if words[:2] == ["rbd", "status"]:
            parts = words[2].split("/")
            key = (parts[0], parts[1] if len(parts) == 3 else "", parts[-1])
            if key not in self.images:
                return 2
            return {"watchers": [{"client": n, "address": f"{address(n)}/7", "cookie": 1} for one, n in self.open if one == key]}
        if words[:2] == ["rados", "--pool"]:
            assert words[-2:] == ["listomapvals", "rbd_directory"]
            return self.directory(words[2], words[4] if words[3] == "--namespace" else "")
        raise AssertionError(words)

    def directory(self, pool, space):
        """As rados 16.2 writes it."""
        names = {identity: name for (one, other, name), identity in self.images.items() if (one, other) == (pool, space)}
        keys = {**{f"id_{identity}": name for identity, name in names.items()}, **{f"name_{name}": one for one, name in names.items()}}
        blocks = [f"{key}\nvalue ({len(text) + 4} bytes) :\n{hexdump(text)}\n" for key, text in sorted(keys.items())]
        return "\n".join(blocks).encode() if names else 1

    def rows(self, osd):
        """Open images are spread over the OSDs by client."""
        found = [row_of(f"rbd_header.{IMAGES[key]}", key[1], number) for key, number in self.open if number % 2 == osd]
        return found + (self.extra if osd == 0 else [])


def hexdump(text):
    value = len(text.encode()).to_bytes(4, "little") + text.encode()
    lines = []
    for start in range(0, len(value), 16):
        part = value[start : start + 16]
        low, high = (" ".join(f"{byte:02x}" for byte in half) for half in (part[:8], part[8:]))
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {low:23}  {high:23}  |{shown}|")
    return "\n".join([*lines, f"{len(value):08x}"])


def row_of(name, space="", number=4):
    return {
        "namespace": space,
        "object": name,
        "entity_name": {"type": "client", "num": number},
        "entity_addr_t": {"type": "v1", "addr": address(number), "nonce": 7},
    }


A, B, C, D = IMAGES
BOTH = pytest.mark.parametrize("way", [OSD, IMAGE])


@BOTH
def test_both_ways_find_the_same(way):
    cluster = Cluster((A, 4), (A, 5), (C, 6), (D, 7))
    found = _watchers.look(cluster.ceph(), [], way)
    assert (found.way, found.missing, found.note) == (way, [], "")
    assert found.places == ["vms", "vms/blue", "other"], "with namespaces, and no pool that holds something else"
    assert sorted((one.image, one.client, one.address) for one in found.watchers) == [
        ("other/d", "client.7", "10.0.0.7:0/7"),
        ("vms/blue/c", "client.6", "10.0.0.6:0/7"),
        (f"vms/volume-{UUID}", "client.4", "10.0.0.4:0/7"),
        (f"vms/volume-{UUID}", "client.5", "10.0.0.5:0/7"),
    ]
    assert found.images == (4 if way == IMAGE else None)


@BOTH
def test_nobody_watches(way):
    found = _watchers.look(Cluster().ceph(), [], way)
    assert (found.watchers, found.missing) == ([], [])


@BOTH
def test_a_pool_that_is_not_wanted_does_not_count(way):
    cluster = Cluster((A, 4), (D, 7))
    found = _watchers.look(cluster.ceph(), ["vms", "vms"], way)
    assert found.places == ["vms", "vms/blue"]
    assert [one.image for one in found.watchers] == [f"vms/volume-{UUID}"]
    assert found.note == "not looked at: other"


def test_a_pool_that_is_not_there_is_an_error_of_the_operator():
    with pytest.raises(InputError, match="no pool 'vmz'"):
        _watchers.look(Cluster().ceph(), ["vmz"], AUTO)


@pytest.mark.parametrize(
    ("row", "image"),
    [
        (row_of("rbd_header.zz"), "rbd_header.zz"),
        (row_of("rbd_header.zz", "red"), "red/rbd_header.zz"),
        (row_of("rbd_header.c3"), "rbd_header.c3"),  # that id is of another namespace
        (row_of("old.rbd"), "old"),
    ],
)
def test_a_header_that_no_pool_knows_counts_all_the_same(row, image):
    """It may be of an image that is being removed, or of a pool made a moment ago: somebody writes to it."""
    found = _watchers.look(Cluster(extra=[row]).ceph(), ["vms"], OSD)
    assert [one.image for one in found.watchers] == [image]


def test_what_is_no_header_does_not_count():
    others = [row_of("rbd_mirroring"), row_of("rbd_trash"), row_of("gw.notify.0"), row_of("rbd_data.a1.0001")]
    assert _watchers.look(Cluster(extra=others).ceph(), [], OSD).watchers == []


def test_each_directory_is_read_once_and_only_where_something_is_open():
    cluster = Cluster((A, 4), (A, 6), (B, 8))
    _watchers.look(cluster.ceph(), [], OSD)
    assert sorted(call for call in cluster.calls if call.startswith("rados")) == [
        f"rados --pool {pool} listomapvals rbd_directory" for pool in ("other", "vms")
    ]


def test_names_of_every_length_and_alphabet_are_read_from_a_directory():
    names = ["x" * length for length in range(1, 70)] + ["диск-1", "|a|", "00000000 61 62", "id_x"]
    cluster = Cluster()
    cluster.images = {("vms", "", name): f"i{number}" for number, name in enumerate(names)}
    assert _watchers.directory(cluster.ceph(), "vms", "") == {f"i{number}": name for number, name in enumerate(names)}


def test_a_directory_that_cannot_be_read_ends_the_look():
    """Not read is not the same as not there."""
    with pytest.raises(CephError, match="no answer"):
        _watchers.look(Cluster((A, 4), broken={"rados": None}).ceph(), [], OSD)


@pytest.mark.parametrize("way", [OSD, AUTO])
def test_an_osd_that_is_silent_leaves_something_missing(way):
    found = _watchers.look(Cluster((A, 4), broken={"ceph tell osd.1": None}).ceph(), [], way)
    assert len(found.missing) == 1 and "osd.1" in found.missing[0]
    assert len(found.watchers) == 1, "what the others said is told"


@pytest.mark.parametrize("status", [13, 1, 22])
def test_a_key_that_may_not_ask_osds_asks_each_image_and_says_so(status):
    cluster = Cluster((A, 4), broken={"ceph tell": status})
    found = _watchers.look(cluster.ceph(), [], AUTO)
    assert (found.way, found.images, [one.client for one in found.watchers]) == (IMAGE, 4, ["client.4"])
    assert "each image was asked" in found.note and ("this key may not" in found.note) == (status != 22)
    assert sum(call.startswith("ceph tell") for call in cluster.calls) <= 2
    with pytest.raises(CephError):
        _watchers.look(cluster.ceph(), [], OSD)


@pytest.mark.parametrize("way", [AUTO, OSD, IMAGE])
def test_where_no_pool_was_looked_at_nothing_is_proved(way):
    found = _watchers.look(Ceph(["ceph"], 5, lambda argv, given, seconds: (0, b"[]", "")), [], way)
    assert found.watchers == [] and "no pool has the application rbd" in found.missing[0]


@pytest.mark.parametrize("state", ["down", "peering", "stale+active+clean", "unknown"])
def test_what_is_open_in_groups_that_are_not_active_is_not_told_by_the_osds(state):
    cluster = Cluster((A, 4))
    cluster.groups.append(state)
    assert _watchers.look(cluster.ceph(), [], AUTO).way == IMAGE
    with pytest.raises(CephError, match="not active"):
        _watchers.look(cluster.ceph(), [], OSD)


@pytest.mark.parametrize("down", [[1], [0, 1]])
def test_where_an_osd_is_down_the_others_do_not_tell_for_it(down):
    """What is open in its placement groups is known to nobody else: an empty answer of the rest is no proof."""
    cluster = Cluster((A, 5))
    for osd in down:
        cluster.osds[osd]["up"] = 0
    with pytest.raises(CephError, match=r"osd.1.* down"):
        _watchers.look(cluster.ceph(), [], OSD)
    found = _watchers.look(cluster.ceph(), [], AUTO)
    assert (found.way, [one.client for one in found.watchers]) == (IMAGE, ["client.5"])
    assert "down" in found.note


def test_no_osd_at_all_is_no_proof():
    cluster = Cluster((A, 5))
    for row in cluster.osds:
        row.update({"up": 0, "in": 0})
    with pytest.raises(CephError, match="no OSD"):
        _watchers.look(cluster.ceph(), [], OSD)


def test_an_image_that_is_removed_meanwhile_is_no_lack():
    cluster = Cluster((A, 4))

    def run(argv, given, seconds):
        if argv[:3] == ["rbd", "status", "vms/b"]:
            cluster.images.pop(B, None)
        return cluster.run(argv, given, seconds)

    found = _watchers.look(Ceph(["ceph"], 5.0, run=run), [], IMAGE)
    assert (found.missing, found.images, len(found.watchers)) == ([], 3, 1)


def test_an_image_that_is_listed_and_cannot_be_opened_proves_nothing():
    """Half removed, or its header is lost: who has it open is not known."""
    found = _watchers.look(Cluster((A, 4), broken={"rbd status vms/b$": 2}).ceph(), [], IMAGE)
    assert (len(found.missing), found.images, len(found.watchers)) == (1, 3, 1)
    assert "vms/b" in found.missing[0]


@pytest.mark.parametrize("failure", [None, 1, 13])
def test_an_image_that_cannot_be_asked_leaves_something_missing(failure):
    found = _watchers.look(Cluster(broken={"rbd status vms/b$": failure}).ceph(), [], IMAGE)
    assert len(found.missing) == 1 and "vms/b" in found.missing[0]


def test_when_nobody_answers_not_every_image_is_waited_for():
    cluster = Cluster(broken={"rbd status": None})
    cluster.images.update({("vms", "", f"i{number}"): f"n{number}" for number in range(500)})
    found = _watchers.look(cluster.ceph(), ["vms"], IMAGE)
    assert found.missing
    assert sum(call.startswith("rbd status") for call in cluster.calls) <= 100


def test_watchers_as_older_releases_write_them():
    found = _watchers._of_status("vms/a", {"watcher": {"client": 4, "address": "10.0.0.4:0/7", "cookie": 1}})
    assert found == [Watcher("vms/a", "client.4", "10.0.0.4:0/7")]


# Waiting for the watchers of clients that died.


class Clock(_pace.Pace):
    """Time that passes when it is waited for. C(acts): by the number of the wait, what happens meanwhile."""

    def __init__(self, acts=None):
        self.now, self.acts, self.waits = 0.0, acts or {}, 0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds
        self.waits += 1
        self.acts.get(self.waits, lambda: None)()


def wait(cluster, monkeypatch, clock, linger=35.0, expected=lambda one: False):
    monkeypatch.setattr(_pace, "pace", clock)
    return _watchers.look_until_free(cluster.ceph(), [], OSD, linger, expected)


def test_a_dead_client_is_waited_for(monkeypatch):
    cluster = Cluster((A, 4))
    clock = Clock({4: cluster.open.clear})
    assert wait(cluster, monkeypatch, clock).watchers == []
    assert clock.now == 20.0


def test_a_living_client_is_not_waited_for_without_end(monkeypatch):
    clock = Clock()
    assert len(wait(Cluster((A, 4)), monkeypatch, clock).watchers) == 1
    assert clock.now == 35.0


def test_a_client_that_comes_back_at_the_end_is_seen(monkeypatch):
    """What counts is the last look, not the emptiest."""
    cluster = Cluster((A, 4), (B, 6))
    clock = Clock({1: lambda: cluster.open.remove((B, 6)), 7: lambda: cluster.open.append((B, 8))})
    assert sorted(one.client for one in wait(cluster, monkeypatch, clock).watchers) == ["client.4", "client.8"]


@pytest.mark.parametrize("linger", [0.0, 0.4])
def test_a_short_wait_is_not_made_longer(monkeypatch, linger):
    clock = Clock()
    wait(Cluster((A, 4)), monkeypatch, clock, linger)
    assert clock.now == linger


def test_nobody_waits_for_what_is_accepted(monkeypatch):
    clock = Clock()
    found = wait(Cluster((B, 4)), monkeypatch, clock, expected=lambda one: one.image == "vms/b")
    assert clock.now == 0.0
    assert len(found.watchers) == 1, "it is told all the same"


def test_nobody_waits_where_the_answer_is_not_whole(monkeypatch):
    clock = Clock()
    assert wait(Cluster((B, 4), broken={"ceph tell osd.1": None}), monkeypatch, clock).missing
    assert clock.now == 0.0


# Whose image it is.


@pytest.mark.parametrize(
    ("pattern", "image", "uuid"),
    [
        ("volume-([0-9a-f-]{36})", f"vms/volume-{UUID}", UUID),
        ("volume-([0-9a-f-]{36})", f"vms/blue/volume-{UUID}", UUID),
        ("(?i)volume-([0-9a-f-]{36})", f"vms/volume-{UUID.upper()}", UUID),
        ("^([0-9a-f-]{36})_disk", f"vms/{UUID}_disk.config", UUID),
        ("volume-([0-9a-f-]{36})", f"volume-{UUID}/b", ""),  # the name of a pool tells nothing
        ("volume-(.*)", "vms/volume-a b", ""),
        ("volume-([0-9a-f-]{36})|b()", "vms/b", ""),
        (None, f"vms/volume-{UUID}", ""),
        ("", f"vms/volume-{UUID}", ""),
    ],
)
def test_the_name_of_an_image_tells_its_vm(pattern, image, uuid):
    assert _watchers.vm_of(image, _watchers.image_pattern(pattern)) == uuid


@pytest.mark.parametrize(("pattern", "words"), [("volume-(", "is no regular expression"), ("volume-.*", "needs a group")])
def test_a_pattern_that_cannot_tell_is_refused(pattern, words):
    with pytest.raises(InputError, match=words):
        _watchers.image_pattern(pattern)


# What keeps VMs from coming back.


class Left(Cluster):
    def __init__(self, blocked=(), locks=None, **more):
        super().__init__(**more)
        self.blocked, self.locks = blocked, locks or {}

    def answer(self, words):
        if words[:4] == ["ceph", "osd", "blocklist", "ls"]:
            return json.dumps([{"addr": addr, "until": "x"} for addr in self.blocked]).encode() + b"listed 1 entries"
        if words[:3] == ["rbd", "lock", "ls"]:
            return self.locks.get(words[3], [])
        return super().answer(words)


def test_leftovers_are_named_with_the_command_that_ends_them():
    lock = {"id": "auto 94", "locker": "client.4", "address": "10.0.0.4:0/7"}
    cluster = Left(["10.0.0.9:0/1"], {f"vms/volume-{UUID}": [lock], "vms/b": [lock]})
    lines = _watchers.leftovers(cluster.ceph(), [], "volume-([0-9a-f-]{36})", [UUID])
    assert len(lines) == 2, "no lock of others"
    assert "ceph osd blocklist rm 10.0.0.9:0/1" in lines[0]
    assert f"rbd lock rm vms/volume-{UUID} 'auto 94' client.4" in lines[1]


def test_many_leftovers_are_counted():
    lines = _watchers.leftovers(Left([f"10.0.0.{n}:0/1" for n in range(25)]).ceph(), [], None, [UUID])
    assert len(lines) == 21 and "and 5 more" in lines[-1]


def test_leftovers_that_cannot_be_looked_for_fail_nothing():
    lines = _watchers.leftovers(Left(broken={"ceph osd blocklist": 13}).ceph(), [], None, [])
    assert len(lines) == 1 and "could not be looked for" in lines[0]
