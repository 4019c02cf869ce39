"""Parquet files that expand without bounds."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import parquet
from tellapart.data.reading.tables import read_table
from tellapart.errors import DataError


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_small_file_of_endless_texts_is_refused_before_it_fills_the_memory(
    dictionary, tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet, "BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(parquet, "BOMB_RATIO", 100)
    texts = pa.array(["x" * 2000]).take(pa.array([0] * 20_000, pa.int32()))
    options = {"use_dictionary": dictionary, "compression": "zstd"}
    pq.write_table(pa.table({"text": texts}), tmp_path / "bomb.parquet", **options)
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    with pytest.raises(DataError, match="expands to more than 100 times its size"):
        read_table(tmp_path / "bomb.parquet")


def test_repetitive_files_below_the_limit_are_read_whole(tmp_path):
    texts = ["x" * 2000] * 5000
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet")["text"].to_pylist() == texts
