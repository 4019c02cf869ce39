"""`tellapart evaluate`: metrics of a model on labelled rows."""

from __future__ import annotations

from typing import Annotated, Literal

from tellapart.cli import options as o
from tellapart.cli.messages import print_notes


def evaluate(
    model: o.Model,
    file: Annotated[
        str,
        o.argument(
            "FILE", "Labelled rows, in any form that train takes; the test split if there are splits."
        ),
    ],
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    question_id: o.QuestionId = None,
    without_positive: Annotated[
        Literal["skip", "zero", "error"],
        o.option("--without-positive", "Score of questions without a correct answer.", "Data"),
    ] = "skip",
    label_delimiter: o.LabelDelimiter = None,
    label_names: o.LabelNames = None,
    ordered: o.Ordered = None,
    out_of_scope: o.OutOfScope = None,
    precision: o.Precision = "fp32",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure a model on labelled rows.

    Examples:
    tellapart evaluate runs/tickets new_tickets.csv
    tellapart evaluate runs/tickets new_tickets.csv --label queue --json
    tellapart evaluate runs/answers answers.csv --question-id qid
    tellapart evaluate runs/tickets new_tickets.csv --out-of-scope other.txt
    """
    from tellapart.cli.tables import print_json, show_metrics
    from tellapart.runs.evaluate import evaluate as run

    metrics = run(
        model,
        file,
        text=text,
        text_pair=text_pair,
        label=label,
        question_id=question_id,
        without_positive=without_positive,
        label_delimiter=label_delimiter,
        label_names=None if label_names is None else o.names(label_names),
        order=None if ordered is None else o.names(ordered),
        out_of_scope=out_of_scope,
        precision=precision,
        quiet=quiet,
        announce=print_notes,
    )
    if json:
        print_json(metrics)
    else:
        show_metrics({f"{metrics['rows']} rows": metrics})
