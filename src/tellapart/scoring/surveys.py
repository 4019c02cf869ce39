"""Checks all rows of many files before a model is loaded, and finds the columns and types that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tellapart.data.reading.columns import ColumnNames, Columns, find_model_columns
from tellapart.data.reading.streams import RowStream, open_rows, rows_from
from tellapart.data.reading.types import is_string
from tellapart.data.reading.values import read_examples
from tellapart.errors import DataError, NoRowsError
from tellapart.scoring.inputs import Inputs
from tellapart.scoring.units import InputFile, file_state


@dataclass(frozen=True)
class Survey:
    """What all files have in common.

    Args:
        columns: The columns of the texts.
        schema: All columns, of types that hold the values of every file.
        files: The files, in order.
        notes: Remarks for the user.
    """

    columns: Columns
    schema: pa.Schema
    files: tuple[InputFile, ...]
    notes: tuple[str, ...] = ()


def survey(
    inputs: Inputs,
    given: ColumnNames,
    trained: ColumnNames | None,
    *,
    progress: Callable[[int], Any] | None = None,
) -> Survey:
    """Reads every file once, one after the other, and checks its rows.

    Types that differ between files are unified as those of the lines of a JSON Lines file are: integers become
    floats, and a column without values takes any type. Files of which a type changes are read once more.

    Args:
        inputs: The files.
        given: The columns that the user named.
        trained: The columns of the model's training, see `find_model_columns`.
        progress: Called with 1 after each file.

    Raises:
        DataError: A file cannot be read, lacks a text, or has other columns than the first; all have no rows.
    """
    shared = _SharedColumns(given, trained)
    files: list[InputFile] = []
    for name in inputs.names:
        files.append(_checked(inputs.path(name), name, shared))
        if progress is not None:
            progress(1)
    if shared.columns is None:
        raise NoRowsError(f"no file of {inputs.given} has rows", "give files with rows")
    changed = shared.changed_files()
    for file in files:
        if file.rows and inputs.path(file.name) in changed:
            for _ in rows_from(inputs.path(file.name), file.kind, shared.schema):
                pass  # a value that the type cannot hold is refused
    empty = [file.name for file in files if not file.rows]
    notes = (f"{len(empty)} file(s) have no rows, such as {empty[0]}.",) if empty else ()
    return Survey(shared.columns, shared.schema, tuple(files), (*shared.notes, *notes))


def _checked(path: Path, name: str, shared: _SharedColumns) -> InputFile:
    """Checks a file; one without rows has no columns to compare."""
    try:
        state = file_state(path)  # before the rows are read, so that a later change is noticed
        stream = open_rows(path)
    except NoRowsError:
        return InputFile(name, "", *file_state(path), rows=0)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
        ) from error
    shared.add(stream)
    return InputFile(name, stream.kind, *state, rows=stream.rows)


class _SharedColumns:
    """The columns and types that files have in common, as one after the other is added.

    Args:
        given: The columns that the user named.
        trained: The columns of the model's training.
    """

    def __init__(self, given: ColumnNames, trained: ColumnNames | None) -> None:
        self.columns: Columns | None = None
        self.schema = pa.schema([])
        self.notes: tuple[str, ...] = ()
        self._given, self._trained = given, trained
        self._first: Path | None = None
        self._schemas: dict[pa.Schema, int] = {}  # the different ones, which are few, with a number each
        self._schema_of: dict[Path, int] = {}

    def add(self, stream: RowStream) -> None:
        """Adds a file after checking its columns and texts.

        Raises:
            DataError: They differ from those of the first file, or texts are missing.
        """
        if self._first is None:
            self.columns = find_model_columns(
                stream.schema, self._given, self._trained, labelled=False, where=str(stream.path)
            )
            self._first, self.schema = stream.path, stream.schema
        else:
            self._check_names(stream)
            self._unify(stream)
        plain = stream.schema.remove_metadata()
        self._schema_of[stream.path] = self._schemas.setdefault(plain, len(self._schemas))
        assert self.columns is not None
        stream.check_texts(self.columns)
        texts = (name for name in (self.columns.text, self.columns.text_pair) if name is not None)
        if not all(is_string(stream.schema.field(name).type) for name in texts):
            for part in stream.parts():  # bytes must be UTF-8, and other types are refused
                read_examples(part, self.columns, where=str(stream.path))

    def changed_files(self) -> set[Path]:
        """Returns the files whose values are converted to other types."""
        changed = {
            number
            for schema, number in self._schemas.items()
            if any(field.type != self.schema.field(field.name).type for field in schema)
        }
        return {path for path, number in self._schema_of.items() if number in changed}

    def _check_names(self, stream: RowStream) -> None:
        here, first = set(stream.schema.names), set(self.schema.names)
        if here == first:
            return
        lacking = next((name for name in self.schema.names if name not in here), None)
        other = next((name for name in stream.schema.names if name not in first), None)
        problem = f'no column "{lacking}"' if lacking is not None else f'a column "{other}"'
        opposite = "has" if lacking is not None else "does not have"
        raise DataError(
            f"{stream.path} has {problem}, which {self._first} {opposite}",
            "give files with the same columns, such as those that a pattern matches",
        )

    def _unify(self, stream: RowStream) -> None:
        """Widens the types of the columns to those of a further file."""
        merged = []
        for field in self.schema:
            here = stream.schema.field(field.name)
            try:
                (one,) = pa.unify_schemas(
                    [pa.schema([field]), pa.schema([here])], promote_options="permissive"
                )
            except pa.ArrowException as error:
                raise DataError(
                    f'{stream.path} has {here.type} values in the column "{field.name}", of which the files from '
                    f"{self._first} on have {field.type} values",
                    "write the column with the same type in every file",
                ) from error
            merged.append(one)
        metadata = self.schema.metadata
        if metadata != stream.schema.metadata and metadata is not None:
            metadata = None
            self.notes = ("The metadata of the files differ, and are left out of the parts.",)
        self.schema = pa.schema(merged, metadata)
