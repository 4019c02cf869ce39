"""`tellapart suggest`: which texts of a pool to label next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import echo, print_notes

if TYPE_CHECKING:
    from tellapart.fitting.pool import Suggestions

_SHOWN_PAIRS = 5


def suggest(
    model: o.Model,
    pool: Annotated[str, o.argument("POOL", "Texts to choose from: CSV, TSV, JSONL, JSON or Parquet.")],
    output: Annotated[
        Path, o.option("--output", "File to write, which must not exist; its suffix selects the format.")
    ],
    number: Annotated[int, typer.Option("--number", "-n", help="Texts to choose.", metavar="N", min=1)] = 50,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    format: Annotated[
        Literal["table", "label-studio"],
        o.option("--format", "label-studio: JSON tasks with predictions, to import there.", "Output"),
    ] = "table",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Choose the texts to label next.

    They have the least margin between two classes, most of all between classes
    that the model confuses, and differ from each other. Texts that are labelled
    already are left out.

    Examples:
    tellapart suggest runs/tickets inbox.csv -n 50 --output batch.csv
    tellapart suggest runs/tickets inbox.csv --output tasks.json --format label-studio
    """
    from tellapart.cli.tables import print_json
    from tellapart.runs.suggest import suggest as run

    found = run(
        model,
        pool,
        output,
        number=number,
        format=format,
        text=text,
        text_pair=text_pair,
        label=label,
        quiet=quiet,
        announce=print_notes,
    )
    rows = len(found.table)
    if json:
        counts = {"rows": rows, "new_rows": found.new_rows, "left_out": found.left_out}
        print_json({"output": str(output), **counts, "pairs": found.pairs})
        return
    left_out = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
    echo(
        f"{rows} of {found.new_rows} new texts written to {output}"
        + (f"; left out: {left_out}" if left_out else "")
    )
    if rows < number:
        echo(f"the pool has no more than {rows} different new texts, {number} were asked for")
    for pair, count in list(found.pairs.items())[:_SHOWN_PAIRS]:
        echo(f"  {count:4}  {pair}")
    if len(found.pairs) > _SHOWN_PAIRS:
        echo(f"        and {len(found.pairs) - _SHOWN_PAIRS} more pairs")
    echo(f"next: {_next_step(found, output, format)}")


def _next_step(found: Suggestions, output: Path, format: str) -> str:
    if format == "label-studio":
        return (
            f"import {output} into a Label Studio project with the labelling configuration in "
            f"{output.with_suffix('.xml')}, and export the labels as CSV for tellapart train"
        )
    usual = ("text", "text_pair", "label")  # found by their names
    options = "".join(
        f" --{role.replace('_', '-')} {shlex.quote(str(name))}"
        for role in usual
        if (name := getattr(found.columns, role)) not in (None, role)
    )
    return (
        f'fill the column "{found.columns.label}", add the rows to {found.source or "the training data"}, and train '
        f"again; the filled file alone also works: tellapart train {shlex.quote(str(output))}{options}"
    )
