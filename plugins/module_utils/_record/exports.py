# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The files beside a record and its second copy: lists for a shell, the report, the copy of the database, the archive."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import typing as t

from . import files as _files
from . import paths, schema

RUNNING_VMS = "running_vms.json"
HOSTS_TO_OPEN = "hosts_to_open.json"
REPORT = "report.json"
PAGE = "report.html"
VMS = "vms.csv"
SUMMARY = "summary.md"
# A folder, of which there is no second copy.
NOTICES = paths.NOTICES
# Says where the second copy goes.
COPY_NOTE = "copy_dir"
# Says of which maintenance the files of a folder are.
IDENTITY = "maintenance_id"


def copy_of(path: str) -> str | None:
    """The folder of the second copy of a record, as noted beside it when it was opened; None without a usable note."""
    folder = os.path.dirname(path)
    noted = _noted(folder, COPY_NOTE)
    return noted if os.path.isabs(noted) and not paths.same_folder(noted, folder) else None


def identity_in(folder: str) -> str:
    """The id of the maintenance whose files lie in a folder, empty where none is noted."""
    noted = _noted(folder, IDENTITY)
    return noted if re.fullmatch("[0-9A-Za-z-]{1,64}", noted) else ""


def _noted(folder: str, name: str) -> str:
    text = _files.text_in(os.path.join(folder, name), os.O_NOFOLLOW).strip()
    return text if text.isprintable() else ""


class Beside:
    """The folder of a record, which must work, and that of its copy, whose loss is told and stops nothing. A record in memory has neither."""

    def __init__(self, path: str, copy_dir: str | None) -> None:
        self._path = path
        self._copy_dir = copy_dir
        self.warnings: list[str] = []

    @property
    def _names(self) -> tuple[str, ...]:
        """The record last: lists without a record mean that it was lost."""
        return (RUNNING_VMS, HOSTS_TO_OPEN, REPORT, PAGE, VMS, SUMMARY, IDENTITY, os.path.basename(self._path))

    @property
    def _folders(self) -> list[str]:
        return [folder for folder in (os.path.dirname(self._path), self._copy_dir) if folder]

    def has(self, name: str) -> bool:
        return not self._path or os.path.exists(os.path.join(os.path.dirname(self._path), name))

    def write(self, files: dict[str, t.Any], identity: str) -> None:
        """C(files): the text of each by its name, a function that gives it in pieces, or data."""
        for folder in self._folders:
            with self._told(folder):
                self._claim(folder, identity)
                for name, data in files.items():
                    text = data if isinstance(data, str) else data() if callable(data) else _files.json_text(data)
                    _files.write_text(os.path.join(folder, name), text)

    def archive(self, identity: str) -> None:
        """Put everything away under an id."""
        for folder in self._folders:
            if folder == self._copy_dir and identity_in(folder) not in ("", identity):
                continue  # another maintenance keeps its copy there now
            for name in (NOTICES, *self._names):
                with self._told(folder), contextlib.suppress(FileNotFoundError):
                    os.rename(os.path.join(folder, name), os.path.join(folder, f"{identity}.{name}"))
        self._copy_dir = None

    def copy(self, database: sqlite3.Connection, identity: str) -> None:
        """A second copy of the database."""
        if self._copy_dir:
            with self._told(self._copy_dir):
                self._claim(self._copy_dir, identity)
                schema.copy(database, self._path, os.path.join(self._copy_dir, os.path.basename(self._path)))

    def _claim(self, folder: str, identity: str) -> None:
        """Say whose files these are. What another maintenance has left where the copies go keeps a name with its own id."""
        former = identity_in(folder)
        if former == identity:
            return
        if folder == self._copy_dir:
            former = former or schema.identity(os.path.join(folder, os.path.basename(self._path)))
            for name in self._names if former not in ("", identity) else ():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, f"{name}.{former}"))  # an earlier state of the same
                _files.keep(os.path.join(folder, name), former)
        _files.write_text(os.path.join(folder, IDENTITY), identity)

    @contextlib.contextmanager
    def _told(self, folder: str) -> t.Iterator[None]:
        """What fails in the folder of the copy becomes a warning."""
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            if folder != self._copy_dir:
                raise
            warning = f"The second copy of the record in {folder} could not be written: {exc}. The record itself is whole. Mend that disk."
            if warning not in self.warnings:
                self.warnings.append(warning)
