"""`tellapart pretrain` and `tellapart pretrain-stats`: an encoder learns from raw texts."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tellapart.cli import options as o

if TYPE_CHECKING:
    from tellapart.pretraining.recipe import PretrainRecipe

_DATA, _MODEL, _NEW, _TRAINING, _OUTPUT = "Data", "Model", "A new model", "Training", "Output"


def _option(*names: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


Texts = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXTS",
        help="A text file, a folder with .txt files, a table, a name from [bold]tellapart data list[/], or a "
        "data set on the Hub.",
        show_default=False,
    ),
]
Sequences = Annotated[
    str | None,
    _option("--sequences", help="lines (default): one a line; documents: cut from whole files.", panel=_DATA),
]
Encoder = Annotated[
    str | None,
    _option("--encoder", help="minilm (default), a folder, a Hub name, or new.", panel=_MODEL),
]
Generator = Annotated[
    str | None, _option("--generator", help="With electra: the encoder's generator.", panel=_MODEL)
]
Family = Annotated[
    str | None, _option("--family", help="bert or electra; follows the objective.", panel=_NEW)
]
VocabularySize = Annotated[
    int | None, _option("--vocabulary-size", help="Tokens to learn; 8000 by default.", panel=_NEW)
]
HiddenSize = Annotated[int | None, _option("--hidden-size", help="256 by default.", panel=_NEW)]
Layers = Annotated[int | None, _option("--layers", help="4 by default.", panel=_NEW)]
Heads = Annotated[int | None, _option("--heads", help="Attention heads a layer; 4 by default.", panel=_NEW)]
Objective = Annotated[
    str | None,
    _option("--objective", help="mlm (default), masked words; electra, replaced words.", panel=_TRAINING),
]
Correction = Annotated[
    str | None,
    _option(
        "--correction",
        help="Of reasonable predictions: none (default), hard, soft, soft-sentence, hard+soft.",
        panel=_TRAINING,
    ),
]
Synonyms = Annotated[
    str | None,
    _option("--synonyms", help="wordnet, or a file from [bold]tellapart synonyms build[/].", panel=_TRAINING),
]
WholeWords = Annotated[
    bool, _option("--whole-words", help="Mask all tokens of a word together.", panel=_TRAINING)
]
Steps = Annotated[
    int | None, _option("--steps", help="Of the optimiser; by default three passes.", panel=_TRAINING)
]
BatchSize = Annotated[
    int | None, _option("--batch-size", help="Sequences a step; 32 by default.", panel=_TRAINING)
]
BatchTokens = Annotated[
    int | None, _option("--batch-tokens", help="Tokens a step, in place of --batch-size.", panel=_TRAINING)
]
LearningRate = Annotated[
    float | None, _option("--learning-rate", help="5e-5, or 5e-4 for a new model.", panel=_TRAINING)
]
SaveEvery = Annotated[
    int | None, _option("--save-every", help="Steps between checkpoints; a tenth.", panel=_OUTPUT)
]
KeepCheckpoints = Annotated[
    bool, _option("--keep-checkpoints", help="Keep all checkpoints at the end.", panel=_OUTPUT)
]
Compile = Annotated[bool, _option("--compile", help="Use torch.compile.", panel=_TRAINING)]
RecipeFile = Annotated[
    Path | None,
    _option("--recipe", metavar="FILE", help="YAML with any of these; flags win.", panel=_TRAINING),
]
Settings = Annotated[
    list[str],
    _option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting, such as mask_share=0.3; may be repeated, wins over flags.",
        panel=_TRAINING,
    ),
]

_OTHERS = ("context", "recipe", "settings", "output", "resume", "overwrite", "json", "quiet")
"""Options that are no keys of a recipe; all others are, under the same name."""


def pretrain(
    context: typer.Context,
    texts: Texts = None,
    text: o.Text = None,
    sequences: Sequences = None,
    encoder: Encoder = None,
    generator: Generator = None,
    max_length: o.MaxLength = None,
    family: Family = None,
    vocabulary_size: VocabularySize = None,
    hidden_size: HiddenSize = None,
    layers: Layers = None,
    heads: Heads = None,
    objective: Objective = None,
    correction: Correction = None,
    synonyms: Synonyms = None,
    whole_words: WholeWords = False,
    steps: Steps = None,
    batch_size: BatchSize = None,
    batch_tokens: BatchTokens = None,
    learning_rate: LearningRate = None,
    compile: Compile = False,
    seed: o.Seed = None,
    recipe: RecipeFile = None,
    settings: Settings = [],  # noqa: B006  typer copies it
    output: o.Output = None,
    save_every: SaveEvery = None,
    keep_checkpoints: KeepCheckpoints = False,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train an encoder on raw texts, before it learns to classify.

    It fills in masked words. Correction keeps it from being punished for
    words that fit as well as the right one.

    [bold]Examples[/]
    tellapart pretrain notes.txt --correction hard+soft
    tellapart pretrain tickets.csv --text body --steps 2000 --output runs/own
    tellapart pretrain corpus/ --encoder new --objective electra --layers 6
    """
    from tellapart.cli.messages import print_notes
    from tellapart.cli.tables import print_json
    from tellapart.fitting.environment import is_main_process
    from tellapart.pretraining.run import pretrain as run

    chosen = recipe_from(context.params)
    folder = output or o.default_output(str(chosen.texts), f"pretrain-{chosen.objective}")
    result = run(chosen, folder, resume=resume, overwrite=overwrite, quiet=quiet)
    if not is_main_process():  # of several that torchrun started, one reports
        return
    if not quiet:
        print_notes(result.notes)
    if json:
        print_json({"folder": str(result.folder), **result.metrics})
    else:
        _show(result.folder, result.metrics)


