"""How Sphinx builds these pages: offline, strictly, with the table of contents read from the lists of index.md."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

import potency

project = "potency"
author = copyright = "The potency authors"
release = version = potency.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
myst_heading_anchors = 3  # links like predict.md#a-cluster, as on GitHub
default_role = "code"  # in docstrings `this` is code, as it is in Markdown
highlight_language = "sh"  # of blocks that name no language: commands, most of them

html_theme = "furo"  # light and dark, nothing fetched from elsewhere
pygments_style, pygments_dark_style = "friendly", "github-dark"
html_title = f"potency {release}"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_copy_source = False
html_show_sphinx = html_use_index = html_domain_indices = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

nitpicky = True
# Names of other libraries would be looked up on the network, and types of single rooms have no page of their own.
nitpick_ignore_regex = [("py:.*", r"(?!potency\.).*"), ("py:.*", rf"potency\.(?!({'|'.join(potency.__all__)})$).*")]


def prepare(app: Sphinx, docname: str, content: list[str]) -> None:
    """What GitHub needs no help with: tables of contents, and pages that stand at the root of the repository.

    index.md gets a hidden table of contents for each heading, made of the pages that the text below it links to. A page
    that is a heading and one link to a file above becomes that file.
    """
    if docname == root_doc:
        for part in re.split(r"^## ", content[0], flags=re.MULTILINE)[1:]:
            pages = dict.fromkeys(re.findall(r"\]\(([\w-]+)\.md\)", part))
            lines = ["", "```{toctree}", ":hidden:", f":caption: {part.splitlines()[0]}", "", *pages, "```", ""]
            content[0] += "\n".join(lines)
    elif above := re.fullmatch(r"# .*\n+\[.*\]\((\.\./\w+\.md)\)\n*", content[0]):
        content[0] = Path(app.srcdir, above[1]).read_text("utf-8").replace("](docs/", "](")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", prepare)
