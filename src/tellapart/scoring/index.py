"""The index of a folder of parts: what is in them, and from what they were computed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from tellapart.data.reading.columns import Columns
from tellapart.errors import DataError, damaged
from tellapart.files import write_text
from tellapart.fitting.fingerprints import Fingerprint
from tellapart.scoring.inputs import Inputs
from tellapart.scoring.units import InputFile, Unit, changed_file, file_state

INDEX = "_parts.json"
"""File with the index. Readers of folders, such as pyarrow, pandas and Spark, ignore names that begin with `_`."""

_REMEDY = "choose another --output, or begin again with --overwrite"


class IndexedPart(BaseModel):
    """A part: its file, and the rows that it holds, the first counted from 0."""

    model_config = ConfigDict(frozen=True)

    part: str
    file: int
    first: int
    rows: int


class IndexedColumn(BaseModel):
    """A column of the parts, with its Arrow type in words."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str


class PartsIndex(BaseModel):
    """The content of the index.

    Args:
        format: Version of this format.
        finished: Whether all parts are written.
        rows: Number of rows of all parts.
        fingerprint: Settings, model, code and version that determine the predictions.
        weights: The type of the model's weights.
        text: The column of the texts.
        text_pair: The column of the second texts.
        columns: The columns of the parts.
        input_schema: The columns of the input, as an Arrow IPC message in base64.
        files: The files, in order.
        parts: The parts, in order.
        run: Digest of what determines the predictions, see `run_digest`; each part bears it. Empty for runs that
            version 0.2.0 began, the parts of which have none.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    finished: bool = False
    rows: int
    fingerprint: Fingerprint
    weights: str
    text: str
    text_pair: str | None = None
    columns: list[IndexedColumn]
    input_schema: str
    files: list[InputFile]
    parts: list[IndexedPart]
    run: str = ""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the input.

        Raises:
            DataError: They cannot be read.
        """
        try:
            return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.input_schema)))
        except (ValueError, OSError, pa.ArrowException) as error:
            raise DataError("the schema in the index of the parts is damaged", _REMEDY) from error

    @property
    def text_columns(self) -> Columns:
        """The columns of the texts."""
        return Columns(self.text, self.text_pair)


def run_digest(fingerprint: Fingerprint, weights: str, input_schema: str) -> str:
    """Returns a SHA-256 of what determines the predictions, besides the rows: equal runs have equal parts."""
    settings = {
        name: value for name, value in fingerprint.settings.items() if name not in fingerprint.contents
    }
    what = [fingerprint.code, settings, fingerprint.contents, weights, input_schema]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def encoded_schema(schema: pa.Schema) -> str:
    """Returns a schema as an Arrow IPC message in base64, as of `PartsIndex.input_schema`."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def indexed_columns(schema: pa.Schema) -> list[IndexedColumn]:
    """Returns the columns of a schema."""
    return [IndexedColumn(name=field.name, type=str(field.type)) for field in schema]


def indexed_parts(units: Iterable[Unit]) -> list[IndexedPart]:
    """Returns the parts of units; the number of the file is in the name of the part."""
    parts = []
    for unit in units:
        name = Path(unit.output).name
        parts.append(IndexedPart(part=name, file=int(name.split("-")[1]), first=unit.first, rows=unit.rows))
    return parts


def read_index(folder: str | Path) -> PartsIndex | None:
    """Reads the index of a folder of parts; None if there is none.

    Raises:
        DataError: It is damaged.
    """
    file = Path(folder) / INDEX
    if not file.is_file():
        return None
    try:
        return PartsIndex.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise damaged(f"file {file}", error, _REMEDY) from None


def written_parts(output: str | Path) -> dict[str, int]:
    """Returns the number of `files` and `parts` of a folder of parts; empty for an output file."""
    index = read_index(output)
    return {} if index is None else {"files": len(index.files), "parts": len(index.parts)}


def write_index(folder: Path, index: PartsIndex) -> None:
    """Writes the index atomically; raises `OutputError` where that fails."""
    write_text(folder / INDEX, index.model_dump_json(indent=1) + "\n")  # without a copy as Python objects


def check_same_files(before: PartsIndex, inputs: Inputs, folder: Path) -> None:
    """Checks that files are those of which parts have been written.

    Size, time of change, and the first and last 64 KiB are compared.

    Raises:
        DataError: A file is new, gone or changed.
    """
    known, now = {file.name for file in before.files}, set(inputs.names)
    begun = f"since the parts in {folder} were begun"
    for name in sorted(known ^ now):
        problem = "is new" if name in now else "is missing"
        raise DataError(f"{inputs.path(name)} {problem} {begun}", _REMEDY)
    for file in before.files:
        path = inputs.path(file.name)
        try:
            state = file_state(path)
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
            ) from error
        if state != (file.size, file.changed, file.sample):
            raise changed_file(path, begun)
