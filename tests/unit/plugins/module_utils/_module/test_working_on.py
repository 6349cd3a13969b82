# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on a record brings its second copy up to date, but for small steps of which there are many."""

from __future__ import annotations

import pytest

from ansible_collections.pilw.maintenance.plugins.module_utils._module import runner
from ansible_collections.pilw.maintenance.plugins.module_utils._record.exports import COPY_NOTE
from ansible_collections.pilw.maintenance.plugins.module_utils._record.record import Record


@pytest.mark.parametrize("copied", [True, False])
def test_the_second_copy_follows_unless_the_next_step_brings_it(tmp_path, copied):
    folder, there = tmp_path / "here", tmp_path / "there"
    folder.mkdir(mode=0o700)
    there.mkdir(mode=0o700)
    (folder / COPY_NOTE).write_text(str(there))
    record = Record.create(str(folder / "record.sqlite"), api_host="h", location="", reason="")
    token = record.begin_run("ann", "prepare")
    record.close()
    with runner.working_on({"record": record.path, "run": token}, "a step", copied=copied) as again:
        again.note_told(token, "before", ["a"])
    assert (there / "record.sqlite").exists() is copied
