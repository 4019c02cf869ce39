"""Experiment trackers: logs a run to TensorBoard, Trackio, MLflow or Weights & Biases."""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import transformers
from transformers import TrainerCallback, TrainerControl, TrainerState

from tellapart.data.examples import LabelSpace, TextData
from tellapart.errors import (
    MissingDependencyError,
    RecipeError,
    TellapartWarning,
    TrackerError,
    shortened,
)
from tellapart.evaluation.confusions import Confusions
from tellapart.files import write_text
from tellapart.fitting.environment import is_main_process
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.tracking_files import send_files
from tellapart.inspection.confusion import most_confused_pairs
from tellapart.inspection.figures import save_confusion_heatmap, save_label_distance_heatmap
from tellapart.inspection.markdown import pairs_table

TrackerName = Literal["tensorboard", "trackio", "mlflow", "wandb"]

TRACKING = "tracking"
"""Folder of a run folder in which trackers write."""

_PROJECT = "tellapart"
_SQLITE = "sqlite:///"
_FIRST = "stage-0"  # checkpoint folder of the first training, whose metrics have no prefix
_PASSWORD = re.compile(r"(?<=://)[^/\s@]+@")  # of an address
_FORCED = {"wandb": {"WANDB_LOG_MODEL": "false"}}  # environment variables, whatever the user sets

# Tracker and folder of the runs that have begun in this process: there the tracker is known to work.
_begun: set[tuple[str, Path]] = set()


def check_tracker(name: str | None) -> None:
    """Checks before anything is read that a tracker can be used.

    Args:
        name: One of `TrackerName`; None for no tracker.

    Raises:
        RecipeError: There is no such tracker.
        MissingDependencyError: Its package is not installed.
    """
    if name is None:
        return
    if name not in get_args(TrackerName):
        raise RecipeError(f'there is no tracker "{name}"', f"choose {', '.join(get_args(TrackerName))}")
    if find_spec(name) is None:
        raise MissingDependencyError(name, None, f"--track {name}")


@contextlib.contextmanager
def tracked(
    name: str | None, folder: Path, run: str, checkpoints: Path, *, part: str = ""
) -> Iterator[Tracker | None]:
    """Logs the trainings of the block as one run of a tracker.

    Everything is written below `folder`, unless environment variables of the tracker say otherwise. No model and no
    checkpoint is sent, whatever they say. A tracker that cannot be started stops the first run of a folder before it
    is trained; one that fails later gives one warning, and the run goes on without it.

    Args:
        name: One of `TrackerName`; None for no tracker.
        folder: The folder to write in.
        run: Name of the run.
        checkpoints: The folder that `fit` is given, whose subfolders name the trainings.
        part: Subfolder for the log and the images of this run, one of several that begin anew; what it holds is
            deleted.

    Yields:
        The tracker, a callback for the trainings; None without one, and in all processes but the first.

    Raises:
        TrackerError: The tracker cannot be started.
    """
    if name is None or not is_main_process():
        yield None
        return
    if part:
        shutil.rmtree(folder / part, ignore_errors=True)
    if name == "wandb" and os.environ.get("WANDB_LOG_MODEL", "false").lower() not in ("false", "0", ""):
        _warn("WANDB_LOG_MODEL is ignored: --track wandb sends no model")
    with _environment_variables(_defaults(name, folder), _FORCED.get(name, {})):
        tracker = Tracker(name, folder / part, run, checkpoints)
        try:
            yield tracker
        finally:
            tracker.end()


