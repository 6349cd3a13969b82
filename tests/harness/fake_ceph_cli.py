# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the place of ceph, rbd, rados, cephadm and podman: a program that tells of a Ceph cluster out of a JSON file.

`StandIn` is the test's hand on it. The program lies under each name in the folder `bin`, its state and the calls it got
beside that. Running VMs of the simulated platform have their image `volume-<uuid>` open, as real guests have.
"""

from __future__ import annotations

import fcntl
import json
import sys
import time
import typing as t
from pathlib import Path

TOOLS = ("ceph", "rbd", "rados", "cephadm", "podman")
POOL, OTHER = "vms", "backup"
REEF = {"score_acting": float("inf"), "score_stable": float("-inf")}
WRITES = ("ceph osd set", "ceph osd unset", "rados --pool scratch put", "rados --pool scratch rm")
# A cluster that is well. What a test changes of it:
STATE: dict[str, t.Any] = {
    "cloud": "",  # the simulated platform
    "fsid": "aaaa-1",
    "osds": {"0": "up", "1": "up", "2": "up"},  # or down, silent (said to be up, gives no answer), out
    "groups": {"2.0": "active+clean", "3.0": "active+clean"},
    "flags": [],
    "status": "HEALTH_OK",
    "checks": {},
    "watchers": [],  # further ones: [image, client number]; of one in the trash or in another pool POOL/[trash:]IMAGE
    "uses": {POOL: ["rbd"], OTHER: ["cephfs"]},  # the applications of each pool
    "without_header": [],  # images of which only the name is left
    "texts": {},  # whole answers as text, by the words of calls
    "hang": [],  # first words of calls that give no answer
    "refuse": {},  # and of those that end with this status
    "then": [],  # {when: first words, nth: count from now on, set: changes, touch: path}
    "objects": {},
}


class StandIn:
    """A cluster that a test changes and asks what was asked of it."""

    def __init__(self, folder: Path, python: str, cloud: str) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        program = self.bin / "stand-in"
        program.write_text(f"#!{python} -IS\n{Path(__file__).read_text(encoding='utf-8')}", encoding="utf-8")
        program.chmod(0o755)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(program)
        put(folder, {**STATE, "cloud": cloud})

    def set(self, **changes: t.Any) -> None:
        with locked(self.folder):
            put(self.folder, {**state_of(self.folder), **changes})

    def then(self, when: str, nth: int = 1, touch: Path | None = None, **changes: t.Any) -> None:
        """Change once the C(nth) call that begins with these words comes, before it is answered."""
        self.set(then=[*self.state["then"], {"when": when, "nth": nth, "set": changes, "touch": str(touch or "")}])

    @property
    def state(self) -> dict[str, t.Any]:
        return state_of(self.folder)

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call.startswith(WRITES)]


class Locked:
    """One at a time: the tool asks several at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"

    def __enter__(self) -> None:
        self._stream = open(self._path, "w", encoding="utf-8")
        fcntl.flock(self._stream, fcntl.LOCK_EX)

    def __exit__(self, *_error: t.Any) -> None:
        self._stream.close()


def locked(folder: Path) -> Locked:
    return Locked(folder)


def state_of(folder: Path) -> dict[str, t.Any]:
    return json.loads((folder / "state.json").read_text(encoding="utf-8"))


def put(folder: Path, state: dict[str, t.Any]) -> None:
    new = folder / "state.new"
    new.write_text(json.dumps(state), encoding="utf-8")
    new.replace(folder / "state.json")


# The program.


