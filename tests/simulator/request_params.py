# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of a request: decoded strictly, checked as the platform checks them."""

from __future__ import annotations

import uuid as uuid_module
from urllib.parse import unquote

from simulator.backends.base import Refused

FORM = "application/x-www-form-urlencoded"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def decode(text: str) -> dict[str, str]:
    """Pairs of a query or form. Only %xx is decoded: a plus sign stays one, as on the live platform."""
    pairs = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if name or equals:
            pairs[unquote(name)] = unquote(value)
    return pairs


def collect(query: str, content_type: str, body: bytes) -> dict[str, str]:
    """Query and form together; other kinds of body are ignored."""
    params = decode(query)
    if content_type == FORM:
        params.update(decode(body.decode("utf-8", "replace")))
    return params


def required(params: dict[str, str], name: str) -> str:
    """A parameter that must be there."""
    if not params.get(name):
        raise Refused(400, "Required parameter '%s' not supplied" % name, name)
    return params[name]


def uuid_of(params: dict[str, str], malformed_empty: bool) -> str:
    """The uuid; one that is none may get the platform's bare 400."""
    text = required(params, "uuid")
    try:
        uuid_module.UUID(text)
    except ValueError:
        if malformed_empty:
            raise Refused(400, None) from None
    return text


def boolean(params: dict[str, str], name: str) -> bool:
    """True, true, 1, False, false or 0."""
    text = required(params, name)
    if text.lower() not in BOOLEANS:
        raise Refused(400, "Parameter '%s' must be a boolean" % name, name)
    return BOOLEANS[text.lower()]
