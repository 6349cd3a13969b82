# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Every error that the collection raises on purpose, so that a module's main has one thing to catch."""

from __future__ import annotations

import contextlib
import errno
import typing as t

MEND = "Make room or mend the disk, then run the same command again: it goes on."


class PilwError(Exception):
    """Base of all. The text says what happened, what was done already, and what to do next."""

    def facts(self) -> dict:
        """Machine readable part of the failure, for the module's result."""
        return {}


class InputError(PilwError):
    """An option or an input file cannot be used; nothing was asked of the platform."""


class RecordError(PilwError):
    """The record cannot be opened, read or written."""


@contextlib.contextmanager
def disk_errors(what: str, then: str = "Nothing more is sent.") -> t.Iterator[None]:
    """Raise RecordError for what the operating system refuses. C(what) failed; C(then): what holds all the same."""
    try:
        yield
    except OSError as exc:
        raise RecordError(f"{what}: {exc}. {then} {MEND}") from exc


class DamagedRecord(RecordError):
    """The record's file is not what it was, or is gone. C(why) in a few words; C(missing): there is no file at all."""

    def __init__(self, path: str, why: str, missing: bool = False) -> None:
        self.path = path
        self.why = why
        self.missing = missing
        super().__init__(
            f"{self.fact} It is left as it is, and nothing more is sent. What can be done is said by "
            "ansible-playbook pilw.maintenance.ceph_maint_restore (without ceph_maint_confirm=true it changes nothing)."
        )

    @property
    def fact(self) -> str:
        """What is wrong, as a sentence."""
        if self.missing:
            return f"The record {self.path} is missing: {self.why}."
        return f"The record {self.path} is damaged: {self.why}."


class Refused(PilwError):
    """A gate said no. C(items) are what the operator can accept with O(accept)."""

    def __init__(self, text: str, items: list[str] | None = None) -> None:
        super().__init__(text)
        self.items = items or []

    def facts(self) -> dict:
        return {"refused_items": self.items}


class StillWaiting(PilwError):
    """A wait is not over, and whoever waits is told what for. C(carried): options for the call that goes on with it."""

    def __init__(self, text: str, carried: dict[str, str]) -> None:
        super().__init__(text)
        self.carried = carried

    def facts(self) -> dict:
        return {"waiting": str(self), "carried": self.carried}


class StaleRun(PilwError):
    """Another run has taken over the record; this one must send nothing more."""


class LeaseLost(PilwError):
    """Nobody has renewed the lease: whoever started this work is gone; nothing more is sent."""


class Unforeseen(PilwError):
    """A call ended with an error that nobody foresaw, which is its cause."""

    def __init__(self, error: Exception) -> None:
        self.__cause__ = error
        super().__init__(
            f"A call to the platform ended with an error that nobody foresaw, {type(error).__name__}: {' '.join(str(error).split())}. "
            "Nothing more is sent; what was answered so far is recorded. Run the same command again: it goes on."
        )


def of_ours(error: BaseException) -> BaseException:
    """An error of a call as one that ends the work in good order. What is no Exception is to end more than that."""
    return Unforeseen(error) if isinstance(error, Exception) and not isinstance(error, PilwError) else error


class ApiError(PilwError):
    """An HTTP call that did not give a usable answer.

    C(status) is None when no answer came. C(sent) is False only when it is certain that the platform did not
    get the request (no connection), so that sending again repeats nothing. C(repeats): how often a read is repeated after it.
    """

    def __init__(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        detail: str = "",
        correlation_id: str | None = None,
        retry_after: float | None = None,
        sent: bool = True,
        timed_out: bool = False,
        repeats: int = 0,
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.detail = detail
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        self.sent = sent
        self.timed_out = timed_out
        self.repeats = repeats
        super().__init__(self._text())

    @property
    def worth_repeating(self) -> bool:
        """Whether a write that sets a value may succeed when it is sent again a little later."""
        return self.status is None or self.status < 300 or self.status in (409, 429) or self.status >= 500

    def _text(self) -> str:
        answer = f"answered {self.status}" if self.status is not None else "gave no answer"
        text = f"{self.method} {self.path} {answer}"
        if self.detail:
            text += f": {self.detail}"
        if self.correlation_id:
            text += f" (X-Warren-Correlation-Id {self.correlation_id})"
        return text

    def facts(self) -> dict:
        return {
            "error": {
                "method": self.method,
                "path": self.path,
                "status": self.status,
                "detail": self.detail,
                "correlation_id": self.correlation_id,
            }
        }


class CephError(PilwError):
    """A call of the operator's ceph command that gave no usable answer.

    C(status): the error number that it ended with, None when there is none. C(unreadable): there is an answer, and it cannot be parsed.
    """

    def __init__(
        self, argv: list[str], why: str, *, status: int | None = None, timed_out: bool = False, unreadable: bool = False
    ) -> None:
        self.status = status
        self.timed_out = timed_out
        self.unreadable = unreadable
        super().__init__(f"{' '.join(argv)} {why}")

    @property
    def forbidden(self) -> bool:
        """Whether the key may not do this: EPERM or EACCES."""
        return self.status in (errno.EPERM, errno.EACCES)


class BrokenOff(ApiError):
    """An answer began well, and its body never came to its end."""


class AuthError(ApiError):
    """401 or 403: the key is missing, wrong, revoked or has no admin right."""

    def _text(self) -> str:
        return f"{super()._text()} (the API key must be that of an admin user; a frozen account answers so too)"


class NotFound(ApiError):
    """The platform says that the VM does not exist (400 with its own words, or 404 in its own form that is no routing answer)."""


class NoRoute(ApiError):
    """404 of the gateway: the location slug or the path is unknown. Says nothing about any VM."""
