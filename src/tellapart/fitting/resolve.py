"""Resolves a recipe against its data: fills in defaults and refuses what cannot run, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tellapart.data.examples import TextData
from tellapart.data.label_texts import decided
from tellapart.data.learnable import check_labels_repeat, check_learnable
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.vectors import TRAINED, vectors_file
from tellapart.errors import RecipeError, UserError
from tellapart.fitting.decisions import check_decision
from tellapart.fitting.loading import check_model
from tellapart.fitting.objectives import build_objective
from tellapart.fitting.refit import check_refit, decided_refit
from tellapart.fitting.rows import resolve_method, with_label_texts
from tellapart.fitting.stages import check_trainer_sections
from tellapart.fitting.tasks import check_rankable
from tellapart.objectives import Objective
from tellapart.objectives.relations import with_relations
from tellapart.recipes import Recipe
from tellapart.training.requirements import check_anchors


@dataclass(frozen=True)
class ResolvedRun:
    """A recipe and data that fit together.

    Args:
        recipe: The recipe with every value filled in that does not depend on the model.
        data: The splits; the classes with their order or hierarchy.
        objectives: One objective per stage, in the same order; empty for TF-IDF.
    """

    recipe: Recipe
    data: TextData
    objectives: Sequence[Objective]


def resolve(recipe: Recipe, data: TextData) -> ResolvedRun:
    """Decides everything that is open before a model is loaded.

    Args:
        recipe: Encoder, stages, decision and seed; from its `data` section only the class relations, the label
            texts, `few_shot` and `validation_in_training` are used.
        data: The splits.

    Raises:
        DataError: A split of a ranking task cannot be ranked, the label texts do not fit the classes, or the training
            texts cannot tell the classes apart, or the labels are ids of the rows.
        RecipeError: The recipe does not fit the data or contradicts itself.
        UserError: The training rows have no labels.
    """
    if data.train.labels is None:
        raise UserError("the training rows have no labels", "name their column: --label COLUMN")
    recipe = resolve_method(recipe, data)
    check_trainer_sections(recipe.stages)
    check_rankable(data, recipe.data.without_positive)
    data = replace(data, labels=with_relations(data.labels, recipe.data))
    data = with_label_texts(data, recipe)
    texts = decided(recipe.data.label_texts, data.label_texts)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"label_texts": texts})})
    if not len(data.train) and data.label_texts is None:
        raise RecipeError(
            "there are no labelled training rows, and no texts that describe the classes",
            "add --label-texts names (or FILE), or draw rows: --few-shot 1 or more",
        )
    check_learnable(data.train, data.label_texts)
    if recipe.data.few_shot is None:
        check_labels_repeat(data)
    objectives = [build_objective(stage.objective, data.labels) for stage in recipe.stages]
    _check_anchors(recipe, objectives)
    check_decision(recipe.decision, data)
    refit = decided_refit(recipe, objectives, data)
    recipe = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"validation_in_training": refit})}
    )
    check_refit(recipe, objectives, data)
    if recipe.encoder.name == "tfidf":
        _check_tfidf(recipe)
        return ResolvedRun(recipe.model_copy(update={"stages": recipe.stages[-1:]}), data, ())
    return ResolvedRun(_with_random_start(recipe), data, objectives)


def with_training_rows(run: ResolvedRun) -> ResolvedRun:
    """Returns the run; without labelled rows, as in a zero-shot draw, its label texts are the training rows."""
    if len(run.data.train):
        return run
    assert run.data.label_texts is not None
    return replace(run, data=replace(run.data, train=run.data.label_texts, label_texts=None))


def check_encoders(recipe: Recipe) -> None:
    """Checks that a recipe's encoders are there, and the file of its word vectors, without reading their weights.

    Raises:
        ModelError: There is no encoder of this name, or no such file.
    """
    for name in (recipe.encoder.name, recipe.encoder.second):
        if name not in (None, "tfidf", *FROM_SCRATCH):
            check_model(name, trained=False)
    if recipe.encoder.name in FROM_SCRATCH and recipe.encoder.embeddings not in TRAINED:
        vectors_file(recipe.encoder.embeddings)


def _with_random_start(recipe: Recipe) -> Recipe:
    """The recipe with a randomly initialised classifier in the first stage if the encoder is trained from scratch."""
    if recipe.encoder.name not in FROM_SCRATCH:
        return recipe
    first, *others = recipe.stages
    if first.learns == "head":
        raise RecipeError(
            f"the first stage trains only the classifier, and {recipe.encoder.name} is not trained yet",
            "choose a method that trains the encoder, or give the folder of a trained one as the encoder",
        )
    return recipe.model_copy(update={"stages": [first.model_copy(update={"start": "random"}), *others]})


def _check_anchors(recipe: Recipe, objectives: Sequence[Objective]) -> None:
    for stage, objective in zip(recipe.stages, objectives, strict=True):
        if not stage.label_text_anchors:
            continue
        if stage.learns == "head":
            raise RecipeError(
                "a stage that trains only the head compares no texts, so label texts as anchors have no effect",
                "set label_text_anchors for a stage that trains the encoder",
            )
        check_anchors(objective)


def _check_tfidf(recipe: Recipe) -> None:
    if recipe.encoder.second is not None:
        raise RecipeError("TF-IDF cannot be fused with an encoder", "leave out --second-encoder")
    if recipe.encoder.windows != "none":
        raise RecipeError("TF-IDF reads whole texts without windows", "leave out --windows")
