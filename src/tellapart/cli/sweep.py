"""`tellapart sweep`: hyperparameter search over the values of a recipe."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import NotesOnce
from tellapart.recipes import Recipe

_SWEEP = "Sweep"


@o.takes_settings(Recipe, o.RECIPE_PLACES, example=o.EXAMPLE)
def sweep(
    context: typer.Context,
    over: Annotated[
        list[str],
        o.option(
            "--over",
            "Values to search: a list, stages.0.epochs=2,4,8; or a range: VALUES is "
            "2..8, 2..8:2, 0.1..0.9 or 1e-5..1e-3:log. May be repeated.",
            _SWEEP,
            "PATH=VALUES",
        ),
    ] = [],  # noqa: B006  typer copies it
    trials: Annotated[
        int | None,
        o.option(
            "--trials", "Combinations of values to try. Default: all for lists, else 20.", _SWEEP, min=1
        ),
    ] = None,
    seeds: Annotated[int, o.option("--seeds", "Runs of each trial, one per seed.", _SWEEP, min=1)] = 1,
    baseline: Annotated[
        str | None,
        o.option(
            "--baseline",
            "Method to compare the trials with, or none. Default: cross-entropy (mean-squared-error "
            "for numeric labels), unless that is the method.",
            _SWEEP,
            "METHOD",
        ),
    ] = None,
    prune: Annotated[
        bool,
        o.option(
            "--prune/--no-prune",
            "Stop trials early that are below the median of the others; not with --jobs or --on.",
            _SWEEP,
        ),
    ] = True,
    jobs: o.Jobs = None,
    on: o.On = None,
    worker_cores: o.WorkerCores = None,
    worker_gpus: o.WorkerGpus = None,
    output: o.Output = None,
    track: o.Track = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    **_: Any,
) -> None:
    """Search for the values of a recipe that validate best on your data.

    Every trial is scored on the validation rows; the test rows are not
    used. The table compares the trials with a baseline, and best.yaml
    is the recipe to train with.

    Examples:
    tellapart sweep tickets.csv --over stages.0.epochs=2,4,8 --seeds 3
    tellapart sweep tickets.csv --over stages.0.learning_rate=1e-5..1e-3:log
    """
    chosen = o.recipe_from(context.params)  # first: a mistake in it is answered before torch is imported

    from tellapart.execution.places import Place

    place = Place(jobs, on, worker_cores, worker_gpus)
    from tellapart.cli.tables import print_json, show_sweep
    from tellapart.runs.sweep import sweep as run

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
        track=track,
        place=place,
        recipe_file=context.params["recipe"],
        pretrainer=o.pretrainer_of(chosen),
        announce=NotesOnce(quiet=quiet),
    )
    if json:
        print_json(result.to_dict())
    else:
        show_sweep(result, folder)
