"""Scores units of rows: the function that a file, a folder and a worker share."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import TextSplit
from tellapart.data.reading import streams
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.parquet import row_group_of
from tellapart.data.reading.streams import one_ahead, regrouped, rows_from
from tellapart.data.reading.tables import explaining, writing_table
from tellapart.data.reading.values import read_examples
from tellapart.encoders.precision import Precision
from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.predictions import added_columns
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.scoring.units import STAMP, Unit
from tellapart.training.progress import Progress


@dataclass(frozen=True)
class ScoringOptions:
    """What is read and written, equal for all units of a run; can be pickled.

    Args:
        columns: The columns of the texts.
        schema: All columns of the input, with the types that every file is converted to.
        where: Name of the input in messages.
        prefix: Put before the names of the added columns.
        margin: Whether to add `second_label` and `margin`.
        top_k: Number of most probable labels to add.
        precision: `fp32`, `bf16`, or `auto` for bf16 where the device is faster with it.
    """

    columns: Columns
    schema: pa.Schema
    where: str = "the input"
    prefix: str = ""
    margin: bool = False
    top_k: int = 0
    precision: Precision = "auto"


@dataclass(frozen=True)
class PartSummary:
    """A part that was written.

    Args:
        part: Name of its file.
        rows: Number of its rows.
    """

    part: str
    rows: int


class PartScorer:
    """Scores units with a model that it loads once.

    Batches are formed from 8,192 rows at a time, counted from the first row of the unit. Its result therefore
    depends on its rows, the model, the options and the kind of device, and on nothing that was scored before.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        options: What is read and written.

    Attributes:
        fitted: The model.
        schema: The columns of the output: those of the input, then the added ones.

    Raises:
        ModelError: The folder holds no classifier.
        DataError: The input has a column of the name of an added one.
        UserError: The task has no second class, or no `top_k` classes, or the model has no form in the precision.
    """

    def __init__(self, model: str | Path, options: ScoringOptions) -> None:
        self.options = options
        self.fitted: Fitted = load_fitted(model).in_precision(options.precision)
        none = np.empty((0, len(self.fitted.labels)), dtype=np.float32)
        fields = [pa.field(options.prefix + name, values.type) for name, values in self._added(none).items()]
        for field in fields:
            if field.name in options.schema.names:
                raise DataError(
                    f'{options.where} has a column "{field.name}", which the prediction would replace',
                    "name the added columns otherwise, such as --prefix "
                    f"model_{options.prefix} (in Python prefix=...)",
                )
        self.schema = pa.schema([*options.schema, *fields], options.schema.metadata)
        self._reader = _UnitReader(options.schema)

    def __call__(
        self, unit: Unit, *, blocks: Iterator[pa.Table] | None = None, progress: Progress = None
    ) -> PartSummary:
        """Scores a unit and writes its part, atomically.

        Args:
            unit: The rows.
            blocks: The same rows, if they have been read; by default they are read from the file.
            progress: Called with the number of rows done.

        Raises:
            DataError: The file was changed since it was checked.
            OutputError: The part cannot be written.
        """
        if blocks is None:
            blocks = self._reader.blocks(unit)
        written = 0
        schema = self.schema
        if unit.stamp:
            schema = schema.with_metadata({**(schema.metadata or {}), STAMP: unit.stamp})
        with writing_table(unit.output, schema) as write:
            for table, split, tokenised in one_ahead(self._tokenised(unit, blocks)):
                logits = self.fitted.scores(split, rows=tokenised, progress=progress)
                columns = [*table.columns, *self._added(logits).values()]
                write(pa.Table.from_arrays(columns, schema=schema))
                written += len(table)
            if written != unit.rows:
                raise unit.changed_file("while it was scored")
            unit.check_unchanged()
        return PartSummary(Path(unit.output).name, written)

    @property
    def weights(self) -> str:
        """The type of the model's weights, such as `bfloat16`."""
        return str(getattr(self.fitted.model, "dtype", "float32")).removeprefix("torch.")

    def _added(self, logits: np.ndarray) -> dict[str, pa.Array]:
        labels, decision = self.fitted.labels, self.fitted.decision
        return added_columns(labels, logits, decision, margin=self.options.margin, top_k=self.options.top_k)

    def _tokenised(
        self, unit: Unit, blocks: Iterator[pa.Table]
    ) -> Iterator[tuple[pa.Table, TextSplit, TokenisedDataset | None]]:
        for table in regrouped(blocks, streams.ROWS_A_PART):
            split = read_examples(table, self.options.columns, where=unit.path)
            yield table, split, self.fitted.tokenised(split)


def precision_of(weights: str) -> Precision:
    """Returns the setting that gives weights of a type on every machine; `auto` depends on the machine."""
    return "bf16" if weights == "bfloat16" else "fp32"


def check_weights(scorer: PartScorer, weights: str, folder: Path) -> None:
    """Checks that a model scores with weights of the type that a run was begun with.

    Raises:
        RecipeError: It does not.
    """
    if scorer.weights != weights:
        raise RecipeError(
            f"the run in {folder} was begun with weights in {weights} (now {scorer.weights})",
            "resume it with the --precision and the kind of device that it was begun with",
        )


class _UnitReader:
    """Reads the rows of units; units of a file that come in order are read in one pass, with the rows between them.

    Args:
        schema: The columns to return.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._blocks: Iterator[pa.Table] = iter(())
        self._rest: pa.Table | None = None
        self._place: tuple[str, int] | None = None  # file and row that come next

    def blocks(self, unit: Unit) -> Iterator[pa.Table]:
        """Yields the rows of a unit; fewer if the file has fewer.

        Raises:
            DataError: The file was changed since it was checked.
        """
        unit.check_unchanged()
        skipped = self._rows_before(unit)
        if skipped is None:
            self._blocks = rows_from(Path(unit.path), unit.kind, self._schema, unit.first)
            self._rest, skipped = None, 0
        self._place = None  # if the unit fails, the next one begins a new pass
        for _ in self._taken(skipped):
            pass
        lacking = yield from self._taken(unit.rows)
        if not lacking:
            self._place = unit.path, unit.first + unit.rows

    def _rows_before(self, unit: Unit) -> int | None:
        """Returns how many rows of the pass come before a unit; None if a new pass is to begin.

        Other processes score the units between those of this one. Beginning anew for each would read a CSV file from
        its first row on every time; of a Parquet file only the rows before it in its row group.
        """
        if self._place is None or self._place[0] != unit.path:
            return None
        ahead = unit.first - self._place[1]
        if ahead > 0 and unit.kind == "Parquet":
            with explaining(Path(unit.path), unit.kind):
                _, before_in_group = row_group_of(Path(unit.path), unit.first)
            return ahead if ahead <= before_in_group else None
        return ahead if ahead >= 0 else None

    def _taken(self, rows: int) -> Generator[pa.Table, None, int]:
        """Yields the next rows of the pass; returns the number of those that the file lacks."""
        while rows:
            block = next(self._blocks, None) if self._rest is None else self._rest
            if block is None:
                break
            taken = block.slice(0, rows)
            self._rest = block.slice(rows) if rows < len(block) else None
            rows -= len(taken)
            yield taken
        return rows
