# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""HTTP to the platform: where the key goes, what is sent how often, and what each answer becomes."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import typing as t
from collections import Counter
from urllib.parse import quote, urlsplit

from .. import _clock
from .._errors import ApiError, AuthError, BrokenOff, InputError, NoRoute, NotFound
from . import transport
from .json_stream import NoList, entries
from .transport import NotConnected, TooLarge, TooSlow, retry_after_seconds

CORRELATION_HEADER = "X-Warren-Correlation-Id"
DETAIL_LENGTH = 300
# Bytes. 100,000 VMs with a kilobyte each are 100 MiB; nothing but a list needs more than a few.
MOST_OF_A_LIST = 512 << 20
MOST_OF_THE_REST = 4 << 20
# Levels of JSON. Rows have a handful; far more, and what writes them down again fails.
MOST_LEVELS = 100
# How often a read is repeated: after an answer that another try may change, one that takes the whole time limit, a connection
# that is lost before the body, and one that is lost within it. Pauses double up to the longest.
_REPEAT_AFTER = (429, 500, 502, 503, 504)
_AFTER_STATUS, _AFTER_TIMEOUT, _AFTER_LOSS, _AFTER_PART = 5, 2, 8, 1
MAX_BACKOFF = 20.0
_NO_ROOM = "the answer does not fit into the memory of the maintenance host"
_GONE_WORDS = "no such virtual machine exists"
# Of the gateway, as seen, and as it says by default.
_NO_ROUTE_WORDS = "no route"
_NO_HOST = "api_host is not a host, host:port or URL without user, query and fragment."
_HOST_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.(?!-)[\w-]{1,63})*\.?")
_PATH = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*")


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


Hide = t.Callable[[str], str]


def error_detail(body: bytes, hide: Hide = str) -> str:
    """What an error body says, in one line: both envelopes, other JSON, text, or a word for an empty one.

    C(hide) takes out what is not to be shown, from the text as it came and as it reads once JSON is undone.
    """
    text = hide(body.decode("utf-8", "replace").replace("\0", "").strip())
    if not text:
        return "empty body"
    try:
        data = _plain(json.loads(text), hide)
    except (ValueError, RecursionError):
        return _one_line(re.sub(r"<[^<>]*>", " ", text))
    if isinstance(data, dict):
        errors = data.get("errors")
        if isinstance(errors, dict) and errors:
            return _one_line("; ".join(str(v) if k == "Error" else f"{k}: {v}" for k, v in errors.items()))
        if isinstance(data.get("message"), str):
            return _one_line(data["message"])
    return _one_line(text)


def _plain(data: t.Any, change: Hide, levels: int = MOST_LEVELS) -> t.Any:
    """JSON data with each text in it changed. Raises RecursionError where it is nested too deep."""
    if isinstance(data, str):
        return change(data)
    if not isinstance(data, (list, dict)):
        return data
    if not levels:
        raise RecursionError
    if isinstance(data, list):
        return [_plain(item, change, levels - 1) for item in data]
    return {change(key): _plain(value, change, levels - 1) for key, value in data.items()}


def inert(data: t.Any, hide: Hide = str, levels: int = MOST_LEVELS) -> t.Any:
    """JSON data with no character that steers a terminal, hides text or is none at all (half of a surrogate pair).

    Customers choose such text. One half pair would end every task that returns it.
    """

    def still(text: str) -> str:
        text = hide(text)
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)

    return _plain(data, still, levels)


