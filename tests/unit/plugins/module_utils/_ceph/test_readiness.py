# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Ceph really serves: each thing that may be missing, told by name, and nothing else."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils import _clock
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph import readiness
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.command import Ceph
from ansible_collections.pilw.maintenance.plugins.module_utils._ceph.readiness import Gate, put_flags
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import CephError, InputError, Refused
from harness import ceph_answers

STATUS = {
    "health": {"status": "HEALTH_OK", "checks": {}},
    "osdmap": {"num_osds": 3, "num_up_osds": 3, "num_in_osds": 3},
    "pgmap": {"pgs_by_state": []},
}
SILENT = None  # in the place of an exit status


class Clock(_clock.Pace):
    """Time that passes when it is waited for. C(acts): by the number of the wait, what happens meanwhile."""

    def __init__(self):
        self.now, self.waits, self.acts = 0.0, 0, {}

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds
        self.waits += 1
        self.acts.get(self.waits, lambda: None)()


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(_clock, "pace", made)
    return made


class Cluster:
    """A cluster that serves, but for what a test changes. C(broken): what calls, by their first words, raise."""

    def __init__(self, *flags):
        self.flags = set(flags)
        self.status = copy.deepcopy(STATUS)
        self.osds = [{"osd": number, "up": 1, "in": 1} for number in range(3)]
        self.groups = {"2.0": "active+clean", "2.1": "active+clean", "3.0": "active+undersized+degraded"}
        self.broken = {}
        self.pool = {}
        self.stands = False
        self.nested = False
        self.deaf = False  # takes flags and does nothing
        self.objects = {}
        self.texts = {}  # whole answers, by the first words of calls
        self.calls = []
        self.fsid = "a-1"

    def ceph(self):
        return Ceph(["ceph"], 5.0, run=self.run)

    def gate(self, *accepted, probe=""):
        return Gate(self.ceph(), probe, accepted)

    def run(self, argv, given, seconds):
        words = [word for word in argv if word not in ("--format", "json")]
        self.calls.append(" ".join(words))
        for lead, failure in self.broken.items():
            if self.calls[-1].startswith(lead):
                if failure is SILENT:
                    raise CephError(argv, "gave no answer within 5 s", timed_out=True)
                return failure, b"", "Error"
        for lead, text in self.texts.items():
            if self.calls[-1].startswith(lead):
                return 0, text, ""
        found = self.answer(words, given)
        return 0, found if isinstance(found, bytes) else json.dumps(found).encode(), ""

    def answer(self, words, given):
        if words[0] == "rados":
            verb, name = words[3], words[4]
            if verb == "put":
                self.objects[name] = given
            return self.objects.pop(name, b"") if verb == "rm" else self.objects[name]
        if words[1:3] == ["osd", "dump"]:
            pools = [{"pool": 2, "pool_name": "vms", "pg_num": 2, **self.pool}, {"pool": 3, "pool_name": "backup", "pg_num": 1}]
            pools += [{"pool": 4, "pool_name": "scratch", "pg_num": 0}]
            shown = sorted(self.flags - {"pause"} | ({"pauserd", "pausewr"} if "pause" in self.flags else set()))
            return {"fsid": self.fsid, "osds": self.osds, "pools": pools, "flags_set": [*shown, "sortbitwise"]}
        if words[1:3] == ["pg", "stat"]:
            found = {}
            for state in self.groups.values():
                found[state] = found.get(state, 0) + 1
            summary = {"num_pg_by_state": [{"name": state, "num": count} for state, count in found.items()]}
            return {"pg_summary": summary} if self.nested else summary
        if words[1:4] == ["pg", "dump", "pgs_brief"]:
            rows = [{"pgid": group, "state": state} for group, state in self.groups.items()]
            return {"pg_stats": rows} if self.nested else rows
        if words[1:3] == ["pg", "dump"]:
            count = 1 if self.stands else sum(call.startswith("ceph pg dump sum") for call in self.calls)
            report = {"version": count, "stamp": "x"}
            return {"pg_map": report} if self.nested else report
        if words[1:3] in (["osd", "set"], ["osd", "unset"]):
            if not self.deaf:
                (self.flags.add if words[2] == "set" else self.flags.discard)(words[3])
            return b""
        if words[1] == "tell":
            return {"version": "16.2.15"}
        if words[1] == "status":
            return self.status
        return {}