class Tracker(TrainerCallback):
    """One run of an experiment tracker, over all trainings of a recipe.

    Passes the log of every training on to the integration of Transformers, which would begin a run per training. The
    metrics of further trainings, such as a second stage or a round of self-training, have the training's checkpoint
    folder in their name: `train/stage-1/loss`.

    Args:
        name: One of `TrackerName`.
        folder: The folder to write in.
        run: Name of the run.
        checkpoints: The folder of the trainings' checkpoints.
    """

    def __init__(self, name: str, folder: Path, run: str, checkpoints: Path) -> None:
        self.name, self.folder, self.run, self.checkpoints = name, folder, run, checkpoints
        self.integration: Any = None
        self._arguments: Any = None
        self._state = TrainerState()
        self._prefix = ""
        self._failed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Begins the run, if this is the first training."""
        place = os.path.relpath(args.output_dir, self.checkpoints)
        self._prefix = "" if place == _FIRST else Path(place).as_posix() + "/"
        self._begin(args, state, model)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        """Logs losses, terms of the objective and validation metrics."""
        self._state = copy.copy(state)
        self._log({_prefixed(key, self._prefix): value for key, value in (logs or {}).items()})

    def finish(self, metrics: Mapping[str, float], files: Sequence[Path] = ()) -> None:
        """Logs the results of the run.

        Args:
            metrics: Name to value; names with `eval_` or `test_` in front are grouped under these.
            files: Images (PNG), Markdown texts and pages, for trackers that have such things.
        """
        if self.integration is None:  # no training by steps, as for a head alone
            arguments = transformers.TrainingArguments(str(self.checkpoints), report_to="none")
            self._attempt(lambda: self._start(arguments, self._state, None))
        self._log(dict(metrics))
        found = [file for file in files if file.is_file()]
        self._attempt(lambda: send_files(self.name, self.integration, self.run, found))

    def end(self) -> None:
        """Ends the run, if one has begun."""
        if self.integration is not None:
            self._attempt(self._close, although_failed=True)
        self.integration = None

    def _begin(self, arguments: Any, state: Any, model: Any) -> None:
        """Begins the run, unless it has begun; the first run of a folder must be able to."""
        if self.integration is not None:
            return
        known = (self.name, self.checkpoints.parent) in _begun
        if known:
            self._attempt(lambda: self._start(arguments, state, model))
            return
        try:
            self._start(arguments, state, model)
        except Exception as error:  # trackers raise exceptions of many kinds
            raise TrackerError(
                f"{self.name} could not be started ({_reason(error)})",
                "check its settings, or leave out --track",
            ) from error

    def _start(self, arguments: Any, state: Any, model: Any) -> None:
        self._arguments = copy.copy(arguments)
        self._arguments.run_name, self._arguments.project = self.run, _PROJECT
        # Trackio: the Space is that of the environment, and private. A static copy of it would be public.
        self._arguments.trackio_space_id = self._arguments.trackio_bucket_id = None
        self._arguments.trackio_static_space_id, self._arguments.hub_private_repo = False, True
        self._state = copy.copy(state)
        with _output_on_stderr():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.integration = _integration(self.name)
                if self.name == "tensorboard":
                    self.integration.logging_dir = str(self.folder)
                if self.name == "mlflow":
                    _make_experiment()
                self.integration.on_train_begin(self._arguments, self._state, TrainerControl(), model=model)
            except Exception:
                if self.integration is not None:
                    with contextlib.suppress(Exception):  # the first exception says more
                        self._close()
                self.integration = None
                raise
        _begun.add((self.name, self.checkpoints.parent))

    def _close(self) -> None:
        try:
            self.integration.on_train_end(self._arguments, self._state, TrainerControl())
        finally:
            if self.name == "wandb":  # the integration leaves its run open: the next trial would go on in it
                importlib.import_module("wandb").finish()

    def _log(self, logs: dict[str, Any]) -> None:
        self._attempt(
            lambda: self.integration.on_log(self._arguments, self._state, TrainerControl(), logs=logs)
        )

    def _attempt(self, action: Callable[[], object], *, although_failed: bool = False) -> None:
        """Calls the tracker: its first failure is a warning, after which it is not called again.

        Args:
            action: The call.
            although_failed: Whether to try also after a failure, without a second warning.
        """
        if self._failed and not although_failed:
            return
        try:
            with _output_on_stderr():
                action()
        except Exception as error:  # trackers raise exceptions of many kinds
            if not self._failed:
                _warn(f"{self.name} failed ({_reason(error)}), and {self.run} goes on without it")
            self._failed = True


def _warn(message: str) -> None:
    warnings.warn(f"{message}.", TellapartWarning, stacklevel=4)


def _reason(error: Exception) -> str:
    """Returns what an exception says, on one line and without the passwords of addresses."""
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return shortened(_PASSWORD.sub("", said), 300)


def _integration(name: str) -> Any:
    """Returns Transformers' callback for a tracker."""
    from transformers.integrations import integration_utils

    return integration_utils.INTEGRATION_TO_CALLBACK[name]()


