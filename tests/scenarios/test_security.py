# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SECURITY.md promises: where the key is not, whom it is not sent to, and that tenants' text does nothing."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import signal
import socket
import ssl
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import pytest
import trustme

from ansible_collections.pilw.maintenance.plugins.module_utils._api.client import Client
from ansible_collections.pilw.maintenance.plugins.module_utils._api.endpoints import Api
from ansible_collections.pilw.maintenance.plugins.module_utils._errors import ApiError, InputError
from ansible_collections.pilw.maintenance.plugins.module_utils._record.paths import folder_for
from harness.operator import Operator, wait_until
from simulator.server import Cloud

Platform = t.Callable[..., Operator]
# Short enough to be shown whole, and evaluated with the operator's HOME.
CANARY = "{{ lookup('pipe','touch ~/canary') }}"
HOSTILE = (
    CANARY,
    "{% for x in lookup('pipe','touch ~/canary') %}{% endfor %}",
    "{{ 'xq' ~ 'zw' ~ 'kv' }}",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b2Jred",
    "\u202etxt.exe",
    "zero\u200bwidth\ufeff",
    "lone \ud800 half",
    "nul \x00 byte",
    "two\nlines\r\nPLAY RECAP",
    "long " * 2000,
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
FAILING = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/pilw.maintenance.pilw:
      api_host: "{{ lookup('env', 'API_HOST') }}"
      api_key: "{{ lookup('env', 'ADMIN_APIKEY') }}"
  tasks:
    - pilw.maintenance.pilw_vm_list:
      register: listed
    - ansible.builtin.debug: {var: listed.vms}
    - pilw.maintenance.pilw_vm_list: {query: "[*]"}
      ignore_errors: true
    - pilw.maintenance.pilw_vm_list: {location: ../x}
      ignore_errors: true
    - pilw.maintenance.pilw_vm_list: {request_timeout: soon}
      ignore_errors: true
    - pilw.maintenance.pilw_vm_list: {no_such_option: 1}
      ignore_errors: true
    - pilw.maintenance.pilw_vm_status: {vms: none}
      ignore_errors: true
    - pilw.maintenance.pilw_host_flags: {is_accepting_workloads: false}
      ignore_errors: true
    - pilw.maintenance.pilw_vm_power: {state: stopped, record: "{{ no_such }}/record.sqlite", run: r}
      ignore_errors: true
    - ansible.builtin.include_role: {name: pilw.maintenance.ceph_maint_prepare}
      vars: {ceph_maint_confirm: [perhaps]}
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def hostile_rows(state: str = "running") -> list[dict[str, t.Any]]:
    """A VM for each text, with the text in every place that a customer or the platform may put it."""
    rows: list[dict[str, t.Any]] = []
    for number, text in enumerate(HOSTILE):
        row = dict.fromkeys(("name", "description", "hostname", "os_name", "mac", "private_ipv4", "username"), text)
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        rows.append({**row, "uuid": uuid, "user_id": 8, "status": state, "tags": [text], text: {text: text}})
    return rows


def files_with(secret: str, folder: Path) -> list[Path]:
    """Every file whose bytes hold a text."""
    found = []
    for root, _folders, files in os.walk(folder, followlinks=True):
        for path in (Path(root) / name for name in files):
            with contextlib.suppress(OSError):  # gone meanwhile
                if path.is_file() and secret.encode() in path.read_bytes():
                    found.append(path)
    return found


def assert_no_file_holds_the_key(op: Operator) -> None:
    """Ansible's watcher of a job looks every 5 s whether it has ended, and then removes its module file."""
    wait_until(lambda: not files_with(op.cloud.key, op.folder), limit=12)


def assert_inert(op: Operator, text: str) -> None:
    odd = {hex(ord(char)) for char in text if not char.isprintable() and char != "\n"}
    assert not odd, f"control characters in the output: {odd}"
    assert "xqzwkv" not in text
    assert not (op.home / "canary").exists(), "a template in a tenant's text was evaluated"


def private_tmp(op: Operator) -> dict[str, t.Any]:
    """Ansible's folder for module files within the test's own; by default it lies in the home of the user database."""
    return {"ansible_remote_tmp": op.home / ".ansible" / "tmp"}


@contextlib.contextmanager
def watched_process_list(secret: str) -> t.Iterator[set[str]]:
    """The command lines of other people's view of this machine that held a secret meanwhile, and one that shows that it looked."""
    found: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes()
                    if secret.encode() in line:
                        found.add(line.replace(b"\0", b" ").decode("utf-8", "replace"))
                    elif b"AnsiballZ_pilw_" in line:
                        found.add("a module was seen")

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


# The whole way, through ansible-playbook.


@pytest.mark.every_core
def test_a_maintenance_shows_no_key_and_runs_no_tenants_text(platform: Platform) -> None:
    """TLS with an own CA, -vvvvv, power cut, a VM in an odd state, a second copy, both directions."""
    odd = {"uuid": "00000000-0000-4000-8000-00000000ffff", "user_id": 9, "status": f"held \x9b {CANARY}", "name": "odd"}
    op = platform(
        from_list=[*hostile_rows(), odd],
        deaf=["=cmd|' /C calc'!A0"],
        row_extra={"user_id": f"8 \x9b {CANARY}"},
        tls=True,
        seed=os.getpid(),  # a key of its own: tests of other cores run beside this one
    )
    before = op.cloud.in_state("running")
    given: dict[str, t.Any] = {
        "ceph_maint_ca_path": op.cloud.ca_path,
        "ceph_maint_record_copy": op.folder / "copy",
        "ceph_maint_accept": [f"vm:{odd['uuid']}", f"same-disk:{op.folder / 'copy'}"],
        **private_tmp(op),
    }
    # Short: Ansible puts a socket there, whose path has to fit into 108 bytes.
    (op.folder / "tmp").symlink_to(tempfile.mkdtemp(prefix="pilw"))
    env = {"TMPDIR": os.readlink(op.folder / "tmp"), "REQUESTS_CA_BUNDLE": "/etc/passwd", "CURL_CA_BUNDLE": "/etc/passwd"}
    with watched_process_list(op.cloud.key) as seen:
        name = "ceph_maint_prepare"
        run = op.play(name, "-vvvvv", "--diff", env=env, ceph_maint_confirm="true", ceph_maint_force="true", **given)
        assert run.rc == 0, run.text
        assert "ALL VMS STOPPED EXCEPT" in run.text
        assert len(op.recorded()) == len(HOSTILE)
        assert_no_file_holds_the_key(op)
        again = {"ceph_maint_confirm": "true", "ceph_maint_ceph_is_back": "true"}
        back = op.play("ceph_maint_restore", "-vvvvv", "--diff", env=env, **again, **given)
    assert back.rc == 0, back.text
    assert op.cloud.in_state("running") == before
    assert seen == {"a module was seen"}
    for text in (run.text, back.text):
        assert op.cloud.key not in text
        assert_inert(op, text)
    assert_no_file_holds_the_key(op)
    for place in (op.place, op.folder / "copy" / op.place.name):
        (report,) = place.glob("*report.json")
        assert all(line.isprintable() for line in strings(json.loads(report.read_text())))
        (rows,) = place.glob("*running_vms.json")
        assert len(json.loads(rows.read_text())) == len(HOSTILE)
    (page,) = op.place.glob("*report.html")
    assert "<script>alert(1)" not in page.read_text() and "&lt;script&gt;alert(1)" in page.read_text()


def strings(data: t.Any) -> t.Iterator[str]:
    if isinstance(data, str):
        yield data
    for item in [*data, *data.values()] if isinstance(data, dict) else data if isinstance(data, list) else []:
        yield from strings(item)


def test_a_hand_made_list_is_data_and_nothing_else(platform: Platform) -> None:
    op = platform(from_list=hostile_rows("stopped"), closed_hosts=1.0)
    made = op.folder / "running_vms.json"
    made.write_text(json.dumps(hostile_rows()))
    run = op.restore("-vv", ceph_maint_running_vms=made, ceph_maint_open_hosts="all", **private_tmp(op))
    assert run.rc == 0, run.text
    assert len(op.cloud.in_state("running")) == len(HOSTILE)
    assert_inert(op, run.text)
    assert_no_file_holds_the_key(op)


def test_no_failure_shows_the_key(platform: Platform) -> None:
    """A crash inside a module, an answer that echoes the key, options that cannot be used, a role refused its variables.

    Before them a list with all its rows, the only result that has all that tenants wrote.
    """
    op = platform(from_list=hostile_rows(), seed=os.getpid())
    echo = {"kind": "status", "status": 400, "times": -1, "body": json.dumps({"message": f"apikey {op.cloud.key} is odd"})}
    op.cloud.act("fault", route="host_list", **echo)
    broken = op.folder / "lib"
    broken.mkdir()
    (broken / "jmespath.py").write_text("import exceptions\ndef search(*given):\n    raise RuntimeError('unexpected', given)\n")
    (broken / "exceptions.py").write_text("class JMESPathError(Exception):\n    pass\n")
    playbook = op.folder / "failing.yml"
    playbook.write_text(FAILING)
    env = {"PYTHONPATH": str(broken), "ANSIBLE_DISPLAY_TRACEBACK": "always"}
    with watched_process_list(op.cloud.key) as seen:
        run = op.play(str(playbook), "-vvvvv", env=env, no_such=op.folder / "no_such", **private_tmp(op))
    assert run.rc != 0
    for sign in ("RuntimeError", "apikey *** is odd", "not a location slug", "no_such_option", "/no_such/record.sqlite", "ceph_maint_confirm"):
        assert sign in run.text, sign
    assert op.cloud.key not in run.text
    assert run.text.count("lone \ufffd half") > 1
    assert_inert(op, run.text)
    assert seen == {"a module was seen"}
    assert_no_file_holds_the_key(op)


def test_the_next_run_removes_what_a_killed_one_left(platform: Platform) -> None:
    """Ansible's module file holds the key while a module runs; when everything is killed at once, it stays."""
    op = platform(vms=10, time_scale=0.05)
    jobs: list[int] = []

    def at_work() -> bool:
        jobs[:] = [pid for pid, line in processes() if str(op.home) in line and "AnsiballZ_pilw_vm_power" in line]
        return bool(jobs) and len(op.cloud.journal.of("admin_vm_stop")) >= 4

    op.killed("ceph_maint_prepare", at_work, ceph_maint_confirm="true", ceph_maint_concurrency="2", **private_tmp(op))
    for pid in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(str(op.home) in line for _pid, line in processes()))
    left = files_with(op.cloud.key, op.folder)
    assert left, "the kill came when no module file was there"
    for path in left:
        assert path.parent.stat().st_mode & 0o077 == 0, f"others can read {path}"
        os.utime(path, (time.time() - 120,) * 2)
    run = op.prepare(**private_tmp(op))
    assert run.rc == 0, run.text
    assert_no_file_holds_the_key(op)


