"""The requested part of a table: reads protocols, checks the request, and builds the recipe of each cell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tellapart.errors import RecipeError, did_you_mean
from tellapart.pretraining.recipe import (
    NEW,
    NEW_MODEL,
    PretrainRecipe,
    validated_pretraining,
    with_pretraining_values,
)
from tellapart.recipes.methods import method_recipe
from tellapart.recipes.reading import assignment, read_mapping, with_values
from tellapart.recipes.schema import Recipe
from tellapart.reproduction.measures.settings import MEASUREMENTS, Measurement, with_measurement_values
from tellapart.reproduction.protocols import PRETRAINING, Protocol

_PREFIX = PRETRAINING + "."

_OF_ITS_ENCODER = {"generator", *NEW_MODEL}


@dataclass(frozen=True)
class TableRequest:
    """A table, the part of it to run, and the user's changes; `table_request` builds and checks it.

    Args:
        table: Name of the protocol.
        protocol: The protocol.
        rows: Keys of the methods to run, in the protocol's order.
        columns: Keys of the data sets to run, in the protocol's order.
        encoders: Role to encoder, for every role.
        seeds: One per trial.
        settings: The user's `path=value` changes.
        file: The file of a table that is not shipped, as the user named it.
    """

    table: str
    protocol: Protocol
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    encoders: dict[str, str]
    seeds: tuple[int, ...]
    settings: tuple[str, ...] = ()
    file: str | None = None

    @property
    def command(self) -> str:
        """The command line of this request; a table of the user's is named by its file."""
        protocol = self.protocol
        named = self.file or self.table + ("" if is_shipped(self.table) else ".yaml")
        words = ["tellapart", "reproduce", named]
        if len(self.rows) < len(protocol.rows):
            words += ["--rows", ",".join(self.rows)]
        if len(self.columns) < len(protocol.columns):
            words += ["--columns", ",".join(self.columns)]
        first = next(iter(protocol.encoders))
        for role, encoder in self.encoders.items():
            if encoder != protocol.encoders[role]:
                words += ["--encoder", encoder if role == first else f"{role}={encoder}"]
        if len(self.seeds) != protocol.trials:
            words += ["--trials", str(len(self.seeds))]
        if self.seeds[0]:
            words += ["--seed", str(self.seeds[0])]
        for setting in self.settings:
            words += ["--set", setting]
        return shlex.join(words)

    def includes(self, row: str, column: str) -> bool:
        """Whether a cell is part of the request."""
        return row in self.rows and column in self.columns

    def recipe(self, row: str, column: str, seed: int) -> Recipe | Measurement:
        """Returns the settings of a cell: a `Recipe` for tables of classifiers, else a `Measurement`.

        Later settings override earlier ones: table, column, row, cell, user. In tables of classifiers the `method` of
        the recipe is the row's key, and settings of the table, the column and the user apply only to the methods that
        have them, as in `tellapart compare`.

        Args:
            row: Key of a row that can be run.
            column: Key of a column that has a source.
            seed: Random seed.

        Raises:
            RecipeError: A setting is unknown or not allowed.
        """
        protocol, its_row, its_column = self.protocol, self.protocol.rows[row], self.protocol.columns[column]
        source, encoder = its_column.source, self.encoders[its_column.encoder or self._role(row)]
        shared = _assignments(protocol.settings) + _assignments(its_column.settings)
        own = _assignments(its_row.settings) + _assignments(
            protocol.cell_settings.get(row, {}).get(column, {})
        )
        if protocol.measures != "classification":
            given = [
                *_assignments({"source": source, "encoder": encoder}),
                *shared,
                *own,
                *_other(self.settings),
            ]
            measurement = with_measurement_values(MEASUREMENTS[protocol.measures](), given)
            return measurement.model_copy(update={"seed": seed})
        base = {"data.source": source, "encoder.name": encoder}
        if its_row.second is not None:
            base["encoder.second"] = self.encoders[its_row.second]
        assert its_row.method is not None
        recipe = method_recipe(its_row.method, with_values(Recipe(), _assignments(base)))
        for setting in shared:
            recipe = _where_known(recipe, setting)
        recipe = with_values(recipe, own)
        for setting in _other(self.settings):
            recipe = _where_known(recipe, setting)
        return recipe.model_copy(update={"method": row, "seed": seed})

    def choices(self, row: str) -> list[list[str]]:
        """Returns the alternatives to select from on the validation rows, each as `path=value` changes."""
        own = self.protocol.rows[row].choices
        return [_assignments(one) for one in (self.protocol.choices if own is None else own)]

    def pretraining(self, row: str) -> PretrainRecipe | None:
        """Returns the pre-training run of a row's encoder; None if the row has none.

        A table of corrections saves the checkpoints that its columns evaluate. The generator, and the sizes and the
        learning rate of a new model, belong to the table's own encoder: with another encoder they are dropped, unless
        the user gives them.

        Raises:
            RecipeError: A key is unknown, or a value is not allowed.
        """
        protocol, its_row = self.protocol, self.protocol.rows[row]
        if its_row.pretraining is None:
            return None
        role = self._role(row)
        content: dict[str, Any] = (
            {"encoder": self.encoders[role]} | protocol.pretraining | its_row.pretraining
        )
        if self.encoders[role] != protocol.encoders[role]:
            from_scratch = {"learning_rate"} if protocol.encoders[role] == NEW else set()
            dropped = _OF_ITS_ENCODER | from_scratch
            content = {key: value for key, value in content.items() if key not in dropped}
        if protocol.measures == "corrections":
            shares = {column.settings.get("checkpoint", 1.0) for column in protocol.columns.values()}
            content |= {"keep_checkpoints": True, "save_at": sorted(shares)}
        own = [setting.removeprefix(_PREFIX) for setting in self.settings if setting.startswith(_PREFIX)]
        return with_pretraining_values(validated_pretraining(content), own)

    def _role(self, row: str) -> str:
        return self.protocol.rows[row].encoder or next(iter(self.encoders))


