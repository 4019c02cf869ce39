"""Protocols: a table of a paper as data, from which each of its cells is a run that can be made again.

Those of the papers are in the package; anyone can write one of their own as YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tellapart.errors import RecipeError, did_you_mean
from tellapart.pretraining.recipe import PretrainRecipe, validated_pretraining, with_pretraining_values
from tellapart.recipes.methods import method_recipe
from tellapart.recipes.reading import assignment, read_mapping, with_values
from tellapart.recipes.schema import Recipe
from tellapart.reproduction.measurements import MEASUREMENTS, Measurement, with_measurement_values
from tellapart.reproduction.protocol_schema import (
    PRETRAINING,
    RESERVED,
    Protocol,
    ProtocolColumn,
    ProtocolRow,
    Settings,
)

__all__ = [
    "PRETRAINING",
    "RESERVED",
    "Protocol",
    "ProtocolColumn",
    "ProtocolRow",
    "Settings",
    "cell_choices",
    "cell_measurement",
    "cell_pretraining",
    "cell_recipe",
    "check_settings",
    "is_shipped",
    "load_protocol",
    "protocols",
]


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
    """Returns the recipe of a cell of a table of classifiers; its `method` is the row's key.

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
    base = [assignment("data.source", its_column.source), assignment("encoder.name", roles[role])]
    if its_row.second is not None:
        base.append(assignment("encoder.second", roles[its_row.second]))
    assert its_row.method is not None
    recipe = method_recipe(its_row.method, with_values(Recipe(), base))
    for path, value in [*protocol.settings.items(), *its_column.settings.items()]:
        recipe = _where_known(recipe, assignment(path, value))
    own = [*its_row.settings.items(), *protocol.cell_settings.get(row, {}).get(column, {}).items()]
    recipe = with_values(recipe, [assignment(path, value) for path, value in own])
    for setting in settings:
        if not setting.startswith(PRETRAINING + "."):
            recipe = _where_known(recipe, setting)
    return recipe.model_copy(update={"method": row, "seed": seed})


def cell_measurement(
    protocol: Protocol,
    row: str,
    column: str,
    *,
    encoders: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Measurement:
    """Returns what a cell of a table measures that is not one of classifiers.

    Every row knows the same settings: those of the table come first, then the column's, the row's, the cell's, and at
    last the user's.

    Args:
        protocol: The table.
        row: A key of its rows that can be run.
        column: A key of its columns that has a source.
        encoders: Role to encoder, in place of the protocol's.
        settings: The user's `key=value` changes.
        seed: Of everything random.

    Raises:
        RecipeError: A setting is unknown or not allowed.
    """
    its_row, its_column = protocol.rows[row], protocol.columns[column]
    roles = protocol.encoders | dict(encoders or {})
    role = its_column.encoder or its_row.encoder or next(iter(roles))
    given = {"source": its_column.source, "encoder": roles[role]}
    for more in (protocol.settings, its_column.settings, its_row.settings):
        given |= more
    given |= protocol.cell_settings.get(row, {}).get(column, {})
    own = [setting for setting in settings if not setting.startswith(PRETRAINING + ".")]
    assignments = [*(assignment(key, value) for key, value in given.items()), *own]
    measurement = with_measurement_values(MEASUREMENTS[protocol.measures](), assignments)
    return measurement.model_copy(update={"seed": seed})


def cell_choices(protocol: Protocol, row: str) -> list[list[str]]:
    """Returns the alternatives among which the validation rows choose, each as `path=value` changes."""
    own = protocol.rows[row].choices
    given = protocol.choices if own is None else own
    return [[assignment(path, value) for path, value in one.items()] for one in given]


def cell_pretraining(
    protocol: Protocol,
    row: str,
    *,
    encoders: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> PretrainRecipe | None:
    """Returns the pre-training run that a row's encoder comes from; None where it has none.

    A table of corrections keeps the checkpoints that its columns speak of. A generator goes with the encoder that the
    table names: with another one it is left out, unless the user names it.

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
    role = its_row.encoder or next(iter(protocol.encoders))
    encoder = (protocol.encoders | dict(encoders or {}))[role]
    content: dict[str, Any] = {"encoder": encoder} | protocol.pretraining | its_row.pretraining
    if encoder != protocol.encoders[role]:
        content.pop("generator", None)
    if protocol.measures == "corrections":
        shares = {column.settings.get("checkpoint", 1.0) for column in protocol.columns.values()}
        content |= {"keep_checkpoints": True, "save_at": sorted(shares)}
    recipe = validated_pretraining(content)
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
    if protocol.measures != "classification":
        own = [setting for setting in settings if not setting.startswith(PRETRAINING + ".")]
        with_measurement_values(MEASUREMENTS[protocol.measures](), own)
        return
    shared = [protocol.settings, *(column.settings for column in protocol.columns.values())]
    given = [assignment(path, value) for each in shared for path, value in each.items()]
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
    return resources.files("tellapart.reproduction") / "papers"


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
        for column in protocol.columns:
            if protocol.why_not(row, column):
                continue
            if protocol.measures == "classification":
                cell_recipe(protocol, row, column)
            else:
                cell_measurement(protocol, row, column)
        cell_pretraining(protocol, row)
    return protocol


def _where_known(recipe: Recipe, setting: str) -> Recipe:
    try:
        return with_values(recipe, [setting])
    except RecipeError:
        return recipe