def _prefixed(key: str, prefix: str) -> str:
    """Puts the training's name into that of a metric, behind the mark of validation metrics."""
    mark = "eval_" if key.startswith("eval_") else ""
    return f"{mark}{prefix}{key.removeprefix(mark)}"


def final_metrics(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the metrics of a finished run by the names that trackers group.

    Args:
        metrics: Split (`validation`, `test`) to metrics; other keys are ignored.
    """
    marks = {"validation": "eval_final_", "test": "test_"}
    return {
        mark + name: float(value)
        for split, mark in marks.items()
        for name, value in metrics.get(split, {}).items()
    }


def result_files(
    folder: Path, labels: LabelSpace, confusion: Confusions | None, distances: np.ndarray | None
) -> list[Path]:
    """Writes confusion matrix, confused pairs and label distances beside a tracker's log, and returns the files.

    Args:
        folder: The folder to write in.
        labels: The K classes.
        confusion: Sparse counts (K, K), rows are gold; None without classes.
        distances: The final label distances (K, K); None for an objective without.

    Raises:
        OutputError: A file cannot be written.
    """
    written = []
    if confusion is not None:
        written += [folder / "confused-pairs.md", folder / "confusion.png"]
        pairs = most_confused_pairs(confusion, labels.names, top=20)
        write_text(written[0], pairs_table(pairs) if pairs else "No class was confused with another.\n")
        save_confusion_heatmap(confusion, labels.names, written[1], ranks=labels.ranks)
    if distances is not None:
        written.append(folder / "label-distance.png")
        save_label_distance_heatmap(distances, labels.names, written[-1], ranks=labels.ranks)
    return written


def log_run(
    tracker: Tracker,
    folder: Path,
    fitted: Fitted,
    data: TextData,
    logits: Mapping[str, np.ndarray],
    metrics: Mapping[str, Any],
) -> None:
    """Logs what a run folder holds in the end: metrics, confused pairs, label distances, recipe and report.

    Args:
        tracker: The tracker of the run.
        folder: The run folder.
        fitted: The trained classifier.
        data: Its data.
        logits: Split name to logits (N, K), for the scored splits.
        metrics: The content of `metrics.json`.

    Raises:
        OutputError: A file cannot be written.
    """
    shown = "test" if "test" in logits else "validation"
    confusion = fitted.confusion(data.splits[shown], logits[shown]) if shown in logits else None
    files = result_files(tracker.folder, fitted.labels, confusion, fitted.label_distances)
    tracker.finish(final_metrics(metrics), [*files, folder / "recipe.yaml", folder / "report.html"])


def _make_experiment() -> None:
    """Creates MLflow's experiment in a database: its files lie beside that, and not in the working directory."""
    mlflow = importlib.import_module("mlflow")
    name = os.environ["MLFLOW_EXPERIMENT_NAME"]
    uri = mlflow.get_tracking_uri()
    if uri.startswith(_SQLITE) and mlflow.get_experiment_by_name(name) is None:
        folder = Path(uri.removeprefix(_SQLITE)).resolve().parent
        mlflow.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())


def _defaults(name: str, folder: Path) -> dict[str, str]:
    """Environment variables with which a tracker writes into a folder and sends nothing, if the user sets none."""
    place = str(folder.resolve())
    if name == "trackio":
        return {"TRACKIO_DIR": place}
    if name == "mlflow":
        return {
            "MLFLOW_TRACKING_URI": f"{_SQLITE}{folder.resolve().as_posix()}/mlflow.db",
            "MLFLOW_EXPERIMENT_NAME": _PROJECT,
        }
    if name == "wandb":
        mode = {} if "WANDB_API_KEY" in os.environ else {"WANDB_MODE": "offline"}
        return {"WANDB_DIR": place, "WANDB_PROJECT": _PROJECT, **mode}
    return {}


@contextlib.contextmanager
def _environment_variables(defaults: Mapping[str, str], forced: Mapping[str, str]) -> Iterator[None]:
    """Sets variables inside the block: defaults that are not set, and forced ones."""
    changed = {key: value for key, value in defaults.items() if key not in os.environ} | dict(forced)
    before = {key: os.environ[key] for key in changed if key in os.environ}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key in changed:
            os.environ.pop(key, None)
        os.environ.update(before)


def _output_on_stderr() -> contextlib.redirect_stdout:
    """Standard output is for results: what trackers print goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr)