def table_request(
    table: str,
    protocol: Protocol,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    encoders: Mapping[str, str] | None = None,
    trials: int | None = None,
    seed: int = 0,
    settings: Sequence[str] = (),
    file: str | None = None,
) -> TableRequest:
    """Builds a request and checks it against the table.

    Args:
        table: Name of the protocol, from `load_protocol`.
        protocol: The protocol.
        rows: Keys of the methods; all by default.
        columns: Keys of the data sets; all by default.
        encoders: Role to encoder, replacing the protocol's.
        trials: Seeds per cell; by default the protocol's number.
        seed: The first seed.
        settings: `path=value` changes for the rows that have the path; `pretraining.<key>=value` for pre-training.
        file: The file of the protocol, if it is not shipped.

    Raises:
        RecipeError: A row, a column, a role or a setting is unknown, or none of the cells can be run.
    """
    for chosen, known, what in (
        (rows, protocol.rows, "row"),
        (columns, protocol.columns, "column"),
        (encoders or {}, protocol.encoders, "encoder"),
    ):
        for name in chosen:
            if name not in known:
                raise RecipeError(
                    f'{table} has no {what} "{name}"{did_you_mean(name, known)}',
                    "choose from " + ", ".join(known),
                )
    if trials is not None and trials < 1:
        raise RecipeError(f"{trials} trials are not enough", "use --trials 1 or more")
    check_settings(protocol, settings)
    request = TableRequest(
        table=table,
        protocol=protocol,
        rows=tuple(row for row in protocol.rows if not rows or row in rows),
        columns=tuple(column for column in protocol.columns if not columns or column in columns),
        encoders=protocol.encoders | dict(encoders or {}),
        seeds=tuple(range(seed, seed + (trials or protocol.trials))),
        settings=tuple(settings),
        file=file,
    )
    if all(protocol.why_not(row, column) for row in request.rows for column in request.columns):
        raise RecipeError(
            "none of these cells can be run: only the paper has them", "choose other rows or columns"
        )
    return request


def protocols() -> dict[str, Protocol]:
    """Returns the protocols of the package by name."""
    return {name: _read(_shipped(name)) for name in _names()}


