"""The page of the sets, held against the registry."""

from __future__ import annotations

import re
from pathlib import Path

from tellapart.data.benchmarks.arxiv import ARCHIVES
from tellapart.data.benchmarks.registry import SETS, BenchmarkSet

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "data-sets.md"


def table_after(heading: str) -> list[str]:
    """The rows of the first table after a line, without its header."""
    text = PAGE.read_text(encoding="utf-8").split(f"{heading}\n", maxsplit=1)[1]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows
    return rows[0].splitlines()[2:]


def set_row(one: BenchmarkSet) -> str:
    sizes = " / ".join(f"{count:,}" for count in one.sizes.values())
    cells = (
        f"`{one.name}`",
        one.task,
        str(one.classes),
        sizes,
        str(one.source),
        one.license,
        one.note or "–",
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_of_the_sets_says_what_the_registry_says() -> None:
    assert table_after("# Data sets") == [set_row(one) for one in SETS]


def test_the_page_of_the_sets_has_the_published_files_that_are_read() -> None:
    expected = [f"| `{one.name}` | {form} |" for one in SETS for form in one.originals]
    assert table_after("## Files as published") == expected


def test_the_page_of_the_sets_has_the_archives_that_can_be_asked_for() -> None:
    text = PAGE.read_text(encoding="utf-8")
    line = re.search(r"^Archives: (.*)\.$", text, re.MULTILINE)
    assert line
    assert tuple(re.findall(r"`([\w-]+)`", line[1])) == ARCHIVES
