"""The documentation site: its contents, the API pages and the picture. `make docs` builds it and checks links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from pygments.lexers import get_lexer_by_name

import tellapart

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def settings() -> Any:
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _added(settings: Any, page: str) -> list[str]:
    """The pages in the contents that a page gets, by their path without suffix."""
    source = [(ROOT / f"{page}.md").read_text(encoding="utf-8")]
    written = len(source[0])
    settings.add_navigation(None, page, source)
    return re.findall(r"^/(.+)$", source[0][written:], re.MULTILINE)


def test_every_page_is_in_the_contents_once(settings: Any) -> None:
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    shown = _added(settings, "README") + _added(settings, "docs/evidence/README")
    assert sorted(shown) == sorted(pages | {"CHANGELOG", "examples/README"})


def test_the_contents_have_the_sections_of_the_index(settings: Any) -> None:
    captions = re.findall(r"^:caption: (.+)$", settings.navigation(DOCS / "README.md"), re.MULTILINE)
    guides = [caption for caption in captions if caption.startswith("How to: ")]
    assert captions == [*guides, "Concepts", "Reference", "Python API", "Background"]
    assert len(set(guides)) == len(guides) > 5


def test_every_language_of_a_code_block_can_be_highlighted() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]
    fences = {
        name for page in pages for name in re.findall(r"^```([a-z]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert fences
    for name in fences:
        get_lexer_by_name(name)


def test_other_pages_get_no_contents(settings: Any) -> None:
    assert _added(settings, "docs/tutorial") == []


def test_every_public_name_has_an_entry_in_the_api_pages() -> None:
    written = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    entries = set(re.findall(r"^\.\. auto\w+:: tellapart\.(\w+)", written, re.MULTILINE))
    assert set(tellapart.__all__) - entries == {"__version__"}


def test_names_in_docstrings_become_links_and_code_stays_code(settings: Any) -> None:
    lines = ["See `tellapart.Trainer` and ``tellapart.x``; `tellapart train` and `K`."]
    settings.link_names(None, "class", "name", None, None, lines)
    assert lines == ["See :py:obj:`tellapart.Trainer` and ``tellapart.x``; `tellapart train` and `K`."]


def test_the_picture_is_small_and_in_the_readme() -> None:
    picture = DOCS / "images" / "workbench.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
    assert "(docs/images/workbench.png)" in (ROOT / "README.md").read_text(encoding="utf-8")
