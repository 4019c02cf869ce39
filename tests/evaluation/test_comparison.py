from __future__ import annotations

import json

import numpy as np
import pytest

from tellapart.errors import DataError, UserError
from tellapart.evaluation.comparison import Comparison, Trial, build_comparison
from tellapart.evaluation.comparison_tables import (
    comparison_rows,
    comparison_verdicts,
    confusable_rows,
    ranking_rows,
    significance_rows,
    unseen_sentence,
)

NAMES = ("ham", "spam", "eggs")


def _trials(*scores: float | None, seconds: float = 10.0) -> list[Trial]:
    return [
        Trial(
            seed, score, {} if score is None else {"accuracy": score}, seconds, None if score else "diverged"
        )
        for seed, score in enumerate(scores)
    ]


def _build(
    trials: dict[str, list[Trial]], confusions: dict[str, list[np.ndarray]] | None = None, **options: object
) -> Comparison:
    return build_comparison(
        trials,
        confusions or {},
        class_names=NAMES,
        metric="accuracy",
        source="meals.csv",
        split_sizes={"train": 30, "test": 12},
        encoder="minilm",
        environment={"torch": "2.13.0", "threads": 2},
        **options,
    )


@pytest.fixture
def comparison() -> Comparison:
    before = np.array([[2, 3, 0], [1, 4, 0], [0, 0, 2]])
    after = np.array([[4, 1, 0], [0, 4, 1], [0, 1, 1]])
    return _build(
        {
            "cross-entropy": _trials(0.70, 0.72, 0.74),
            "label-distance": _trials(0.75, 0.76, 0.80, seconds=20),
            "frozen": _trials(0.70, None, 0.71),
        },
        {
            "cross-entropy": [before, before + 2 * np.eye(3, dtype=int)[::-1]],
            "label-distance": [after],
            "frozen": [],
        },
    )


def test_each_pair_of_methods_is_compared_over_the_seeds_both_finished(comparison):
    pairs = {(pair.baseline, pair.method): pair for pair in comparison.pairs}
    assert list(pairs) == [
        ("cross-entropy", "label-distance"),
        ("cross-entropy", "frozen"),
        ("label-distance", "frozen"),
    ]
    assert pairs["cross-entropy", "label-distance"].difference == pytest.approx(0.05)
    assert pairs["cross-entropy", "frozen"].trials == 2
    assert comparison.seeds == (0, 1, 2)


def test_means_and_seconds_are_of_the_finished_trials(comparison):
    frozen = comparison.methods["frozen"]
    assert frozen.mean == pytest.approx(0.705)
    assert frozen.trials[1].error == "diverged"
    assert comparison.methods["label-distance"].seconds == 20


def test_confusable_pairs_are_the_worst_of_the_baseline_then_what_became_bad(comparison):
    first, second, third = comparison.confusable_pairs
    assert (first.a, first.b) == ("ham", "spam")
    assert first.errors == {"cross-entropy": 4.0, "label-distance": 1.0}
    assert (second.a, second.b, second.errors["cross-entropy"]) == ("ham", "eggs", 2.0)
    assert (third.a, third.b) == ("spam", "eggs")
    assert third.errors == {"cross-entropy": 0.0, "label-distance": 2.0}


def test_a_pair_that_grew_but_stays_minor_is_not_listed():
    before, after = np.array([[0, 9, 0], [9, 0, 0], [0, 0, 9]]), np.array([[9, 0, 1], [0, 9, 0], [0, 0, 9]])
    compared = _build({"a": _trials(0.5), "b": _trials(0.9)}, {"a": [before], "b": [after]})
    assert [(pair.a, pair.b) for pair in compared.confusable_pairs] == [("ham", "spam")]


def test_the_json_form_survives_a_file(comparison):
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert content["schema_version"] == 2
    assert content["methods"]["label-distance"]["trials"][0] == {
        "seed": 0,
        "score": 0.75,
        "metrics": {"accuracy": 0.75},
        "seconds": 20.0,
        "error": None,
        "seen_rows": 0,
        "unseen_score": None,
    }
    assert content["pairs"][0].keys() >= {"baseline", "method", "difference", "interval", "p_value", "wins"}
    assert Comparison.from_dict(content) == comparison


