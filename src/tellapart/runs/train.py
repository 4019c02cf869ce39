"""From a recipe to a run folder: `model/`, `metrics.json`, `recipe.yaml`, `predictions.parquet`, `report.html`."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.evaluation.metrics import (
    classification_metrics,
)
from tellapart.recipes import Recipe
from tellapart.runs.environment import environment
from tellapart.runs.fitting import fit
from tellapart.runs.folder import CHECKPOINTS, claim_folder, is_main_process, write_run
from tellapart.runs.rows import load_data


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: The run folder.
        metrics: The content of `metrics.json`.
        recipe: The run with every open value decided.
        notes: What reading and splitting the data and building the encoder found and did.
    """

    folder: Path
    metrics: dict[str, Any]
    recipe: Recipe
    notes: tuple[str, ...]


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Trains a recipe and writes a run folder.

    A run that was killed goes on with `resume=True` from its newest checkpoint to the same result.

    Args:
        recipe: The run.
        output: The folder to write.
        resume: Whether to go on with what is there.
        overwrite: Whether to throw away what is there.
        quiet: Whether to show no progress.

    Raises:
        UserError: The folder is in use, or the recipe or the data cannot be used.
        OutputError: The folder cannot be written.
    """
    quiet = quiet or not is_main_process()
    folder = Path(output)
    if is_main_process():
        claim_folder(output, resume=resume, overwrite=overwrite)
    if resume and (folder / "metrics.json").is_file():
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return RunResult(folder, metrics, recipe, ("the run was finished already",))
    data = load_data(recipe)
    checkpoints = folder / CHECKPOINTS
    start = time.perf_counter()
    fitted = fit(recipe, data, checkpoints, resume=resume, resumable=True, quiet=quiet)
    seconds = time.perf_counter() - start
    assert fitted.recipe is not None
    metrics = {"method": recipe.method, "training_seconds": round(seconds, 2)}
    metrics["rows"] = {name: len(split) for name, split in data.splits.items()}
    logits = {}
    for name in ("validation", "test"):
        split = data.splits.get(name)
        if split is not None and split.labels is not None:
            logits[name] = fitted.scores(split, quiet=quiet)
            metrics[name] = classification_metrics(
                fitted.labels, fitted.labels.encode(split.labels), logits[name]
            )
    metrics["environment"] = environment()
    if is_main_process():
        write_run(folder, fitted, data, logits, metrics)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return RunResult(folder, metrics, fitted.recipe, data.notes + fitted.notes)
