from __future__ import annotations

import json
import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import DataError
from tellapart.question_answering.metrics import (
    answers,
    best_span,
    evaluate_squad,
    exact_match,
    normalise_answer,
    qa_metrics,
    token_f1,
)
from tellapart.question_answering.squad import SquadAnswer, SquadExample
from tellapart.question_answering.windows import QAWindows


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("The U.S.  of A!", "us of"),  # the letter a is an article too
        ("an apple, a pear", "apple pear"),
        ("Theatre", "theatre"),
        ("  twenty-two\n", "twentytwo"),
        ("the", ""),
        ("“a”", "“ ”"),  # only ASCII punctuation goes
        ("", ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_spaces(answer, normalised):
    assert normalise_answer(answer) == normalised


@pytest.mark.parametrize(
    ("predicted", "gold", "exact", "f1"),
    [
        ("Eiffel Tower", ["the Eiffel Tower", "Paris"], 1, 1),
        ("in Paris", ["the Eiffel Tower", "Paris"], 0, 2 / 3),
        ("big black cat cat", ["black cat"], 0, 2 / 3),
        ("cat cat", ["cat"], 0, 2 / 3),  # the second one is not shared
        ("1880", ["1881"], 0, 0),
        ("", ["1881"], 0, 0),
        ("", [], 1, 1),
        ("a", [], 1, 1),
        ("1880", [], 0, 0),
        ("", ["the", ""], 1, 1),  # gold answers without a word are none
        ("1880", ["the", "1880"], 1, 1),
        ("the", ["1880", "the"], 0, 0),  # …as soon as another has one
    ],
)
def test_exact_match_and_f1_take_the_best_gold_answer(predicted, gold, exact, f1):
    assert exact_match(predicted, gold) == exact
    assert token_f1(predicted, gold) == pytest.approx(f1)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", "the"]), max_size=6),
    st.lists(st.sampled_from(["a", "b", "c", "d"])),
)
def test_f1_agrees_with_precision_and_recall_counted_one_by_one(predicted, gold):
    left = [word for word in gold if word != "a"]
    words = [word for word in predicted if word not in ("a", "the")]
    remaining, shared = list(left), 0
    for word in words:
        if word in remaining:
            remaining.remove(word)
            shared += 1
    if not words or not left:
        expected = float(words == left)
    elif not shared:
        expected = 0.0
    else:
        precision, recall = shared / len(words), shared / len(left)
        expected = 2 * precision * recall / (precision + recall)
    assert token_f1(" ".join(predicted), [" ".join(gold)]) == pytest.approx(expected)


def _example(name: str, *gold: str) -> SquadExample:
    context = "It was in 1880 and in 1881 that she left."
    return SquadExample(
        name, "When?", context, tuple(SquadAnswer(text, context.index(text)) for text in gold)
    )


def test_means_are_over_all_questions_and_over_either_kind():
    examples = [_example("a", "1880"), _example("b", "1880", "in 1881"), _example("c"), _example("d")]
    metrics = qa_metrics(examples, {"a": "1880", "b": "1881", "c": "", "more": "x"})
    assert metrics == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 2 / 3 + 1) / 4),
        "answerable_exact_match": 0.5,
        "answerable_f1": pytest.approx((1 + 2 / 3) / 2),
        "unanswerable_exact_match": 0.5,
        "unanswerable_f1": 0.5,
        "total": 4,
        "missing": 1,
    }
    assert qa_metrics(examples[:1], {"a": "1880"}) == {"exact_match": 1, "f1": 1, "total": 1, "missing": 0}


def _official_evaluation(dataset, predictions):
    """Exact match and F1 in per cent as the evaluation of SQuAD 1.1 is published: a question at a time, all told."""

    def normalised(text):
        bare = "".join(character for character in text.lower() if character not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())

    def f1(prediction, truth):
        said, true = normalised(prediction).split(), normalised(truth).split()
        shared = [
            word for word in set(said) & set(true) for _ in range(min(said.count(word), true.count(word)))
        ]
        if not shared:
            return 0.0
        precision, recall = len(shared) / len(said), len(shared) / len(true)
        return 2 * precision * recall / (precision + recall)

    total = exact = overlap = 0
    for article in dataset["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                total += 1
                if question["id"] not in predictions:
                    continue
                said, truths = predictions[question["id"]], [one["text"] for one in question["answers"]]
                exact += max(normalised(said) == normalised(truth) for truth in truths)
                overlap += max(f1(said, truth) for truth in truths)
    return 100 * exact / total, 100 * overlap / total


_PIECES = st.sampled_from(
    ["the", "A", "U.S.", "black", "Cat", "cat", "1880", "—", "…", "an", "’s", "left-over", " "]
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(_PIECES, max_size=5), st.lists(_PIECES, max_size=4)), min_size=1, max_size=6)
)
def test_the_metrics_are_those_of_the_published_evaluation(rows):
    examples, predictions = [], {}
    for number, (first, second) in enumerate(rows):
        gold = ("one cat", "The " + " ".join(second) + " Cat")  # answers have a word, in SQuAD 1.1
        answers = tuple(SquadAnswer(text, 0) for text in gold)
        examples.append(SquadExample(f"q{number}", "?", "a text", answers))
        if number % 4 != 3:
            predictions[f"q{number}"] = " ".join(first)
    metrics = qa_metrics(examples, predictions)
    expected = _official_evaluation(_squad(examples), predictions)
    assert (100 * metrics["exact_match"], 100 * metrics["f1"]) == pytest.approx(expected)