def _as_version_1(comparison: Comparison) -> dict:
    """What the first version wrote."""
    content = comparison.to_dict() | {"schema_version": 1}
    for result in content["methods"].values():
        for trial in result["trials"]:
            del trial["seen_rows"], trial["unseen_score"]
    newer = ("standard_deviation", "wilcoxon_p_value", "adjusted_p_value", "comparisons", "flips")
    for pair in content["pairs"]:
        for key in (*newer, "minimum_detectable_difference"):
            del pair[key]
    return content


def test_a_comparison_of_the_first_version_gets_what_it_lacks_from_its_trials(comparison):
    assert Comparison.from_dict(_as_version_1(comparison)) == comparison
    damaged = _as_version_1(comparison)
    damaged["methods"]["frozen"]["trials"][0]["score"] = "high"
    with pytest.raises(DataError, match=r"methods\.frozen\.trials\.0\.score"):
        Comparison.from_dict(damaged)


def test_each_baseline_has_its_own_number_of_comparisons(comparison):
    pairs = {(pair.baseline, pair.method): pair for pair in comparison.pairs}
    assert pairs["cross-entropy", "label-distance"].comparisons == 2
    assert (
        pairs["cross-entropy", "label-distance"].adjusted_p_value
        > pairs["cross-entropy", "label-distance"].p_value
    )
    assert pairs["label-distance", "frozen"].comparisons == 1


def test_rows_that_only_one_method_has_right_are_counted_where_all_trials_tell_them():
    right, wrong = np.ones(4, dtype=bool), np.array([True, False, False, False])
    correct = {"a": {0: wrong, 1: wrong}, "b": {0: right, 1: right}, "c": {0: right}}
    compared = _build(
        {"a": _trials(0.25, 0.25), "b": _trials(1.0, 0.9), "c": _trials(1.0, 0.8)},
        correct=correct,
        texts={0: np.arange(4), 1: np.arange(4)},
    )
    gained, unknown = compared.pair("b").flips, compared.pair("c").flips
    assert (gained.gained, gained.lost, gained.texts_gained, gained.p_value) == (6, 0, 3, 0.25)
    assert unknown is None
    first, second = comparison_verdicts(compared)
    assert first.endswith("; 6 rows fixed, 0 broken; by distinct text 3 fixed, 0 broken (McNemar p = 0.25)")
    assert "McNemar" not in second
    assert Comparison.from_dict(compared.to_dict()) == compared


def test_the_table_of_tests_has_a_row_a_method(comparison):
    header, first, second = significance_rows(comparison)
    assert header[:3] == ["method", "t", "Holm"]
    pair = comparison.pair("label-distance")
    assert first[:3] == ["label-distance", f"{pair.p_value:.2g}", f"{pair.adjusted_p_value:.2g}"]
    assert first[5:7] == ["", ""]
    assert second[0] == "frozen"


def _seen(rows: int, *scores: float | None) -> list[Trial]:
    return [Trial(seed, 0.5, {}, 1.0, None, rows, score) for seed, score in enumerate(scores)]


def test_scores_without_the_rows_that_were_trained_on_stand_in_a_sentence(comparison):
    assert unseen_sentence(comparison) == ""
    leaky = _build({"a": _seen(3, 0.5, 0.6), "b": _seen(4, 0.7, 0.8)})
    assert unseen_sentence(leaky) == (
        "Without the 3 to 4 evaluated rows whose text is also in train, accuracy (%): a 55.00, b 75.00."
    )
    # Where one method trains on validation rows too, it may have seen test rows of seeds in which the other has not.
    some = _build(
        {"a": [*_seen(0, None), *_seen(3, 0.4, 0.6)[1:]], "b": _seen(1, 0.7, 0.8), "c": _seen(0, None, None)}
    )
    assert unseen_sentence(some) == (
        "Without the 1 to 3 evaluated rows whose text is also in train, accuracy (%): a 55.00, b 75.00, c 50.00."
    )
    all_seen = _build({"a": _seen(12, None), "b": _seen(12, None)})
    assert unseen_sentence(all_seen) == "The texts of all evaluated rows are also in train."


def test_other_content_is_refused_with_the_place(comparison):
    for wrong in ({}, [], {"schema_version": 99}):
        with pytest.raises(DataError, match="schema version 2"):
            Comparison.from_dict(wrong)
    damaged = comparison.to_dict()
    damaged["methods"]["frozen"]["mean"] = "high"
    with pytest.raises(DataError, match=r"methods\.frozen\.mean"):
        Comparison.from_dict(damaged)


