# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each link from one page of the repository to another leads to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md")])

BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"<(?:img|source)\b[^>]*?\bsrc(?:set)?=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The headings of a page, as a code host names them: one that is there twice gets a number."""
    found: dict[str, int] = {}
    for heading in HEADING.findall(BLOCK.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
        if found[name]:
            found[f"{name}-{found[name]}"] = 0
    return set(found)


def links(text: str) -> list[str]:
    """Those that lead nowhere else."""
    prose = CODE.sub("", BLOCK.sub("", text))
    return [link for link in LINK.findall(prose) + IMAGE.findall(prose) if not re.match(r"[a-z]+:", link)]


def broken(page: Path, text: str) -> list[str]:
    wrong = []
    for link in links(text):
        name, _sharp, anchor = link.partition("#")
        target = page.parent / name if name else page
        if target != page and (ROOT not in target.resolve().parents or not target.is_file()):
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(text if target == page else target.read_text(encoding="utf-8")):
            wrong.append(f"{link}: no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    assert not broken(page, page.read_text(encoding="utf-8"))


def test_what_leads_nowhere_is_found() -> None:
    text = """# One's own: heading
## Twice
## Twice
```
# no heading, [no link](x.md)
```
[a](#ones-own-heading) [b](#twice-1) ![c](how_it_works.md#phases) [d](https://example.com/x) `[e](y.md)`
[f](#no-heading-no-linkxmd) [two
lines](gone.md) [g](how_it_works.md#gone) [h](../../outside.md) <img alt="i" src="images/gone.png">
"""
    assert broken(ROOT / "docs" / "page.md", text) == [
        "#no-heading-no-linkxmd: no such heading",
        "gone.md: no such file",
        "how_it_works.md#gone: no such heading",
        "../../outside.md: no such file",
        "images/gone.png: no such file",
    ]


def test_there_are_links() -> None:
    assert len([link for page in PAGES for link in links(page.read_text(encoding="utf-8"))]) > 50
