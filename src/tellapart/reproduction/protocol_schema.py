"""The keys of a protocol, their types and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tellapart.errors import did_you_mean
from tellapart.recipes.methods import METHODS

PRETRAINING = "pretraining"
"""The prefix of settings that are those of the pre-training run, and the folder of such runs."""

MODELS = "models"
"""The folder of models that several cells share."""

RESERVED = (PRETRAINING, MODELS)
"""Folders of a table that are no column's."""

Measures = Literal["classification", "corrections", "spans", "robustness"]

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Settings = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProtocolColumn(_Strict):
    """A set that methods are compared on.

    Args:
        name: As the paper calls it.
        metrics: Name in `tellapart.evaluation.metrics.METRICS` to the paper's name for it, the first the main one.
        source: A registered set, a file, a folder or a Hub name; None where the column cannot be run.
        stands_in_for: The key of the column whose set is not to be had, in place of which this one is.
        evaluated: The published split to compare on. With `validation`, rows to validate on come from train.
        encoder: The role of the encoder, where it is not that of the rows.
        note: What is different from the paper's set, or why the column cannot be run.
        settings: Path to value, as for `--set`, for the rows that know the path.
    """

    name: str
    metrics: Annotated[dict[str, str], Field(min_length=1)] = {"accuracy": "accuracy"}
    source: str | None = None
    stands_in_for: str | None = None
    evaluated: Literal["test", "validation"] = "test"
    encoder: str | None = None
    note: str = ""
    settings: Settings = {}


class ProtocolRow(_Strict):
    """A method.

    Args:
        name: As the paper calls it.
        method: A name from `tellapart.recipes.methods()`; None where the row cannot be run, and in tables that are
            not of classifiers.
        encoder: The role of its encoder; by default the first.
        second: The role of a second encoder, fused with the first.
        baseline: The key of the row that it is held against; by default the protocol's.
        note: What is different from the paper's method, or why the row cannot be run.
        settings: Path to value, as for `--set`.
        run_by: What runs the row in place of tellapart, with the data of its recipe; its trials count where they are.
        choices: As the protocol's, in their place.
        pretraining: Of the encoder, before each fine-tuning: what differs from the protocol's `pretraining`.
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
    """A table: methods in rows, sets in columns, and what the paper found.

    Args:
        title: What the table is about.
        paper: Authors, title, year; empty for a table of one's own.
        table: Its number in the paper.
        measures: What a cell is: a classifier's figures (`classification`), how often a language model's predictions
            are corrected (`corrections`), how well a model answers questions out of a text (`spans`), or what an
            attack does to its answers (`robustness`).
        used: What the paper used, by topic, in its words.
        differences: What is read or done differently here, a sentence each.
        encoders: Role to encoder; the first is that of rows which name none, and what `--encoder` replaces.
        trials: Seeds of each cell; the paper's own number where it has one.
        summary: What stands for a cell: the `mean` of its trials, or the `trimmed` mean, without the best and the
            worst, from three trials on.
        baseline: The key of the row that others are held against; by default the first that can be run.
        settings: Path to value, as for `--set`, for the rows that know the path.
        choices: Alternatives, each path to value, among which the validation rows choose once a row and column.
        pretraining: Keys of a pre-training run, for the rows that have one.
        columns: Key to set; a key is a folder's name too.
        rows: Key to method; a key is a file's name too.
        figures: Row to column to what the paper found, in its unit: a number, or one for each metric.
        cell_settings: Row to column to path to value, as for `--set`.
        excluded: Row to column to the reason why that cell cannot be run.
    """

    title: str
    paper: str = ""
    table: str = ""
    measures: Measures = "classification"
    used: dict[str, str] = {}
    differences: list[str] = []
    encoders: Annotated[dict[Key, str], Field(min_length=1)] = {"encoder": "minilm"}
    trials: Annotated[int, Field(ge=1)] = 3
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
                raise ValueError(f"column {key} has neither a source nor a note why it has none")
        for key, row in self.rows.items():
            _one_of(row.baseline, self.rows, f"the baseline of row {key} is")
            _one_of(row.encoder, self.encoders, f"the encoder of row {key} is")
            _one_of(row.second, self.encoders, f"the second encoder of row {key} is")
            self._check_runnable(key, row)
        _one_of(self.baseline, self.rows, "the baseline is")
        for folder in RESERVED:
            if folder in self.columns:
                raise ValueError(f'no column can be called "{folder}": that folder has another use')
        if self.measures != "classification" and (self.choices or any(r.choices for r in self.rows.values())):
            raise ValueError("there are choices, which only tables of classifiers can have")
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

    def _check_runnable(self, key: str, row: ProtocolRow) -> None:
        if self.measures == "classification":
            if row.method is None and not row.note:
                raise ValueError(f"row {key} has neither a method nor a note why it has none")
        elif row.method is not None:
            raise ValueError(f"row {key} has a method, which only tables of classifiers have")
        elif self.measures == "corrections" and row.pretraining is None and not row.note:
            raise ValueError(f"row {key} has neither a pretraining nor a note why it has none")

    def can_run(self, row: str) -> bool:
        """Whether there is anything to run for a row; a `note` says why not."""
        its_row = self.rows[row]
        if self.measures == "classification":
            return its_row.method is not None
        if self.measures == "corrections":
            return its_row.pretraining is not None
        return not its_row.note or its_row.pretraining is not None or its_row.encoder is not None

    def why_not(self, row: str, column: str) -> str:
        """Returns why a cell cannot be run; empty where it can."""
        its_row, its_column = self.rows[row], self.columns[column]
        if not self.can_run(row):
            return its_row.note
        if its_column.source is None:
            return its_column.note
        return self.excluded.get(row, {}).get(column, "")

    def baseline_of(self, row: str) -> str:
        """Returns the key of the row that a row is held against, which may be the row itself."""
        first = next((key for key in self.rows if self.can_run(key)), row)
        return self.rows[row].baseline or self.baseline or first

    def figure(self, row: str, column: str, metric: str) -> float | None:
        """Returns what the paper found for a cell, or for the one that its column stands in for."""
        column = self.columns[column].stands_in_for or column
        found = self.figures.get(row, {}).get(column)
        if isinstance(found, list):
            names = list(self.columns[column].metrics)
            return found[names.index(metric)] if metric in names else None
        return found if metric == next(iter(self.columns[column].metrics)) else None


def _one_of(name: str | None, known: Mapping[str, Any], what: str) -> None:
    if name is not None and name not in known:
        raise ValueError(f'{what} "{name}", which there is not{did_you_mean(name, known)}')
