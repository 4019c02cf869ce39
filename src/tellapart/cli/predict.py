"""`tellapart predict`: predictions for the rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.imports import without_collections
from tellapart.cli.messages import print_notes


def predict(
    model: o.Model,
    file: Annotated[str, o.argument("FILE", "Rows with the text: CSV, TSV, JSONL, JSON or Parquet.")],
    output: Annotated[Path, o.option("--output", "File to write; its suffix selects the format.")],
    text: o.Text = None,
    text_pair: o.TextPair = None,
    prefix: Annotated[
        str, o.option("--prefix", "Put before the names of the added columns.", "Output", "TEXT")
    ] = "",
    margin: Annotated[
        bool, o.option("--margin", "Add second_label and margin, the lead of the first class.", "Output")
    ] = False,
    top_k: Annotated[
        int,
        o.option("--top-k", "Most probable labels to add, with their probabilities.", "Output", "N", min=0),
    ] = 0,
    precision: o.Precision = "auto",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Label the rows of a file.

    The texts are read from the column that the model was trained on. All
    columns are kept; predicted_label and probability are added, as lists for
    multi-label models. Regression models add predicted_score. Models that
    abstain add decision, and those with prediction sets prediction_set.

    Examples:
    tellapart predict runs/tickets new.csv --output labelled.csv
    tellapart predict runs/tickets new.jsonl --text body --output labelled.parquet
    tellapart predict runs/tickets new.csv --top-k 3 --margin --output labelled.csv
    """
    from tellapart.cli.tables import print_json

    with without_collections():
        from tellapart.runs.predict import predict as run

    rows = run(
        model,
        file,
        output,
        text=text,
        text_pair=text_pair,
        prefix=prefix,
        margin=margin,
        top_k=top_k,
        precision=precision,
        quiet=quiet,
        announce=print_notes,
    )
    if json:
        print_json({"output": str(output), "rows": rows})
    else:
        print(f"{rows} rows written to {output}")
