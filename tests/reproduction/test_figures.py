from __future__ import annotations

from dataclasses import replace

import pytest

from tellapart.errors import DataError
from tellapart.reproduction.figures import ColumnData, ColumnResult, Reproduction, column_figures
from tellapart.reproduction.pages import (
    column_rows,
    overview_rows,
    reproduction_markdown,
    reproduction_parts,
    write_reproduction_report,
)
from tellapart.reproduction.protocols import Protocol

PROTOCOL = Protocol.model_validate(
    {
        "title": "A | B",
        "paper": "Somebody, 2020",
        "table": "Table 1",
        "used": {"encoder": "BERT"},
        "differences": ["The seed is ours."],
        "baseline": "ce",
        "columns": {
            "one": {"name": "One", "source": "one", "metrics": {"accuracy": "Acc", "log_loss": "loss"}},
            "two": {"name": "Two", "source": "two", "stands_in_for": "one"},
        },
        "rows": {
            "ce": {"name": "CE", "method": "cross-entropy"},
            "a": {"name": "A", "method": "supcon"},
            "b": {"name": "B", "method": "r-drop", "baseline": "a"},
        },
        "figures": {"ce": {"one": [90.0, 0.5]}, "a": {"one": [91.5, 0.25]}},
    }
)
ENVIRONMENT = {
    "processor": "a processor",
    "cores": 2,
    "device": "cpu",
    "torch": "2",
    "transformers": "5",
    "python": "3",
    "tellapart": "0",
}


def trial(seed, accuracy, loss, unseen=None):
    given = {"seed": seed, "metrics": {"accuracy": accuracy, "log_loss": loss}, "seconds": 2.0 + seed}
    return given | {"unseen": unseen and {"rows": 8, "accuracy": unseen}, "seen_rows": 2 if unseen else 0}


TRIALS = {
    "ce": [trial(0, 0.5, 1.0, 0.4), trial(1, 0.6, 0.9, 0.5), trial(2, 0.7, 0.8, 0.6)],
    "a": [trial(0, 0.6, 0.9), trial(1, 0.7, 0.8), trial(2, 0.9, 0.5)],
    "b": [trial(1, 0.8, 0.7)],
}
MISSING = {"b": {0: "failed: it broke.", 2: "did not fit"}}


@pytest.fixture
def result():
    columns = {
        "one": ColumnResult(
            ColumnData({"train": 1000, "test": 10}, "f" * 64, 3, "some texts are odd"),
            column_figures(PROTOCOL, "one", TRIALS, MISSING),
        ),
        "two": ColumnResult(
            ColumnData({}), column_figures(PROTOCOL, "two", {}, {"a": {0: "no"}, "b": {0: "failed: so"}})
        ),
    }
    return Reproduction(
        table="mine",
        protocol=PROTOCOL,
        command="tellapart reproduce mine.yaml",
        encoders={"encoder": "minilm"},
        settings=(),
        seeds=(0, 1, 2),
        confidence=0.95,
        columns=columns,
        environment=ENVIRONMENT,
    )


def test_figures_are_those_of_each_metric_row_and_baseline():
    figures = column_figures(PROTOCOL, "one", TRIALS, MISSING)
    a = figures["accuracy"]["a"]
    assert (a.paper, a.mean, a.trimmed_mean) == (91.5, pytest.approx(2.2 / 3), 0.7)
    assert (a.difference.baseline, a.difference.difference) == ("ce", pytest.approx(0.4 / 3))
    assert figures["log_loss"]["a"].paper == 0.25
    assert figures["log_loss"]["a"].difference.wins == 3  # a lower loss is better
    b = figures["accuracy"]["b"]
    assert (b.difference.baseline, b.difference.trials, b.missing) == ("a", 1, MISSING["b"])
    assert "one seed" in b.verdict
    assert a.difference.comparisons == 1  # a single seed cannot be tested, and counts for nothing
    ce = figures["accuracy"]["ce"]
    assert (ce.difference, ce.verdict, ce.seen_rows, ce.unseen_mean) == (None, "", 2, pytest.approx(0.5))
    assert ce.seconds == 3.0