def _one_line(text: str) -> str:
    plain = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    clean = " ".join(plain.split())
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
        self._backoff = backoff
        verify: bool | str = (ca_path or True) if validate_certs else False
        # A proxy would get the key in clear with plain http, and its loopback is not this machine's.
        proxied = not _is_loopback(urlsplit(self.url).hostname)
        self._session = transport.Session(self.url, api_key, verify, proxied, pool_size)

    def _hide(self, text: str) -> str:
        """Replace the key, which a server that echoes the request would bring into messages and records."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text

    def get(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Any:
        """Read JSON. Repeats a failed read a few times, unless C(once). C(timeout) in seconds bounds each try."""
        return self._parsed("GET", path, *self._read(path, params, timeout, once))

    def rows(self, path: str, params: dict[str, str] | None, timeout: float, once: bool = False) -> t.Iterator[t.Any]:
        """Read a JSON list, likewise. Its entries come one by one, so that what nobody keeps of a long list takes no room."""
        return self._entries(path, *self._read(path, params, timeout, once))

    def _read(self, path: str, params: dict[str, str] | None, timeout: float, once: bool) -> tuple[bytes, int, str | None]:
        failures: Counter[int] = Counter()
        while True:
            try:
                return self._call("GET", path, params=params, timeout=timeout)
            except ApiError as error:
                failures[error.repeats] += 1
                number = sum(failures.values())
                if once or failures[error.repeats] > error.repeats:
                    raise
                pause = error.retry_after
            if pause is None:
                pause = min(MAX_BACKOFF, self._backoff * 2 ** (number - 1)) if number > 1 else 0.0
            _clock.sleep(pause)

    def _entries(self, path: str, body: bytes, status: int, correlation: str | None) -> t.Iterator[t.Any]:
        with self._parsing("GET", path, body, status, correlation):
            for text, entry in entries(body):
                yield entry if self._harmless(text) else inert(entry, self._hide, MOST_LEVELS - 1)

    def _harmless(self, text: str) -> bool:
        """Whether nothing in the data of this JSON text is to be changed. Told from the text as a whole: a long list has millions."""
        shallow = text.count("[") + text.count("{") < MOST_LEVELS
        # Without a backslash each text in it stands there as it is.
        return shallow and text.isprintable() and "\\" not in text and not any(spelling in text for spelling in self._spellings)

    def _parsed(self, method: str, path: str, body: bytes, status: int, correlation: str | None) -> t.Any:
        with self._parsing(method, path, body, status, correlation):
            text = body.decode(json.detect_encoding(body), "surrogatepass")
            return json.loads(text) if self._harmless(text) else inert(json.loads(text), self._hide)

    @contextlib.contextmanager
    def _parsing(self, method: str, path: str, body: bytes, status: int, correlation: str | None) -> t.Iterator[None]:
        """What is wrong with a body becomes an error of the call."""
        try:
            yield
            return
        except NoList as exc:
            detail = f"a list was expected, a {exc} came"
        except RecursionError:
            detail = f"the body is nested deeper than {MOST_LEVELS} levels"
        except MemoryError:
            detail = _NO_ROOM
        except ValueError:
            detail = f"the body is not JSON: {error_detail(body[:MOST_OF_THE_REST], self._hide)}"
        raise ApiError(method, path, status=status, detail=detail, correlation_id=correlation)

    def send(self, method: str, path: str, form: dict[str, str], timeout: float) -> t.Any:
        """Write: sent once. Who asked for it decides whether it is sent again, as long as somebody still wants it.

        Returns the JSON of the answer, or None for an empty body.
        """
        answer = self._call(method, path, form=form, timeout=timeout)
        return self._parsed(method, path, *answer) if answer[0].strip() else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        params: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> tuple[bytes, int, str | None]:
        response = None
        try:
            response = self._session.request(method, path, timeout, params, form)
            good = 200 <= response.status < 300
            most = MOST_OF_A_LIST if good and method == "GET" else MOST_OF_THE_REST
            with response:
                body = transport.body_of(response, most)
        except (TooLarge, MemoryError) as exc:
            if response is None:
                raise
            detail = f"the answer is larger than {most >> 20} MiB" if isinstance(exc, TooLarge) else _NO_ROOM
            correlation = self._correlation(response)
            raise ApiError(method, path, status=response.status, detail=detail, correlation_id=correlation) from None
        except NotConnected as exc:
            detail = _transport_words(self._hide(str(exc)))
            raise ApiError(method, path, detail=detail, sent=False, timed_out=exc.timed_out, repeats=exc.repeats) from None
        except transport.FAILURES as exc:
            # Without its cause: a traceback would show what the other side sent, as it came.
            raise self._failure(method, path, timeout, response, exc) from None
        correlation = self._correlation(response)
        if good:
            return body, response.status, correlation
        detail = error_detail(body, self._hide)
        raise _status_error(method, path, response.status, body, detail, correlation, response.headers.get("Retry-After"))

    def _correlation(self, response: t.Any) -> str | None:
        return (_one_line(self._hide(response.headers.get(CORRELATION_HEADER, ""))) or None) if response is not None else None

    def _failure(self, method: str, path: str, timeout: float, response: t.Any, exc: Exception) -> ApiError:
        silent = transport.is_silence(exc)
        if silent or isinstance(exc, TooSlow):
            detail = "the answer came too slowly to end within the time limit"
            if silent and response is None:
                detail = f"nothing came within {timeout:g} s"
            correlation = self._correlation(response)
            return ApiError(method, path, detail=detail, correlation_id=correlation, timed_out=True, repeats=_AFTER_TIMEOUT)
        kind, repeats = (ApiError, _AFTER_LOSS) if response is None else (BrokenOff, _AFTER_PART)
        return kind(method, path, detail=_transport_words(self._hide(str(exc))), repeats=repeats)


def _spellings(key: str) -> list[str]:
    """Return the key as it is, in a URL and in JSON, longest first: all that there are for one of unreserved characters."""
    return sorted({key, quote(key, safe=""), json.dumps(key)[1:-1]}, key=len, reverse=True)


def _transport_words(words: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return _certificate_words(words)
    if "NO_CERTIFICATE_OR_CRL_FOUND" in words:
        return "ca_path holds no certificate. Give a file or folder of CA certificates in PEM form"
    words = re.sub(r"<[^<>]*object at 0x[0-9a-f]+>: ?", "", words)
    inner = re.search(r"\w+(?:Error|Disconnected)\((?:\d+, )?'([^']+)'\)+$", words)
    if inner:  # the innermost of nested errors: what happened, without the names of Python's classes
        return _one_line(inner.group(1))
    return _one_line(words.strip("()\"' ") if words.startswith("(") else words)


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
    method: str, path: str, status: int, body: bytes, detail: str, correlation: str | None, retry_after: str | None
) -> ApiError:
    """The typed error for an answer that is not 2xx."""
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
        repeats=_AFTER_STATUS if status in _REPEAT_AFTER else 0,
    )
