from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread as _pixels

from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.inspection import figures
from tellapart.inspection.drawing import HIT, MISS


def _matrix(classes: int, errors: int) -> np.ndarray:
    return 20 * np.eye(classes, dtype=int) + errors * np.eye(classes, k=1, dtype=int)


def test_different_confusions_give_different_pictures(tmp_path):
    for errors in (0, 9):
        figures.save_confusion_heatmap(_matrix(3, errors), "abc", tmp_path / f"{errors}.png")
    none, some = _pixels(tmp_path / "0.png"), _pixels(tmp_path / "9.png")
    assert none.std() > 0
    assert none.shape == some.shape
    assert not np.array_equal(none, some)


def test_many_classes_are_cut_to_the_most_confused_and_the_note_says_so(tmp_path, monkeypatch):
    drawn, notes = [], []
    monkeypatch.setattr(
        figures, "save_png", lambda figure, *texts: (drawn.append(figure), notes.extend(texts))
    )
    names = [f"class {index}" for index in range(40)]
    matrix = 20 * np.eye(40, dtype=int)
    matrix[7, 31] = 20
    figures.save_confusion_heatmap(matrix, names, tmp_path / "x.png")
    axes = drawn[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == figures.CLASSES_SHOWN
    assert {"class 7", "class 31"} <= set(labels)
    assert notes[-1].endswith("the 30 most confused of 40 classes")
    assert "50" in [words.get_text() for words in axes.texts]  # per cent of row 7


def test_ordered_classes_are_drawn_in_their_order():
    matrix, ranks = np.array([[3, 1, 0], [0, 4, 0], [2, 0, 5]]), np.array([1, 2, 0])
    axes = figures.confusion_figure(matrix, ["fair", "good", "bad"], ranks=ranks).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bad", "fair", "good"]
    assert [words.get_text() for words in axes.texts] == ["5", "2", "3", "1", "4"]


def test_label_distances_are_drawn_below_one_too(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_png", lambda figure, *texts: drawn.append(figure))
    figures.save_label_distance_heatmap(np.array([[1, 0, 4.2], [0, 1, 1], [4.2, 1, 1]]), "abc", "unused.png")
    written = [words.get_text() for words in drawn[0].axes[0].texts]
    assert written.count("4.2") == written.count("0.0") == 2
    assert "1.0" not in written


def test_a_neutral_label_distance_matrix_is_drawn(tmp_path):
    figures.save_label_distance_heatmap(np.ones((3, 3)), "abc", tmp_path / "ones.png")
    assert _pixels(tmp_path / "ones.png").size


def test_a_comparison_with_a_failed_method_is_drawn(tmp_path, comparison):
    figures.save_comparison_plot(comparison, tmp_path / "comparison.png")
    assert _pixels(tmp_path / "comparison.png").std() > 0
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.png"]


def test_long_names_of_methods_leave_room_for_the_dots(tmp_path, comparison):
    name = "label-distance-static pairs=[" + ", ".join(f"[class {i}, other {i}]" for i in range(20)) + "]"
    results = dict(zip([name, "x" * 200], list(comparison.methods.values())[:2], strict=True))
    figure = figures.comparison_figure(dataclasses.replace(comparison, methods=results, pairs=()))
    figures.save_png(figure, tmp_path / "long.png")
    assert figure.axes[0].get_position().width > 0.5


def test_names_are_drawn_as_they_stand_and_not_as_formulas(tmp_path):
    figures.save_confusion_heatmap(
        _matrix(2, 3), ["costs $\\frac$", "under $5 & {x_"], tmp_path / "x.png", "$\\a$"
    )
    assert _pixels(tmp_path / "x.png").size


def test_a_cell_is_more_opaque_the_larger_its_share_and_shows_its_count():
    axes = figures.confusion_figure(np.array([[3, 1], [0, 4]]), ["a", "b"]).axes[0]
    cells = np.asarray(axes.collections[0].get_array()).reshape(4, 4)
    assert cells[:, 3] == pytest.approx([0.75**0.5, 0.5, 0, 1])
    assert [tuple(cell[:3]) for cell in cells[:2]] == [
        pytest.approx(to_rgb(HIT)),
        pytest.approx(to_rgb(MISS)),
    ]
    assert [words.get_text() for words in axes.texts] == ["3", "1", "4"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "gold")


def test_each_panel_has_its_curves_and_empty_ones_are_left_out():
    points = [(1.0, 3.0), (2.0, 1.0)]
    figure = figures.curves_figure([("Loss", {"training": points, "validation": []}), ("F1", {"f1": []})])
    (axes,) = figure.axes
    (line,) = axes.lines
    assert list(zip(*line.get_data(), strict=True)) == points
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == ("Loss", "epoch")
    assert axes.get_legend() is None
    both = figures.curves_figure([("Loss", {"training": points, "validation": points})]).axes[0]
    assert [words.get_text() for words in both.get_legend().texts] == ["training", "validation"]
    assert figures.curves_figure([("Loss", {"training": []})]) is None


def test_a_bin_lies_at_its_confidence_and_accuracy_and_is_larger_the_more_it_holds():
    before = [ReliabilityBin(0.0, 0.0, 1), ReliabilityBin(1.0, 0.5, 4)]
    axes = figures.reliability_figure({"as trained": before, "calibrated": [ReliabilityBin(1, 1, 5)]}).axes[0]
    first, second = axes.collections
    assert first.get_offsets().tolist() == [[0, 0], [100, 50]]
    assert second.get_offsets().tolist() == [[100, 100]]
    assert first.get_sizes()[0] < first.get_sizes()[1] < second.get_sizes()[0]
    assert [words.get_text() for words in axes.get_legend().texts] == ["as trained", "calibrated"]
    assert figures.reliability_figure({"as trained": before}).axes[0].get_legend() is None
    assert figures.reliability_figure({"as trained": []}) is None


def test_of_many_targets_some_are_drawn():
    few = figures.scatter_figure(np.array([1.0, 4.0]), np.array([1.5, 0.0])).axes[0]
    assert few.collections[0].get_offsets().tolist() == [[1, 1.5], [4, 0]]
    many = figures.scatter_figure(np.linspace(0, 5, 3000), np.full(3000, 2.0)).axes[0]
    assert len(many.collections[0].get_offsets()) == figures.POINTS_SHOWN


def test_the_comparison_shows_a_dot_per_seed_and_the_mean_of_each_method(comparison):
    axes = figures.comparison_figure(comparison).axes[0]
    dots = [np.round(points.get_offsets()[:, 0], 6).tolist() for points in axes.collections]
    assert dots == [[70, 72, 74], [72], [75, 76, 80], [77], []]
    assert [words.get_text() for words in axes.get_yticklabels()] == list(comparison.methods)
    assert axes.get_xlabel() == "accuracy (%)"
