# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has images open: two ways to ask a cluster that is a dictionary, and what is not known counts against."""

from __future__ import annotations

import json

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import leftovers, rbd
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import watchers as _watchers
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.command import Ceph
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.watchers import AUTO, IMAGE, OSD, Watcher
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError, InputError
from harness import ceph_answers

UUID = "0a1b2c3d-0000-4000-8000-00000000000a"
# (pool, namespace, name): id
IMAGES = {("vms", "", f"volume-{UUID}"): "a1", ("vms", "", "b"): "b2", ("vms", "blue", "c"): "c3", ("other", "", "d"): "d4"}

POOLS = {"vms": ["rbd"], "other": ["rbd"], "files": ["cephfs"], ".mgr": ["mgr"]}


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
        self.trash = {}  # (pool, namespace, name): id
        self.old = []  # (pool, namespace, name) in the old format
        self.without_header = set()  # ids whose header object is gone
        self.pools = dict(POOLS)

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
            # The status of rados is 1 for every error.
            return (1 if words[0] == "rados" else found), b"", f"error getting omap keys vms/{words[-1]}: ({found}) No such thing"
        return 0, found if isinstance(found, bytes) else json.dumps(found).encode(), ""

    def answer(self, words):
        if words[:4] == ["ceph", "osd", "pool", "ls"]:
            return [{"pool_name": name, "application_metadata": {key: {} for key in uses}} for name, uses in self.pools.items()]
        if words[:3] == ["ceph", "osd", "dump"]:
            return {"osds": self.osds}
        if words[:3] == ["ceph", "pg", "stat"]:
            return {"pg_ready": True, "pg_summary": {"num_pg_by_state": [{"name": name, "num": 1} for name in self.groups]}}
        if words[:2] == ["ceph", "tell"]:
            return self.rows(int(words[2].partition(".")[2]))
        if words[:3] == ["rbd", "namespace", "ls"]:
            spaces = {space for pool, space, _name in (*self.images, *self.trash) if pool == words[3]}
            return [{"name": space} for space in sorted(spaces - {""})]
        if words[:2] == ["rbd", "ls"]:
            pool, _slash, space = words[2].partition("/")
            return [name for one, other, name in (*self.images, *self.old) if (one, other) == (pool, space)]
        if words[:4] == ["rbd", "trash", "ls", "--all"]:
            pool, _slash, space = words[4].partition("/")
            return [{"id": identity, "name": name} for (one, other, name), identity in self.trash.items() if (one, other) == (pool, space)]
        if words[:2] == ["rbd", "status"]:
            parts = words[2].split("/")
            key = (parts[0], parts[1] if len(parts) == 3 else "", parts[-1])
            assert key in self.old, "what has an id is asked by it"
            return {"watchers": [{"client": n, "address": f"{address(n)}/7", "cookie": 1} for one, n in self.open if one == key]}
        if words[:2] == ["rados", "--pool"]:
            space = words[4] if words[3] == "--namespace" else ""
            if words[-2:] == ["listomapvals", "rbd_directory"]:
                return self.directory(words[2], space)
            assert words[-2] == "listwatchers" and words[-1].startswith("rbd_header.")
            return self.watchers(words[2], space, words[-1][11:])
        raise AssertionError(words)

    def watchers(self, pool, space, identity):
        """As rados 16.2 writes them."""
        keys = [key for key, one in {**self.images, **self.trash}.items() if one == identity and key[:2] == (pool, space)]
        if not keys or identity in self.without_header:
            return 2
        return "".join(f"watcher={address(n)}/7 client.{n} cookie=14059\n" for one, n in self.open if one in keys).encode()

    def directory(self, pool, space):
        """As rados 16.2 writes it."""
        names = {identity: name for (one, other, name), identity in self.images.items() if (one, other) == (pool, space)}
        keys = {**{f"id_{identity}": name for identity, name in names.items()}, **{f"name_{name}": one for one, name in names.items()}}
        blocks = [f"{key}\nvalue ({len(text) + 4} bytes) :\n{hexdump(text)}\n" for key, text in sorted(keys.items())]
        return "\n".join(blocks).encode() if names else 2

    def rows(self, osd):
        """Open images are spread over the OSDs by client."""
        ids = {**self.images, **self.trash}
        found = [row_of(f"rbd_header.{ids[key]}", key[1], number) for key, number in self.open if number % 2 == osd]
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
    assert found.unchecked[0] == "Not checked, as ceph_maint_rbd_pools leaves them out: the pools other"


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
    assert rbd.directory(cluster.ceph(), rbd.Place("vms")) == {f"i{number}": name for number, name in enumerate(names)}


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
    assert found.watchers == [] and "no pool may hold RBD images" in found.missing[0]


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
        if argv[-1] == "rbd_header.b2":
            cluster.images.pop(B, None)
        return cluster.run(argv, given, seconds)

    found = _watchers.look(Ceph(["ceph"], 5.0, run=run), [], IMAGE)
    assert (found.missing, found.without_header, found.images, len(found.watchers)) == ([], [], 3, 1)


