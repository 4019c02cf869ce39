"""`tellapart predict`: predictions for the rows of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tellapart.cli import options as o
from tellapart.cli.imports import without_collections
from tellapart.cli.messages import echo, print_notes


def predict(
    model: o.Model,
    file: Annotated[
        str,
        o.argument(
            "FILE", "Rows with the text: CSV, TSV, JSONL, JSON or Parquet; a folder, or a quoted pattern."
        ),
    ],
    output: Annotated[
        Path,
        o.option("--output", "File to write; its suffix selects the format. For several files a folder."),
    ],
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
    rows_per_part: Annotated[
        int | None,
        o.option("--rows-per-part", "Most rows of a part. Default: 131072.", "Output", "N", min=1),
    ] = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    jobs: o.Jobs = None,
    on: o.On = None,
    worker_cores: o.WorkerCores = None,
    worker_gpus: o.WorkerGpus = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Label the rows of a file, or of many files.

    The texts are read from the column that the model was trained on. All
    columns are kept; predicted_label and probability are added, as lists for
    multi-label models. Regression models add predicted_score. Models that
    abstain add decision, and those with prediction sets prediction_set.

    The rows of a folder, or of the files that a pattern such as
    'new/*.parquet' matches, are written as a folder of Parquet files, the
    parts, with an index. --resume goes on with an interrupted run, --jobs
    and --on score several parts at the same time.

    Examples:
    tellapart predict runs/tickets new.csv --output labelled.csv
    tellapart predict runs/tickets new.jsonl --text body --output labelled.parquet
    tellapart predict runs/tickets new.csv --top-k 3 --margin --output labelled.csv
    tellapart predict runs/tickets new/ --output labelled --resume
    """
    from tellapart.cli.tables import print_json
    from tellapart.execution.places import Place

    place = Place(jobs, on, worker_cores, worker_gpus)
    with without_collections():
        from tellapart.runs.predict import predict as run
        from tellapart.scoring.index import written_parts

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
        rows_per_part=rows_per_part,
        resume=resume,
        overwrite=overwrite,
        quiet=quiet,
        announce=print_notes,
        place=place,
    )
    summary = {"output": str(output), "rows": rows} | written_parts(output)
    if json:
        print_json(summary)
    elif "parts" in summary:
        echo(f"{rows} rows of {summary['files']} file(s) written to {output} in {summary['parts']} part(s)")
    else:
        echo(f"{rows} rows written to {output}")
