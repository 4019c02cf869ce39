"""`tellapart predict` over folders and patterns."""

from __future__ import annotations

import json

import pyarrow.dataset
import pytest

ROWS = "text,id\nmy card was lost,1\nher credit card has expired,2\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "new" / name).write_text(ROWS)
    return tmp_path / "new"


def test_a_folder_is_predicted_resumed_and_summed_up(tellapart, trained, folder, tmp_path):
    output = tmp_path / "out"
    words = ("predict", trained, folder, "--output", output)
    finished = tellapart(*words)
    assert finished.code == 0
    assert finished.out == f"4 rows of 2 file(s) written to {output} in 2 part(s)\n"
    assert 'note: Columns: texts from "text".\nnote: Rows: 4 in 2 file(s).\n' in finished.err
    assert pyarrow.dataset.dataset(output, format="parquet").to_table()["id"].to_pylist() == list("1212")
    again = tellapart(*words)
    assert (again.code, "not empty: choose another --output, continue with --resume" in again.err) == (
        2,
        True,
    )
    resumed = tellapart(*words, "--resume", "--json", "--quiet")
    assert json.loads(resumed.out) == {"output": str(output), "rows": 4, "files": 2, "parts": 2}
    assert "note: 2 of 2 part(s) had been written before." in resumed.err
    other = tellapart(*words, "--resume", "--rows-per-part", 1)
    assert (other.code, "begun with rows_per_part: 131072 (now 1)" in other.err) == (2, True)
    assert tellapart(*words, "--overwrite", "--rows-per-part", 1).out.endswith("in 4 part(s)\n")


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("new/*.tsv", "out", "no file of a known format matches the pattern"),
        ("new", "new/out", "lies in the input folder"),
        ("new", "out.csv", "is named like a file"),
        ("nwe", "out", "there is no file"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    tellapart, trained, folder, tmp_path, source, output, message
):
    finished = tellapart("predict", trained, tmp_path / source, "--output", tmp_path / output)
    assert finished.code == 2
    assert message in finished.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "b.csv", "new"]
