"""Classifiers on a frozen encoder: the initial classifier of a stage, or stages that train only the head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import TextData
from tellapart.data.label_texts import with_rows
from tellapart.encoders.cache import cached_representations
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import final_linear
from tellapart.errors import RecipeError
from tellapart.fitting.environment import process_number
from tellapart.fitting.tasks import Task
from tellapart.objectives import Objective, RunFacts
from tellapart.objectives.options import CrossEntropyOptions, MeanSquaredErrorOptions, ObjectiveOptions
from tellapart.recipes import StageRecipe
from tellapart.training.evaluating import evaluation_loss
from tellapart.training.head import Head, train_head
from tellapart.training.probe import fit_linear
from tellapart.training.requirements import class_counts
from tellapart.training.tfidf import TfidfClassifier

# Largest number of rows for the initial regression: more cost time and improve nothing.
PROBE_ROWS = 10_000

# Defaults of AdamW on fixed vectors, where epochs are cheap.
HEAD_RATE, HEAD_EPOCHS = 1e-3, 20.0


def fit_start(stage: StageRecipe, model: Any, task: Task, seed: int) -> None:
    """Initialises the classifier by logistic regression (ridge for numeric targets) on the encoder's vectors."""
    bf16 = use_bf16(stage.precision, next(model.parameters()).device)
    assert task.train.labels is not None
    rows = _start_rows(task.train.labels, seed)
    vectors = represent(model, task.train, bf16=bf16, rows=rows)
    labels = task.train.labels[rows]
    further = task.weighted_label_rows(stage.label_text_weight)
    weights = None if task.train.weights is None else task.train.weights[rows]
    if further is not None:
        vectors = np.concatenate([vectors, represent(model, further, bf16=bf16)])
        labels, weights = _with_label_rows(labels, weights, further, stage.label_text_weight)
    _set_classifier(model, _by_regression(stage, len(task.labels), vectors, labels, weights, seed))


def _start_rows(labels: Tensor, seed: int) -> np.ndarray:
    """Returns `PROBE_ROWS` rows at random, and one row of each class that these lack.

    Without a row the regression makes a class nearly impossible, which a short training does not undo.
    """
    rows = np.random.default_rng(seed).permutation(len(labels))
    if labels.ndim > 1 or labels.is_floating_point():  # several labels, or targets
        return rows[:PROBE_ROWS]
    _, first = np.unique(labels.numpy()[rows], return_index=True)
    return rows[np.union1d(np.arange(min(PROBE_ROWS, len(rows))), first)]


def start_at_frequencies(model: Any, task: Task) -> None:
    """Initialises the biases of a multi-label classifier so that each label starts at its training frequency.

    With zero biases every label starts at probability 0.5, and many steps are spent learning that most are rare.

    Args:
        model: A classifier with an untrained final layer.
        task: The rows.

    References:
        Lin et al. 2017, Focal Loss for Dense Object Detection, §3.3.
    """
    rows = len(task.train)
    counts = class_counts(task.train, len(task.labels))
    assert counts is not None
    shares = ((counts.double() + 0.5) / (rows + 1.0)).clamp(max=1 - 0.5 / (rows + 1.0))
    with torch.no_grad():
        linear = final_linear(model)
        linear.bias.copy_(torch.logit(shares).to(linear.bias))


def train_fresh_head(
    stage: StageRecipe, objective: Objective, model: Any, task: Task, folder: Path, seed: int
) -> tuple[StageRecipe, list[dict[str, float]], float]:
    """Trains a new final layer on representations that are computed once.

    Every text is encoded once, in evaluation mode. All other weights stay bit-identical.

    Args:
        stage: The stage.
        objective: Built from the stage's recipe.
        model: A classifier in training form.
        task: The rows.
        folder: Cache folder of the vectors; a resumed run reuses them.
        seed: Seed of the layer's weights and the order of the rows.

    Returns:
        The stage with all defaults filled in, one log entry per epoch, and the share of the epochs after which the
        layer was reached.

    Raises:
        RecipeError: The stage has an option without effect, or the solver cannot minimise the objective.
        ModelError: The vectors in `folder` were computed by another model.
    """
    check_head_stage(stage)
    bf16 = use_bf16(stage.precision, next(model.parameters()).device)
    vectors = folder / f"vectors-{process_number()}"  # each process needs all, and none may share a file
    train = cached_representations(model, task.train, vectors / "train", bf16=bf16)
    assert task.train.labels is not None
    labels, weights = task.train.labels, task.train.weights
    further = task.weighted_label_rows(stage.label_text_weight)
    if further is not None:
        train = np.concatenate(
            [train, cached_representations(model, further, vectors / "label-texts", bf16=bf16)]
        )
        labels, weights = _with_label_rows(labels, weights, further, stage.label_text_weight)
    validation = None
    if task.validation is not None:
        validation = cached_representations(model, task.validation, vectors / "validation", bf16=bf16)
    stage = stage.model_copy(
        update={
            "precision": "bf16" if bf16 else "fp32",
            "epochs": stage.epochs or HEAD_EPOCHS,
            "head_learning_rate": stage.head_learning_rate or HEAD_RATE,
        }
    )
    fits = {}
    for solver in _solvers(stage, validated=validation is not None):
        if solver == "l-bfgs":
            fits[solver] = _by_regression(stage, len(task.labels), train, labels, weights, seed)
        else:
            fits[solver] = _by_epochs(stage, objective, task, train, labels, weights, validation, seed)
    chosen = next(iter(fits))
    if validation is not None:
        chosen = max(fits, key=lambda solver: _judged(stage, task, fits[solver].logits(validation)))
    _set_classifier(model, fits[chosen])
    head = fits[chosen]
    log = [_logged(entry, stage, task) for entry in head.log]
    return stage.model_copy(update={"solver": chosen}), log, head.epochs / len(log) if log else 1.0


