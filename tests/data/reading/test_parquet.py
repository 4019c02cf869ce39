"""Parquet files that expand without bounds, and damaged ones."""

import json
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import parquet
from tellapart.data.reading.rows import read_data
from tellapart.data.reading.streams import open_rows
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
    for read in (read_table, lambda path: list(parquet.parquet_blocks(path, 8192))):
        with pytest.raises(DataError, match="expands to more than 100 times its size"):
            read(tmp_path / "bomb.parquet")


def test_repetitive_files_below_the_limit_are_read_whole(tmp_path):
    texts = ["x" * 2000] * 5000
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet")["text"].to_pylist() == texts


@pytest.mark.parametrize("rows", [1, 100, 128, 300, 1024])
@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_blocks_have_at_most_the_number_of_rows_that_is_asked_for(tmp_path, rows, kind):
    table = pa.table({"text": pa.array([f"text {number % 7}" for number in range(1000)]).cast(kind)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=270)
    for group in (0, 2):
        blocks = list(parquet.parquet_blocks(tmp_path / "rows.parquet", rows, group))
        assert max(block.num_rows for block in blocks) <= rows
        found = [text for block in blocks for text in block["text"].to_pylist()]
        assert found == table["text"].to_pylist()[group * 270 :]


def test_damaged_bytes_are_read_or_refused_in_one_sentence(tmp_path):
    rows = {"text": [f"card {number} lost" for number in range(40)], "label": [0, 1, 2, 0] * 10}
    names = json.dumps({"info": {"features": {"label": {"names": ["a", "b", "c"]}}}}).encode()
    pq.write_table(
        pa.table(rows).replace_schema_metadata({b"huggingface": names}), tmp_path / "whole.parquet"
    )
    whole = (tmp_path / "whole.parquet").read_bytes()
    random, refused = Random(0), []
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 2, 5, 20])):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        if random.random() < 0.3:
            start = random.randrange(len(damaged))
            del damaged[start : start + random.randrange(1, 30)]
        (tmp_path / "damaged.parquet").write_bytes(damaged)
        for read in (read_data, lambda path: list(open_rows(path).parts())):
            try:
                read(tmp_path / "damaged.parquet")
            except DataError as error:
                refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in sentence for sentence in refused)
