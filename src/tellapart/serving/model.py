"""Models as a service answers with them: loaded, tried on a text, described, and identified by their files."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.encoders.precision import Precision
from tellapart.evaluation.metrics import probabilities
from tellapart.evaluation.predictions import added_columns, most_probable
from tellapart.fitting.environment import environment
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.serving.files import (
    Stamps,
    digest,
    file_stamps,
    model_folder,
    model_name,
    read_card,
    read_report,
)

if TYPE_CHECKING:
    from tellapart.serving.explaining import Explainer

_VERSIONS = ("tellapart", "torch", "transformers")

_TRIES = 3
"""How often a model is loaded at the start while its files change."""


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
        stamps: Stamps of its files from before they were read; those of now differ if they have changed since.
    """

    fitted: Fitted
    version: str
    description: dict[str, Any]
    stamps: Stamps = ()

    def answers(self, rows: Sequence[Text]) -> list[dict[str, Any]]:
        """Classifies texts as `tellapart predict` does: the same logits, thresholds and temperature.

        Args:
            rows: The rows, all with a second text or all without.

        Returns:
            For each row the columns that `predict` would add, by name; and `top`, the most probable classes as of
            `predict --top-k`, for rows that ask for them.

        Raises:
            DataError: The rows are pairs, and the model cannot read pairs.
            ModelError: A logit is not finite.
        """
        pairs = None if rows[0].pair is None else [str(row.pair) for row in rows]
        logits = self.fitted.scores(TextSplit([row.text for row in rows], pairs))
        labels, decision = self.fitted.labels, self.fitted.decision
        answers = pa.table(dict(added_columns(labels, logits, decision))).to_pylist()
        asking = [] if labels.regression else [number for number, row in enumerate(rows) if row.top_k]
        if asking:
            most = min(len(labels), max(rows[number].top_k for number in asking))
            order = most_probable(logits[asking], most)
            highest = np.take_along_axis(probabilities(labels, logits[asking]), order, axis=1)
            for number, ids, chances in zip(asking, order, highest, strict=True):
                asked = rows[number].top_k  # of other requests in the batch, which may ask for many
                answers[number]["top"] = [
                    {"label": labels.names[label], "probability": chance}
                    for label, chance in zip(ids[:asked].tolist(), chances[:asked].tolist(), strict=True)
                ]
        return answers

    def explainer(self) -> Explainer:
        """Returns what explains the answers, the same each time.

        Raises:
            ModelError: The model cannot be explained within a bounded time.
            MissingDependencyError: captum is not installed.
        """
        return self._explainer

    @functools.cached_property
    def _explainer(self) -> Explainer:
        from tellapart.serving.explaining import Explainer  # needed by few services

        return Explainer(self.fitted)


def load_model(source: str, precision: Precision = "auto") -> ServedModel:
    """Loads a model for a service, and has it answer once.

    A symbolic link to a folder is followed once, so that all files are read from one folder.

    Args:
        source: As `MODEL` of `tellapart predict`.
        precision: `fp32`, `bf16` or `auto`.

    Raises:
        ModelError: There is no classifier, or its answer is not finite.
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
    """
    stamps, folder = file_stamps(source), model_folder(source)
    target = None if folder is None else folder.resolve()
    by_path = target is not None and Path(source).exists()
    fitted = load_fitted(str(target) if by_path else source).in_precision(precision)
    identity = source if target is None else digest(target)
    model = ServedModel(fitted, identity, _description(fitted, identity, folder or source), stamps)
    json.dumps(model.answers([Text("a first text", top_k=len(fitted.labels))]), allow_nan=False).encode()
    return model


def load_settled_model(source: str, precision: Precision = "auto") -> ServedModel:
    """As `load_model`, and loads the model again, up to three times, if its files change while they are read."""
    for _ in range(_TRIES - 1):
        before = file_stamps(source)
        try:
            model = load_model(source, precision)
        except Exception:
            if file_stamps(source) == before:
                raise
            continue
        if file_stamps(source) == model.stamps:
            return model
    return load_model(source, precision)


def _description(fitted: Fitted, identity: str, folder: Path | str) -> dict[str, Any]:
    """Returns the content of `/v1/model`; `folder` is the name of a model that is no folder."""
    labels = fitted.labels
    report = read_report(folder) if isinstance(folder, Path) else {}
    return {
        "version": identity,
        "name": model_name(folder) if isinstance(folder, Path) else folder,
        "kind": fitted.scorer.kind,
        "problem_type": labels.problem_type,
        "classes": [] if labels.regression else list(labels.names),
        "order": None if labels.order is None else list(labels.order),
        "max_length": fitted.max_length or None,
        **({} if labels.regression else fitted.decision.to_dict(labels)),
        "method": report.get("method"),
        "metrics": {split: report[split] for split in ("validation", "test") if split in report},
        "card": read_card(folder) if isinstance(folder, Path) else None,
        "versions": {name: value for name, value in environment().items() if name in _VERSIONS},
        "loaded_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