class Failure(Exception):
    """An exit status with a word."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(f"Error: {word}")
        self.status = status


class Hanging(Exception):
    """There is no answer, ever."""


def arrived(folder: Path, call: str) -> dict[str, t.Any]:
    """Write the call down, and do what waited for it."""
    with locked(folder):
        with open(folder / "calls", "a", encoding="utf-8") as stream:
            stream.write(call + "\n")
        state = state_of(folder)
        for entry in state["then"]:
            if call.startswith(entry["when"]):
                entry["nth"] -= 1
                if entry["nth"] == 0:
                    state.update(entry["set"])
                    if entry["touch"]:
                        Path(entry["touch"]).touch()
        put(folder, state)
        return state


def change(folder: Path, act: t.Callable[[dict[str, t.Any]], t.Any]) -> None:
    with locked(folder):
        state = state_of(folder)
        act(state)
        put(folder, state)


def vms_of(state: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    import urllib.request  # most calls need none, and it doubles their time

    with urllib.request.urlopen(state["cloud"] + "/_cloud/vms", timeout=20) as answer:
        return [vm for vm in json.load(answer) if vm["state"] != "deleted"]


def opens(state: dict[str, t.Any]) -> list[tuple[str, int]]:
    running = [(f"volume-{vm['uuid']}", 5000 + number) for number, vm in enumerate(vms_of(state)) if vm["state"] == "running"]
    return running + [tuple(entry) for entry in state["watchers"]]


def place_of(image: str) -> tuple[str, bool, str]:
    """Pool, whether it is in the trash there, and name of an image as a test gives it."""
    pool, slash, name = image.rpartition("/")
    return pool if slash else POOL, name.startswith("trash:"), name.removeprefix("trash:")


def images(state: dict[str, t.Any], pool: str, trashed: bool = False) -> list[str]:
    names = [f"volume-{vm['uuid']}" for vm in vms_of(state)] + state["without_header"] if (pool, trashed) == (POOL, False) else []
    further = [place_of(image) for image, _client in state["watchers"]]
    return list(dict.fromkeys(names + [name for one, gone, name in further if (one, gone) == (pool, trashed)]))


def identity(name: str) -> str:
    return name.encode().hex()


def ceph(folder: Path, state: dict[str, t.Any], words: list[str]) -> t.Any:
    up = {number: int(word in ("up", "silent")) for number, word in state["osds"].items()}
    inside = {number: int(word != "out") for number, word in state["osds"].items()}
    if words == ["status"]:
        counts = {"num_osds": len(up), "num_up_osds": sum(up.values()), "num_in_osds": sum(inside.values())}
        checks = {name: {"severity": "HEALTH_WARN", "summary": {"message": text}, "muted": False} for name, text in state["checks"].items()}
        if state["flags"]:
            checks["OSDMAP_FLAGS"] = {"summary": {"message": ",".join(state["flags"]) + " flag(s) set"}, "muted": False}
        status = "HEALTH_WARN" if checks and state["status"] == "HEALTH_OK" else state["status"]
        return {"health": {"status": status, "checks": checks}, "osdmap": counts, "pgmap": {}}
    if words == ["quorum_status"]:
        return {"quorum": [0]}
    if words == ["osd", "dump"]:
        flags = ["pauserd", "pausewr"] if "pause" in state["flags"] else []
        return {
            "fsid": state["fsid"],
            "osds": [{"osd": int(number), "up": up[number], "in": inside[number]} for number in up],
            "pools": [
                {"pool": number, "pool_name": pool, "read_balance": REEF}
                for number, pool in enumerate(dict.fromkeys((*state["uses"], OTHER, "scratch")), 2)
            ],
            "flags_set": sorted([*flags, *(flag for flag in state["flags"] if flag != "pause"), "sortbitwise"]),
        }
    if words == ["osd", "pool", "ls", "detail"]:
        return [{"pool_name": pool, "application_metadata": {key: {} for key in uses}, "read_balance": REEF} for pool, uses in state["uses"].items()]
    if words[:2] in (["osd", "set"], ["osd", "unset"]):
        setting = words[1] == "set"
        change(folder, lambda now: now.update(flags=[flag for flag in now["flags"] if flag != words[2]] + [words[2]] * setting))
        return None
    if words[0] == "tell":
        return tell(state, words[1].partition(".")[2], words[2])
    if words[:2] == ["pg", "stat"]:
        names = sorted(set(state["groups"].values()))
        return {"pg_summary": {"num_pg_by_state": [{"name": name, "num": list(state["groups"].values()).count(name)} for name in names]}}
    if words[:3] == ["pg", "dump", "pgs_brief"]:
        return {"pg_stats": [{"pgid": group, "state": name} for group, name in state["groups"].items()]}
    if words[:3] == ["pg", "dump", "sum"]:
        return {"pg_map": {"version": time.monotonic_ns(), "stamp": "x"}}
    if words == ["osd", "blocklist", "ls"]:
        return b'\n[{"addr":"10.0.0.9:0/1","until":"x"}]\n[{"range":"cidr:10.1.114.0:0/24","until":"x"}]\n'
    raise Failure(22, f"no such command: {words}")


def tell(state: dict[str, t.Any], osd: str, what: str) -> t.Any:
    if state["osds"][osd] == "silent":
        raise Hanging
    if what == "version":
        return {"version": "16.2.15"}
    if what != "dump_watchers":
        raise Failure(22, "no such command")
    up = sorted(number for number, word in state["osds"].items() if word in ("up", "silent"))
    rows = []
    for image, client in opens(state):
        if up[client % len(up)] == osd:
            name = {"type": "client", "num": client}
            rows.append({
                "namespace": "", "object": f"rbd_header.{identity(place_of(image)[2])}", "entity_name": name,
                "entity_addr_t": {"addr": "10.0.0.9:0", "nonce": client},
            })  # fmt: skip
    return rows


def rbd(_folder: Path, state: dict[str, t.Any], words: list[str]) -> t.Any:
    if words[:2] == ["namespace", "ls"]:
        return []
    if words[0] == "ls":
        return images(state, words[1])
    if words[:3] == ["trash", "ls", "--all"]:
        return [{"id": identity(name), "name": name} for name in images(state, words[3], trashed=True)]
    if words[:2] == ["lock", "ls"]:
        return [{"id": "auto 1", "locker": "client.7", "address": "10.0.0.9:0/7"}]
    raise Failure(22, f"no such command: {words}")


def rados(folder: Path, state: dict[str, t.Any], words: list[str], given: t.Callable[[], bytes]) -> t.Any:
    pool, verb, name = words[1:4]
    if verb == "listomapvals":
        if not images(state, pool):
            raise Failure(1, f"getting omap keys {pool}/{name}: (2) No such file or directory")
        return "\n".join(f"id_{identity(image)}\n{hexdump(image.encode())}\n" for image in images(state, pool)).encode()
    if verb == "listwatchers":
        wanted = bytes.fromhex(name.removeprefix("rbd_header.")).decode()
        if wanted in state["without_header"]:
            raise Failure(1, f"listing watchers {pool}/{name}: (2) No such file or directory")
        clients = [client for image, client in opens(state) if place_of(image)[::2] == (pool, wanted)]
        return "".join(f"watcher=10.0.0.9:0/{client} client.{client} cookie=1\n" for client in clients).encode()
    if verb == "put":
        text = given().decode()
        change(folder, lambda now: now["objects"].update({name: text}))
    elif verb == "rm":
        change(folder, lambda now: now["objects"].pop(name))
    elif verb == "get":
        return state["objects"][name].encode()
    return b""


def hexdump(name: bytes) -> str:
    """A value as rados writes it: the name behind its length."""
    value = len(name).to_bytes(4, "little") + name
    rows = [(start, value[start : start + 16]) for start in range(0, len(value), 16)]
    lines = [f"{start:08x}  {part[:8].hex(' '):23}  {part[8:].hex(' '):23}  |{'.' * len(part)}|" for start, part in rows]
    return "\n".join([f"value ({len(value)} bytes) :", *lines, f"{len(value):08x}"])


def inside(folder: Path, tool: str, words: list[str]) -> tuple[str, list[str]]:
    """A container's front door: its words must be just these. The tool behind them, with its words."""
    lead = {"cephadm": ["shell", "--"], "podman": ["exec", "-i", "ceph"]}[tool]
    if words[: len(lead)] != lead or words[len(lead)] not in ("ceph", "rbd", "rados"):
        raise Failure(1, f"{tool}: unexpected words {words}")
    with locked(folder), open(folder / "calls", "a", encoding="utf-8") as stream:
        stream.write(" ".join([tool, *words]) + "\n")
    return words[len(lead)], words[len(lead) + 1 :]


