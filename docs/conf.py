"""Settings of the documentation site, which Sphinx builds from the Markdown pages of the repository: `make docs`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from tellapart.cli.version import full_version

ROOT = Path(__file__).resolve().parents[1]

project = "tellapart"
author = "The tellapart authors"
version = release = full_version()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "examples/README.md", "docs/**.md"]
exclude_patterns = [".*", "benchmarks", "build", "dist", "recipes", "runs", "site", "src", "tests"]

myst_heading_anchors = 4

# Docstrings have names and code in single backticks, as Markdown has.
default_role = "code"
autodoc_inherit_docstrings = False  # those of Transformers and torch are in another markup
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_show_copyright = False
html_title = f"tellapart {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it fetches pages, which browsers refuse for files on disk

_INDEX = "docs/README.md"
_EVIDENCE = "docs/evidence/README"
_OTHER_PAGES = ["examples/README", "CHANGELOG"]  # of the last section


def navigation(index: Path) -> str:
    """Returns the table of contents of an index page: one per section with a bold heading, with the pages it links.

    Args:
        index: A Markdown page; links of a section follow its heading. Links before the first heading come first.

    Returns:
        MyST source, hidden in the page itself and shown at the side of every page.
    """
    first, *sections = re.split(r"^\*\*(.+?)\*\*$", index.read_text(encoding="utf-8"), flags=re.MULTILINE)
    folder = index.parent.relative_to(ROOT)
    parts = [("", [index.relative_to(ROOT).with_suffix("").as_posix(), *_pages(first, folder)])]
    parts += [(name, _pages(text, folder)) for name, text in zip(sections[::2], sections[1::2], strict=True)]
    parts[-1][1].extend(_OTHER_PAGES)
    return "".join(map(_toctree, parts))


def _pages(text: str, folder: Path) -> list[str]:
    """Returns the pages of this repository that Markdown links to, without their suffix."""
    links = re.findall(r"\]\(([\w/.-]+)\.md\)", text)
    return [(folder / link).as_posix() for link in links]


def _toctree(part: tuple[str, list[str]]) -> str:
    caption, pages = part
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["\n\n```{toctree}", *options, "", *(f"/{page}" for page in pages), "```\n"])


def add_navigation(app: Any, page: str, source: list[str]) -> None:
    """Adds the tables of contents to the two pages that have links to all others."""
    if page == root_doc:
        source[0] += navigation(ROOT / _INDEX)
    elif page == _EVIDENCE:
        pages = _pages(source[0], Path(_EVIDENCE).parent)
        source[0] += _toctree(("", [name for name in pages if Path(name).parent == Path(_EVIDENCE).parent]))


def link_names(app: Any, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Turns names such as `tellapart.Trainer` in docstrings into links, where there is a page for them."""
    lines[:] = [re.sub(r"(?<!`)`(tellapart\.[\w.]+)`(?!`)", r":py:obj:`\1`", line) for line in lines]


def write_index(app: Any, error: Exception | None) -> None:
    """Makes the first page the one that web servers and people open."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app: Any) -> None:
    """Connects the functions above to the build."""
    app.connect("source-read", add_navigation)
    app.connect("autodoc-process-docstring", link_names)
    app.connect("build-finished", write_index)
