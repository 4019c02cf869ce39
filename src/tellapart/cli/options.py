"""The options that verbs share, and the recipe that they add up to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tellapart.recipes import Recipe

_DATA, _MODEL, _TRAINING, _OUTPUT = "Data", "Model", "Training", "Output"


def _option(*names: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


def _flag(name: str, help: str, panel: str = _OUTPUT) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, show_default=False)


Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="A file (CSV, TSV, JSONL, JSON, Parquet), a folder with train, validation and test files, "
        "a name from [bold]tellapart data list[/], or a data set on the Hub.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder: what train or export wrote, or any Transformers classifier."
    ),
]

Text = Annotated[str | None, _option("--text", help="Column of the text; else found.", panel=_DATA)]
TextPair = Annotated[
    str | None, _option("--text-pair", help="Column of the second text, for pairs.", panel=_DATA)
]
Label = Annotated[str | None, _option("--label", help="Column of the label; else found.", panel=_DATA)]
QuestionId = Annotated[
    str | None, _option("--question-id", help="Column of the question, to rank its answers.", panel=_DATA)
]
LabelDelimiter = Annotated[
    str | None,
    _option("--label-delimiter", help="What separates several labels in a cell.", panel=_DATA),
]
Regression = Annotated[
    bool | None,
    typer.Option(
        "--regression",
        help="Labels are numbers to predict, no classes.",
        rich_help_panel=_DATA,
        show_default=False,
    ),
]
Ordered = Annotated[
    str | None,
    _option(
        "--ordered",
        metavar="NAMES",
        help="All classes from first to last, with commas between, where they have an order.",
        panel=_DATA,
    ),
]
Hierarchy = Annotated[
    str | None,
    _option(
        "--hierarchy",
        metavar="SEPARATOR",
        help="What separates levels in class names that are paths: . for comp.sys.mac.",
        panel=_DATA,
    ),
]
FewShot = Annotated[int | None, _option("--few-shot", help="Training rows a class.", panel=_DATA)]

Encoder = Annotated[
    str | None,
    _option("--encoder", help="minilm (default), textcnn, han, a folder, or a Hub name.", panel=_MODEL),
]
SecondEncoder = Annotated[
    str | None,
    _option("--second-encoder", help="Another one, fused with the first; none by default.", panel=_MODEL),
]
Fusion = Annotated[
    str | None,
    _option("--fusion", help="Of two encoders' vectors: concat (default), mean or sum.", panel=_MODEL),
]
Pooling = Annotated[
    str | None,
    _option("--pooling", help="mean (default where it can be had), cls or stock.", panel=_MODEL),
]
MaxLength = Annotated[
    int | None,
    _option(
        "--max-length",
        help="Longest input in tokens; 128 by default, 512 with windows, textcnn and han.",
        panel=_MODEL,
    ),
]
Windows = Annotated[
    str | None,
    _option(
        "--windows",
        help="Read long texts in windows, pooled by max, mean or learned attention; none by default.",
        panel=_MODEL,
    ),
]

Method = Annotated[
    str | None,
    _option(
        "--method",
        help="What is minimised, see [bold]tellapart recipes[/]; cross-entropy, or mean-squared-error.",
        panel=_TRAINING,
    ),
]
Epochs = Annotated[
    float | None, _option("--epochs", help="Passes over the training rows, at most.", panel=_TRAINING)
]
BatchSize = Annotated[
    int | None, _option("--batch-size", help="Rows a step; 32 by default.", panel=_TRAINING)
]
LearningRate = Annotated[
    float | None, _option("--learning-rate", help="Of the encoder; by its size.", panel=_TRAINING)
]
Thresholds = Annotated[
    str | None,
    _option(
        "--thresholds",
        help="Of several labels: the probability from which one is predicted, 0.5 by default; or "
        "[bold]tuned[/] on the validation rows.",
        panel=_TRAINING,
    ),
]
Temperature = Annotated[
    str | None,
    _option(
        "--temperature",
        help="Calibrates probabilities on the validation rows: fitted, folded into the model, or none (default).",
        panel=_TRAINING,
    ),
]
Seed = Annotated[int | None, _option("--seed", help="Of everything random; 0 by default.", panel=_TRAINING)]
RecipeFile = Annotated[
    Path | None,
    _option("--recipe", metavar="FILE", help="YAML with any of these settings; flags win.", panel=_TRAINING),
]
Settings = Annotated[
    list[str],
    _option(
        "--set",
        metavar="PATH=VALUE",
        help="Any other setting, such as stages.0.objective.tau=3; may be repeated, wins over flags.",
        panel=_TRAINING,
    ),
]


class Precisions(StrEnum):
    """What is multiplied when rows are scored."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


