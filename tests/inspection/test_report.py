from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.metrics import per_class
from tellapart.inspection.report import write_comparison_report, write_report

EVIL = '<script>alert("x")</script>'
VOID = {"meta"}


class _Page(HTMLParser):
    """Collects tags, attributes and texts; fails on tags that are not closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def _report(path, **changes):
    names = [EVIL, "spam & eggs"]
    gold, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    content = {
        "title": f"Run of {EVIL}",
        "metrics": {"accuracy": 0.5, "log_loss": 1.25, "something_else": 3.0},
        "per_class": per_class(LabelSpace(tuple(names)), gold, predicted),
        "confusion": np.array([[1, 1], [1, 1]]),
        "names": names,
        "training_log": [
            {"epoch": 1.0, "loss": 0.9},
            {"epoch": 1.0, "eval_loss": 0.8, "eval_accuracy": 0.4},
            {"epoch": 2.0, "loss": float("nan")},
            {"epoch": 2.0, "eval_loss": 0.7, "eval_accuracy": 0.5},
            {"train_runtime": 3.0},
        ],
        "recipe_yaml": f"method: {EVIL}",
        "errors": [
            {"text": f"quiet {EVIL}", "gold": EVIL, "predicted": "spam & eggs", "probability": 0.6},
            {
                "text": "loud",
                "text_pair": "second",
                "gold": "spam & eggs",
                "predicted": EVIL,
                "probability": 0.9,
            },
        ],
    }
    write_report(path, **content | changes)
    return _Page(path.read_text(encoding="utf-8"))


def test_everything_the_user_gave_is_escaped_and_nothing_is_loaded(tmp_path):
    page = _report(tmp_path / "report.html")
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href"} & {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    said = "".join(page.texts)
    for sentence in (f"Run of {EVIL}", f"quiet {EVIL}", f"method: {EVIL}", "spam & eggs", "second"):
        assert sentence in said


def test_the_report_shows_known_metrics_curves_and_the_surest_error_first(tmp_path):
    page = _report(tmp_path / "report.html")
    assert "50.00" in page.texts
    assert "1.2500" in page.texts
    assert "something else" not in "".join(page.texts)
    assert page.tags.count("polyline") == 3  # training loss, validation loss, validation accuracy
    last_list = page.texts[page.texts.index("Most confident wrong predictions") :]
    assert last_list.index("loud") < last_list.index(f"quiet {EVIL}")


def test_confused_pairs_come_with_their_examples(tmp_path):
    page = _report(tmp_path / "report.html")
    pairs = page.texts[
        page.texts.index("Most confused classes") : page.texts.index("Most confident wrong predictions")
    ]
    assert f"{EVIL} ↔ spam & eggs" in pairs
    assert {"loud", f"quiet {EVIL}"} <= set(pairs)


def test_sections_without_content_are_left_out(tmp_path):
    page = _report(tmp_path / "report.html", training_log=[], errors=[], confusion=np.diag([2, 2]))
    headings = {"Training", "Most confused classes", "Most confident wrong predictions"}
    assert not headings & set(page.texts)
    assert "Classes" in page.texts


def test_multi_label_errors_show_all_labels_and_the_empty_set(tmp_path):
    errors = [{"text": "t", "gold": ["a", "b"], "predicted": [], "probability": 0.8}]
    page = _report(tmp_path / "report.html", errors=errors)
    assert {"a", "b", "no label"} <= set(page.texts)


def test_calibration_and_thresholds_are_shown_where_they_are_known(tmp_path):
    assert "Calibration" not in _report(tmp_path / "report.html").texts
    page = _report(
        tmp_path / "report.html",
        reliability={"as trained": [ReliabilityBin(0.8, 0.5, 4)]},
        thresholds={EVIL: 0.125, "spam & eggs": 0.5},
    )
    assert "Calibration" in page.texts
    assert "12.5" in page.texts


@pytest.mark.parametrize("classes", [1, 77])
def test_few_and_many_classes_are_drawn(tmp_path, classes):
    names = [f"class {index}" for index in range(classes)]
    matrix = np.ones((classes, classes), dtype=int)
    page = _report(tmp_path / "report.html", names=names, confusion=matrix, errors=[])
    assert page.tags.count("rect") == 1 + min(classes, 30) ** 2
    assert ("The 30 most confused of 77 classes" in "".join(page.texts)) == (classes == 77)


def test_a_comparison_report_holds_verdicts_table_plot_and_failures(tmp_path, comparison):
    path = tmp_path / "comparison.html"
    write_comparison_report(path, comparison)
    page = _Page(path.read_text(encoding="utf-8"))
    said = "".join(page.texts)
    assert "script" not in page.tags
    assert "Methods on mails & more.csv" in said
    assert "label-distance against cross-entropy: better by 5.00 points" in said
    assert "<script>alert(1)</script> ↔ spam" in said
    assert page.tags.count("circle") == 2 * (3 + 1)  # three seeds and a mean for each method that finished
    assert "<b>diverged</b>" in said
    assert "b" not in page.tags
    assert [file.name for file in tmp_path.iterdir()] == ["comparison.html"]
