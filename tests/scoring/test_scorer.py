"""A unit has one result, whoever scores it and whatever was scored before."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading.columns import ColumnNames, Columns
from tellapart.data.reading.tables import write_table
from tellapart.errors import DataError
from tellapart.scoring.inputs import list_inputs
from tellapart.scoring.scorer import PartScorer, PartSummary, ScoringOptions
from tellapart.scoring.surveys import survey
from tellapart.scoring.units import planned_units


@pytest.fixture
def work(folder, tmp_path):
    """The units of the folder, and the options to score them."""
    inputs = list_inputs(folder)
    found = survey(inputs, ColumnNames(), None)
    units = [*planned_units(inputs.root, found.files, 10, tmp_path / "out")]
    return units, ScoringOptions(found.columns, found.schema, str(folder), margin=True, precision="fp32")


def test_the_order_of_the_units_and_the_process_change_no_byte(model, work):
    units, options = work
    scorer = PartScorer(model, options)
    first = {unit.output: (scorer(unit), Path(unit.output).read_bytes()) for unit in units}
    for unit in reversed(units):
        Path(unit.output).unlink()
        again = scorer(unit)
        assert (again, Path(unit.output).read_bytes()) == first[unit.output]
    assert sum(summary.rows for summary, _ in first.values()) == 60
    last = units[-1]
    Path(last.output).unlink()
    given, alone, wanted = pickle.loads(pickle.dumps((model, last, options)))  # as another process gets them
    summary = pickle.loads(pickle.dumps(PartScorer(given, wanted)(alone)))
    assert summary == PartSummary("part-00003-00000.parquet", 10)
    assert (summary, Path(last.output).read_bytes()) == first[last.output]


@pytest.fixture
def opened(monkeypatch):
    """The files that are begun, each with the number of rows that have been read of it."""
    passes, rows_from = [], PartScorer.__call__.__globals__["rows_from"]

    def counting(path, *given):
        passes.append([path.name, 0])
        for block in rows_from(path, *given):
            passes[-1][1] += len(block)
            yield block

    monkeypatch.setitem(PartScorer.__call__.__globals__, "rows_from", counting)
    return passes


def test_units_of_a_file_in_order_are_read_in_one_pass(model, work, opened):
    units, options = work
    scorer = PartScorer(model, options)
    for unit in units:
        scorer(unit)
    assert opened == [["a.csv", 21], ["b.jsonl.gz", 5], ["c.parquet", 24], ["d.tsv", 10]]
    scorer(units[1])
    assert [name for name, _ in opened[4:]] == ["a.csv"]


def test_a_worker_that_scores_every_third_unit_reads_a_file_once(model, folder, rows, tmp_path, opened):
    for name in ("a.csv", "c.parquet"):
        write_table(pa.concat_tables([rows] * 2), folder / name)
    pq.write_table(pa.concat_tables([rows] * 2), folder / "groups.parquet", row_group_size=13)
    inputs = list_inputs(folder)
    found = survey(inputs, ColumnNames(), None)
    units = [*planned_units(inputs.root, found.files, 10, tmp_path / "out")]
    scorer = PartScorer(model, ScoringOptions(found.columns, found.schema, precision="fp32"))
    written = {}
    for unit in units[1::3]:
        scorer(unit)
        written[unit] = Path(unit.output).read_bytes()
    names = [name for name, _ in opened]
    assert names.count("a.csv") == names.count("c.parquet") == 1  # of one row group
    between_left_out = [read for name, read in opened if name == "groups.parquet"]
    assert len(between_left_out) == 4
    assert sum(between_left_out) < 60
    for unit, content in written.items():
        PartScorer(model, scorer.options)(unit)
        assert Path(unit.output).read_bytes() == content


def test_a_unit_that_failed_is_read_anew(model, work, monkeypatch):
    units, options = work
    scorer = PartScorer(model, options)
    scorer(units[0])
    with monkeypatch.context() as patch:
        patch.setattr(PartScorer, "_added", None)
        with pytest.raises(TypeError):
            scorer(units[1])
    assert not Path(units[1].output).exists()
    assert scorer(units[1]).rows == 10
    assert scorer(units[2]).rows == 1


def test_a_file_with_fewer_rows_than_planned_makes_no_part(model, work, rows):
    units, options = work
    scorer = PartScorer(model, options)
    with pytest.raises(DataError, match=r"a.csv was changed while it was scored"):
        scorer(units[0], blocks=iter([rows.slice(0, 9)]))
    Path(units[1].path).unlink()
    with pytest.raises(DataError, match=r"a.csv cannot be read any more \(No such file or directory\)"):
        scorer(units[1])
    assert not [*Path(units[0].output).parent.glob("*")]


def test_a_column_of_the_name_of_an_added_one_is_refused(model, rows):
    taken = rows.append_column("margin", rows["id"])
    with pytest.raises(
        DataError, match='the input has a column "margin", which the prediction would replace'
    ):
        PartScorer(model, ScoringOptions(Columns("text"), taken.schema, margin=True))
    scorer = PartScorer(model, ScoringOptions(Columns("text"), taken.schema, margin=True, prefix="m_"))
    assert scorer.schema.names[-4:] == ["m_predicted_label", "m_probability", "m_second_label", "m_margin"]
