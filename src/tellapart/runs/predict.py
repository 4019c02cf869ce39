"""Adds predicted labels and probabilities to the rows of files, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tellapart.data.reading.columns import ColumnNames, find_model_columns
from tellapart.data.reading.streams import open_rows
from tellapart.encoders.precision import Precision
from tellapart.errors import UserError
from tellapart.execution.places import Place
from tellapart.fitting.loading import check_model, trained_columns
from tellapart.scoring.inputs import check_given, writes_parts
from tellapart.scoring.outputs import check_predictions_file
from tellapart.scoring.scorer import PartScorer, ScoringOptions
from tellapart.scoring.units import ROWS_PER_PART, unit_of
from tellapart.training.progress import rows_bar


def predict(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    prefix: str = "",
    margin: bool = False,
    top_k: int = 0,
    precision: Precision = "auto",
    rows_per_part: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
    place: Place | None = None,
) -> int:
    """Predicts labels for the rows of a file, a folder or a glob pattern with the model's thresholds and temperature.

    All files are checked before the model is loaded, and scored and written in constant memory. The output of one
    file appears when it is complete. The rows of several files go to a folder of Parquet files with an index, the
    parts, each of which appears when it is complete.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        file: CSV, TSV, JSONL, JSON or Parquet; a folder of such files, or a pattern such as `data/**/*.csv`.
        output: The file to write; its suffix determines the format. For a folder, a pattern, or a name without a
            suffix: the folder of the parts. All columns of `file` are kept, and `predicted_label` and `probability`
            are added (lists for multi-label models); `predicted_score` for regression models; `decision` (accepted
            or abstained) and `prediction_set` if the model has them.
        text: The text column; by default that of the model's training, or found by its name if that is unknown.
        text_pair: The second text's column, likewise.
        prefix: Put before the names of the added columns.
        margin: Whether to add `second_label` and `margin`, the difference of the two highest probabilities.
        top_k: Number of most probable labels to add, with their probabilities.
        precision: `fp32`; `bf16` for weights cast once; `auto` for bf16 where the device is faster with it.
        rows_per_part: The most rows of a part; None for 131,072.
        resume: Whether to keep the parts of an interrupted run.
        overwrite: Whether to replace the parts of an earlier run, or an output file that holds no predictions. A file
            of predictions is always replaced, and the file that is scored never.
        quiet: Whether to show no progress.
        announce: Called with notes on what is read.
        place: Where parts are scored, see `tellapart.scoring.parts.predict_parts`.

    Returns:
        The number of rows.

    Raises:
        DataError: A file cannot be read, lacks the column that the model was trained on, has a column of the name of
            an added one or other columns than the other files, or was changed since the run to resume.
        ModelError: The folder holds no classifier.
        OutputError: The output cannot be written.
        UserError: The task has no second class, or no `top_k` classes; the output folder cannot be used, or the
            output file not be replaced.
    """
    given = ColumnNames(text, text_pair)
    if writes_parts(file, output):
        # Imported here: its folders need more than scoring does.
        from tellapart.scoring.parts import PartsRequest, predict_parts

        most = ROWS_PER_PART if rows_per_part is None else rows_per_part
        asked = PartsRequest(model, file, output, given, prefix, margin, top_k, precision, most)
        how = {"resume": resume, "overwrite": overwrite, "quiet": quiet}
        return predict_parts(asked, **how, announce=announce, place=place).rows
    path = check_given(file)
    if resume or rows_per_part is not None or place not in (None, Place()):
        raise UserError(
            f"{output} is one file, which is not written in parts",
            "name a folder, or leave out --resume, --rows-per-part, --jobs and --on",
        )
    check_predictions_file(output, path, prefix=prefix, overwrite=overwrite)
    check_model(model)
    state = path.stat()  # before the rows are read, so that a later change is noticed
    rows = open_rows(file)
    columns = find_model_columns(rows.schema, given, trained_columns(model), labelled=False, where=str(file))
    rows.check_texts(columns)
    if announce is not None:
        announce([f"Columns: {columns}."])
    options = ScoringOptions(columns, rows.schema, str(file), prefix, margin, top_k, precision)
    scorer = PartScorer(model, options)
    with rows_bar(rows.rows, quiet=quiet) as progress:
        return scorer(unit_of(rows, state, output), blocks=rows.blocks(), progress=progress).rows
