"""`tellapart relabel`: data with corrected labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.messages import echo


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
    from tellapart.recipes import Recipe, with_values

    done = run(
        data,
        suspects,
        output,
        text=text,
        text_pair=text_pair,
        label=label,
        label_delimiter=label_delimiter,
        label_names=None if label_names is None else o.names(label_names),
        multi_label=with_values(Recipe(), settings).data.multi_label,
    )
    if json:
        counts = {"changed": len(done.changes), "kept": done.kept}
        print_json({"output": str(done.output), "log": str(done.log), **counts})
        return
    echo(f"{len(done.changes)} labels changed, {done.kept} suspects kept theirs")
    echo(f"written to {done.output}; every change is in {done.log}")
