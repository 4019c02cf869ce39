from __future__ import annotations

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.metrics import per_class
from tellapart.inspection.report import (
    write_comparison_report,
    write_report,
    write_sweep_report,
    write_target_report,
)
from tellapart.inspection.workbench import workbench_data
from tellapart.recipes.spaces import SearchSpace

EVIL = '<script>alert("x")</script>'


@pytest.fixture
def report(tmp_path, parsed):
    """Writes a report with some of its content changed, and parses it."""
    return lambda **changes: parsed(_report(tmp_path / "report.html", **changes))


def _wrong(text, gold, predicted, probability):
    answer = {"predicted": [predicted], "probability": probability, "second": gold, "second_probability": 0.1}
    return {"text": text, "gold": [gold], "answers": [answer]}


def _nothing(names, matrix):
    return workbench_data([], classes=names, matrices={"": matrix})


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
        "workbench": workbench_data(
            [_wrong("loud", "spam & eggs", EVIL, 0.9), _wrong(f"quiet {EVIL}", EVIL, "spam & eggs", 0.6)],
            classes=names,
            matrices={"": np.array([[1, 1], [1, 1]])},
        ),
        "rows": 4,
    }
    write_report(path, **content | changes)
    return path.read_text(encoding="utf-8")


def test_everything_the_user_gave_is_escaped_and_nothing_is_loaded(report):
    page = report()
    assert page.tags.count("script") == 2  # the data and the script of the package
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert "src" not in {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value for name, value in page.attributes if name in ("href", "xlink:href")]
    assert links
    assert all(value.startswith("#") for value in links)  # pairs, and drawings refer to their own parts
    said = "".join(page.texts)
    for sentence in (f"Run of {EVIL}", f"method: {EVIL}", "spam & eggs"):
        assert sentence in said
    assert EVIL not in said[said.index('{"schema_version"') :]


def test_the_report_opens_on_the_verdict_and_the_confused_pairs(report):
    page = report()
    verdict = page.texts.index("2 of 4 texts are predicted wrongly (accuracy 50.00 %).")
    pair = page.texts.index(f"{EVIL} ↔ spam & eggs")
    assert verdict < pair < page.texts.index("Wrong texts") < page.texts.index("Metrics")
    assert (
        "href",
        "#pair=%3Cscript%3Ealert%28%22x%22%29%3C%2Fscript%3E%7Cspam%20%26%20eggs",
    ) in page.attributes


def test_the_report_shows_known_metrics_and_curves(report):
    page = report()
    assert "50.00" in page.texts
    assert "1.2500" in page.texts
    assert "something else" not in "".join(page.texts)
    assert {"Loss", "training", "validation", "Validation accuracy"} <= set(page.texts)


def test_sections_without_content_are_left_out(report):
    right = np.diag([2, 2])
    page = report(training_log=[], confusion=right, workbench=_nothing([EVIL, "spam & eggs"], right))
    headings = {"Training", "Most confused classes", "Wrong texts"}
    assert not headings & set(page.texts)
    assert {"Classes", "All 4 texts are predicted as they are labelled (accuracy 50.00 %)."} <= set(
        page.texts
    )


def test_calibration_and_thresholds_are_shown_where_they_are_known(report):
    assert "Calibration" not in report().texts
    page = report(
        reliability={"as trained": [ReliabilityBin(0.8, 0.5, 4)]},
        thresholds={EVIL: 0.125, "spam & eggs": 0.5},
    )
    assert "Calibration" in page.texts
    assert "12.5" in page.texts


@pytest.mark.parametrize("classes", [1, 77])
def test_few_and_many_classes_are_drawn(report, classes):
    names = [f"class {index}" for index in range(classes)]
    matrix = np.ones((classes, classes), dtype=int)
    page = report(names=names, confusion=matrix, workbench=_nothing(names, matrix))
    assert sum(words.startswith("class ") for words in page.texts) >= 2 * min(classes, 30)
    assert page.texts.count("1") >= min(classes, 30) ** 2  # the counts
    assert ("The 30 most confused of 77 classes" in "".join(page.texts)) == (classes == 77)


