"""Trains a recipe and writes a run folder: model, metrics, recipe, predictions, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextData
from tellapart.evaluation.decision import Decision
from tellapart.evaluation.task import seen_note, task_metrics, unseen_metrics
from tellapart.files import read_kept
from tellapart.fitting.abstaining import abstention_reports
from tellapart.fitting.decisions import decision_metrics
from tellapart.fitting.environment import connect, environment, is_main_process, process_count
from tellapart.fitting.fingerprints import check_resumed, recipe_fingerprint
from tellapart.fitting.fit import Announce, fit
from tellapart.fitting.folder import CHECKPOINTS, claim_folder, claimed, inputs_of, write_run
from tellapart.fitting.merging import Merge, check_merge, fit_merged, resolved_merge
from tellapart.fitting.prepared import check_start
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.rows import load_data
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.tracking import TRACKING, Tracker, check_tracker, log_run, tracked
from tellapart.inspection.wrong_words import EXPLAIN_SECONDS
from tellapart.recipes import Recipe
from tellapart.training.progress import show_phase


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: The run folder.
        metrics: The content of `metrics.json`.
        recipe: The run with all defaults filled in.
        notes: Remarks from reading and splitting the data and building the encoder.
    """

    folder: Path
    metrics: dict[str, Any]
    recipe: Recipe
    notes: tuple[str, ...]


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    trials: int = 1,
    merge: Merge | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    pretrainer: Pretrainer | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
    explain_errors: float = EXPLAIN_SECONDS,
    track: str | None = None,
    recipe_file: str | Path | None = None,
) -> RunResult:
    """Trains a recipe and writes a run folder.

    A killed run continues with `resume=True` from its newest checkpoint to the same result.

    Args:
        recipe: The run.
        output: The folder to write.
        trials: Models to train and merge into one, see `tellapart.fitting.merging.fit_merged`.
        merge: `soup` or `distil`; None for a single model.
        resume: Whether to continue an interrupted run.
        overwrite: Whether to delete an earlier run.
        quiet: Whether to show no progress.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`:
            `tellapart.pretraining.further.pretrain_encoder`.
        announce: Called before training begins with the notes on the data, then with those on the encoder and on
            rows that are cut; a note may come again if the run trains several times.
        explain_errors: Seconds for computing which words decide the wrong texts of the report; 0 for none.
        track: Experiment tracker, `tensorboard`, `trackio`, `mlflow` or `wandb`, which writes below `tracking`.
        recipe_file: The file of the recipe, which is never deleted with an overwritten folder.

    Raises:
        UserError: The folder is in use or holds another run, or the recipe or the data cannot be used.
        OutputError: The folder cannot be written.
    """
    check_tracker(track)
    check_merge(recipe, trials, merge)
    connect()
    inputs = (recipe_file, *inputs_of(recipe))
    with claimed(output, resume=resume, overwrite=overwrite, inputs=inputs, emptied=False) as folder:
        data = load_data(recipe)
        if overwrite:
            check_start(recipe, data, pretrainer)
            if merge is not None:
                resolved_merge(recipe, data, merge)
        if is_main_process():
            merged = {} if merge is None else {"merge": merge, "trials": trials}
            processes = process_count() if process_count() > 1 else None
            fingerprint = recipe_fingerprint(
                "train", recipe, data.fingerprints, processes=processes, **merged
            )
            claim_folder(folder, resume=resume, overwrite=overwrite)
            check_resumed(folder, fingerprint, resume=resume, recipe=recipe)
        if resume and (metrics := read_kept(folder / "metrics.json")) is not None:
            return RunResult(folder, metrics, recipe, ("the run was finished already",))
        if announce is not None:
            announce(data.notes)
        with tracked(track, folder / TRACKING, folder.name, folder / CHECKPOINTS) as tracker:
            return _trained(
                recipe,
                data,
                folder,
                trials,
                merge,
                resume,
                quiet or not is_main_process(),
                pretrainer,
                announce,
                explain_errors,
                tracker,
            )


def _trained(
    recipe: Recipe,
    data: TextData,
    folder: Path,
    trials: int,
    merge: Merge | None,
    resume: bool,
    quiet: bool,
    pretrainer: Pretrainer | None,
    announce: Announce,
    explain_errors: float,
    tracker: Tracker | None,
) -> RunResult:
    """Trains the recipe on the data, and writes the run."""
    checkpoints = folder / CHECKPOINTS
    start = time.perf_counter()
    options: dict[str, Any] = {
        "resume": resume,
        "resumable": True,
        "quiet": quiet,
        "announce": announce,
        "callbacks": [] if tracker is None else [tracker],
    }
    merged = None
    if merge is None:
        fitted = fit(recipe, data, checkpoints, pretrainer=pretrainer, **options)
    else:
        merged = fit_merged(recipe, data, checkpoints, members=trials, merge=merge, **options)
        fitted = merged.fitted
    seconds = time.perf_counter() - start
    assert fitted.recipe is not None
    metrics: dict[str, Any] = {"method": fitted.recipe.method, "training_seconds": round(seconds, 2)}
    metrics["rows"] = {name: len(split) for name, split in data.splits.items()}
    if data.unlabelled is not None:
        metrics["rows"]["unlabelled"] = len(data.unlabelled)
        metrics["self_training"] = fitted.self_training
    if data.label_texts is not None:
        metrics["label_texts"] = len(data.label_texts)
    seen = trained_rows(fitted, data)
    if fitted.recipe.data.validation_in_training:
        metrics["validation_in_training"] = {"rows": len(seen), "shares": list(fitted.shares)}
    if merged is not None:
        metrics["merge"] = merged.to_dict()
    logits, notes, cut = {}, [*data.notes, *fitted.notes, *fitted.remarks], dict(fitted.truncated)
    for name in ("validation", "test"):
        split = data.splits.get(name)
        if split is not None and split.labels is not None:
            show_phase(f"evaluation on {len(split):,} {name} rows", quiet=quiet)
            rows = fitted.tokenised(split)
            if rows is not None and rows.cut_share is not None:
                cut[name] = rows.cut_share
            scores = fitted.validation_scores if name == "validation" else fitted.scores
            logits[name] = scores(split, rows=rows, quiet=quiet)
            metrics[name] = task_metrics(
                fitted.labels,
                split,
                logits[name],
                fitted.decision.applied_thresholds,
                without_positive=recipe.data.without_positive,
            )
    for name, report in abstention_reports(fitted, data, logits).items():
        metrics[name] |= report.metrics
        metrics.setdefault("risk_coverage", {})[name] = report.curve
    if cut:
        metrics["cut"] = {"max_length": fitted.max_length, **cut}
    if "test" in logits:
        assert data.test is not None
        unseen = unseen_metrics(
            fitted.labels,
            seen,
            data.test,
            logits["test"],
            fitted.decision.applied_thresholds,
            without_positive=recipe.data.without_positive,
        )
        if unseen is not None:
            metrics["test_unseen"] = unseen
            notes.append(seen_note(len(data.test), unseen))
    if fitted.decision != Decision():
        metrics["decision"] = decision_metrics(fitted, data, logits)
    metrics["environment"] = environment()
    if is_main_process():
        show_phase("report: confused classes, their nearest texts, words that decide", quiet=quiet)
        write_run(folder, fitted, data, logits, metrics, explain_seconds=explain_errors)
        shutil.rmtree(checkpoints, ignore_errors=True)
        if tracker is not None:
            log_run(tracker, folder, fitted, data, logits, metrics)
    return RunResult(folder, metrics, fitted.recipe, tuple(notes))
