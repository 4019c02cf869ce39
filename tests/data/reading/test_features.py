"""Damaged or odd metadata of Hugging Face data sets, in Parquet files and saved folders."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError

TEXTS = ["card one lost", "card two stolen", "card three lost", "card four stolen"]
IDS = [0, 1, 0, 1]


def feature(of_label):
    return {"info": {"features": {"label": of_label}}}


def labels_with(block, path, labels=IDS):
    content = block if isinstance(block, bytes) else json.dumps(block).encode()
    table = pa.table({"text": TEXTS, "label": labels}).replace_schema_metadata({b"huggingface": content})
    pq.write_table(table, path / "rows.parquet")
    return read_data(path / "rows.parquet").train.labels


def nested(names, depth):
    return feature({"names": names} if depth == 0 else nested(names, depth - 1)["info"]["features"]["label"])


@pytest.mark.parametrize("around", [lambda f: f, lambda f: [f], lambda f: {"feature": f}])
def test_class_names_are_read_through_lists(around, tmp_path):
    assert labels_with(feature(around({"names": ["a", "b", "c"]})), tmp_path) == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    "block", [None, {}, {"info": None}, {"info": {"features": None}}, feature(None), feature({"names": None})]
)
def test_metadata_without_class_names_leave_the_ids(block, tmp_path):
    assert labels_with(block, tmp_path) == ["0", "1", "0", "1"]


DAMAGED = [
    [],
    1,
    "x",
    {"info": []},
    {"info": {"features": []}},
    feature([]),
    feature("x"),
    feature(1),
    feature({"names": "ab"}),
    feature({"names": {"0": "a", "1": "b"}}),
    feature({"names": [1, 2]}),
    feature({"names": [["a"], ["b"]]}),
    feature({"names": [None, "b"]}),
    feature({"names": ["a", "a"]}),
    feature({"feature": []}),
    feature({"feature": "x"}),
    b"{not json",
    b"\xff\xfe",
    b"",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"info":{"features":{"label":{"names":[' + b"1" * 6000 + b"]}}}}",
]


@pytest.mark.parametrize("block", DAMAGED, ids=lambda block: str(block)[:50])
def test_damaged_metadata_are_refused_where_they_are_needed(block, tmp_path):
    with pytest.raises(DataError, match=r"the Hugging Face metadata of .* are damaged"):
        labels_with(block, tmp_path)
    assert labels_with(block, tmp_path, labels=["a", "b"] * 2) == ["a", "b"] * 2


def test_ids_without_a_name_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds the class id 1, but its metadata name 1 class\(es\)"):
        labels_with(feature({"names": ["a"]}), tmp_path)
    with pytest.raises(DataError, match="holds the class id 1"):
        labels_with(feature([{"names": ["a"]}]), tmp_path, labels=[[0], [1]] * 2)
    with pytest.raises(DataError, match=r"have no label .* the first is row 3"):
        labels_with(feature({"names": ["a", "b"]}), tmp_path, labels=[0, 1, -1, 1])


@pytest.fixture
def saved(tmp_path):
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    rows = datasets.Dataset.from_dict({"text": TEXTS, "label": IDS}, features=features)
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "splits")
    return tmp_path


BROKEN = [b"", b"{", b"\xff", b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b"1" * 6000]
ODD = {
    "one/state.json": [b"{}", b'{"_data_files": null}', b'{"_data_files": []}', b'{"_data_files": [1]}'],
    "one/dataset_info.json": [
        b'{"features": []}',
        b'{"features": {"text": 1}}',
        b'{"features": {"text": {"dtype": "string", "_type": "Value"}, "label": {"_type": "Odd"}}}',
        b'{"features": {"text": {"dtype": "string", "_type": "Value"}, '
        b'"label": {"names": ["a"], "_type": "ClassLabel"}}}',
    ],
    "splits/dataset_dict.json": [b"{}", b'{"splits": null}', b'{"splits": [1]}', b'{"splits": ["../../x"]}'],
    "one/data-00000-of-00001.arrow": [],
}


@pytest.mark.parametrize("file", ODD)
def test_saved_folders_with_broken_files_are_refused_in_one_sentence(file, saved):
    folder = saved / file.split("/")[0]
    assert read_data(folder).train.labels == ["a", "b", "a", "b"]
    for content in [*BROKEN, *ODD[file]]:
        (saved / file).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_data(folder)
        assert "\n" not in str(caught.value), content
        assert len(str(caught.value)) < 1000, content
