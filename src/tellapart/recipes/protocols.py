"""Protocols: a table of a paper as data, from which each of its cells is a recipe that can be run again.

Those of the papers are in the package; anyone can write one of their own as YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.methods import METHODS, method_recipe
from tellapart.recipes.pretraining import PretrainRecipe, validated_pretraining, with_pretraining_values
from tellapart.recipes.reading import read_mapping, with_values
from tellapart.recipes.schema import Recipe

PRETRAINING = "pretraining"
"""The prefix of settings that are those of the pre-training run."""

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
        method: A name from `tellapart.recipes.methods()`; None where the row cannot be run.
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
            if row.method is None and not row.note:
                raise ValueError(f"row {key} has neither a method nor a note why it has none")
        _one_of(self.baseline, self.rows, "the baseline is")
        if PRETRAINING in self.columns:
            raise ValueError(f'no column can be called "{PRETRAINING}": that folder has another use')
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

    def why_not(self, row: str, column: str) -> str:
        """Returns why a cell cannot be run; empty where it can."""
        its_row, its_column = self.rows[row], self.columns[column]
        if its_row.method is None:
            return its_row.note
        if its_column.source is None:
            return its_column.note
        return self.excluded.get(row, {}).get(column, "")

    def baseline_of(self, row: str) -> str:
        """Returns the key of the row that a row is held against, which may be the row itself."""
        first = next((key for key, one in self.rows.items() if one.method is not None), row)
        return self.rows[row].baseline or self.baseline or first

    def figure(self, row: str, column: str, metric: str) -> float | None:
        """Returns what the paper found for a cell, or for the one that its column stands in for."""
        column = self.columns[column].stands_in_for or column
        found = self.figures.get(row, {}).get(column)
        if isinstance(found, list):
            names = list(self.columns[column].metrics)
            return found[names.index(metric)] if metric in names else None
        return found if metric == next(iter(self.columns[column].metrics)) else None


def protocols() -> dict[str, Protocol]:
    """Returns the protocols of the package by name."""
    return {name: _read(_shipped(name)) for name in _names()}


def is_shipped(table: str) -> bool:
    """Whether a table is one of the package's."""
    return table in _names()


def load_protocol(table: str | Path) -> tuple[str, Protocol]:
    """Finds a protocol by its name, or reads it from a file.

    Args:
        table: A name from `protocols()`, or a YAML file.

    Returns:
        Its name (a file's is its stem) and the protocol.

    Raises:
        RecipeError: There is none, or it does not describe a table.
    """
    if str(table).endswith((".yaml", ".yml")):
        return Path(table).stem, _read(Path(table))
    if not is_shipped(str(table)):
        raise RecipeError(
            f'there is no table "{table}"{did_you_mean(str(table), _names())}',
            "choose one of: tellapart reproduce list, or give a YAML file",
        )
    return str(table), _read(_shipped(str(table)))


