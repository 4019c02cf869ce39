"""One model from several that share their data and their start: a mean of weights, or a distilled model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback

from tellapart.data.examples import TextData
from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import METRICS, metric_label, probabilities
from tellapart.evaluation.task import task_metrics
from tellapart.fitting.decisions import decide
from tellapart.fitting.fit import Announce, fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.refit import without_refit
from tellapart.fitting.resolve import ResolvedRun, resolve, with_training_rows
from tellapart.objectives.options import SoftTargetsOptions
from tellapart.recipes import DecisionRecipe, Recipe
from tellapart.training.progress import part_of_run

Merge = Literal["soup", "distil"]


@dataclass(frozen=True)
class Merged:
    """A merged model and where it came from.

    Args:
        fitted: The merged model.
        merge: How it was merged.
        seeds: The seeds of row order and dropout of the members.
        metric: The metric of the scores.
        members: The validation score of each member; None without validation rows.
        score: That of the merged model.
    """

    fitted: Fitted
    merge: Merge
    seeds: tuple[int, ...]
    metric: str
    members: tuple[float | None, ...]
    score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of `merge` in `metrics.json`."""
        members = [
            {"seed": seed, "validation": score} for seed, score in zip(self.seeds, self.members, strict=True)
        ]
        return {"merge": self.merge, "metric": self.metric, "members": members, "merged": self.score}


def check_merge(recipe: Recipe, members: int, merge: Merge | None) -> None:
    """Checks before training that models of a recipe can be merged.

    Args:
        recipe: The run.
        members: Number of models.
        merge: How to merge them; None for one model that is not merged.

    Raises:
        RecipeError: They cannot.
    """
    if merge is None:
        if members != 1:
            raise RecipeError(
                f"{members} trials give {members} models, and a run has one",
                "merge them with --merge soup or --merge distil, or compare methods over seeds: tellapart compare",
            )
        return
    if merge not in get_args(Merge):
        raise RecipeError(f'there is no merge called "{merge}"', "use soup or distil")
    if members < 2:
        raise RecipeError(f"there is nothing to merge in {members} model", "use --trials 2 or more")
    if recipe.encoder.name == "tfidf" or all(stage.learns == "head" for stage in recipe.stages):
        raise RecipeError(
            "models that differ only in row order and dropout are equal where no stage trains the encoder",
            "leave out --merge, or choose a method that trains the encoder",
        )
    if recipe.data.unlabelled is not None:
        raise RecipeError(
            "models that label unlabelled texts themselves do not share their training rows, so they are not merged",
            "leave out --merge or --unlabelled",
        )
    if recipe.data.validation_in_training is True:
        raise RecipeError(
            "a merged model cannot be trained on the validation rows in the end",
            "leave out --merge or validation_in_training",
        )


def resolved_merge(recipe: Recipe, data: TextData, merge: Merge) -> ResolvedRun:
    """Resolves the run of the members; refuses, before anything is trained, what cannot be merged on the data.

    Args:
        recipe: The run.
        data: The splits as they are.
        merge: `soup` or `distil`.

    Raises:
        UserError: The recipe does not fit the data, or the models cannot be merged on them.
    """
    run = resolve(without_refit(recipe), data)
    if merge == "soup":
        return run
    if run.data.labels.regression:
        raise RecipeError(
            "distillation needs probabilities of classes, but the labels are numeric targets",
            "use --merge soup",
        )
    resolve(_distilling(run.recipe), data)
    return run


