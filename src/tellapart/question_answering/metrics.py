"""Decodes answers from token logits; exact match and F1 as in SQuAD's scripts."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tellapart.errors import DataError
from tellapart.question_answering.squad import SquadExample, read_squad
from tellapart.question_answering.windows import QAWindows

LONGEST_ANSWER = 30
"""Longest answer in tokens, as in BERT's experiments."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(answer: str) -> str:
    """Normalises an answer for comparison.

    Lower case, without ASCII punctuation (`U.S.` becomes `us`), then without the words a, an and the, with single
    spaces (Rajpurkar et al. 2016, arXiv:1606.05250, §6.1).
    """
    bare = answer.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(predicted: str, gold: Sequence[str]) -> float:
    """Returns 1 if a prediction equals a gold answer after normalisation, else 0.

    Args:
        predicted: The prediction; empty for "no answer".
        gold: The gold answers; empty if the text has no answer.
    """
    return max(float(normalise_answer(predicted) == normalise_answer(answer)) for answer in _known(gold))


def token_f1(predicted: str, gold: Sequence[str]) -> float:
    """Returns the highest F1 of a prediction with any gold answer, over words after normalisation.

    Words are compared as multisets. If either has no word left, F1 is 1 if both have none, else 0, as in SQuAD 2.0's
    script.

    Args:
        predicted: The prediction; empty for "no answer".
        gold: The gold answers; empty if the text has no answer.
    """
    words = normalise_answer(predicted).split()
    return max(_overlap(words, normalise_answer(answer).split()) for answer in _known(gold))


def _known(gold: Sequence[str]) -> Sequence[str]:
    """The gold answers with at least one word; else the empty answer."""
    return [answer for answer in gold if normalise_answer(answer)] or [""]


def _overlap(predicted: Sequence[str], gold: Sequence[str]) -> float:
    if not predicted or not gold:
        return float(not predicted and not gold)
    shared = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * shared / (len(predicted) + len(gold))


def qa_metrics(examples: Sequence[SquadExample], predictions: Mapping[str, str]) -> dict[str, float]:
    """Computes exact match and F1 over questions.

    Args:
        examples: The questions with their gold answers, at least one.
        predictions: Question id to answer. Questions without a prediction count as wrong.

    Returns:
        `exact_match` and `f1`, means over all questions from 0 to 1 (SQuAD's scripts print them times 100); `total`
        and `missing`, the numbers of questions and of those without a prediction. If some questions have answers and
        some have none, also the means of each kind: `answerable_exact_match`, `answerable_f1`,
        `unanswerable_exact_match` and `unanswerable_f1`.
    """
    gold = [[answer.text for answer in example.answers] for example in examples]
    found = [predictions.get(example.id) for example in examples]
    scores = np.zeros((len(examples), 2))
    for row, (predicted, texts) in enumerate(zip(found, gold, strict=True)):
        if predicted is not None:
            scores[row] = exact_match(predicted, texts), token_f1(predicted, texts)
    answerable = np.array([any(map(normalise_answer, texts)) for texts in gold])
    metrics = dict(zip(("exact_match", "f1"), scores.mean(axis=0).tolist(), strict=True))
    if 0 < answerable.sum() < len(examples):
        for name, rows in (("answerable", answerable), ("unanswerable", ~answerable)):
            match, f1 = scores[rows].mean(axis=0).tolist()
            metrics |= {f"{name}_exact_match": match, f"{name}_f1": f1}
    return {**metrics, "total": len(examples), "missing": found.count(None)}


def evaluate_squad(dataset_json: str | Path, predictions_json: str | Path) -> dict[str, float]:
    """Evaluates a file of predictions as SQuAD's scripts do.

    Args:
        dataset_json: A file in the format of SQuAD.
        predictions_json: A JSON object of question id to answer.

    Returns:
        As for `qa_metrics`.

    Raises:
        DataError: A file cannot be read, or no prediction belongs to a question of the data set.
    """
    examples = read_squad(dataset_json)
    path = Path(predictions_json)
    try:
        predictions = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"the predictions {path} cannot be read ({error})", "check the file") from error
    if not isinstance(predictions, dict) or not all(isinstance(text, str) for text in predictions.values()):
        raise DataError(
            f"{path} holds no predictions", 'give a JSON object such as {"question id": "answer", ...}'
        )
    if predictions.keys().isdisjoint(example.id for example in examples):
        raise DataError(
            f"none of the {len(predictions)} predictions in {path} is for a question of {dataset_json}",
            "give the predictions for these questions",
        )
    return qa_metrics(examples, predictions)


def best_span(
    start: np.ndarray, end: np.ndarray, allowed: np.ndarray, longest: int = LONGEST_ANSWER
) -> tuple[int, int, float]:
    """Finds the answer span with the highest sum of start and end logit.

    Args:
        start: Start logit per token, (L,).
        end: End logit per token, (L,).
        allowed: Whether a token belongs to the text, bool (L,), at least one.
        longest: Longest span in tokens.

    Returns:
        First token, last token, and the sum of their logits.
    """
    places = np.flatnonzero(allowed)
    sums = start[places][:, None] + end[places][None, :]  # (P, P)
    sums[~(np.tri(len(places), k=longest - 1, dtype=bool) & ~np.tri(len(places), k=-1, dtype=bool))] = -np.inf
    first, last = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(places[first]), int(places[last]), float(sums[first, last])


def answers(
    examples: Sequence[SquadExample],
    windows: QAWindows,
    logits: np.ndarray,
    *,
    may_be_missing: bool,
) -> dict[str, str]:
    """Decodes answers from start and end logits.

    The answer is the best span over all windows of a question. If answers may be missing, it is empty where the logit
    sum of the "no answer" token, the lowest over the windows, exceeds that of the best span (Devlin et al. 2019,
    arXiv:1810.04805, §4.3, with a threshold of 0).

    Args:
        examples: The questions of the windows.
        windows: The windows.
        logits: Start and end logits of all tokens, (T, 2), from `tellapart.question_answering.trainer.token_logits`.
        may_be_missing: Whether a question may have no answer.

    Returns:
        Question id to answer.
    """
    best = [(-np.inf, "")] * len(examples)
    none = np.full(len(examples), np.inf)
    for window, question in enumerate(windows.examples):
        tokens = windows.tokens(window)
        start, end = logits[tokens].T
        offsets, place = windows.offsets[tokens], windows.no_answer[window]
        none[question] = min(none[question], start[place] + end[place])
        allowed = offsets[:, 1] > offsets[:, 0]
        if allowed.any():
            first, last, score = best_span(start, end, allowed)
            if score > best[question][0]:
                context = examples[question].context
                best[question] = (score, context[offsets[first, 0] : offsets[last, 1]])
    return {
        example.id: "" if may_be_missing and none[number] > best[number][0] else best[number][1]
        for number, example in enumerate(examples)
    }
