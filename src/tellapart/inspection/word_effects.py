"""Effect of each word on a prediction: on the difference of the logits of two classes.

Zhang et al. 2022, Complicate Then Simplify, Figure 1, show the weights of a text's words in two models, but not how
they are computed.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from torch import nn

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.scoring import TextModel
from tellapart.errors import DataError, MissingDependencyError, ModelError, TellapartWarning, did_you_mean
from tellapart.evaluation.decision import Decision
from tellapart.evaluation.metrics import finite_logits
from tellapart.inspection.page import shorten
from tellapart.inspection.word_coefficients import coefficients
from tellapart.inspection.word_gradients import STEPS, has_captum, has_offsets, integrated_gradients
from tellapart.inspection.word_occlusion import occlusion
from tellapart.inspection.word_pieces import Attribution, Place, effects_of_words, whole_words
from tellapart.training.progress import Progress
from tellapart.training.tfidf import TfidfClassifier

AttributionName = Literal["auto", "gradients", "occlusion", "coefficients"]

ATTRIBUTIONS = {
    "gradients": "integrated gradients of the token embeddings",
    "occlusion": "occlusion: the change if the word is left out",
    "coefficients": "coefficients of the linear model, exact",
}
"""Name of an attribution to its description."""


class Explained(TextModel, Protocol):
    """A classifier: `tellapart.fitting.fitted.Fitted`, from `load_fitted` or `fit`."""

    labels: LabelSpace
    decision: Decision

    def scores(self, split: TextSplit) -> np.ndarray:
        """Computes calibrated logits, float32 (N, K); predicted targets (N, 1) for regression."""


@dataclass(frozen=True)
class WordEffects:
    """The words of a text and what each adds to the prediction.

    Args:
        text: The text.
        text_pair: The second text of a pair, or None.
        label: The class that is explained, by default the predicted one; of a multi-label task the most probable one;
            `score` for regression.
        against: The class whose logit is subtracted; None for multi-label tasks and for regression.
        attribution: `gradients`, `occlusion` or `coefficients`.
        output: The explained number: the logit of `label` minus that of `against`, or the predicted target.
        baseline: The same without the words, to which the effects add up to `output`; None for occlusion.
        words: Its W words and punctuation marks; single letters in scripts without spaces.
        places: Where each word is: the text (0) or the second text (1), first character, character after the last.
        effects: What each word adds to `output`; positive for words that speak for `label`.
        other_effects: The same in another model, for the same classes; None for none.
        other_attribution: How these were computed.
        regression: Whether the prediction is a number.
    """

    text: str
    text_pair: str | None
    label: str
    against: str | None
    attribution: str
    output: float
    baseline: float | None
    words: tuple[str, ...]
    places: tuple[Place, ...]
    effects: tuple[float, ...]
    other_effects: tuple[float, ...] | None = None
    other_attribution: str | None = None
    regression: bool = False

    @property
    def explained(self) -> str:
        """The number that the words add to, in words."""
        if self.regression:
            return "the predicted number"
        return "the logit of a class" if self.against is None else "the difference of two logits"

    @property
    def error(self) -> float | None:
        """Difference between the sum of all effects and `output` - `baseline`; None for occlusion."""
        return None if self.baseline is None else math.fsum(self.effects) - (self.output - self.baseline)

    @property
    def weights(self) -> tuple[float, ...]:
        """Effects divided by the sum of their absolute values, so that models can be compared."""
        return _shares(self.effects)

    @property
    def other_weights(self) -> tuple[float, ...] | None:
        """The same for the other model."""
        return None if self.other_effects is None else _shares(self.other_effects)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: the fields, `error`, `weights` and `other_weights`."""
        further = {"error": self.error, "weights": self.weights, "other_weights": self.other_weights}
        return asdict(self) | further


