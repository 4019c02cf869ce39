"""Run folders: checks before writing, and writes model, recipe, predictions, report and metrics."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.tables import write_table
from tellapart.errors import UserError
from tellapart.evaluation.calibration import ReliabilityBin, reliability_bins
from tellapart.evaluation.metrics import confidences, finite_logits, per_class, predicted_ids
from tellapart.evaluation.predictions import predicted_columns, prediction_table
from tellapart.evaluation.task import seen_note
from tellapart.files import write_json, write_text
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.self_training import self_training_notes
from tellapart.inspection.confusion import confusion_matrix
from tellapart.inspection.report import WrongPrediction, write_report, write_target_report

CHECKPOINTS = "checkpoints"


def claim_folder(output: str | Path, *, resume: bool, overwrite: bool, resumable: bool = True) -> Path:
    """Returns the output folder after checking that it may be written.

    Args:
        output: The folder.
        resume: Whether a run in it is to be continued.
        overwrite: Whether to delete what a run wrote there.
        resumable: Whether the verb knows `--resume`, for the message.

    Raises:
        UserError: It holds files, and neither `resume` nor `overwrite` is set, or the files are not those of a run.
    """
    folder = Path(output)
    if folder.is_file():
        raise UserError(f"the output {output} is a file", "give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        if not overwrite:
            continued = "continue with --resume, " if resumable else ""
            raise UserError(
                f"the output folder {output} is not empty",
                f"choose another --output, {continued}or replace it with --overwrite",
            )
        if not _is_run_folder(folder):
            raise UserError(
                f"the output folder {output} holds files that were not written by a run",
                "choose another --output, or empty it yourself",
            )
        shutil.rmtree(folder)
    return folder


def _is_run_folder(folder: Path) -> bool:
    """Whether all files have names that runs write, so that --overwrite never deletes anything else."""
    names = {path.name for path in folder.iterdir()}
    return all(name in RUN_FILES or name.startswith(("confusion-", "label-distance-")) for name in names)


RUN_FILES = {
    "model",
    CHECKPOINTS,
    "metrics.json",
    "recipe.yaml",
    "predictions.parquet",
    "report.html",
    "trials",
    "comparison.json",
    "comparison.html",
    "comparison.png",
    "predictions.json",
    "robustness.json",
    "robustness.html",
    "sweep.json",
    "sweep.html",
    "sweep.png",
    "best.yaml",
    "study.db",
    "study.db-journal",  # of a process that was killed while it wrote
    "generator",
    "log.jsonl",
    "curves.png",
    "audit.json",
    "audit.html",
    "suspects.csv",
    "vectors",
}


def write_run(
    folder: Path, fitted: Fitted, data: TextData, logits: dict[str, np.ndarray], metrics: dict[str, Any]
) -> None:
    """Writes model, recipe, predictions and report; the metrics last, as they mark the run as finished.

    Args:
        folder: The run folder.
        fitted: The trained classifier.
        data: Its data.
        logits: Split name to logits (N, K), for the scored splits.
        metrics: The content of `metrics.json`.

    Raises:
        OutputError: A file cannot be written.
    """
    assert fitted.recipe is not None
    fitted.save(folder / "model")
    write_text(folder / "recipe.yaml", fitted.recipe.to_yaml())
    shown = "test" if "test" in logits else "validation"
    if shown in logits:
        split = data.splits[shown]
        table = prediction_table(fitted.labels, split, logits[shown], fitted.decision.applied_thresholds)
        write_table(table, folder / "predictions.parquet")
        _write_report(folder / "report.html", fitted, split, logits[shown], metrics, shown)
    write_json(folder / "metrics.json", metrics)


def _write_report(
    path: Path, fitted: Fitted, split: TextSplit, logits: np.ndarray, metrics: dict[str, Any], shown: str
) -> None:
    assert fitted.recipe is not None
    assert split.labels is not None
    labels, decision = fitted.labels, fitted.decision
    unseen = metrics.get("test_unseen") if shown == "test" else None
    remarks = [seen_note(len(split), unseen)] if unseen else []
    described: dict[str, Any] = {
        "title": f"{fitted.recipe.method} on {fitted.recipe.data.source or 'data'}",
        "metrics": metrics[shown],
        "training_log": fitted.history,
        "recipe_yaml": fitted.recipe.to_yaml(),
        "note": " ".join([*remarks, *fitted.remarks]),
    }
    if labels.regression:
        write_target_report(path, split=split, predicted=finite_logits(logits)[:, 0], **described)
        return
    gold = labels.encode(split.labels)
    predicted = predicted_ids(labels, logits, decision.applied_thresholds)
    write_report(
        path,
        **described,
        per_class=per_class(labels, gold, predicted),
        confusion=confusion_matrix(labels, gold, predicted),
        names=labels.names,
        errors=_errors(labels, split, gold, logits, decision.applied_thresholds),
        reliability=_reliability(fitted, gold, logits),
        thresholds=decision.to_dict(labels).get("thresholds"),
        self_training=fitted.self_training,
        self_training_note=" ".join(self_training_notes(fitted.self_training or {})),
    )


def _reliability(fitted: Fitted, gold: np.ndarray, logits: np.ndarray) -> dict[str, list[ReliabilityBin]]:
    temperature = fitted.decision.temperature
    after = reliability_bins(*confidences(fitted.labels, gold, logits))
    if temperature == 1:
        return {"as trained": after}
    before = confidences(fitted.labels, gold, fitted.decision.uncalibrated(logits))
    return {"as trained": reliability_bins(*before), f"with a temperature of {temperature:.2f}": after}


def _errors(
    labels: LabelSpace, split: TextSplit, gold: np.ndarray, logits: np.ndarray, thresholds: float | np.ndarray
) -> list[WrongPrediction]:
    predicted, probability = predicted_columns(labels, logits, thresholds)
    ids = predicted_ids(labels, logits, thresholds)
    wrong = np.flatnonzero((ids != gold).any(1) if labels.multi_label else ids != gold)
    assert split.labels is not None
    gold_labels: list[Any] = list(split.labels)  # names, or lists of them
    return [
        {
            "text": split.texts[row],
            "text_pair": None if split.text_pairs is None else split.text_pairs[row],
            "gold": gold_labels[row],
            "predicted": predicted[row],
            "probability": max(probability[row], default=0.0) if labels.multi_label else probability[row],
        }
        for row in wrong
    ]