def is_shipped(table: str) -> bool:
    """Whether the package contains a table of this name."""
    return table in _names()


def is_protocol_file(table: str | Path) -> bool:
    """Returns whether a table is given as a YAML file."""
    return str(table).endswith((".yaml", ".yml"))


def load_protocol(table: str | Path) -> tuple[str, Protocol]:
    """Finds a protocol by name, or reads it from a file.

    Args:
        table: A name from `protocols()`, or a YAML file.

    Returns:
        Its name (for a file the stem) and the protocol.

    Raises:
        RecipeError: There is no such table, or the file does not describe one.
    """
    if is_protocol_file(table):
        return Path(table).stem, _read(Path(table))
    if not is_shipped(str(table)):
        raise RecipeError(
            f'there is no table "{table}"{did_you_mean(str(table), _names())}',
            "choose one of: tellapart reproduce list, or give a YAML file",
        )
    return str(table), _read(_shipped(str(table)))


def check_settings(protocol: Protocol, settings: Iterable[str] = ()) -> None:
    """Checks that every shared setting is known to at least one row.

    Args:
        protocol: The table.
        settings: The user's `path=value` changes.

    Raises:
        RecipeError: No row has the path, or the value is not allowed.
    """
    if protocol.measures != "classification":
        with_measurement_values(MEASUREMENTS[protocol.measures](), _other(settings))
        return
    shared = [protocol.settings, *(column.settings for column in protocol.columns.values())]
    bases = [method_recipe(row.method) for row in protocol.rows.values() if row.method is not None]
    for setting in _other([*(one for each in shared for one in _assignments(each)), *settings]):
        errors = []
        for base in bases:
            try:
                with_values(base, [setting])
            except RecipeError as error:
                errors.append(error)
        if errors and len(errors) == len(bases):
            raise errors[-1]


def _folder() -> Traversable:
    return resources.files("tellapart.reproduction") / "papers"


def _names() -> list[str]:
    found = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def _shipped(name: str) -> Path:
    return Path(str(_folder() / f"{name}.yaml"))


def _content(file: Path) -> dict[str, Any]:
    """Reads a protocol's keys; with `extends` they are changes of another protocol's.

    Raises:
        RecipeError: The file cannot be read, or extends what is no protocol of the package.
    """
    content = read_mapping(file)
    base = content.pop("extends", None)
    if base is None:
        return content
    if not is_shipped(str(base)) or _shipped(str(base)) == file:
        raise RecipeError(
            f'{file.name} extends "{base}", which is no table{did_you_mean(str(base), _names())}',
            "choose one of: tellapart reproduce list",
        )
    return _merged(_content(_shipped(str(base))), content)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested mappings with changes: mappings are merged, other values replaced, and null removes a key."""
    merged = dict(base)
    for key, value in changes.items():
        own = merged.get(key)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = (
                _merged(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
            )
    return merged


def _read(file: Path) -> Protocol:
    try:
        protocol = Protocol.model_validate(_content(file))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise RecipeError(
            f"{file.name} describes no table: {f'{place}: ' if place else ''}{message[0].lower()}{message[1:]}",
            "see the reference of protocols",
        ) from None
    check_settings(protocol)
    rows, columns = tuple(protocol.rows), tuple(protocol.columns)
    whole = TableRequest(file.stem, protocol, rows, columns, protocol.encoders, seeds=(0,))
    for row in rows:
        for column in columns:
            if not protocol.why_not(row, column):
                whole.recipe(row, column, seed=0)
        whole.pretraining(row)
    return protocol


def _assignments(settings: Mapping[str, Any]) -> list[str]:
    return [assignment(path, value) for path, value in settings.items()]


def _other(settings: Iterable[str]) -> list[str]:
    """The settings that are not of pre-training."""
    return [setting for setting in settings if not setting.startswith(_PREFIX)]


def _where_known(recipe: Recipe, setting: str) -> Recipe:
    try:
        return with_values(recipe, [setting])
    except RecipeError:
        return recipe
