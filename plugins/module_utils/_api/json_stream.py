# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The entries of a long JSON list, one after the other, out of the bytes of an answer: never all of its text or data at once. Pure."""

from __future__ import annotations

import codecs
import contextlib
import gc
import json
import re
import typing as t

_PIECE = 1 << 20  # bytes
_BLANK = re.compile(r"[ \t\n\r]*")
# What a number is made of: one that ends where the text ends may go on.
_NUMBER = re.compile(r"[-+.0-9eE]*")


class NoList(Exception):
    """Its text is the type of what came instead."""


def entries(body: bytes) -> t.Iterator[tuple[str, t.Any]]:
    """The JSON text and the data of each entry. Raises ValueError where it is no JSON, RecursionError where an entry is nested too deep."""
    text = _Text(body)
    if text.next() != "[":
        raise NoList(type(json.loads(body)).__name__)
    text.at += 1
    mark = text.next()
    if mark == "]":
        text.at += 1
    with _nothing_collected():
        while mark != "]":
            yield text.value()
            mark = text.next()
            text.at += 1
            if mark not in ("]", ","):
                raise ValueError
            text.next()
    if text.next():
        raise ValueError


@contextlib.contextmanager
def _nothing_collected() -> t.Iterator[None]:
    """What JSON becomes holds no cycle, and of a long list the collector would look through all of it again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Text:
    """The text of a body, decoded as far as it is needed."""

    def __init__(self, body: bytes) -> None:
        self._body, self._given = body, 0
        self._decoder = codecs.getincrementaldecoder(json.detect_encoding(body))("surrogatepass")
        self._names: dict[str, str] = {}
        self._data = json.JSONDecoder(object_pairs_hook=self._object)
        self.text, self.at = "", 0

    def _object(self, pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        """All rows share the names of their fields."""
        return {self._names.setdefault(name, name): value for name, value in pairs}

    def _more(self, size: int) -> bool:
        """Decode further, and forget what lies behind. Whether there was any more."""
        piece = self._body[self._given : self._given + size]
        if not piece:
            return False
        self._given += len(piece)
        self.text = self.text[self.at :] + self._decoder.decode(piece, self._given == len(self._body))
        self.at = 0
        return True

    def next(self) -> str:
        """Go on to what is no blank. Returns that character, empty at the end."""
        while True:
            self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or not self._more(_PIECE):
                return self.text[self.at : self.at + 1]

    def value(self) -> tuple[str, t.Any]:
        """Go behind the value that begins here. Returns its text and its data."""
        size = _PIECE  # doubled each time, so that one long entry is not read over and over
        while _NUMBER.match(self.text, self.at).end() == len(self.text) and self._more(size):  # type: ignore[union-attr]
            size *= 2
        while True:
            try:
                data, end = self._data.raw_decode(self.text, self.at)
                break
            except ValueError:
                if not self._more(size):
                    raise
                size *= 2
        begin, self.at = self.at, end
        return self.text[begin:end], data
