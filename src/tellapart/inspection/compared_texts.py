"""Wrong texts of a comparison: which methods predict them wrongly, with which seeds, and as what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.inspection.workbench import Answer, WrongText, named_answers, workbench_data


class ComparedTexts:
    """Collects the wrong predictions of all seed runs by text.

    Rows with equal texts and labels are one text; within one seed the first of them counts.

    Args:
        classes: Names of the K classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._texts: dict[tuple[int, tuple[str, ...]], WrongText] = {}
        self._evaluated: Counter[tuple[int, tuple[str, ...]]] = Counter()
        self._found: dict[tuple[int, tuple[str, ...]], list[tuple[str, int, Answer]]] = {}
        self.complete = True

    def add(
        self, seed: int, split: TextSplit, ids: np.ndarray, wrong: Mapping[str, Mapping[str, Any] | None]
    ) -> None:
        """Adds the seed runs of one seed.

        Args:
            seed: The seed.
            split: The evaluated rows (N).
            ids: Text id of each row, int (N,); equal texts have equal ids under every seed.
            wrong: Method to its `tellapart.evaluation.predictions.WrongRows` as a mapping; None for a seed run of an
                older version, which has none: `complete` becomes False.
        """
        assert split.labels is not None
        golds = [tuple([label] if isinstance(label, str) else label) for label in split.labels]  # type: ignore[arg-type]
        first: dict[tuple[int, tuple[str, ...]], int] = {}
        for row, key in enumerate(zip(ids.tolist(), golds, strict=True)):
            first.setdefault(key, row)
        self._evaluated.update(first.keys())
        for method, columns in wrong.items():
            if columns is None:
                self.complete = False
                continue
            for row, answer in named_answers(columns, self._classes):
                key = (int(ids[row]), golds[row])
                if first[key] != row:
                    continue
                if key not in self._texts:
                    self._texts[key] = {"text": split.texts[row], "gold": list(golds[row]), "answers": []}
                    if split.text_pairs is not None:
                        self._texts[key]["text_pair"] = split.text_pairs[row]
                self._found.setdefault(key, []).append((method, seed, answer))

    def errors(self) -> list[WrongText]:
        """Returns the wrong texts: first those that are predicted wrongly most often, of these the most confident."""
        found: list[WrongText] = []
        for key, text in self._texts.items():
            answers = _grouped(self._found[key])
            found.append({**text, "evaluated": self._evaluated[key], "answers": answers})
        return sorted(found, key=_importance)


def compared_data(
    errors: Sequence[WrongText],
    labels: LabelSpace,
    matrices: Mapping[str, Any],
    note: str,
    complete: bool,
) -> dict[str, Any]:
    """Returns the content of a comparison's `errors.json`, see `tellapart.inspection.workbench.workbench_data`.

    Args:
        errors: From `ComparedTexts.errors`.
        labels: The K classes.
        matrices: Method to confusion counts (K, K), dense or sparse, the baseline first.
        note: How the nearest training texts were found.
        complete: Whether the predictions of all seed runs are known; without some, no text is shown, as the counts
            would favour the methods that lack them.
    """
    notes = [note] if note else []
    if not complete:
        errors = []
        notes = [
            "The wrong texts are missing: an older version wrote some trials. Repeat them with --overwrite."
        ]
    return workbench_data(
        errors,
        classes=labels.names,
        matrices=matrices,
        notes=notes,
        baseline=next(iter(matrices)),
        ranks=labels.ranks,
    )


def _grouped(found: Sequence[tuple[str, int, Answer]]) -> list[Answer]:
    """Joins equal predictions of a method over its seeds; probabilities are means."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[int, Answer]]] = {}
    for method, seed, answer in found:
        groups.setdefault((method, tuple(answer["predicted"])), []).append((seed, answer))
    joined: list[Answer] = []
    for (method, predicted), members in groups.items():
        second = Counter(answer["second"] for _, answer in members).most_common(1)[0][0]
        seconds = [answer["second_probability"] for _, answer in members if answer["second"] == second]
        known = [chance for chance in seconds if chance is not None]
        joined.append(
            {
                "method": method,
                "seeds": [seed for seed, _ in members],
                "predicted": list(predicted),
                "probability": round(float(np.mean([answer["probability"] for _, answer in members])), 4),
                "second": second,
                "second_probability": round(float(np.mean(known)), 4) if known else None,
            }
        )
    methods = list(dict.fromkeys(method for method, _, _ in found))
    return sorted(joined, key=lambda answer: (methods.index(answer["method"]), -len(answer["seeds"])))


def _importance(error: WrongText) -> tuple[float, float]:
    wrong = sum(len(answer["seeds"]) for answer in error["answers"])
    return -wrong, -max(answer["probability"] for answer in error["answers"])
