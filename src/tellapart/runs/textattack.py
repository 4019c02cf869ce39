"""A saved classifier as TextAttack wants one, where TextAttack is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.errors import MissingDependencyError, ModelError
from tellapart.evaluation.metrics import probabilities
from tellapart.fitting.fit import load_fitted


def textattack_wrapper(model_folder: str | Path) -> Any:
    """Wraps a saved classifier for TextAttack (Morris et al. 2020, arXiv:2005.05909).

    TextAttack is no extra of tellapart: it asks for older versions of what tellapart stands on, and wants an
    environment of its own. Class numbers are the model's, in the order of its `id2label`.

    Args:
        model_folder: A run folder or a plain checkpoint of a classifier with one label a text.

    Returns:
        An instance of a subclass of `textattack.models.wrappers.ModelWrapper`: called with texts, or with pairs of
        texts, it gives probabilities, float64 (N, K).

    Raises:
        MissingDependencyError: TextAttack is not installed.
        ModelError: There is no classifier, or it predicts scores.

    Example:
        >>> from textattack.attack_recipes import TextFoolerJin2019
        >>> attack = TextFoolerJin2019.build(textattack_wrapper("runs/tickets"))
    """
    try:
        from textattack.models.wrappers import ModelWrapper
    except ImportError:
        raise MissingDependencyError("textattack", None, "wrapping a model for TextAttack") from None
    fitted = load_fitted(model_folder)
    if fitted.labels.regression:
        raise ModelError(f"{model_folder} predicts scores, and attacks are on labels", "give a classifier")

    class ClassifierWrapper(ModelWrapper):
        """Scores texts in batches of similar length."""

        def __init__(self) -> None:
            self.model, self.tokenizer = fitted.model, fitted.tokenizer

        def __call__(self, text_input_list: Sequence[Any], **_: Any) -> np.ndarray:
            """Returns probabilities, float64 (N, K)."""
            if len(text_input_list) == 0:
                return np.empty((0, len(fitted.labels)))
            if isinstance(text_input_list[0], str):
                split = TextSplit(list(text_input_list))
            else:
                first, second = zip(*text_input_list, strict=True)
                split = TextSplit(list(first), list(second))
            return probabilities(fitted.labels, fitted.scores(split))

    return ClassifierWrapper()
