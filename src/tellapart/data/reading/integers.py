"""Integers of JSON Lines files that pyarrow rounds: their columns are found, and read exactly.

pyarrow reads a column as floats if a number in it has a fraction, or is an integer beyond 64 bits. Floats hold all
integers up to 2^53; beyond, many are rounded without an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tellapart.data.reading.jsontext import json_objects

_EXACT = 1 << 53
"""Size up to which floats hold all integers; it has 16 digits."""

_LONG = rb"-?[0-9]{16,}+[\s,}\]]"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_ .-]+")  # that no writer of JSON escapes


@dataclass(frozen=True)
class ExactTypes:
    """Types of columns in which integers would be rounded.

    Args:
        unsigned: Columns of 64-bit integers without a sign: uint64, or lists of these.
        texts: Other columns: strings, or lists of these.
    """

    unsigned: dict[str, pa.DataType]
    texts: dict[str, pa.DataType]


def exact_types(path: Path, schema: pa.Schema, block_bytes: int) -> ExactTypes:
    """Finds the columns of a JSON Lines file in which pyarrow rounds integers.

    Only columns of numbers and of lists of numbers are looked at: others are no texts, labels or ids.

    Args:
        path: A file that pyarrow has read.
        schema: Its columns, with the types that pyarrow has inferred.
        block_bytes: Bytes that are read at once.
    """
    floats = {field.name: field.type for field in schema if _is_floats(field.type)}
    rounded: set[str] = set()
    if floats:
        long = _long_integers(floats)
        for row in json_objects(path, block_bytes, lambda block: long.search(block) is not None):
            rounded |= {name for name in floats if any(map(_is_rounded, _numbers(row.get(name))))}
    signed = set()
    for row in json_objects(path, block_bytes) if rounded else ():
        signed |= {name for name in rounded if not all(map(_is_unsigned, _numbers(row.get(name))))}
    return ExactTypes(
        {name: _like(floats[name], pa.uint64()) for name in rounded - signed},
        {name: _like(floats[name], pa.string()) for name in rounded & signed},
    )


def written_numbers(path: Path, types: Mapping[str, pa.DataType], block_bytes: int) -> dict[str, pa.Array]:
    """Reads columns of numbers as strings, as they are written in a JSON Lines file.

    Args:
        path: The file.
        types: Column to type, of `ExactTypes.texts`.
        block_bytes: Bytes that are read at once.
    """
    columns: dict[str, list[Any]] = {name: [] for name in types}
    for row in json_objects(path, block_bytes) if types else ():
        for name, values in columns.items():
            values.append(_written(row.get(name)))
    return {name: pa.array(columns[name], kind) for name, kind in types.items()}


def _long_integers(columns: Mapping[str, pa.DataType]) -> re.Pattern[bytes]:
    """Returns a pattern that finds each block of lines that may have an integer above 2^53 in one of the columns.

    A search by their names spares most files the slow parser: other columns often have long integers, such as ids.
    """
    if not all(map(_PLAIN_NAME.fullmatch, columns)):
        return re.compile(rb"[:,\[\s]" + _LONG)
    names = rb"|".join(re.escape(name).encode() for name in columns)
    lists = rb"(?:\[[^\]]*?(?<=[\[,\s]))?" if any(map(pa.types.is_list, columns.values())) else b""
    return re.compile(rb'"(?:' + names + rb')"\s*+:\s*+' + lists + _LONG)


def _like(kind: pa.DataType, number: pa.DataType) -> pa.DataType:
    return pa.list_(number) if pa.types.is_list(kind) else number


def _is_floats(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind)


def _numbers(value: Any) -> Iterable[Any]:
    """The numbers of a cell: one, those of a list, or none."""
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None]


def _is_rounded(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > _EXACT


def _is_unsigned(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 64


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [_written(item) for item in value]
    return None if value is None else str(value)
