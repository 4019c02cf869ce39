"""Models as a service answers with them: loaded, tried on a text, described, and identified by their files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.deployment.manifest import MANIFEST_FILE, file_checksum
from tellapart.encoders.precision import Precision
from tellapart.encoders.resolve import resolve_encoder
from tellapart.errors import ModelError
from tellapart.evaluation.metrics import probabilities
from tellapart.evaluation.predictions import added_columns
from tellapart.fitting.environment import environment
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

_METRICS_FILE = "metrics.json"
_CARD_FILE = "README.md"
_MODEL_FILES = ("config.json", TFIDF_CONFIG, MANIFEST_FILE)
_VERSIONS = ("tellapart", "torch", "transformers")

_MOST_CARD_BYTES = 1 << 20

Stamps = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of each file of a model; equal as long as none was replaced."""


class Text(NamedTuple):
    """One row to classify.

    Args:
        text: The text.
        pair: The second text; None for models of single texts.
        top_k: Number of the most probable classes to return with the answer; 0 for none.
    """

    text: str
    pair: str | None = None
    top_k: int = 0


@dataclass(frozen=True)
class ServedModel:
    """A loaded model.

    Args:
        fitted: The classifier, in the precision of the service.
        version: First 12 hexadecimal digits of the SHA-256 of its files; the name of a model that is no folder.
        description: The content of `/v1/model`.
    """

    fitted: Fitted
    version: str
    description: dict[str, Any]

    def answers(self, rows: Sequence[Text]) -> list[dict[str, Any]]:
        """Classifies texts as `tellapart predict` does: the same logits, thresholds and temperature.

        Args:
            rows: The rows, all with a second text or all without.

        Returns:
            For each row the columns that `predict` would add, by name; and `top`, the most probable classes, for rows
            that ask for them.

        Raises:
            DataError: The rows are pairs, and the model cannot read pairs.
            ModelError: A logit is not finite.
        """
        pairs = None if rows[0].pair is None else [str(row.pair) for row in rows]
        logits = self.fitted.scores(TextSplit([row.text for row in rows], pairs))
        labels = self.fitted.labels
        answers = pa.table(dict(added_columns(labels, logits, self.fitted.decision))).to_pylist()
        if any(row.top_k for row in rows) and not labels.regression:
            chances = probabilities(labels, logits)
            order = np.argsort(-chances, axis=1, kind="stable")
            for number, row in enumerate(rows):
                if row.top_k:
                    answers[number]["top"] = [
                        {"label": labels.names[place], "probability": float(chances[number, place])}
                        for place in order[number, : row.top_k]
                    ]
        return answers


def load_model(source: str, precision: Precision = "auto") -> ServedModel:
    """Loads a model for a service, and has it answer once.

    Args:
        source: As `MODEL` of `tellapart predict`.
        precision: `fp32`, `bf16` or `auto`.

    Raises:
        ModelError: There is no classifier, or its answer is not finite.
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
    """
    fitted = load_fitted(source).in_precision(precision)
    folder = model_folder(source)
    identity = source if folder is None else _digest(folder)
    model = ServedModel(fitted, identity, _description(fitted, identity, folder))
    json.dumps(model.answers([Text("a first text", top_k=len(fitted.labels))]), allow_nan=False).encode()
    return model


def model_folder(source: str) -> Path | None:
    """Returns the folder with a model's files; None for a model that is none, such as one of the Hub's cache."""
    for candidate in (Path(source), Path(source) / "model"):
        if any((candidate / name).is_file() for name in _MODEL_FILES):
            return candidate
    try:
        resolved = Path(resolve_encoder(source))
    except ModelError:
        return None
    return resolved if resolved.is_dir() else None


def file_stamps(source: str) -> Stamps:
    """Returns what changes when a file of a model, or the metrics beside it, is replaced; empty without a folder."""
    folder = model_folder(source)
    if folder is None:
        return ()
    found = []
    for file in [*_files(folder), *_metrics_files(folder)]:
        try:
            status = file.stat()
        except OSError:  # it is being replaced
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def _files(folder: Path) -> list[Path]:
    """Returns the files of a model: those of the folder, and the tokenisers of a fused one; no training states."""
    try:
        files = [*folder.glob("*"), *folder.glob("tokenizer-*/*")]
    except OSError:
        return []
    return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


def _digest(folder: Path) -> str:
    lines = [f"{file.relative_to(folder).as_posix()} {file_checksum(file)}\n" for file in _files(folder)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _metrics_files(folder: Path) -> list[Path]:
    """Returns `metrics.json` of the run that wrote the model, if there is one."""
    runs = [folder.parent, folder] if folder.resolve().name == "model" else [folder]
    return [run / _METRICS_FILE for run in runs if (run / _METRICS_FILE).is_file()][:1]


def _description(fitted: Fitted, identity: str, folder: Path | None) -> dict[str, Any]:
    labels = fitted.labels
    report = _report(folder)
    return {
        "version": identity,
        "kind": fitted.scorer.kind,
        "problem_type": labels.problem_type,
        "classes": [] if labels.regression else list(labels.names),
        "order": None if labels.order is None else list(labels.order),
        "max_length": fitted.max_length or None,
        **({} if labels.regression else fitted.decision.to_dict(labels)),
        "method": report.get("method"),
        "metrics": {split: report[split] for split in ("validation", "test") if split in report},
        "card": _card(folder),
        "versions": {name: value for name, value in environment().items() if name in _VERSIONS},
        "loaded_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _report(folder: Path | None) -> dict[str, Any]:
    """Returns the content of the run's `metrics.json`; nothing if there is none, or it is not readable."""
    for file in [] if folder is None else _metrics_files(folder):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            return content
    return {}


def _card(folder: Path | None) -> str | None:
    file = None if folder is None else folder / _CARD_FILE
    try:
        if file is None or file.stat().st_size > _MOST_CARD_BYTES:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
