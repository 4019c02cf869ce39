"""Contributions of the words to the output of a linear TF-IDF model, exact."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tellapart.inspection.word_pieces import Attribution, Place
from tellapart.training.tfidf import TfidfClassifier


def coefficients(
    model: TfidfClassifier, columns: Sequence[str], first: int, second: int | None
) -> Attribution:
    """Attributes an output of a TF-IDF model to the words of a row.

    An n-gram contributes its TF-IDF value times its coefficient. That is divided evenly over its occurrences and, for
    each, over its words or letters. The baseline is the output of a row without known n-grams (the bias), and for
    models of letters the contribution of white space.

    Args:
        model: The model.
        columns: The text, and the second text of a pair, which the model reads joined.
        first: The class whose margin is explained.
        second: The class whose margin is subtracted; None for none.
    """
    weight, bias = model.weight[first], float(model.bias[first])
    if second is not None:
        weight, bias = weight - model.weight[second], bias - float(model.bias[second])
    text = " ".join(columns)
    features = model.vectoriser.transform([text])
    contributions = dict(
        zip(features.indices.tolist(), features.data * weight[features.indices], strict=True)
    )
    units, grams = _ngrams(model, text)
    effects, baseline = np.zeros(len(units)), bias
    for term, occurrences in grams.items():
        contribution = contributions.get(model.vectoriser.vocabulary_.get(term, -1), 0.0)
        members = [[unit for unit in one if not text[slice(*units[unit])].isspace()] for one in occurrences]
        for one in members:
            effects[one] += contribution / len(members) / max(1, len(one))
            baseline += 0.0 if one else contribution / len(members)
    # The row is the columns with one space between them.
    second_start = len(columns[0]) + 1
    places = [
        Place(0, start, end) if start < second_start else Place(1, start - second_start, end - second_start)
        for start, end in units
    ]
    return Attribution(bias + sum(contributions.values()), baseline, places, effects.tolist())


def _ngrams(
    model: TfidfClassifier, text: str
) -> tuple[list[tuple[int, int]], dict[str, list[Sequence[int]]]]:
    """Returns the spans of the words or letters of a text, and the occurrences of each n-gram as their numbers."""
    lowered = text.lower()
    sources = np.repeat(np.arange(len(text)), [len(letter.lower()) for letter in text])
    if model.analyser == "word":
        found = [match.span() for match in re.finditer(model.vectoriser.token_pattern, lowered)]
        names, joint = [lowered[start:end] for start, end in found], " "
    else:  # scikit-learn replaces runs of white space by one space
        found = [match.span() for match in re.finditer(r"\s\s+|.", lowered, re.DOTALL)]
        names, joint = [one if len(one := lowered[start:end]) == 1 else " " for start, end in found], ""
    units = [(int(sources[start]), int(sources[end - 1]) + 1) for start, end in found]
    shortest, longest = model.vectoriser.ngram_range
    grams: dict[str, list[Sequence[int]]] = defaultdict(list)
    for size in range(shortest, longest + 1):
        for start in range(len(names) - size + 1):
            grams[joint.join(names[start : start + size])].append(range(start, start + size))
    return units, grams
