# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Connections to the platform, of which every try has an end. The only file that imports requests and urllib3.

The time limits of the libraries below count from byte to byte. A L(Deadline) counts from the first step of a try to the last
byte of its answer, and hangs up.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import socket
import threading
import traceback
import typing as t
import zlib
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urlsplit

from ansible_collections.pilw.maintenance.plugins.module_utils import _pace

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidSchema, InvalidURL
    from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ReadTimeoutError
    from urllib3.util.retry import Retry

    REQUESTS_IMPORT_ERROR = None
    # What a call ends with that gave no answer. All of requests' own errors are OSErrors.
    FAILURES: tuple[type[Exception], ...] = (OSError, ValueError, http.client.HTTPException, HTTPError, zlib.error)
    # Those of them that come before there is any connection.
    NEVER_SENT: tuple[type[Exception], ...] = (InvalidSchema, InvalidURL, LocationValueError)
except ImportError:
    REQUESTS_IMPORT_ERROR = traceback.format_exc()
    Retry = HTTPAdapter = object  # type: ignore[assignment,misc]

USER_AGENT = "pilw.maintenance"
# The machine's own, whatever pace a test has put in place: the connections are real.
_clock = _pace.Pace().monotonic
CONNECT_TIMEOUT = 10.0
# A connection that lay idle for longer is made anew: a firewall may have forgotten it, and a call over it would be sent to nobody.
MAX_IDLE = 20.0
# A Retry-After longer than this is not waited out in one piece: no wait without a bound.
MAX_RETRY_AFTER = 60.0
MAX_BACKOFF = 20.0
# With pauses that grow from a second: enough for the minute in which TLS handshakes were seen to flap.
TRIES = 8
# So many of them may take the whole time limit.
SLOW_TRIES = 3
# Reads are repeated after these answers: that does no harm.
REPEAT_AFTER = (429, 500, 502, 503, 504)
_PIECE = 1 << 18  # bytes


class TooLarge(Exception):
    """An answer that is not read to its end."""


class _Watch:
    """The one thread that hangs up, for all calls: a timer for each would cost more than the rest of this file."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tries: dict[Try, float] = {}  # those under way, and when they end
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, attempt: Try, seconds: float) -> None:
        ends = _clock() + seconds
        with self._changed:
            self._tries[attempt] = ends
            if self._thread is None or not self._thread.is_alive():  # it could not begin, or ended for want of memory
                self._thread = threading.Thread(target=self._run, name="pilw-watch", daemon=True)
                self._thread.start()
            elif ends < self._wakes_at:
                self._changed.notify()

    def remove(self, attempt: Try) -> None:
        with self._changed:
            self._tries.pop(attempt, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = _clock()
                late = [attempt for attempt, ends in self._tries.items() if ends <= now]
                for attempt in late:
                    del self._tries[attempt]
                if not late:
                    self._wakes_at = min(self._tries.values(), default=math.inf)
                    self._changed.wait(None if math.isinf(self._wakes_at) else self._wakes_at - now)
            for attempt in late:
                attempt.hang_up()


_watch = _Watch()


class Try:
    """One of the tries of a call, so that nobody hangs up on the next one in its place."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def hang_up(self) -> None:
        self._deadline.hang_up(self)


