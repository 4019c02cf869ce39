"""The generated pages are what the committed JSON says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "pages.py"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def test_every_page_with_numbers_is_the_one_that_the_results_give(pages):
    assert len(pages) >= 4
    for path, content in pages.items():
        assert path.read_text(encoding="utf-8") == content, (
            f"run python benchmarks/pages.py: {path.name} is stale"
        )


def test_no_other_page_stands_among_them(pages):
    folder = next(path for path in pages if path.name == "training-speed.md").parent
    assert set(folder.iterdir()) == {path for path in pages if path.parent == folder}
