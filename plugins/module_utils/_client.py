# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""HTTP to the platform: sessions, TLS, time limits, retries of reads, errors. The only file that imports requests."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import os
import re
import socket
import threading
import time
import traceback
import typing as t
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import (
    ApiError,
    AuthError,
    BrokenOff,
    InputError,
    NoRoute,
    NotFound,
)

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ReadTimeoutError
    from urllib3.util.retry import Retry

    REQUESTS_IMPORT_ERROR = None
except ImportError:
    REQUESTS_IMPORT_ERROR = traceback.format_exc()
    Retry = object  # type: ignore[assignment,misc]

USER_AGENT = "pilw.maintenance"
CORRELATION_HEADER = "X-Warren-Correlation-Id"
CONNECT_TIMEOUT = 10.0
# A Retry-After longer than this is not waited out in one piece: no wait without a bound.
MAX_RETRY_AFTER = 60.0
MAX_BACKOFF = 20.0
# With pauses that grow from a second: enough for the minute in which TLS handshakes were seen to flap.
TRIES = 8
# Reads are repeated after these answers: that does no harm.
REPEAT_AFTER = (429, 500, 502, 503, 504)
DETAIL_LENGTH = 300
_GONE_WORDS = "no such virtual machine exists"
# Of the gateway, as seen, and as it says by default.
_NO_ROUTE_WORDS = "no route"
_NO_HOST = "api_host is not a host, host:port or URL without user, query and fragment."
_HOST_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.(?!-)[\w-]{1,63})*\.?")
_PATH = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*")


class _BoundedRetry(Retry):
    """urllib3's Retry, but its pauses are capped (C(backoff_max) is known to urllib3 2 only)."""

    def get_backoff_time(self) -> float:
        return min(super().get_backoff_time(), MAX_BACKOFF)

    def increment(self, method: t.Any = None, url: t.Any = None, *given: t.Any, **named: t.Any) -> t.Any:
        if "CERTIFICATE" in str(named.get("error")):  # asking again will not mend it
            raise MaxRetryError(named["_pool"], url, named["error"])
        if isinstance(named.get("error"), ReadTimeoutError) and len(self.history) >= 2:  # each took the whole time limit
            raise MaxRetryError(named["_pool"], url, named["error"])
        return super().increment(method, url, *given, **named)

    def get_retry_after(self, response: t.Any) -> float | None:
        return retry_after_seconds(response.headers.get("Retry-After"))


def base_url(api_host: str) -> str:
    """The URL that paths are added to. Takes host, host:port or a URL; http only for a loopback address."""
    text = api_host.strip()
    if not text:
        raise InputError("api_host is empty. Give the API's host name, such as api.example.com, or set API_HOST.")
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # Its words would show a part of a password that holds a slash.
        raise InputError(_NO_HOST) from None
    path = parts.path.rstrip("/")
    plain = text.isprintable() and " " not in text and not set("@?#") & set(text)
    if not plain or port == 0 or not (_HOST_NAME.fullmatch(host) or _is_ipv6(host)) or not _PATH.fullmatch(path):
        raise InputError(_NO_HOST)
    if parts.scheme not in ("https", "http"):
        raise InputError(f"api_host {api_host}: only https is spoken, and http to a loopback address.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise InputError(
            f"api_host {api_host}: plain http would send the API key in clear over the network. Use https."
        )
    if path.endswith("/v1"):
        path = path[: -len("/v1")]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}"


def _is_ipv6(host: str) -> bool:
    try:
        return "%" not in str(ipaddress.IPv6Address(host))
    except ValueError:
        return False


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


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


def error_detail(body: bytes) -> str:
    """What an error body says, in one line: both envelopes, other JSON, text, or a word for an empty one."""
    text = body.decode("utf-8", "replace").strip()
    if not text:
        return "empty body"
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return _one_line(re.sub(r"<[^>]*>", " ", text))
    if isinstance(data, dict):
        errors = data.get("errors")
        if isinstance(errors, dict) and errors:
            return _one_line("; ".join(str(v) if k == "Error" else f"{k}: {v}" for k, v in errors.items()))
        if isinstance(data.get("message"), str):
            return _one_line(data["message"])
    return _one_line(text)


def inert(data: t.Any) -> t.Any:
    """JSON data with no character that steers a terminal, hides text or is none at all (half of a surrogate pair).

    Customers choose such text. One half pair would end every task that returns it.
    """
    if isinstance(data, str):
        if data.isprintable():
            return data
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in data)
    if isinstance(data, list):
        return [inert(item) for item in data]
    if isinstance(data, dict):
        return {inert(key): inert(value) for key, value in data.items()}
    return data


