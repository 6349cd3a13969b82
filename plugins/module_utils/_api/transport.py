# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Connections to the platform. The only file that imports requests and urllib3.

The time limits of these libraries are those of a single read from the socket. Here the limit of a call bounds its whole answer.
Not bounded by it are the resolver (``RESOLVER_TIMEOUT``) and connecting (``CONNECT_TIMEOUT`` for each address of the host).
"""

from __future__ import annotations

import concurrent.futures
import gzip
import http.client
import io
import math
import socket
import threading
import traceback
import typing as t
import zlib
from urllib.parse import urlencode, urlsplit

from .. import _clock as _pace


class TooSlow(Exception):
    """An answer that did not end within the time limit of its call. No error that the libraries translate."""


try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidSchema
    from urllib3.exceptions import HTTPError, InvalidHeader, ReadTimeoutError
    from urllib3.util.retry import Retry

    REQUESTS_IMPORT_ERROR = None
    # What a call without a usable answer raises. All errors of requests are OSErrors.
    FAILURES: tuple[type[Exception], ...] = (TooSlow, OSError, ValueError, EOFError, http.client.HTTPException, HTTPError, zlib.error)
except ImportError:
    REQUESTS_IMPORT_ERROR = traceback.format_exc()

USER_AGENT = "pilw.maintenance"
# The machine's own, whatever pace a test has put in place: the connections are real.
_clock = _pace.Pace().monotonic
CONNECT_TIMEOUT = 10.0
RESOLVER_TIMEOUT = 30.0
# A connection that lay idle for longer is made anew: a firewall may have forgotten it, and a call over it would be lost.
MAX_IDLE = 20.0
# A longer Retry-After is not waited out in one piece: no wait without a bound.
MAX_RETRY_AFTER = 60.0
_PIECE = 1 << 18  # bytes


class TooLarge(Exception):
    """An answer that is not read to its end."""


class NotConnected(Exception):
    """No connection was made, so the request was certainly not sent.

    Args:
        text: what happened.
        repeats: how often a read is repeated after it.
        timed_out: whether a time limit was over.
    """

    def __init__(self, text: str, repeats: int = 0, timed_out: bool = False) -> None:
        super().__init__(text)
        self.repeats = repeats
        self.timed_out = timed_out


class _BoundedReader(io.RawIOBase):
    """Reads from a socket, whose time limit becomes that of all reads together."""

    def __init__(self, raw: t.Any, sock: t.Any) -> None:
        self._raw, self._sock = raw, sock
        self._ends = _clock() + sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> t.Any:
        left = self._ends - _clock()
        if left <= 0:
            raise TooSlow
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))


def _bounded(kind: t.Any) -> type:
    """Return a subclass of a connection class of urllib3, for direct connections as well as those to a proxy."""
    local_names = kind in (urllib3.HTTPConnectionPool.ConnectionCls, urllib3.HTTPSConnectionPool.ConnectionCls)  # SOCKS resolves them itself

    class Connection(kind):
        sock: t.Any
        response_class = _BoundedResponse
        idle_since = math.inf
        resolved = False  # of all connections of a session: the first call meets a resolver that is silent

        def connect(self) -> None:
            self.idle_since, began = math.inf, _clock()
            try:
                if local_names and not self.resolved:
                    _resolve(self.host, self.port)
                    Connection.resolved = True
                super().connect()
            except FAILURES as exc:
                raise _not_connected(exc, self, _clock() - began) from exc
            if _clock() - began > RESOLVER_TIMEOUT:
                # The caller may have abandoned the call, and it must not be sent later.
                self.close()
                raise NotConnected(f"{self.host} port {self.port} did not accept a connection in time", 2, timed_out=True)

        def send(self, data: t.Any) -> None:
            if self.sock and _clock() - self.idle_since > MAX_IDLE:
                self.sock.close()
                self.sock = None
                self.connect()  # urllib3 1.26 keeps http.client from doing so behind a proxy
            self.idle_since = math.inf
            super().send(data)

        def getresponse(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
            response = super().getresponse(*args, **kwargs)
            self.idle_since = _clock()
            return response

    return Connection


def _resolve(host: str, port: int) -> None:
    """Resolve a name in a thread that is abandoned when the resolver is silent: ``getaddrinfo`` has no time limit."""
    workers = _pace.Pace().workers(1)
    try:
        workers.submit(socket.getaddrinfo, host.strip("[]"), port, type=socket.SOCK_STREAM).result(RESOLVER_TIMEOUT)
    except concurrent.futures.TimeoutError:
        raise NotConnected(f"the host name {host} was not resolved within {RESOLVER_TIMEOUT:g} s", timed_out=True) from None
    except RuntimeError as exc:  # no further thread
        raise NotConnected(str(exc), 3) from None
    finally:
        workers.shutdown(wait=False)


def _not_connected(error: BaseException, connection: t.Any, took: float) -> NotConnected:
    """Say why there is no connection, and whether the next try may succeed.

    A refused port is given up within seconds. A handshake that fails is tried for about a minute, in which it was seen to flap.
    """
    where = f"{'the proxy ' if connection.proxy else ''}{connection.host} port {connection.port}"
    words, causes, cause = str(error), [error], error.__context__
    while cause:
        causes.append(cause)
        cause = cause.__context__
    unresolved = next((each for each in causes if isinstance(each, socket.gaierror)), None)
    if unresolved:  # a resolver that takes long has asked others several times already
        return NotConnected(f"the host name {connection.host} cannot be resolved ({unresolved.strerror})", 3 if took < 1 else 0)
    if any(isinstance(each, ConnectionRefusedError) for each in causes):
        return NotConnected(f"{where} refused the connection", 3)
    if any(isinstance(each, (TimeoutError, socket.timeout, TooSlow)) for each in causes):
        return NotConnected(f"{where} did not accept a connection in time", 2, timed_out=True)
    if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER_FAILURE" in words:
        return NotConnected(f"{where} does not use TLS")
    return NotConnected(words, 0 if "CERTIFICATE" in words else 8)


class Session:
    """Makes requests below one base URL, also in many threads at once.

    requests chooses the proxy. The call itself goes to its pool of connections: what requests does around each takes more time
    than the rest of it, follows redirects, whose body it reads, and keeps cookies.
    """

    def __init__(self, url: str, key: str, verify: bool | str, proxied: bool, pool_size: int) -> None:
        """C(proxied): through the proxy of the environment, if that names one for this URL."""
        self._url, self._path = url, urlsplit(url).path
        self._proxied = proxied
        # Named, as some versions of requests would else ask the environment.
        self._verify = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size)
        self._making = threading.Lock()
        self._made: t.Any = None
        # Of all packings, this one is unpacked below in bounded pieces.
        self._headers = {"apikey": key, "User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if not verify:
            urllib3.disable_warnings()

    def request(self, method: str, path: str, timeout: float, params: dict[str, str] | None, form: dict[str, str] | None) -> t.Any:
        """Send one request.

        Args:
            timeout: seconds from the request to the end of the answer.

        Returns:
            The response as soon as its head is there.

        Raises:
            NotConnected: nothing was sent.
            One of ``FAILURES``: there is no usable answer.
        """
        return self.pool().request(
            method,
            self._path + path + (f"?{urlencode(params)}" if params else ""),
            body=urlencode(form) if form else None,
            headers={**self._headers, "Content-Type": "application/x-www-form-urlencoded"} if form else self._headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
            preload_content=False,
            decode_content=False,
            enforce_content_length=True,
        )

    def pool(self) -> t.Any:
        """Return the pool of connections. It is chosen at the first call, which connects nothing."""
        with self._making:
            if self._made is None:
                self._made = self._choose_pool(requests.utils.get_environ_proxies(self._url) if self._proxied else {})
        return self._made

    def _choose_pool(self, proxies: dict[str, str]) -> t.Any:
        request = requests.Request("GET", self._url).prepare()
        url = t.cast("str", request.url)
        try:
            pool: t.Any
            if hasattr(self._adapter, "get_connection_with_tls_context"):
                pool = self._adapter.get_connection_with_tls_context(request, self._verify, proxies)
            else:  # requests before 2.32.2
                pool = self._adapter.get_connection(url, proxies)
        except InvalidSchema as exc:  # SOCKS, and what it needs is missing
            raise NotConnected(str(exc)) from None
        except ValueError as exc:  # its words would show the password
            raise NotConnected("the proxy that the environment names is not a URL" if proxies else str(exc)) from None
        self._adapter.cert_verify(pool, url, self._verify, None)
        pool.ConnectionCls = _bounded(pool.ConnectionCls)
        return pool


def is_silence(error: Exception) -> bool:
    """Whether a time limit was over before anything came."""
    return isinstance(error, ReadTimeoutError)


def body_of(response: t.Any, most: int) -> bytes:
    """Read the whole body, unpacked. Raises TooLarge above C(most) bytes, before there is more of it in memory."""
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        raise ValueError(f"the answer is packed with {packing}, which nobody asked for")
    stream = gzip.GzipFile(fileobj=response) if "gzip" in packing else response
    pieces, size = [], 0
    while piece := stream.read(_PIECE):
        size += len(piece)
        if size > most:
            raise TooLarge
        pieces.append(piece)
    return b"".join(pieces)


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or a date), capped; None when absent or unreadable."""
    try:
        return min(Retry().parse_retry_after(value or ""), MAX_RETRY_AFTER)
    except (InvalidHeader, ValueError, OverflowError, IndexError, TypeError):  # the last two of odd dates, with Python 3.9
        return None