def found_by(cluster, *accepted, probe=""):
    """What is missing at the second look: at the first the report cannot have moved on."""
    gate = cluster.gate(*accepted, probe=probe)
    gate.whole()
    return {lack.item: lack.text for lack in gate.whole() if lack.item not in accepted}


@pytest.mark.parametrize("nested", [False, True])
def test_a_cluster_that_serves_lacks_nothing_once_its_report_has_moved_on(clock, nested):
    cluster = Cluster()
    cluster.nested = nested
    gate = cluster.gate()
    assert [lack.item for lack in gate.whole()] == ["health:manager-stands-still"]
    assert gate.wait(60, gate.whole) == []
    assert clock.waits == 0
    assert "ceph_maint_probe_pool is not set" in gate.notes["probe"]


def test_a_report_that_stands_still_is_never_enough(clock):
    """A monitor that stands alone after an outage says HEALTH_OK, all OSDs up, all groups active: all from before."""
    cluster = Cluster()
    cluster.stands = True
    gate = cluster.gate()
    assert [lack.item for lack in gate.wait(60, gate.whole)] == ["health:manager-stands-still"]
    assert clock.now == 60


def spoil(**attributes):
    def act(cluster):
        for name, value in attributes.items():
            setattr(cluster, name, value)

    return act


def osd(number, **columns):
    return lambda cluster: cluster.osds[number].update(columns)


def all_osds(**columns):
    return lambda cluster: [row.update(columns) for row in cluster.osds]


@pytest.mark.parametrize(
    ("act", "items"),
    [
        (spoil(broken={"ceph quorum_status": SILENT}), ["health:monitors-silent"]),
        (spoil(broken={"ceph osd dump": SILENT}), ["health:monitors-silent"]),
        (spoil(broken={"ceph pg dump sum": SILENT}), ["health:manager-silent"]),
        (spoil(broken={"ceph pg stat": SILENT}), ["health:manager-silent"]),
        (spoil(broken={"ceph pg stat": 13}), ["health:manager-silent"]),
        (spoil(flags={"pause", "noout"}), ["health:flag-pause"]),
        (spoil(flags={"nodown", "noup", "full"}), ["health:flag-full", "health:flag-nodown", "health:flag-noup"]),
        (spoil(flags={"noout", "norecover", "nobackfill", "norebalance"}), []),
        (osd(1, up=0), ["health:osd-1"]),
        (osd(1, up=0, **{"in": 0}), []),
        (all_osds(up=0, **{"in": 0}), ["health:osd-none"]),
        (spoil(osds=[]), ["health:osd-none"]),
        (spoil(broken={"ceph tell osd.2": SILENT}), ["health:osd-2"]),
        (spoil(broken={"ceph tell": SILENT}), ["health:osd-0", "health:osd-1", "health:osd-2"]),
        (spoil(broken={"ceph tell": 13}), []),
        (spoil(groups={"2.0": "peering", "2.1": "active+clean"}), ["health:pgs-vms"]),
        (spoil(groups={"2.0": "unknown", "3.0": "down", "7.1": "incomplete"}), ["health:pgs-vms", "health:pgs-backup", "health:pgs-7"]),
        (spoil(groups={"2.0": "stale+active+clean"}), ["health:pgs-vms"]),
        (spoil(groups={"2.0": "active+recovery_wait+degraded"}), []),
        (spoil(groups={"2.0": "activating"}), ["health:pgs-vms"]),
        (spoil(groups={}), ["health:manager-silent"]),
    ],
)
def test_each_lack_is_told_by_name(clock, act, items):
    cluster = Cluster()
    act(cluster)
    assert sorted(found_by(cluster)) == sorted(items)


def test_what_cannot_be_asked_for_is_said_to_be_not_proved(clock):
    cluster = Cluster()
    cluster.broken = {"ceph tell": 13}
    gate = cluster.gate()
    gate.whole()
    assert "this key may not" in gate.notes["osd"]
    assert [lack.item for lack in gate.wait(0, gate.whole)] == [], "no lack: the rest has to do"
    cluster.broken.clear()
    gate.wait(0, gate.whole)
    assert "osd" not in gate.notes, "what was proved in the end is not said to be unproved"


