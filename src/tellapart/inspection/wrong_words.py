"""Words that decide the wrong predictions of a run, for its page, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.errors import TellapartError
from tellapart.inspection.confusion import ConfusedPair
from tellapart.inspection.page import shorten
from tellapart.inspection.word_effects import ATTRIBUTIONS, Explained, explain_rows
from tellapart.inspection.workbench import WrongText, missed_and_added

EXPLAIN_SECONDS = 3.0
"""Time for the explanation of the wrong texts of a run: little beside the shortest training of an encoder."""


def add_words(
    errors: Sequence[WrongText],
    pairs: Sequence[ConfusedPair],
    scorer: Explained,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Adds to wrong texts the effect of each word on the logit of the predicted minus that of the gold class.

    Only predictions are explained that miss one class and add one. The texts of the most confused pair come first, in
    the order of `errors`.

    Args:
        errors: The wrong texts of a run, the most important first; changed in place.
        pairs: The confused pairs, the most confused first.
        scorer: The model.
        seconds: Budget; no text is begun after it. 0 for none.
        clock: Returns the time in seconds.

    Returns:
        How the effects were computed, and for how many texts; empty without any.
    """
    ranks = {frozenset((pair.a, pair.b)): rank for rank, pair in enumerate(pairs)}
    found = [(error, pair) for error in errors if (pair := missed_and_added(error, error["answers"][0]))]
    found.sort(key=lambda one: ranks.get(frozenset(one[1]), len(ranks)))
    if not found or seconds <= 0:
        return ""
    seconds_texts = [error.get("text_pair", "") for error, _ in found]
    rows = TextSplit(
        [error["text"] for error, _ in found], seconds_texts if "text_pair" in errors[0] else None
    )
    gold, predicted = [pair[0] for _, pair in found], [pair[1] for _, pair in found]
    try:
        explained = explain_rows(scorer, rows, predicted, gold, seconds=seconds, clock=clock)
    except (TellapartError, RuntimeError) as error:  # a finished run is never lost for its page
        return f"The words that decide are missing: {shorten(str(error), 200)}"
    for (wrong, _), one in zip(found, explained, strict=False):
        if one.words and np.isfinite(one.effects).all():
            wrong["words"] = [
                (word, round(effect, 4)) for word, effect in zip(one.words, one.effects, strict=True)
            ]
    if not explained:
        return ""
    note = f"Words that decide by {ATTRIBUTIONS[explained[0].attribution]}"
    if len(explained) < len(found):
        note += (
            f"; for {len(explained):,} of {len(found):,} wrong texts, those of the most confused classes first: "
            "train --explain-errors SECONDS gives more time"
        )
    return (
        f"{note}. Underlined words speak for the gold class, coloured ones without a line for the "
        "predicted one."
    )