def cell_recipe(
    protocol: Protocol,
    row: str,
    column: str,
    *,
    encoders: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Recipe:
    """Returns the recipe of a cell; its `method` is the row's key.

    What is set for all rows or for a column goes to the methods that know it, as in `tellapart compare`; then comes
    what is set for the row, for the cell and, at last, by the user.

    Args:
        protocol: The table.
        row: A key of its rows that has a method.
        column: A key of its columns that has a source.
        encoders: Role to encoder, in place of the protocol's.
        settings: The user's `path=value` changes, for the rows that know the path.
        seed: Of everything random.

    Raises:
        RecipeError: A setting of the row or the cell is unknown or not allowed.
    """
    its_row, its_column = protocol.rows[row], protocol.columns[column]
    roles = protocol.encoders | dict(encoders or {})
    role = its_column.encoder or its_row.encoder or next(iter(roles))
    base = [_assignment("data.source", its_column.source), _assignment("encoder.name", roles[role])]
    if its_row.second is not None:
        base.append(_assignment("encoder.second", roles[its_row.second]))
    assert its_row.method is not None
    recipe = method_recipe(its_row.method, with_values(Recipe(), base))
    for path, value in [*protocol.settings.items(), *its_column.settings.items()]:
        recipe = _where_known(recipe, _assignment(path, value))
    own = [*its_row.settings.items(), *protocol.cell_settings.get(row, {}).get(column, {}).items()]
    recipe = with_values(recipe, [_assignment(path, value) for path, value in own])
    for setting in settings:
        if not setting.startswith(PRETRAINING + "."):
            recipe = _where_known(recipe, setting)
    return recipe.model_copy(update={"method": row, "seed": seed})


def cell_choices(protocol: Protocol, row: str) -> list[list[str]]:
    """Returns the alternatives among which the validation rows choose, each as `path=value` changes."""
    own = protocol.rows[row].choices
    given = protocol.choices if own is None else own
    return [[_assignment(path, value) for path, value in one.items()] for one in given]


def cell_pretraining(
    protocol: Protocol,
    row: str,
    *,
    encoders: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> PretrainRecipe | None:
    """Returns the pre-training run that a row's encoder comes from; None where it has none.

    Args:
        protocol: The table.
        row: A key of its rows.
        encoders: Role to encoder, in place of the protocol's.
        settings: The user's changes, of which those that begin with `pretraining.` are taken.

    Raises:
        RecipeError: A key is unknown, or a value is not allowed.
    """
    its_row = protocol.rows[row]
    if its_row.pretraining is None:
        return None
    roles = protocol.encoders | dict(encoders or {})
    content = {"encoder": roles[its_row.encoder or next(iter(roles))]}
    recipe = validated_pretraining(content | protocol.pretraining | its_row.pretraining)
    own = [setting.removeprefix(PRETRAINING + ".") for setting in settings if setting.startswith(PRETRAINING)]
    return with_pretraining_values(recipe, own)


def check_settings(protocol: Protocol, settings: Iterable[str] = ()) -> None:
    """Refuses what is set for several rows and known by none.

    Args:
        protocol: The table.
        settings: The user's `path=value` changes.

    Raises:
        RecipeError: A path leads nowhere in any row, or its value is not allowed.
    """
    shared = [protocol.settings, *(column.settings for column in protocol.columns.values())]
    given = [_assignment(path, value) for each in shared for path, value in each.items()]
    bases = [method_recipe(row.method) for row in protocol.rows.values() if row.method is not None]
    for setting in [*given, *settings]:
        if setting.startswith(PRETRAINING + "."):
            continue
        errors = []
        for base in bases:
            try:
                with_values(base, [setting])
            except RecipeError as error:
                errors.append(error)
        if errors and len(errors) == len(bases):
            raise errors[-1]


def _folder() -> Traversable:
    return resources.files("tellapart") / "protocols"


def _names() -> list[str]:
    found = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def _shipped(name: str) -> Path:
    return Path(str(_folder() / f"{name}.yaml"))


def _read(file: Path) -> Protocol:
    try:
        protocol = Protocol.model_validate(read_mapping(file))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise RecipeError(
            f"{file.name} describes no table: {f'{place}: ' if place else ''}{message[0].lower()}{message[1:]}",
            "see the reference of protocols",
        ) from None
    check_settings(protocol)
    for row in protocol.rows:
        cell_pretraining(protocol, row)
        for column in protocol.columns:
            if not protocol.why_not(row, column):
                cell_recipe(protocol, row, column)
    return protocol


def _assignment(path: str, value: Any) -> str:
    # JSON is YAML, and keeps a name that is called 1 or true a string.
    return f"{path}={json.dumps(value, ensure_ascii=False)}"


def _where_known(recipe: Recipe, setting: str) -> Recipe:
    try:
        return with_values(recipe, [setting])
    except RecipeError:
        return recipe


def _one_of(name: str | None, known: Mapping[str, Any], what: str) -> None:
    if name is not None and name not in known:
        raise ValueError(f'{what} "{name}", which there is not{did_you_mean(name, known)}')