def test_an_image_whose_header_is_gone_breaks_nothing_and_is_named():
    """Half removed: no client can be registered at an object that does not exist."""
    cluster = Cluster((A, 4))
    cluster.without_header.add("b2")
    found = _watchers.look(cluster.ceph(), [], IMAGE)
    assert (found.missing, found.images, len(found.watchers)) == ([], 3, 1)
    assert "Half removed, without a header that a client could have open: vms/b" in found.unchecked


@pytest.mark.parametrize("failure", [None, 1, 13, 5])
def test_an_image_that_cannot_be_asked_leaves_something_missing(failure):
    found = _watchers.look(Cluster(broken={"rados --pool vms listwatchers rbd_header.b2$": failure}).ceph(), [], IMAGE)
    assert len(found.missing) == 1 and "rbd_header.b2" in found.missing[0]


def test_when_nobody_answers_not_every_image_is_waited_for():
    cluster = Cluster(broken={"rados --pool vms listwatchers": None})
    cluster.images.update({("vms", "", f"i{number}"): f"n{number}" for number in range(500)})
    found = _watchers.look(cluster.ceph(), ["vms"], IMAGE)
    assert found.missing
    assert sum("listwatchers" in call for call in cluster.calls) <= 100


def test_watchers_in_an_unknown_form_are_not_taken_for_none():
    def run(argv, given, seconds):
        return (0, b"watchers: client.4\n", "") if "listwatchers" in argv else Cluster().run(argv, given, seconds)

    found = _watchers.look(Ceph(["ceph"], 5.0, run=run), [], IMAGE)
    assert len(found.missing) == len(IMAGES) and "form that this version does not know" in found.missing[0]


@pytest.mark.parametrize("text", ["error opening pool vms: (2) No such file or directory", "can't open ceph.conf: (2) No such file"])
def test_only_an_object_that_is_missing_is_no_error(text):
    """Whatever else is not found, the key or the pool, the images are not known then."""

    def run(argv, given, seconds):
        return (1, b"", text) if argv[0] == "rados" else Cluster().run(argv, given, seconds)

    found = _watchers.look(Ceph(["ceph"], 5.0, run=run), ["vms"], IMAGE)
    assert found.unread and not found.places


# Where images can be.


@BOTH
@pytest.mark.parametrize("uses", [[], ["volumes"], ["cephfs", "volumes"], ["rgw", "rbd"], ["rook-ceph-block"]])
def test_an_image_in_a_pool_without_the_application_rbd_counts(way, uses):
    cluster = Cluster((D, 7))
    cluster.pools["other"] = uses
    found = _watchers.look(cluster.ceph(), [], way)
    assert [(one.image, one.client) for one in found.watchers] == [("other/d", "client.7")]
    assert "other" in found.places


