"""What a cell of a table is, a module a kind: each describes a column's rows, and makes, keeps and finds trials."""

from __future__ import annotations

from tellapart.reproduction.measures import classification, corrections, robustness, spans
from tellapart.reproduction.measures.base import Cell, ColumnRows, Measure

__all__ = ["MEASURES", "Cell", "ColumnRows", "Measure"]

MEASURES: dict[str, Measure] = {
    "classification": classification,
    "corrections": corrections,
    "spans": spans,
    "robustness": robustness,
}
"""By what `measures` of a protocol says."""