def processes() -> t.Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


# TLS and proxies, in this process.


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, str]:
    """A CA and the file with its certificate."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made, str(tmp_path / "ca.pem")


@contextlib.contextmanager
def answering(serve: t.Callable[[socket.socket], None]) -> t.Iterator[int]:
    """A loopback port whose connections are handed over one by one."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def tls_platform(certificate: trustme.LeafCert, asked: list[bytes]) -> t.Callable[[socket.socket], None]:
    """Answers an empty list to whatever comes over TLS, and keeps what came."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            asked.append(wrapped.recv(65536))
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")

    return serve


def ask(api_host: str, **options: t.Any) -> t.Any:
    return Client(api_host, "k3y-of-an-admin", backoff=0, **options).get("/v1/config/locations", None, 5)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("bundle", ["its CA", "another file", "none"])
def test_no_bundle_of_the_environment_changes_what_is_trusted(bundle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Cloud(vms=1, tls=True) as cloud:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            if bundle != "none":
                monkeypatch.setenv(name, cloud.ca_path if bundle == "its CA" else "/etc/passwd")
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
        monkeypatch.setenv("HOME", str(tmp_path))

        def locations(**options: t.Any) -> t.Any:
            return Client(cloud.url, cloud.key, backoff=0, **options).get("/v1/config/locations", None, 5)

        with pytest.raises(ApiError, match=r"the TLS certificate cannot be verified .*Give your own CA with ca_path") as caught:
            locations()
        assert caught.value.sent is False
        assert len(cloud.journal) == 0
        assert len(locations(ca_path=cloud.ca_path)) == 1
        assert len(locations(validate_certs=False)) == 1
        with pytest.raises(ApiError, match="ca_path holds no certificate"):
            locations(ca_path="/etc/passwd")
        with pytest.raises(ApiError, match="cannot be verified"):
            locations()
    assert len(cloud.journal) == 2


@pytest.mark.parametrize(
    ("names", "expired", "words"),
    [
        (["127.0.0.1"], False, None),
        (["localhost", "127.0.0.2"], False, "mismatch.*Give the name that the certificate is for"),
        (["127.0.0.1"], True, "expired.*have the certificate renewed"),
    ],
)
def test_a_certificate_must_be_for_the_host_and_for_today(
    authority: tuple[trustme.CA, str], names: list[str], expired: bool, words: str | None
) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    times = {"not_before": now - 2 * day, "not_after": now - day if expired else now + day}
    asked: list[bytes] = []
    with answering(tls_platform(authority[0].issue_cert(*names, **times), asked)) as port:
        if words is None:
            assert ask(f"127.0.0.1:{port}", ca_path=authority[1]) == []
            assert b"apikey: k3y" in asked[0]
            return
        with pytest.raises(ApiError, match=words):
            ask(f"127.0.0.1:{port}", ca_path=authority[1])
    assert asked == []


def proxy_to(port: int, heard: list[bytes]) -> t.Callable[[socket.socket], None]:
    """A proxy that takes every CONNECT to one port of this machine, and keeps each byte that it can read."""

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        if not heard[-1].startswith(b"CONNECT"):
            return
        with socket.create_connection(("127.0.0.1", port)) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            pump(connection, onward, heard)
            back.join(10)

    return serve


def pump(source: socket.socket, sink: socket.socket, heard: list[bytes] | None = None) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            if heard is not None:
                heard.append(chunk)
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_gets_a_connect_and_never_the_key(
    authority: tuple[trustme.CA, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    heard: list[bytes] = []
    with answering(tls_platform(authority[0].issue_cert("api.example.com"), asked)) as port:
        with answering(proxy_to(port, heard)) as proxy:
            monkeypatch.setenv(name, f"http://someone:pr0xy-word@127.0.0.1:{proxy}")
            assert ask("api.example.com", ca_path=authority[1]) == []
            with pytest.raises(ApiError, match="cannot be verified") as caught:
                ask("api.example.com")
    tunnels = [one for one in heard if one.startswith(b"CONNECT api.example.com:443 HTTP/1.")]
    assert len(tunnels) == 2, "one for each: a certificate that is not trusted is not asked for again"
    assert b"k3y" not in b"".join(heard)
    assert [b"apikey: k3y" in one for one in asked] == [True]
    assert "pr0xy-word" not in str(caught.value)


def test_a_proxy_that_refuses_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://someone:pr0xy-word@127.0.0.1:{proxy}")
        with pytest.raises(ApiError, match="407") as caught:
            ask("api.example.com")
    assert "pr0xy-word" not in str(caught.value)
    assert caught.value.sent is False


# What the platform sends is checked before it goes into a URL.


def test_an_odd_uuid_is_counted_and_never_sent() -> None:
    odd = ("../../x", "a/b", "", "a" * 65, "a?x=1", "a&force=True", "a#b", "\u0661\u0662\u0663", "a\n", "a b", "a%2fb", "\ud800", "-a", ".")
    with Cloud(from_list=[{"uuid": uuid, "status": "running"} for uuid in (*odd, "good")]) as cloud:
        api = Api(Client(cloud.url, cloud.key, backoff=0))
        for found in (api.vms(), api.running_vms()):
            assert set(found.vms) == {"good"}
            assert len(found.unreadable) == len(odd)
        asked = len(cloud.journal)
        for uuid in odd:
            for act in (api.vm, functools.partial(api.power, action="stop"), functools.partial(api.set_accepting, accepting=True)):
                with pytest.raises(InputError, match="nothing was sent"):
                    act(uuid)
        assert len(cloud.journal) == asked


def test_an_odd_location_is_refused() -> None:
    for slug in ("..", ".", "../x", "a/b", "/etc", "a\n", "a b", "a?b", "a%2f", "\u00e4", "-a", "x" * 65):
        with pytest.raises(InputError, match="is not a location slug"):
            Api(Client("http://127.0.0.1:9", "k3y"), slug)


LOCATIONS = ("", "tll01", "..", ".", "/../../x", "../x", "a/b", "/etc", "a\n", "\u00e4")


@pytest.mark.parametrize("api_host", ["api.example.com", "..", "../../x", "/etc", "//x", "https://..", "a/../../b", "a\x00b", "a\nb", ".", "/"])
def test_no_name_leads_out_of_the_folder_of_records(api_host: str) -> None:
    for location in LOCATIONS:
        try:
            folder = folder_for("/records", api_host, location)
        except InputError:
            assert (api_host, location) not in {("api.example.com", ""), ("api.example.com", "tll01")}
            continue
        assert os.path.dirname(folder) == os.path.dirname(os.path.normpath(folder)) == "/records"
        assert folder.isprintable()