@pytest.mark.parametrize("uses", [["cephfs"], ["rgw"], ["nfs"], ["mgr"], ["mgr_devicehealth"], ["cephfs", "nfs"]])
def test_a_pool_of_other_applications_alone_is_not_checked_and_named(uses):
    cluster = Cluster()
    cluster.pools["other"] = uses
    found = _watchers.look(cluster.ceph(), [], IMAGE)
    assert "other" not in found.places
    assert found.unchecked[0] == "Not checked, as only CephFS, RGW, NFS or the manager use them: the pools other, files, .mgr"


def test_what_no_list_names_is_said_to_be_out_of_reach_of_asking_images():
    sentence = "Not checked, as each image was asked: images that neither rbd_directory nor rbd_trash of their pool names"
    assert sentence in _watchers.look(Cluster().ceph(), [], IMAGE).unchecked
    assert sentence not in _watchers.look(Cluster().ceph(), [], OSD).unchecked, "the OSDs tell of every header"


@BOTH
def test_an_image_in_the_trash_counts(way):
    """Moved there by hand, by rbd_move_to_trash_on_remove, half removed, or the source of a migration."""
    cluster = Cluster((("vms", "", "b-old"), 4), (("other", "red", "x"), 6))
    cluster.trash = {("vms", "", "b-old"): "t1", ("other", "red", "x"): "t2"}
    found = _watchers.look(cluster.ceph(), [], way)
    assert sorted(one.image for one in found.watchers) == ["other/red/trash:t2/x", "vms/trash:t1/b-old"]
    assert found.missing == []


def test_the_name_of_an_image_in_the_trash_tells_its_vm():
    image = f"vms/trash:t1/volume-{UUID}"
    assert _watchers.vm_of(image, _watchers.image_pattern("^volume-([0-9a-f-]{36})$")) == UUID


def test_the_trash_of_a_pool_that_is_not_wanted_does_not_count():
    cluster = Cluster((("other", "", "x"), 6))
    cluster.trash = {("other", "", "x"): "t2"}
    assert _watchers.look(cluster.ceph(), ["vms"], OSD).watchers == []


def test_an_image_of_the_old_format_is_asked_by_its_name():
    cluster = Cluster((("vms", "", "old"), 4))
    cluster.old.append(("vms", "", "old"))
    found = _watchers.look(cluster.ceph(), [], IMAGE)
    assert ([one.image for one in found.watchers], found.images) == (["vms/old"], 5)


def test_the_objects_of_a_pool_are_never_listed():
    cluster = Cluster((A, 4))
    for way in (OSD, IMAGE):
        _watchers.look(cluster.ceph(), [], way)
    assert not [call for call in cluster.calls if call.startswith("rados") and call.split()[-1] == "ls"]


@pytest.mark.parametrize(
    ("call", "place"),
    [
        ("rbd namespace ls other", "other"),
        ("rados --pool other listomapvals", "other"),
        ("rbd trash ls --all other", "other"),
        ("rbd ls other", "other"),
        ("rbd trash ls --all vms/blue", "vms/blue"),
    ],
)
def test_a_pool_that_the_key_may_not_read_is_named_and_the_rest_is_checked(call, place):
    found = _watchers.look(Cluster((A, 4), broken={call: 1}).ceph(), [], IMAGE)
    assert list(found.unread) == [place] and call in found.unread[place]
    assert (found.missing, [one.client for one in found.watchers]) == ([], ["client.4"])
    assert place not in found.places


def test_of_many_pools_that_the_key_may_not_read_none_is_forgotten():
    cluster = Cluster(broken={"rbd namespace ls": 1})
    cluster.pools = {f"p{number}": [] for number in range(200)}
    assert len(_watchers.look(cluster.ceph(), [], IMAGE).unread) == 200
    assert len(cluster.calls) < 100


def test_a_pool_that_gives_no_answer_is_no_unread_one():
    with pytest.raises(CephError, match="gave no answer"):
        _watchers.look(Cluster(broken={"rbd trash ls --all other": None}).ceph(), [], IMAGE)