@pytest.mark.parametrize("failure", [SILENT, 1, 2, 5, 13, 22, 110])
def test_an_osd_that_gives_no_good_answer_while_others_do_is_no_matter_of_the_key(clock, failure):
    cluster = Cluster()
    cluster.broken = {"ceph tell osd.1": failure}
    gate = cluster.gate()
    assert "health:osd-1" in [lack.item for lack in gate.whole()]
    assert "osd" not in gate.notes


def test_what_was_accepted_is_said_and_silent_monitors_prove_nothing(clock):
    cluster = Cluster()
    cluster.osds[1]["up"] = 0
    gate = cluster.gate("health:osd-1", "health:monitors-silent")
    assert gate.wait(60, gate.whole) == []
    assert [lack.item for lack in gate.passed_over] == ["health:osd-1"]
    assert readiness.headline(gate.passed_over, True) == "Ceph serves, except for what was accepted."
    cluster.broken = {"ceph": SILENT}
    assert gate.wait(0, gate.whole) == []
    assert readiness.headline(gate.passed_over, True) == "Whether Ceph serves was not proved, as accepted."
    assert [readiness.headline([], whole) for whole in (True, False)] == ["Ceph serves.", "Ceph still serves."]


def test_an_answer_by_halves_is_waited_out(clock):
    cluster = Cluster()
    osds, cluster.osds = cluster.osds, [{}]
    clock.acts[2] = lambda: setattr(cluster, "osds", osds)
    gate = cluster.gate()
    assert [lack.item for lack in gate.wait(0, gate.whole)] == ["health:answer-unknown"]
    assert gate.wait(60, gate.whole) == []


@pytest.mark.parametrize(("flags", "uses", "items"), [("full", "rbd", ["health:full-vms"]), ("nearfull", "rbd", []), ("full", "cephfs", [])])
def test_a_pool_that_is_full_takes_no_write(clock, flags, uses, items):
    cluster = Cluster()
    cluster.pool = {"flags_names": f"hashpspool,{flags}", "application_metadata": {uses: {}}}
    assert sorted(found_by(cluster)) == items
    gate = Gate(cluster.ceph(), "", [], ["vms"])
    assert ("health:full-vms" in [lack.item for lack in gate.whole()]) == (flags == "full"), "named by the operator, it has images"


@pytest.mark.parametrize("state", ["active+clean+laggy", "active+clean+wait", "active+recovery_unfound+degraded", "active+backfill_unfound"])
def test_a_group_that_holds_some_requests_back_does_not_serve(clock, state):
    cluster = Cluster()
    cluster.groups["2.0"] = state
    assert sorted(found_by(cluster)) == ["health:pgs-vms"]


def test_a_probe_pool_that_is_not_there_is_a_mistake_and_nothing_to_wait_for(clock):
    cluster = Cluster()
    gate = cluster.gate(probe="vmz")
    with pytest.raises(InputError, match="Ceph has no pool 'vmz'"):
        gate.wait(60, gate.whole)
    assert clock.now == 0


def test_all_tries_write_the_same_object(clock):
    """What one try could not remove the next one does."""
    cluster = Cluster()
    cluster.broken = {"rados --pool scratch rm": 5}
    gate = cluster.gate(probe="scratch")
    gate.wait(30, gate.whole)
    assert len(cluster.objects) == 1
    cluster.broken.clear()
    assert gate.wait(30, gate.whole) == [] and not cluster.objects


def test_what_is_accepted_is_not_waited_for(clock):
    cluster = Cluster()
    cluster.osds[1]["up"] = 0
    cluster.broken = {"ceph tell osd.2": SILENT}
    cluster.groups["2.0"] = "peering"
    gate = cluster.gate("health:osd-1", "health:osd-2", "health:pgs-vms")
    assert gate.wait(60, gate.whole) == []
    assert not any(call.startswith("ceph tell osd.2") for call in cluster.calls), "a silent one costs its whole time"
    gates = [cluster.gate("health:osd-1", "health:osd-2") for _each in range(2)]
    assert [lack.item for lack in gates[0].wait(1, gates[1].whole)][-1] == "health:pgs-vms"


def test_a_write_is_tried_also_where_something_is_accepted(clock):
    cluster = Cluster()
    cluster.osds[1]["up"] = 0
    gate = cluster.gate("health:osd-1", probe="vms")
    gate.wait(60, gate.whole)
    assert any(" put " in call for call in cluster.calls)


