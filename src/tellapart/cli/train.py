"""`tellapart train`: one run."""

from __future__ import annotations

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import print_notes


def train(
    context: typer.Context,
    data: o.Data = None,
    text: o.Text = None,
    text_pair: o.TextPair = None,
    label: o.Label = None,
    question_id: o.QuestionId = None,
    label_delimiter: o.LabelDelimiter = None,
    regression: o.Regression = None,
    ordered: o.Ordered = None,
    hierarchy: o.Hierarchy = None,
    few_shot: o.FewShot = None,
    encoder: o.Encoder = None,
    second_encoder: o.SecondEncoder = None,
    fusion: o.Fusion = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    windows: o.Windows = None,
    method: o.Method = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    thresholds: o.Thresholds = None,
    temperature: o.Temperature = None,
    seed: o.Seed = None,
    recipe: o.RecipeFile = None,
    settings: o.Settings = [],  # noqa: B006  typer copies it
    output: o.Output = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a classifier and write a plain Transformers checkpoint.

    Rows to validate and test on are split off where the data bring none.
    The folder gets the model, its metrics, the whole recipe and a report.

    [bold]Examples[/]
    tellapart train tickets.csv
    tellapart train tickets.csv --text body --label queue --output runs/queue
    tellapart train r8 --method label-distance --set stages.0.objective.tau=3
    tellapart train banking77 --few-shot 8 --epochs 20 --seed 1
    """
    from tellapart.cli.tables import print_json, show_run
    from tellapart.fitting.environment import is_main_process
    from tellapart.runs.train import train as run

    chosen = o.recipe_from(context.params)
    folder = output or o.default_output(str(chosen.data.source), chosen.method)
    result = run(chosen, folder, resume=resume, overwrite=overwrite, quiet=quiet)
    if not is_main_process():  # of several that torchrun started, one reports
        return
    if not quiet:
        print_notes(result.notes)
    if json:
        print_json({"folder": str(result.folder), **result.metrics})
    else:
        show_run(result)
