# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the documentation site: build_site.py FOLDER

FOLDER/source  the pages, each at the place that it has in the checkout, so that the links between them hold, and the reference
               that antsibull-docs makes of the collection
FOLDER/html    the site; whoever reads it needs no network

Every docs/*.md is taken. One that no table of contents in docs/site/index.md names is a warning of Sphinx, and so an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
PAGES = ("*.md", "CHANGELOG.rst", "COPYING", "docs/*.md", "docs/examples/*", "docs/images/*", "docs/recording/*", "docs/awx_project/*", "roles/*/README.md")
COLLECTION = "pilw.maintenance"

ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"(?:@import\s+|url\()\s*['\"]?((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)
# What a reader may click on, and relations that load nothing.
CLICKED = {"a", "area", "form"}
LOADS_NOTHING = {"alternate", "author", "canonical", "help", "license", "next", "prev"}


class Loads(HTMLParser):
    """Addresses elsewhere from which a page would load a script, a font, a style or an image."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.found += IN_CSS.findall(named.get("style", ""))
        if tag in CLICKED or (tag == "link" and set(named.get("rel", "").split()) <= LOADS_NOTHING):
            return
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset"):
            if ELSEWHERE.match(named.get(name, "")):
                self.found.append(named[name])


def lay_out(source: Path) -> None:
    files = [file for pattern in PAGES for file in sorted(ROOT.glob(pattern)) if file.is_file()]
    for file in files:
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for name in ("index.md", "ansible.rst"):
        shutil.copyfile(SITE / name, source / name)


def run(*command: str | Path) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


def loads(html: Path) -> list[str]:
    found = []
    for file in sorted([*html.rglob("*.html"), *html.rglob("*.svg")]):
        page = Loads()
        page.feed(file.read_text(encoding="utf-8"))
        found += [f"{file.relative_to(html)} loads {address}" for address in page.found]
    for file in sorted(html.rglob("*.css")):
        found += [f"{file.relative_to(html)} loads {address}" for address in IN_CSS.findall(file.read_text(encoding="utf-8"))]
    return found


def main() -> int:
    folder = Path(sys.argv[1])
    source, html = folder / "source", folder / "html"
    for old in (source, html):
        shutil.rmtree(old, ignore_errors=True)
    lay_out(source)
    # antsibull-docs refuses a folder that others can write to.
    (source / "reference").mkdir(mode=0o755)
    run(
        *("antsibull-docs", "--config-file", SITE / "antsibull-docs.cfg", "collection", "--use-current", "--squash-hierarchy"),
        *("--fail-on-error", "--no-add-antsibull-docs-version", "--dest-dir", source / "reference", COLLECTION),
    )
    run("sphinx-build", "--fail-on-warning", "--keep-going", "-q", "-E", "-b", "html", "-d", folder / "doctrees", "-c", SITE, source, html)
    problems = loads(html)
    print("\n".join(problems or [f"The site is in {html}/index.html."]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