class Deadline:
    """Bounds each try of the one call that this thread makes within it.

    C(late): it hung up. C(sent): False only while it is certain that no byte of the request has gone out.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._try: Try | None = None
        self._user: object = None  # the connection in use
        self._line: socket.socket | None = None
        self.late = False
        self.sent = True

    def __enter__(self) -> Deadline:
        _here.deadline = self
        return self

    def __exit__(self, *error: object) -> None:
        _here.deadline = _NONE
        self._end()

    def begin(self) -> None:
        """A try begins."""
        self._end()
        self.late, self.sent = False, True
        self._try = Try(self)
        _watch.add(self._try, self._seconds)

    def hold(self, user: object, line: t.Any) -> None:
        """The try goes over this socket. A handle of its own can be shut down whatever becomes of that one meanwhile."""
        if self._try is None or (self._line and self._user is user):
            return
        handle = socket.socket(fileno=os.dup(line.fileno()))
        with self._lock:
            before, self._user, self._line = self._line, user, handle
            if self.late:
                _shut(handle)
        if before:
            before.close()

    def connecting(self) -> None:
        self.sent = False
        self._drop()

    def sending(self, user: object, line: t.Any) -> None:
        self.sent = False  # where no more files may be open, nothing goes over a connection that was kept
        self.hold(user, line)
        self.sent = True

    def let_go(self, user: object) -> bool:
        """The connection is free for the next call, which must not be hung up on. Whether it may be used again."""
        if self._user is not user:
            return True
        self._end()
        return not self.late

    def hang_up(self, attempt: Try) -> None:
        """That try is late."""
        with self._lock:
            if self._try is attempt:
                self.late = True
                if self._line:
                    _shut(self._line)

    def _end(self) -> None:
        with self._lock:
            attempt, self._try = self._try, None
        if attempt:
            _watch.remove(attempt)
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            line, self._user, self._line = self._line, None, None
        if line:
            line.close()


_NONE = Deadline(0)  # never begun, so that it holds nothing


class _Here(threading.local):
    """The deadline of this thread."""

    deadline = _NONE


_here = _Here()


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _bounded(kind: t.Any) -> type:
    """A class of connection pools whose connections heed the deadline, also those to and through a proxy."""

    class Line(kind.ConnectionCls):
        ready = False
        idle_since = math.inf

        def connect(self) -> None:
            self.ready = False
            _here.deadline.connecting()
            super().connect()
            self.ready = True

        def _new_conn(self) -> t.Any:
            line = super()._new_conn()
            _here.deadline.hold(self, line)
            return line

        def send(self, data: t.Any) -> None:
            if self.sock is None and self.auto_open:
                self.connect()
            if self.ready:  # else it is the request for a tunnel
                _here.deadline.sending(self, self.sock)
            super().send(data)

    class Pool(kind):
        ConnectionCls = Line

        def _get_conn(self, *given: t.Any, **named: t.Any) -> t.Any:
            if _here.deadline is not _NONE:
                _here.deadline.begin()  # each further try gets a connection too
            conn = super()._get_conn(*given, **named)
            if _clock() - conn.idle_since < MAX_IDLE:
                return conn
            conn.close()
            return self._new_conn()

        def _put_conn(self, conn: t.Any) -> None:
            if conn is not None:
                conn.idle_since = _clock()
                if not _here.deadline.let_go(conn):
                    conn.close()
            super()._put_conn(conn)

    for made, base in ((Line, kind.ConnectionCls), (Pool, kind)):
        made.__name__ = made.__qualname__ = base.__name__  # as the libraries' own messages have it
    return Pool


class _BoundedAdapter(HTTPAdapter):
    """Makes pools as above, for direct connections and for each proxy."""

    def init_poolmanager(self, *given: t.Any, **named: t.Any) -> None:
        super().init_poolmanager(*given, **named)
        _bind(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: t.Any) -> t.Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **named)
        return manager if known else _bind(manager)


def _bind(manager: t.Any) -> t.Any:
    manager.pool_classes_by_scheme = {scheme: _bounded(kind) for scheme, kind in manager.pool_classes_by_scheme.items()}
    return manager


class _BoundedRetry(Retry):
    """urllib3's Retry, but its pauses are capped (C(backoff_max) is known to urllib3 2 only)."""

    def get_backoff_time(self) -> float:
        return min(super().get_backoff_time(), MAX_BACKOFF)

    def increment(self, method: t.Any = None, url: t.Any = None, *given: t.Any, **named: t.Any) -> t.Any:
        error, response = named.get("error"), named.get("response")
        if "CERTIFICATE" in str(error):  # asking again will not mend it
            raise MaxRetryError(named["_pool"], url, error)
        slow = error is not None and (_here.deadline.late or isinstance(error, ReadTimeoutError))
        if slow and len(self.history) >= SLOW_TRIES - 1:
            raise MaxRetryError(named["_pool"], url, error)
        left = super().increment(method, url, *given, **named)
        if response is not None:
            response.close()  # else its body would be read to the end, however long that is
        return left

    def get_retry_after(self, response: t.Any) -> float | None:
        return retry_after_seconds(response.headers.get("Retry-After"))