def _logged(entry: dict[str, float], stage: StageRecipe, task: Task) -> dict[str, float]:
    """Renames an epoch's log entry as a Trainer names it."""
    entry = dict(entry)
    if "eval_score" in entry:
        assert stage.metric is not None
        sign = 1 if task.find_metric(stage.metric).greater_is_better else -1
        entry[f"eval_{stage.metric}"] = sign * entry.pop("eval_score")
    return entry


def check_head_stage(stage: StageRecipe) -> None:
    """Checks the options of a stage that trains only the head.

    Raises:
        RecipeError: The solver cannot minimise the objective, or an option would have no effect.
    """
    if stage.perturbation != "none":
        raise RecipeError(
            "a stage that trains only the head never runs the encoder, so a perturbation has no effect",
            "set it for a stage that trains the encoder",
        )
    if stage.selection == "average":
        raise RecipeError(
            "a stage that trains only the head has no weights to average over training",
            "set selection: average for a stage that trains the encoder",
        )
    if stage.gradient_cache is not None:
        raise RecipeError(
            "a stage that trains only the head never runs the encoder, so a gradient cache has no effect",
            "set it for a stage that trains the encoder",
        )
    if stage.solver == "l-bfgs" and not _is_plain(stage.objective):
        raise RecipeError(
            "the solver l-bfgs minimises cross entropy, or squared error, not "
            f"{stage.objective.name} with its options",
            "use --set stages.N.solver=adamw for that stage",
        )


def _solvers(stage: StageRecipe, *, validated: bool) -> list[str]:
    if stage.solver != "best":
        return [stage.solver]
    if not _is_plain(stage.objective):
        return ["adamw"]
    return ["l-bfgs", "adamw"] if validated else ["l-bfgs"]


def _is_plain(objective: ObjectiveOptions) -> bool:
    """Whether logistic or ridge regression minimises the objective."""
    return objective.model_dump() in (
        CrossEntropyOptions().model_dump(),
        MeanSquaredErrorOptions().model_dump(),
    )


def _with_label_rows(
    labels: Tensor, weights: Tensor | None, label_rows: TokenisedDataset, weight: float
) -> tuple[Tensor, Tensor | None]:
    """Returns the labels of training rows followed by label texts, and their weights unless all are 1."""
    assert label_rows.labels is not None
    if weight != 1.0 or weights is not None:
        own = torch.ones(len(labels)) if weights is None else weights
        weights = torch.cat([own, torch.full((len(label_rows),), float(weight))])
    return torch.cat([labels, label_rows.labels]), weights


def _by_regression(
    stage: StageRecipe, classes: int, train: np.ndarray, labels: Tensor, weights: Tensor | None, seed: int
) -> Head:
    weight, bias = fit_linear(
        train,
        labels.numpy(),
        classes,
        regularisation=stage.regularisation,
        seed=seed,
        weights=None if weights is None else weights.numpy(),
    )
    return Head(weight, bias)


def _by_epochs(
    stage: StageRecipe,
    objective: Objective,
    task: Task,
    train: np.ndarray,
    labels: Tensor,
    weights: Tensor | None,
    validation: np.ndarray | None,
    seed: int,
) -> Head:
    assert stage.epochs is not None
    assert stage.head_learning_rate is not None
    objective.prepare(
        RunFacts(
            num_labels=len(task.labels),
            hidden_size=train.shape[1],
            class_counts=class_counts(task.train, len(task.labels)),
            num_rows=len(task.train),
        )
    )
    return train_head(
        train,
        labels,
        len(task.labels),
        objective,
        epochs=max(1, round(stage.epochs)),
        batch_size=stage.batch_size,
        learning_rate=stage.head_learning_rate,
        weight_decay=stage.weight_decay,
        seed=seed,
        judge=None if validation is None else lambda logits: _judged(stage, task, logits),
        validation=validation,
        weights=weights,
        keep_last=stage.selection == "last",
    )


def fit_tfidf(
    stage: StageRecipe, data: TextData, seed: int, weights: np.ndarray | None = None
) -> TfidfClassifier:
    """Fits TF-IDF features and a linear SVM to the training rows, with weights (N,), and the label texts."""
    rows = data.train
    if data.label_texts is not None and stage.label_text_weight > 0:
        rows = with_rows(data.train, data.label_texts)
        if stage.label_text_weight != 1.0 or weights is not None:
            own = np.ones(len(data.train)) if weights is None else weights
            weights = np.append(own, np.full(len(data.label_texts), stage.label_text_weight))
    return TfidfClassifier.fit(rows, data.labels, seed=seed, weights=weights)


def _judged(stage: StageRecipe, task: Task, logits: np.ndarray) -> tuple[float, float]:
    """The stage's metric, then, to break ties, the log likelihood of the validation labels."""
    assert stage.metric is not None
    assert task.validation is not None
    assert task.validation.labels is not None
    score = task.validation_metrics(logits)[stage.metric]
    loss = evaluation_loss(torch.from_numpy(logits), task.validation.labels)
    return (score if task.find_metric(stage.metric).greater_is_better else -score), -loss


def _set_classifier(model: Any, head: Head) -> None:
    linear = final_linear(model)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(head.weight))
        linear.bias.copy_(torch.from_numpy(head.bias))
