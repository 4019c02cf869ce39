from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest

from tellapart.errors import MissingDependencyError, TellapartWarning
from tellapart.inspection import figures

matplotlib_image = pytest.importorskip("matplotlib.image")


def _pixels(path):
    return matplotlib_image.imread(path)


def _matrix(classes: int, errors: int) -> np.ndarray:
    return 20 * np.eye(classes, dtype=int) + errors * np.eye(classes, k=1, dtype=int)


def test_different_confusions_give_different_pictures(tmp_path):
    for errors in (0, 9):
        figures.save_confusion_heatmap(_matrix(3, errors), "abc", tmp_path / f"{errors}.png")
    none, some = _pixels(tmp_path / "0.png"), _pixels(tmp_path / "9.png")
    assert none.std() > 0
    assert none.shape == some.shape
    assert not np.array_equal(none, some)


def test_many_classes_are_cut_to_the_most_confused_and_the_title_says_so(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
    names = [f"class {index}" for index in range(40)]
    matrix = 20 * np.eye(40, dtype=int)
    matrix[7, 31] = 20
    figures.save_confusion_heatmap(matrix, names, tmp_path / "x.png")
    axes = drawn[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == figures.CLASSES_SHOWN
    assert {"class 7", "class 31"} <= set(labels)
    assert "the 24 most confused of 40 classes" in [words.get_text() for words in axes.texts]
    assert "50" in [words.get_text() for words in axes.texts]  # per cent of row 7


def test_label_distances_are_drawn_below_one_too(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
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


def test_names_are_drawn_as_they_stand_and_not_as_formulas(tmp_path):
    figures.save_confusion_heatmap(
        _matrix(2, 3), ["costs $\\frac$", "under $5 & {x_"], tmp_path / "x.png", "$\\a$"
    )
    assert _pixels(tmp_path / "x.png").size


def test_letters_that_the_default_font_lacks_come_from_one_that_has_them():
    bundled = "Ⓐ"  # in matplotlib's STIX, not in its DejaVu Sans
    default, other = figures._text_properties([f"{bundled} b"])["fontfamily"]
    assert (default, other == default) == ("DejaVu Sans", False)
    assert "fontfamily" not in figures._text_properties(["plain ASCII"])


def test_letters_that_no_font_has_are_said_once(tmp_path):
    unassigned = "\U000e0ff0"
    with pytest.warns(TellapartWarning, match="install a font") as caught:
        figures.save_confusion_heatmap(_matrix(2, 1), ["a", unassigned], tmp_path / "x.png", unassigned)
    assert len(caught) == 1
    assert _pixels(tmp_path / "x.png").size


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[plots\]'"):
        figures.save_confusion_heatmap(_matrix(2, 1), "ab", tmp_path / "x.png")


def test_pyplot_stays_untouched(tmp_path):
    was_there = "matplotlib.pyplot" in sys.modules
    figures.save_confusion_heatmap(_matrix(2, 1), "ab", tmp_path / "x.png")
    assert ("matplotlib.pyplot" in sys.modules) == was_there