def test_a_trial_that_has_seen_no_row_counts_with_its_score():
    trials = TRIALS | {"ce": [*TRIALS["ce"][:2], trial(2, 0.7, 0.8)]}
    figures = column_figures(PROTOCOL, "one", trials, {})["accuracy"]
    assert figures["ce"].unseen_mean == pytest.approx((0.4 + 0.5 + 0.7) / 3)
    assert figures["a"].unseen_mean is None


def test_differences_are_corrected_for_all_of_a_column():
    trials = TRIALS | {"b": [trial(seed, 0.3 + seed / 10, 1) for seed in range(3)]}
    figures = column_figures(PROTOCOL, "one", trials, {})["accuracy"]
    assert {figures[row].difference.comparisons for row in "ab"} == {2}
    assert figures["b"].difference.adjusted_p_value >= figures["b"].difference.p_value


def test_the_table_has_the_papers_figure_and_ours_side_by_side(result):
    assert overview_rows(result) == [
        ["", "One, Acc", "Two for One"],
        ["CE", "90 / 60.00", "90 / not run"],
        ["A", "91.5 / 73.33", "91.5 / not run"],
        ["B", "– / 80.00 (1 of 3 trials)", "– / failed"],
    ]
    trimmed = replace(result, protocol=PROTOCOL.model_copy(update={"summary": "trimmed"}))
    assert overview_rows(trimmed)[2][1] == "91.5 / 70.00"
    own = replace(result, protocol=PROTOCOL.model_copy(update={"figures": {}}))
    assert overview_rows(own)[1] == ["CE", "60.00", "not run"]


def test_a_column_shows_both_changes_and_the_unseen_rows(result):
    header, ce, a, b = column_rows(result, "one", "accuracy")
    cells = dict(zip(header, a, strict=True))
    assert (cells["paper"], cells["ours"], cells["against"]) == ("91.5", "73.33", "CE")
    assert (cells["paper's change"], cells["our change"]) == ("+1.50", "+13.33")
    assert dict(zip(header, ce, strict=True))["unseen rows"] == "50.00"
    assert dict(zip(header, b, strict=True))["trials"] == "1 of 3"
    assert "unseen rows" not in column_rows(result, "one", "log_loss")[0]
    own = replace(result, columns={"one": _without_paper(result.columns["one"])})
    assert "paper's change" not in column_rows(own, "one", "accuracy")[0]


def _without_paper(column):
    rows = {row: replace(one, paper=None) for row, one in column.metrics["accuracy"].items()}
    return replace(column, metrics={"accuracy": rows})


def test_the_page_names_the_set_its_overlap_and_what_is_missing(result):
    text = reproduction_markdown(result)
    assert text.startswith("# A | B\n\nSomebody, 2020, Table 1, run again.")
    assert "Rows of one: 1,000 train, 10 test; SHA-256 ffffffffffffffff." in text
    assert "Known problems of the published set: some texts are odd." in text
    assert "has not been counted" not in text
    assert "- failed: it broke: One (B, seed 0)." in text
    uncounted = replace(result.columns["one"], data=ColumnData({"train": 5}, "f" * 64))
    assert "has not been counted" in reproduction_markdown(
        replace(result, columns=result.columns | {"one": uncounted})
    )
    assert "tellapart reproduce mine.yaml" in text
    assert [part.heading for part in reproduction_parts(result)].count("Two for One: accuracy (%)") == 0


def test_the_html_page_says_what_the_markdown_says(result, tmp_path):
    write_reproduction_report(tmp_path / "page.html", result)
    page = (tmp_path / "page.html").read_text()
    for part in reproduction_parts(result):
        for cell in (cell for row in part.rows for cell in row):
            assert cell.replace("'", "&#39;") in page
    assert "<script" not in page


def test_the_json_form_is_read_back_and_others_are_refused(result):
    assert Reproduction.from_dict(result.to_dict()) == result
    with pytest.raises(DataError, match="schema version 1"):
        Reproduction.from_dict({"schema_version": 9})
    damaged = result.to_dict()
    del damaged["columns"]["one"]["data"]
    with pytest.raises(DataError, match=r"damaged at columns\.one\.data"):
        Reproduction.from_dict(damaged)
