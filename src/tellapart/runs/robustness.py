"""A saved model on texts that were changed in a way that should not change its answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.errors import RecipeError, did_you_mean
from tellapart.evaluation.metrics import predicted_ids
from tellapart.evaluation.robustness import ATTACKS, Answers, Attack, Robustness, compare_answers
from tellapart.evaluation.synonym_swaps import SynonymSwaps, label_words
from tellapart.evaluation.task import task_metrics
from tellapart.files import replacing
from tellapart.inspection.robustness import write_robustness_report
from tellapart.pretraining.wordnet import WordNet
from tellapart.runs.evaluate import read_labelled
from tellapart.runs.fitting import Fitted, load_fitted
from tellapart.runs.folder import claim_folder
from tellapart.runs.predictions import predicted_columns


def robustness(
    model: str | Path,
    source: Any,
    output: str | Path,
    *,
    attack: Attack = "swap-synonyms",
    share: float = 0.1,
    seed: int = 0,
    protect: Sequence[str] = (),
    wordnet: str | Path | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Robustness:
    """Measures what an attack does to a saved model; writes `robustness.json` and `robustness.html`.

    Args:
        model: A run folder or a plain checkpoint.
        source: Labelled rows, as for `tellapart.runs.evaluate.evaluate`.
        output: The folder to write.
        attack: `swap-synonyms`, see `tellapart.evaluation.synonym_swaps`.
        share: Of a text's words, at most so many are replaced.
        seed: Another one chooses other words.
        protect: Words that stay, besides those of the class names.
        wordnet: WordNet's folder; by default where it is usually installed.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        label: The label column.
        label_delimiter: What separates the labels of a multi-label cell.
        overwrite: Whether to replace what another run wrote there.
        quiet: Whether to show no progress.

    Raises:
        RecipeError: There is no such attack.
        UserError: The folder is in use, or the share is none.
        DataError: The rows, or WordNet, cannot be read.
        ModelError: There is no model of the kind that the attack is for.
    """
    if attack not in ATTACKS:
        raise RecipeError(
            f'there is no attack "{attack}"{did_you_mean(attack, ATTACKS)}', f"use {' or '.join(ATTACKS)}"
        )
    folder = claim_folder(output, resume=False, overwrite=overwrite)
    fitted = load_fitted(model)
    split = read_labelled(
        source, fitted.labels, text=text, text_pair=text_pair, label=label, label_delimiter=label_delimiter
    )
    swap = SynonymSwaps(
        WordNet(wordnet), share=share, seed=seed, protected={*label_words(fitted.labels.names), *protect}
    )
    transformed, changes = _swapped(split, swap)
    gold = _names(split.labels or [])
    result = compare_answers(
        _answers(fitted, split, quiet),
        _answers(fitted, transformed, quiet),
        gold,
        changes,
        attack=attack,
        settings={"share": share, "seed": seed, "protected": sorted(protect)},
        model=str(model),
        source=str(source) if isinstance(source, str | Path) else "memory",
        metric="exact_match" if fitted.labels.multi_label else "accuracy",
    )
    _write(folder, result)
    return result


def _swapped(split: TextSplit, swap: SynonymSwaps) -> tuple[TextSplit, list[int]]:
    """The rows with swapped words, and how many there are in each."""
    columns = [split.texts, *([] if split.text_pairs is None else [split.text_pairs])]
    made = [[swap(text) for text in texts] for texts in columns]
    changes = [sum(len(swaps) for _, swaps in row) for row in zip(*made, strict=True)]
    texts, *pairs = [[text for text, _ in column] for column in made]
    return dataclasses.replace(split, texts=texts, text_pairs=pairs[0] if pairs else None), changes


def _answers(fitted: Fitted, split: TextSplit, quiet: bool) -> Answers:
    assert split.labels is not None
    logits = fitted.scores(split, quiet=quiet)
    cuts = fitted.decision.cuts
    gold = fitted.labels.encode(split.labels)
    hits = np.equal(predicted_ids(fitted.labels, logits, cuts), gold).reshape(len(split), -1)  # (N, 1 or K)
    texts = split.texts
    if split.text_pairs is not None:
        texts = [f"{first} ⏎ {second}" for first, second in zip(texts, split.text_pairs, strict=True)]
    return Answers(
        texts=texts,
        given=_names(predicted_columns(fitted.labels, logits, cuts)[0]),
        right=np.all(hits, axis=1),
        metrics=task_metrics(fitted.labels, split, logits, cuts),
    )


def _names(labels: Sequence[Any]) -> list[str]:
    return [label if isinstance(label, str) else ", ".join(label) or "no label" for label in labels]


def _write(folder: Path, result: Robustness) -> None:
    write_robustness_report(folder / "robustness.html", result)
    with replacing(folder / "robustness.json") as temporary:
        text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
