"""Format of a tokenised corpus: shards of memory-mapped `.npy` files and one JSON index.

A corpus folder holds `index.json` (`CorpusIndex`) and one folder per part of the texts. A part has one or more
shards, `000`, `001` …, each of these files:

- `000.tokens.npy`: token ids of all sequences of the shard, uint16 or int32 (T,), without special tokens
- `000.starts.npy`: start of each sequence in the tokens, uint32 (N + 1,); the last number is T
- `000.words.npy`: whether each token begins a word, bool (T,), if that was recorded
"""

from __future__ import annotations

import hashlib
import mmap
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from tellapart.errors import DataError, damaged

INDEX_FILE = "index.json"

TOKENS, STARTS, WORDS = "tokens", "starts", "words"
"""Kinds of files of a shard."""

REMEDY = "delete that folder and repeat the command, which builds it again from the texts"

_Content = TypeVar("_Content", bound=BaseModel)


class FileFacts(BaseModel):
    """Size and SHA-256 of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class ShardFacts(BaseModel):
    """One shard: where it is, what it holds, and its files by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sequences: int
    tokens: int
    files: dict[str, FileFacts]

    def path(self, folder: Path, kind: str) -> Path:
        """Returns the path of a file of the shard in a corpus folder."""
        return folder / f"{self.name}.{kind}.npy"


@dataclass(frozen=True)
class CorpusFacts:
    """Metadata and counts of a corpus.

    Args:
        fingerprint: SHA-256 of the texts, the tokeniser and the settings.
        prefix: Special tokens before each sequence.
        suffix: Special tokens after each sequence.
        texts: Number of lines or documents with tokens.
        empty: Number of lines or documents without tokens.
        cut: Number of texts that were split into several sequences.
        sequences: Number of sequences.
        tokens: Number of tokens, without special tokens.
    """

    fingerprint: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    texts: int
    empty: int
    cut: int
    sequences: int
    tokens: int

    @property
    def mean_width(self) -> float:
        """Mean tokens per sequence, special tokens included."""
        return self.tokens / max(1, self.sequences) + len(self.prefix) + len(self.suffix)


class CorpusIndex(BaseModel):
    """Content of `index.json`: the facts of a corpus and its shards in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    facts: CorpusFacts
    shards: tuple[ShardFacts, ...]


def read_model(kind: type[_Content], file: Path, remedy: str = REMEDY) -> _Content:
    """Reads a JSON file that this package wrote.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise damaged(f"file {file}", error, remedy) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error})", remedy) from error


def file_facts(path: Path) -> FileFacts:
    """Returns the size and the SHA-256 of a file, which is read once."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(bytes=path.stat().st_size, sha256=digest)


def check_files(folder: Path, shards: Sequence[ShardFacts], *, contents: bool = False) -> None:
    """Checks that the files of all shards are there in full size.

    Args:
        folder: The corpus folder.
        shards: The shards.
        contents: Whether to compare the checksums too, for which all files are read.

    Raises:
        DataError: A file is missing or damaged.
    """
    for shard in shards:
        for kind, facts in shard.files.items():
            path = shard.path(folder, kind)
            if not path.is_file():
                raise DataError(f"the corpus in {folder} is damaged, {path.name} is missing", REMEDY)
            size = path.stat().st_size
            if size != facts.bytes:
                raise DataError(
                    f"the corpus in {folder} is damaged, {path.relative_to(folder)} has {size:,} bytes "
                    f"instead of {facts.bytes:,}",
                    REMEDY,
                )
            if contents and file_facts(path) != facts:
                raise DataError(
                    f"the corpus in {folder} is damaged, {path.relative_to(folder)} has another checksum than when "
                    "it was written",
                    REMEDY,
                )


class ShardArrays(Protocol):
    """The arrays of numbered shards, memory-mapped or computed; each can be indexed by an array of places."""

    def starts(self, shard: int) -> Any:
        """Start of each sequence and the number of tokens, integers (N + 1,)."""

    def tokens(self, shard: int) -> Any:
        """Token ids, integers (T,)."""

    def words(self, shard: int) -> Any | None:
        """Whether each token begins a word, bool (T,); None if not recorded."""


class ShardFiles:
    """Memory-mapped arrays of shards, of which a bounded number is open at a time.

    Args:
        folder: The corpus folder.
        shards: Its shards.
        most_open: Maximum number of open files; by default half of what the system allows the process.
    """

    def __init__(self, folder: Path, shards: Sequence[ShardFacts], most_open: int | None = None) -> None:
        self._folder, self._shards = folder, shards
        self._most_open = most_open or _open_files() // 2
        self._open: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def starts(self, shard: int) -> np.ndarray:
        """Start of each sequence and the number of tokens, uint32 (N + 1,)."""
        return self._array(STARTS, shard, self._shards[shard].sequences + 1)

    def tokens(self, shard: int) -> np.ndarray:
        """Token ids, uint16 or int32 (T,)."""
        return self._array(TOKENS, shard, self._shards[shard].tokens)

    def words(self, shard: int) -> np.ndarray | None:
        """Whether each token begins a word, bool (T,); None if not recorded."""
        facts = self._shards[shard]
        return self._array(WORDS, shard, facts.tokens) if WORDS in facts.files else None

    def _array(self, kind: str, shard: int, length: int) -> np.ndarray:
        key = (kind, shard)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        if len(self._open) >= self._most_open:
            self._open.popitem(last=False)
        array = mapped(self._shards[shard].path(self._folder, kind))
        if array.shape != (length,):
            raise DataError(
                f"the corpus in {self._folder} is damaged, {self._shards[shard].name}.{kind}.npy has the shape "
                f"{array.shape} instead of ({length},)",
                REMEDY,
            )
        self._open[key] = array
        return array


def mapped(path: Path) -> np.ndarray:
    """Returns the memory-mapped array of a `.npy` file, to be read at random places.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error})", REMEDY) from error
    if hasattr(mmap, "MADV_RANDOM") and array._mmap is not None:
        # Else the system reads 128 KiB around each sequence that is not in memory yet.
        array._mmap.madvise(mmap.MADV_RANDOM)
    return np.asarray(array)  # indexing the subclass is slower


def _open_files() -> int:
    """Returns the number of files that this process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 16 if soft == resource.RLIM_INFINITY else max(16, min(soft, 1 << 16))
