"""The HTML page of an attack: what it changed in the metrics, and the texts whose prediction it changed."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

from tellapart.evaluation.robustness import ChangedRow, Robustness, robustness_rows, robustness_sentence
from tellapart.inspection.page import write_page

TEXTS_SHOWN = 25
"""Maximum number of texts on either side."""

_LONGEST_DIFF = 4000  # characters; longer texts are shown without marking their changes


def write_robustness_report(path: Path | str, result: Robustness) -> None:
    """Writes the report of an attack: metrics before and after, changed texts (`OutputError` on failure)."""
    changed = (
        ("Right before, wrong after", result.became_wrong, result.flips.lost),
        ("Wrong before, correct after", result.became_right, result.flips.gained),
    )
    write_page(
        path,
        "inspection/templates/robustness.html",
        title=f"{result.attack} on {result.source}",
        subtitle=f"{result.rows:,} rows",
        sentence=robustness_sentence(result),
        effect=robustness_rows(result),
        changed=[
            (heading, [(row, _changed_words(row)) for row in rows[:TEXTS_SHOWN]], count)
            for heading, rows, count in changed
        ],
        metrics=[
            ["metric", "before", "after"],
            *(
                [name.replace("_", " "), f"{value:.4f}", f"{result.metrics_after[name]:.4f}"]
                for name, value in result.metrics_before.items()
            ),
        ],
        options={"model": result.model, **result.settings},
    )


def _changed_words(row: ChangedRow) -> list[tuple[str, bool]]:
    """Returns the pieces of the transformed text, each with whether its words differ from the original."""
    if len(row.original) > _LONGEST_DIFF:
        return [(row.transformed, False)]
    old, new = row.original.split(" "), row.transformed.split(" ")
    pieces = [
        (" ".join(new[start:end]), kind != "equal")
        for kind, _, _, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    ]
    return [piece for piece in pieces if piece[0]]
