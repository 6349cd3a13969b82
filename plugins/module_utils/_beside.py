# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module_util is private to the pilw.maintenance collection.

"""The files beside a record and its second copy: lists for a shell, the report, the copy of the database, the archive."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t

from ansible_collections.pilw.maintenance.plugins.module_utils._files import write_json

RUNNING_VMS = "running_vms.json"
HOSTS_TO_OPEN = "hosts_to_open.json"
REPORT = "report.json"


class Beside:
    """The folder of a record, which must work, and that of its copy, whose loss is told and stops nothing."""

    def __init__(self, path: str, copy_dir: str | None) -> None:
        self._path = path
        self._copy_dir = copy_dir
        self.warnings: list[str] = []

    @property
    def _folders(self) -> list[str]:
        return [folder for folder in (os.path.dirname(self._path), self._copy_dir) if folder]

    def has(self, name: str) -> bool:
        return os.path.exists(os.path.join(os.path.dirname(self._path), name))

    def write(self, files: dict[str, t.Any]) -> None:
        for folder in self._folders:
            with self._told(folder):
                for name, data in files.items():
                    write_json(os.path.join(folder, name), data)

    def archive(self, identity: str) -> None:
        """Put everything away under an id. Nothing more is copied afterwards."""
        for folder in self._folders:
            for name in (os.path.basename(self._path), RUNNING_VMS, HOSTS_TO_OPEN, REPORT):
                with self._told(folder), contextlib.suppress(FileNotFoundError):
                    os.rename(os.path.join(folder, name), os.path.join(folder, f"{identity}.{name}"))
        self._copy_dir = None

    def copy(self, database: sqlite3.Connection) -> None:
        """A second copy of the database, taken by SQLite itself and put in place in one step."""
        if not self._copy_dir:
            return
        target = os.path.join(self._copy_dir, os.path.basename(self._path))
        unfinished = f"{target}.new"
        with self._told(self._copy_dir):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600))
            with contextlib.closing(sqlite3.connect(unfinished)) as other:
                database.backup(other)
            os.replace(unfinished, target)

    @contextlib.contextmanager
    def _told(self, folder: str) -> t.Iterator[None]:
        """What fails in the folder of the copy becomes a warning."""
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            if folder != self._copy_dir:
                raise
            warning = f"The second copy of the record in {folder} could not be written: {exc}."
            if warning not in self.warnings:
                self.warnings.append(warning)