def test_the_table_shows_points_intervals_and_failures(comparison):
    header, baseline, method, frozen = comparison_rows(comparison)
    assert header[:4] == ["method", "accuracy (%)", "95 % interval", "vs cross-entropy"]
    assert baseline == ["cross-entropy", "72.00", "67.03 to 76.97", "", "", "", "", "10.0"]
    assert header[5:] == ["errors avoided", "won / tied / lost", "seconds"]
    assert method[3:] == ["+5.00", "+2.52 to +7.48", "+17.9 %", "3 / 0 / 0", "20.0"]  # 0.05 of 0.28
    assert frozen[0] == "frozen (1 of 3 failed)"


def test_the_table_of_class_pairs_shows_the_change(comparison):
    header, first, *_ = confusable_rows(comparison)
    assert header == ["classes", "cross-entropy", "label-distance"]
    assert first == ["ham ↔ spam", "4.0", "1.0 (-3.0)"]
    assert confusable_rows(_build({"a": _trials(0.5)})) == [["classes"]]
    narrow = confusable_rows(comparison, most_methods=1)
    assert narrow[0] == ["classes", "cross-entropy"]
    assert narrow[1] == ["ham ↔ spam", "4.0"]
    assert ranking_rows(comparison) == [["method"]]


def test_verdicts_are_against_the_baseline_only(comparison):
    verdicts = comparison_verdicts(comparison)
    assert len(verdicts) == 2
    assert verdicts[0].startswith("label-distance against cross-entropy: better by 5.00 points")


def test_a_method_whose_trials_all_failed_is_kept_without_figures():
    failed = _build({"a": _trials(0.5, 0.6), "b": _trials(None, None)})
    assert failed.methods["b"].mean is None
    assert failed.pairs == ()
    assert comparison_rows(failed)[2] == ["b (2 of 2 failed)", "", "", "", "", "", ""]
    assert Comparison.from_dict(failed.to_dict()) == failed


def test_one_trial_gives_a_table_without_intervals():
    rows = comparison_rows(_build({"a": _trials(0.5), "b": _trials(0.6)}))
    assert rows[2] == ["b", "60.00", "", "+10.00", "", "+20.0 %", "1 / 0 / 0", "10.0"]


def test_a_table_of_an_older_file_has_no_error_reduction(comparison):
    content = comparison.to_dict()
    for pair in content["pairs"]:
        del pair["error_reduction"]
    for result in content["methods"].values():
        del result["metrics"]
    assert "errors avoided" not in comparison_rows(Comparison.from_dict(content))[0]


def test_a_comparison_of_rankings_has_all_three_metrics_in_the_table_and_the_json():
    def trials(*rows: tuple[float, float, float]) -> list[Trial]:
        names = ("mean_average_precision", "mean_reciprocal_rank", "precision_at_1")
        metrics = [dict(zip(names, row, strict=True)) | {"accuracy": 0.5} for row in rows]
        return [Trial(seed, one[names[0]], one, 1.0) for seed, one in enumerate(metrics)]

    compared = build_comparison(
        {
            "a": trials((0.6, 0.62, 0.4), (0.7, 0.72, 0.5), (0.8, 0.82, 0.6)),
            "b": trials((0.7, 0.72, 0.5), (0.8, 0.82, 0.6), (0.9, 0.92, 0.7)),
        },
        {},
        class_names=NAMES,
        metric="mean_average_precision",
        source="answers.csv",
        split_sizes={},
        encoder="minilm",
        environment={},
    )
    header, before, after = ranking_rows(compared)
    assert header == [
        "method",
        "mean average precision (%)",
        "mean reciprocal rank (%)",
        "precision at 1 (%)",
    ]
    assert before == ["a", "70.00", "72.00", "50.00"]
    assert after == ["b", "80.00 (+10.00)", "82.00 (+10.00)", "60.00 (+10.00)"]
    metrics = compared.to_dict()["methods"]["b"]["metrics"]
    assert metrics["precision_at_1"]["mean"] == pytest.approx(0.6)
    assert metrics["mean_reciprocal_rank"]["interval"][1] == 1.0  # bounded
    assert Comparison.from_dict(compared.to_dict()) == compared


def test_methods_that_ran_with_other_seeds_are_refused():
    with pytest.raises(UserError, match="same seeds"):
        _build({"a": _trials(0.5), "b": _trials(0.5, 0.6)})
