"""Options that verbs share, generated from the schemas of recipes."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from pydantic import BaseModel

from tellapart.errors import RecipeError
from tellapart.files import path_component
from tellapart.objectives.options import MAX_SEED
from tellapart.recipes import Recipe, load_recipe, method_recipe, with_values
from tellapart.recipes.reading import assignment

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tellapart.fitting.self_training import Pretrainer

_DATA, _MODEL, _TRAINING, _OUTPUT = "Data", "Model", "Training", "Output"
_WHERE = "Where it runs"

Places = Mapping[str, Mapping[str, str]]
"""Help panel to parameters of a verb, each with the path of its key in the recipe."""

RECIPE_PLACES: Places = {
    _DATA: {
        "data": "data.source",
        "text": "data.text",
        "text_pair": "data.text_pair",
        "label": "data.label",
        "question_id": "data.question_id",
        "label_delimiter": "data.label_delimiter",
        "label_names": "data.label_names",
        "regression": "data.regression",
        "ordered": "data.order",
        "hierarchy": "data.hierarchy_separator",
        "few_shot": "data.few_shot",
        "unlabelled": "data.unlabelled",
        "label_texts": "data.label_texts",
        "validation_in_training": "data.validation_in_training",
        "out_of_scope": "data.out_of_scope",
    },
    _MODEL: {
        "encoder": "encoder.name",
        "second_encoder": "encoder.second",
        "fusion": "encoder.fusion",
        "pooling": "encoder.pooling",
        "max_length": "encoder.max_length",
        "windows": "encoder.windows",
    },
    _TRAINING: {
        "method": "method",
        "epochs": "stages.0.epochs",
        "batch_size": "stages.0.batch_size",
        "learning_rate": "stages.0.learning_rate",
        "thresholds": "decision.thresholds",
        "temperature": "decision.temperature",
        "abstain_precision": "decision.abstain.precision",
        "abstain_coverage": "decision.abstain.coverage",
        "conformal": "decision.conformal",
        "seed": "seed",
    },
}
EXAMPLE = "stages.0.objective.tau=3"
_METAVARS = {
    "data": "DATA",
    "texts": "TEXTS",
    "ordered": "NAMES",
    "label_names": "NAMES",
    "hierarchy": "SEPARATOR",
    "unlabelled": "FILE",
    "label_texts": "SOURCE",
    "out_of_scope": "LABEL",
}


def field_at(model: type[BaseModel], path: str) -> FieldInfo:
    """Returns the key of a recipe at a path such as `stages.0.epochs`."""
    for key in path.split("."):
        if not key.isdigit():
            field = model.model_fields[key]
            model = next(
                (kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)), model
            )
    return field


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def help_text(field: FieldInfo) -> str:
    """Returns the description of a key with its default."""
    text = field.description or ""
    if field.default is None or isinstance(field.default, bool):
        return text
    return f"{text} Default: {field.default}."


def option(name: str, help: str, panel: str | None = None, metavar: str | None = None, **rest: Any) -> Any:
    """Declares an option of a verb; `rest` is passed on to `typer.Option`."""
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar, **rest)


def argument(metavar: str, help: str) -> Any:
    """Declares an argument of a verb."""
    return typer.Argument(metavar=metavar, help=help)


def _option(name: str, field: FieldInfo, panel: str, **rest: Any) -> Any:
    if name in ("data", "texts"):
        return argument(_METAVARS[name], help_text(field))
    return option("--" + name.replace("_", "-"), help_text(field), panel, _METAVARS.get(name), **rest)


def _recipe_option(name: str, **rest: Any) -> Any:
    panel = next(panel for panel, places in RECIPE_PLACES.items() if name in places)
    return _option(name, field_at(Recipe, RECIPE_PLACES[panel][name]), panel, **rest)


def _type(field: FieldInfo) -> type:
    """The type of an option: that of a number or a flag; else text, which the recipe checks."""
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
    if bool in kinds:  # a key that may also be `auto`: an option sets it on or off
        return bool
    return kinds[0] if kinds[0] in (bool, int, float) and len(kinds) == 1 else str


Data = Annotated[str | None, _recipe_option("data")]
Text = Annotated[str | None, _recipe_option("text")]
TextPair = Annotated[str | None, _recipe_option("text_pair")]
Label = Annotated[str | None, _recipe_option("label")]
QuestionId = Annotated[str | None, _recipe_option("question_id")]
LabelDelimiter = Annotated[str | None, _recipe_option("label_delimiter")]
LabelNames = Annotated[str | None, _recipe_option("label_names")]
Regression = Annotated[bool | None, _recipe_option("regression")]
Ordered = Annotated[str | None, _recipe_option("ordered")]
OutOfScope = Annotated[str | None, _recipe_option("out_of_scope")]
Encoder = Annotated[str | None, _recipe_option("encoder")]
MaxLength = Annotated[int | None, _recipe_option("max_length")]
LearningRate = Annotated[float | None, _recipe_option("learning_rate")]
Seed = Annotated[int | None, _recipe_option("seed", min=0, max=MAX_SEED)]


def _settings(example: str) -> Any:
    words = f"Any other key of the recipe, such as {example}; may be repeated, overrides flags."
    return option("--set", words, _TRAINING, "PATH=VALUE")


Settings = Annotated[list[str], _settings(EXAMPLE)]
Model = Annotated[
    str, argument("MODEL", "Folder that train or export wrote, or any Transformers classifier.")
]

Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    option("--precision", "bf16 is faster and less exact; auto takes it where the device gains.", _MODEL),
]
Output = Annotated[Path | None, option("--output", "Folder to write. Default: in runs/.", _OUTPUT)]
Resume = Annotated[bool, option("--resume", "Resume a run that was interrupted.", _OUTPUT)]
Track = Annotated[
    Literal["tensorboard", "trackio", "mlflow", "wandb"] | None,
    option("--track", "Log losses, metrics and figures to an experiment tracker.", _OUTPUT),
]
Jobs = Annotated[
    int | None,
    option(
        "--jobs",
        "Runs, or parts, at the same time, which share out the CPU's cores. Default: 1, or one per GPU.",
        _WHERE,
    ),
]
On = Annotated[
    str | None,
    option("--on", "Run on Ray: ray for this machine, or a cluster's ray://HOST:PORT.", _WHERE, "ADDRESS"),
]
WorkerCores = Annotated[
    int | None, option("--worker-cores", "With --on: CPU cores of a run or part. Default: 1.", _WHERE)
]
WorkerGpus = Annotated[
    float | None,
    option("--worker-gpus", "With --on: GPUs of a run or part, or a share of one. Default: 0.", _WHERE),
]
Overwrite = Annotated[bool, option("--overwrite", "Replace an earlier output.", _OUTPUT)]
Json = Annotated[bool, option("--json", "Print only JSON on standard output.", _OUTPUT)]
Quiet = Annotated[bool, option("--quiet", "Show no progress, only the result.", _OUTPUT)]


def takes_settings(
    model: type[BaseModel], places: Places, *, without: str = "", example: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of a recipe, `--recipe` and `--set` to a verb, before its `--output`.

    The verb finds their values in `context.params`, and takes them as `**_`.

    Args:
        model: The schema of the recipe.
        places: The options and their keys.
        without: A parameter to leave out.
        example: An assignment, for the help of `--set`.
    """
    file_help = "YAML file with any of these settings; options of the command line override it."
    added = [
        _parameter(name, Annotated[_type(field) | None, _option(name, field, panel)])
        for panel, options in places.items()
        for name, path in options.items()
        if name != without
        for field in [field_at(model, path)]
    ]
    added += [
        _parameter("recipe", Annotated[Path | None, option("--recipe", file_help, _TRAINING, "FILE")]),
        _parameter("settings", Annotated[list[str], _settings(example)], ()),
    ]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = [
            one
            for one in inspect.signature(verb, eval_str=True).parameters.values()
            if one.kind != one.VAR_KEYWORD
        ]
        before = [one.name for one in own].index("output")
        parameters = [*own[:before], *added, *own[before:]]
        verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        verb.__annotations__ = {one.name: one.annotation for one in parameters}
        return verb

    return decorate


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def assignments(parameters: Mapping[str, Any], places: Places) -> list[str]:
    """Returns the options that were given as assignments to the keys of the recipe, then those of `--set`.

    Args:
        parameters: The values of a verb's options by name, as `typer.Context.params` has them.
        places: The options and their keys.
    """
    values = {
        path: parameters[name]
        for options in places.values()
        for name, path in options.items()
        if parameters.get(name) is not None
    }
    return [*(assignment(path, value) for path, value in values.items()), *parameters["settings"]]


