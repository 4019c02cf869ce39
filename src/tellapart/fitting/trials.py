"""Seed runs: trains a method with one seed and stores its metrics in a file."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.errors import DataError
from tellapart.evaluation.confusions import from_json, to_json
from tellapart.evaluation.metrics import predicted_ids
from tellapart.evaluation.predictions import wrong_rows
from tellapart.evaluation.task import task_metrics, unseen_metrics
from tellapart.files import file_stem, read_kept, write_text
from tellapart.fitting.environment import environment
from tellapart.fitting.fingerprints import Fingerprint, recipe_fingerprint, warn_unmarked
from tellapart.fitting.fit import Announce, fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.tracking import TRACKING, final_metrics, result_files, tracked
from tellapart.inspection.confusion import confusion_matrix
from tellapart.recipes import Recipe
from tellapart.training.progress import show_phase

TRIALS = "trials"
"""Folder name of the trial files."""

DISTANCES_WRITTEN = 1_000
"""Most classes with which a trial file has the final label distances."""

_LATER_KEYS = {
    "windows": "none",
    "window_length": None,
    "window_stride": None,
    "gradient_cache": None,
    "regression": None,
    "validation_rows": None,
    "warm_up": 0.2,
    "unlabelled": None,
    "label_texts": "none",
    "label_text_weight": 1.0,
    "label_text_anchors": False,
    "selection": None,
    "averaging": 0.2,
    "validation_in_training": False,
    "label_names": None,
    "views_from_layer": 0,
    "out_of_scope": None,
    "abstain": None,
    "abstain_by": "probability",
    "conformal": None,
}
# Keys that older recipes have in another objective, where their value counts.
_LATER_OPTIONS: dict[str, dict[str, Any]] = {
    "label-distance": {"distance_as": "factor", "temperature": 0.1},
    "supcon": {"projection_size": None, "views": 1},
}


def trial_file(recipe: Recipe, folder: Path) -> Path:
    """Returns the path of a trial file: `<method>-seed<seed>.json`, the method as `file_stem` writes it."""
    return folder / f"{file_stem(recipe.method)}-seed{recipe.seed}.json"


def finished_trial(
    recipe: Recipe, source: str, folder: Path, rows: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any] | None:
    """Reads a trial file if it was run with these settings on these rows; returns None with other settings.

    Args:
        recipe: The method, with its seed.
        source: Source of the rows, `TextData.source`.
        folder: Folder of the trial files.
        rows: Fingerprints of the rows, `TextData.fingerprints`; a warning says if the trial is older than these.

    Raises:
        RecipeError: The settings are the same, but the rows, the encoder or the code have changed.
    """
    file = trial_file(recipe, folder)
    done = read_kept(file)
    if done is None:
        return None
    if "inputs" in done:
        before, now = Fingerprint.model_validate(done["inputs"]), _inputs(recipe, source, rows or {})
        if now.other_settings(before):
            return None
        now.check(before, f"the trial {file}")
        return done
    if done.get("fingerprint") != _fingerprint(recipe, source):
        return None
    if rows:
        warn_unmarked(f"trials in {folder}")
    return done


def run_trial(
    recipe: Recipe,
    data: TextData,
    folder: Path,
    metric: str,
    quiet: bool,
    pretrainer: Pretrainer | None = None,
    then: Callable[[Fitted], None] | None = None,
    announce: Announce = None,
    track: str | None = None,
) -> dict[str, Any]:
    """Trains and evaluates a method with one seed, or reads the result if it is finished already.

    Args:
        recipe: The method, with its seed.
        data: The rows as `split_data` prepared them for that seed.
        folder: Folder of the trial files, written atomically.
        metric: Name of the metric stored as `score`.
        quiet: Whether to show no progress.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        then: Called with the trained classifier before the file is written.
        announce: As for `tellapart.fitting.fit.fit`.
        track: Experiment tracker, see `tellapart.fitting.tracking`; it writes beside the folder of the trial files.

    Returns:
        The content of the file: `method`, `seed`, `score`, `metrics`, `seconds`, the metrics on unseen texts, the
        correct rows, the confusion matrix, the predictions of the wrong rows, the final label distances, the
        environment; with unlabelled texts also `self_training`.

    Raises:
        TellapartError: The method cannot be trained, or the file cannot be written.
    """
    done = finished_trial(recipe, data.source, folder, data.fingerprints)
    if done is not None and metric in done["metrics"]:  # an older version may not have computed it
        return scored_by(metric, done)
    stem = trial_file(recipe, folder).stem
    scratch, log = folder / f".{stem}", folder.parent / TRACKING
    start = time.perf_counter()
    with tracked(track, log, stem, scratch, part=stem) as tracker:
        options: dict[str, Any] = {"quiet": quiet, "pretrainer": pretrainer, "announce": announce}
        options["callbacks"] = () if tracker is None else (tracker,)
        try:
            fitted = fit(recipe, data, scratch, validated=data.test is None, **options)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        split = evaluated_split(data)
        show_phase(f"evaluation of {recipe.method}, seed {recipe.seed}", quiet=quiet)
        logits = fitted.validation_scores(split) if split is data.validation else fitted.scores(split)
        distances = fitted.label_distances
        trial = trial_content(
            recipe,
            data if data.test is None else replace(data, train=trained_rows(fitted, data)),
            fitted.labels,
            logits,
            metric,
            start=start,
            thresholds=fitted.decision.applied_thresholds,
        ) | {"label_distance": _written_distances(distances)}
        if fitted.self_training is not None:
            trial["self_training"] = fitted.self_training
        if then is not None:
            then(fitted)
        write_trial(trial, recipe, folder)  # before anything is sent, which may fail or take long
        if tracker is not None:
            confusion = from_json(trial["confusion"]) if "confusion" in trial else None
            scores = {"validation" if split is data.validation else "test": trial["metrics"]}
            tracker.finish(
                final_metrics(scores), result_files(log / stem, fitted.labels, confusion, distances)
            )
    del fitted
    gc.collect()  # a trainer and its model refer to each other: several models would stay in memory
    return trial


def scored_by(metric: str, trial: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a trial with `score` and `unseen_score` by a metric: it may have been run for another one."""
    unseen = trial.get("unseen") or {}
    return {**trial, "score": trial["metrics"][metric], "unseen_score": unseen.get(metric)}


