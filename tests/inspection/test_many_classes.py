"""What works on confusion counts takes memory by the rows: a full matrix of these classes has 72 MB."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.active_learning import TopTwo, expected_confusions, informativeness, pair_weights
from tellapart.evaluation.comparison import Trial, build_comparison
from tellapart.evaluation.confusions import from_json, to_json
from tellapart.inspection.confusion import confusion_matrix, most_confused_pairs
from tellapart.inspection.figures import CLASSES_SHOWN
from tellapart.inspection.matrix_data import CLASSES_LISTED, PAIRS_OFFERED
from tellapart.inspection.report import write_report
from tellapart.inspection.workbench import workbench_data, worst_pairs, write_errors

CLASSES = 3_000
LABELS = LabelSpace(tuple(f"part {one:04d}" for one in range(CLASSES)))


@pytest.fixture(scope="module")
def gold():
    return np.tile(np.arange(CLASSES), 2)


@pytest.fixture(scope="module")
def counts(gold):
    """Every class is predicted as the next one once; class 7 also as 1,234 and 8."""
    predicted = np.concatenate([np.arange(CLASSES), (np.arange(CLASSES) + 1) % CLASSES])
    extra = np.array([7, 7, 7]), np.array([1234, 1234, 8])
    return confusion_matrix(LABELS, np.append(gold, extra[0]), np.append(predicted, extra[1]))


@pytest.fixture
def little_memory():
    """Fails a test in which more than 24 MB are allocated at a time, a third of a full matrix."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24e6


def test_counts_pairs_and_trial_files(counts, little_memory):
    first, second = most_confused_pairs(counts, LABELS.names, top=2)
    assert (first.a, first.b, first.errors) == ("part 0007", "part 0008", 2)
    assert (second.a, second.b, second.errors) == ("part 0007", "part 1234", 2)
    written = json.dumps(to_json(counts))
    assert len(written) < 100_000
    assert (from_json(json.loads(written)) != counts).nnz == 0


def test_a_comparison_lists_the_pairs_that_differ(counts, little_memory):
    diagonal = confusion_matrix(LABELS, np.arange(CLASSES), np.arange(CLASSES))
    compared = build_comparison(
        {name: [Trial(0, 0.5, {"accuracy": 0.5}, 1.0)] for name in ("good", "bad")},
        {"good": [diagonal], "bad": [counts]},
        class_names=LABELS.names,
        metric="accuracy",
        source="parts.csv",
        split_sizes={},
        encoder="minilm",
        environment={},
    )
    worst = compared.confusable_pairs[0]
    assert (worst.a, worst.b, worst.errors) == ("part 0007", "part 0008", {"good": 0.0, "bad": 2.0})


def test_texts_are_suggested_by_sparse_weights(counts, little_memory):
    top = TopTwo(np.array([7, 5]), np.array([8, 9]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    told = informativeness(top, pair_weights(counts))
    assert told[0] > told[1] == 1
    assert expected_confusions(top, CLASSES).nnz == 4


def test_the_data_of_a_page_have_the_most_confused_classes(counts, tmp_path, little_memory):
    data = workbench_data([], classes=LABELS.names, matrices={"": counts})
    assert len(data["classes"]) == CLASSES_LISTED
    assert len(data["pairs"]) <= PAIRS_OFFERED
    assert data["pairs"][:2] == [["part 0007", "part 0008"], ["part 0007", "part 1234"]]
    assert data["totals"][""][data["classes"].index("part 0007")] == 5
    assert data["confusions"] == {"classes": CLASSES, "errors": CLASSES + 3}
    assert "Of 3,000 classes" in data["notes"][-1]
    write_errors(tmp_path / "errors.json", data)
    pairs, errors = worst_pairs(tmp_path / "errors.json", 3)
    assert (pairs, errors) == (most_confused_pairs(counts, LABELS.names, 3), CLASSES + 3)


def test_the_page_and_its_picture_have_the_most_confused_classes(counts, tmp_path):
    data = workbench_data([], classes=LABELS.names, matrices={"": counts})
    per_class = [
        {"name": name, "support": row % 3, "precision": 0.5, "recall": 0.5, "f1": 0.5}
        for row, name in enumerate(LABELS.names)
    ]
    write_report(
        tmp_path / "report.html",
        title="parts",
        metrics={"accuracy": 0.5},
        per_class=per_class,
        confusion=counts,
        names=LABELS.names,
        training_log=[],
        recipe_yaml="",
        workbench=data,
        rows=2 * CLASSES + 3,
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"Of 3,000 classes, the first {CLASSES_LISTED} that have rows." in page
    assert len(page) < 1_000_000
    assert page.count("<tr>") < 2 * CLASSES_LISTED
    assert f"The {CLASSES_SHOWN} most confused of 3000 classes" in page
