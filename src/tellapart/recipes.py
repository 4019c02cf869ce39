"""The typed description of a run: read from YAML, changed by flags and `--set`, written beside the results.

    method: label-distance
    data:    {source: tickets.csv, few_shot: 8}
    encoder: {name: minilm, pooling: mean}
    stages:  [{objective: {name: label-distance, tau: 3}, epochs: 10}]

A value that is left out (null) is decided by the run, by rules that `tellapart.training.defaults` states; the
`recipe.yaml` of a run folder has them all filled in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tellapart.errors import RecipeError, did_you_mean


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())


class DataRecipe(_Strict):
    """Where the rows come from.

    Args:
        source: A file, a folder with train/validation/test files, a registered name, or a Hub name.
        text: The text column; found by its name when not given.
        text_pair: The second text's column, for pair tasks.
        label: The label column.
        label_delimiter: What separates the labels of a multi-label cell.
        multi_label: Whether rows have several labels; by default told by the column's type.
        few_shot: Training rows a class, and as many validation rows where no validation split is given.
        train_rows: At most this many training rows, a stratified sample.
        validation_share: Share of the training rows split off when no validation split is given.
        test_share: Share of all rows split off when no test split is given.
    """

    source: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    label_delimiter: str | None = None
    multi_label: bool | None = None
    few_shot: Annotated[int, Field(ge=1)] | None = None
    train_rows: Annotated[int, Field(ge=2)] | None = None
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2


class EncoderRecipe(_Strict):
    """What turns texts into vectors.

    Args:
        name: `minilm`, a folder, a Hub name; `tfidf` for the sanity row.
        pooling: `mean`, `cls` or `stock`; by default `mean` where a plain checkpoint can hold it.
        max_length: Longest input in tokens.
        classifier_dropout: Rate before the final linear layer; by default the checkpoint's own.
    """

    name: str = "minilm"
    pooling: Literal["mean", "cls", "stock"] | None = None
    max_length: Annotated[int, Field(ge=4)] = 128
    classifier_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None


class _Classification(_Strict):
    """The main loss that every objective below has, and its options."""

    class_weight: Literal["balanced"] | dict[str, float] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0


class CrossEntropyRecipe(_Classification):
    """Cross entropy; binary cross entropy summed over labels for multi-label tasks."""

    name: Literal["cross-entropy"] = "cross-entropy"


class _NegativeSupervision(_Classification):
    weight: Annotated[float, Field(ge=0)] = 1.0
    samples: Annotated[int, Field(ge=2)] | Literal["all"] = 4
    hard: bool = False
    different: Literal["not_identical", "disjoint"] = "not_identical"


class NegativeSupervisionRecipe(_NegativeSupervision):
    """Main loss + weight · AAN."""

    name: Literal["negative-supervision"] = "negative-supervision"


class NegativeSupervisionMarginRecipe(_NegativeSupervision):
    """Main loss + weight · AM."""

    name: Literal["negative-supervision-am"] = "negative-supervision-am"
    margin: float = 0.4


class NegativeSupervisionCrossEntropyRecipe(_NegativeSupervision):
    """Main loss + weight · ACE."""

    name: Literal["negative-supervision-ace"] = "negative-supervision-ace"
    temperature: Annotated[float, Field(gt=0)] = 1.0


class LabelDistanceRecipe(_Classification):
    """(1 − weight) · main loss + weight · CLLD.

    `static` needs `pairs` of class names; `prior` needs either the classes in their `order`, or the
    `hierarchy_separator` that turns class names into paths ("." for comp.sys.mac).
    """

    name: Literal["label-distance"] = "label-distance"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    distance: Literal["adaptive", "static", "uniform", "prior"] = "adaptive"
    pairs: list[tuple[str, str]] = []
    order: list[str] | None = None
    hierarchy_separator: str | None = None
    tau: Annotated[float, Field(ge=1)] = 5.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    normalise: Literal["max", "none"] = "max"
    update_every: Annotated[int, Field(ge=1)] = 1
    projection_size: Annotated[int, Field(ge=2)] | None = 128
    both_views: bool = False


class RDropRecipe(_Classification):
    """Main loss over both views + weight · symmetric KL."""

    name: Literal["r-drop"] = "r-drop"
    weight: Annotated[float, Field(ge=0)] = 1.0


class SupervisedContrastiveRecipe(_Classification):
    """(1 − weight) · main loss + weight · SupCon."""

    name: Literal["supcon"] = "supcon"
    weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    temperature: Annotated[float, Field(gt=0)] = 0.3


ObjectiveRecipe = Annotated[
    CrossEntropyRecipe
    | NegativeSupervisionRecipe
    | NegativeSupervisionMarginRecipe
    | NegativeSupervisionCrossEntropyRecipe
    | LabelDistanceRecipe
    | RDropRecipe
    | SupervisedContrastiveRecipe,
    Field(discriminator="name"),
]


class StageRecipe(_Strict):
    """One stage of training: what is minimised, what learns, how long and how fast.

    Args:
        objective: What is minimised.
        learns: `all` parameters, or the `head` alone: a logistic regression (a linear SVM for tfidf) on
            vectors that are computed once.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step on one process, before accumulation.
        gradient_accumulation_steps: Batches whose gradients are added up before a step.
        learning_rate: Of the encoder.
        head_learning_rate: Of everything outside the base model.
        warmup_share: Share of the steps in which the rate rises.
        weight_decay: AdamW's.
        evaluations: Evaluations on the validation rows, spread evenly over the stage.
        patience: Evaluations without a new best after which training stops; null: never.
        metric: What the best evaluation is chosen by; by default accuracy, or micro F1 for multi-label tasks.
        regularisation: Inverse strength C of the regression when only the head learns.
        precision: `auto` takes bf16 where the processor or GPU gains from it.
        trainer: Any other option of `transformers.TrainingArguments`.
    """

    objective: ObjectiveRecipe = CrossEntropyRecipe()
    learns: Literal["all", "head"] = "all"
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    evaluations: Annotated[int, Field(ge=1)] = 10
    patience: Annotated[int, Field(ge=1)] | None = None
    metric: str | None = None
    regularisation: Annotated[float, Field(gt=0)] = 10.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    trainer: dict[str, Any] = {}


class Recipe(_Strict):
    """A whole run.

    Args:
        method: The method's name, for tables; its settings stand in `stages`.
        data: The rows.
        encoder: The encoder.
        stages: What is trained, in order.
        seed: Of everything random: splits, initial weights, order, dropout.
    """

    method: str = "cross-entropy"
    data: DataRecipe = DataRecipe()
    encoder: EncoderRecipe = EncoderRecipe()
    stages: Annotated[list[StageRecipe], Field(min_length=1)] = [StageRecipe()]
    seed: int = 0

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, every key written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


_METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "cross-entropy": ("cross entropy", {"objective": {"name": "cross-entropy"}}),
    "negative-supervision": (
        "cross entropy + AAN: the mean similarity to texts of other labels",
        {"objective": {"name": "negative-supervision"}},
    ),
    "negative-supervision-am": (
        "cross entropy + AM: a margin between texts of the same and of other labels",
        {"objective": {"name": "negative-supervision-am"}},
    ),
    "negative-supervision-ace": (
        "cross entropy + ACE: one text of the same label among others",
        {"objective": {"name": "negative-supervision-ace"}},
    ),
    "label-distance": (
        "contrastive learning with label distance (CLLD), adapted to the confusion matrix",
        {"objective": {"name": "label-distance"}},
    ),
    "label-distance-static": (
        "CLLD with a fixed distance for the pairs you name",
        {"objective": {"name": "label-distance", "distance": "static"}},
    ),
    "r-drop": ("cross entropy over two views + their divergence", {"objective": {"name": "r-drop"}}),
    "supcon": ("cross entropy + supervised contrastive loss", {"objective": {"name": "supcon"}}),
    "frozen": ("logistic regression on the frozen encoder's vectors", {"learns": "head"}),
    "tfidf": ("TF-IDF and a linear SVM, the sanity row", {"learns": "head"}),
}


def methods() -> dict[str, str]:
    """Returns the known methods: name to one line of description."""
    return {name: description for name, (description, _) in _METHODS.items()}


def method_recipe(method: str, base: Recipe | None = None) -> Recipe:
    """Returns the recipe of a method, on the data, encoder and schedule of another recipe.

    Args:
        method: A name from `methods()`.
        base: Where everything else comes from, and options of the objective if it is the same one; by
            default the defaults.

    Raises:
        RecipeError: There is no such method.
    """
    if method not in _METHODS:
        raise RecipeError(
            f'there is no method "{method}"' + did_you_mean(method, _METHODS),
            "choose from " + ", ".join(_METHODS),
        )
    content = (base or Recipe()).model_dump(exclude_unset=True)
    stage = {**(content.get("stages") or [{}])[0]}
    before = stage.pop("objective", {})
    own = dict(_METHODS[method][1])
    if "objective" in own and own["objective"]["name"] == before.get("name"):
        own["objective"] = before | own["objective"]
    content |= {"method": method, "stages": [stage | own]}
    if method == "tfidf":
        content["encoder"] = {**content.get("encoder", {}), "name": "tfidf"}
    return validated(content)


def load_recipe(path: str | Path) -> Recipe:
    """Reads a recipe from YAML.

    A file may name only a `method` and what differs from it: the method's stages are filled in.

    Raises:
        RecipeError: The file is missing, no YAML, or has a key or value that no recipe has.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(
            f"there is no recipe file {path}", "check the path, or list them: tellapart recipes"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        raise RecipeError(
            f"{path} is not readable YAML{where}", "correct its indentation and colons"
        ) from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no recipe", "write keys such as method, data, encoder, stages")
    if "method" in content and "stages" not in content and content["method"] in _METHODS:
        return method_recipe(content["method"], validated(content))
    return validated(content)


def validated(content: Mapping[str, Any]) -> Recipe:
    """Turns plain dicts into a recipe.

    Raises:
        RecipeError: A key is unknown (with the closest known one), or a value is not allowed.
    """
    try:
        return Recipe.model_validate(dict(content))
    except ValidationError as error:
        raise _explained(error) from None


def with_values(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Returns the recipe with values changed by path.

    Args:
        recipe: Where to start from.
        assignments: `path=value` strings, such as `stages.0.objective.tau=3`; values are YAML.

    Raises:
        RecipeError: A path leads nowhere or a value is not allowed.
    """
    content = recipe.model_dump(exclude_unset=True)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path:
            raise RecipeError(f'"{assignment}" is no assignment', "write --set stages.0.epochs=5")
        _assign(content, recipe, path.split("."), _parsed(value, path), path)
    return validated(content)


def _parsed(value: str, path: str) -> Any:
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f'the value of "{path}" is not readable YAML', "quote it") from None
    if isinstance(parsed, str) and _NUMBER.fullmatch(parsed):
        return float(parsed)  # YAML takes 1e-5 for a word: it wants 1.0e-5
    return parsed


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def _assign(content: dict[str, Any], model: Any, keys: list[str], value: Any, path: str) -> None:
    """Walks `keys` down the dumped content; `model` is the validated recipe, for defaults and known names."""
    place: Any = content
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(model, list):
            if not key.isdigit() or int(key) >= len(model):
                raise RecipeError(
                    f'"{path}": there are {len(model)} stages, numbered from 0', "use stages.0, stages.1 …"
                )
            key_or_index: Any = int(key)
            model = model[int(key)]
        else:
            if isinstance(model, BaseModel):
                known = type(model).model_fields
                if key not in known:
                    raise RecipeError(
                        f'"{path}": no key "{key}"' + did_you_mean(key, known),
                        "choose from " + ", ".join(known),
                    )
                model = getattr(model, key)
            key_or_index = key
        if last:
            place[key_or_index] = value
            return
        if isinstance(place, dict) and key_or_index not in place:
            place[key_or_index] = _as_content(model)
        place = place[key_or_index]


def _as_content(model: Any) -> Any:
    if isinstance(model, BaseModel):
        # A union is told apart by its name, which must not get lost with the defaults.
        return {"name": model.name} if hasattr(model, "name") and "name" in type(model).model_fields else {}
    if isinstance(model, list):
        return [_as_content(item) for item in model]
    return dict(model) if isinstance(model, dict) else {}


def _explained(error: ValidationError) -> RecipeError:
    problem = error.errors()[0]
    names = [str(part) for part in problem["loc"]]
    path = ".".join(name for name in names if name not in _OBJECTIVE_NAMES)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(names[:-1])
        return RecipeError(
            f'the recipe has an unknown key "{path}"' + did_you_mean(names[-1], known),
            "choose from " + ", ".join(known) if known else "remove it",
        )
    if problem["type"].startswith("union_tag"):
        given = str(problem.get("ctx", {}).get("tag", problem["input"]))
        return RecipeError(
            f'the recipe\'s {path}.name "{given}" is no objective' + did_you_mean(given, _OBJECTIVE_NAMES),
            "choose from " + ", ".join(sorted(_OBJECTIVE_NAMES)),
        )
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return RecipeError(f"the recipe's {path} cannot be {problem['input']!r} ({message})", "correct the value")


_OBJECTIVES: dict[str, type[BaseModel]] = {
    kind.model_fields["name"].default: kind
    for kind in (
        CrossEntropyRecipe,
        NegativeSupervisionRecipe,
        NegativeSupervisionMarginRecipe,
        NegativeSupervisionCrossEntropyRecipe,
        LabelDistanceRecipe,
        RDropRecipe,
        SupervisedContrastiveRecipe,
    )
}
_OBJECTIVE_NAMES = frozenset(_OBJECTIVES)


def _known_keys(names: list[str]) -> list[str]:
    """The keys allowed at a place that pydantic names: data, encoder, stages.0, stages.0.objective.<name>."""
    if not names:
        return list(Recipe.model_fields)
    if names[-1] in _OBJECTIVES:
        return list(_OBJECTIVES[names[-1]].model_fields)
    kinds: dict[str, type[BaseModel]] = {"data": DataRecipe, "encoder": EncoderRecipe, "stages": StageRecipe}
    return list(kinds[names[0]].model_fields) if names[0] in kinds else []
