"""Corpora tokenised once into memory-mapped files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tellapart.errors import DataError, ModelError
from tellapart.files import replacing
from tellapart.pretraining.texts import TextSource

META_FILE, TOKENS_FILE, LENGTHS_FILE, WORDS_FILE = "meta.json", "tokens.npy", "lengths.npy", "words.npy"

SequenceKind = Literal["lines", "documents"]

# Maximum texts and characters per tokeniser call.
_BATCH_TEXTS, _BATCH_CHARACTERS = 2048, 1 << 22


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


class Corpus:
    """Token ids of all sequences in one flat array on disk.

    Args:
        folder: The folder written by `build_corpus`.

    Attributes:
        facts: Metadata and counts.
        tokens: int32 (T,), memory-mapped, without special tokens.
        lengths: Tokens of each sequence, int64 (N,), without special tokens.
        starts: Start of each sequence in `tokens`, int64 (N,).
        words: Whether each token begins a word, bool (T,); None if not recorded.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        meta = json.loads((self.folder / META_FILE).read_text(encoding="utf-8"))
        self.facts = CorpusFacts(**meta | {name: tuple(meta[name]) for name in ("prefix", "suffix")})
        self.tokens = np.load(self.folder / TOKENS_FILE, mmap_mode="r")
        self.lengths = np.load(self.folder / LENGTHS_FILE).astype(np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        words = self.folder / WORDS_FILE
        self.words = np.load(words, mmap_mode="r") if words.is_file() else None

    def __len__(self) -> int:
        return len(self.lengths)

    def __reduce__(self) -> tuple[type[Corpus], tuple[Path]]:
        """Pickles the path instead of the content, for spawned workers."""
        return Corpus, (self.folder,)

    @property
    def widths(self) -> np.ndarray:
        """Tokens of each sequence, special tokens included, int64 (N,)."""
        return self.lengths + len(self.facts.prefix) + len(self.facts.suffix)


def build_corpus(
    source: TextSource,
    tokenizer: Any,
    folder: str | Path,
    *,
    max_length: int,
    sequences: SequenceKind = "lines",
    whole_words: bool = False,
    must_match: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> Corpus:
    """Tokenises texts, or reuses the same corpus if the folder has it.

    Args:
        source: The texts.
        tokenizer: A Transformers tokeniser.
        folder: Output folder, written atomically.
        max_length: Maximum length of a sequence in tokens, special tokens included.
        sequences: `lines`: each non-empty line is a sequence, longer ones are split into equal parts.
            `documents`: each document is split into sequences of full length.
        whole_words: Whether to record the starts of words, as split by the tokeniser.
        must_match: Whether to raise if the folder holds another corpus, instead of replacing it.
        progress: Called with the number of texts after each batch.

    Raises:
        DataError: There is no text, a file is not text, or (`must_match`) the folder holds another corpus.
        ModelError: The tokeniser does not support `whole_words`.
    """
    target = Path(folder)
    prefix, suffix = special_ends(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    if whole_words and not getattr(tokenizer, "is_fast", False):
        raise ModelError("this tokeniser does not map tokens to words", "leave out whole_words")
    fingerprint = _fingerprint(source, tokenizer, max_length, sequences, whole_words)
    if (target / META_FILE).is_file():
        found = Corpus(target)
        if found.facts.fingerprint == fingerprint:
            return found
        if must_match:
            raise DataError(
                "the texts, the tokeniser or the length differ from those of the interrupted run",
                "use the same ones, or start again with --overwrite",
            )
    with replacing(target) as temporary:
        temporary.mkdir()
        counts = _write(source, tokenizer, temporary, room, sequences, whole_words, progress)
        if not counts["sequences"]:
            raise DataError(f"there is no text in {source.name}", "give a file with lines of text")
        facts = CorpusFacts(fingerprint, prefix, suffix, **counts)
        (temporary / META_FILE).write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")
    return Corpus(target)


def special_ends(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the special tokens that a tokeniser puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    inside = [place for place, is_special in enumerate(special) if not is_special]
    return tuple(ids[: inside[0]]), tuple(ids[inside[-1] + 1 :])


def _fingerprint(source: TextSource, tokenizer: Any, *settings: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    described = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    parts = [source.fingerprint, hashlib.sha256(described.encode()).hexdigest(), json.dumps(settings)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _write(
    source: TextSource,
    tokenizer: Any,
    folder: Path,
    room: int,
    sequences: SequenceKind,
    whole_words: bool,
    progress: Callable[[int], Any] | None,
) -> dict[str, int]:
    """Streams the texts through the tokeniser into the files; returns the counts of `CorpusFacts`."""
    counts = dict.fromkeys(("texts", "empty", "cut", "sequences", "tokens"), 0)
    with (
        _npy_writer(folder / TOKENS_FILE, np.int32) as write_tokens,
        _npy_writer(folder / LENGTHS_FILE, np.int32) as write_lengths,
        _npy_writer(folder / WORDS_FILE, np.bool_) if whole_words else nullcontext() as write_words,
    ):
        for unit in _tokenised(source, tokenizer, sequences, whole_words, progress):
            found = 0
            for ids, starts in unit:
                write_tokens(ids)
                if write_words:
                    write_words(starts)
                found += len(ids)
            if not found:
                counts["empty"] += 1
                continue
            parts = _cut(found, room, sequences)
            write_lengths(parts)
            counts["texts"] += 1
            counts["cut"] += len(parts) > 1
            counts["sequences"] += len(parts)
            counts["tokens"] += found
    return counts


def _cut(tokens: int, room: int, sequences: SequenceKind) -> np.ndarray:
    """Returns the lengths of the sequences of a text with `tokens` tokens."""
    if sequences == "documents":
        full, rest = divmod(tokens, room)
        return np.array([room] * full + [rest] * (rest > 0))
    parts = -(-tokens // room)
    return np.full(parts, tokens // parts) + (np.arange(parts) < tokens % parts)


def _tokenised(
    source: TextSource,
    tokenizer: Any,
    sequences: SequenceKind,
    whole_words: bool,
    progress: Callable[[int], Any] | None,
) -> Iterator[Iterable[tuple[np.ndarray, np.ndarray]]]:
    """Yields, for each line or document, the ids and word starts of its pieces."""

    def encoded(texts: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in _batches(texts):
            yield from _encode(tokenizer, batch, whole_words)
            if progress is not None:
                progress(len(batch))

    if sequences == "lines" or not source.files:  # a row of a table is one text either way
        for piece in encoded(source.lines()):
            yield (piece,)
    else:
        yield from map(encoded, source.documents())


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= _BATCH_TEXTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _encode(
    tokenizer: Any, texts: Sequence[str], whole_words: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for row, ids in enumerate(encoded["input_ids"]):
        starts = np.ones(len(ids), dtype=np.bool_)
        if whole_words and len(ids):
            # Special tokens spelled out in a text belong to no word (None): each counts as a word.
            words = np.array([-1 if word is None else word for word in encoded.word_ids(row)])
            starts[1:] = (words[1:] != words[:-1]) | (words[1:] < 0)
        yield np.array(ids, dtype=np.int32), starts


@contextmanager
def _npy_writer(path: Path, dtype: Any) -> Iterator[Callable[[np.ndarray], Any]]:
    """Yields a function that appends to a flat .npy file of initially unknown length."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (0,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # has the same size for any length
        start = file.tell()
        yield lambda values: file.write(np.ascontiguousarray(values, dtype=dtype).data)
        header["shape"] = ((file.tell() - start) // np.dtype(dtype).itemsize,)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header)


def sequence_notes(facts: CorpusFacts, sequences: SequenceKind, max_length: int) -> list[str]:
    """Returns notes on a corpus for the user."""
    notes = [f"{facts.sequences:,} sequences with {facts.tokens:,} tokens."]
    if facts.cut and sequences == "lines":
        notes.append(f"{facts.cut:,} line(s) were longer than {max_length} tokens and were split.")
    if facts.empty:
        notes.append(f"{facts.empty:,} empty line(s) were skipped.")
    return notes