def recipe_from(parameters: Mapping[str, Any]) -> Recipe:
    """Builds the recipe of a run: the method's defaults, then the file, then flags, then `--set`.

    Args:
        parameters: The values of a verb's options by name, as `typer.Context.params` has them.

    Raises:
        RecipeError: The options do not describe a run.
    """
    recipe = load_recipe(parameters["recipe"]) if parameters["recipe"] else Recipe()
    method = parameters.get("method")
    if method and not ("method" in recipe.model_fields_set and recipe.method == method):
        recipe = method_recipe(method, recipe)
    given = {**parameters, "method": None}
    for option_of_names in ("ordered", "label_names"):
        if given[option_of_names] is not None:
            given[option_of_names] = names(given[option_of_names])
    recipe = with_values(recipe, assignments(given, RECIPE_PLACES))
    if recipe.data.source is None:
        raise RecipeError("no data are named", "give a file, a folder or a name as the first argument")
    from tellapart.fitting.rows import resolve_method  # not needed for --help

    return resolve_method(recipe)


def pretrainer_of(recipe: Recipe) -> Pretrainer | None:
    """Returns the function that pre-trains the encoder of a run, if the recipe asks for it."""
    if recipe.self_training.pretrain == "none":
        return None
    from tellapart.pretraining.further import pretrain_encoder

    return pretrain_encoder


def names(written: str | None) -> list[str]:
    """Splits names at commas; names of classes with commas in them need a recipe."""
    return [name.strip() for name in (written or "").split(",") if name.strip()]


def default_output(source: str, suffix: str) -> Path:
    """Returns `runs/<data name>-<suffix>`; the name has digits at its end if that folder is of other data.

    Args:
        source: The data as named by the user. The name is the part of the last component before the first dot.
        suffix: The method, or what is done with the data.
    """
    from tellapart.fitting.fingerprints import source_of  # not needed for --help

    place = os.path.abspath(source)  # noqa: PTH100  Path.resolve refuses names with a zero byte
    name = (Path(source).name or Path(place).name).split(".")[0] or "data"
    folder = Path("runs") / path_component(f"{name}-{suffix}")
    before = source_of(folder)
    if before is None or os.path.abspath(before) == place:  # noqa: PTH100
        return folder
    digits = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return Path("runs") / path_component(f"{name}-{digits}-{suffix}")
