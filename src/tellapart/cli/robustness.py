"""`tellapart robustness`: a model on perturbed texts that should keep their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from tellapart.cli import options as o
from tellapart.cli.messages import echo, print_notes

_PANEL = "Attack"


def robustness(
    model: o.Model,
    file: Annotated[
        str, o.argument("DATA", "Labelled rows, in any form that train takes; questions for models of spans.")
    ],
    attack: Annotated[
        Literal["swap-synonyms", "add-sentence"], o.option("--attack", "Perturbation of the texts.", _PANEL)
    ] = "swap-synonyms",
    share: Annotated[
        float, o.option("--share", "Maximum share of the words of a text to swap.", _PANEL)
    ] = 0.1,
    protect: Annotated[
        list[str], o.option("--protect", "Word that is never swapped; may be repeated.", _PANEL, "WORD")
    ] = [],  # noqa: B006  typer copies it
    wordnet: Annotated[
        Path | None,
        o.option("--wordnet", "Folder of WordNet's files. Default: the usual places.", _PANEL, "FOLDER"),
    ] = None,
    seed: o.Seed = None,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    label_delimiter: o.LabelDelimiter = None,
    label_names: o.LabelNames = None,
    output: o.Output = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure a model on texts whose words are swapped for synonyms.

    The table compares the predictions on the changed texts with those on the
    original texts, for the changed rows and for all rows; the page in the
    folder shows the predictions that changed.

    Examples:
    tellapart robustness runs/tickets new_tickets.csv
    tellapart robustness runs/tickets new_tickets.csv --share 0.2 --protect visa
    tellapart robustness runs/spans dev.json
    tellapart robustness runs/spans dev.json --attack add-sentence
    """
    from tellapart.cli.layout import show_table
    from tellapart.cli.tables import print_json
    from tellapart.evaluation.robustness import robustness_rows, robustness_sentence
    from tellapart.question_answering.robustness import qa_robustness
    from tellapart.question_answering.runs import is_qa_model
    from tellapart.runs.robustness import robustness as run

    folder = output or o.default_output(file, "robustness")
    shared: dict[str, Any] = {
        "share": share,
        "seed": seed or 0,
        "protect": protect,
        "wordnet": wordnet,
        "overwrite": overwrite,
        "quiet": quiet,
    }
    if attack == "add-sentence" or is_qa_model(model):
        result = qa_robustness(model, file, folder, attack=attack, **shared)
    else:
        result = run(
            model,
            file,
            folder,
            text=text,
            text_pair=text_pair,
            label=label,
            label_delimiter=label_delimiter,
            label_names=None if label_names is None else o.names(label_names),
            announce=print_notes,
            **shared,
        )
    if json:
        print_json(result.to_dict())
        return
    show_table(robustness_rows(result))
    echo(robustness_sentence(result))
    echo(f"written to {folder}: robustness.html, robustness.json")
