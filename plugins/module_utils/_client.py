# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""HTTP to the platform: sessions, TLS, time limits, retries of reads, errors. The only file that imports requests."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import time
import traceback
import typing as t
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ansible_collections.pilw.maintenance.plugins.module_utils._errors import (
    ApiError,
    AuthError,
    InputError,
    NoRoute,
    NotFound,
)

try:
    import requests
    from requests.adapters import HTTPAdapter
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
# Reads, and writes that set a value, are repeated after these answers: that does no harm.
REPEAT_AFTER = (429, 500, 502, 503, 504)
DETAIL_LENGTH = 300
_GONE_WORDS = "no such virtual machine exists"
_NO_ROUTE_WORDS = "no route and no api found"


class _BoundedRetry(Retry):
    """urllib3's Retry, but its pauses are capped (C(backoff_max) is known to urllib3 2 only)."""

    def get_backoff_time(self) -> float:
        return min(super().get_backoff_time(), MAX_BACKOFF)

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
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise InputError(f"api_host is not a host, host:port or URL: {exc}.") from exc
    if parts.username or parts.password or parts.query or parts.fragment or not host or re.search(r"\s", text):
        raise InputError("api_host is not a host, host:port or URL without user, query and fragment.")
    if parts.scheme not in ("https", "http"):
        raise InputError(f"api_host {api_host}: only https is spoken, and http to a loopback address.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise InputError(
            f"api_host {api_host}: plain http would send the API key in clear over the network. Use https."
        )
    path = parts.path.rstrip("/")
    if path.endswith("/v1"):
        path = path[: -len("/v1")]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
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
    except ValueError:
        return _one_line(re.sub(r"<[^>]*>", " ", text))
    if isinstance(data, dict):
        errors = data.get("errors")
        if isinstance(errors, dict) and errors:
            return _one_line("; ".join(str(v) if k == "Error" else f"{k}: {v}" for k, v in errors.items()))
        if isinstance(data.get("message"), str):
            return _one_line(data["message"])
    return _one_line(text)


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
        self._key = api_key
        self._verify: bool | str = (ca_path or True) if validate_certs else False
        if not validate_certs:
            requests.packages.urllib3.disable_warnings()  # type: ignore[attr-defined]
        # Refused connections fail within seconds; a flapping TLS handshake (seen for up to 60 s) is waited out.
        self._repeating = self._session(
            pool_size,
            _BoundedRetry(
                total=8,
                connect=3,
                read=4,
                status=5,
                other=8,
                allowed_methods=frozenset({"GET", "PUT"}),
                status_forcelist=REPEAT_AFTER,
                backoff_factor=backoff,
                raise_on_status=False,
            ),
        )
        self._once = self._session(pool_size, 0)

    def _session(self, pool_size: int, retries: t.Any) -> requests.Session:
        session = requests.Session()
        # Off: otherwise REQUESTS_CA_BUNDLE and netrc of the environment would overrule verify and the key header.
        session.trust_env = False
        session.verify = self._verify
        session.proxies = requests.utils.get_environ_proxies(self.url)
        session.headers.update({"apikey": self._key, "User-Agent": USER_AGENT, "Accept": "application/json"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size, max_retries=retries)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def get(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Any:
        """Read JSON. Repeats a failed read a few times, unless C(once). C(timeout) in seconds bounds each try."""
        session = self._once if once else self._repeating
        body, status, correlation = self._call(session, "GET", path, params=params, timeout=timeout)
        try:
            return json.loads(body)
        except ValueError as exc:
            raise ApiError(
                "GET",
                path,
                status=status,
                detail=f"the body is not JSON: {error_detail(self._without_key(body))}",
                correlation_id=correlation,
            ) from exc

    def send(self, method: str, path: str, form: dict[str, str], timeout: float) -> t.Any:
        """Write: a PUT sets a value and is repeated like a read, anything else is sent once.

        Returns the JSON of the answer, or None for a body that is empty or no JSON.
        """
        session = self._repeating if method == "PUT" else self._once
        body = self._call(session, method, path, data=form, timeout=timeout)[0]
        try:
            return json.loads(body)
        except ValueError:
            return None

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
            with response:
                body = self._body(response, method, path, time.monotonic() + timeout)
        except requests.exceptions.RequestException as exc:
            raise self._transport_error(method, path, timeout, exc) from exc
        correlation = response.headers.get(CORRELATION_HEADER)
        if 200 <= response.status_code < 300:
            return body, response.status_code, correlation
        raise _status_error(
            method, path, response.status_code, self._without_key(body), correlation, response.headers.get("Retry-After")
        )

    def _without_key(self, body: bytes) -> bytes:
        """A server that echoes the request must not get the key into messages and records."""
        return body.replace(self._key.encode(), b"***")

    @staticmethod
    def _body(response: requests.Response, method: str, path: str, deadline: float) -> bytes:
        # requests' own time limit counts from byte to byte; this one bounds the whole answer.
        chunks = []
        for chunk in response.iter_content(65536):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise ApiError(
                    method,
                    path,
                    detail="the answer came too slowly to end within the time limit",
                    correlation_id=response.headers.get(CORRELATION_HEADER),
                    timed_out=True,
                )
        return b"".join(chunks)

    @staticmethod
    def _transport_error(method: str, path: str, timeout: float, exc: Exception) -> ApiError:
        # A time-out within the body comes as a ConnectionError.
        if isinstance(exc, requests.exceptions.ReadTimeout) or "Read timed out" in str(exc):
            return ApiError(method, path, detail=f"nothing came within {timeout:g} s", timed_out=True)
        # A failed handshake, proxy or connect means that the request itself was never sent.
        unsent = isinstance(exc, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)) or any(
            word in str(exc) for word in ("NewConnectionError", "NameResolutionError", "CERTIFICATE", "SSLError")
        )
        return ApiError(method, path, detail=_transport_words(exc), sent=not unsent)


def _transport_words(exc: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return (
            "the TLS certificate cannot be verified. Give your own CA with ca_path, or, knowing the risk, "
            "validate_certs=false"
        )
    words = str(exc)
    reason = re.search(r"Caused by \w+\((.*)\)\)?$", words, re.DOTALL)
    plain = re.sub(r"<[^<>]*object at 0x[0-9a-f]+>:?|\w+\((?=host=)", "", reason.group(1) if reason else words)
    return _one_line(plain.strip("()\"' "))


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
    elif status == 404 and not body.lstrip().startswith(b"<"):  # a page of HTML comes from some proxy, not the platform
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
