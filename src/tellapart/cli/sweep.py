"""`tellapart sweep`: a search over any of a recipe's values."""

from __future__ import annotations

from typing import Annotated

import typer

from tellapart.cli import options as o

_SWEEP = "Sweep"


def sweep(
    context: typer.Context,
    data: o.Data = None,
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="PATH=VALUES",
            help="What is searched: a list, stages.0.epochs=2,4,8; or a range: VALUES is 2..8, 2..8:2, "
            "0.1..0.9 or 1e-5..1e-3:log. May be repeated.",
            rich_help_panel=_SWEEP,
        ),
    ] = [],  # noqa: B006  typer copies it
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            help="Combinations of values to try; by default all of lists, else 20.",
            rich_help_panel=_SWEEP,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs of each trial, one a seed.", rich_help_panel=_SWEEP)
    ] = 1,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="METHOD",
            help="What the trials are held against; cross-entropy, of scores mean-squared-error, unless that is "
            "the method. none for none.",
            rich_help_panel=_SWEEP,
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune/--no-prune",
            help="Whether a trial stops early where it is below the median of the others.",
            rich_help_panel=_SWEEP,
        ),
    ] = True,
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
    """Search for the values of a recipe that validate best on your data.

    Every trial is scored on the validation rows; the test rows are not
    looked at. The table has the trials beside a baseline, and best.yaml
    is the recipe to train with.

    [bold]Examples[/]
    tellapart sweep tickets.csv --over stages.0.epochs=2,4,8 --seeds 3
    tellapart sweep tickets.csv --over stages.0.learning_rate=1e-5..1e-3:log
    """
    from tellapart.cli.tables import print_json, show_sweep
    from tellapart.runs.sweep import sweep as run

    chosen = o.recipe_from(context.params)
    folder = output or o.default_output(str(chosen.data.source), f"{chosen.method}-sweep")
    result = run(
        chosen,
        over,
        folder,
        trials=trials,
        seeds=seeds,
        baseline=baseline,
        prune=prune,
        resume=resume,
        overwrite=overwrite,
        quiet=quiet,
    )
    if json:
        print_json(result.to_dict())
    else:
        show_sweep(result, folder)
