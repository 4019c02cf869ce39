"""Sends images, texts and pages of a finished run to an experiment tracker."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tellapart.inspection.markdown import fenced


def send_files(name: str, integration: Any, run: str, files: Sequence[Path]) -> None:
    """Sends files to a tracker whose run has begun; kinds of files that it cannot show are left out.

    Args:
        name: Name of the tracker.
        integration: Transformers' callback for it.
        run: Name of the run.
        files: Images (PNG), Markdown texts, recipes (YAML) and pages (HTML).
    """
    _SENDERS[name](integration, run, files)


def _to_tensorboard(integration: Any, _: str, files: Sequence[Path]) -> None:
    """Images and texts; TensorBoard shows no pages."""
    from matplotlib.image import imread

    writer = integration.tb_writer
    for file in files:
        if file.suffix == ".png":
            writer.add_image(file.stem, imread(file), dataformats="HWC")
        elif file.suffix == ".md":
            writer.add_text(file.stem, file.read_text(encoding="utf-8"))
        elif file.suffix == ".yaml":
            writer.add_text(file.stem, fenced(file.read_text(encoding="utf-8"), "yaml"))


def _to_trackio(_: Any, __: str, files: Sequence[Path]) -> None:
    """Images, texts and pages."""
    trackio = importlib.import_module("trackio")
    made: dict[str, Any] = {}
    for file in files:
        if file.suffix == ".png":
            made[file.stem] = trackio.Image(str(file))
        elif file.suffix == ".md":
            made[file.stem] = trackio.Markdown(file.read_text(encoding="utf-8"))
        elif file.suffix == ".html":
            made[file.stem] = trackio.Html(str(file))
    if made:
        trackio.log(made)


def _to_mlflow(_: Any, __: str, files: Sequence[Path]) -> None:
    mlflow = importlib.import_module("mlflow")
    for file in files:
        mlflow.log_artifact(str(file))


def _to_wandb(_: Any, run: str, files: Sequence[Path]) -> None:
    """Images as media, and all files as one artefact."""
    if not files:
        return
    wandb = importlib.import_module("wandb")
    wandb.log({file.stem: wandb.Image(str(file)) for file in files if file.suffix == ".png"})
    artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", run) + "-results", type="results")
    for file in files:
        artifact.add_file(str(file))
    wandb.run.log_artifact(artifact)


_SENDERS: dict[str, Callable[[Any, str, Sequence[Path]], None]] = {
    "tensorboard": _to_tensorboard,
    "trackio": _to_trackio,
    "mlflow": _to_mlflow,
    "wandb": _to_wandb,
}
