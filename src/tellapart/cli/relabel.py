"""`tellapart relabel`: data with corrected labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tellapart.cli import options as o
from tellapart.cli.messages import echo

if TYPE_CHECKING:
    from tellapart.recipes import DataRecipe

_COLUMNS = ("text", "text_pair", "label", "label_delimiter", "label_names", "multi_label")
_KEYS = tuple(f"data.{name}" for name in _COLUMNS)


def relabel(
    data: o.Data,
    suspects: Annotated[
        Path, o.argument("SUSPECTS", "suspects.csv of tellapart check --deep, possibly edited.")
    ],
    output: Annotated[
        Path, o.option("--output", "File to write; for data of several splits, a folder of Parquet files.")
    ],
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    label_delimiter: o.LabelDelimiter = None,
    label_names: o.LabelNames = None,
    settings: o.Settings = [],  # noqa: B006  typer copies it
    json: o.Json = False,
) -> None:
    """Write a copy of the data with corrected labels.

    Each row of SUSPECTS gets its suggested_label; an empty one keeps the
    label. Every change is logged in a JSON file; nothing is overwritten.

    Examples:
    tellapart relabel tickets.csv suspects.csv --output cleaned.parquet
    tellapart relabel banking77 runs/audit/suspects.csv --output cleaned
    """
    from tellapart.cli.tables import print_json
    from tellapart.data.relabel import relabel as run

    columns = _columns(
        settings,
        text=text,
        text_pair=text_pair,
        label=label,
        label_delimiter=label_delimiter,
        label_names=None if label_names is None else o.names(label_names),
    )
    done = run(data, suspects, output, **{name: getattr(columns, name) for name in _COLUMNS})
    if json:
        counts = {"changed": len(done.changes), "kept": done.kept}
        print_json({"output": str(done.output), "log": str(done.log), **counts})
        return
    echo(f"{len(done.changes)} labels changed, {done.kept} suspects kept theirs")
    echo(f"written to {done.output}; every change is in {done.log}")


def used_settings(settings: Sequence[str]) -> list[str]:
    """Returns those `path=value` settings that name columns of the data, which `relabel` takes."""
    return [setting for setting in settings if setting.partition("=")[0] in _KEYS]


def _columns(settings: Sequence[str], **given: Any) -> DataRecipe:
    """Returns the columns to read, from options and settings; settings win, as in `check`.

    Raises:
        RecipeError: There is no such key, it cannot have the value, or it does not name a column.
    """
    from tellapart.errors import RecipeError
    from tellapart.recipes import Recipe, with_values
    from tellapart.recipes.reading import assignment

    written = [assignment(f"data.{name}", value) for name, value in given.items() if value is not None]
    recipe = with_values(Recipe(), [*written, *settings])
    for setting in settings:
        path = setting.partition("=")[0]
        if path not in _KEYS:
            raise RecipeError(
                f"relabel does not use {path}: it reads rows and trains nothing",
                "leave it out; --set takes " + ", ".join(_KEYS),
            )
    return recipe.data
