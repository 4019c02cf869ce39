"""Loads run folders, checkpoints and exports for scoring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tellapart.deployment.onnx_scoring import is_exported, load_exported
from tellapart.encoders.loading import load_classifier
from tellapart.encoders.precision import default_device
from tellapart.encoders.transformer import labels_of, position_limit
from tellapart.evaluation.decision import DECISION_FILE, read_decision
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
    for candidate in (Path(folder), Path(folder) / "model"):
        if (candidate / DECISION_FILE).is_file():
            decision, labels = read_decision(candidate / DECISION_FILE, fitted.labels)
            return replace(fitted, decision=decision, labels=labels)
    return fitted


def _load(folder: Path) -> Fitted:
    if is_exported(folder):
        exported = load_exported(folder)
        return Fitted(exported, labels_of(exported.model))
    for candidate in (folder, folder / "model"):
        if (candidate / TFIDF_CONFIG).is_file():
            tfidf = TfidfClassifier.load(candidate)
            return Fitted(tfidf, tfidf.labels)
    model, tokenizer = load_classifier(folder)
    model.to(default_device())
    max_length = min(tokenizer.model_max_length, position_limit(model.config))
    return Fitted(TransformersScorer(model, tokenizer, max_length), labels_of(model))
