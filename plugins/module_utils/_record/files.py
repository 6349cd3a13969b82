# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""Files of a record: written private and whole, read through no planted link, and the rows that a list of them holds."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import typing as t

from .._api.model import is_uuid
from .._errors import InputError


def write_json(path: str, data: t.Any) -> None:
    """Replace a file by JSON."""
    write_text(path, json_text(data))


def json_text(data: t.Any) -> t.Iterator[str]:
    """JSON in pieces, so that never all of a long one is in memory. Each entry of a list, or of one in an object, has a line of its own."""
    if isinstance(data, dict) and data:
        lead = "{"
        for name, value in data.items():
            yield f"{lead}\n{json.dumps(name)}: "
            yield from _value_text(value)
            lead = ","
        yield "\n}\n"
    else:
        yield from _value_text(data)
        yield "\n"


def _value_text(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, list) and value:
        lead = "["
        for entry in value:
            yield f"{lead}\n{json.dumps(entry)}"
            lead = ","
        yield "\n]"
    else:
        yield json.dumps(value)


def write_text(path: str, text: str | t.Iterable[str], lasting: bool = True) -> None:
    """Replace a file in one step, mode 0600. C(text): whole or in pieces. C(lasting): on disk before the call returns."""
    unfinished = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
            stream.flush()
            if lasting:
                os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)  # on a full disk each page counts
        raise
    if lasting:
        sync_folder(os.path.dirname(path))


def write_all(folder: str, texts: dict[str, str], check_mode: bool) -> list[str]:
    """Write these files into a folder, which is made where it is not there. In check mode nothing. Returns their paths."""
    paths = {os.path.join(folder, name): text for name, text in texts.items()}
    if not check_mode:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for path, text in paths.items():
            write_text(path, text)
    return list(paths)


def sync_folder(folder: str) -> None:
    """What got or lost a name in it is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep(path: str, mark: str) -> str | None:
    """Leave what a file holds under another name as well, as it is about to be replaced. Returns that name."""
    kept = f"{path}.{mark}"
    try:
        os.link(path, kept, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except FileExistsError:
        pass  # the mark stands for the content
    except OSError:  # a disk without hard links
        with open(kept, "wb", opener=lambda name, flags: os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)) as stream:
            stream.write(read_private(path))
            stream.flush()
            os.fsync(stream.fileno())
    return kept


def read_private(path: str) -> bytes:
    """A file of ours: no link is followed, and nothing but a plain file is waited for."""
    return _read(path, os.O_NOFOLLOW)


def text_in(path: str, how: int = 0) -> str:
    """What a small file holds, such as one of /proc; empty where it cannot be read. C(how): further flags of open(2)."""
    try:
        return _read(path, how).decode("utf-8", "replace")
    except OSError:
        return ""


def _read(path: str, how: int = 0) -> bytes:
    # Without waiting: a pipe without a writer would hold the run for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | how)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is not a plain file")
        return stream.read()


def read_running_vms(path: str) -> list[dict]:
    """The shell runbook's hand-made list: a JSON array of VM rows."""
    try:
        return read_rows(_read(path))
    except OSError as exc:
        raise InputError(f"running_vms {path} cannot be read: {exc}. Give the path of a file that can. Nothing was changed.") from exc
    except ValueError as exc:
        raise InputError(f"running_vms {path} {exc}. Mend the list, then run the same command again. Nothing was changed.") from exc


def read_rows(content: bytes) -> list[dict]:
    """Rows with a usable uuid each, of VMs or hosts. ValueError says what is wrong, and on which line."""
    try:
        text = content.decode("utf-8-sig")
        rows = json.loads(text)
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"is not JSON: line {line} is not UTF-8 text") from exc
    except ValueError as exc:
        raise ValueError(f"is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise ValueError("is not JSON that can be read: it is nested too deep") from exc
    if not isinstance(rows, list):
        raise ValueError("is not a JSON list of VM rows, as vm/all gives")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not is_uuid(row.get("uuid")):
            line = _line_of(text, number)
            raise ValueError(f"line {line}: entry {number} of {len(rows)} has no usable uuid")
    return rows


def _line_of(text: str, number: int) -> int:
    """The line on which an entry of a JSON list begins. The text is known to be one."""
    at, decoder = text.index("[") + 1, json.JSONDecoder()
    for entry in range(number):
        while text[at] in " \t\r\n,":
            at += 1
        if entry + 1 < number:
            at = decoder.raw_decode(text, at)[1]
    return text.count("\n", 0, at) + 1
