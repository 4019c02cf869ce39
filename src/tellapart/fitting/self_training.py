"""Self-training: a classifier labels unlabelled texts, and a new one is trained on them too, in rounds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tellapart.data.examples import TextData
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import main_metric
from tellapart.evaluation.task import is_ranking, task_metrics
from tellapart.files import replacing
from tellapart.fitting.class_frequencies import (
    at_estimated_frequencies,
    check_class_frequencies,
    class_frequencies,
    frequency_note,
)
from tellapart.fitting.environment import is_main_process, wait_for_all
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.propagation import certain_targets, propagated_logits
from tellapart.fitting.pseudo_labels import PseudoLabels, pseudo_labelled
from tellapart.fitting.refit import (
    FitArguments,
    first_training,
    second_training,
    selects_nothing,
    trained_rows,
    without_refit,
)
from tellapart.recipes import Recipe
from tellapart.training.progress import part_of_run

_SCORED, _LOGITS, _THRESHOLDS, _DESCRIPTION = "scored", "logits.npy", "thresholds.npy", "teacher.json"
_LAST = "self-training, last student"


class Pretrainer(Protocol):
    """Pre-trains an encoder on raw texts; `tellapart.pretraining.further.pretrain_encoder` is one."""

    def __call__(
        self,
        encoder: str,
        texts: Sequence[str],
        folder: Path,
        *,
        steps: int | None,
        max_length: int | None,
        seed: int,
        resume: bool,
        quiet: bool,
    ) -> str:
        """Returns the folder of the encoder.

        Args:
            encoder: The encoder to start from.
            texts: The texts.
            folder: For the model and checkpoints.
            steps: Optimiser steps; None for the default.
            max_length: Longest input in tokens; None for the default.
            seed: Seed of all randomness.
            resume: Whether to continue from what the folder holds.
            quiet: Whether to hide progress.
        """


class Training(Protocol):
    """Trains a recipe on labelled rows: `fit` without unlabelled texts."""

    def __call__(
        self,
        recipe: Recipe,
        data: TextData,
        folder: Path,
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        validated: bool = True,
    ) -> Fitted:
        """Returns the classifier.

        Args:
            recipe: The run.
            data: The splits.
            folder: For checkpoints.
            targets: Probabilities (N, K) to learn in place of the labels of the N training rows.
            weights: Weights of the training rows (N,); None if all are 1.
            validated: Whether the logits of the validation rows are needed.
        """


def check_self_training(recipe: Recipe, data: TextData, pretrainer: Pretrainer | None) -> None:
    """Checks before training that the unlabelled texts can be used.

    Raises:
        RecipeError: The task has no classes, or the encoder cannot be pre-trained.
    """
    if data.labels.regression:
        raise RecipeError(
            "self-training takes the texts whose class is most certain, but the labels are numeric targets",
            "leave out --unlabelled",
        )
    check_class_frequencies(recipe, data)
    if recipe.self_training.pretrain == "none":
        return
    encoder = recipe.encoder
    if encoder.name in (*FROM_SCRATCH, "tfidf"):
        raise RecipeError(
            f"{encoder.name} has no pre-trained encoder to train further",
            "leave out self_training.pretrain, or choose an encoder such as minilm",
        )
    if encoder.second is not None:
        raise RecipeError(
            "two fused encoders cannot be pre-trained in one run",
            "leave out self_training.pretrain, and give encoders that tellapart pretrain wrote",
        )
    if pretrainer is None:
        raise RecipeError(
            "self_training.pretrain needs the function that pre-trains",
            "give pretrainer=tellapart.pretraining.further.pretrain_encoder, or pre-train first and give the folder "
            "as the encoder",
        )


def self_train(
    recipe: Recipe,
    data: TextData,
    folder: Path,
    train: Training,
    *,
    pretrainer: Pretrainer | None = None,
    resume: bool = False,
    resumable: bool = False,
    quiet: bool = False,
    validated: bool = True,
) -> Fitted:
    """Trains a classifier on labelled rows and on unlabelled texts that it labels itself.

    Each round trains a teacher, first on the labelled rows alone, and selects the unlabelled texts on which it is
    most confident. The next classifier, the student, starts from the original (or further pre-trained) encoder and
    learns from the labelled rows and the selected texts; it is the teacher of the next round. Validation rows select
    its weights as in any run. Equal seeds give equal results.

    With `validation_in_training` all rounds run a second time with the validation rows among the labelled ones: the
    last student would else learn from what a teacher with fewer rows predicts. Validation metrics, thresholds and the
    temperature are those of the first time.

    Args:
        recipe: The run.
        data: The splits and the unlabelled texts.
        folder: For checkpoints and finished rounds.
        train: Trains one classifier in a folder.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        resume: Whether to continue from finished steps in `folder`.
        resumable: Whether to keep them.
        quiet: Whether to hide progress.
        validated: Whether the logits of the validation rows are needed, as for `fit`.

    Returns:
        The last student, with a report in `self_training` and notes.

    Raises:
        RecipeError: The unlabelled texts cannot be used.

    References:
        - Scudder 1965, Probability of Error of Some Adaptive Pattern-Recognition Machines: self-training.
        - Xie et al. 2020, Self-training with Noisy Student improves ImageNet classification: soft pseudo-labels, a
          new student with dropout.
    """
    check_self_training(recipe, data, pretrainer)
    settings, name = recipe.self_training, recipe.encoder.name
    report: dict[str, Any] = {}
    if settings.pretrain != "none":
        assert pretrainer is not None
        texts = _all_texts(data)
        encoder = pretrainer(
            name,
            texts,
            folder / "pretraining",
            steps=settings.pretrain_steps,
            max_length=recipe.encoder.max_length,
            seed=recipe.seed,
            resume=resume,
            quiet=quiet,
        )
        report["pretraining"] = {"correction": settings.pretrain, "texts": len(texts)}
        recipe = _with_encoder(recipe, encoder)
    rounds = partial(_rounds, data=data, train=train, resume=resume, resumable=resumable)
    place = folder / f"round-{settings.rounds}"
    if not settings.rounds:
        arguments, report["rounds"] = FitArguments(recipe, data), []
        fitted = arguments.fitted_by(train, place)
    elif not recipe.data.validation_in_training:
        arguments, report["rounds"] = rounds(recipe, folder)
        with part_of_run(_LAST):
            fitted = arguments.fitted_by(train, place, validated=False)
    else:
        first = None
        if validated or not selects_nothing(recipe):
            arguments, report["rounds_before_refit"] = rounds(without_refit(recipe), folder)
            with part_of_run(_LAST):
                first = first_training(arguments, place, train)
        arguments, report["rounds"] = rounds(recipe, folder / "refit")
        with part_of_run(_LAST):
            if first is None:
                fitted = arguments.fitted_by(train, place, validated=False)
            else:
                fitted = second_training(first, arguments, place, train)
    if settings.class_frequencies == "unlabelled":
        fitted, report["class_frequencies"] = at_estimated_frequencies(fitted, arguments, data)
    assert fitted.recipe is not None
    return replace(
        fitted,
        recipe=_with_encoder(fitted.recipe, name),
        notes=(*fitted.notes, *self_training_notes(report)),
        self_training=report,
    )


def _rounds(
    recipe: Recipe, folder: Path, *, data: TextData, train: Training, resume: bool, resumable: bool
) -> tuple[FitArguments, list[dict[str, Any]]]:
    """Trains the teachers of all rounds; returns what the last student is to learn, and a report of each round."""
    arguments, reports = FitArguments(recipe, data), []
    for number in range(recipe.self_training.rounds):
        place = folder / f"round-{number}"
        scored = _read(place) if resume else None
        if scored is None:
            with part_of_run(f"self-training, teacher {number + 1} of {recipe.self_training.rounds}"):
                scored = _scored(arguments.fitted_by(train, place, validated=False), arguments, data)
            if resumable:
                _keep(scored, place)
                scored = _read(place) or scored  # of the main process: all select the same texts
            else:
                shutil.rmtree(place, ignore_errors=True)
        pseudo = _selected(scored, recipe, data)
        reports.append(pseudo.report)
        arguments = _student_arguments(recipe, data, pseudo)
    return arguments, reports


def _student_arguments(recipe: Recipe, data: TextData, pseudo: PseudoLabels) -> FitArguments:
    """The labelled rows, then the selected texts."""
    settings, weights = recipe.self_training, None
    if settings.weight != 1.0:
        weights = np.repeat([1.0, settings.weight], [len(data.train), len(pseudo.split)])
    return FitArguments(
        _student_recipe(recipe),
        replace(data, train=data.train.joined(pseudo.split)),
        _targets(data, pseudo) if settings.soft and recipe.encoder.name != "tfidf" else None,
        weights,
    )


@dataclass(frozen=True)
class _Scored:
    """What a teacher predicts: logits (N, K) of the unlabelled texts, its thresholds and validation metric."""

    logits: np.ndarray
    thresholds: float | np.ndarray
    validation: dict[str, float] | None


def _selected(scored: _Scored, recipe: Recipe, data: TextData) -> PseudoLabels:
    assert data.unlabelled is not None
    settings = recipe.self_training
    pseudo = pseudo_labelled(
        data.unlabelled,
        data.labels,
        scored.logits,
        share=settings.share,
        balanced=settings.balanced,
        of_each=settings.balanced and settings.class_frequencies == "unlabelled",
        thresholds=scored.thresholds,
    )
    if scored.validation is not None:
        pseudo.report["teacher_validation"] = scored.validation
    return pseudo


def _scored(teacher: Fitted, arguments: FitArguments, data: TextData) -> _Scored:
    assert data.unlabelled is not None
    assert teacher.recipe is not None
    thresholds = teacher.decision.applied_thresholds
    validation, metrics = data.validation, None
    seen = teacher.recipe.data.validation_in_training
    if validation is not None and validation.labels is not None and not seen:
        name = data.metric or main_metric(data.labels, ranking=is_ranking(data.labels, data.train))
        measured = task_metrics(
            data.labels,
            validation,
            teacher.scores(validation),
            thresholds,
            without_positive=teacher.recipe.data.without_positive,
        )
        metrics = {name: measured[name]}
    logits, neighbours = teacher.scores(data.unlabelled), teacher.recipe.self_training.neighbours
    if teacher.recipe.self_training.class_frequencies == "unlabelled":
        logits = class_frequencies(teacher, arguments, data, logits).applied_to(logits)
    rows = trained_rows(teacher, data)
    if neighbours and len(rows):
        logits = propagated_logits(teacher, rows, data.unlabelled, logits, neighbours)
    return _Scored(logits, thresholds, metrics)


def _keep(scored: _Scored, folder: Path) -> None:
    """Writes what a teacher predicts, which ends its round, and deletes the teacher."""
    wait_for_all()
    if is_main_process():
        with replacing(folder / _SCORED) as temporary:
            temporary.mkdir()
            np.save(temporary / _LOGITS, scored.logits, allow_pickle=False)
            np.save(temporary / _THRESHOLDS, np.asarray(scored.thresholds), allow_pickle=False)
            (temporary / _DESCRIPTION).write_text(json.dumps(scored.validation), encoding="utf-8")
        for path in folder.iterdir():
            if path.name != _SCORED:
                shutil.rmtree(path, ignore_errors=True)
    wait_for_all()


def _read(folder: Path) -> _Scored | None:
    """Reads what the teacher of a finished round predicts; None if the round is not finished."""
    kept = folder / _SCORED
    if not (kept / _DESCRIPTION).is_file():
        return None
    thresholds = np.load(kept / _THRESHOLDS, allow_pickle=False)
    return _Scored(
        np.load(kept / _LOGITS, allow_pickle=False),
        thresholds if thresholds.ndim else float(thresholds),
        json.loads((kept / _DESCRIPTION).read_text(encoding="utf-8")),
    )


def _all_texts(data: TextData) -> list[str]:
    """The unlabelled and the training texts, and their second texts."""
    splits = [split for split in (data.unlabelled, data.train) if split is not None]
    return [text for split in splits for text in (*split.texts, *(split.text_pairs or ()))]


def _with_encoder(recipe: Recipe, name: str) -> Recipe:
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"name": name})})


def _student_recipe(recipe: Recipe) -> Recipe:
    """The recipe with the number of epochs for labelled and pseudo-labelled rows together."""
    epochs = recipe.self_training.epochs
    stages = [
        stage if stage.learns == "head" else stage.model_copy(update={"epochs": epochs})
        for stage in recipe.stages
    ]
    return recipe.model_copy(update={"stages": stages})


def _targets(data: TextData, pseudo: PseudoLabels) -> np.ndarray:
    """Target probabilities (N + n, K): certain ones of the labelled rows, then those of the pseudo-labels."""
    return np.concatenate([certain_targets(data.train, data.labels), pseudo.targets])


def self_training_notes(report: Mapping[str, Any]) -> list[str]:
    """Returns the report of a run on its unlabelled texts as sentences, one per step."""
    notes = []
    if "pretraining" in report:
        notes.append(f"The encoder was pre-trained further on {report['pretraining']['texts']} texts.")
    for number, one in enumerate(report.get("rounds", ()), start=1):
        counts = one["per_class"].values()
        note = (
            f"Round {number} of self-training: {one['used']} of {one['texts']} unlabelled texts were used, "
            f"{min(counts)} to {max(counts)} per class, with a mean confidence of {one['mean_confidence']:.2f}."
        )
        if "known_labels" in one:
            known = one["known_labels"]
            note += (
                f" For information: {100 * known['accuracy']:.1f} % of the {known['rows']} pseudo-labels whose text "
                "has a known label are right; known labels are not used."
            )
        notes.append(note)
    if "class_frequencies" in report:
        notes.append(frequency_note(report["class_frequencies"]))
    return notes
