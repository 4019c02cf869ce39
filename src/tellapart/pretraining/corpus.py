"""Corpora tokenised once into shards on disk, of which memory holds only the index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import DataError, ModelError
from tellapart.files import replacing, write_json
from tellapart.pretraining.building import SHARD_MIB, STAMPS_FILE, ShardBuilder
from tellapart.pretraining.earlier_corpus import META_FILE, EarlierArrays, read_facts
from tellapart.pretraining.sequences import SequenceKind, SequenceMaker, special_ends
from tellapart.pretraining.shards import (
    INDEX_FILE,
    CorpusFacts,
    CorpusIndex,
    ShardArrays,
    ShardFiles,
    check_files,
    read_model,
)
from tellapart.pretraining.texts import TextSource, with_stamps


class ShardedSequences:
    """Sequences of tokens in numbered shards; memory holds two numbers per shard and nothing per sequence.

    Args:
        facts: Metadata and counts.
        counts: Number of sequences of each shard.
        arrays: The arrays of the shards.
    """

    def __init__(self, facts: CorpusFacts, counts: np.ndarray, arrays: ShardArrays) -> None:
        self.facts, self._arrays = facts, arrays
        self._ends = np.cumsum(np.asarray(counts, dtype=np.int64))
        self._firsts = self._ends - counts

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def mean_width(self) -> float:
        """Mean tokens per sequence, special tokens included."""
        return self.facts.mean_width

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self._ends)

    def widths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of some sequences, special tokens included, int64 (B,)."""
        _, _, lengths = self._found(np.asarray(rows))
        return lengths + len(self.facts.prefix) + len(self.facts.suffix)

    def tokens(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Reads some sequences.

        Args:
            rows: Their numbers, (B,).

        Returns:
            Token ids without special tokens, int64 (B, L), 0 beyond the end of a sequence; the length of each
            sequence, int64 (B,); and whether each token begins a word, bool (B, L), or None if not recorded.
        """
        parts, starts, lengths = self._found(np.asarray(rows))
        ids = np.zeros((len(lengths), int(lengths.max(initial=0))), dtype=np.int64)
        begins = np.ones(ids.shape, dtype=np.bool_) if self._arrays.words(0) is not None else None
        # All tokens of these sequences, one after the other and shard by shard.
        order = np.concatenate([chosen for _, chosen in parts])
        counts = lengths[order]
        ends = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        places = within + np.repeat(starts[order], counts)
        to = within + np.repeat(order * ids.shape[1], counts)
        first = done = 0
        for shard, chosen in parts:
            done += len(chosen)
            last = int(ends[done - 1])
            where = places[first:last]
            ids.ravel()[to[first:last]] = self._arrays.tokens(shard)[where]
            words = self._arrays.words(shard)
            if begins is not None and words is not None:
                begins.ravel()[to[first:last]] = words[where]
            first = last
        return ids, lengths, begins

    def _found(self, rows: np.ndarray) -> tuple[list[tuple[int, np.ndarray]], np.ndarray, np.ndarray]:
        """Finds some sequences.

        Returns:
            Each shard with the places of its sequences in `rows`, ascending; the start of each sequence in its shard
            and its length, int64 (B,).
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"there are {len(self)} sequences")
        shards = np.searchsorted(self._ends, rows, side="right")
        order = np.argsort(shards, kind="stable")
        sorted_shards = shards[order]
        firsts = np.flatnonzero(np.diff(sorted_shards, prepend=-1))
        within = (rows - self._firsts[shards])[order, None] + np.arange(2)
        bounds = np.empty((len(rows), 2), dtype=np.int64)
        parts = []
        for first, last in zip(firsts.tolist(), [*firsts[1:].tolist(), len(rows)], strict=True):
            shard = int(sorted_shards[first])
            parts.append((shard, order[first:last]))
            bounds[first:last] = self._arrays.starts(shard)[within[first:last]]
        starts, ends = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
        starts[order], ends[order] = bounds.T
        return parts, starts, ends - starts


class Corpus(ShardedSequences):
    """A tokenised corpus in a folder.

    Args:
        folder: The folder written by `build_corpus`, of this or of an earlier version.
        check: Whether to compare the checksums of all shards, for which they are read.

    Attributes:
        facts: Metadata and counts.
        earlier: Whether an earlier version wrote it, as one shard: lengths and starts are in memory, and runs on it
            keep the order of that version.

    Raises:
        DataError: A file is missing or damaged.
    """

    def __init__(self, folder: str | Path, *, check: bool = False) -> None:
        self.folder = Path(folder)
        self.earlier = not (self.folder / INDEX_FILE).is_file() and (self.folder / META_FILE).is_file()
        if self.earlier:
            facts = read_facts(self.folder)
            super().__init__(facts, np.array([facts.sequences]), EarlierArrays(self.folder, facts))
            return
        index = read_model(CorpusIndex, self.folder / INDEX_FILE)
        check_files(self.folder, index.shards, contents=check)
        counts = np.array([shard.sequences for shard in index.shards])
        super().__init__(index.facts, counts, ShardFiles(self.folder, index.shards))

    def __reduce__(self) -> tuple[type[Corpus], tuple[Path]]:
        """Pickles the path instead of the content, for spawned workers."""
        return Corpus, (self.folder,)


