"""Trains once more with the validation rows among the training rows, for as long as the first fit chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.label_texts import NONE
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.errors import RecipeError
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.propagation import certain_targets
from tellapart.fitting.stages import decided_epochs
from tellapart.objectives import Objective
from tellapart.recipes import DecisionRecipe, Recipe
from tellapart.training.defaults import REFIT_SHARE
from tellapart.training.progress import part_of_run

Train = Callable[..., Fitted]
"""`fit` with its other options: takes a recipe, splits and a folder, and `targets`, `weights` and `until`."""


def check_refit(recipe: Recipe, objectives: Sequence[Objective], data: TextData | None = None) -> None:
    """Checks before training that a recipe can train on the validation rows in the end.

    Args:
        recipe: The run; without `validation_in_training` everything is allowed.
        objectives: One objective per stage.
        data: The splits, or None if they are not known yet.

    Raises:
        RecipeError: There are no labelled validation rows, or an objective needs some that it does not train on.
    """
    if not recipe.data.validation_in_training:
        return
    if data is not None and (data.validation is None or data.validation.labels is None):
        raise RecipeError(
            "the validation rows cannot be trained on, because there are none",
            "leave out validation_in_training, or split some off: --set data.validation_share=0.1",
        )
    if any(objective.requirements.confusion for objective in objectives):
        raise RecipeError(
            "an adaptive label distance counts the confusions of validation rows, and validation_in_training "
            "leaves none",
            "leave one of them out, or use --set stages.0.objective.distance=uniform",
        )


def decided_refit(recipe: Recipe, objectives: Sequence[Objective], data: TextData) -> bool:
    """Returns whether to train on the validation rows in the end; decides for `auto`.

    Args:
        recipe: The run.
        objectives: One objective per stage.
        data: The splits.
    """
    given = recipe.data.validation_in_training
    if given != "auto":
        return given
    labelled = data.validation is not None and data.validation.labels is not None
    rows = len(data.validation) if labelled and data.validation is not None else 0
    # With more of them than training rows, they would not be validation rows but the larger part of the training.
    enough = REFIT_SHARE * len(data.train) <= rows <= len(data.train)
    return rows > 0 and enough and not any(objective.requirements.confusion for objective in objectives)


def refit_note(recipes: Mapping[str, Recipe]) -> list[str]:
    """Returns a sentence for a comparison in which only some methods train on the validation rows; else none.

    Args:
        recipes: Method to its resolved recipe.
    """
    twice = [method for method, recipe in recipes.items() if recipe.data.validation_in_training]
    once = [method for method in recipes if method not in twice]
    if not twice or not once:
        return []
    return [
        f"In the end {', '.join(twice)} trained on the validation rows too, and {', '.join(once)} did not: part of a "
        "difference is what these rows are worth. The same for all: --set "
        "data.validation_in_training=true, or false."
    ]


def with_validation_rows(data: TextData) -> TextData:
    """Returns the data with the validation rows behind the training rows, and without a validation split."""
    assert data.validation is not None
    return replace(data, train=data.train.joined(data.validation), validation=None)


@dataclass(frozen=True)
class FitArguments:
    """The arguments of one training.

    Args:
        recipe: The run.
        data: The splits that `fit` gets.
        targets: Target probabilities of the training rows (N, K), in place of their labels; or None.
        weights: Weights of the training rows (N,); None if all are 1.
        prepared: The splits as `resolve` prepared them, in which label texts are the training rows if `data` has
            none; None if they are `data`.
    """

    recipe: Recipe
    data: TextData
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    prepared: TextData | None = None

    @property
    def rows(self) -> TextData:
        """The splits with the rows that are trained on."""
        return self.data if self.prepared is None else self.prepared

    def fitted_by(self, train: Train, folder: Path, **options: Any) -> Fitted:
        """Trains the classifier, without the validation rows where `validation_in_training` is not set."""
        return train(self.recipe, self.data, folder, targets=self.targets, weights=self.weights, **options)

    def with_validation_rows(self, recipe: Recipe) -> FitArguments:
        """Returns them with the validation rows behind the training rows, and another recipe."""
        rows, targets, weights = self.rows, self.targets, self.weights
        assert rows.validation is not None
        if targets is not None:
            targets = np.concatenate([targets, certain_targets(rows.validation, rows.labels)])
        if weights is not None:
            weights = np.append(weights, np.ones(len(rows.validation)))
        if len(rows.train) > len(self.data.train):  # the label texts, which `fit` would add a second time
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"label_texts": NONE})})
        return FitArguments(recipe, with_validation_rows(rows), targets, weights)


def fit_twice(arguments: FitArguments, folder: Path, train: Train) -> Fitted:
    """Trains, then trains again from the start with the validation rows among the training rows.

    Args:
        arguments: The recipe and the rows.
        folder: For checkpoints.
        train: `fit` with its other options.
    """
    return second_training(first_training(arguments, folder, train), arguments, folder, train)


def first_training(arguments: FitArguments, folder: Path, train: Train) -> Fitted:
    """Trains without the validation rows, and keeps the logits of these. The arguments are those of `fit_twice`."""
    rows = arguments.rows
    assert rows.validation is not None
    first = replace(arguments, recipe=without_refit(arguments.recipe)).fitted_by(train, folder)
    outside = rows.out_of_scope.get("validation")
    return replace(
        first,
        validation_logits=first.scores(rows.validation),
        outside_logits=None if outside is None else first.scores(outside),
    )


def second_training(first: Fitted, arguments: FitArguments, folder: Path, train: Train) -> Fitted:
    """Trains again as `first_training` decided, with the validation rows; the arguments are those of `fit_twice`."""
    assert first.recipe is not None
    again = arguments.with_validation_rows(refit_recipe(first.recipe))
    with part_of_run("refit with the validation rows"):
        second = again.fitted_by(train, folder / "refit", until=first.shares)
    first = replace(first, recipe=first.recipe.model_copy(update={"data": arguments.recipe.data}))
    return refitted(first, second, arguments.rows)


def selects_nothing(recipe: Recipe) -> bool:
    """Returns whether the validation rows decide nothing: neither weights, thresholds, nor a temperature."""
    weights = all(
        stage.learns != "head" and stage.selection in ("last", "average") for stage in recipe.stages
    )
    calibrated = recipe.self_training.class_frequencies == "unlabelled"
    return weights and recipe.decision == DecisionRecipe() and not calibrated


def fit_once(arguments: FitArguments, folder: Path, train: Train) -> Fitted:
    """Trains on the training and validation rows at once: the second training of `fit_twice` without the first.

    The model is the same if the first training selects nothing; nothing is known of the validation rows.

    Args:
        arguments: The rows, and a recipe for which `selects_nothing` holds.
        folder: For checkpoints.
        train: `fit` with its other options.
    """
    recipe = arguments.recipe
    scratch = recipe.encoder.name in FROM_SCRATCH
    stages = [
        stage.model_copy(
            update={"epochs": decided_epochs(stage, len(arguments.rows.train), from_scratch=scratch)}
        )
        for stage in recipe.stages
    ]
    decided = refit_recipe(recipe.model_copy(update={"stages": stages}))
    fitted = arguments.with_validation_rows(decided).fitted_by(train, folder / "refit", until=())
    assert fitted.recipe is not None
    return replace(fitted, recipe=fitted.recipe.model_copy(update={"data": recipe.data}))


def without_refit(recipe: Recipe) -> Recipe:
    """Returns the recipe of a training that does not see the validation rows."""
    data = recipe.data.model_copy(update={"validation_in_training": False})
    return recipe.model_copy(update={"data": data})


def refit_recipe(first: Recipe) -> Recipe:
    """Returns the recipe of the second fit: the first one's with everything it decided, and nothing to select."""
    stages = [
        stage.model_copy(
            update={"selection": "last" if stage.selection == "best" else stage.selection, "patience": None}
        )
        for stage in first.stages
    ]
    return without_refit(first).model_copy(update={"stages": stages, "decision": DecisionRecipe()})


def refitted(first: Fitted, second: Fitted, data: TextData) -> Fitted:
    """Returns the second fit's model with the first one's decision, history and validation logits.

    Args:
        first: The fit that has not seen the validation rows, with its logits of these and of the out-of-scope rows
            among them.
        second: The fit that has.
        data: The splits of the first fit.
    """
    assert data.validation is not None
    if first.decision.folded:
        second.scorer.divide_by_temperature(first.decision.temperature)
    shares = f"{', '.join(f'{share:.0%}' for share in first.shares)} of the schedule" if first.shares else ""
    note = (
        f"The final weights come from a second training on the {len(data.train)} training and the "
        f"{len(data.validation)} validation rows{shares and f', {shares}'}. Validation metrics, thresholds and the "
        "temperature are those of the first training, which has not seen the validation rows."
    )
    return replace(first, scorer=second.scorer, remarks=(*first.remarks, note))


def trained_rows(fitted: Fitted, data: TextData) -> TextSplit:
    """Returns the rows that the final model was trained on.

    Args:
        fitted: The model.
        data: The splits that `fit` got.
    """
    both = fitted.recipe is not None and fitted.recipe.data.validation_in_training
    return with_validation_rows(data).train if both else data.train
