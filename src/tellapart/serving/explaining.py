"""Explanations of a service: which words decide for the answer, as `tellapart explain` computes them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tellapart.data.examples import TextSplit
from tellapart.errors import ModelError
from tellapart.fitting.fitted import Fitted
from tellapart.inspection.word_effects import AttributionName, attribution_for, word_effects
from tellapart.inspection.word_gradients import STEPS
from tellapart.training.tfidf import TfidfClassifier

_COLUMNS = ("text", "text_pair")


class Explainer:
    """Explains the answers of one model.

    Gradients need float32: of a model with bf16 weights a float32 copy is made when the first text is explained.

    Args:
        fitted: The classifier, in the precision of the service.

    Raises:
        ModelError: The model cannot be explained within a bounded time.
        MissingDependencyError: captum is not installed.
    """

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._attribution: AttributionName = (
            "coefficients" if isinstance(fitted.model, TfidfClassifier) else "gradients"
        )
        try:
            attribution_for(fitted, self._attribution)
        except ModelError as error:
            raise ModelError(
                error.cause, "use tellapart explain with --attribution occlusion, or leave out explain"
            ) from None
        if self._attribution == "gradients":
            import captum.attr  # noqa: F401  # now, and not while texts wait for the thread that scores

    def explanation(self, text: str, pair: str | None, label: str | None) -> dict[str, Any] | None:
        """Returns the words that decide.

        Integrals have the fewest points that `tellapart explain` uses, so that the time for a text is bounded.

        Args:
            text: The text.
            pair: The second text; None for models of single texts.
            label: The predicted class; None for multi-label models, of which the most probable label is explained,
                and for regression.

        Returns:
            The content of `explanation` in the answer; None for a text without words.
        """
        if not (text.strip() or (pair or "").strip()):
            return None
        self._fitted = in_float32(self._fitted)
        row = TextSplit([text], None if pair is None else [pair])
        (found,) = word_effects(
            self._fitted, row, label=label, attribution=self._attribution, steps=STEPS[:1]
        )
        return {
            "label": None if found.regression else found.label,
            "against": found.against,
            "attribution": found.attribution,
            "output": found.output,
            "baseline": found.baseline,
            "words": [
                {
                    "word": word,
                    "effect": effect,
                    "column": _COLUMNS[place.column],
                    "start": place.start,
                    "end": place.end,
                }
                for word, effect, place in zip(found.words, found.effects, found.places, strict=True)
            ],
        }


def in_float32(fitted: Fitted) -> Fitted:
    """Returns the classifier with float32 weights; itself if it has no others."""
    model = fitted.model
    if not isinstance(model, nn.Module) or all(one.dtype == torch.float32 for one in model.parameters()):
        return fitted
    return replace(fitted, scorer=replace(fitted.scorer, model=copy.deepcopy(model).float()))  # type: ignore[type-var]
