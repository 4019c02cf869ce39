"""Writes sequences as shards of bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from tellapart.pretraining.sequences import SequenceBlock
from tellapart.pretraining.shards import STARTS, TOKENS, WORDS, ShardFacts, file_facts


class PartFacts(BaseModel):
    """Counts and shards of a part of the texts; names of shards are those within the corpus folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int = 0
    empty: int = 0
    cut: int = 0
    shards: tuple[ShardFacts, ...] = ()


@dataclass(frozen=True)
class ShardFormat:
    """How shards are written.

    Args:
        tokens: Maximum number of tokens per shard, at most 2³² - 1.
        dtype: Type of the token ids, `uint16` or `int32`.
        whole_words: Whether to write the starts of words.
    """

    tokens: int
    dtype: str
    whole_words: bool


def write_part(blocks: Iterable[SequenceBlock], folder: Path, name: str, shape: ShardFormat) -> PartFacts:
    """Writes the sequences of a part into shards.

    Args:
        blocks: The sequences.
        folder: An empty folder.
        name: Name of the part's folder in the corpus folder.
        shape: How shards are written.
    """
    counts = dict.fromkeys(("texts", "empty", "cut"), 0)
    shards: list[ShardFacts] = []
    writer: _ShardWriter | None = None
    try:
        for block in blocks:
            counts = {key: count + getattr(block, key) for key, count in counts.items()}
            done = 0
            while done < len(block.lengths):
                writer = writer or _ShardWriter(folder, f"{len(shards):03d}", shape)
                done += writer.write(block, done)
                if done < len(block.lengths):  # the shard is full
                    shards.append(writer.finish(name))
                    writer = None
        if writer is not None:
            shards.append(writer.finish(name))
    finally:
        if writer is not None:
            writer.close()
    return PartFacts(**counts, shards=tuple(shards))


class _ShardWriter:
    """Appends sequences to the files of one shard."""

    def __init__(self, folder: Path, name: str, shape: ShardFormat) -> None:
        self._folder, self._name, self._most = folder, name, shape.tokens
        self._files = {
            kind: _NpyWriter(folder / f"{name}.{kind}.npy", dtype)
            for kind, dtype in ((TOKENS, shape.dtype), (STARTS, "uint32"), (WORDS, "bool"))
            if kind != WORDS or shape.whole_words
        }
        self._files[STARTS].write(np.zeros(1))
        self._tokens = self._sequences = 0

    def write(self, block: SequenceBlock, first: int) -> int:
        """Appends the sequences of a block from `first` that fit, but at least one to an empty shard.

        Returns:
            The number of sequences written.
        """
        ends = np.cumsum(block.lengths[first:])
        count = int(np.searchsorted(ends, self._most - self._tokens, side="right"))
        if not count and not self._sequences:
            count = 1
        if not count:
            return 0
        begin = int(block.lengths[:first].sum())
        end = begin + int(ends[count - 1])
        self._files[STARTS].write(self._tokens + ends[:count])
        self._files[TOKENS].write(block.ids[begin:end])
        if WORDS in self._files:
            self._files[WORDS].write(block.words[begin:end])
        self._tokens += end - begin
        self._sequences += count
        return count

    def finish(self, part: str) -> ShardFacts:
        """Completes the files and returns their facts."""
        for file in self._files.values():
            file.finish()
        facts = {kind: file_facts(self._folder / f"{self._name}.{kind}.npy") for kind in self._files}
        return ShardFacts(
            name=f"{part}/{self._name}", sequences=self._sequences, tokens=self._tokens, files=facts
        )

    def close(self) -> None:
        """Closes the files, whether they are complete or not."""
        for file in self._files.values():
            file.close()


class _NpyWriter:
    """Appends to a flat .npy file of initially unknown length."""

    def __init__(self, path: Path, dtype: Any) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._file = path.open("wb")
        self._length = 0
        self._write_header()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)  # has the same size for any length

    def write(self, values: np.ndarray) -> None:
        """Appends values."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._length += len(values)

    def finish(self) -> None:
        """Writes the length, and has the system write the file to the disk."""
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