def trial_content(
    recipe: Recipe,
    data: TextData,
    labels: LabelSpace,
    logits: np.ndarray,
    metric: str,
    *,
    start: float,
    thresholds: float | np.ndarray = 0.5,
) -> dict[str, Any]:
    """Evaluates logits of any origin in the form of a trial file.

    Args:
        recipe: Method, seed and settings of the trial.
        data: The rows as `split_data` prepared them for that seed.
        labels: The classes, in the order of the logits.
        logits: (N, K), one row for each of `evaluated_split(data)`.
        metric: Name of the metric stored as `score`.
        start: Start of training by `time.perf_counter`.
        thresholds: Multi-label only: decision thresholds on probabilities, a number or (K,).

    Returns:
        The content of the trial file, as returned by `run_trial`.
    """
    split = evaluated_split(data)
    assert split.labels is not None
    rule = recipe.data.without_positive
    metrics = task_metrics(labels, split, logits, thresholds, without_positive=rule)
    unseen = unseen_metrics(labels, data.train, split, logits, thresholds, without_positive=rule)
    return {
        "method": recipe.method,
        "seed": recipe.seed,
        "score": metrics[metric],
        "metrics": metrics,
        "seconds": round(time.perf_counter() - start, 3),
        "unseen": unseen,
        "seen_rows": len(split) - int(unseen["rows"]) if unseen else 0,
        "unseen_score": unseen.get(metric) if unseen else None,
        **({} if labels.regression else _class_decisions(labels, split, logits, thresholds)),
        "label_distance": None,
        "environment": environment(),
        "fingerprint": _fingerprint(recipe, data.source),
        "inputs": _inputs(recipe, data.source, data.fingerprints).model_dump(),
    }


def write_trial(trial: dict[str, Any], recipe: Recipe, folder: Path) -> None:
    """Writes a trial file atomically.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(trial_file(recipe, folder), json.dumps(trial, ensure_ascii=False))


def evaluated_split(data: TextData) -> TextSplit:
    """Returns the test rows, or the validation rows if there are none.

    Raises:
        DataError: There are neither.
    """
    split = data.test or data.validation
    if split is None:
        raise DataError(
            "there are no test or validation rows to compare methods on, and too few to split some off",
            "give more texts of each class, or test rows as a split of their own",
        )
    return split


def unpacked(written: str, rows: int) -> np.ndarray:
    """Decodes a trial's `correct` into bool (N,).

    Args:
        written: Hexadecimal string, four rows per character.
        rows: The number of rows N.
    """
    return np.unpackbits(np.frombuffer(bytes.fromhex(written), dtype=np.uint8), count=rows).astype(bool)


def _class_decisions(
    labels: LabelSpace, split: TextSplit, logits: np.ndarray, thresholds: float | np.ndarray
) -> dict[str, Any]:
    """Correct rows, the confusion matrix and the wrong predictions."""
    assert split.labels is not None
    gold = labels.encode(split.labels)
    predicted = predicted_ids(labels, logits, thresholds)
    correct = (predicted == gold).reshape(len(split), -1).all(axis=1)
    return {
        "correct": np.packbits(correct).tobytes().hex(),
        "confusion": to_json(confusion_matrix(labels, gold, predicted)),
        "wrong": asdict(wrong_rows(labels, gold, logits, thresholds)),
    }


def _written_distances(distances: np.ndarray | None) -> list[list[float]] | None:
    """The final label distances, unless they would be most of the file by far."""
    return None if distances is None or len(distances) > DISTANCES_WRITTEN else distances.tolist()


def _inputs(recipe: Recipe, source: str, rows: Mapping[str, Mapping[str, str]]) -> Fingerprint:
    """The fingerprint of a trial; a source with a mark of its own, as tables have, counts as a setting."""
    mark = source if source != recipe.data.source else None
    return recipe_fingerprint("trial", recipe, rows, source=mark)


def _fingerprint(recipe: Recipe, source: str) -> str:
    """SHA-256 of settings and source, which identifies trials of version 0.1.

    Later keys at their neutral value are left out, so that older trials stay valid.
    """
    content = recipe.model_dump(mode="json")
    if content["data"]["unlabelled"] is None:
        del content["self_training"]
    stages = content["stages"]
    objectives = [stage["objective"] for stage in stages]
    sections = [
        (section, _LATER_KEYS)
        for section in (content["data"], content["encoder"], content["decision"], *stages, *objectives)
    ]
    sections += [(options, _LATER_OPTIONS.get(options["name"], {})) for options in objectives]
    for section, later in sections:
        for key, changing_nothing in later.items():
            if key in section and section[key] == changing_nothing:
                del section[key]
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return hashlib.sha256((written + source).encode()).hexdigest()
