# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Ceph cluster on loopback: one monitor, one manager, three OSDs on sparse files, cephx, and a pool `rbd`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import typing as t
import uuid
from pathlib import Path
from types import TracebackType

from e2e.processes import Brood, gone, run
from e2e.waits import wait_for

POOL = "rbd"
MON, MGR = "mon.a", "mgr.x"
STOP_LIMIT = 60.0
CLEAN_LIMIT = 240.0  # 6 to 29 s on an idle machine with two cores
CONNECT_LIMIT = "20"
FLAGS = ("noout", "nodown", "pause")  # that tests set

CONF = """\
# Copyright (c) 2026, pilw.maintenance contributors
[global]
fsid = {fsid}
mon host = [v2:{address}:3300,v1:{address}:6789]
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/$name.keyring
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
log file = {folder}/log/$name.log
crash dir = {folder}/crash
public addr = {address}
cluster addr = {address}
osd pool default size = 2
osd pool default min size = 1
osd pool default pg num = 16
osd pool default pg autoscale mode = off
osd objectstore = bluestore
bluestore block size = 6442450944
bluestore block create = true
bluestore fsck quick fix on mount = false
osd data = {folder}/osd.$id
osd memory target = 939524096
osd class update on start = false
mon data = {folder}/mon.$id
mgr data = {folder}/mgr.$id
mon data avail warn = 2
mon data avail crit = 1
mgr initial modules =
[client]
log file =
admin socket =
"""
# Each OSD a host of its own for CRUSH: losing one is losing a node.
CONF_OSD = "[osd.{number}]\ncrush location = root=default host=node{number}\n"


