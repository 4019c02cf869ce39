"""Reads a file of out-of-scope texts."""

from __future__ import annotations

from tellapart.data.examples import LabelSpace, TextSplit, check_second_texts
from tellapart.data.out_of_scope import check_one_class, distinct_texts
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.unlabelled import read_texts


def read_out_of_scope(
    source: str,
    names: ColumnNames,
    rows: TextSplit,
    labels: LabelSpace,
    trained: ColumnNames | None,
    replaced: TextSplit | None = None,
) -> tuple[TextSplit, tuple[str, ...]]:
    """Reads out-of-scope texts from a file; blank and repeated ones are left out.

    Args:
        source: A text file with one text per line, or a table.
        names: The columns that the user named.
        rows: Rows of the classes, whose form the texts get.
        labels: The classes.
        trained: The columns that the training rows were read from, which are read where the user names no others and
            the table has them; None if unknown.
        replaced: Rows with the label of out-of-scope rows, which the file replaces; None without any.

    Returns:
        The texts, and notes on what was read and left out.

    Raises:
        DataError: The file cannot be read or has no text; the rows of the classes are pairs and the texts are not, or
            have several labels or numbers.
    """
    check_one_class(labels)
    texts, notes = read_texts(source, names, trained)
    notes += check_second_texts(texts, rows, source)
    pairs = None if rows.text_pairs is None else texts.text_pairs
    kept, more = distinct_texts(TextSplit(texts.texts, pairs), source)
    notes += more
    if replaced is not None:
        notes += (
            f"{len(replaced)} labelled out-of-scope rows are left out: those of {source} are measured.",
        )
    return kept, notes
