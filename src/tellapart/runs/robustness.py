"""Robustness of a saved classifier to synonym replacement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.errors import ModelError
from tellapart.evaluation.metrics import predicted_ids
from tellapart.evaluation.predictions import predicted_columns
from tellapart.evaluation.robustness import Answers, Robustness, compare_answers
from tellapart.evaluation.synonym_swaps import SynonymSwaps, label_words
from tellapart.evaluation.task import task_metrics
from tellapart.files import write_json
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.folder import claim_folder, claimed
from tellapart.fitting.learned_rows import learned_rows_note
from tellapart.fitting.loading import load_fitted
from tellapart.inspection.robustness_page import write_robustness_report
from tellapart.runs.evaluate import read_labelled
from tellapart.wordnet.reader import WordNet


def robustness(
    model: str | Path,
    source: Any,
    output: str | Path,
    *,
    share: float = 0.1,
    seed: int = 0,
    protect: Sequence[str] = (),
    wordnet: str | Path | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    label_names: Sequence[str] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Robustness:
    """Measures how replacing words by synonyms changes a classifier's predictions.

    Writes `robustness.json` and `robustness.html`. For models that answer questions see
    `tellapart.question_answering.robustness`.

    Args:
        model: A run folder or a plain checkpoint of a classifier.
        source: Labelled rows, as for `tellapart.runs.evaluate.evaluate`.
        output: The folder to write.
        share: The largest share of a text's words that is replaced.
        seed: Seed of the choice of words and synonyms.
        protect: Words that are never replaced, besides those of the class names.
        wordnet: WordNet's folder; by default where it is usually installed.
        text: The text column; by default that of the model's training, or found by its name if that is unknown.
        text_pair: The second text's column, likewise.
        label: The label column, likewise.
        label_delimiter: Separates the labels in a multi-label cell.
        label_names: The labels of the positions of vectors of 0 and 1, in order.
        overwrite: Whether to replace an earlier run.
        quiet: Whether to show no progress.
        announce: Called with notes on the columns that are read, and on rows that the run was trained on.

    Raises:
        UserError: The folder is in use, or the share is out of range.
        DataError: The rows, or WordNet, cannot be read.
        ModelError: There is no classifier.
    """
    fitted = load_fitted(model)
    if fitted.labels.regression:
        raise ModelError(
            f"{model} predicts numbers, and robustness counts labels that change", "give a classifier"
        )
    given = None if label_names is None else tuple(label_names)
    names = ColumnNames(text, text_pair, label, label_delimiter=label_delimiter, label_names=given)
    split = read_labelled(source, fitted, names, announce)
    protected = {*label_words(fitted.labels.names), *protect}
    swap = SynonymSwaps(WordNet(wordnet), share=share, seed=seed, protected=protected)
    if announce is not None:
        announce(learned_rows_note(model, split))
    with claimed(output, overwrite=overwrite, inputs=(model, source), emptied=False) as folder:
        result = _swap_synonyms(
            fitted,
            split,
            swap,
            quiet,
            settings={"share": share, "seed": seed, "protected": sorted(protect)},
            model=str(model),
            source=source_name(source),
        )
        claim_folder(folder, resume=None, overwrite=overwrite)
        write_robustness(folder, result)
        return result


def _swap_synonyms(
    fitted: Fitted, split: TextSplit, swap: SynonymSwaps, quiet: bool, **described: Any
) -> Robustness:
    transformed, changes = _swapped(split, swap)
    return compare_answers(
        _labels(fitted, split, quiet),
        _labels(fitted, transformed, quiet),
        answer_names(split.labels or []),
        changes,
        attack="swap-synonyms",
        metric="exact_match" if fitted.labels.multi_label else "accuracy",
        **described,
    )


def _swapped(split: TextSplit, swap: SynonymSwaps) -> tuple[TextSplit, list[int]]:
    """The rows with replaced words, and the number of replacements per row."""
    made = [[swap(text) for text in texts] for texts in split.columns]
    changes = [sum(len(swaps) for _, swaps in row) for row in zip(*made, strict=True)]
    texts, *pairs = [[text for text, _ in column] for column in made]
    return dataclasses.replace(split, texts=texts, text_pairs=pairs[0] if pairs else None), changes


def _labels(fitted: Fitted, split: TextSplit, quiet: bool) -> Answers:
    assert split.labels is not None
    logits = fitted.scores(split, quiet=quiet)
    thresholds = fitted.decision.applied_thresholds
    gold = fitted.labels.encode(split.labels)
    hits = np.equal(predicted_ids(fitted.labels, logits, thresholds), gold).reshape(
        len(split), -1
    )  # (N, 1 or K)
    return Answers(
        texts=[" ⏎ ".join(row) for row in zip(*split.columns, strict=True)],
        given=answer_names(predicted_columns(fitted.labels, logits, thresholds)[0]),
        correct=np.asarray(hits.all(axis=1)),
        metrics=task_metrics(fitted.labels, split, logits, thresholds),
    )


def answer_names(labels: Sequence[Any]) -> list[str]:
    """Formats labels, or lists of labels, as strings."""
    return [label if isinstance(label, str) else ", ".join(label) or "none" for label in labels]


def source_name(source: Any) -> str:
    """Returns the path or name of a data source; `memory` for tables in memory."""
    return str(source) if isinstance(source, str | Path) else "memory"


def write_robustness(folder: Path, result: Robustness) -> None:
    """Writes `robustness.html` and `robustness.json`.

    Raises:
        OutputError: A file cannot be written.
    """
    write_robustness_report(folder / "robustness.html", result)
    write_json(folder / "robustness.json", result.to_dict())