def answer(folder: Path, tool: str, words: list[str], given: t.Callable[[], bytes]) -> bytes:
    """What a call writes. Raises Failure, or Hanging where a real one would be waited for."""
    if tool in ("cephadm", "podman"):
        tool, words = inside(folder, tool, words)
    if words[-2:] == ["--format", "json"]:
        words = words[:-2]
    if words[:1] == ["--name"]:
        words = words[2:]
    call = " ".join([tool, *words])
    state = arrived(folder, call)
    if any(call.startswith(lead) for lead in state["hang"]):
        raise Hanging
    for lead, status in state["refuse"].items():
        if call.startswith(lead):
            raise Failure(status, "EACCES: access denied")
    if call in state["texts"]:
        return state["texts"][call].encode()
    if tool == "rados":
        return rados(folder, state, words, given)
    found = {"ceph": ceph, "rbd": rbd}[tool](folder, state, words)
    if found is None or isinstance(found, bytes):
        return found or b""
    # As Reef writes a score that is no number.
    return b"\n" + json.dumps(found).replace("Infinity", "inf").encode() + b"\n"


def main() -> None:
    try:
        found = answer(Path(sys.argv[0]).parent.parent, Path(sys.argv[0]).name, sys.argv[1:], sys.stdin.buffer.read)
    except Failure as exc:
        print(exc, file=sys.stderr)
        sys.exit(exc.status)
    except Hanging:
        time.sleep(600)
    else:
        sys.stdout.buffer.write(found)


if __name__ == "__main__":
    main()
