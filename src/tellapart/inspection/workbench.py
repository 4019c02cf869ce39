"""Data of the interactive part of reports: wrong texts, confused pairs, suspect labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from tellapart.evaluation.confusions import as_confusions
from tellapart.files import write_text
from tellapart.inspection.confusion import ConfusedPair
from tellapart.inspection.matrix_data import matrix_data, read_pairs

SCHEMA_VERSION = 1

DATA_BYTES = 20_000_000
"""Largest size of the wrong texts on a page; further ones are left out."""

TEXT_LENGTH = 5_000
"""Longest text on a page, in characters."""

SUSPECT_PROBABILITY, SUSPECT_DISTANCE = 0.7, 0.7
SUSPECT_RULE = (
    f"A label is suspect if the wrong prediction has a probability of at least {SUSPECT_PROBABILITY:.0%}, and the "
    "mean cosine distance to the nearest training texts of the predicted class is at most "
    f"{SUSPECT_DISTANCE:g} times that of the gold class."
).replace("%", " %")


class NearText(TypedDict):
    """A training text and its cosine similarity, −1 to 1."""

    text: str
    similarity: float


class Answer(TypedDict):
    """A wrong prediction.

    Keys:
        predicted: Names of the predicted classes: one, or any number in multi-label tasks.
        probability: Probability of the prediction, 0 to 1.
        second: The runner-up: the most probable class that is not predicted.
        second_probability: Its probability.
        method: In comparisons: the method.
        seeds: In comparisons: the seeds with this prediction; the probabilities are means over them.
    """

    predicted: list[str]
    probability: float
    second: str | None
    second_probability: float | None
    method: NotRequired[str]
    seeds: NotRequired[list[int]]


class WrongText(TypedDict):
    """A wrongly predicted text.

    Keys:
        text: The text, truncated to `TEXT_LENGTH`.
        text_pair: The second text of a pair task.
        gold: Names of the gold classes.
        answers: The wrong predictions: one of a run, several in a comparison.
        row: Row number in the predictions of a run, from 0.
        evaluated: In comparisons: the number of seeds that evaluated the text.
        nearest: Class name to its nearest training texts.
        suspect: Whether the label is suspect, see `SUSPECT_RULE`.
        words: Words and their weights; positive weights speak for the predicted, negative ones for the gold class.
    """

    text: str
    text_pair: NotRequired[str]
    gold: list[str]
    answers: list[Answer]
    row: NotRequired[int]
    evaluated: NotRequired[int]
    nearest: NotRequired[dict[str, list[NearText]]]
    suspect: NotRequired[bool]
    words: NotRequired[list[tuple[str, float]]]


def named_answers(wrong: Mapping[str, Any], classes: Sequence[str]) -> list[tuple[int, Answer]]:
    """Returns the row number and the prediction, with class names, of each wrong row.

    Args:
        wrong: The fields of `tellapart.evaluation.predictions.WrongRows`.
        classes: The K classes.
    """
    fields = ("rows", "predicted", "probability", "second", "second_probability")
    return [
        (
            row,
            {
                "predicted": [classes[index] for index in predicted],
                "probability": probability,
                "second": None if second is None else classes[second],
                "second_probability": second_probability,
            },
        )
        for row, predicted, probability, second, second_probability in zip(
            *(wrong[name] for name in fields), strict=True
        )
    ]


def confused_classes(error: WrongText) -> list[str]:
    """Returns the classes that some prediction missed or wrongly added."""
    gold = set(error["gold"])
    return sorted(
        {name for answer in error["answers"] for name in gold.symmetric_difference(answer["predicted"])}
    )


def missed_and_added(error: WrongText, answer: Answer) -> tuple[str, str] | None:
    """Returns the class that a prediction missed and the one that it added; None unless it is one of each."""
    missed = set(error["gold"]) - set(answer["predicted"])
    added = set(answer["predicted"]) - set(error["gold"])
    return (missed.pop(), added.pop()) if len(missed) == len(added) == 1 else None


def is_suspect(error: WrongText) -> bool:
    """Returns whether the gold label looks wrong, see `SUSPECT_RULE`.

    Only predictions count that miss one class and add one. Of several predictions the most frequent one counts.
    """
    answer = max(error["answers"], key=lambda one: (len(one.get("seeds", [0])), one["probability"]))
    pair, near = missed_and_added(error, answer), error.get("nearest", {})
    if pair is None or answer["probability"] < SUSPECT_PROBABILITY:
        return False
    gold, predicted = (near.get(name, []) for name in pair)
    if not gold or not predicted:
        return False
    return _distance(predicted) <= SUSPECT_DISTANCE * _distance(gold)


def _distance(texts: Sequence[NearText]) -> float:
    return float(np.mean([1 - text["similarity"] for text in texts]))


def workbench_data(
    errors: Sequence[WrongText],
    *,
    classes: Sequence[str],
    matrices: Mapping[str, Any],
    notes: Sequence[str] = (),
    baseline: str | None = None,
    ranks: np.ndarray | None = None,
) -> dict[str, Any]:
    """Returns the content of `errors.json`, which is also the data of the page.

    Args:
        errors: The wrong texts, the most important first; what exceeds `DATA_BYTES` is left out at the end.
        classes: The K classes.
        matrices: Method to confusion counts (K, K), dense or sparse, rows are gold; of a run a single one.
        notes: Remarks for the page.
        baseline: In comparisons the method with which the others are compared, else None.
        ranks: Ranks of ordered classes, int64 (K,), `LabelSpace.ranks`: they are listed in this order; else None.
    """
    if ranks is not None:
        order = np.argsort(ranks)
        classes = [classes[index] for index in order]
        matrices = {name: as_confusions(matrix)[order][:, order] for name, matrix in matrices.items()}
    kept, size = [], 0
    for error in errors:
        shown = _shortened(error)
        size += len(json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace"))
        if size > DATA_BYTES:
            break
        kept.append(shown)
    said = [*notes]
    if len(kept) < len(errors):
        said.append(
            f"This page holds {len(kept):,} of {len(errors):,} wrong texts, the first in its order, since more would "
            f"exceed {DATA_BYTES // 1_000_000} MB"
            + ("; the predictions file has all rows." if baseline is None else ".")
        )
    if any(error.get("suspect") for error in kept):
        said.append(SUSPECT_RULE)
    counted, left_out = matrix_data(matrices, classes)
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": counted.pop("classes"),
        "baseline": baseline,
        "methods": list(matrices) if baseline is not None else [],
        "total": len(errors),
        "notes": said + left_out,
        **counted,
        "errors": kept,
    }


def write_errors(path: Path | str, data: Mapping[str, Any]) -> None:
    """Writes `errors.json`; characters that UTF-8 cannot encode become question marks.

    Raises:
        OutputError: The file could not be written.
    """
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    write_text(path, written.encode("utf-8", "replace").decode("utf-8"))


def worst_pairs(path: Path | str, top: int) -> tuple[list[ConfusedPair], int]:
    """Reads the most confused pairs of a run from its `errors.json`.

    Args:
        path: The file.
        top: Maximum number of pairs.

    Returns:
        The pairs, the most confused first, and the number of all confusions.
    """
    return read_pairs(json.loads(Path(path).read_text(encoding="utf-8")), top)


def pair_name(a: str, b: str) -> str:
    """Returns the name of a pair in links, `#pair=A|B`, percent-encoded."""
    from urllib.parse import quote

    return f"#pair={quote(f'{a}|{b}', safe='')}"


def suspect_counts(errors: Sequence[WrongText]) -> dict[frozenset[str], int]:
    """Counts the suspect labels by the pair of classes."""
    counts: dict[frozenset[str], int] = {}
    for error in errors:
        if error.get("suspect"):
            for pair in map(frozenset, combinations(confused_classes(error), 2)):
                counts[pair] = counts.get(pair, 0) + 1
    return counts


def run_verdict(
    worst: ConfusedPair | None, confusions: int, data: Mapping[str, Any], metric: str, rows: int
) -> list[str]:
    """Returns what a run's errors amount to, in sentences.

    Args:
        worst: The most confused pair; None without confusions.
        confusions: The confusions of all pairs.
        data: From `workbench_data`.
        metric: The main metric with its value.
        rows: The number of evaluated rows.
    """
    wrong = data["total"]
    if not wrong:
        return [f"All {rows:,} texts are predicted as they are labelled ({metric})."]
    said = [f"{wrong:,} of {rows:,} texts are predicted wrongly ({metric})."]
    if worst is not None:
        said.append(
            f"The most confused classes are {worst.a} and {worst.b}: {worst.errors:,} of {confusions:,} "
            f"{'confusion' if confusions == 1 else 'confusions'} ({100 * worst.errors / confusions:.0f} %)."
        )
    suspects = sum(bool(error.get("suspect")) for error in data["errors"])
    if suspects:
        them = "1 wrong text has a suspect label" if suspects == 1 else f"{suspects:,} have suspect labels"
        said.append(f"{them}: check the label before the model.")
    return said


def _shortened(error: WrongText) -> WrongText:
    shown = error.copy()
    if "words" in shown:
        ends = accumulate(len(word) for word, _ in shown["words"])
        shown["words"] = [one for one, end in zip(shown["words"], ends, strict=True) if end <= TEXT_LENGTH]
    for key in ("text", "text_pair"):
        text = shown.get(key)
        if isinstance(text, str) and len(text) > TEXT_LENGTH:
            shown[key] = text[: TEXT_LENGTH - 1] + "…"
    return shown
