"""Excel files, for sets that are published in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import pyarrow as pa

from tellapart.errors import DataError, MissingDependencyError


def is_spreadsheet(path: Path) -> bool:
    """Whether a file is an Excel file, by its suffix."""
    return path.suffix.lower() == ".xlsx"


def read_spreadsheet(path: Path, columns: Sequence[str]) -> pa.Table:
    """Reads the first sheet whose first row names some columns; empty rows are left out.

    Args:
        path: An `.xlsx` file.
        columns: The names to look for; the table has these columns, as texts, and no other.

    Raises:
        DataError: There is no such sheet, it has no rows, or the file is broken.
        MissingDependencyError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingDependencyError("openpyxl", "xlsx", f"reading {path.name}") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = [[*sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
        finally:
            book.close()
    except (OSError, BadZipFile, ParseError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as an Excel file ({error})", "check how it was written"
        ) from error
    for header, *rows in filter(None, sheets):
        names = [str(name).strip().lower() for name in header]
        if all(name.lower() in names for name in columns):
            return _table(path, rows, {name: names.index(name.lower()) for name in columns})
    raise DataError(
        f"{path} has no sheet with the columns {', '.join(columns)}", "give the file as it was published"
    )


def _table(path: Path, rows: list[tuple[Any, ...]], places: dict[str, int]) -> pa.Table:
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        raise DataError(f"{path} has no rows", "give a file with rows")
    # a row may be shorter than the first: cells at its end are not written where they are empty
    cells = {
        name: [str(row[place]) if place < len(row) and row[place] is not None else None for row in filled]
        for name, place in places.items()
    }
    return pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})