def word_effects(
    scorer: Explained,
    texts: Sequence[str] | TextSplit,
    other: Explained | None = None,
    *,
    label: str | None = None,
    against: str | None = None,
    attribution: AttributionName = "auto",
    steps: Sequence[int] = STEPS,
    progress: Progress = None,
) -> list[WordEffects]:
    """Computes what each word of a text adds to the prediction.

    Args:
        scorer: The model whose predictions are explained.
        texts: N texts, or the rows of a split.
        other: Another model with the same classes, such as the one before the second stage. Its effects are those
            for the same two classes.
        label: The class to explain; by default the predicted one.
        against: The class to compare with; by default the most probable other class, none for multi-label tasks.
            Rows for which it is the predicted class are compared with the default.
        attribution: `gradients`: integrated gradients of the token embeddings, see `integrated_gradients`.
            `occlusion`: the change if the word is left out. `coefficients`: exact, for TF-IDF. `auto`: coefficients
            for TF-IDF, else gradients, or occlusion if captum is missing.
        steps: Gradients: numbers of points of the integral to try, the first ones for a bounded time a text.
        progress: Called with the number of rows done.

    Returns:
        One entry per text; texts without words have no effects.

    Raises:
        DataError: There are no texts, none has a word, a class is unknown, or both classes are the same.
        ModelError: The models have different classes, a logit is not finite, or the model has no such attribution.
        MissingDependencyError: `gradients` without captum.

    Example:
        >>> after, before = load_fitted("runs/two-stages"), load_fitted("runs/one-stage")
        >>> word_effects(after, ["very good , i would choose it again"], other=before)
    """
    split = texts if isinstance(texts, TextSplit) else TextSplit(list(texts))
    models = [scorer] if other is None else [scorer, other]
    if other is not None and set(other.labels.names) != set(scorer.labels.names):
        raise ModelError(
            "the two models have different classes", "give models that were trained on the same data"
        )
    if not len(split):
        raise DataError("there are no texts to explain", "give at least one")
    if not any(map(str.strip, (text for column in split.columns for text in column))):
        raise DataError(f'the text "{shorten(split.texts[0], 40)}" has no word', "give a text with words")
    _check_classes(scorer.labels, label, against)
    attributions = [attribution_for(one, attribution) for one in models]
    chosen = _compared(scorer.labels, scorer.scores(split), label, against)
    explained = []
    for row, pair in enumerate(chosen):
        explained.append(_row_effects(models, attributions, split.select([row]), *pair, steps=steps))
        if progress is not None:
            progress(1)
    return explained