Precision = Annotated[
    Precisions,
    _option(
        "--precision", help="bf16 is faster and rounds; auto takes it where the device gains.", panel=_MODEL
    ),
]

Output = Annotated[
    Path | None, _option("--output", help="Folder to write; by default in runs/.", panel=_OUTPUT)
]
Resume = Annotated[bool, _flag("--resume", "Go on with a run that was interrupted.")]
Overwrite = Annotated[bool, _flag("--overwrite", "Replace what the folder holds.")]
Json = Annotated[bool, _flag("--json", "Print JSON, and nothing else, on standard output.")]
Quiet = Annotated[bool, _flag("--quiet", "No progress, only the result.")]

_PLACES = {
    "data": "data.source",
    "text": "data.text",
    "text_pair": "data.text_pair",
    "label": "data.label",
    "question_id": "data.question_id",
    "label_delimiter": "data.label_delimiter",
    "regression": "data.regression",
    "ordered": "data.order",
    "hierarchy": "data.hierarchy_separator",
    "few_shot": "data.few_shot",
    "encoder": "encoder.name",
    "second_encoder": "encoder.second",
    "fusion": "encoder.fusion",
    "pooling": "encoder.pooling",
    "max_length": "encoder.max_length",
    "windows": "encoder.windows",
    "epochs": "stages.0.epochs",
    "batch_size": "stages.0.batch_size",
    "learning_rate": "stages.0.learning_rate",
    "thresholds": "decision.thresholds",
    "temperature": "decision.temperature",
    "seed": "seed",
}
"""Where in a recipe the value of an option stands."""


def recipe_from(parameters: Mapping[str, Any]) -> Recipe:
    """Builds the recipe of a run: the method's defaults, then the file, then flags, then `--set`.

    Args:
        parameters: The values of a verb's options by name, as `typer.Context.params` has them.

    Raises:
        RecipeError: The options do not describe a run.
    """
    from tellapart.errors import RecipeError
    from tellapart.recipes import Recipe, load_recipe, method_recipe, with_values

    recipe = load_recipe(parameters["recipe"]) if parameters["recipe"] else Recipe()
    method = parameters.get("method")
    if method and not ("method" in recipe.model_fields_set and recipe.method == method):
        recipe = method_recipe(method, recipe)
    given = {name: parameters[name] for name in _PLACES if parameters.get(name) is not None}
    if "ordered" in given:
        given["ordered"] = class_names(given["ordered"])
    # JSON is YAML, and keeps a column that is called 1 or true a string.
    flags = [f"{_PLACES[name]}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]
    recipe = with_values(recipe, [*flags, *parameters["settings"]])
    if recipe.data.source is None:
        raise RecipeError("no data are named", "give a file, a folder or a name as the first argument")
    from tellapart.fitting.resolve import resolve_method  # it loads torch: after what is quick to refuse

    return resolve_method(recipe)


def class_names(written: str) -> list[str]:
    """Takes apart names of classes with commas between; of names with commas in them a recipe has a list."""
    return [name.strip() for name in written.split(",") if name.strip()]


def default_output(source: str, suffix: str) -> Path:
    """Returns `runs/<data name>-<suffix>`."""
    path = Path(source)
    name = (path.name or path.resolve().name).split(".")[0]
    return Path("runs") / f"{name or 'data'}-{suffix}"
