# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table. Each measures what is compared side by side, on platforms with the same options, in this one run."""

from __future__ import annotations

import re
import statistics
import tempfile
import typing as t
from pathlib import Path

from benchmark import contenders, engine, large
from benchmark.playbooks import Operator, Play
from benchmark.simulated import Journal, Platform
from benchmark.table import Row

STOP = 22.0  # seconds of the platform that a graceful stop takes
START = 4.0
AT_ONCE = 64
# Of large.PARTS, in their order: some need what those before them have left.
LARGE = ("list", "record", "plan", "status", "progress", "starts", "report", "fetched")


def ideal(vms: int, seconds: float, at_once: int = AT_ONCE) -> float:
    return vms * seconds / at_once


def ceiling() -> list[Row]:
    """How fast the simulated platform itself can be, so that nobody takes it for the limit of a client."""
    rows = []
    for tls in (False, True):
        with Platform(tls=tls, vms=3000, stop_seconds=0.0) as platform:
            uuids, before = platform.uuids(), platform.cpu_seconds()
            seconds = contenders.curl(platform, uuids, AT_ONCE)
            rate, share = 3000 / seconds, (platform.cpu_seconds() - before) / seconds
        rows.append(
            Row(
                f"Ceiling of the simulated platform, {'TLS' if tls else 'plain HTTP'}", "curl --parallel-max 64, calls that take no time",
                "shown", f"{rate:.0f} power calls a second, with {share:.0%} of one processor", details={"calls_a_second": rate},
            )
        )
    return rows


def stop_a_thousand(scale: float = 0.05, vms: int = 1000) -> list[Row]:
    """Against the ideal, and against what others do."""
    options = {"vms": vms, "owners": 40, "hosts": 10, "time_scale": scale, "stop_seconds": STOP, "start_seconds": START}
    call = STOP * scale
    with Platform(**options) as platform, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        play = _good(Operator(platform, Path(folder), scale).prepare())
        journal = platform.journal()
    ours = journal.settling(journal.stops())
    ratio = ours / ideal(vms, call)
    # What a way costs beside the platform's time is the same at any time scale, for us as for others.
    at_real_time = ideal(vms, STOP) + ours - ideal(vms, call)
    rows = [
        Row(
            f"Stop {vms} VMs, a call blocks {STOP:g} s (time scale {scale:g}), {AT_ONCE} at once", "ideal: N x t / C", "at most 1.10",
            f"{ratio:.2f} x ideal; the rest of the playbook (Ansible itself, plan, hosts, proof with its waits scaled, report) took "
            f"{play.seconds - ours:.0f} s more",
            ratio, ratio <= 1.10, {"ideal": ideal(vms, call), "seconds": ours, "whole_playbook": play.seconds, "calls": len(journal.stops())},
        )
    ]

    def compare(name: str, count: int, measure: t.Callable[[Platform, list[str]], float], at_once: int, goal: float = 0.0) -> None:
        with Platform(**options) as platform:
            seconds = measure(platform, platform.uuids()[:count])
        beside = seconds * at_once / count - call
        here = seconds / count * vms / ours
        real = (STOP + max(0.0, beside)) * vms / at_once / at_real_time
        rows.append(
            Row(
                "The same", name, f"at least {goal:g} times as fast" if goal else "ratio shown",
                f"{real:.1f} times as fast at the real {STOP:g} s ({here:.1f} in this run; {count} VMs measured)",
                real, real >= goal if goal else None, {"seconds": seconds, "vms": count, "beside_a_call": beside, "ratio_in_this_run": here},
            )
        )

    def in_a_loop(task: str) -> t.Callable[[Platform, list[str]], float]:
        def measure(platform: Platform, uuids: list[str]) -> float:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                return contenders.loop(platform, uuids, task, Operator(platform, Path(folder), scale).play, 5 * scale)

        return measure

    compare("runbook, xargs -n 1 curl", 15, contenders.xargs, 1, 50.0)
    compare("xargs -P 64 curl", vms, lambda platform, uuids: contenders.xargs(platform, uuids, AT_ONCE), AT_ONCE)
    compare("loop over ansible.builtin.uri", 12, in_a_loop(contenders.LOOP_OF_URI), 1)
    compare("loop over pilw_vm_power, one VM at a time", 6, in_a_loop(contenders.LOOP_OF_OURS), 1)
    return rows