def test_a_comparison_report_holds_verdicts_table_plot_and_failures(tmp_path, comparison, parsed):
    path = tmp_path / "comparison.html"
    write_comparison_report(path, comparison)
    page = parsed(path.read_text(encoding="utf-8"))
    said = "".join(page.texts)
    assert "script" not in page.tags
    assert "Methods on mails & more.csv" in said
    assert "label-distance against cross-entropy: better by 5.00 points" in said
    assert "<script>alert(1)</script> ↔ spam" in said
    assert page.tags.count("svg") == 1
    assert {"72.00", "77.00"} <= set(page.texts)
    assert "<b>diverged</b>" in said
    assert "b" not in page.tags
    assert [file.name for file in tmp_path.iterdir()] == ["comparison.html"]


def _target_report(tmp_path, split, predicted):
    write_target_report(
        tmp_path / "report.html",
        title="mean-squared-error on x",
        metrics={"pearson_correlation": 0.5, "mean_absolute_error": 0.25},
        split=split,
        predicted=predicted,
        training_log=[{"epoch": 1.0, "loss": 1.0, "eval_loss": 0.5, "eval_pearson_correlation": 0.5}],
        recipe_yaml="seed: 0",
        note="A note.",
    )
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_report_shows_metrics_and_the_largest_error_first(tmp_path):
    split = TextSplit(["a near one", "<b>far</b>"], ["its pair", "another"], [1.0, 4.0])
    page = _target_report(tmp_path, split, np.array([1.5, 0.0]))
    assert "pearson correlation (%)" in page
    assert "Validation pearson correlation" in page
    assert page.index("&lt;b&gt;far&lt;/b&gt;") < page.index("a near one")
    assert "its pair" in page
    assert "<b>far" not in page


def test_the_report_says_that_of_many_rows_some_are_drawn(tmp_path):
    split = TextSplit(["a text"] * 3000, labels=np.linspace(0, 5, 3000).tolist())
    page = _target_report(tmp_path, split, np.full(3000, 2.0))
    assert "1000 of 3000 rows" in page


@pytest.mark.parametrize("name", ["one_key", "several_keys"])
def test_the_page_of_a_sweep_has_no_markup_of_the_user(name, request, tmp_path, parsed):
    write_sweep_report(tmp_path / "sweep.html", request.getfixturevalue(name))
    document = (tmp_path / "sweep.html").read_text()
    page = parsed(document)
    assert not set(page.tags) & {"script", "b", "i", "img", "iframe"}
    assert not [key for key, _ in page.attributes if key.startswith("on") or key in ("src", "href")]
    assert "mails &amp; &lt;b&gt;more&lt;/b&gt;.csv" in document
    expected = "&lt;i&gt;too many&lt;/i&gt;" if name == "one_key" else "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert expected in document


def test_the_page_of_a_sweep_has_the_best_trial_the_table_and_a_chart(one_key, tmp_path):
    write_sweep_report(tmp_path / "sweep.html", one_key)
    document = (tmp_path / "sweep.html").read_text()
    assert "<dd>76.00</dd>" in document
    assert "<td>pruned</td>" in document
    assert "best: total=16" in document
    assert document.count("<svg") == 1
    assert "dashed: cross-entropy and its 95 % interval; hollow: stopped early." in document


def test_a_page_of_one_trial_on_one_seed_without_a_baseline_is_written(tmp_path, sweep, parsed):
    alone = sweep([SearchSpace("x", values=(2, 4))], [((2,), (0.5,), "complete")], baseline=())
    write_sweep_report(tmp_path / "sweep.html", alone)
    assert "Failed trials" not in parsed((tmp_path / "sweep.html").read_text()).texts