def pretrain_stats(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINTS", help="Run folders, or any models with a head over the vocabulary."
        ),
    ],
    texts: Annotated[str, typer.Argument(metavar="TEXTS", help="What pretrain takes.")],
    text: o.Text = None,
    synonyms: Annotated[
        str, _option("--synonyms", help="wordnet (default), or a file of synonyms.", panel=_DATA)
    ] = "wordnet",
    max_length: o.MaxLength = None,
    limit: Annotated[
        int | None, _option("--limit", help="Sequences to read, a sample; all by default.", panel=_DATA)
    ] = None,
    seed: o.Seed = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Count wrong predictions that are synonyms, checkpoint by checkpoint.

    Words are masked at random, and filled in by the best guess.

    [bold]Examples[/]
    tellapart pretrain-stats runs/own new_notes.txt
    tellapart pretrain-stats runs/own/checkpoints/* held_out.txt --limit 2000
    """
    from dataclasses import asdict

    from tellapart.cli.tables import print_json, show_table
    from tellapart.pretraining.checkpoint_statistics import pretrain_stats as run

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
        print_json([{"checkpoint": one.checkpoint, **_counts(asdict(one.statistics))} for one in results])
        return
    rows = [["checkpoint", "sequences (%)", "predictions (%)", "right (%)", "loss", "masked tokens"]]
    for one in results:
        counts = one.statistics
        shares = (counts.iteration_level or 0.0, counts.prediction_level or 0.0, counts.accuracy)
        rows.append(
            [
                one.checkpoint,
                *(f"{100 * share:.2f}" for share in shares),
                f"{counts.loss:.3f}",
                f"{counts.masked:,}",
            ]
        )
    show_table(rows)
    print("sequences and predictions: shares with a wrong word that is a synonym of the right one.")


def recipe_from(parameters: Mapping[str, Any]) -> PretrainRecipe:
    """Builds the recipe of a run: the defaults, then the file, then flags, then `--set`.

    Args:
        parameters: The values of the verb's options by name, as `typer.Context.params` has them.

    Raises:
        RecipeError: The options do not describe a run.
    """
    from tellapart.errors import RecipeError
    from tellapart.pretraining.recipe import (
        PretrainRecipe,
        load_pretraining_recipe,
        with_pretraining_values,
    )

    recipe = load_pretraining_recipe(parameters["recipe"]) if parameters["recipe"] else PretrainRecipe()
    flags = [
        # JSON is YAML, and keeps a column that is called 1 or true a string.
        f"{key}={json_module.dumps(value, ensure_ascii=False)}"
        for key, value in parameters.items()
        if key not in _OTHERS and value is not None and value is not False
    ]
    recipe = with_pretraining_values(recipe, [*flags, *parameters["settings"]])
    if recipe.texts is None:
        raise RecipeError("no texts are named", "give a file or a folder as the first argument")
    return recipe


def _counts(statistics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statistics.items() if key != "corrected"}


def _show(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Prints how well the model fills masks, where its files lie, and what to do next."""
    from tellapart.cli.tables import show_table

    counts = metrics["statistics"]
    rows = [
        ["steps", f"{metrics['steps']:,}"],
        ["masked tokens predicted right (%)", f"{100 * counts['accuracy']:.2f}"],
        ["loss over masked tokens", f"{counts['loss']:.3f}"],
    ]
    if counts["prediction_level"] is not None:
        rows.append(["wrong predictions that are synonyms (%)", f"{100 * counts['prediction_level']:.2f}"])
        rows.append(["sequences with one (%)", f"{100 * counts['iteration_level']:.2f}"])
    show_table([["", "value"], *rows])
    print(f"written to {folder}")
    print(f"next: tellapart train DATA --encoder {folder}")
