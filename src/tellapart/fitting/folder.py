"""Run folders: checks before writing, and writes model, recipe, predictions, report and metrics."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.reading.tables import write_table
from tellapart.errors import UserError
from tellapart.evaluation.calibration import ReliabilityBin, reliability_bins
from tellapart.evaluation.metrics import confidences, finite_logits, per_class, predicted_ids
from tellapart.evaluation.predictions import prediction_table, wrong_rows
from tellapart.evaluation.task import seen_note
from tellapart.files import write_json, write_text
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.nearest import add_nearest
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.self_training import self_training_notes
from tellapart.inspection.confusion import confusion_matrix
from tellapart.inspection.report import write_report, write_target_report
from tellapart.inspection.workbench import WrongText, named_answers, workbench_data, write_errors

CHECKPOINTS = "checkpoints"


def claim_folder(output: str | Path, *, resume: bool, overwrite: bool) -> Path:
    """Returns the output folder after checking that it may be written.

    Raises:
        UserError: It holds files, and neither `resume` nor `overwrite` is set, or the files are not those of a run.
    """
    folder = Path(output)
    if folder.is_file():
        raise UserError(f"the output {output} is a file", "give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        if not overwrite:
            raise UserError(
                f"the output folder {output} is not empty",
                "choose another --output, continue with --resume, or replace it with --overwrite",
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
    "errors.json",
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
    "word-effects.json",
    "word-effects.png",
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
        _write_report(folder, fitted, data, split, logits[shown], metrics, shown)
    write_json(folder / "metrics.json", metrics)


def _write_report(
    folder: Path,
    fitted: Fitted,
    data: TextData,
    split: TextSplit,
    logits: np.ndarray,
    metrics: dict[str, Any],
    shown: str,
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
        write_target_report(
            folder / "report.html", split=split, predicted=finite_logits(logits)[:, 0], **described
        )
        return
    gold = labels.encode(split.labels)
    predicted = predicted_ids(labels, logits, decision.applied_thresholds)
    confusion = confusion_matrix(labels, gold, predicted)
    errors, note = _errors(fitted, split, gold, logits, trained_rows(fitted, data))
    workbench = workbench_data(
        errors,
        classes=labels.names,
        matrices={"": confusion},
        notes=[note] if note else [],
        ranks=labels.ranks,
    )
    write_errors(folder / "errors.json", workbench)
    write_report(
        folder / "report.html",
        **described,
        per_class=per_class(labels, gold, predicted),
        confusion=confusion,
        names=labels.names,
        workbench=workbench,
        rows=len(split),
        reliability=_reliability(fitted, gold, logits),
        thresholds=decision.to_dict(labels).get("thresholds"),
        self_training=fitted.self_training,
        self_training_note=" ".join(self_training_notes(fitted.self_training or {})),
        ranks=labels.ranks,
    )


def _reliability(fitted: Fitted, gold: np.ndarray, logits: np.ndarray) -> dict[str, list[ReliabilityBin]]:
    temperature = fitted.decision.temperature
    after = reliability_bins(*confidences(fitted.labels, gold, logits))
    if temperature == 1:
        return {"as trained": after}
    before = confidences(fitted.labels, gold, fitted.decision.uncalibrated(logits))
    return {"as trained": reliability_bins(*before), f"with a temperature of {temperature:.2f}": after}


def _errors(
    fitted: Fitted, split: TextSplit, gold: np.ndarray, logits: np.ndarray, train: TextSplit
) -> tuple[list[WrongText], str]:
    """Returns the wrong texts, the most confident first, and how their nearest training texts were found."""
    labels = fitted.labels
    assert split.labels is not None
    assert fitted.recipe is not None
    wrong = wrong_rows(labels, gold, logits, fitted.decision.applied_thresholds)
    errors: list[WrongText] = []
    for row, answer in named_answers(asdict(wrong), labels.names):
        label: Any = split.labels[row]  # a name, or a list of them
        error: WrongText = {
            "row": row,
            "text": split.texts[row],
            "gold": [label] if isinstance(label, str) else list(label),
            "answers": [answer],
        }
        if split.text_pairs is not None:
            error["text_pair"] = split.text_pairs[row]
        errors.append(error)
    errors.sort(key=lambda error: -error["answers"][0]["probability"])
    return errors, add_nearest(errors, train, labels, fitted.recipe.encoder.name)
