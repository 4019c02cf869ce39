"""`tellapart pretrain` and `tellapart pretrain-stats`: pre-training of an encoder on raw texts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tellapart.cli import options as o
from tellapart.cli.messages import NotesOnce, echo
from tellapart.errors import RecipeError
from tellapart.pretraining.recipe import PretrainRecipe, load_pretraining_recipe, with_pretraining_values

if TYPE_CHECKING:
    from tellapart.pretraining.run import PretrainResult

PRETRAIN_PLACES: o.Places = {
    panel: {name: name for name in names.split()}
    for panel, names in {
        "Data": "texts text sequences",
        "Model": "encoder generator max_length",
        "A new model": "family vocabulary_size hidden_size layers heads",
        "Training": "objective correction synonyms whole_words steps batch_size batch_tokens learning_rate compile "
        "seed",
        "Output": "save_every keep_checkpoints",
    }.items()
}


@o.takes_settings(PretrainRecipe, PRETRAIN_PLACES, example="mask_share=0.3")
def pretrain(
    context: typer.Context,
    output: o.Output = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    **_: Any,
) -> None:
    """Pre-train an encoder on raw texts.

    The objective is masked language modelling or replaced token detection.
    Corrections lower the loss of wrong words that are synonyms of the correct one.

    Examples:
    tellapart pretrain notes.txt --correction hard+soft
    tellapart pretrain tickets.csv --text body --steps 2000 --output runs/own
    tellapart pretrain corpus/ --encoder new --objective electra --layers 6
    """
    chosen = recipe_from(context.params)  # first: a mistake in it is answered before torch is imported

    from tellapart.cli.tables import report_run
    from tellapart.fitting.environment import is_main_process
    from tellapart.pretraining.run import pretrain as run

    folder = output or o.default_output(str(chosen.texts), f"pretrain-{chosen.objective}")
    announced = NotesOnce(quiet=quiet or not is_main_process())
    result = run(chosen, folder, resume=resume, overwrite=overwrite, quiet=quiet, announce=announced)
    report_run(result, _show, as_json=json, quiet=quiet, announced=announced.notes)


def pretrain_stats(
    checkpoints: Annotated[
        list[str], o.argument("CHECKPOINTS", "Run folders, or any models with a head over the vocabulary.")
    ],
    texts: Annotated[str, o.argument("TEXTS", "Texts, in any form that pretrain takes.")],
    text: o.Text = None,
    synonyms: Annotated[str, o.option("--synonyms", "wordnet, or a file of synonyms.", "Data")] = "wordnet",
    max_length: o.MaxLength = None,
    limit: Annotated[
        int | None, o.option("--limit", "Number of sequences to read, a random sample. Default: all.", "Data")
    ] = None,
    seed: o.Seed = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Count wrong predictions that are synonyms, per checkpoint.

    Words are masked at random and predicted by the model.

    Examples:
    tellapart pretrain-stats runs/own new_notes.txt
    tellapart pretrain-stats runs/own/checkpoints/* held_out.txt --limit 2000
    """
    from dataclasses import asdict

    from tellapart.cli.layout import show_table
    from tellapart.cli.tables import print_json
    from tellapart.pretraining.masked_statistics import pretrain_stats as run

    results = run(
        checkpoints,
        texts,
        text=text,
        synonyms=synonyms,
        max_length=max_length or 128,
        limit=limit,
        seed=seed or 0,
        quiet=quiet,
    )
    if json:
        counted = [{"checkpoint": one.checkpoint, **asdict(one.statistics)} for one in results]
        print_json([{key: one[key] for key in one if key != "corrected"} for one in counted])
        return
    rows = [["checkpoint", "sequences (%)", "predictions (%)", "correct (%)", "loss", "masked tokens"]]
    for one in results:
        counts = one.statistics
        shares = (counts.iteration_level or 0.0, counts.prediction_level or 0.0, counts.accuracy)
        percentages = [f"{100 * share:.2f}" for share in shares]
        rows.append([one.checkpoint, *percentages, f"{counts.loss:.3f}", f"{counts.masked:,}"])
    show_table(rows)
    echo("sequences and predictions: shares with a wrong word that is a synonym of the correct one.")


def recipe_from(parameters: Mapping[str, Any]) -> PretrainRecipe:
    """Builds the recipe of a run: the defaults, then the file, then flags, then `--set`.

    Args:
        parameters: The values of the verb's options by name, as `typer.Context.params` has them.

    Raises:
        RecipeError: The options do not describe a run.
    """
    recipe = load_pretraining_recipe(parameters["recipe"]) if parameters["recipe"] else PretrainRecipe()
    recipe = with_pretraining_values(recipe, o.assignments(parameters, PRETRAIN_PLACES))
    if recipe.texts is None:
        raise RecipeError("no texts are named", "give a file or a folder as the first argument")
    return recipe


def _show(result: PretrainResult) -> None:
    """Prints the masked language modelling metrics, the folder, and the next command."""
    from tellapart.cli.layout import show_table

    counts = result.metrics["statistics"]
    rows = [
        ["steps", f"{result.metrics['steps']:,}"],
        ["masked tokens predicted correctly (%)", f"{100 * counts['accuracy']:.2f}"],
        ["loss over masked tokens", f"{counts['loss']:.3f}"],
    ]
    if counts["prediction_level"] is not None:
        rows.append(["wrong predictions that are synonyms (%)", f"{100 * counts['prediction_level']:.2f}"])
        rows.append(["sequences with one (%)", f"{100 * counts['iteration_level']:.2f}"])
    show_table([["", "value"], *rows])
    echo(f"written to {result.folder}")
    echo(f"next: tellapart train DATA --encoder {shlex.quote(str(result.folder))}")
