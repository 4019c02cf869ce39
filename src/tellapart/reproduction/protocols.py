"""Protocols: tables of papers as data (methods in rows, data sets in columns, the papers' figures)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tellapart.errors import did_you_mean
from tellapart.recipes.methods import METHODS

PRETRAINING = "pretraining"
"""Prefix of settings of the pre-training run, and the folder of such runs."""

MODELS = "models"
"""Folder of models that several cells share."""

SUBMISSIONS = "glue-submission"
"""Folder of predictions for GLUE's server."""

RESERVED = (PRETRAINING, MODELS, SUBMISSIONS)
"""Folders of a table that do not belong to a column."""

Measures = Literal["classification", "corrections", "spans", "robustness"]

Rows = Annotated[int, Field(ge=1)]

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Settings = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DrawnRows(_Strict):
    """Numbers of rows that the paper drew at random, see `tellapart.data.splits.redraw_splits`.

    Args:
        validation: Validation rows; None for the recipe's share of the training rows.
        test: Test rows; None for those that the source publishes.
    """

    validation: Rows | None = None
    test: Rows | None = None


class ProtocolColumn(_Strict):
    """A data set that methods are compared on.

    Args:
        name: Name in the paper.
        metrics: Name in `tellapart.evaluation.metrics.METRICS` to the paper's name; the first is the main metric.
        source: A registered set, a file, a folder or a Hub name; None if the column cannot be run.
        stands_in_for: Key of the column whose set is not available and which this one replaces.
        evaluated: The published split to evaluate on. With `validation`, validation rows are split off train.
        drawn: Rows that are drawn at random in place of the published splits, as the paper did. Needs the protocol's
            `split_seed`.
        submission: Name of the GLUE task whose test rows are predicted for GLUE's server, which keeps their labels:
            the paper's figures are the server's, those of tellapart are on `evaluated`.
        encoder: Role of the encoder, if it differs from that of the rows.
        note: Differences from the paper's set, or the reason why the column cannot be run.
        settings: Path to value, as for `--set`, for the rows that have the path.
    """

    name: str
    metrics: Annotated[dict[str, str], Field(min_length=1)] = {"accuracy": "accuracy"}
    source: str | None = None
    stands_in_for: str | None = None
    evaluated: Literal["test", "validation"] = "test"
    drawn: DrawnRows | None = None
    submission: Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"] | None = None
    encoder: str | None = None
    note: str = ""
    settings: Settings = {}


class ProtocolRow(_Strict):
    """A method.

    Args:
        name: Name in the paper.
        method: A name from `tellapart.recipes.methods()`; None if the row cannot be run, and in tables that are not
            of classifiers.
        encoder: Role of its encoder; by default the first.
        second: Role of a second encoder, fused with the first.
        baseline: Key of the row that it is compared with; by default the protocol's.
        note: Differences from the paper's method, or the reason why the row cannot be run.
        settings: Path to value, as for `--set`.
        run_by: The tool that runs the row instead of tellapart, on the same rows; its trials are shown if they exist.
        choices: Replaces the protocol's choices.
        pretraining: Pre-training of the encoder: differences from the protocol's `pretraining`.
    """

    name: str
    method: str | None = None
    encoder: str | None = None
    second: str | None = None
    baseline: str | None = None
    note: str = ""
    settings: Settings = {}
    run_by: str = ""
    choices: list[Settings] | None = None
    pretraining: Settings | None = None

    @field_validator("method")
    @classmethod
    def _known(cls, method: str | None) -> str | None:
        if method is not None and method not in METHODS:
            raise ValueError(f'there is no method "{method}"{did_you_mean(method, METHODS)}')
        return method


Figure = float | list[float | None] | None