def _one_line(text: str) -> str:
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= DETAIL_LENGTH else f"{clean[:DETAIL_LENGTH]}..."


class Client:
    """Calls below one base URL with one key. Thread safe. Never follows a redirect."""

    def __init__(
        self,
        api_host: str,
        api_key: str,
        *,
        validate_certs: bool = True,
        ca_path: str | None = None,
        pool_size: int = 10,
        backoff: float = 1.0,
    ) -> None:
        """C(pool_size): connections kept open. C(backoff): seconds, base of the growing pause between reads."""
        self.url = base_url(api_host)
        if not api_key:
            raise InputError("api_key is empty. Give the key of an admin user, or set ADMIN_APIKEY.")
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise InputError("api_key holds a blank, a line break or another character that no key has.")
        if validate_certs and ca_path and not os.access(ca_path, os.R_OK):
            raise InputError(f"ca_path {ca_path} cannot be read. Give a file or folder of CA certificates on this machine.")
        self._spellings = _spellings(api_key)
        self._verify: bool | str = (ca_path or True) if validate_certs else False
        if not validate_certs:
            requests.packages.urllib3.disable_warnings()  # type: ignore[attr-defined]
        # Refused connections fail within seconds; a flapping TLS handshake (seen for up to 60 s) is waited out.
        self._repeating = self._session(
            api_key,
            pool_size,
            _BoundedRetry(
                total=TRIES,
                connect=3,
                read=TRIES,
                status=5,
                other=TRIES,
                allowed_methods=frozenset({"GET"}),
                status_forcelist=REPEAT_AFTER,
                backoff_factor=backoff,
                raise_on_status=False,
            ),
        )
        self._once = self._session(api_key, pool_size, 0)

    def _session(self, api_key: str, pool_size: int, retries: t.Any) -> requests.Session:
        session = requests.Session()
        # Off: otherwise REQUESTS_CA_BUNDLE and netrc of the environment would overrule verify and the key header.
        session.trust_env = False
        session.verify = self._verify
        # A proxy would get the key in clear with plain http, and its loopback is not this machine's.
        if not _is_loopback(urlsplit(self.url).hostname):
            session.proxies = requests.utils.get_environ_proxies(self.url)
        session.headers.update({"apikey": api_key, "User-Agent": USER_AGENT, "Accept": "application/json"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size, max_retries=retries)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def get(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Any:
        """Read JSON. Repeats a failed read a few times, unless C(once). C(timeout) in seconds bounds each try."""
        session = self._once if once else self._repeating
        try:
            answer = self._call(session, "GET", path, params=params, timeout=timeout)
        except BrokenOff:
            if once:
                raise
            # urllib3 repeats what is lost before the body begins, and only that.
            answer = self._call(session, "GET", path, params=params, timeout=timeout)
        return self._parsed("GET", path, *answer)

    @staticmethod
    def _parsed(method: str, path: str, body: bytes, status: int, correlation: str | None) -> t.Any:
        try:
            return inert(json.loads(body))
        except (ValueError, RecursionError) as exc:
            detail = f"the body is not JSON: {error_detail(body)}"
            raise ApiError(method, path, status=status, detail=detail, correlation_id=correlation) from exc

    def send(self, method: str, path: str, form: dict[str, str], timeout: float) -> t.Any:
        """Write: sent once. Who asked for it decides whether it is sent again, as long as somebody still wants it.

        Returns the JSON of the answer, or None for an empty body.
        """
        answer = self._call(self._once, method, path, data=form, timeout=timeout)
        return self._parsed(method, path, *answer) if answer[0].strip() else None

    def _call(
        self, session: requests.Session, method: str, path: str, *, timeout: float, **content: t.Any
    ) -> tuple[bytes, int, str | None]:
        try:
            response = session.request(
                method,
                self.url + path,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
                **content,
            )
        except (requests.exceptions.RequestException, HTTPError) as exc:
            # Without its cause: a traceback would show what the other side sent, as it came.
            raise self._transport_error(method, path, timeout, exc) from None
        try:
            with response:
                body = self._body(response, method, path, time.monotonic() + timeout)
        except (requests.exceptions.RequestException, HTTPError) as exc:
            error = self._transport_error(method, path, timeout, exc)
            raise error if error.timed_out else BrokenOff(method, path, detail=error.detail) from None
        # A server that echoes the request must not get the key into messages and records.
        body = self._spellings.sub("***", body.decode("latin-1")).encode("latin-1")
        correlation = self._correlation(response)
        if 200 <= response.status_code < 300:
            return body, response.status_code, correlation
        raise _status_error(method, path, response.status_code, body, correlation, response.headers.get("Retry-After"))

    def _body(self, response: requests.Response, method: str, path: str, deadline: float) -> bytes:
        # requests' own time limit counts from byte to byte; this one bounds the whole answer.
        late = threading.Event()

        def hang_up() -> None:
            late.set()
            with contextlib.suppress(OSError, ValueError, AttributeError), socket.socket(fileno=os.dup(response.raw.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), hang_up)
        timer.start()
        try:
            return response.content
        finally:
            timer.cancel()
            if late.is_set():
                raise ApiError(
                    method,
                    path,
                    detail="the answer came too slowly to end within the time limit",
                    correlation_id=self._correlation(response),
                    timed_out=True,
                ) from None

    def _correlation(self, response: requests.Response) -> str | None:
        return _one_line(self._spellings.sub("***", response.headers.get(CORRELATION_HEADER, ""))) or None

    def _transport_error(self, method: str, path: str, timeout: float, exc: Exception) -> ApiError:
        # A time-out within the body comes as a ConnectionError.
        if isinstance(exc, requests.exceptions.ReadTimeout) or "Read timed out" in str(exc):
            return ApiError(method, path, detail=f"nothing came within {timeout:g} s", timed_out=True)
        # A failed handshake, proxy or connect means that the request itself was never sent.
        unsent = isinstance(exc, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError, LocationValueError)) or any(
            word in str(exc) for word in ("NewConnectionError", "NameResolutionError", "CERTIFICATE", "SSLError")
        )
        return ApiError(method, path, detail=_transport_words(self._spellings.sub("***", str(exc))), sent=not unsent)


def _spellings(key: str) -> re.Pattern[str]:
    """The key as it is, and as JSON and URLs write it."""
    quoted = json.dumps(key)[1:-1]
    forms = {key, quoted, quoted.replace("/", "\\/"), quote(key), quote(key, safe="")}
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def _transport_words(words: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return _certificate_words(words)
    if "NO_CERTIFICATE_OR_CRL_FOUND" in words:
        return "ca_path holds no certificate. Give a file or folder of CA certificates in PEM form"
    words = re.sub(r"<[^<>]*object at 0x[0-9a-f]+>: ?", "", words)
    inner = re.search(r"\w+(?:Error|Disconnected)\((?:\d+, )?'([^']+)'\)+$", words)
    if inner:  # the innermost of nested errors: what happened, without the names of Python's classes
        return _one_line(inner.group(1))
    reason = re.search(r"Caused by \w+\((.*)\)\)?$", words, re.DOTALL)
    plain = re.sub(r"\w+\((?=host=)", "", reason.group(1) if reason else words)
    return _one_line(plain.strip("()\"' "))


def _certificate_words(words: str) -> str:
    found = re.search(r"certificate verify failed: (.*?)\.? \(_ssl", words)
    reason = f" ({_one_line(found.group(1))})" if found else ""
    if re.search(r"mismatch|expired|not yet valid", reason):
        way = "Give the name that the certificate is for as api_host, or have the certificate renewed"
    else:
        way = "Give your own CA with ca_path"
    return f"the TLS certificate cannot be verified{reason}. {way}, or, knowing the risk, validate_certs=false"


def _is_envelope(body: bytes) -> bool:
    """Whether an error has one of the two forms that the platform gives its errors."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and bool({"errors", "message"} & set(data))


def _status_error(
    method: str, path: str, status: int, body: bytes, correlation: str | None, retry_after: str | None
) -> ApiError:
    """The typed error for an answer that is not 2xx."""
    detail = error_detail(body)
    kind: type[ApiError] = ApiError
    if status in (401, 403):
        kind = AuthError
    elif status in (400, 404) and _GONE_WORDS in detail.lower():
        kind = NotFound
    elif status == 404 and _is_envelope(body):  # anything else comes from some proxy, not from the platform
        kind = NoRoute if _NO_ROUTE_WORDS in detail.lower() else NotFound
    elif 300 <= status < 400:
        detail = "a redirect, which is never followed: the API key goes to the given host only"
    return kind(
        method,
        path,
        status=status,
        detail=detail,
        correlation_id=correlation,
        retry_after=retry_after_seconds(retry_after),
    )
