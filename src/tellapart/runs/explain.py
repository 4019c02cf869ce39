"""Explains predictions by the effect of each word, in one model or in two."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames, check_form, find_model_columns
from tellapart.data.reading.streams import first_examples, open_rows
from tellapart.data.reading.tables import file_format
from tellapart.errors import DataError, TellapartWarning
from tellapart.files import check_output_file
from tellapart.fitting.folder import claim_folder, claimed
from tellapart.fitting.loading import load_fitted, trained_columns
from tellapart.inspection.word_effects import AttributionName, WordEffects, word_effects
from tellapart.inspection.word_files import check_explanation_output, is_explanation_file, write_explanation
from tellapart.training.progress import rows_bar

MAX_ROWS = 100
"""Rows of a file that are explained unless more are requested."""

_LONGEST_PATH = 255


def explain(
    model: str | Path,
    texts: str | Path | Sequence[str] | Sequence[tuple[str, str]],
    output: str | Path | None = None,
    *,
    against: str | None = None,
    label: str | None = None,
    attribution: AttributionName = "auto",
    other_model: str | Path | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    max_rows: int = MAX_ROWS,
    overwrite: bool = False,
    quiet: bool = True,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> list[WordEffects]:
    """Computes what each word adds to the difference of the logits of two classes.

    Args:
        model: A run folder or a checkpoint of a classifier; an export only by occlusion.
        texts: One text, several, pairs of texts, or the path of a file: CSV, TSV, JSONL, JSON or Parquet.
        output: Where to write: a file `.html`, `.json` or `.png`, or a folder for `word-effects.html`,
            `word-effects.json` and `word-effects.png`; None for nowhere.
        against: The class to compare with; by default the most probable other class. Without effect on rows that are
            predicted as this class.
        label: The class to explain; by default the predicted one, or the most probable label.
        attribution: `gradients`, `occlusion`, `coefficients`, or `auto`, see
            `tellapart.inspection.word_effects.word_effects`.
        other_model: Another model on the same classes, such as one without the second stage; the effects in both are
            shown beside each other.
        text: The text column of a file; by default that of the model's training, or found by its name if that is
            unknown.
        text_pair: The second text's column, likewise.
        max_rows: Maximum number of rows of a file; a warning says how many there are.
        overwrite: Whether to replace a file, or earlier results in a folder.
        quiet: Whether to show no progress.
        announce: Called with a note on the columns of a file that are read.

    Returns:
        The words and effects of each text.

    Raises:
        UserError: The folder is in use, or holds other files; the file exists, is the one that is read, or
            has another suffix.
        DataError: There are no texts or no words, the file cannot be read, a class is unknown, or only one of the
            input and the training data has text pairs.
        ModelError: There is no classifier, it has no such attribution, or the two have different classes.
        MissingDependencyError: `gradients` without captum.
        OutputError: The results cannot be written.
    """
    if output is not None:
        check_explanation_output(output)
    file = None
    if isinstance(texts, Path) or (isinstance(texts, str) and names_a_file(texts)):
        file = texts
        split = _rows_of_file(model, texts, ColumnNames(text, text_pair), max_rows, announce)
    else:
        split = _rows(texts)
    if output is not None and is_explanation_file(output):
        check_output_file(output, [file], overwrite=overwrite)
    fitted = load_fitted(model)
    other = None if other_model is None else load_fitted(other_model)
    for one in (fitted, other):
        if one is not None:
            check_form(split.text_pairs is not None, one.columns)
    claim: contextlib.AbstractContextManager[Path | None] = contextlib.nullcontext()
    if output is not None and not is_explanation_file(output):
        claim = claimed(output, overwrite=overwrite, inputs=(model, other_model, file), emptied=False)
    with claim as folder, rows_bar(len(split), quiet=quiet or len(split) == 1) as progress:
        effects = word_effects(
            fitted, split, other, against=against, label=label, attribution=attribution, progress=progress
        )
        if folder is not None:
            claim_folder(folder, resume=None, overwrite=overwrite)
        if output is not None:
            write_explanation(output, effects, str(model), "" if other_model is None else str(other_model))
    return effects


def names_a_file(text: str) -> bool:
    """Whether a text is the path of a file, or looks like that of one."""
    if len(os.fsencode(text)) > _LONGEST_PATH or "\n" in text:
        return False
    return Path(text).is_file() or (not any(map(str.isspace, text)) and file_format(Path(text)) is not None)


def _rows(texts: str | Sequence[Any]) -> TextSplit:
    rows: list[Any] = [texts] if isinstance(texts, str) else list(texts)
    if rows and not isinstance(rows[0], str):
        return TextSplit([str(one) for one, _ in rows], [str(other) for _, other in rows])
    return TextSplit(rows)


def _rows_of_file(
    model: str | Path,
    path: str | Path,
    names: ColumnNames,
    max_rows: int,
    announce: Callable[[Sequence[str]], None] | None,
) -> TextSplit:
    """Reads the first rows of a file; the whole file is checked."""
    if max_rows < 1:
        raise DataError(f"{max_rows} rows cannot be explained", "give a number from 1")
    stream = open_rows(path)
    columns = find_model_columns(
        stream.schema, names, trained_columns(model), labelled=False, where=str(path)
    )
    stream.check_texts(columns)
    if announce is not None:
        announce([f"Columns: {columns}."])
    if stream.rows > max_rows:
        warnings.warn(
            f"the first {max_rows:,} of {stream.rows:,} rows of {path} are explained; --max-rows explains more.",
            TellapartWarning,
            stacklevel=3,
        )
    return first_examples(stream, columns, max_rows)