class Protocol(_Strict):
    """A table: methods in rows, data sets in columns, and the paper's figures.

    Args:
        title: Title of the table.
        paper: Authors, title, year; empty for a table of the user's.
        table: Its number in the paper.
        measures: Kind of cell: a classifier (`classification`), the share of a language model's predictions that are
            corrected (`corrections`), extractive question answering (`spans`), or its robustness to an attack
            (`robustness`).
        used: The paper's setup by topic, in its words.
        differences: Differences from the paper's setup, one sentence each.
        encoders: Role to encoder; the first is used by rows that name none, and replaced by `--encoder`.
        trials: Seeds per cell; the paper's number if it has one.
        split_seed: Seed of the splits in all trials; None if each trial draws its own, by its seed.
        summary: Figure of a cell: the `mean` of its trials, or with three or more trials the `trimmed` mean, without
            the best and the worst.
        baseline: Key of the row that others are compared with; by default the first that can be run.
        settings: Path to value, as for `--set`, for the rows that have the path.
        choices: Alternatives, each path to value, selected on the validation rows once per row and column.
        pretraining: Keys of a pre-training recipe, for the rows that have one.
        columns: Key to data set; a key is also a folder name.
        rows: Key to method; a key is also a file name.
        figures: Row to column to the paper's figure in its unit: a number, or a list with one per metric.
        cell_settings: Row to column to path to value, as for `--set`.
        excluded: Row to column to the reason why the cell cannot be run.
    """

    title: str
    paper: str = ""
    table: str = ""
    measures: Measures = "classification"
    used: dict[str, str] = {}
    differences: list[str] = []
    encoders: Annotated[dict[Key, str], Field(min_length=1)] = {"encoder": "minilm"}
    trials: Annotated[int, Field(ge=1)] = 3
    split_seed: Annotated[int, Field(ge=0)] | None = None
    summary: Literal["mean", "trimmed"] = "mean"
    baseline: str | None = None
    settings: Settings = {}
    choices: list[Settings] = []
    pretraining: Settings = {}
    columns: Annotated[dict[Key, ProtocolColumn], Field(min_length=1)]
    rows: Annotated[dict[Key, ProtocolRow], Field(min_length=1)]
    figures: dict[str, dict[str, Figure]] = {}
    cell_settings: dict[str, dict[str, Settings]] = {}
    excluded: dict[str, dict[str, str]] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        for key, column in self.columns.items():
            _one_of(column.stands_in_for, self.columns, f"column {key} stands in for")
            _one_of(column.encoder, self.encoders, f"the encoder of column {key} is")
            if column.source is None and not column.note:
                raise ValueError(f"column {key} needs a source, or a note why it has none")
            self._check_rows(key, column)
        for key, row in self.rows.items():
            _one_of(row.baseline, self.rows, f"the baseline of row {key} is")
            _one_of(row.encoder, self.encoders, f"the encoder of row {key} is")
            _one_of(row.second, self.encoders, f"the second encoder of row {key} is")
            self._check_runnable(key, row)
        _one_of(self.baseline, self.rows, "the baseline is")
        for folder in RESERVED:
            if folder in self.columns:
                raise ValueError(f'a column cannot be called "{folder}": that folder is reserved')
        if self.measures != "classification" and (self.choices or any(r.choices for r in self.rows.values())):
            raise ValueError("only tables of classifiers can have choices")
        by_cell: dict[str, Mapping[str, Mapping[str, Any]]] = {
            "figures": self.figures,
            "cell_settings": self.cell_settings,
            "excluded": self.excluded,
        }
        for name, cells in by_cell.items():
            for row_key, by_column in cells.items():
                _one_of(row_key, self.rows, f"{name} has row")
                for column_key in by_column:
                    _one_of(column_key, self.columns, f"{name} has column")
        for figures in self.figures.values():
            for column_key, figure in figures.items():
                given = len(figure) if isinstance(figure, list) else 1
                metrics = len(self.columns[column_key].metrics)
                if figure is not None and given != metrics:
                    raise ValueError(f"column {column_key} has {given} figures for {metrics} metrics")
        return self

    def _check_rows(self, key: str, column: ProtocolColumn) -> None:
        if self.measures != "classification" and (column.drawn or column.submission):
            raise ValueError(
                f"column {key} has drawn or a submission, but only tables of classifiers have these"
            )
        if column.drawn is not None and self.split_seed is None:
            raise ValueError(f"column {key} has drawn rows, but the table has no split_seed")

    def _check_runnable(self, key: str, row: ProtocolRow) -> None:
        if self.measures == "classification":
            if row.method is None and not row.note:
                raise ValueError(f"row {key} needs a method, or a note why it has none")
        elif row.method is not None:
            raise ValueError(f"row {key} has a method, but only tables of classifiers have methods")
        elif self.measures == "corrections" and row.pretraining is None and not row.note:
            raise ValueError(f"row {key} needs a pretraining, or a note why it has none")

    def can_run(self, row: str) -> bool:
        """Whether a row can be run; otherwise its `note` gives the reason."""
        its_row = self.rows[row]
        if self.measures == "classification":
            return its_row.method is not None
        if self.measures == "corrections":
            return its_row.pretraining is not None
        return not its_row.note or its_row.pretraining is not None or its_row.encoder is not None

    def why_not(self, row: str, column: str) -> str:
        """Returns the reason why a cell cannot be run; empty if it can."""
        its_row, its_column = self.rows[row], self.columns[column]
        if not self.can_run(row):
            return its_row.note
        if its_column.source is None:
            return its_column.note
        return self.excluded.get(row, {}).get(column, "")

    def baseline_of(self, row: str) -> str:
        """Returns the key of the row that a row is compared with, possibly the row itself."""
        first = next((key for key in self.rows if self.can_run(key)), row)
        return self.rows[row].baseline or self.baseline or first

    def figure(self, row: str, column: str, metric: str) -> float | None:
        """Returns the paper's figure for a cell, or for the cell that its column stands in for."""
        column = self.columns[column].stands_in_for or column
        found = self.figures.get(row, {}).get(column)
        if isinstance(found, list):
            names = list(self.columns[column].metrics)
            return found[names.index(metric)] if metric in names else None
        return found if metric == next(iter(self.columns[column].metrics)) else None


def _one_of(name: str | None, known: Mapping[str, Any], what: str) -> None:
    if name is not None and name not in known:
        raise ValueError(f'{what} "{name}", which is not defined{did_you_mean(name, known)}')
