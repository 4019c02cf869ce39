"""`tellapart compare`: comparison of methods over paired seeds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import NotesOnce
from tellapart.recipes import Recipe, split_methods


@o.takes_settings(Recipe, o.RECIPE_PLACES, without="method", example=o.EXAMPLE)
def compare(
    context: typer.Context,
    methods: Annotated[
        str,
        o.option(
            "--methods",
            "Comma-separated names, see `tellapart recipes`, or recipe files; the first is the baseline. "
            "NAME:PATH=VALUE is a method with another value.",
            "Comparison",
        ),
    ] = "cross-entropy,contrast",
    trials: Annotated[
        int, o.option("--trials", "Runs of each method, one per seed.", "Comparison", min=1)
    ] = 3,
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
    """Find out whether a method helps on your data, by how much, and for which classes.

    Every method is trained with the same seeds on the same rows. The verdict
    comes first, then a table with the difference from the first method and
    its 95 % interval, and the most confused classes before and after.

    Examples:
    tellapart compare tickets.csv
    tellapart compare tickets.csv --methods cross-entropy,supcon --trials 5
    tellapart compare banking77 --few-shot 8 --methods frozen,cross-entropy
    tellapart compare tickets.csv --methods cross-entropy,cross-entropy:stages.0.epochs=5
    """
    # Options of one objective are unknown to the others: each method takes those that it knows.
    settings = context.params["settings"]
    objective_settings = [setting for setting in settings if ".objective." in setting.partition("=")[0]]
    others = [setting for setting in settings if setting not in objective_settings]
    chosen = o.recipe_from(context.params | {"settings": others})  # before torch is imported

    from tellapart.execution.places import Place

    place = Place(jobs, on, worker_cores, worker_gpus)
    from tellapart.cli.tables import print_json, show_comparison
    from tellapart.runs.compare import compare as run

    folder = output or o.default_output(str(chosen.data.source), "comparison")
    comparison = run(
        chosen,
        split_methods(methods),
        folder,
        trials=trials,
        settings=objective_settings,
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
        print_json(comparison.to_dict())
    else:
        show_comparison(comparison, folder)