def explain_rows(
    scorer: Explained,
    texts: Sequence[str] | TextSplit,
    labels: Sequence[str],
    against: Sequence[str | None],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[WordEffects]:
    """Computes the effects of words for a page within a budget of time.

    Integrals have the fewest points, `word_gradients.STEPS`, so that a long text does not exceed the budget by much.

    Args:
        scorer: The model.
        texts: N texts, or the rows of a split, the most important first.
        labels: The class to explain, such as the predicted one, of each row.
        against: The class to compare with, such as the gold one; None for none.
        seconds: Budget; no row is begun after it.
        clock: Returns the time in seconds.

    Returns:
        One entry for each of the first rows, as many as the budget allows; texts without words have no effects.
    """
    split = texts if isinstance(texts, TextSplit) else TextSplit(list(texts))
    ids = scorer.labels.label2id
    end, attribution = clock() + seconds, attribution_for(scorer, "auto", quiet=True)
    explained: list[WordEffects] = []
    for row, (first, second) in enumerate(zip(labels, against, strict=True)):
        if clock() >= end:
            break
        pair = (ids[first], None if second is None else ids[second])
        explained.append(_row_effects([scorer], [attribution], split.select([row]), *pair, steps=STEPS[:1]))
    return explained


def _row_effects(
    models: Sequence[Explained],
    attributions: Sequence[str],
    row: TextSplit,
    first: int,
    second: int | None,
    steps: Sequence[int] = STEPS,
) -> WordEffects:
    """Returns the effects of the words of a split of one row, in one or two models."""
    labels = models[0].labels
    columns = [column[0] for column in row.columns]
    found = []
    for model, attribution in zip(models, attributions, strict=True):
        ids = [None if one is None else model.labels.label2id[labels.names[one]] for one in (first, second)]
        found.append(_attribution(model, attribution, row, ids[0] or 0, ids[1], steps))
    words = whole_words(columns, (place for one in found for place in one.places))
    effects = [tuple(effects_of_words(words, one)) for one in found]
    return WordEffects(
        text=row.texts[0],
        text_pair=None if row.text_pairs is None else row.text_pairs[0],
        label=labels.names[first],
        against=None if second is None else labels.names[second],
        attribution=attributions[0],
        output=found[0].output,
        baseline=found[0].baseline,
        words=tuple(columns[word.column][word.start : word.end] for word in words),
        places=tuple(words),
        effects=effects[0],
        other_effects=effects[1] if len(effects) > 1 else None,
        other_attribution=attributions[1] if len(effects) > 1 else None,
        regression=labels.regression,
    )


def _attribution(
    scorer: Explained,
    attribution: str,
    row: TextSplit,
    first: int,
    second: int | None,
    steps: Sequence[int],
) -> Attribution:
    """Returns the attribution of the calibrated output to the tokens of a split of one row."""
    columns = [column[0] for column in row.columns]

    def outputs(rows: TextSplit) -> np.ndarray:
        logits = finite_logits(scorer.scores(rows))
        return logits[:, first] if second is None else logits[:, first] - logits[:, second]

    if attribution == "occlusion":
        return occlusion(columns, outputs)
    if attribution == "coefficients":
        found = coefficients(scorer.model, columns, first, second)
    else:
        tokens = scorer.tokenised(row)
        assert tokens is not None
        found = integrated_gradients(
            scorer.model,
            scorer.tokenizer,
            scorer.max_length,
            columns,
            tokens.batch([0]),
            first,
            second,
            steps=steps,
        )
    return found.scaled(float(scorer.decision.calibrated(np.ones((1, 1)))[0, 0]))


def attribution_for(scorer: Explained, attribution: AttributionName, quiet: bool = False) -> str:
    """Returns the attribution that a model gets.

    Args:
        scorer: The model.
        attribution: As for `word_effects`.
        quiet: Whether to give no warning that `auto` falls back to occlusion.

    Raises:
        ModelError: The model has no attribution of this name.
        MissingDependencyError: `gradients` without captum.
    """
    model = scorer.model
    linear, differentiable = isinstance(model, TfidfClassifier), isinstance(model, nn.Module)
    if attribution == "occlusion":
        return attribution
    if linear and attribution in ("auto", "coefficients"):
        return "coefficients"
    if attribution == "coefficients":
        raise ModelError(
            "only a tfidf model has a coefficient for each word", "use the attribution gradients or occlusion"
        )
    if not differentiable:
        raise ModelError(
            f"{'a tfidf' if linear else 'an exported'} model has no gradients of embeddings",
            "use the attribution coefficients or occlusion"
            if linear
            else "explain the run that it was exported from, or use the attribution occlusion",
        )
    if not has_captum():
        if attribution == "gradients":
            raise MissingDependencyError("captum", "explain", "attribution by gradients")
    elif has_offsets(scorer.tokenizer):
        return "gradients"
    elif attribution == "gradients":
        raise ModelError(
            "the tokenizer does not tell which characters a token stands for", "use the attribution occlusion"
        )
    if not quiet:
        reason = "the tokenizer has no offsets" if has_captum() else "captum is not installed (extra explain)"
        warnings.warn(
            f"{reason}, so each word's effect is measured by leaving it out (occlusion).",
            TellapartWarning,
            stacklevel=3,
        )
    return "occlusion"


def _check_classes(labels: LabelSpace, label: str | None, against: str | None) -> None:
    """Checks the classes that the user names."""
    given = [name for name in (label, against) if name is not None]
    if given and labels.regression:
        raise DataError("the model predicts a number and has no classes", "name no class")
    for name in given:
        if name not in labels.label2id:
            raise DataError(
                f'the model has no class "{name}"' + did_you_mean(name, labels.names),
                "choose from " + ", ".join(labels.names),
            )
    if label is not None and label == against:
        raise DataError(f'the class "{label}" is compared with itself', "name another class")


def _compared(
    labels: LabelSpace, logits: np.ndarray, label: str | None, against: str | None
) -> list[tuple[int, int | None]]:
    """Returns the class to explain and the class to compare with, of each row."""
    values, ids = finite_logits(logits), labels.label2id
    chosen: list[tuple[int, int | None]] = []
    same = 0
    for row in values:
        order = np.argsort(-row, kind="stable").tolist()
        first = order[0] if label is None else ids[label]
        alone = labels.regression or labels.multi_label or len(labels) == 1
        second = None if alone else next(one for one in order if one != first)
        if against is not None and ids[against] != first:
            second = ids[against]
        elif against is not None:
            same += 1
        chosen.append((first, second))
    if same and len(values) == 1:
        raise DataError(
            f'the text is predicted as "{against}", the class to compare with',
            "compare with another class, or name the class to explain",
        )
    if same:
        warnings.warn(
            f'{same} of {len(values)} texts are predicted as "{against}": they are explained against the class'
            " that is next.",
            TellapartWarning,
            stacklevel=3,
        )
    return chosen


def _shares(effects: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(map(abs, effects))
    return tuple(effect / total if total else 0.0 for effect in effects)
