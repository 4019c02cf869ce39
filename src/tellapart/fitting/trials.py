"""One trial: a method with one seed on one set, and the file that keeps what came out."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.evaluation.metrics import predicted_ids
from tellapart.evaluation.task import task_metrics, unseen_metrics
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.inspection.confusion import confusion_matrix
from tellapart.objectives import LabelDistance
from tellapart.recipes import Recipe

TRIALS = "trials"
"""The folder of the trials' files, in the folder of a set."""

_LATER_KEYS = {
    "windows": "none",
    "window_length": None,
    "window_stride": None,
    "gradient_cache": None,
    "regression": None,
    "validation_rows": None,
}


def trial_file(recipe: Recipe, folder: Path) -> Path:
    """Returns where the trial of a recipe is kept: `<method>-seed<seed>.json`."""
    return folder / f"{recipe.method}-seed{recipe.seed}.json"


def finished_trial(recipe: Recipe, source: str, folder: Path) -> dict[str, Any] | None:
    """Reads a trial from its file, if it was finished with these very settings.

    Args:
        recipe: The method, with its seed.
        source: What the rows came from, `TextData.source`.
        folder: Where the trials of this set are.
    """
    file = trial_file(recipe, folder)
    if not file.is_file():
        return None
    done = json.loads(file.read_text(encoding="utf-8"))
    return done if done.get("fingerprint") == _fingerprint(recipe, source) else None


def run_trial(recipe: Recipe, data: TextData, folder: Path, metric: str, quiet: bool) -> dict[str, Any]:
    """Trains a method with one seed and evaluates it, or takes that from the file if it was done before.

    Args:
        recipe: The method, with its seed.
        data: The rows as `split_data` prepared them for that seed.
        folder: Where the trials of this set are kept; the file appears whole or not at all.
        metric: The name in `METRICS` of what becomes the trial's `score`.
        quiet: Whether to show no progress.

    Returns:
        The content of the file: `method`, `seed`, `score`, `metrics`, `seconds`, those of the rows that were not
        trained on, which rows are right, the confusion matrix, the final label distances, the environment.

    Raises:
        TellapartError: The method cannot be trained, or the file not be written.
    """
    done = finished_trial(recipe, data.source, folder)
    if done is not None:
        return done
    scratch = folder / f".{recipe.method}-seed{recipe.seed}"
    start = time.perf_counter()
    try:
        fitted = fit(recipe, data, scratch, quiet=quiet)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    split = evaluated_split(data)
    trial = trial_content(
        recipe, data, fitted.labels, fitted.scores(split), metric, start=start, cuts=fitted.decision.cuts
    ) | {"label_distance": _label_distances(fitted)}
    write_trial(trial, recipe, folder)
    return trial


def trial_content(
    recipe: Recipe,
    data: TextData,
    labels: LabelSpace,
    logits: np.ndarray,
    metric: str,
    *,
    start: float,
    cuts: float | np.ndarray = 0.5,
) -> dict[str, Any]:
    """Evaluates scores as those of a trial, whatever they come from.

    Args:
        recipe: What the trial is filed under: its method, its seed and all its settings.
        data: The rows as `split_data` prepared them for that seed.
        labels: The classes, in the order of the scores.
        logits: (N, K), one row for each of `evaluated_split(data)`.
        metric: The name in `METRICS` of what becomes the trial's `score`.
        start: When the training began, by `time.perf_counter`.
        cuts: Several labels a row only: the probabilities from which labels are predicted.

    Returns:
        The content of the trial's file, as `run_trial` gives it.
    """
    split = evaluated_split(data)
    assert split.labels is not None
    rule = recipe.data.without_positive
    metrics = task_metrics(labels, split, logits, cuts, without_positive=rule)
    unseen = unseen_metrics(labels, data.train, split, logits, cuts, without_positive=rule)
    return {
        "method": recipe.method,
        "seed": recipe.seed,
        "score": metrics[metric],
        "metrics": metrics,
        "seconds": round(time.perf_counter() - start, 3),
        "unseen": unseen,
        "seen_rows": len(split) - int(unseen["rows"]) if unseen else 0,
        "unseen_score": unseen.get(metric) if unseen else None,
        **({} if labels.regression else _class_decisions(labels, split, logits, cuts)),
        "label_distance": None,
        "environment": environment(),
        "fingerprint": _fingerprint(recipe, data.source),
    }


def write_trial(trial: dict[str, Any], recipe: Recipe, folder: Path) -> None:
    """Writes a trial's file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing(trial_file(recipe, folder)) as temporary:
        temporary.write_text(json.dumps(trial, ensure_ascii=False), encoding="utf-8")


def evaluated_split(data: TextData) -> TextSplit:
    """Returns the rows that methods are compared on: the test rows, or the validation rows where there are none."""
    split = data.test or data.validation
    assert split is not None
    return split


def unpacked(written: str, rows: int) -> np.ndarray:
    """Reads whether each row is right, bool (N,), from a trial's `correct`.

    Args:
        written: Hexadecimal, four rows a character.
        rows: How many rows there are.
    """
    return np.unpackbits(np.frombuffer(bytes.fromhex(written), dtype=np.uint8), count=rows).astype(bool)


def _class_decisions(
    labels: LabelSpace, split: TextSplit, logits: np.ndarray, cuts: float | np.ndarray
) -> dict[str, Any]:
    """Whether each row is right, and what was taken for what."""
    assert split.labels is not None
    gold = labels.encode(split.labels)
    predicted = predicted_ids(labels, logits, cuts)
    return {
        "correct": _packed((predicted == gold).reshape(len(split), -1).all(axis=1)),
        "confusion": confusion_matrix(labels, gold, predicted).tolist(),
    }


def _packed(right: np.ndarray) -> str:
    return np.packbits(right).tobytes().hex()


def _fingerprint(recipe: Recipe, source: str) -> str:
    """Takes keys that recipes did not always have as absent where they change nothing: older trials stay valid."""
    content = recipe.model_dump(mode="json")
    for section in (content["data"], content["encoder"], *content["stages"]):
        for key, changing_nothing in _LATER_KEYS.items():
            if key in section and section[key] == changing_nothing:
                del section[key]
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return hashlib.sha256((written + source).encode()).hexdigest()


def _label_distances(fitted: Fitted) -> list[list[float]] | None:
    if fitted.objective is None:
        return None
    for module in fitted.objective.modules():
        if isinstance(module, LabelDistance) and module.distances is not None:
            return module.distances.tolist()
    return None
