"""The HTML page of an audit: suspect labels, overlapping classes, near-duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tellapart.evaluation.audit import (
    NEIGHBOURS,
    Audit,
    AuditedRow,
    NearDuplicate,
    Suspect,
    left_out_sentences,
    pair_rows,
)
from tellapart.inspection.page import shorten, write_page

SUSPECTS_SHOWN = 200
PAIRS_SHOWN = 50
DUPLICATES_SHOWN = 100

_TEXT_LENGTH = 600


def write_audit_page(path: Path | str, audit: Audit) -> None:
    """Writes the page of an audit.

    Args:
        path: The file to write.
        audit: The audit.

    Raises:
        OutputError: The file could not be written.
    """
    sizes = ", ".join(f"{rows:,} {split}" for split, rows in audit.rows.items())
    duplicates = audit.near_duplicates[:DUPLICATES_SHOWN]
    write_page(
        path,
        "inspection/templates/audit.html",
        title=f"Labels of {audit.source}",
        subtitle=f"{audit.encoder} · {sizes} rows · {audit.classes} classes",
        figures=[
            ("suspect labels", f"{len(audit.suspects):,}"),
            ("near-duplicates in two classes", f"{audit.duplicates_across_labels:,}"),
            ("near-duplicates in two splits", f"{audit.duplicates_across_splits:,}"),
        ],
        sentences=left_out_sentences(audit),
        suspects=[_suspect(one) for one in audit.suspects[:SUSPECTS_SHOWN]],
        suspects_note=f"{min(len(audit.suspects), SUSPECTS_SHOWN)} of {len(audit.suspects)}, the most suspect first. "
        "The score is the quality of the label from 0 to 1: its probability by a regression that has not seen the "
        "text. All of them are in suspects.csv.",
        pairs=pair_rows(audit, PAIRS_SHOWN),
        duplicates=[_duplicate(one) for one in duplicates],
        duplicates_note=f"{len(duplicates)} of {len(audit.near_duplicates)} listed in audit.json, the nearest first. "
        f"Each text is compared with its {NEIGHBOURS} nearest. "
        "Texts that are equal up to case and spaces are findings of the check itself.",
        settings={
            "encoder": audit.encoder,
            "folds": audit.folds,
            "cleanlab": audit.cleanlab,
        },
    )


def _suspect(one: Suspect) -> dict[str, Any]:
    return _row(one.at) | {
        "suggested": _names(one.suggested_label),
        "score": f"{one.score:.3f}",
    }


def _duplicate(one: NearDuplicate) -> dict[str, Any]:
    return {"cosine": f"{one.cosine:.3f}", "rows": [_row(one.first), _row(one.second)]}


def _row(at: AuditedRow) -> dict[str, Any]:
    texts = [shorten(text, _TEXT_LENGTH) for text in (at.text, at.text_pair) if text]
    return {"texts": texts, "labels": _names(at.label), "place": f"{at.split} row {at.row}"}


def _names(label: str | list[str]) -> list[str]:
    return [label] if isinstance(label, str) else label or ["no label"]
