"""Writes data with the corrected labels of an edited table of suspects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.data.fingerprints import rows_fingerprint
from tellapart.data.reading.columns import ColumnNames, find_columns, written_columns, written_name
from tellapart.data.reading.rows import read_splits, read_task
from tellapart.data.reading.tables import file_format, read_table, write_table
from tellapart.data.relabelling import Change, label_changes, with_changes
from tellapart.errors import DataError, UserError
from tellapart.files import replacing, write_json


@dataclass(frozen=True)
class Relabelled:
    """Corrected data that were written.

    Args:
        output: The file, or the folder of several splits.
        log: The JSON file with every change.
        changes: The changed labels, in the order of the suspects.
        kept: Number of suspects whose label stays.
    """

    output: Path
    log: Path
    changes: tuple[Change, ...]
    kept: int


def relabel(
    source: Any,
    suspects: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    label_names: Sequence[str] | None = None,
    multi_label: bool | None = None,
) -> Relabelled:
    """Writes a copy of the data with the labels of the column `suggested_label`, and a log of every change.

    Suspects whose `suggested_label` is empty or equal to their label keep it, and so do rows that are not in the
    table. The source is not modified, and nothing is overwritten.

    Args:
        source: The data that were audited.
        suspects: `suspects.csv` of an audit, possibly edited; any format of `read_table`.
        output: The file to write, whose suffix determines the format; for data of several splits, the folder, with
            one Parquet file per split.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        label: The label column.
        label_delimiter: Separates the labels in a multi-label cell.
        label_names: The labels of the positions of vectors of 0 and 1, in order. In the copy they are lists of names.
        multi_label: Whether rows have several labels; found by the column when not given.

    Raises:
        DataError: A row of the suspects is not that of the data, a new label is no class, or no label changes.
        UserError: The output exists, or is a file for several splits.
        OutputError: The output cannot be written.
    """
    target = Path(output)
    given = None if label_names is None else tuple(label_names)
    names = ColumnNames(text, text_pair, label, label_delimiter=label_delimiter, label_names=given)
    data, tables = read_task(source, names, multi_label=multi_label), read_splits(source).tables
    if "," in (label or "") and written_name(tables["train"].schema, str(label)) is None:
        raise DataError(
            "the labels are in several columns, and a suspect row has one suggested_label",
            "correct the columns in the file itself",
        )
    if data.labels.regression:
        raise DataError("numeric targets are not classes to be corrected", "correct them in the file itself")
    several = len(tables) > 1
    log = target / "changes.json" if several else target.with_name(f"{target.name}.changes.json")
    _check_output(target, list(tables))
    for path in (target, log):
        if os.path.lexists(path):  # a broken link too
            raise UserError(f"the output {path} exists", "choose another --output: nothing is overwritten")
    table = read_table(suspects)
    changes = label_changes(data, table, where=str(suspects))
    if not changes:
        raise DataError(
            f"{suspects} changes no label", "write the right labels into its column suggested_label"
        )
    columns = {}
    for name in data.splits:
        found = find_columns(tables["train"].schema, names)
        columns[name] = str(written_columns(found, tables[name].schema, name).label)
    changed = with_changes(tables, columns, data, changes, label_delimiter)
    kept = len(table) - len(changes)
    content = {
        "source": data.source,
        "data_fingerprint": rows_fingerprint(data),
        "suspects": str(suspects),
        "kept": kept,
        "changes": [change._asdict() for change in changes],
    }
    if several:
        with replacing(target) as temporary:
            for name, rows in changed.items():
                write_table(rows, temporary / f"{name}.parquet")
            write_json(temporary / log.name, content)
    else:
        with replacing(log) as temporary:  # both files, or none
            write_json(temporary, content)
            write_table(changed["train"], target)
    return Relabelled(target, log, tuple(changes), kept)


def _check_output(path: Path, splits: list[str]) -> None:
    """Checks that the output is a file of a known format for one split, and a folder for several."""
    if len(splits) == 1 and file_format(path) is None:
        raise UserError(
            f"the format of {path.name} is unknown", "give a file such as cleaned.parquet or cleaned.csv"
        )
    if len(splits) > 1 and file_format(path) is not None:
        raise UserError(
            f"{path.name} is one file, and the data have the splits {', '.join(splits)}",
            f"give a folder such as --output {path.name.split('.')[0]}, which gets one Parquet file per split",
        )
