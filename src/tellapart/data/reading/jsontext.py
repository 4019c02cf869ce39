"""Parses JSON and JSON Lines, and refuses what would crash a reader or be lost without a word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tellapart.data.reading.textfiles import kind_of
from tellapart.data.reading.unpacking import open_file
from tellapart.errors import DataError

MOST_NESTING = 100
"""Levels of lists and objects beyond which JSON is refused."""

LONGEST_LINE = 1 << 26
"""Bytes of a line of JSON beyond which it is refused, 64 MiB: twice the longest that pyarrow reads."""

_DEEP = f"nested more than {MOST_NESTING} levels deep"
_NOT_DEEP = "write its values as plain texts, numbers and lists"

# Lines that pyarrow reads safely begin and end with an object and have few brackets, in texts or not. The others are
# checked by a slower parser: pyarrow dies of a first value that is null, and of deep nesting, also over many lines.
_UNCERTAIN = re.compile(rb"^[ \t\r]*+[^{ \t\r\n]|^(?:[^\[{\n]*+[\[{]){%d}" % (MOST_NESTING + 1), re.MULTILINE)
_OPEN_END = re.compile(rb"[^} \t\r\n][ \t\r]*+\n")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _RepeatedKeyError(Exception):
    """A key that occurs twice in an object."""


def parse_json(written: str, where: str) -> Any:
    """Parses one JSON value.

    Args:
        written: The JSON.
        where: Its file or cell, the subject of messages.

    Raises:
        json.JSONDecodeError: It is no JSON.
        DataError: It is nested more than `MOST_NESTING` levels deep, an object has the same key twice, a number has
            thousands of digits, or a text holds half of a surrogate pair, which is no Unicode.
    """
    try:
        value = _DECODER.decode(written)
    except json.JSONDecodeError:
        raise
    except (_RepeatedKeyError, RecursionError, ValueError) as error:
        raise _refused(error, where) from None
    if is_deep(value):
        raise DataError(f"{where} is {_DEEP}", _NOT_DEEP)
    if _SURROGATE.search(written) and not _is_unicode(value):
        raise DataError(
            f"{where} has half of a surrogate pair (such as \\ud83d), which is no character",
            "write both halves, or remove it",
        )
    return value


def is_deep(value: Any) -> bool:
    """Whether a value of JSON has more than `MOST_NESTING` levels of lists and objects."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(MOST_NESTING):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for items in inner for each in items if isinstance(each, list | dict)]
        if not level:
            return False
    return True


def check_json_lines(path: Path, block_bytes: int) -> None:
    """Checks that every value of a JSON Lines file is an object that pyarrow can read safely.

    Args:
        path: The file; values may span several lines.
        block_bytes: Bytes that are read at once.

    Raises:
        DataError: A value is no object, an object is nested too deep, or a line is longer than `LONGEST_LINE`.
    """
    line = 1
    for block in line_blocks(path, block_bytes):
        if _is_uncertain(block):
            _check_values(block.decode("utf-8-sig" if line == 1 else "utf-8"), line, path)
        line += block.count(b"\n")


def line_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    """Yields a file in blocks of whole lines that are not all blank.

    Raises:
        DataError: A line is longer than `LONGEST_LINE`, or the file unpacks to too much.
    """
    parts: list[bytes] = []
    with open_file(path) as stream:
        while read := stream.read(block_bytes):
            # the last block keeps its last line, so that the objects of a small file may span several lines
            end = read.rfind(b"\n") + 1 if len(read) == block_bytes else len(read)
            if end:
                block = b"".join([*parts, read[:end]])
                parts = []
                yield block
            parts.append(read[end:])
            if sum(map(len, parts)) > LONGEST_LINE:
                raise DataError(
                    f"{path} has a line of more than {LONGEST_LINE >> 20} MiB", "write one object per line"
                )
    if any(parts):
        yield b"".join(parts)


def _is_uncertain(block: bytes) -> bool:
    # Counting is faster than the search, and enough for most files.
    closed = block.count(b"}\n") + block.count(b"}\r\n")
    if closed < block.count(b"\n") and _OPEN_END.search(block):
        return True
    return _UNCERTAIN.search(block) is not None


def _check_values(written: str, line: int, path: Path) -> None:
    """Goes through the values of consecutive lines, the first of which has the number `line`."""
    for number, value in _values(written, line, path, _DECODER):
        if not isinstance(value, dict):
            kind = "null" if value is None else kind_of(value)
            raise DataError(f"line {number} of {path} is {kind}", "write one object per line")
        if is_deep(value):
            raise DataError(f"line {number} of {path} is {_DEEP}", _NOT_DEEP)


def _values(written: str, line: int, path: Path, decoder: json.JSONDecoder) -> Iterator[tuple[int, Any]]:
    """Yields the values of consecutive lines, the first of which has the number `line`, with their lines."""
    place, counted = 0, 0
    while (place := _SPACE.match(written, place).end()) < len(written):  # type: ignore[union-attr]
        line += written.count("\n", counted, place)
        counted = place
        try:
            value, place = decoder.raw_decode(written, place)
        except json.JSONDecodeError as error:
            # What is missing before the first character of a line is missing at the end of the one before.
            at = line + written.count("\n", place, max(place, len(written[: error.pos].rstrip())))
            raise DataError(
                f"line {at} of {path} is not JSON ({error.msg})", "write one object per line"
            ) from None
        except (_RepeatedKeyError, RecursionError, ValueError) as error:
            raise _refused(error, f"line {line} of {path}") from None
        yield line, value


def json_objects(
    path: Path, block_bytes: int, chosen: Callable[[bytes], bool] = lambda _: True
) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSON Lines file; numbers with a fraction or an exponent are `Fraction`, as written.

    Args:
        path: A file that `check_json_lines` has checked.
        block_bytes: Bytes that are read at once.
        chosen: Whether a block of lines is to be read; called for one after the other.
    """
    line = 1
    for block in line_blocks(path, block_bytes):
        if chosen(block):
            for _, value in _values(block.decode("utf-8-sig"), line, path, _WRITTEN):
                yield value
        line += block.count(b"\n")


def _refused(error: Exception, where: str) -> DataError:
    """Returns the error for JSON that Python's decoder does not read although it is JSON."""
    if isinstance(error, _RepeatedKeyError):
        return DataError(f'{where} has the key "{error}" twice in one object', "leave one of them out")
    if isinstance(error, RecursionError):
        return DataError(f"{where} is {_DEEP}", _NOT_DEEP)
    # Python's limit for integers, 4,300 digits
    return DataError(f"{where} has a number of thousands of digits", "write it as a text, or leave it out")


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return content


class Fraction(str):
    """A number of JSON with a fraction or an exponent, as it is written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated)
_WRITTEN = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_float=Fraction)
_SPACE = re.compile(r"[ \t\r\n]*+")
