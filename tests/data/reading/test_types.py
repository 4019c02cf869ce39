"""Every column type of Arrow, Parquet and DataFrames is read, or refused in one sentence."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading.rows import read_data
from tellapart.data.reading.streams import open_rows
from tellapart.data.reading.tables import read_table, write_table
from tellapart.data.reading.types import plain_column
from tellapart.errors import DataError

TEXTS = ["card one lost", "card two stolen", "card three lost", "card four stolen"]
LABELS = ["a", "b", "a", "b"]
STRING_TYPES = [
    pa.string_view(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]


def strings(values, kind):
    if pa.types.is_dictionary(kind):
        return pa.array(values).dictionary_encode().cast(kind)
    return pa.array(values).cast(pa.binary()).cast(kind) if "binary" in str(kind) else pa.array(values, kind)


@pytest.mark.parametrize("kind", STRING_TYPES, ids=str)
def test_texts_and_labels_of_every_string_type_are_read_from_memory_and_from_parquet(kind, tmp_path):
    table = pa.table({"text": strings(TEXTS, kind), "label": strings(LABELS, kind)})
    pq.write_table(table, tmp_path / "rows.parquet")
    for source in (table, tmp_path / "rows.parquet"):
        data = read_data(source)
        assert (data.train.texts, data.train.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("kind", STRING_TYPES, ids=str)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_columns_of_every_string_type_are_written_in_every_format(kind, suffix, tmp_path):
    pq.write_table(pa.table({"text": strings(TEXTS, kind)}), tmp_path / "rows.parquet")
    part = next(open_rows(tmp_path / "rows.parquet").parts())
    write_table(part, tmp_path / f"written.{suffix}")
    written = read_table(tmp_path / f"written.{suffix}")
    assert plain_column(written, "text", "the rows").to_pylist() == TEXTS


def test_run_lengths_are_undone():
    ends = pa.array([1, 2, 3, 4], pa.int32())
    encoded = {"text": TEXTS, "label": LABELS}
    arrays = {name: pa.RunEndEncodedArray.from_arrays(ends, pa.array(v)) for name, v in encoded.items()}
    assert read_data(pa.table(arrays)).train.labels == LABELS


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pa.array(np.array([0, 1, 0, 1], np.float16)), ["0", "1", "0", "1"]),
        (pa.array(np.array([0.5, 1, 0.5, 1], np.float16)), ["0.5", "1", "0.5", "1"]),
        (pa.array([decimal.Decimal("1.0"), decimal.Decimal("2.0")] * 2), ["1", "2", "1", "2"]),
        (pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.0")] * 2), ["1.5", "2.0", "1.5", "2.0"]),
        (
            pa.array([decimal.Decimal(10**30), decimal.Decimal(10**30 + 1)] * 2),
            [str(10**30), str(10**30 + 1)] * 2,
        ),
        (pa.array([decimal.Decimal(1), decimal.Decimal(2)] * 2, pa.decimal256(50, 2)), ["1", "2", "1", "2"]),
        (pa.array([2**64 - 1, 1] * 2, pa.uint64()), [str(2**64 - 1), "1"] * 2),
        (pa.array([1e300, 1.0] * 2), ["1e+300", "1"] * 2),
        (pa.array([1e19, 1.0] * 2), ["1e+19", "1"] * 2),
        (pa.array(["1", "2"] * 2, pa.json_()), ["1", "2"] * 2),
    ],
    ids=str,
)
def test_numbers_of_every_type_are_labels(values, names, tmp_path):
    table = pa.table({"text": TEXTS, "label": values})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert read_data(table).train.labels == names
    assert read_data(tmp_path / "rows.parquet").train.labels == names


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string()),
        pa.large_list(pa.string()),
        pa.list_(pa.string(), 1),
        pa.list_(pa.string_view()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
    ],
    ids=str,
)
def test_lists_of_every_type_are_several_labels(kind):
    table = pa.table({"text": TEXTS, "labels": pa.array([[name] for name in LABELS], kind)})
    assert read_data(table).train.labels == [["a"], ["b"], ["a"], ["b"]]
    missing = pa.array([["a"], None, ["a"], ["b"]], kind)
    with pytest.raises(DataError, match=r"no list of labels in column .labels., the first is row 2"):
        read_data(pa.table({"text": TEXTS, "labels": missing}))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([datetime.date(2020, 1, 1)] * 4),
        pa.array([datetime.datetime(2020, 1, 1)] * 4),
        pa.array([1] * 4, pa.duration("s")),
        pa.array([{"a": 1}] * 4),
        pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int32())),
        pa.array([[["a"]]] * 4),
        pa.array([b"a" * 16] * 4, pa.uuid()),
        pa.array([b"\xff\xfe"] * 4),
    ],
    ids=str,
)
def test_other_types_are_refused_as_labels_in_one_sentence(values):
    with pytest.raises(DataError, match=r'column "label" of the train rows holds'):
        read_data(pa.table({"text": TEXTS, "label": values}))


@pytest.mark.parametrize("repeated", ["text", "label", "x"])
def test_two_columns_of_one_name_are_refused(repeated, tmp_path):
    arrays = [TEXTS, LABELS, LABELS, LABELS]
    names = ["text", "label", "x", repeated]
    table = pa.Table.from_arrays([pa.array(values) for values in arrays], names=names)
    pq.write_table(table, tmp_path / "rows.parquet")
    frame = pd.DataFrame(list(zip(*arrays, strict=True)), columns=names)
    for source in (table, tmp_path / "rows.parquet", frame):
        with pytest.raises(DataError, match=f'has two columns named "{repeated}"'):
            read_data(source)
    with pytest.raises(DataError, match=f'has two columns named "{repeated}"'):
        open_rows(tmp_path / "rows.parquet")


def test_a_number_and_its_text_are_one_column_name():
    frame = pd.DataFrame([[text, "a", "b"] for text in TEXTS], columns=["text", 1, "1"])
    with pytest.raises(DataError, match='two columns named "1"'):
        read_data(frame)


@pytest.mark.parametrize("numbers", [[10**30, 1] * 2, [10**30, "a"] * 2, [-(2**63) - 1, 1] * 2])
def test_integers_beyond_64_bits_name_their_row(numbers):
    for source in (pd.DataFrame({"text": TEXTS, "label": numbers}), {"text": TEXTS, "label": numbers}):
        with pytest.raises(
            DataError, match="integer that 64 bits with a sign do not hold, the first in row 1"
        ):
            read_data(source)


def test_values_that_are_no_list_are_refused():
    for texts in ("abcd", 5, b"abcd"):
        with pytest.raises(DataError, match="not a list of values"):
            read_data({"text": texts, "label": LABELS})
    with pytest.raises(DataError, match="unsupported type Series"):
        read_data(pd.Series(TEXTS))


def test_cells_nested_without_end_are_refused_before_pyarrow_crashes():
    cell: list = []
    for _ in range(100_000):
        cell = [cell]
    with pytest.raises(
        DataError, match=r"row 2 of column .label. of the data is nested more than 100 levels"
    ):
        read_data({"text": TEXTS[:2], "label": [[], cell]})


def test_an_iterable_dataset_is_read_with_its_class_names():
    import datasets

    whole = datasets.Dataset.from_dict(
        {"text": TEXTS, "label": [0, 1, 0, 1]},
        features=datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
        ),
    )
    assert read_data(whole.to_iterable_dataset()).train.labels == LABELS
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    streamed = datasets.IterableDataset.from_generator(lambda: iter(rows))
    splits = datasets.IterableDatasetDict({"train": streamed, "test": streamed})
    assert read_data(splits).test.labels == LABELS
    with pytest.raises(DataError, match="has no rows"):
        read_data(datasets.IterableDataset.from_generator(lambda: iter([])))