def short_calls(rounds: int = 3, vms: int = 2000, at_once: int = 32) -> list[Row]:
    """A platform that answers in 20 ms. The least disturbed round of each counts."""
    options = {"tls": True, "vms": vms, "stop_seconds": 0.02}
    ours, curls, before = [], [], {"ours": [], "curl": []}
    plain: dict[str, float] = {}
    for way in ("urllib3", "session"):
        with Platform(**options) as platform:
            contenders.client(platform, way, platform.uuids(), at_once)
            plain[way] = _spent(platform.journal().stops())
    for _each in range(rounds):
        with Platform(**options) as platform:
            seconds = contenders.curl(platform, platform.uuids(), at_once)
            curls.append(_spent(platform.journal().stops()))
            before["curl"].append(seconds - curls[-1])
        with Platform(**options) as platform:
            told = engine.measure(platform, concurrency=at_once)
            assert told["counts"] == {"clean": vms}, told
            ours.append(_spent(platform.journal().stops()))
            before["ours"].append(told["before"])
    ratio, starts = min(ours) / min(curls), {name: statistics.median(seconds) for name, seconds in before.items()}
    return [
        Row(
            f"{vms} power calls of 20 ms, TLS, {at_once} at once, each on disk before it is sent", f"curl --parallel-max {at_once}",
            "at most 2", f"{ratio:.2f} x curl's time, from the first call to the last answer; start (and our reading of the list) "
            f"{starts['ours']:.1f} s more, curl's {starts['curl']:.1f} s; {at_once} plain threads in Python take {plain['urllib3'] / min(curls):.2f} x with "
            f"urllib3, {plain['session'] / min(curls):.2f} x with a requests.Session, once each",
            ratio, ratio <= 2, {"ours": ours, "curl": curls, "ideal": vms * 0.02 / at_once, "before": before, "plain": plain},
        )
    ]


def _spent(calls: list[dict[str, t.Any]]) -> float:
    """Seconds from the first of these calls to the last answer, as the platform saw them."""
    return max(entry["ended"] for entry in calls) - min(entry["started"] for entry in calls)


def processor_time(vms: int = 900, few: int = 150, rounds: int = 2) -> list[Row]:
    """A call, so what comes with each further one: from two runs, one with many and one with few. The least disturbed of each counts."""

    def ours(written: bool) -> t.Callable[[Platform, list[str]], float]:
        return lambda platform, uuids: engine.measure(platform, uuids=uuids, concurrency=20, record=written)["cpu"]

    def others(way: str) -> t.Callable[[Platform, list[str]], float]:
        return lambda platform, uuids: contenders.client(platform, way, uuids)["cpu"]

    ways = {"ours": ours(False), "ours with the record": ours(True), **{way: others(way) for way in ("session", "requests", "urllib3")}}
    spent: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in ways}
    for _each in range(rounds):
        for way, measure in ways.items():
            with Platform(vms=few + vms, stop_seconds=0.0) as platform:
                uuids = platform.uuids()
                spent[way][0].append(measure(platform, uuids[:few]))
                spent[way][1].append(measure(platform, uuids[few:]))
    found = {way: (min(many) - min(less)) / (vms - few) * 1e3 for way, (less, many) in spent.items()}
    bare = found["ours"]
    ratio = bare / found["session"]
    return [
        Row(
            "Processor time of the module for each further power call, 20 at once", "loop over one requests.Session", "at most 1.3",
            f"{ratio:.2f}; {bare / found['requests']:.2f} x requests without one, {bare / found['urllib3']:.2f} x urllib3; with the record "
            f"{found['ours with the record'] / found['session']:.2f} x the session",
            ratio, ratio <= 1.3, {"milliseconds": found, "seconds": spent},
        )
    ]


