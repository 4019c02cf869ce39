from __future__ import annotations

import re

import numpy as np

from tellapart.evaluation.robustness import Answers, compare_answers
from tellapart.inspection.robustness_page import write_robustness_report


def test_the_page_of_an_attack_shows_the_metrics_and_marks_the_changed_words(tmp_path, parsed):
    before, after = np.array([True, False]), np.array([False, True])
    result = compare_answers(
        Answers(["i <b>lost</b> it", "two words"], ["lost", "stolen"], before, {"accuracy": 0.5}),
        Answers(["i misplaced it", "ii words"], ["<i>", "lost"], after, {"accuracy": 0.5}),
        ["lost", "lost"],
        [1, 1],
        attack="swap-synonyms",
        settings={"share": 0.2},
        model="runs/x",
        source="<rows>.csv",
        metric="accuracy",
    )
    path = tmp_path / "robustness.html"
    write_robustness_report(path, result)
    page = path.read_text(encoding="utf-8")
    parsed(page)
    assert "i <strong>misplaced</strong> it" in page
    assert "i &lt;b&gt;lost&lt;/b&gt; it" in page
    assert "&lt;rows&gt;.csv" in page
    assert "&lt;i&gt;" in page
    assert "<script" not in page
    assert re.search(r"Right before, wrong after.*1 of 1", page, re.DOTALL)
    assert "50.00" in page


def test_a_very_long_text_is_shown_without_marks(tmp_path):
    long = "word " * 2000
    right, wrong = np.array([True]), np.array([False])
    result = compare_answers(
        Answers([long], ["a"], right, {}),
        Answers([long + "more"], ["b"], wrong, {}),
        ["a"],
        [1],
        attack="add-sentence",
        settings={},
        model="m",
        source="s",
        metric="exact_match",
    )
    write_robustness_report(tmp_path / "page.html", result)
    assert "<strong>" not in (tmp_path / "page.html").read_text(encoding="utf-8")
