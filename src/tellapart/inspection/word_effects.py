"""Effect of each word on a predicted class, by occlusion; as numbers and as a figure.

Zhang et al. 2022, Complicate Then Simplify, Figure 1, show the weights of a text's words in two models, but not how
they are computed. Occlusion (Li et al. 2016, Understanding Neural Networks through Representation Erasure) needs
nothing but logits, so it works for every kind of model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import logsumexp

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.words import word_spans
from tellapart.errors import DataError, ModelError
from tellapart.evaluation.metrics import finite_logits
from tellapart.inspection.drawing import (
    HIT,
    INK,
    MISS,
    MUTED,
    add_legend,
    new_figure,
    save_png,
    style_axes,
    text_properties,
)
from tellapart.inspection.page import abbreviate, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS_SHOWN = 40
"""Maximum number of words of a text in a figure; the JSON form has all."""


class Scores(Protocol):
    """A classifier: `tellapart.fitting.fitted.Fitted`, from `load_fitted` or `fit`."""

    @property
    def labels(self) -> LabelSpace:
        """The classes."""

    def scores(self, split: TextSplit) -> np.ndarray:
        """Computes logits, float32 (N, K); predicted targets (N, 1) for regression."""


@dataclass(frozen=True)
class WordEffects:
    """The words of a text and what each contributes to the prediction.

    Args:
        text: The text.
        label: The predicted class; of a multi-label task the most probable one; `score` for regression.
        words: Its W words and punctuation marks; single letters in scripts without spaces.
        effects: Decrease of the log-odds of `label` if a word is removed; of the predicted target for regression.
            Positive for words that speak for the class.
        against: The same in another model, for the same class; None for none.
    """

    text: str
    label: str
    words: tuple[str, ...]
    effects: tuple[float, ...]
    against: tuple[float, ...] | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        """Effects divided by the sum of their absolute values, so that models can be compared."""
        return _shares(self.effects)

    @property
    def against_weights(self) -> tuple[float, ...] | None:
        """The same for the other model."""
        return None if self.against is None else _shares(self.against)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: the fields, `weights` and `against_weights`."""
        return asdict(self) | {"weights": self.weights, "against_weights": self.against_weights}


def word_effects(scorer: Scores, texts: Sequence[str], against: Scores | None = None) -> list[WordEffects]:
    """Measures how the prediction for a text changes if one of its words is removed.

    Each text of W words is scored W + 1 times.

    Args:
        scorer: The model whose predictions are explained.
        texts: N texts.
        against: Another model with the same classes, such as the one before the second stage. Its effects are those
            on the class that `scorer` predicts.

    Returns:
        One entry per text.

    Raises:
        DataError: There are no texts, or one has no word.
        ModelError: The models have different classes, or a logit is not finite.

    Example:
        >>> after, before = load_fitted("runs/two-stages"), load_fitted("runs/one-stage")
        >>> word_effects(after, ["very good , i would choose it again"], against=before)
    """
    if against is not None and set(against.labels.names) != set(scorer.labels.names):
        raise ModelError(
            "the two models have different classes", "give models that were trained on the same data"
        )
    if not texts:
        raise DataError("there are no texts to explain", "give at least one")
    spans = [word_spans(text) for text in texts]
    for text, its_spans in zip(texts, spans, strict=True):
        if not its_spans:
            raise DataError(f'the text "{shorten(text, 40)}" has no word', "give a text with words")
    # Each text, followed by the text without each of its words.
    starts = np.cumsum([0, *(len(its_spans) + 1 for its_spans in spans)])
    rows = TextSplit(
        [
            variant
            for text, its_spans in zip(texts, spans, strict=True)
            for variant in (text, *(_without(text, span) for span in its_spans))
        ]
    )
    odds = _log_odds(scorer.labels, scorer.scores(rows))
    others = None if against is None else _log_odds(against.labels, against.scores(rows))
    found = []
    for text, its_spans, start, end in zip(texts, spans, starts[:-1], starts[1:], strict=True):
        label = scorer.labels.names[int(odds[start].argmax())]
        found.append(
            WordEffects(
                text,
                label,
                tuple(text[first:last] for first, last in its_spans),
                _decreases(odds[start:end, scorer.labels.names.index(label)]),
                None
                if others is None or against is None
                else _decreases(others[start:end, against.labels.names.index(label)]),
            )
        )
    return found


def save_word_effects(
    effects: Sequence[WordEffects],
    path: Path | str,
    names: tuple[str, str] = ("this model", "the other model"),
) -> None:
    """Writes `word_effects_figure` as PNG; raises `OutputError` if it cannot be written."""
    note = (
        "decrease of the log-odds of the predicted class without the word, as a share of all words' effects"
    )
    save_png(word_effects_figure(effects, names), path, "Effect of each word", note)


def word_effects_figure(
    effects: Sequence[WordEffects], names: tuple[str, str] = ("this model", "the other model")
) -> Figure:
    """Draws the weight of each word, one panel per text, with a line for each model.

    Args:
        effects: From `word_effects`, at least one.
        names: Names of the two models in the legend, the second for `against`.
    """
    widest = max(min(len(one.words), WORDS_SHOWN) for one in effects)
    figure = new_figure(max(5.0, 1.6 + 0.45 * widest), 2.7 * len(effects))
    panels = figure.subplots(len(effects), 1, squeeze=False).ravel()
    for axes, one in zip(panels, effects, strict=True):
        _draw_text(axes, one, names)
    add_legend(panels[0])
    return figure


def _draw_text(axes: Axes, one: WordEffects, names: tuple[str, str]) -> None:
    words = [abbreviate(word, 16) for word in one.words[:WORDS_SHOWN]]
    places = range(len(words))
    style_axes(axes, y_label="weight (%)")
    cut = f" (the first {WORDS_SHOWN} of {len(one.words)} words)" if len(one.words) > WORDS_SHOWN else ""
    title = f"predicted: {abbreviate(one.label)}{cut}"
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, **text_properties([title]))
    axes.axhline(0, color=MUTED, lw=0.8)
    lines = [(HIT, names[0], one.weights), (MISS, names[1], one.against_weights)]
    for colour, name, weights in lines:
        if weights is not None:
            shown = [100 * weight for weight in weights[:WORDS_SHOWN]]
            axes.plot(places, shown, color=colour, lw=1.6, marker="o", ms=4, label=name)
    axes.set_xticks(places, words, rotation=45, ha="right", rotation_mode="anchor", **text_properties(words))


def _without(text: str, span: tuple[int, int]) -> str:
    """Returns the text without a word and the space beside it."""
    before, after = text[: span[0]], text[span[1] :]
    if before.endswith(" "):
        return before[:-1] + after
    return before + after if before else after.removeprefix(" ")


def _log_odds(labels: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Returns log p / (1 − p) of each class, which does not saturate, float64 (N, K); targets as they are."""
    values = finite_logits(logits)
    if labels.regression or labels.multi_label:
        return values
    everything = np.arange(len(labels))
    others = (
        [logsumexp(values[:, everything != one], axis=1) for one in everything] if len(labels) > 1 else [0.0]
    )
    return values - np.stack(np.broadcast_arrays(*others), axis=-1)


def _decreases(odds: np.ndarray) -> tuple[float, ...]:
    """Returns the log-odds of the whole text minus those without each word."""
    return tuple((odds[0] - odds[1:]).tolist())


def _shares(effects: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(map(abs, effects))
    return tuple(effect / total if total else 0.0 for effect in effects)
