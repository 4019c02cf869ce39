from __future__ import annotations

import pyarrow as pa
import pytest

from tellapart.data.reading.tables import write_table
from tellapart.errors import UserError
from tellapart.scoring.outputs import check_predictions_file

LABELLED = {"text": ["a; b", "c"], "label": ["x", "y"]}
FORMATS = ("csv", "tsv.gz", "jsonl", "json", "parquet")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "new.csv"
    write_table(pa.table(LABELLED), path)
    return path


def _check(output, source, *, prefix="", overwrite=False):
    check_predictions_file(output, source, prefix=prefix, overwrite=overwrite)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("added", "prefix"),
    [("predicted_label", ""), ("predicted_score", ""), ("mine_predicted_label", "mine_")],
)
def test_earlier_predictions_are_replaced(source, tmp_path, suffix, added, prefix):
    output = tmp_path / f"labelled.{suffix}"
    write_table(pa.table(LABELLED | {added: [["x"], ["y", "z"]]}), output)
    _check(output, source, prefix=prefix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_other_file_is_replaced_only_if_that_is_asked_for(source, tmp_path, suffix):
    output = tmp_path / f"tickets.{suffix}"
    write_table(pa.table(LABELLED | {"note": ["predicted_label", "is no column"]}), output)
    with pytest.raises(UserError, match=r"the output .* exists: choose another --output, or .* --overwrite"):
        _check(output, source)
    _check(output, source, overwrite=True)


@pytest.mark.parametrize("content", [b"\x1f\x8b broken", b"[", b"\n\n{}"])
def test_a_file_that_is_no_table_is_not_replaced(source, tmp_path, content):
    for suffix in FORMATS:
        output = tmp_path / f"notes.{suffix}"
        output.write_bytes(content)
        with pytest.raises(UserError, match="exists"):
            _check(output, source)


def test_an_empty_file_is_replaced(source, tmp_path):
    output = tmp_path / "empty.csv"
    output.touch()
    _check(output, source)


def test_the_file_that_is_scored_is_never_replaced(source, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(source)
    for output in (source, link, tmp_path / "." / "new.csv"):
        with pytest.raises(UserError, match="a file that the command reads: choose another --output"):
            _check(output, source, overwrite=True)