def test_what_is_mended_meanwhile_is_waited_for(clock):
    cluster = Cluster()
    cluster.osds[1]["up"] = 0
    clock.acts[3] = lambda: cluster.osds[1].update(up=1)
    gate = cluster.gate()
    assert gate.wait(60, gate.whole) == []
    assert clock.now == 9


def test_the_cheap_part_looks_at_what_changes_while_vms_start(clock):
    cluster = Cluster()
    gate = cluster.gate(probe="vms")
    assert gate.wait(60, gate.ramp) == []
    assert not any("tell" in call or "quorum" in call for call in cluster.calls)
    assert any(" put " in call for call in cluster.calls), "monitors alone go on saying what was"
    cluster.status["health"]["checks"] = {"SLOW_OPS": {"summary": {"message": "7 slow ops"}}, "OSDMAP_FLAGS": {}}
    assert [(lack.item, lack.text) for lack in gate.ramp()] == [("health:slow-SLOW_OPS", "Ceph is slow: 7 slow ops")]
    cluster.osds[0]["up"] = 0
    cluster.flags = {"pause"}
    cluster.groups["2.0"] = "down"
    assert [lack.item for lack in gate.ramp()] == ["health:flag-pause", "health:osd-0", "health:slow-SLOW_OPS", "health:pgs-vms"]
    cluster.broken = {"ceph status": SILENT}
    assert [lack.item for lack in gate.ramp()] == ["health:monitors-silent"]


def test_monitors_that_stand_alone_let_no_further_wave_start(clock):
    """Every OSD and the manager died at once: the monitors say for a quarter of an hour that all is well."""
    cluster = Cluster()
    cluster.stands = True
    gate = cluster.gate()
    assert [lack.item for lack in gate.wait(60, gate.ramp)] == ["health:manager-stands-still"]


# The write that comes back.


def test_a_small_object_is_written_read_and_removed(clock):
    cluster = Cluster()
    assert found_by(cluster, probe="scratch") == {}
    writes = [call.split()[:4] for call in cluster.calls if call.startswith("rados")]
    assert writes == [["rados", "--pool", "scratch", verb] for verb in ("put", "get", "rm")]
    assert cluster.objects == {}


def test_a_cluster_without_any_pool_has_no_groups_to_wait_for(clock):
    class Empty(Cluster):
        def answer(self, words, given):
            found = super().answer(words, given)
            return {**found, "pools": []} if words[1:3] == ["osd", "dump"] else found

    cluster = Empty()
    cluster.groups = {}
    assert found_by(cluster) == {}


@pytest.mark.parametrize("verb", ["put", "get", "rm"])
def test_a_write_that_does_not_end_is_a_lack(clock, verb):
    cluster = Cluster()
    cluster.broken = {f"rados --pool scratch {verb}": SILENT}
    assert list(found_by(cluster, probe="scratch")) == ["health:probe-scratch"]


def test_a_write_that_comes_back_changed_is_a_lack(clock):
    class Liar(Cluster):
        def answer(self, words, given):
            return b"other" if words[3:4] == ["get"] else super().answer(words, given)

    assert "came back changed" in found_by(Liar(), probe="scratch")["health:probe-scratch"]


def test_nothing_is_written_where_something_else_is_missing(clock):
    cluster = Cluster()
    cluster.osds[1]["up"] = 0
    found_by(cluster, probe="scratch")
    assert not any(call.startswith("rados") for call in cluster.calls)


# What is shown.


def test_the_state_as_it_is_told():
    cluster = Cluster()
    cluster.status = {
        "health": {"status": "HEALTH_WARN", "checks": {"PG_DEGRADED": {"summary": {"message": "some"}}, "ODD": {}, "OLD": {"muted": True}}},
        "osdmap": {"osdmap": {"num_osds": 3, "num_up_osds": 2, "num_in_osds": 3}},
        "pgmap": {"degraded_objects": 7, "misplaced_objects": 0},
    }
    state = readiness.read_state(cluster.ceph())
    assert (state.status, state.checks) == ("HEALTH_WARN", {"PG_DEGRADED": "some", "ODD": ""})
    assert (state.osds, state.recovery) == ("2 of 3 OSDs up, 3 in", "degraded objects 7")


