"""Run folders: checks before writing, and writes model, recipe, predictions, report and metrics."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.reading.tables import write_table
from tellapart.errors import OutputError, TellapartWarning, UserError
from tellapart.evaluation.calibration import ReliabilityBin, reliability_bins
from tellapart.evaluation.metrics import confidences, finite_logits, per_class, predicted_ids
from tellapart.evaluation.predictions import prediction_table, wrong_rows
from tellapart.evaluation.task import seen_note
from tellapart.files import finite_json, left_by_a_kill, user_path, write_json, write_text
from tellapart.fitting.card import write_card
from tellapart.fitting.environment import is_main_process
from tellapart.fitting.fingerprints import FINGERPRINT, add_resolved
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.nearest import add_nearest
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.self_training import self_training_notes
from tellapart.fitting.tracking import TRACKING
from tellapart.inspection.confusion import most_confused_pairs
from tellapart.inspection.report import write_report, write_target_report
from tellapart.inspection.workbench import WrongText, named_answers, workbench_data, write_errors
from tellapart.inspection.wrong_words import add_words
from tellapart.recipes import Recipe

CHECKPOINTS = "checkpoints"

_FULL = (errno.ENOSPC, errno.EDQUOT)  # has a sentence of its own

LOCK = ".lock"
"""File that a run locks in its folder, and removes at its end."""


@contextlib.contextmanager
def claimed(
    output: str | Path,
    *,
    resume: bool | None = None,
    overwrite: bool = False,
    inputs: Iterable[Any] = (),
    emptied: bool = True,
) -> Iterator[Path]:
    """Claims an output folder for one run: it is checked, made, and locked while the block runs.

    The operating system releases the lock when the process ends, also if it is killed. Under torchrun the first
    process holds it for all. A folder that the block leaves empty is removed.

    Args:
        output: The folder.
        resume: Whether the run in the folder goes on; None for a verb that cannot resume.
        overwrite: Whether the files of an earlier run are deleted.
        inputs: Files and folders that the run reads: they are never deleted. Other names and rows in memory may be
            among them.
        emptied: Whether `overwrite` deletes at once; if not, the block calls `claim_folder` after what may fail.

    Raises:
        UserError: Another run is writing to the folder, or it cannot be used, see `claim_folder`.
        OutputError: The folder cannot be made, emptied or locked.
    """
    folder = Path(output)
    if not is_main_process():
        yield folder
        return
    with _output_errors(folder):
        _check_claim(folder, resume=resume, overwrite=overwrite)
        if overwrite and not resume:
            _check_apart(folder, inputs)
        folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        try:
            if emptied or not overwrite:
                claim_folder(folder, resume=resume, overwrite=overwrite)
            yield folder
        finally:
            with contextlib.suppress(OSError):  # Windows removes the file with its lock
                (folder / LOCK).unlink()
            with contextlib.suppress(OSError):
                _remove_if_nothing_ran(folder)


def inputs_of(recipe: Recipe) -> list[str]:
    """Returns what a recipe names that may be a file or a folder: data, texts and encoders."""
    data, encoder = recipe.data, recipe.encoder
    rows = (data.source, data.unlabelled, data.label_texts, data.out_of_scope)
    models = (encoder.name, encoder.second, encoder.embeddings)
    return [name for name in (*rows, *models) if isinstance(name, str)]


def _check_apart(folder: Path, inputs: Iterable[Any]) -> None:
    """Refuses to empty a folder in which something lies that the run reads."""
    place = folder.resolve()
    for name in inputs:
        if not isinstance(name, str | Path) or not user_path(name).exists():
            continue
        if user_path(name).resolve().is_relative_to(place):
            raise UserError(
                f"{name} lies in the output folder {folder}, which --overwrite would empty",
                "choose another --output",
            )


def _remove_if_nothing_ran(folder: Path) -> None:
    """Removes a folder that is empty, or holds the fingerprint of a run that was refused and nothing else."""
    if not {path.name for path in folder.iterdir()} - {FINGERPRINT}:
        (folder / FINGERPRINT).unlink(missing_ok=True)
        if not folder.is_symlink():
            folder.rmdir()


def claim_folder(output: str | Path, *, resume: bool | None, overwrite: bool) -> Path:
    """Returns the output folder after checking that it may be written; deletes an earlier run if it is overwritten.

    Args:
        output: The folder.
        resume: Whether a run in it is to be continued; None for a verb that cannot resume.
        overwrite: Whether to delete what a run wrote there.

    Raises:
        UserError: It holds files, and neither `resume` nor `overwrite` is set, or the files are not those of a run.
        OutputError: It cannot be read or emptied.
    """
    folder = Path(output)
    with _output_errors(folder):
        _check_claim(folder, resume=resume, overwrite=overwrite)
        if overwrite and not resume and folder.is_dir():
            for path in _content(folder):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    return folder


def _check_claim(folder: Path, *, resume: bool | None, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"the output {folder} is a file", "give a folder")
    if resume or not folder.is_dir() or not _content(folder):
        return
    if not overwrite:
        continued = "" if resume is None else "continue with --resume, "
        raise UserError(
            f"the output folder {folder} is not empty",
            f"choose another --output, {continued}or replace it with --overwrite",
        )
    if not _is_run_folder(folder):
        raise UserError(
            f"the output folder {folder} holds files that were not written by a run",
            "choose another --output, or empty it yourself",
        )


def _content(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != LOCK]


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, without waiting for it."""
    lock = FileLock(folder / LOCK)
    try:
        with _output_errors(folder):
            lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"another run is writing to the output folder {folder}",
            "wait for its end, or choose another --output",
        ) from None
    except NotImplementedError:
        warnings.warn(
            f"the file system of {folder} has no locks: do not start two runs into one folder",
            TellapartWarning,
            stacklevel=4,
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    """Turns an OSError of a file in the folder, of the folder or of one above it into an OutputError."""
    try:
        yield
    except OSError as error:
        if (
            isinstance(error, OutputError)
            or not isinstance(error.filename, str | Path)
            or error.errno in _FULL
        ):
            raise
        place, named = Path(os.path.abspath(folder)), Path(os.path.abspath(error.filename))  # noqa: PTH100
        if not (named.is_relative_to(place) or place.is_relative_to(named)):
            raise
        raise OutputError(
            f"{error.filename} cannot be written ({error.strerror})",
            "choose another --output, or change the permissions of the folder",
        ) from error


def _is_run_folder(folder: Path) -> bool:
    """Whether all files have names that runs write, so that --overwrite never deletes anything else."""
    names = {left_by_a_kill(path.name) or path.name for path in _content(folder)}
    return all(name in RUN_FILES or _NUMBERED.match(name) is not None for name in names)


_NUMBERED = re.compile(r"confusion-|label-distance-|part-\d+-\d+\.parquet$")

RUN_FILES = {
    "model",
    CHECKPOINTS,
    TRACKING,
    FINGERPRINT,
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
    "word-effects.html",
    "word-effects.json",
    "word-effects.png",
    "audit.json",
    "audit.html",
    "suspects.csv",
    "vectors",
    "_parts.json",
}


def write_run(
    folder: Path,
    fitted: Fitted,
    data: TextData,
    logits: dict[str, np.ndarray],
    metrics: dict[str, Any],
    *,
    explain_seconds: float = 0.0,
) -> None:
    """Writes model, recipe, predictions and report; the metrics last, as they mark the run as finished.

    Args:
        folder: The run folder.
        fitted: The trained classifier.
        data: Its data.
        logits: Split name to logits (N, K), for the scored splits.
        metrics: The content of `metrics.json`.
        explain_seconds: Time for the words that decide the wrong texts of the report; 0 for none.

    Raises:
        OutputError: A file cannot be written.
    """
    assert fitted.recipe is not None
    fitted.save(folder / "model")
    write_card(folder / "model", fitted, data, logits, metrics)
    write_text(folder / "recipe.yaml", fitted.recipe.to_yaml())
    add_resolved(folder, fitted.recipe)
    shown = "test" if "test" in logits else "validation"
    if shown in logits:
        split = data.splits[shown]
        table = prediction_table(fitted.labels, split, logits[shown], fitted.decision)
        write_table(table, folder / "predictions.parquet")
        _write_report(folder, fitted, data, split, logits[shown], metrics, shown, explain_seconds)
    write_json(folder / "metrics.json", finite_json(metrics))


def _write_report(
    folder: Path,
    fitted: Fitted,
    data: TextData,
    split: TextSplit,
    logits: np.ndarray,
    metrics: dict[str, Any],
    shown: str,
    explain_seconds: float,
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
    confusion = fitted.confusion(split, logits)
    assert confusion is not None
    errors, note = _errors(fitted, split, gold, logits, trained_rows(fitted, data))
    words = ""
    # Validation logits that the run kept are not those of the final model.
    if shown == "test" or fitted.validation_logits is None:
        pairs = most_confused_pairs(confusion, labels.names, confusion.nnz)
        words = add_words(errors, pairs, fitted, seconds=explain_seconds)
    workbench = workbench_data(
        errors,
        classes=labels.names,
        matrices={"": confusion},
        notes=[one for one in (note, words) if one],
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
        risk_coverage=metrics.get("risk_coverage", {}).get(shown, ()),
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