def fit_merged(
    recipe: Recipe,
    data: TextData,
    folder: str | Path,
    *,
    members: int,
    merge: Merge,
    resume: bool = False,
    resumable: bool = False,
    quiet: bool = False,
    announce: Announce = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Merged:
    """Trains several models and merges them into one.

    The members have the same rows, the same initial weights and the same initial classifier; a seed each decides row
    order and dropout. `soup` is the mean of their weights (uniform soup), `distil` a further training from the same
    start, in one stage, on the mean of the members' probabilities of the training rows in place of the labels.
    Without labelled rows these are the label texts, see `with_training_rows`.

    Args:
        recipe: The run; the seeds of the members count up from its `seed`.
        data: The splits as they are.
        folder: For checkpoints and, if `resumable`, finished members.
        members: Number of models, at least 2.
        merge: `soup` or `distil`.
        resume: Whether to continue there.
        resumable: Whether to write checkpoints from which a killed run can continue.
        quiet: Whether to show no progress.
        announce: As for `fit`.
        callbacks: Transformers callbacks for all trainings.

    Raises:
        UserError: The recipe does not fit the data or the encoder, or the models cannot be merged.

    References:
        - Wortsman et al. 2022, Model Soups: Averaging Weights of Multiple Fine-tuned Models, §2, uniform soup.
        - Hinton et al. 2015, Distilling the Knowledge in a Neural Network, §2.
    """
    check_merge(recipe, members, merge)
    run = resolved_merge(recipe, data, merge)
    rows = with_training_rows(run).data.train
    # Thresholds and a temperature belong to the merged model.
    plain = run.recipe.model_copy(update={"decision": DecisionRecipe()})
    options: dict[str, Any] = {
        "resume": resume,
        "resumable": resumable,
        "quiet": quiet,
        "callbacks": callbacks,
        "announce": announce,
    }
    seeds = tuple(range(recipe.seed, recipe.seed + members))
    soup = _Soup()
    chances: list[np.ndarray] = []
    scores: list[float | None] = []
    resolved: Recipe | None = None
    history: list[dict[str, float]] = []
    for number, seed in enumerate(seeds):
        with part_of_run(f"model {number + 1} of {members}"):
            member = fit(plain, data, Path(folder) / f"member-{number}", order_seed=seed, **options)
        scores.append(_score(member, data, plain))
        resolved, history = resolved or member.recipe, history or member.history
        if merge == "soup":
            soup.add(member.model)
        else:
            chances.append(probabilities(member.labels, member.scores(rows)))
    assert resolved is not None
    kept = resolved.model_copy(update={"decision": run.recipe.decision})
    if merge == "soup":
        soup.write_into(member.model)
        fitted = replace(member, history=history, objective=None, recipe=kept)
        fitted = replace(fitted, decision=decide(kept.decision, fitted, run.data))
    else:
        with part_of_run("distilled model"):
            distilled = fit(
                _distilling(run.recipe), data, Path(folder) / "distil", targets=np.mean(chances, 0), **options
            )
        fitted = replace(distilled, recipe=kept)
    metric = _metric(kept)
    score = _score(fitted, data, kept)
    remark = _remark(merge, seeds, metric, scores, score)
    fitted = replace(fitted, remarks=(*fitted.remarks, remark))
    return Merged(fitted, merge, seeds, metric, tuple(scores), score)


class _Soup:
    """The running mean of the weights of several models, with the memory of one."""

    def __init__(self) -> None:
        self._mean: AveragedModel | None = None

    def add(self, model: nn.Module) -> None:
        """Includes the weights of a model."""
        weights = nn.ParameterList(model.parameters())
        if self._mean is None:
            self._mean = AveragedModel(weights)
        self._mean.update_parameters(weights)

    @torch.no_grad()
    def write_into(self, model: nn.Module) -> None:
        """Gives a model of the same kind the mean."""
        assert self._mean is not None
        for parameter, mean in zip(model.parameters(), self._mean.module.parameters(), strict=True):
            parameter.copy_(mean)


def _distilling(recipe: Recipe) -> Recipe:
    """The recipe with one stage that learns from soft targets, as long as the first that trains the encoder.

    Settings for objectives that compare views or texts, which would be refused for soft targets, are left out.
    """
    stage = next(stage for stage in recipe.stages if stage.learns != "head")
    others = {"views_from_layer": 0, "label_text_anchors": False}
    soft = stage.model_copy(update={"objective": SoftTargetsOptions(), **others})
    return recipe.model_copy(update={"stages": [soft]})


def _metric(recipe: Recipe) -> str:
    metric = recipe.stages[-1].metric
    assert metric is not None  # of a run that is finished
    return metric


def _score(fitted: Fitted, data: TextData, recipe: Recipe) -> float | None:
    """The metric on the validation rows; None without any."""
    split = data.validation
    if split is None or split.labels is None:
        return None
    assert fitted.recipe is not None
    rule = recipe.data.without_positive
    cuts = fitted.decision.applied_thresholds
    metrics = task_metrics(fitted.labels, split, fitted.scores(split), cuts, without_positive=rule)
    return metrics[_metric(fitted.recipe)]


def _remark(
    merge: Merge, seeds: tuple[int, ...], metric: str, members: list[float | None], score: float | None
) -> str:
    kind = {"soup": "The mean of the weights", "distil": "Distilled from the probabilities"}[merge]
    of = f"{kind} of {len(seeds)} models (seeds {seeds[0]} to {seeds[-1]})"
    known = [METRICS[metric].display(value) for value in members if value is not None]
    if score is None or not known:
        return of + "."
    return f"{of}. Validation {metric_label(metric)}: {', '.join(known)}; merged {METRICS[metric].display(score)}."