@pytest.mark.parametrize(
    ("dump", "flags"),
    [
        ({"flags_set": ["noout", "sortbitwise"]}, ["noout", "sortbitwise"]),
        ({"flags_set": ["pauserd", "pausewr"]}, ["pause"]),
        ({"flags_set": ["pausewr"]}, ["pause"]),
        ({"flags": "noout,pauserd,pausewr"}, ["noout", "pause"]),
        ({"flags": ""}, []),
        ({"flags_set": []}, []),
    ],
)
def test_flags_are_read_as_they_are_set(dump, flags):
    assert readiness.flags_of(dump) == flags


# Setting and unsetting.


def orders(cluster):
    return [call for call in cluster.calls if call.startswith(("ceph osd set", "ceph osd unset"))]


def test_flags_are_written_only_where_they_differ(clock):
    cluster = Cluster("noout")
    before, after = put_flags(cluster.ceph(), ["noout", "pause"], True, 0, False)
    assert orders(cluster) == ["ceph osd set pause"]
    assert (before, after) == (["noout", "sortbitwise"], ["noout", "pause", "sortbitwise"])
    put_flags(cluster.ceph(), ["noout", "pause", "nodown"], False, 0, False)
    assert cluster.flags == set()
    count = len(orders(cluster))
    put_flags(cluster.ceph(), ["noout"], False, 0, False)
    assert len(orders(cluster)) == count == 3


@pytest.mark.parametrize(("setting", "after"), [(True, ["noout", "nodown", "sortbitwise"]), (False, ["sortbitwise"])])
def test_check_mode_tells_and_writes_nothing(clock, setting, after):
    cluster = Cluster("noout")
    assert put_flags(cluster.ceph(), ["noout", "nodown"], setting, 0, True) == (["noout", "sortbitwise"], sorted(after))
    assert orders(cluster) == [] and cluster.flags == {"noout"}


@pytest.mark.parametrize("flag", ["no-out", "full", "sortbitwise", ""])
def test_a_flag_that_nobody_sets_is_refused_before_any_write(clock, flag):
    cluster = Cluster()
    with pytest.raises(InputError, match="Nothing was changed"):
        put_flags(cluster.ceph(), ["noout", flag], True, 0, False)
    assert cluster.calls == []


def test_monitors_that_do_not_answer_are_tried_again(clock):
    cluster = Cluster("noout")
    cluster.broken = {"ceph osd unset": SILENT}
    clock.acts[2] = cluster.broken.clear
    put_flags(cluster.ceph(), ["noout"], False, 60, False)
    assert cluster.flags == set() and clock.now == 6


@pytest.mark.parametrize(("failure", "timeout", "waits"), [(SILENT, 9, 3), (13, 60, 0), (1, 60, 0), (22, 60, 0), (SILENT, 0, 0)])
def test_it_ends_where_asking_again_changes_nothing(clock, failure, timeout, waits):
    cluster = Cluster()
    cluster.broken = {"ceph osd set": failure}
    with pytest.raises(Refused, match="could not be set") as caught:
        put_flags(cluster.ceph(), ["noout"], True, timeout, False)
    assert clock.waits == waits
    assert "ceph osd set noout" in str(caught.value) and "-e ceph_maint_osd_flags=none" in str(caught.value), "each way on"


def test_a_flag_that_cannot_be_unset_can_be_unset_by_hand(clock):
    cluster = Cluster("noout")
    cluster.broken = {"ceph osd unset": 13}
    with pytest.raises(Refused, match=r"Do it yourself \(ceph osd unset noout\)") as caught:
        put_flags(cluster.ceph(), ["noout"], False, 0, False)
    assert "ceph_maint_osd_flags" not in str(caught.value)
    cluster.flags.clear()
    put_flags(cluster.ceph(), ["noout"], False, 0, False)


OTHER = (
    r"^Ceph is asked in the wrong place: another cluster answers than the one of which safe was proved: a-1, and not b-2\. {} "
    r"Correct .+: -e ceph_maint_accept=x,cluster:a-1 -e .ceph_maint_accept_reason='REASON'.$"
)


