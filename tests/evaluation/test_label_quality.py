from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.examples import LabelSpace
from tellapart.evaluation import label_quality as module
from tellapart.evaluation.label_quality import fold_of_rows, label_quality, out_of_fold_probabilities

LABELS = st.frozensets(st.sampled_from("abcd"), min_size=1, max_size=3)
ROWS = st.lists(st.tuples(st.integers(0, 12), LABELS), min_size=1, max_size=60)


@given(ROWS, st.integers(2, 6))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_equal_texts_share_a_fold_and_every_label_is_learned_without_each_fold(rows, folds):
    keys = [f"text {text}" for text, _ in rows]
    labels = [its_labels for _, its_labels in rows]
    found = fold_of_rows(keys, labels, folds)
    assert found.max() < folds
    kept = [row for row in range(len(rows)) if found[row] >= 0]
    for row in kept:
        assert {found[other] for other in kept if keys[other] == keys[row]} == {found[row]}
        for label in labels[row]:
            assert len({found[other] for other in kept if label in labels[other]}) > 1


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_of_single_labels_only_those_with_one_text_are_left_out(rows):
    keys = [f"text {text}" for text, _ in dict.fromkeys(rows)]
    labels = [frozenset([str(label)]) for _, label in dict.fromkeys(rows)]
    distinct = [row for row, key in enumerate(keys) if keys.count(key) == 1]
    keys, labels = [keys[row] for row in distinct], [labels[row] for row in distinct]
    found = fold_of_rows(keys, labels) if keys else np.array([])
    assert [fold < 0 for fold in found] == [labels.count(label) == 1 for label in labels]


def test_a_class_of_two_texts_is_in_two_folds():
    keys = [f"text {row}" for row in range(22)]
    labels = [frozenset(["large"])] * 20 + [frozenset(["small"])] * 2
    found = fold_of_rows(keys, labels)
    assert found[20] != found[21]
    assert set(found) == set(range(5))


def test_there_are_no_more_folds_than_texts_of_the_largest_class():
    found = fold_of_rows(
        ["a", "b", "c", "d"], [frozenset("x"), frozenset("x"), frozenset("y"), frozenset("y")]
    )
    assert set(found) == {0, 1}


def clusters(rows: int = 120, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around one corner per class, and the classes."""
    random = np.random.default_rng(0)
    targets = np.arange(rows) % classes
    return (np.eye(classes, 8)[targets] + 0.05 * random.standard_normal((rows, 8))).astype(
        np.float32
    ), targets


def test_a_row_is_predicted_by_a_regression_that_has_not_seen_it(monkeypatch):
    vectors, targets = clusters(30)
    folds = np.arange(30) // 6
    seen = []
    fit = module.fit_linear
    monkeypatch.setattr(module, "fit_linear", lambda v, *rest, **o: (seen.append(v), fit(v, *rest, **o))[1])
    done: list[int] = []
    found = out_of_fold_probabilities(
        vectors, targets, LabelSpace(("a", "b", "c")), folds, progress=done.append
    )
    for fold, fitted_on in enumerate(seen):
        np.testing.assert_array_equal(fitted_on, vectors[folds != fold])
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert (found.argmax(1) == targets).all()
    assert sum(done) == 30


def test_large_sets_are_fitted_on_a_stratified_sample(monkeypatch):
    monkeypatch.setattr(module, "FIT_ROWS", 50)
    strata = np.repeat([0, 1, 2], [300, 90, 1])
    rows = np.flatnonzero(np.arange(391) % 10 != 1)
    chosen = module._sample(rows, strata, seed=0)
    assert len(chosen) == 50
    assert set(chosen) <= set(rows)
    counts = np.bincount(strata[chosen])
    assert counts[2] == 1
    assert abs(counts[0] - 3.3 * counts[1]) <= 4


def test_a_swapped_label_is_the_first_suspect_and_classes_that_overlap_are_found():
    vectors, targets = clusters()
    given = targets.copy()
    given[:6] = (given[:6] + 1) % 3
    chances = out_of_fold_probabilities(vectors, given, LabelSpace(("a", "b", "c")), np.arange(120) % 5)
    found = label_quality(chances, given)
    assert set(found.suspects) == set(range(6))
    assert (found.scores[found.suspects] < 0.5).all()
    assert (np.diff(found.scores[found.suspects]) >= 0).all()
    assert found.overlaps.sum() > 0
    np.testing.assert_array_equal(found.overlaps, found.overlaps.T)


def test_blocks_of_rows_give_the_same_as_all_rows_at_once(monkeypatch):
    vectors, targets = clusters()
    targets[:6] = (targets[:6] + 1) % 3
    chances = out_of_fold_probabilities(vectors, targets, LabelSpace(("a", "b", "c")), np.arange(120) % 5)
    whole = label_quality(chances, targets)
    monkeypatch.setattr(module, "ROWS_A_BLOCK", 50)
    blocks = label_quality(chances, targets)
    np.testing.assert_allclose(blocks.scores, whole.scores)
    assert set(blocks.suspects) == set(whole.suspects)
    np.testing.assert_array_equal(blocks.overlaps, whole.overlaps)


def test_a_wrong_label_of_several_is_a_suspect():
    vectors, targets = clusters()
    hot = np.eye(3, dtype=np.float32)[targets]
    hot[4, (targets[4] + 1) % 3] = 1
    labels = LabelSpace(("a", "b", "c"), "multi_label_classification")
    chances = out_of_fold_probabilities(vectors, hot, labels, np.arange(120) % 5)
    found = label_quality(chances, hot)
    assert found.suspects[0] == 4
    assert found.overlaps is None


@pytest.mark.parametrize("others", [[], [1], [0, 1]])
def test_labels_of_all_rows_or_of_none_leave_a_single_label_to_audit(others):
    vectors, targets = clusters()
    hot = (targets == 0)[:, None].astype(np.float32)
    wrong = int(np.flatnonzero(targets == 1)[0])
    hot[wrong] = 1
    labels = LabelSpace(("a",), "multi_label_classification")
    chances = out_of_fold_probabilities(vectors, hot, labels, np.arange(120) % 5)
    constant = np.tile(np.array(others, dtype=np.float32).reshape(1, -1), (120, 1))
    found = label_quality(np.hstack([chances, constant]), np.hstack([hot, constant]))
    assert found.suspects[0] == wrong
    assert found.scores.argmin() == wrong
    assert found.overlaps is None


def test_it_is_said_that_cleanlab_is_missing(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(module.MissingDependencyError, match=r"'tellapart\[audit\]'"):
        label_quality(np.ones((2, 2)) / 2, np.array([0, 1]))
