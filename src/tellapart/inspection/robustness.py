"""The page of an attack: figures, and the texts whose answers changed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from tellapart.evaluation.robustness import ChangedRow, Robustness, robustness_rows, robustness_sentence
from tellapart.files import replacing
from tellapart.inspection.page import Html, cards, join, page, section, table, text

EXAMPLES_SHOWN = 25
_LONGEST_COMPARED = 4000  # characters: beyond, marking the changes costs more than it shows


def write_robustness_report(path: Path | str, result: Robustness) -> None:
    """Writes what an attack did as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        result: What to show.

    Raises:
        OutputError: The file could not be written.
    """
    header, *rows = robustness_rows(result)
    metrics = [
        [name.replace("_", " "), f"{value:.4f}", f"{result.metrics_after[name]:.4f}"]
        for name, value in result.metrics_before.items()
    ]
    sections = [
        section(
            "Result",
            cards(zip(header, rows[0], strict=True)),
            note=robustness_sentence(result),
        ),
        _examples("Right before, wrong after", result.became_wrong, result.flips.lost),
        _examples("Wrong before, right after", result.became_right, result.flips.gained),
        section("Metrics", table(["metric", "before", "after"], metrics)),
        section("Settings", table(["", ""], [["model", result.model], *result.settings.items()])),
    ]
    document = page(f"{result.attack} on {result.source}", f"{result.rows:,} rows", sections)
    with replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="replace")


def _examples(heading: str, rows: Sequence[ChangedRow], count: int) -> Html:
    items = join(_example(row) for row in rows[:EXAMPLES_SHOWN])
    body = Html(f'<ul class="errors">{items}</ul>') if items else Html("")
    return section(
        heading, body, note=f"{min(len(rows), EXAMPLES_SHOWN)} of {count}; what was put in is marked."
    )


def _example(row: ChangedRow) -> Html:
    return Html(
        f'<li><blockquote dir="auto">{text(row.original)}</blockquote>'
        f'<blockquote dir="auto">{_marked(row.original, row.transformed)}</blockquote>'
        f'<div class="labels">gold <span class="label">{text(row.gold)}</span> before '
        f'<span class="label">{text(row.before)}</span> after <span class="label">{text(row.after)}</span>'
        "</div></li>\n"
    )


def _marked(original: str, transformed: str) -> Html:
    """The transformed text, the words in bold that the original does not have at their place."""
    old, new = original.split(" "), transformed.split(" ")
    if len(original) > _LONGEST_COMPARED:
        return text(transformed)
    parts = []
    for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        words = text(" ".join(new[start:end]))
        if words:
            parts.append(words if kind == "equal" else Html(f"<strong>{words}</strong>"))
    return join(parts, " ")