class Session:
    """Asks below one base URL, safe to be used by many threads at once.

    requests chooses the proxy. The call itself goes to its pool of connections: what requests does around each
    takes more time than the rest of it, follows redirects, whose body it reads, and keeps cookies.
    """

    def __init__(self, url: str, key: str, verify: bool | str, proxied: bool, pool_size: int, retries: t.Any) -> None:
        """C(proxied): through the proxy of the environment, if that names one for this URL."""
        self._url, self._path = url, urlsplit(url).path
        self._proxied, self._retries = proxied, retries
        # Named, as some versions of requests would else ask the environment.
        self._verify = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        self._adapter = _BoundedAdapter(pool_connections=1, pool_maxsize=pool_size)
        self._making = threading.Lock()
        self._made: t.Any = None
        # What can be unpacked below, piece by piece. Others may unpack to a million times their size.
        self._headers = {"apikey": key, "User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if not verify:
            urllib3.disable_warnings()

    def ask(self, method: str, path: str, timeout: float, params: dict[str, str] | None, form: dict[str, str] | None) -> t.Any:
        """The answer as soon as its head is there. C(timeout): seconds."""
        return self.pool().request(
            method,
            self._path + path + (f"?{urlencode(params)}" if params else ""),
            body=urlencode(form) if form else None,
            headers={**self._headers, "Content-Type": "application/x-www-form-urlencoded"} if form else self._headers,
            retries=self._retries,
            redirect=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
            preload_content=False,
            decode_content=False,
        )

    def pool(self) -> t.Any:
        """The pool of connections. It is chosen at the first call, which connects nothing."""
        with self._making:
            if self._made is None:
                self._made = self._chosen(requests.utils.get_environ_proxies(self._url) if self._proxied else {})
        return self._made

    def _chosen(self, proxies: dict[str, str]) -> t.Any:
        request = requests.Request("GET", self._url).prepare()
        url = t.cast("str", request.url)
        try:
            if hasattr(self._adapter, "get_connection_with_tls_context"):
                pool = self._adapter.get_connection_with_tls_context(request, self._verify, proxies)
            else:  # requests before 2.32.2
                pool = self._adapter.get_connection(url, proxies)
        except InvalidSchema:  # SOCKS, and what it needs is missing
            raise
        except ValueError as exc:  # its words would show the password
            raise InvalidURL("the proxy that the environment names is not a URL" if proxies else str(exc)) from None
        self._adapter.cert_verify(pool, url, self._verify, None)
        return pool


def repeating(backoff: float) -> t.Any:
    """For reads. Refused connections fail within seconds; a flapping TLS handshake (seen for up to 60 s) is waited out."""
    return _BoundedRetry(
        total=TRIES,
        connect=3,
        read=TRIES,
        status=5,
        other=TRIES,
        allowed_methods=frozenset({"GET"}),
        status_forcelist=REPEAT_AFTER,
        backoff_factor=backoff,
        raise_on_status=False,
    )


def once() -> t.Any:
    """For all else: whoever asks decides whether it is asked again."""
    return Retry(0, read=False)


def body_of(response: t.Any, most: int) -> bytes:
    """The whole body, unpacked. Raises TooLarge above C(most) bytes, before there is more of it in memory."""
    pieces, size = [], 0
    for piece in _unpacked(response):
        size += len(piece)
        if size > most:
            raise TooLarge
        pieces.append(piece)
    return b"".join(pieces)


def _unpacked(response: t.Any) -> t.Iterator[bytes]:
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing in ("", "identity"):
        yield from _read(response)
        return
    if packing not in ("gzip", "x-gzip"):
        raise ValueError(f"the answer is packed with {packing}, which nobody asked for")
    unpacker, whole = zlib.decompressobj(zlib.MAX_WBITS | 16), True
    for piece in _read(response):
        while piece and not unpacker.eof:
            yield unpacker.decompress(piece, _PIECE)
            piece = unpacker.unconsumed_tail
        whole = unpacker.eof
    yield unpacker.flush()
    if not whole:
        raise http.client.IncompleteRead(b"")


def _read(response: t.Any) -> t.Iterator[bytes]:
    while piece := response.read(_PIECE, decode_content=False):
        yield piece
    if response.length_remaining:  # urllib3 1 does not mind
        raise http.client.IncompleteRead(b"", response.length_remaining)


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date), capped; None when absent or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        seconds = (when - (now or datetime.now(timezone.utc))).total_seconds()
    if math.isnan(seconds):
        return None
    return max(0.0, min(seconds, MAX_RETRY_AFTER))
