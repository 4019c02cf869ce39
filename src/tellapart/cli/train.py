"""`tellapart train`: trains one classifier."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import NotesOnce
from tellapart.recipes import Recipe


@o.takes_settings(Recipe, o.RECIPE_PLACES, example=o.EXAMPLE)
def train(
    context: typer.Context,
    output: o.Output = None,
    trials: Annotated[
        int, o.option("--trials", "Models to train and merge, one per seed.", "Training", min=1)
    ] = 1,
    merge: Annotated[
        Literal["soup", "distil"] | None,
        o.option(
            "--merge",
            "`soup`, the mean of their weights; `distil`, one more model that learns the mean of their "
            "probabilities. They share rows and initial weights.",
            "Training",
        ),
    ] = None,
    explain_errors: Annotated[
        float,
        o.option(
            "--explain-errors",
            "Time for computing which words decide the wrong texts of the report; 0: none.",
            "Output",
            "SECONDS",
            min=0,
        ),
    ] = 3.0,
    track: o.Track = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    **_: Any,
) -> None:
    """Train a classifier and write a plain Transformers checkpoint.

    Validation and test rows are split off if the data have no such splits.
    The folder gets the model, its metrics, the whole recipe and a report.

    Examples:
    tellapart train tickets.csv
    tellapart train tickets.csv --text body --label queue --output runs/queue
    tellapart train r8 --method label-distance --set stages.0.objective.tau=3
    tellapart train banking77 --few-shot 8 --epochs 20 --seed 1
    tellapart train banking77 --few-shot 8 --trials 3 --merge soup
    """
    chosen = o.recipe_from(context.params)  # first: a mistake in it is answered before torch is imported

    from tellapart.cli.tables import report_run, show_run
    from tellapart.fitting.environment import is_main_process
    from tellapart.runs.train import train as run

    folder = output or o.default_output(str(chosen.data.source), chosen.method)
    announced = NotesOnce(quiet=quiet or not is_main_process())
    result = run(
        chosen,
        folder,
        trials=trials,
        merge=merge,
        resume=resume,
        overwrite=overwrite,
        quiet=quiet,
        announce=announced,
        explain_errors=explain_errors,
        track=track,
        recipe_file=context.params["recipe"],
        pretrainer=o.pretrainer_of(chosen),
    )
    report_run(result, show_run, as_json=json, quiet=quiet, announced=announced.notes)
