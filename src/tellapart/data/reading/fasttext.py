"""Reads the training files of fastText: lines of labels with a prefix, then the text."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from tellapart.data.reading.unpacking import open_file
from tellapart.errors import DataError

PREFIX = "__label__"
"""fastText's prefix of labels (Joulin et al. 2017, arXiv:1607.01759)."""

SUFFIXES = (".txt", ".ft", ".train", ".valid", ".test")
"""Suffixes of files that are read so if their first line that is not blank begins with `PREFIX`."""

_ONE_LABEL = {b"tellapart": b"one label"}  # metadata of a column
_LABEL = re.compile(rf"(?<!\S){PREFIX}(\S+)\s?")
_BEGINNING = 1 << 16


def is_fasttext(path: Path) -> bool:
    """Whether a file is in fastText's format, by its suffix and its beginning."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    with open_file(path) as stream:
        return stream.read(_BEGINNING).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(PREFIX.encode())


def read_fasttext(path: Path) -> pa.Table:
    """Reads a file as the columns `text` and `label`; blank lines are skipped.

    `label` holds lists if any line has several labels; else it is marked for `has_one_label`.

    Raises:
        DataError: A line has no label; the message names the line.
        UnicodeDecodeError: The file is not UTF-8.
    """
    texts, labels = [], []
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            found = _LABEL.findall(line)
            if not found:
                raise DataError(
                    f"line {number} of {path} has no label, unlike its first line",
                    f"begin it with {PREFIX} and the label",
                )
            texts.append(_LABEL.sub("", line).strip())
            labels.append(found)
    if any(len(found) > 1 for found in labels):
        return pa.table({"text": texts, "label": pa.array(labels, pa.list_(pa.string()))})
    single = pa.field("label", pa.string(), metadata=_ONE_LABEL)
    schema = pa.schema([pa.field("text", pa.string()), single])
    return pa.table([texts, [name for (name,) in labels]], schema=schema)


def has_one_label(field: pa.Field) -> bool:
    """Whether a column was read from a fastText file in which every line has exactly one label."""
    return (field.metadata or {}).items() >= _ONE_LABEL.items()