def _squad(examples: list[SquadExample]) -> dict:
    questions = [
        {
            "id": example.id,
            "question": example.question,
            "answers": [{"text": gold.text, "answer_start": gold.start} for gold in example.answers],
        }
        for example in examples
    ]
    return {"data": [{"paragraphs": [{"context": examples[0].context, "qas": questions}]}]}


def test_files_are_evaluated_and_wrong_ones_refused(tmp_path):
    data, predictions = tmp_path / "dev.json", tmp_path / "predictions.json"
    data.write_text(json.dumps(_squad([_example("a", "1880"), _example("b")])))
    predictions.write_text(json.dumps({"a": "In 1880", "b": ""}))
    assert evaluate_squad(data, predictions)["exact_match"] == 0.5
    for content, message in (
        ('["1880"]', "holds no predictions"),
        ('{"a": 1880}', "holds no predictions"),
        ('{"z": "1880"}', "none of the 1 predictions"),
        ("{", "cannot be read"),
    ):
        predictions.write_text(content)
        with pytest.raises(DataError, match=message):
            evaluate_squad(data, predictions)


def test_the_best_span_ends_after_its_start_inside_the_text_and_is_not_too_long():
    start, end = np.array([9.0, 0, 3, 1, 0, 2]), np.array([9.0, 3, 0, 0, 1, 5])
    allowed = np.array([False, True, True, True, True, True])
    assert best_span(start, end, allowed) == (2, 5, 8.0)
    assert best_span(start, end, allowed, longest=3) == (5, 5, 7.0)
    assert best_span(start, end, np.array([True] + [False] * 5)) == (0, 0, 18.0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_the_best_span_is_the_best_of_all(length, longest, seed):
    random = np.random.default_rng(seed)
    start, end = random.normal(size=(2, length))
    allowed = random.random(length) < 0.7
    allowed[random.integers(length)] = True
    candidates = [
        (start[i] + end[j], i, j)
        for i in range(length)
        for j in range(i, length)
        if allowed[i] and allowed[j] and allowed[i : j + 1].sum() <= longest
    ]
    score, first, last = max(candidates)
    assert best_span(start, end, allowed, longest) == (first, last, pytest.approx(score))


def _windows(questions: list[int]) -> QAWindows:
    """Windows of four tokens: [CLS], then characters 0–2, 3–5 and 6–8 of the text."""
    count = len(questions)
    offsets = np.array([[-1, -1], [0, 2], [3, 5], [6, 8]])
    return QAWindows(
        {"input_ids": np.zeros(4 * count)},
        np.full(count, 4),
        {},
        examples=np.array(questions),
        offsets=np.tile(offsets, (count, 1)),
        no_answer=np.zeros(count, dtype=int),
    )


def test_the_answer_is_the_best_span_of_all_windows_unless_none_is_likelier_in_each():
    examples = [SquadExample(name, "?", "ab cd ef", ()) for name in ("first", "second")]
    scores = np.array(
        [
            *([9, 9], [1, 0], [0, 1], [0, 0]),  # question 0: "ab cd" with 2, none with 18
            *([0, 1], [0, 0], [0, 0], [3, 2]),  # question 0 again: "ef" with 5, none with 1
            *([3, 3], [0, 0], [2, 2], [0, 0]),  # question 1: "cd" with 4, none with 6
        ],
        dtype=np.float32,
    )
    windows = _windows([0, 0, 1])
    assert answers(examples, windows, scores, may_be_missing=True) == {"first": "ef", "second": ""}
    assert answers(examples, windows, scores, may_be_missing=False) == {"first": "ef", "second": "cd"}