def whole(scale: float = 0.02) -> list[Row]:
    """Prepare and restore as playbooks, with 1,000 and 10,000 VMs: time, memory, requests, lines."""
    found: dict[int, dict[str, t.Any]] = {}
    for vms in (1000, 10_000):
        options = {"vms": vms, "owners": vms // 25, "hosts": 100, "time_scale": scale, "stop_seconds": STOP, "start_seconds": START}
        with Platform(**options) as platform, tempfile.TemporaryDirectory(prefix="bench-") as folder:
            operator = Operator(platform, Path(folder), scale)
            plays = [_good(operator.prepare()), _good(operator.restore())]
            journal = platform.journal()
            assert len(platform.running()) == vms
        found[vms] = {"plays": plays, "journal": journal, "over": _over(plays, vms, scale), "ideal": ideal(vms, (STOP + START) * scale)}
    few, many = found[1000], found[10_000]
    growth = many["over"] / few["over"]
    peak = max(play.peak for play in many["plays"])
    told = [sum(play.progress for play in each["plays"]) for each in (few, many)]
    lines = [[play.lines - play.progress for play in each["plays"]] for each in (few, many)]
    return [
        _requests(many["journal"], 10_000),
        Row(
            f"10,000 VMs, whole prepare and restore (time scale {scale:g})", "1,000 VMs", "time over the ideal grows at most 10 times",
            f"{growth:.1f} times, {(many['over'] - few['over']) / 9:.1f} ms for each further VM; whole time "
            f"{sum(play.seconds for play in many['plays']) / many['ideal']:.2f} x ideal "
            f"(1,000: {sum(play.seconds for play in few['plays']) / few['ideal']:.2f})",
            growth, growth <= 10, {str(vms): {"over": each["over"], "ideal": each["ideal"]} for vms, each in found.items()},
        ),
        Row(
            "Memory of all processes together, looked at four times a second, 10,000 VMs", "1,000 VMs", "under 400 MB",
            f"{peak / 1e6:.0f} MB (1,000: {max(play.peak for play in few['plays']) / 1e6:.0f} MB)", peak / 400e6, peak < 400e6,
            {str(vms): [play.peak for play in each["plays"]] for vms, each in found.items()},
        ),
        Row(
            "Lines of output of prepare and restore, 10,000 VMs", "1,000 VMs", "the same, beside those that tell how far it is",
            f"{lines[1][0]} and {lines[1][1]} (1,000: {lines[0][0]} and {lines[0][1]}), and {told[1]} that tell how far it is (1,000: {told[0]})",
            sum(lines[1]) / sum(lines[0]), lines[1] == lines[0], {"1000": lines[0], "10000": lines[1], "told": told},
        ),
    ]


def _over(plays: list[Play], vms: int, scale: float) -> float:
    return sum(play.seconds for play in plays) - ideal(vms, (STOP + START) * scale)


def _requests(journal: Journal, vms: int) -> Row:
    calls = journal.stops() + journal.starts()
    details, lists = len(journal.of("admin_vm_show")), journal.of("vm_all")
    polls, whole_lists, gaps = [], [], []
    for each in (journal.stops(), journal.starts()):
        begin, end = min(entry["started"] for entry in each), max(entry["ended"] for entry in each)
        during = [entry for entry in lists if begin <= entry["started"] <= end]
        running = [entry for entry in during if entry["params"].get("status") == "running"]
        complete = [entry for entry in during if entry not in running]
        polls += running
        whole_lists += complete
        for each_kind in (running, complete):
            gaps += [(after["started"] - before["started"]) / (before["ended"] - before["started"]) for before, after in zip(each_kind, each_kind[1:])]
    good = len(calls) <= 2 * vms and details <= 20 * len(polls) and len(whole_lists) <= len(polls) and len(gaps) >= 5 and min(gaps) >= 10
    return Row(
        f"Requests of a whole prepare and restore of {vms} VMs", "N",
        "at most 2 N power calls; polls for running VMs and at most 20 details or one complete list each, lists begun ten times their duration apart",
        f"{len(calls) / vms:.3f} N power calls, {details} details, {len(lists)} lists ({len(polls)} of them polls for running VMs, and {len(whole_lists)} "
        f"complete ones beside them; at least {min(gaps, default=0):.0f} times their duration apart), "
        f"{len(journal.entries) - len(calls) - details - len(lists)} others",
        len(calls) / vms, good, {
            "calls": len(calls), "details": details, "lists": len(lists), "polls": len(polls), "complete": len(whole_lists), "gaps": gaps[:50],
        },
    )


def too_much(scale: float = 0.05, vms: int = 600) -> list[Row]:
    """A platform that refuses calls: by chance, which refuses as many to any client, and because they are too many."""
    rows = []
    for name, refusing, fewer in (
        ("30 % of the calls answered 429 or 503 by chance", {"power_refused": 0.3}, False),
        ("All calls but 40 at once answered 429 or 503", {"power_at_once": 40}, True),
    ):
        options = {"vms": vms, "time_scale": scale, "stop_seconds": STOP, **refusing}
        with Platform(**options) as platform:
            told = engine.measure(platform, concurrency=AT_ONCE, poll_interval=5 * scale, timeout=600 * scale)
            assert told["counts"] == {"clean": vms}, told
            journal = platform.journal()
            ours = (sum(1 for entry in journal.stops() if entry["status"] != 200), journal.settling(journal.stops()))
        with Platform(**options) as platform:
            pool = contenders.client(platform, "session", platform.uuids(), AT_ONCE)
        calls, time = ours[0] / max(1.0, pool["failed"]), ours[1] / pool["seconds"]
        rows.append(
            Row(
                f"{name}, {vms} VMs", f"a pool of {AT_ONCE} without back-off",
                f"{'fewer' if fewer else 'no more'} failed calls, time at most 1.10 x with the list that shows the VMs down",
                f"{ours[0]} failed calls against {pool['failed']:.0f} ({calls:.3f} x), time {time:.2f} x",
                time, (calls < 1 if fewer else calls <= 1) and time <= 1.1, {"failed": ours[0], "seconds": ours[1], "pool": pool},
            )
        )
    return rows


def deaf(scale: float = 0.05, vms: int = 600, hold: float = 60.0, share: float = 0.2) -> list[Row]:
    """A fifth of the guests does not listen, and each holds its call. Nobody knows which, so one may be the last that is sent."""
    with Platform(vms=vms, time_scale=scale, stop_seconds=STOP, deaf=share, deaf_seconds=hold) as platform:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            printed = _good(Operator(platform, Path(folder), 1.0).play("pilw.maintenance.ceph_maint_plan")).text
        told = engine.measure(platform, concurrency=AT_ONCE, poll_interval=5 * scale, timeout=600 * scale)
        assert told["counts"].get("would_not_stop", 0) == share * vms, told
        calls = _spent(platform.journal().stops()) / scale
    slots = ideal(vms, (1 - share) * STOP + share * hold)
    found = re.search(r"at most (\d+) (s|min); whatever", printed)
    most = int(found.group(1)) * (60 if found.group(2) == "min" else 1) if found else 0
    settled = told["seconds"] / scale
    return [
        Row(
            f"{vms} VMs, a fifth deaf, each holding its call {hold:g} s (seconds of the platform)", "the time of their slots, N x t / C",
            "calls: at most that and one such hold; all settled within the plan's bound",
            f"calls {calls:.0f} s: {calls / slots:.2f} x the {slots:.0f} s of their slots, of which {ideal(vms, share * (hold - STOP)):.0f} s are those of "
            f"the deaf; all settled after {settled:.0f} s, {settled - calls:.0f} s of it the stop timeout of the last; the plan printed at most {most} s",
            calls / slots, calls <= slots + hold and 0 < settled <= most,
            {"calls": calls, "slots": slots, "settled": settled, "plan": most},
        )
    ]


def brake(scale: float = 0.01, vms: int = 1000, at_once: int = 20, percent: float = 5) -> list[Row]:
    """Starts after an outage that go wrong."""
    with Platform(vms=vms, owners=40, hosts=10, time_scale=scale, fail_start=0.1) as platform, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        operator = Operator(platform, Path(folder), scale, concurrency=at_once)
        _good(operator.prepare())
        first = operator.restore(ceph_maint_max_fail_percentage=percent, ceph_maint_start_retries=0)
        before = _named(platform.journal().starts())
        second = operator.restore(ceph_maint_max_fail_percentage=100, ceph_maint_start_retries=0)
        starts = _named(platform.journal().starts())
        up = platform.running()
    tried = {entry["uuid"] for entry in before}
    again = [entry["uuid"] for entry in starts[len(before):] if entry["uuid"] in tried]
    twice_up = sum(1 for uuid in again if uuid in up)
    late = _after_too_many(before, percent)
    stopped = first.rc != 0 and "the starting was stopped" in first.text
    goes_on = not twice_up and len(up) == round(vms * 0.9) and second.rc != 0
    return [
        Row(
            f"Start after an outage, {vms} VMs, a tenth does not come up, {at_once} at once, ceph_maint_max_fail_percentage={percent:g}", "the brake",
            f"stops the starting, at most {2 * at_once} calls after the answers showed too many; with 100 it goes on where it stopped",
            f"stopped after {len(tried)} VMs, {late} calls after that; then the other {len({e['uuid'] for e in starts}) - len(tried)} and {len(again)} "
            f"that had failed, {twice_up} that ran were started again; {len(up)} run",
            late / at_once, stopped and late <= 2 * at_once and goes_on, {"tried_before_the_brake": len(tried), "late": late, "again": len(again)},
        )
    ]


def _after_too_many(starts: list[dict[str, t.Any]], percent: float, sample: int = 10) -> int:
    """How many of these calls began after more than so many percent of the answers, and not of a few only, told of a failure."""
    failed = 0
    for number, entry in enumerate(sorted(starts, key=lambda entry: entry["ended"]), 1):
        failed += entry["status"] != 200
        if number >= sample and failed * 100 > percent * number:
            return sum(1 for other in starts if other["started"] > entry["ended"])
    return 0


def hundred_thousand() -> list[Row]:
    """Each part of the work in a process of its own, rows of 1 KB."""
    few, many = large.measure(10_000, LARGE), large.measure(100_000, (*LARGE, "playbook"))
    playbook = many.pop("playbook")["peak_bytes"]
    growth = large.ratios(few, many)
    worst, most = max(growth.values()), max(many, key=lambda part: many[part]["peak_bytes"])
    names = ", ".join(f"{part} {ratio:g}" for part, ratio in growth.items())
    peak = max(many[most]["peak_bytes"], playbook)
    return [
        Row(
            "100,000 VMs: list, record, plan, status, report and more, processor time", "10,000 VMs",
            "linear: about 10 times, at most 20 with the noise of one run (100 would be quadratic)",
            f"{names} times", worst, worst <= 20, {"growth": growth, "10000": few, "100000": many},
        ),
        Row(
            "100,000 VMs: memory of the largest process, and of all those of Ansible that fetch the report", "10,000 VMs", "under 1.5 GB",
            f"{many[most]['peak_bytes'] / 1e9:.2f} GB ({most}; 10,000 VMs: {max(part['peak_bytes'] for part in few.values()) / 1e6:.0f} MB), "
            f"and {playbook / 1e9:.2f} GB",
            peak / 1.5e9, peak < 1.5e9, {"playbook": playbook},
        ),
        _profile(),
    ]


def _profile(few: int = 1000, many: int = 10_000) -> Row:
    """Counted and not timed, so without noise."""
    small, big = (large.measure(vms, LARGE, profile=True) for vms in (few, many))
    growth = {part: big[part]["python_calls"] / small[part]["python_calls"] for part in LARGE}
    worst, times = max(growth.values()), many / few
    top = ", ".join(f"{part} {big[part]['top'][0]}" for part in LARGE)
    return Row(
        f"{many} VMs: calls of Python functions in each of these parts", f"{few} VMs", f"linear: at most {1.1 * times:g} times",
        f"{', '.join(f'{part} {ratio:.1f}' for part, ratio in growth.items())} times; where most of the time goes: {top}",
        worst, worst <= 1.1 * times, {"growth": growth, str(few): small, str(many): big},
    )


def _named(entries: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    return [{**entry, "uuid": entry["params"].get("uuid", "")} for entry in entries]


def record(scale: float = 0.05, vms: int = 600, rounds: int = 2) -> list[Row]:
    """What it costs that each VM is on disk before its call is sent."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    for _each in range(rounds):
        for written in (False, True):
            with Platform(vms=vms, time_scale=scale, stop_seconds=STOP) as platform:
                spent[written].append(engine.measure(platform, concurrency=AT_ONCE, poll_interval=5 * scale, timeout=600 * scale, record=written)["seconds"])
    ratio = statistics.median(spent[True]) / statistics.median(spent[False])
    return [
        Row(
            f"Cost of the record, {vms} VMs, {AT_ONCE} at once (time scale {scale:g})", "the same without a record", "under 5 % of the run",
            f"{ratio - 1:.1%} of a run that is {1 / scale:.0f} times as fast as a real one", ratio, ratio < 1.05,
            {"with": spent[True], "without": spent[False]},
        )
    ]


def fixed_cost(vms: int = 120) -> list[Row]:
    """What a maintenance costs on a platform that answers at once, with pauses of no length. Pings before and after it: the machine may get slower."""
    pauses = {"ceph_maint_proof_interval": 0, "ceph_maint_verify_hold": 0, "ceph_maint_poll_interval": 0.1}
    options = {"vms": vms, "owners": 8, "hosts": 4, "stop_seconds": 0.0, "start_seconds": 0.0}
    with Platform(**options) as platform, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        operator = Operator(platform, Path(folder), 1.0, 20)
        pings = Path(folder) / "pings.yml"
        pings.write_text(contenders.PLAY + contenders.TEN_PINGS, encoding="utf-8")
        before = _good(operator.play(str(pings))).seconds
        seconds = [_good(play(**pauses)).seconds for play in (operator.prepare, operator.restore)]
        after = _good(operator.play(str(pings))).seconds
    ratio = 2 * sum(seconds) / (before + after)
    return [
        Row(
            f"Prepare and restore of {vms} VMs on a platform that answers at once, without pauses", "a playbook with ten tasks of ping",
            "at most 3 times", f"{ratio:.1f} times: prepare {seconds[0]:.1f} s, restore {seconds[1]:.1f} s, pings {before:.1f} and {after:.1f} s",
            ratio, ratio <= 3, {"prepare": seconds[0], "restore": seconds[1], "pings": [before, after]},
        )
    ]


def _good(play: Play) -> Play:
    assert play.rc == 0, play.text
    return play
