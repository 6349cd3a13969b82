# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another machine, as far as SSH shows: an sshd of the tests' own on loopback, and an account with a home that root does not work in."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import typing as t
from pathlib import Path

from e2e.processes import Brood, gone, run
from e2e.waits import wait_for

ACCOUNT = "pilw-e2e"
MARK = "pilw.maintenance end-to-end tests"  # of an account that may be removed
PYTHON = "/usr/bin/python3"  # Debian's, with Debian's requests and jmespath
LIMIT = 20.0
SETTINGS = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AllowUsers {account}
AuthenticationMethods publickey
UsePAM no
PidFile none
Subsystem sftp internal-sftp
MaxStartups 100
"""


class SshHost:
    """`with SshHost(folder) as host:`; the folder must be one that everybody may enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._brood = Brood()
        self.home = folder / "home"
        self.control = folder / "cp"  # for what the connections of clients share
        self.key = ""

    def __enter__(self) -> SshHost:
        remove_account()
        run("useradd", "--comment", MARK, "--create-home", "--home-dir", self.home, "--shell", "/bin/sh", "--password", "*", ACCOUNT)
        try:
            for name in ("host_key", "key"):
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", MARK, "-f", self._folder / name)
            self.key = (self._folder / "key").read_text(encoding="utf-8")
            authorized = self.home / ".ssh" / "authorized_keys"
            authorized.parent.mkdir(mode=0o700)
            authorized.write_text((self._folder / "key.pub").read_text(encoding="utf-8"), encoding="utf-8")
            account = pwd.getpwnam(ACCOUNT)
            for path in (authorized, authorized.parent):
                os.chown(path, account.pw_uid, account.pw_gid)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            public = (self._folder / "host_key.pub").read_text(encoding="utf-8")
            (self._folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}", encoding="utf-8")
            (self._folder / "sshd_config").write_text(
                SETTINGS.format(port=self.port, folder=self._folder, account=ACCOUNT), encoding="utf-8"
            )
            # Debian makes it when the service starts, which it never does here.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *dummy: object) -> None:
        try:
            self.stop()
        finally:
            self._end()

    def _end(self) -> None:
        self._brood.close()
        remove_account()

    def start(self) -> None:
        """Be there, again."""
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self._folder / "sshd_config")]
        self._sshd = self._brood.start(command, self._folder / "log")

        def why_not() -> str:
            with socket.socket() as probe:
                probe.settimeout(1)
                status = probe.connect_ex(("127.0.0.1", self.port))
                return os.strerror(status) if status else ""

        wait_for("sshd", why_not, LIMIT, 0.05)

    def freeze(self) -> None:
        """The network is cut: nobody answers, and nobody says that the connection is gone. Other work on the host goes on."""
        # The one that listens is the first; after it there are no new ones.
        self._sshd.send_signal(signal.SIGSTOP)
        signalled(signal.SIGSTOP, self._connections())

    def stop(self) -> None:
        """All connections end with the sshd, also frozen ones."""
        self.freeze()  # so that none is made meanwhile
        signalled(signal.SIGKILL, self._connections())
        gone(self._sshd, LIMIT)

    def _connections(self) -> list[int]:
        """The sshd that listens, and those that it made."""
        found, parents = [self._sshd.pid], {self._sshd.pid}
        while parents:
            parents = {pid for pid, parent in processes(b"sshd") if parent in parents}
            found += parents
        return found

    @property
    def inventory(self) -> str:
        """How it is reached: a connection that is dead is noticed after some seconds, and so is a host that does not answer at all."""
        options = {
            "UserKnownHostsFile": self._folder / "known_hosts",
            "ServerAliveInterval": 2,
            "ServerAliveCountMax": 2,
        }
        ssh = " ".join(["-F /dev/null", *(f"-o {name}={value}" for name, value in options.items())])
        return (
            f"box ansible_host=127.0.0.1 ansible_port={self.port} ansible_user={ACCOUNT} ansible_ssh_common_args='{ssh}'"
            f" ansible_ssh_timeout=5 ansible_python_interpreter={PYTHON}\n"
        )


def signalled(what: int, pids: t.Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def processes(name: bytes) -> t.Iterator[tuple[int, int]]:
    """Each process whose name begins so, and its parent: newer sshds make others of themselves."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            before, _bracket, after = path.read_bytes().rpartition(b")")
            if before.partition(b"(")[2].startswith(name):
                yield int(path.parent.name), int(after.split()[1])


def owned_by(uid: int) -> t.Iterator[int]:
    """The processes of an account."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.stat().st_uid == uid:
                yield int(path.name)


def remove_account() -> None:
    """With all that it still runs. One of another origin is left alone, and then there are no tests."""
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return
    assert account.pw_gecos == MARK, f"the account {ACCOUNT} is none of these tests"
    signalled(signal.SIGKILL, owned_by(account.pw_uid))
    wait_for(f"the end of what {ACCOUNT} ran", lambda: ", ".join(map(str, owned_by(account.pw_uid))), LIMIT, 0.05)
    run("userdel", "--remove", "--force", ACCOUNT, ok=(0, 12))
