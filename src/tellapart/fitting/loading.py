"""Loads run folders, checkpoints and exports for scoring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tellapart.data.reading.columns import ColumnNames
from tellapart.deployment.manifest import MANIFEST_FILE
from tellapart.deployment.onnx_scoring import is_exported, load_exported
from tellapart.encoders.loading import load_classifier
from tellapart.encoders.precision import default_device
from tellapart.encoders.pretrained import read_config
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import labels_of, position_limit, readable
from tellapart.evaluation.decision import DECISION_FILE, read_columns, read_decision
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG
from tellapart.training.tfidf import TfidfClassifier


def load_fitted(folder: str | Path) -> Fitted:
    """Loads a trained classifier for scoring, with its thresholds, temperature and class order.

    Args:
        folder: A run folder, its `model` folder, any plain sequence classification checkpoint, or the output of
            `tellapart export`.

    Raises:
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
        ModelError: The folder holds no classifier.
    """
    fitted = _load(Path(folder))
    file = _decision_file(folder)
    if file is None:
        return fitted
    decision, labels = read_decision(file, fitted.labels)
    return replace(fitted, decision=decision, labels=labels, columns=read_columns(file))


def check_model(folder: str | Path, *, trained: bool = True) -> None:
    """Checks that there is a model, without reading its weights.

    Args:
        folder: As for `load_fitted`.
        trained: Whether a trained model is wanted; if not, an encoder.

    Raises:
        ModelError: There is no model of this name.
    """
    places = (Path(folder), Path(folder) / "model")
    if is_exported(places[0]) or any((place / TFIDF_CONFIG).is_file() for place in places):
        return
    path = resolve_encoder(str(folder))
    with readable(str(folder), trained=trained):
        read_config(path)


def run_folder(model: str | Path) -> Path | None:
    """Returns the run folder of a model: itself, or the parent of its folder `model`; None for other models."""
    folder = Path(model)
    for candidate in (folder, folder.parent) if folder.name == "model" else (folder,):
        if (candidate / "recipe.yaml").is_file():
            return candidate
    return None


def trained_columns(folder: str | Path) -> ColumnNames | None:
    """Returns the columns that a model's training rows were read from, without loading the model; None if unknown.

    Args:
        folder: As for `load_fitted`.

    Raises:
        ModelError: The file beside the model cannot be read.
    """
    file = _decision_file(folder)
    return None if file is None else read_columns(file)


def _decision_file(folder: str | Path) -> Path | None:
    file = _model_folder(Path(folder)) / DECISION_FILE
    return file if file.is_file() else None


def _model_folder(folder: Path) -> Path:
    """Returns the folder of the model's files: `model` for a run folder, unless files of a model lie beside it."""
    names = (MANIFEST_FILE, TFIDF_CONFIG, "config.json")
    inner = folder / "model"
    held = any((folder / name).is_file() for name in names)
    return inner if not held and inner.is_dir() else folder


def _load(folder: Path) -> Fitted:
    if is_exported(folder):
        exported = load_exported(folder)
        return Fitted(exported, labels_of(exported.model))
    place = _model_folder(folder)
    if (place / TFIDF_CONFIG).is_file():
        tfidf = TfidfClassifier.load(place)
        return Fitted(tfidf, tfidf.labels)
    model, tokenizer = load_classifier(folder)
    model.to(default_device())
    max_length = min(tokenizer.model_max_length, position_limit(model.config))
    return Fitted(TransformersScorer(model, tokenizer, max_length), labels_of(model))
