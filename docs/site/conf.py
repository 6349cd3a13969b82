# Copyright (c) 2026, pilw.maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Sphinx makes the documentation site. tests/tools/build_site.py lays out the pages and runs it."""

from __future__ import annotations

from pathlib import Path

import yaml

galaxy = yaml.safe_load((Path(__file__).resolve().parents[2] / "galaxy.yml").read_text(encoding="utf-8"))

project = f"{galaxy['namespace']}.{galaxy['name']}"
author = ", ".join(galaxy["authors"])
project_copyright = f"2026, {author}"
release = version = galaxy["version"]

extensions = ["myst_parser", "sphinx_antsibull_ext"]
# The pages link to headings as a code host names them.
myst_heading_anchors = 4
# Most blocks are commands and what is shown on a screen.
highlight_language = "none"

html_theme = "sphinx_ansible_theme"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_theme_options = {"topbar_links": {}}


def lead_home(app, pagename, templatename, context, doctree):
    """Of itself the theme leads to the root of the server, wherever the site lies."""
    context["theme_documentation_home_url"] = context["pathto"](app.config.root_doc)


def setup(app):
    app.connect("html-page-context", lead_home)