def build_corpus(
    source: TextSource,
    tokenizer: Any,
    folder: str | Path,
    *,
    max_length: int,
    sequences: SequenceKind = "lines",
    whole_words: bool = False,
    must_match: bool = False,
    workers: int | None = None,
    shard_mib: float = SHARD_MIB,
    check: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> Corpus:
    """Tokenises texts into shards, or reuses the same corpus if the folder has it.

    A build that was killed goes on where it was: finished parts stay. The shards are the same with any number of
    processes, and the sequences with any size of shards.

    Args:
        source: The texts.
        tokenizer: A Transformers tokeniser.
        folder: Output folder, which appears when all shards are written; until then they are in a folder beside it.
        max_length: Maximum length of a sequence in tokens, special tokens included.
        sequences: `lines`: each non-empty line is a sequence, longer ones are split into equal parts.
            `documents`: each document is split into sequences of full length.
        whole_words: Whether to record the starts of words, as split by the tokeniser.
        must_match: Whether to raise if the folder holds another corpus, instead of replacing it.
        workers: Processes that tokenise text files of more than one shard; None for one per core.
        shard_mib: Maximum size of a shard's tokens in MiB.
        check: Whether to compare the checksums of a corpus that the folder has already.
        progress: Called with the number of texts after each batch.

    Raises:
        DataError: There is no text, a file is not text, the corpus in the folder is damaged, or (`must_match`) it is
            another one.
        ModelError: The tokeniser does not support `whole_words`.
        OutputError: The folder cannot be written.
    """
    target = Path(os.path.realpath(folder))  # a link may lead to another disk
    building = unfinished_folder(target)
    prefix, suffix = special_ends(tokenizer)
    if whole_words and not getattr(tokenizer, "is_fast", False):
        raise ModelError("this tokeniser does not map tokens to words", "leave out whole_words")
    fingerprint = _fingerprint(source, tokenizer, max_length, sequences, whole_words)
    if any((target / name).is_file() for name in (INDEX_FILE, META_FILE)):
        found = Corpus(target, check=check)
        if found.facts.fingerprint == fingerprint:
            return found
        if must_match:
            raise DataError(
                "the texts, the tokeniser or the length differ from those of the interrupted run",
                "use the same ones, or start again with --overwrite",
            )
    maker = SequenceMaker(tokenizer, max_length - len(prefix) - len(suffix), sequences, whole_words)
    try:
        parts = ShardBuilder(maker, shard_mib, workers).build(source, building, fingerprint, progress)
        shards = [shard for part in parts for shard in part.shards]
        if not shards:
            raise DataError(f"there is no text in {source.name}", "give a file with lines of text")
    except DataError:  # only with other texts can it go on
        shutil.rmtree(building, ignore_errors=True)
        raise
    facts = CorpusFacts(
        fingerprint,
        prefix,
        suffix,
        **{name: sum(getattr(part, name) for part in parts) for name in ("texts", "empty", "cut")},
        **{name: sum(getattr(shard, name) for shard in shards) for name in ("sequences", "tokens")},
    )
    write_json(building / INDEX_FILE, CorpusIndex(facts=facts, shards=tuple(shards)).model_dump(mode="json"))
    shutil.rmtree(target, ignore_errors=True)
    with replacing(target) as temporary:
        building.replace(temporary)
    return Corpus(target)


def unfinished_folder(folder: Path) -> Path:
    """Returns the folder in which `build_corpus` collects the shards of a corpus until all are written."""
    return folder.with_name(folder.name + ".unfinished")


def stamped(source: TextSource, folder: Path) -> TextSource:
    """Returns the texts with the fingerprints of the files that a corpus in a folder was built from.

    Files of the same size and time of change need not be read again to see that they are the same.
    """
    folder = Path(os.path.realpath(folder))
    return with_stamps(source, folder / STAMPS_FILE, unfinished_folder(folder) / STAMPS_FILE)


def _fingerprint(source: TextSource, tokenizer: Any, *settings: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    described = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    parts = [source.fingerprint, hashlib.sha256(described.encode()).hexdigest(), json.dumps(settings)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sequence_notes(facts: CorpusFacts, sequences: SequenceKind, max_length: int) -> list[str]:
    """Returns notes on a corpus for the user."""
    notes = [f"{facts.sequences:,} sequences with {facts.tokens:,} tokens."]
    if facts.cut and sequences == "lines":
        notes.append(f"{facts.cut:,} line(s) were longer than {max_length} tokens and were split.")
    if facts.empty:
        notes.append(f"{facts.empty:,} empty line(s) were skipped.")
    return notes
