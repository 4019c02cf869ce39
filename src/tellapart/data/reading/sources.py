"""Converts folders, saved data sets, DataFrames and lists to one pyarrow table per split."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tellapart.data.reading.tables import input_format, read_table, table_from_columns
from tellapart.data.reading.types import check_names
from tellapart.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Usual names of splits, and the split that each of them means."""

_STREAMED_ROWS = 1000


def split_tables(splits: Mapping[str, Any], where: str) -> dict[str, pa.Table]:
    """Converts a mapping of split names to tables under the names `train`, `validation` and `test`.

    Args:
        splits: Anything that `as_table` takes, by name. Names not in `SPLIT_NAMES` are ignored, except that a single
            split with an unknown name is the training split.
        where: Name of the data in messages.

    Raises:
        DataError: No split has a known name, or two names mean the same split.
    """
    names = list(splits)
    known = {name: SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES}
    if len(names) == 1 and not known:
        known = {names[0]: "train"}
    if not known:
        raise DataError(
            f"{where} has no split with a known name, only {', '.join(map(str, names)) or 'none'}",
            "name the splits train, validation and test",
        )
    if len(set(known.values())) < len(known):
        raise DataError(f"{where} has several validation splits: {', '.join(known)}", "keep only one of them")
    tables = {standard: as_table(splits[name], f"{where} ({name})") for name, standard in known.items()}
    return {name: tables[name] for name in ("train", "validation", "test") if name in tables}


def as_table(rows: Any, where: str) -> pa.Table:
    """Converts rows in any supported form to a table with at least one row.

    Args:
        rows: A path to a file, a `pyarrow.Table`, a pandas DataFrame, a `datasets.Dataset` or `IterableDataset`
            (which is read to its end, into memory), a mapping of columns, a list of mappings (one per row), a pair
            (texts, labels), or an object with Arrow's C stream protocol (such as a polars DataFrame).
        where: Name of the data in messages.

    Raises:
        DataError: There are no rows, or the type is not supported.
    """
    if isinstance(rows, str | Path):
        return read_table(rows)
    table = _in_memory(rows, where)
    check_names(table.column_names, where)
    if table.num_rows == 0:
        raise DataError(f"{where} has no rows", "add rows")
    return table


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder was written by `datasets.save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def folder_tables(folder: Path) -> dict[str, pa.Table]:
    """Reads a folder of `train`, `validation` and `test` files, or one written by `datasets.save_to_disk`.

    Raises:
        DataError: The folder holds neither, or two files for one split.
    """
    if is_saved_dataset(folder):
        return _saved_tables(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = path.name.split(".", maxsplit=1)[0].lower()
        if split not in SPLIT_NAMES or input_format(path) is None:
            continue
        if split in files:
            raise DataError(
                f"{folder} has two files for {split}: {files[split].name}, {path.name}", "keep only one"
            )
        files[split] = path
    if not files:
        raise DataError(
            f"the folder {folder} holds no file named train, validation or test",
            "rename its files (train.csv, test.csv), or give the path of one file",
        )
    return split_tables(files, str(folder))


def _saved_tables(folder: Path) -> dict[str, pa.Table]:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # datasets checks no type in these files: anything can be raised
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"{folder} cannot be read as a saved dataset ({reason})", "save it again") from error
    return split_tables(loaded if isinstance(loaded, dict) else {"train": loaded}, str(folder))


def _in_memory(rows: Any, where: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    module = type(rows).__module__.split(".")[0]
    if module == "datasets" and hasattr(rows, "with_format"):
        return _dataset_table(rows)
    if module == "pandas" and hasattr(rows, "columns"):
        check_names([*map(str, rows.columns)], where)  # two columns of one name are a DataFrame of their own
        return table_from_columns({name: rows[name] for name in rows.columns}, where)
    if isinstance(rows, Mapping):
        return table_from_columns(rows, where)
    if isinstance(rows, tuple) and len(rows) == 2:
        texts, labels = rows
        return table_from_columns({"text": texts} | ({} if labels is None else {"label": labels}), where)
    if hasattr(rows, "__arrow_c_stream__"):
        with contextlib.suppress(pa.ArrowInvalid):  # a Series, which is no table
            return pa.table(rows)
    if isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return table_from_columns({name: [row.get(name) for row in rows] for name in names}, where)
    raise DataError(
        f"{where} is of the unsupported type {type(rows).__name__}",
        "give a path, a DataFrame, a Dataset, a dict of columns, or (texts, labels)",
    )


def _dataset_table(rows: Any) -> pa.Table:
    """Returns the table of a `datasets.Dataset` or `IterableDataset`, with the class names of its features."""
    in_arrow = rows.with_format("arrow")
    if hasattr(rows, "__len__"):
        table = in_arrow[:]
    else:
        parts = [*in_arrow.iter(batch_size=_STREAMED_ROWS)]
        table = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    # the table alone does not carry the names of ClassLabel features
    return (
        table if rows.features is None else table.replace_schema_metadata(rows.features.arrow_schema.metadata)
    )
