from __future__ import annotations

import re

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.inspection.charts import POINTS_SHOWN
from tellapart.inspection.scores import write_score_report


def report(tmp_path, split, predicted):
    write_score_report(
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


def test_the_report_shows_metrics_a_dot_a_row_and_the_row_farthest_off_first(tmp_path):
    split = TextSplit(["a near one", "<b>far</b>"], ["its pair", "another"], [1.0, 4.0])
    page = report(tmp_path, split, np.array([1.5, 0.0]))
    assert "pearson correlation (%)" in page
    assert "Validation pearson correlation by epoch" in page
    assert page.count("predicted 1.5</title>") == page.count("predicted 0</title>") == 1
    assert page.index("&lt;b&gt;far&lt;/b&gt;") < page.index("a near one")
    assert "its pair" in page
    assert "<b>far" not in page


def test_of_many_rows_some_are_drawn(tmp_path):
    split = TextSplit(["a text"] * 3000, labels=np.linspace(0, 5, 3000).tolist())
    page = report(tmp_path, split, np.full(3000, 2.0))
    assert len(re.findall(r"predicted 2</title>", page)) == POINTS_SHOWN
    assert f"{POINTS_SHOWN} of 3000 rows" in page