class Cluster:
    """`with Cluster(folder) as ceph:` is HEALTH_OK when it begins; afterwards nothing runs, and the folder is the caller's.

    Every command has a time limit: without quorum or OSDs those of Ceph hang without end.
    """

    def __init__(self, folder: Path, osds: int = 3) -> None:
        self.folder = folder
        self.fsid = str(uuid.uuid4())
        self.osds = [f"osd.{number}" for number in range(osds)]
        self._brood = Brood()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._claim: socket.socket | None = None
        self.address = ""

    def __enter__(self) -> Cluster:
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill whatever runs."""
        self._brood.close()
        if self._claim is not None:
            self._claim.close()

    # Asking it

    @property
    def conf(self) -> Path:
        """ceph.conf; keys of `client.NAME` are looked for in NAME.keyring beside it."""
        return self.folder / "ceph.conf"

    def keyring(self, name: str = "admin") -> Path:
        """Where the key of a client lies."""
        return self.folder / f"client.{name}.keyring"

    def ceph(self, *words: str, limit: float = 60.0) -> str:
        """As the admin."""
        return run("ceph", "-c", self.conf, "--connect-timeout", CONNECT_LIMIT, *words, limit=limit)

    def ask(self, *words: str, limit: float = 60.0) -> t.Any:
        """As the admin, answered in JSON."""
        return json.loads(self.ceph(*words, "--format", "json", limit=limit))

    def rbd(self, *words: str | Path, limit: float = 60.0) -> str:
        """As the admin."""
        return run("rbd", "-c", self.conf, *words, limit=limit)

    def health(self) -> tuple[str, set[str]]:
        """As the monitor has it, which may be old news; with the names of the checks that complain."""
        health = self.ask("health")
        return health["status"], set(health["checks"])

    def flags(self) -> set[str]:
        """Those set on the whole cluster, as `ceph osd set` names them where it can be helped."""
        return set(self.ask("osd", "dump")["flags_set"])

    def watchers(self, image: str) -> list[str]:
        """Addresses of the clients that hold an image open."""
        return [str(watcher["address"]) for watcher in self._watchers(image)]

    def clients(self, image: str) -> set[str]:
        """Their names, as client.4711."""
        return {f"client.{watcher['client']}" for watcher in self._watchers(image)}

    def _watchers(self, image: str) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = json.loads(self.rbd("status", f"{POOL}/{image}", "--format", "json"))["watchers"]
        return found

    def remove_pool(self, name: str) -> None:
        """With all that is in it."""
        self.ceph("config", "set", "mon", "mon_allow_pool_delete", "true")
        self.ceph("osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")

    # Keys

    def make_key(self, name: str, **caps: str) -> str:
        """The keyring text of `client.NAME` with just these capabilities: make_key("looker", mon="allow r")."""
        words = [word for service, cap in caps.items() for word in (service, cap)]
        return self.ceph("auth", "get-or-create", f"client.{name}", *words)

    def hand_out(self, folder: Path, name: str, owner: tuple[int, int] | None = None, **caps: str) -> Path:
        """A ceph.conf and the key of `client.NAME` for another user (uid and gid), in that folder; returns the conf."""
        key = self.make_key(name, **caps)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyring, conf = folder / f"client.{name}.keyring", folder / "ceph.conf"
        keyring.touch(mode=0o600)
        keyring.write_text(key, encoding="utf-8")
        host = f"[v2:{self.address}:3300,v1:{self.address}:6789]"
        conf.write_text(f"[global]\nfsid = {self.fsid}\nmon host = {host}\nkeyring = {folder}/$name.keyring\n", encoding="utf-8")
        if owner is not None:
            for path in (folder, keyring, conf):
                os.chown(path, *owner)
        return conf

    # Daemons

    def mend(self) -> None:
        """All daemons run, no flag is left that a test may set, and everything is clean."""
        # Without quorum or with `nodown` set nothing comes to an end: so the monitor first, then the flags.
        self.start_daemon(MON)
        for flag in FLAGS:
            self.ceph("osd", "unset", flag)
        self.start()
        self.wait_clean()

    @property
    def names(self) -> list[str]:
        """All daemons, in the order of an orderly start."""
        return [MON, MGR, *self.osds]

    def running(self) -> set[str]:
        """The daemons whose process lives, whatever Ceph thinks of them."""
        return {name for name in self._daemons if self._pid(name)}

    def start(self) -> None:
        """Start every daemon that does not run, and return without waiting: see wait_clean."""
        for name in self.names:
            self.start_daemon(name)

    def stop(self) -> None:
        """In order: OSDs, manager, monitor, each seen to end."""
        for name in reversed(self.names):
            self.stop_daemon(name)

    def kill(self) -> None:
        """All of them at once, as when the power goes (but the caches of this machine survive)."""
        for name in self.running():
            self._daemons[name].kill()
        for name in self._daemons:
            gone(self._daemons[name], STOP_LIMIT)

    def start_daemon(self, name: str) -> None:
        """One of `names`, as osd.1."""
        if self._pid(name):
            return
        kind, ident = name.split(".")
        command = [f"ceph-{kind}", "-f", "-c", str(self.conf), "-i", ident]
        self._daemons[name] = self._brood.start(command, self.folder / "log" / f"{name}.out")

    def stop_daemon(self, name: str) -> None:
        """Ask one to end, and see it end."""
        if self._pid(name):
            self._daemons[name].terminate()
            gone(self._daemons[name], STOP_LIMIT)

    def kill_daemon(self, name: str) -> None:
        """End one without a word."""
        if self._pid(name):
            self._daemons[name].kill()
            gone(self._daemons[name], STOP_LIMIT)

    def _pid(self, name: str) -> int:
        process = self._daemons.get(name)
        return process.pid if process is not None and process.poll() is None else 0

    # Waiting

    def wait_clean(self, limit: float = CLEAN_LIMIT) -> float:
        """Until the daemons started here serve, and every placement group is active+clean; the seconds it took."""
        return wait_for("all placement groups active+clean", self._why_not_clean, limit, 0.3)

    def wait_healthy(self, limit: float = CLEAN_LIMIT) -> float:
        """As wait_clean, and HEALTH_OK."""
        return self.wait_clean(limit) + wait_for("HEALTH_OK", self._why_not_healthy, limit, 0.5)

    def _why_not_healthy(self) -> str:
        status, checks = self.health()
        return "" if status == "HEALTH_OK" else f"{status} {sorted(checks)}"

    def _why_not_clean(self) -> str:
        # A monitor alone tells of the cluster as it was before: HEALTH_OK, all up, all clean, with nothing running. The maps
        # name each daemon with its pid as nonce, and `pg stat` is answered by the manager itself.
        try:
            if not self._is_ours(MGR, self.ask("mgr", "dump")["active_addrs"]):
                return "the active manager is not the one that runs"
            osds = {f"osd.{osd['osd']}": osd for osd in self.ask("osd", "dump")["osds"]}
            for name in self.osds:
                if not self._pid(name):
                    return f"{name} does not run"
                if name not in osds or not osds[name]["up"] or not self._is_ours(name, osds[name]["public_addrs"]):
                    return f"{name} is not up as the process that runs"
            groups = self.ask("pg", "stat")
        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            return str(error)
        groups = groups.get("pg_summary", groups)
        states = {state["name"]: state["num"] for state in groups["num_pg_by_state"]}
        clean = sum(count for state, count in states.items() if state.startswith("active+clean"))
        return "" if groups["num_pgs"] == clean else f"{states}"

    def _is_ours(self, name: str, addresses: t.Any) -> bool:
        return any(address["nonce"] == self._pid(name) for address in addresses["addrvec"])

    # Making it

    def _create(self) -> None:
        for name in ("log", "run", "crash"):
            (self.folder / name).mkdir(parents=True)
        self.address, self._claim = free_address()
        osds = "".join(CONF_OSD.format(number=number) for number in range(len(self.osds)))
        self.conf.write_text(CONF.format(fsid=self.fsid, folder=self.folder, address=self.address) + osds, encoding="utf-8")
        self._create_monitor()
        (self.folder / MGR).mkdir()
        self._daemon_key(MGR, mon="allow profile mgr", osd="allow *", mds="allow *")
        self.start_daemon(MGR)
        for number, name in enumerate(self.osds):
            ident = str(uuid.uuid4())
            (self.folder / name).mkdir()
            self.ceph("osd", "new", ident, str(number))
            self._daemon_key(name, mon="allow profile osd", mgr="allow profile osd", osd="allow *")
            run("ceph-osd", "-c", self.conf, "-i", str(number), "--mkfs", "--osd-uuid", ident)
            self.start_daemon(name)
        self.wait_clean()
        self.ceph("osd", "pool", "create", POOL, "32")
        self.rbd("pool", "init", POOL)
        self.wait_healthy()

    def _create_monitor(self) -> None:
        ring, admin, monmap = self.folder / "mon.keyring", self.keyring(), self.folder / "monmap"
        run("ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        caps = [word for service in ("mon", "osd", "mgr", "mds") for word in ("--cap", service, "allow *")]
        run("ceph-authtool", "--create-keyring", admin, "--gen-key", "-n", "client.admin", *caps)
        run("ceph-authtool", ring, "--import-keyring", admin)
        address = f"[v2:{self.address}:3300,v1:{self.address}:6789]"
        run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, "--set-min-mon-release", "pacific", monmap)
        run("ceph-mon", "-c", self.conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", ring)
        shutil.copy(ring, self.folder / f"{MON}.keyring")
        self.start_daemon(MON)
        wait_for("the monitor's first answer", self._why_silent, CLEAN_LIMIT)

    def _why_silent(self) -> str:
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.ceph("mon", "stat")
            return ""
        return "no answer" if self._pid(MON) else f"it ended, see {self.folder}/log"

    def _daemon_key(self, name: str, **caps: str) -> None:
        words = [word for service, cap in caps.items() for word in (service, cap)]
        (self.folder / f"{name}.keyring").write_text(self.ceph("auth", "get-or-create", name, *words), encoding="utf-8")


def free_address() -> tuple[str, socket.socket]:
    """A loopback address on which nobody else's monitor listens, and the socket that holds it for this process."""
    for number in range(77, 200):
        address = f"127.0.{number}.1"
        claim = socket.socket()
        try:
            claim.bind((address, 3299))
            with socket.socket() as probe:
                probe.bind((address, 3300))
            return address, claim
        except OSError:
            claim.close()
    raise RuntimeError("no free loopback address for a monitor")
