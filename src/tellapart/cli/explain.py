"""`tellapart explain`: which words decide between two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tellapart.cli import options as o
from tellapart.cli.messages import echo, print_notes

_PANEL = "Explanation"


def explain(
    model: o.Model,
    texts: Annotated[
        str, o.argument("TEXT", "The text, or a file with texts: CSV, TSV, JSONL, JSON or Parquet.")
    ],
    second_text: Annotated[
        str | None, o.option("--second-text", "Second text, for a pair.", "Data", "TEXT")
    ] = None,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    max_rows: Annotated[
        int, o.option("--max-rows", "Rows of a file to explain, the first ones.", "Data", min=1)
    ] = 100,
    against: Annotated[
        str | None,
        o.option("--against", "Class to compare with. Default: the most probable other.", _PANEL, "CLASS"),
    ] = None,
    label: Annotated[
        str | None,
        o.option("--class", "Class to explain. Default: the predicted one.", _PANEL, "CLASS"),
    ] = None,
    attribution: Annotated[
        Literal["auto", "gradients", "occlusion", "coefficients"],
        o.option(
            "--attribution",
            "Integrated gradients; the change without a word; coefficients of tfidf. auto: by the model.",
            _PANEL,
        ),
    ] = "auto",
    other_model: Annotated[
        str | None,
        o.option("--other-model", "Second model with the same classes, to compare.", _PANEL, "MODEL"),
    ] = None,
    output: Annotated[
        Path | None,
        o.option("--output", "File .html, .json or .png, or a folder for all three.", "Output"),
    ] = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Show which words decide between two classes.

    The effects of the words add up to the difference of the logits of the
    predicted class and the most probable other class.

    Examples:
    tellapart explain runs/tickets "my card is gone"
    tellapart explain runs/tickets "my card is gone" --against stolen_card
    tellapart explain runs/tickets errors.csv --output words.html
    """
    from tellapart.cli.tables import print_json, show_word_effects
    from tellapart.inspection.word_files import explanation
    from tellapart.runs.explain import explain as run

    effects = run(
        model,
        texts if second_text is None else [(texts, second_text)],
        output,
        against=against,
        label=label,
        attribution=attribution,
        other_model=other_model,
        text=text,
        text_pair=text_pair,
        max_rows=max_rows,
        overwrite=overwrite,
        quiet=quiet,
        announce=print_notes,
    )
    if json:
        print_json(explanation(effects, model, other_model or ""))
        return
    show_word_effects(effects)
    if output is not None:
        echo(f"written to {output}")
