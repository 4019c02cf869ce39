"""A saved model on texts that were changed in a way that should not change its answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.data.squad import SquadExample, read_squad
from tellapart.encoders.spans import answers_questions, load_span_model
from tellapart.errors import ModelError, RecipeError, did_you_mean
from tellapart.evaluation.metrics import predicted_ids
from tellapart.evaluation.robustness import ATTACKS, Answers, Attack, Robustness, compare_answers
from tellapart.evaluation.span_attacks import AttackedExamples, attacked_examples
from tellapart.evaluation.spans import exact_match, span_metrics
from tellapart.evaluation.synonym_swaps import SynonymSwaps, label_words
from tellapart.evaluation.task import task_metrics
from tellapart.files import replacing
from tellapart.inspection.robustness import write_robustness_report
from tellapart.pretraining.wordnet import WordNet
from tellapart.runs.evaluate import read_labelled
from tellapart.runs.fitting import Fitted, load_fitted
from tellapart.runs.folder import claim_folder
from tellapart.runs.predictions import predicted_columns
from tellapart.runs.spans import answer


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
        model: A run folder or a plain checkpoint, a classifier or a model that answers questions.
        source: Labelled rows, as for `tellapart.runs.evaluate.evaluate`; for a model that answers questions what
            `tellapart.data.squad.read_squad` takes.
        output: The folder to write.
        attack: `swap-synonyms`, see `tellapart.evaluation.synonym_swaps`; or `add-sentence`, see
            `tellapart.evaluation.distractors`, for models that answer questions.
        share: Of a text's words, at most so many are replaced. Synonyms only.
        seed: Another one chooses other words.
        protect: Words that stay, besides those of the class names or of the answers. Synonyms only.
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
    named = {"model": str(model), "source": str(source) if isinstance(source, str | Path) else "memory"}
    dictionary = WordNet(wordnet)
    if attack == "add-sentence" or _answers_questions(model):
        span_model, examples = load_span_model(model), read_squad(source)
        options: dict[str, Any] = (
            {"share": share, "protected": sorted(protect)} if attack == "swap-synonyms" else {}
        )
        attacked = attacked_examples(examples, attack, dictionary, seed=seed, **options)
        folder = claim_folder(output, resume=False, overwrite=overwrite)
        settings = {**options, "seed": seed}
        result = _spans(span_model, examples, attacked, quiet, attack=attack, settings=settings, **named)
    else:
        fitted = load_fitted(model)
        if fitted.labels.regression:
            raise ModelError(
                f"{model} predicts scores, and what is counted here are labels that change",
                "give a classifier",
            )
        columns = {"text": text, "text_pair": text_pair, "label": label, "label_delimiter": label_delimiter}
        split = read_labelled(source, fitted.labels, **columns)
        protected = {*label_words(fitted.labels.names), *protect}
        swap = SynonymSwaps(dictionary, share=share, seed=seed, protected=protected)
        folder = claim_folder(output, resume=False, overwrite=overwrite)
        settings = {"share": share, "seed": seed, "protected": sorted(protect)}
        result = _swap_synonyms(fitted, split, swap, quiet, settings=settings, **named)
    _write(folder, result)
    return result


def _swap_synonyms(
    fitted: Fitted, split: TextSplit, swap: SynonymSwaps, quiet: bool, **described: Any
) -> Robustness:
    transformed, changes = _swapped(split, swap)
    return compare_answers(
        _labels(fitted, split, quiet),
        _labels(fitted, transformed, quiet),
        _names(split.labels or []),
        changes,
        attack="swap-synonyms",
        metric="exact_match" if fitted.labels.multi_label else "accuracy",
        **described,
    )


def _answers_questions(model: str | Path) -> bool:
    """Whether a folder, or a Hub name, is that of a model that answers questions; what cannot be read is none."""
    try:
        return answers_questions(model)
    except ModelError:
        return False  # a folder of tellapart's that is no Transformers model, such as that of tfidf


def _spans(
    span_model: tuple[Any, Any],
    examples: Sequence[SquadExample],
    attacked: AttackedExamples,
    quiet: bool,
    **described: Any,
) -> Robustness:
    def answers(rows: Sequence[SquadExample]) -> Answers:
        given = answer(*span_model, rows, quiet=quiet)
        right = [exact_match(given[row.id], [gold.text for gold in row.answers]) == 1 for row in rows]
        texts = [f"{row.question} ⏎ {row.context}" for row in rows]
        return Answers(texts, list(given.values()), np.array(right), span_metrics(rows, given))

    return compare_answers(
        answers(examples),
        answers(attacked.examples),
        [_names([[*dict.fromkeys(gold.text for gold in row.answers)]])[0] for row in examples],
        attacked.changes,
        metric="exact_match",
        **described,
    )


def _swapped(split: TextSplit, swap: SynonymSwaps) -> tuple[TextSplit, list[int]]:
    """The rows with swapped words, and how many there are in each."""
    columns = [split.texts, *([] if split.text_pairs is None else [split.text_pairs])]
    made = [[swap(text) for text in texts] for texts in columns]
    changes = [sum(len(swaps) for _, swaps in row) for row in zip(*made, strict=True)]
    texts, *pairs = [[text for text, _ in column] for column in made]
    return dataclasses.replace(split, texts=texts, text_pairs=pairs[0] if pairs else None), changes


def _labels(fitted: Fitted, split: TextSplit, quiet: bool) -> Answers:
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
        right=np.asarray(hits.all(axis=1)),
        metrics=task_metrics(fitted.labels, split, logits, cuts),
    )


def _names(labels: Sequence[Any]) -> list[str]:
    return [label if isinstance(label, str) else ", ".join(label) or "none" for label in labels]


def _write(folder: Path, result: Robustness) -> None:
    write_robustness_report(folder / "robustness.html", result)
    with replacing(folder / "robustness.json") as temporary:
        text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