def test_watchers_as_older_releases_write_them():
    found = _watchers._of_status("vms/a", {"watcher": {"client": 4, "address": "10.0.0.4:0/7", "cookie": 1}})
    assert found == [Watcher("vms/a", "client.4", "10.0.0.4:0/7")]


# Waiting for the watchers of clients that died.


class Clock(_clock.Pace):
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
    monkeypatch.setattr(_clock, "pace", clock)
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
        self.locks = locks or {}
        self.blocklist = json.dumps([{"addr": addr, "until": "x"} for addr in blocked]).encode() + b"listed 1 entries"

    def answer(self, words):
        if words[:4] == ["ceph", "osd", "blocklist", "ls"]:
            return self.blocklist
        if words[:3] == ["rbd", "lock", "ls"]:
            return self.locks.get(words[3], [])
        return super().answer(words)


def test_leftovers_are_named_with_the_command_that_ends_them():
    lock = {"id": "auto 94", "locker": "client.4", "address": "10.0.0.4:0/7"}
    cluster = Left(["10.0.0.9:0/1"], {f"vms/volume-{UUID}": [lock], "vms/b": [lock]})
    lines = leftovers.lines(cluster.ceph(), [], "volume-([0-9a-f-]{36})", [UUID])
    assert len(lines) == 2, "no lock of others"
    assert "ceph osd blocklist rm 10.0.0.9:0/1" in lines[0]
    assert f"rbd lock rm vms/volume-{UUID} 'auto 94' client.4" in lines[1]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            ceph_answers.BLOCKLIST_PACIFIC,
            ["rm 10.9.9.9:0/77", "range rm 10.1.114.0/24", "range rm 2001:db8::/48"],
        ),
        (ceph_answers.BLOCKLIST_WITHOUT_RANGES, ["rm 10.9.9.9:0/77"]),
        (ceph_answers.BLOCKLIST_LATER, ["rm 100.64.0.3:0/0", "range rm 100.64.0.0/30"]),
    ],
)
def test_blocklisted_ranges_are_named_with_the_command_that_clears_them(text, commands):
    """C(ceph osd blocklist range rm) takes an address and a prefix, without what the list writes around them (seen on 16.2.15)."""
    cluster = Left()
    cluster.blocklist = text
    lines = leftovers.lines(cluster.ceph(), [], None, [])
    assert [line.rpartition("ceph osd blocklist ")[2] for line in lines] == commands


def test_a_blocklist_in_an_unknown_form_is_not_passed_over():
    cluster = Left()
    cluster.blocklist = b'[{"address": "10.0.0.1"}]'
    (line,) = leftovers.lines(cluster.ceph(), [], None, [])
    assert "10.0.0.1" in line


def test_many_leftovers_are_counted():
    lines = leftovers.lines(Left([f"10.0.0.{n}:0/1" for n in range(25)]).ceph(), [], None, [UUID])
    assert len(lines) == 21 and "and 5 more" in lines[-1]


def test_locks_that_cannot_be_looked_for_are_said():
    """One pool or one image that the key may not read does not hide the locks of the others."""
    lock = {"id": "auto 94", "locker": "client.4", "address": "10.0.0.4:0/7"}
    locks = {f"vms/volume-{UUID}": [lock]}
    cluster = Left([], locks, broken={"rbd namespace ls other": 1, f"rbd lock ls vms/blue/volume-{UUID}": 13})
    cluster.images["vms", "blue", f"volume-{UUID}"] = "b5"
    lines = leftovers.lines(cluster.ceph(), [], "volume-([0-9a-f-]{36})", [UUID])
    assert len(lines) == 3
    assert "the pools other could not" in lines[0] and "rbd lock rm" in lines[1] and "vms/blue" in lines[2]


def test_leftovers_that_cannot_be_looked_for_fail_nothing():
    lines = leftovers.lines(Left(broken={"ceph osd blocklist": 13}).ceph(), [], None, [])
    assert len(lines) == 1 and "could not be looked for" in lines[0]
