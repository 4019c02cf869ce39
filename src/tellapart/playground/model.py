"""A model as the playground asks it: the answer of `tellapart predict`, and the words of `tellapart explain`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.encoders.precision import Precision
from tellapart.evaluation.abstention import confidence_scores
from tellapart.evaluation.predictions import DECISION, PREDICTED, SET, added_columns
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.inspection.word_effects import WordEffects, word_effects

_SCORES = {
    "probability": "the highest probability",
    "margin": "the margin between the two highest probabilities",
    "energy": "the energy score",
}


@dataclass(frozen=True)
class Chance:
    """A class and its probability.

    Args:
        label: The class.
        probability: 0 to 1.
        predicted: Whether it is predicted.
        threshold: In multi-label tasks, the probability from which it is predicted; else None.
    """

    label: str
    probability: float
    predicted: bool
    threshold: float | None = None


@dataclass(frozen=True)
class Answer:
    """The answer of a model to a text.

    Args:
        columns: What `tellapart predict --top-k` adds to the row, by column.
        chances: The most probable classes, the most probable first; empty for regression.
        decision: How the model decides on this text, as a sentence.
    """

    columns: dict[str, Any]
    chances: list[Chance]
    decision: str

    @property
    def labels(self) -> list[str]:
        """The predicted classes: one, or any number in multi-label tasks; none for regression."""
        predicted = self.columns.get(PREDICTED, [])
        return [predicted] if isinstance(predicted, str) else list(predicted)

    @property
    def state(self) -> str | None:
        """`accepted` or `abstained`; None for a model that never abstains."""
        return self.columns.get(DECISION)

    @property
    def prediction_set(self) -> list[str] | None:
        """The prediction set; None for a model without."""
        return self.columns.get(SET)


@dataclass(frozen=True)
class PlaygroundModel:
    """A loaded model.

    Args:
        name: As the user named it.
        fitted: The classifier in the precision of the answers.
        exact: The same in the precision of its weights, in which words are explained.
    """

    name: str
    fitted: Fitted
    exact: Fitted
    # Explanations hook into the layers of the model, so that nothing else may be scored meanwhile.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, row: TextSplit, top: int) -> Answer:
        """Classifies a text as `tellapart predict` does.

        Args:
            row: A split of one row.
            top: Number of the most probable classes.

        Raises:
            DataError: The row is a pair, and the model cannot read pairs.
            ModelError: A logit is not finite.
        """
        labels, decision = self.fitted.labels, self.fitted.decision
        with self._lock:
            logits = self.fitted.scores(row)
        count = 0 if labels.regression else min(top, len(labels))
        (columns,) = pa.table(dict(added_columns(labels, logits, decision, top_k=count))).to_pylist()
        predicted = columns.get(PREDICTED, [])
        predicted = [predicted] if isinstance(predicted, str) else predicted
        thresholds = np.broadcast_to(decision.applied_thresholds, len(labels))
        chances = [
            Chance(
                label := columns[f"top_{place}_label"],
                columns[f"top_{place}_probability"],
                label in predicted,
                float(thresholds[labels.label2id[label]]) if labels.multi_label else None,
            )
            for place in range(1, count + 1)
        ]
        return Answer(columns, chances, self._decision(logits))

    def words(self, row: TextSplit) -> WordEffects:
        """Explains a text as `tellapart explain` does.

        Raises:
            DataError: The text has no word.
            ModelError: A logit is not finite.
        """
        with self._lock:
            (found,) = word_effects(self.exact, row)
        return found

    def _decision(self, logits: np.ndarray) -> str:
        """Returns how the model decides on a row with these logits (1, K), as a sentence."""
        labels, abstention = self.fitted.labels, self.fitted.decision.abstention
        if labels.regression:
            return "The model predicts a number."
        if labels.multi_label:
            return "Every label is predicted whose probability reaches its threshold."
        if abstention is None:
            return "The model decides on every text: it was trained without abstention."
        score, threshold = float(confidence_scores(logits, abstention.by)[0]), abstention.threshold
        accepted = score >= threshold
        return (
            f"The model {'decides' if accepted else 'does not decide'}: {_SCORES[abstention.by]}, {score:.3f}, "
            f"is {'at least' if accepted else 'below'} its threshold of {threshold:.3f}."
        )

    @property
    def calibration(self) -> str:
        """Whether probabilities are calibrated, as a sentence; empty for regression."""
        if self.fitted.labels.regression:
            return ""
        temperature = self.fitted.decision.temperature
        if temperature == 1:
            return "The probabilities are those of the model as trained: the temperature is 1."
        return f"The probabilities are calibrated (temperature {temperature:.2f})."


def load_model(source: str, precision: Precision = "auto") -> PlaygroundModel:
    """Loads a model.

    Args:
        source: As `MODEL` of `tellapart predict`.
        precision: `fp32`, `bf16` or `auto`.

    Raises:
        ModelError: There is no classifier.
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
    """
    exact = load_fitted(source)
    return PlaygroundModel(source, exact.in_precision(precision), exact)
