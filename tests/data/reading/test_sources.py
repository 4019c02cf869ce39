from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tellapart.data.reading.sources import as_table, folder_tables, split_tables
from tellapart.errors import DataError

ROWS = {"text": ["a", "b"], "label": ["x", "y"]}


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        (ROWS["text"], ROWS["label"]),
        (np.array(ROWS["text"]), np.array(ROWS["label"], dtype=object)),
        (pd.Series(ROWS["text"], index=[7, 3]), pd.Categorical(ROWS["label"])),
        [{"text": "a", "label": "x"}, {"label": "y", "text": "b"}],
        pd.DataFrame(ROWS, index=["p", "q"]),
        pa.table(ROWS),
        datasets.Dataset.from_dict(ROWS),
        datasets.Dataset.from_dict({"text": ["b", "a"], "label": ["y", "x"]}).select([1, 0]),
    ],
)
def test_every_holder_of_rows_becomes_the_same_table(rows: Any) -> None:
    assert as_table(rows, "the data").to_pydict() == ROWS


def test_texts_may_come_without_labels() -> None:
    assert as_table((["a"], None), "the data").column_names == ["text"]


def test_nan_in_a_frame_is_missing() -> None:
    assert as_table(pd.DataFrame({"text": ["a", np.nan]}), "the data")["text"].null_count == 1


@pytest.mark.parametrize("rows", [{}, [], {"text": []}, 3, ["a", "b"], pd.DataFrame({"text": []})])
def test_what_holds_no_rows_is_refused(rows: Any) -> None:
    with pytest.raises(DataError):
        as_table(rows, "the data")


def test_splits_get_the_names_that_tellapart_uses_in_their_order() -> None:
    tables = split_tables({"test": ROWS, "dev": ROWS, "train": ROWS, "unsupervised": ROWS}, "it")
    assert list(tables) == ["train", "validation", "test"]
    assert list(split_tables({"all": ROWS}, "it")) == ["train"]


@pytest.mark.parametrize("splits", [{"a": ROWS, "b": ROWS}, {"train": ROWS, "dev": ROWS, "val": ROWS}, {}])
def test_splits_that_leave_doubt_are_refused(splits: dict) -> None:
    with pytest.raises(DataError):
        split_tables(splits, "it")


def test_a_folder_of_files_in_several_formats_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,x\n")
    (tmp_path / "Dev.jsonl").write_text('{"text": "b", "label": "y"}\n')
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "test_unlabelled.csv").write_text("text\nc\n")
    tables = folder_tables(tmp_path)
    assert {name: table["text"].to_pylist() for name, table in tables.items()} == {
        "train": ["a"],
        "validation": ["b"],
    }


def test_a_folder_with_two_files_for_a_split_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file named train"):
        folder_tables(tmp_path)
    for name in ("train.csv", "train.tsv"):
        (tmp_path / name).write_text("text\na\n")
    with pytest.raises(DataError, match=r"two files for train: train.csv, train.tsv"):
        folder_tables(tmp_path)


@pytest.mark.parametrize("several", [True, False])
def test_saved_datasets_are_read(tmp_path: Path, several: bool) -> None:
    dataset = datasets.Dataset.from_dict(ROWS)
    saved = datasets.DatasetDict(train=dataset, test=dataset) if several else dataset
    saved.save_to_disk(str(tmp_path / "saved"))
    tables = folder_tables(tmp_path / "saved")
    assert list(tables) == (["train", "test"] if several else ["train"])
    assert tables["train"].to_pydict() == ROWS


def test_a_saved_dataset_that_lost_its_rows_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).save_to_disk(str(tmp_path / "saved"))
    next((tmp_path / "saved").glob("*.arrow")).write_bytes(b"")
    with pytest.raises(DataError, match="saved dataset"):
        folder_tables(tmp_path / "saved")