@pytest.mark.parametrize("setting", [True, False])
def test_flags_of_another_cluster_are_left_alone(clock, setting):
    cluster = Cluster("noout")
    wanted = ["nodown" if setting else "noout"]
    with pytest.raises(Refused, match=OTHER.format("No flag was changed.")) as caught:
        put_flags(cluster.ceph(), wanted, setting, 60, False, "b-2", ["x"])
    assert caught.value.items == ["cluster:a-1"] and orders(cluster) == [] and clock.waits == 0
    for known, accepted in (("b-2", ["cluster:a-1"]), ("a-1", []), ("", [])):
        put_flags(cluster.ceph(), wanted, setting, 60, False, known, accepted)
    assert len(orders(cluster)) == 1


@pytest.mark.parametrize("look", ["whole", "ramp"])
def test_the_word_of_another_cluster_is_not_taken(clock, look):
    cluster = Cluster()
    gate = Gate(cluster.ceph(), "scratch", ["x"], [], "b-2")
    with pytest.raises(Refused, match=OTHER.format("Nothing more was started.")):
        gate.wait(60, getattr(gate, look))
    assert clock.waits == 0 and not [call for call in cluster.calls if call.startswith("rados")]
    accepting = Gate(cluster.ceph(), "", ["cluster:a-1"], [], "b-2")
    assert accepting.wait(60, getattr(accepting, look)) == []


def test_an_old_ceph_that_does_not_tell_which_cluster_it_is_is_believed(clock):
    cluster = Cluster("noout")
    cluster.fsid = ""
    put_flags(cluster.ceph(), ["noout"], False, 60, False, "b-2", [])
    assert cluster.flags == set()


def test_a_flag_that_is_taken_and_not_shown_is_no_success(clock):
    cluster = Cluster()
    cluster.deaf = True
    with pytest.raises(Refused, match="does not show it"):
        put_flags(cluster.ceph(), ["noout"], True, 12, False)


def test_many_lacks_are_counted():
    text = readiness.told([readiness.Lack(f"osd.{number} is down", f"health:osd-{number}") for number in range(14)])
    assert text.endswith("osd.9 is down; and 4 more")


# Answers that are there and cannot be read.


@pytest.mark.parametrize(
    "call", ["ceph quorum_status", "ceph osd dump", "ceph pg stat", "ceph pg dump sum", "ceph tell osd.1 version", "ceph pg dump pgs_brief"]
)
def test_an_unreadable_answer_is_reported_as_that(clock, call):
    cluster = Cluster()
    if call.endswith("pgs_brief"):
        cluster.groups["2.1"] = "peering"
    cluster.texts = {call: b"<html>"}
    gate = cluster.gate()
    gate.whole()
    lacks = {lack.item: lack.text for lack in gate.whole()}
    assert list(lacks) == ["health:answer-unknown"]
    assert call in lacks["health:answer-unknown"] and "not JSON" in lacks["health:answer-unknown"]


@pytest.mark.parametrize("call", ["ceph status", "ceph osd dump"])
def test_an_unreadable_answer_between_waves_is_reported_as_that(clock, call):
    cluster = Cluster()
    cluster.texts = {call: b"{"}
    assert [lack.item for lack in cluster.gate().ramp()] == ["health:answer-unknown"]


def test_flags_are_not_tried_again_where_the_answer_is_unreadable(clock):
    cluster = Cluster()
    cluster.texts = {"ceph osd dump": b"<html>"}
    with pytest.raises(Refused, match="not JSON"):
        put_flags(cluster.ceph(), ["noout"], False, 1800.0, False)
    assert clock.waits == 0


def test_a_dump_of_reef_serves(clock):
    cluster = Cluster()
    cluster.texts = {"ceph osd dump": ceph_answers.OSD_DUMP_REEF}
    assert found_by(cluster) == {}
    assert put_flags(cluster.ceph(), ["noout"], True, 5.0, True) == (["sortbitwise"], ["noout", "sortbitwise"])


@pytest.mark.parametrize(("uses", "full"), [({}, True), ({"volumes": {}}, True), ({"cephfs": {}}, False), ({"cephfs": {}, "rbd": {}}, True)])
def test_a_full_pool_that_may_hold_images_is_missing(clock, uses, full):
    cluster = Cluster()
    cluster.pool = {"flags_names": "hashpspool,full", "application_metadata": uses}
    assert list(found_by(cluster)) == (["health:full-vms"] if full else [])
