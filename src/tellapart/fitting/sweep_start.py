"""Before the first trial of a sweep: the baseline's recipe, the fingerprint, the check that training can start."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from tellapart.errors import TellapartError
from tellapart.fitting.fingerprints import Fingerprint, changed_values, recipe_fingerprint
from tellapart.fitting.prepared import check_start
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import resolve_method
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.sweep_trials import SweepRows, scored
from tellapart.recipes import REGRESSION_METHOD, Recipe, method_recipe, validated
from tellapart.recipes.spaces import SearchSpace, with_parameters

BASELINE = "cross-entropy"
# Keys that belong to the method; the rest, the schedule, is shared with the baseline.
_OF_THE_METHOD = ("objective", "learns", "solver", "perturbation", "perturbation_size")
_OF_THE_MAIN_LOSS = ("class_weight", "label_smoothing", "focal_gamma")

_TRIED = 100
"""The most combinations that are checked before a sweep is refused."""


def baseline_recipe(recipe: Recipe, method: str | None) -> Recipe | None:
    """Returns the baseline with the recipe's data, encoder, schedule and options of the main loss.

    Args:
        recipe: The recipe that is searched.
        method: A method, `none`, or None for the usual baseline of the task.

    Returns:
        The recipe; None for no baseline.

    Raises:
        RecipeError: There is no such method, or a setting does not fit it.
    """
    usual = BASELINE if resolve_method(Recipe(data=recipe.data)).method == BASELINE else REGRESSION_METHOD
    if method == "none" or (method is None and recipe.method == usual):
        return None
    content = recipe.model_dump(exclude_unset=True)
    first = (content.get("stages") or [{}])[0]
    schedule = {key: value for key, value in first.items() if key not in _OF_THE_METHOD}
    encoder = dict(content.get("encoder", {}))
    if recipe.encoder.name == "tfidf":
        del encoder["name"]  # other methods need an encoder: the default one
    shared = validated(content | {"encoder": encoder, "stages": [schedule]})
    options = first.get("objective", {})
    return with_parameters(
        resolve_method(method_recipe(method or usual, shared)),
        {f"stages.0.objective.{key}": options[key] for key in _OF_THE_MAIN_LOSS if key in options},
    )


def sweep_fingerprint(
    recipe: Recipe,
    baseline: Recipe | None,
    rows: SweepRows,
    spaces: Sequence[SearchSpace],
    *,
    seeds: int,
    prune: bool,
) -> Fingerprint:
    """Returns the fingerprint of a sweep. It leaves out the number of trials, which may grow.

    Args:
        recipe: The recipe that is searched.
        baseline: That of the baseline; None for no baseline.
        rows: The rows.
        spaces: The search spaces.
        seeds: Seed runs per trial.
        prune: Whether trials may stop early.
    """
    over = [repr(space) for space in spaces]
    compared = {} if baseline is None else changed_values(baseline, "baseline.")
    fingerprint = recipe_fingerprint(
        "sweep", recipe, rows.read.fingerprints, over=over, seeds=seeds, prune=prune
    )
    return fingerprint.model_copy(update={"settings": fingerprint.settings | compared})


def check_sweep(
    recipe: Recipe,
    baseline: Recipe | None,
    spaces: Sequence[SearchSpace],
    rows: SweepRows,
    *,
    encoders: bool = True,
    pretrainer: Pretrainer | None = None,
) -> None:
    """Checks, before an earlier sweep is deleted, that the baseline and at least one combination can be trained.

    Args:
        recipe: The recipe that is searched.
        baseline: That of the baseline; None for no baseline.
        spaces: The search spaces.
        rows: The rows.
        encoders: Whether the encoders must be on this machine.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.

    Raises:
        TellapartError: The baseline cannot be trained, or no combination can; the error is that of the first one.
    """
    starts = partial(check_start, pretrainer=pretrainer) if encoders else resolve

    def fits(tried: Recipe) -> None:
        starts(scored(tried, recipe.seed), rows.of(scored(tried, recipe.seed)))

    _check_one_of(fits, recipe, spaces)
    if baseline is not None:
        fits(baseline)


def _check_one_of(check: Callable[[Recipe], None], recipe: Recipe, spaces: Sequence[SearchSpace]) -> None:
    """Checks that some combination of the listed values passes; of a range the lowest value stands for all."""
    refused: TellapartError | None = None
    for combination in _combinations(spaces):
        try:
            return check(with_parameters(recipe, combination))
        except TellapartError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _combinations(spaces: Sequence[SearchSpace]) -> Iterator[dict[str, Any]]:
    """Yields all combinations of the values; if there are too many, the first one, then some that are drawn.

    Neighbouring combinations share most of their values, and what is refused in one is refused in the next.
    """
    paths = [space.path for space in spaces]
    values = [(space.low,) if space.values is None else space.values for space in spaces]
    chosen: Iterable[Sequence[Any]] = itertools.product(*values)
    if math.prod(map(len, values)) > _TRIED:
        draw = random.Random(0).choice
        drawn = ([draw(its) for its in values] for _ in range(_TRIED - 1))
        chosen = itertools.chain([[its[0] for its in values]], drawn)
    for combination in chosen:
        yield dict(zip(paths, combination, strict=True))
