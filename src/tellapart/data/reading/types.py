"""Converts the column types of Arrow tables to the few that texts and labels are read from."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tellapart.errors import DataError


def plain_column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    """Returns a column as strings, numbers, truth values or lists of them.

    Encodings are undone: dictionaries, run lengths, views, extension types of strings. Half floats become float32.
    Decimals become strings, without the fraction if all of them are whole. Bytes are read as UTF-8: some tools write
    the strings of a Parquet file so. Other types, such as dates and objects, are returned as they are.

    Args:
        table: The rows.
        name: The column.
        where: Name of the data in messages.

    Raises:
        DataError: Bytes are not UTF-8.
    """
    try:
        return _plain(table[name])
    except UnicodeDecodeError as error:
        raise DataError(
            f'the column "{name}" of {where} holds bytes that are not UTF-8 ({error.object[:20]!r})',
            "decode them to texts, or name another column",
        ) from error


def check_names(names: Sequence[str], where: str) -> None:
    """Checks that no two columns have the same name.

    Raises:
        DataError: Two of them have.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f'{where} has two columns named "{name}"', "rename one of them")
        seen.add(name)


def is_string(kind: pa.DataType) -> bool:
    """Whether a column type is a string, plain or categorical."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column type is a list."""
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column type is bytes, of any encoding."""
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType) and is_string(kind.storage_type):  # such as pa.json_()
        return _plain(pa.chunked_array([chunk.storage for chunk in values.chunks], kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _plain(values.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(values))
    if pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    if pa.types.is_decimal(kind):
        return _decimals(values)
    if is_bytes(kind):
        return _decoded(values)
    if not is_list(kind):
        return values
    items = _plain(pc.list_flatten(values))
    view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    if not view and items.type == kind.value_type:
        return values
    lengths = pc.if_else(values.is_valid(), pc.list_value_length(values), None)
    return pa.chunked_array([_relisted(lengths, items)])  # pyarrow's cast of views makes invalid arrays


def _relisted(lengths: pa.ChunkedArray, items: pa.ChunkedArray) -> pa.Array:
    """Returns lists of these lengths, null where the length is, over consecutive items."""
    offsets, end = [], 0
    for length in lengths.to_pylist():
        offsets.append(None if length is None else end)
        end += length or 0
    return pa.LargeListArray.from_arrays(pa.array([*offsets, end], pa.int64()), items.combine_chunks())


def _decimals(values: pa.ChunkedArray) -> pa.ChunkedArray:
    written = values.cast(pa.string())
    whole = pc.all(pc.match_substring_regex(written, r"^[+-]?\d+(\.0*)?$")).as_py()
    return pc.replace_substring_regex(written, r"\.0*$", "") if whole else written


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return values.cast(pa.large_string())
    except pa.ArrowInvalid:
        for value in values.to_pylist():
            if value is not None:
                value.decode()  # raises at the first that is not UTF-8
        raise
