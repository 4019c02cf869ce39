"""Pre-training on corpora larger than memory: index and order at 10⁷ to 10¹² tokens, and reading from disks.

    python benchmarks/corpus_plan.py --data go_emotions

- **Sizes**: the classes that `tellapart pretrain` uses find the sequences of a step and make their batch, over
  virtual shards: lengths and token ids are computed from the number of the sequence, nothing is stored. Each size is
  a process of its own on one thread. Memory is the growth of the peak since the imports, times are processor time per
  step. The arrangement of version 0.1 is measured on the same lengths, as far as its memory allows.
- **Ranks**: processor time per step to find the rows, for several numbers of processes.
- **Resuming**: time to the first batch from a checkpoint in the middle of the third epoch.
- **Opening**: a corpus with as many real (tiny) shards as the plan has: seconds to open it and to check all sizes.
- **Reading**: real shards, of which the system's cache holds nothing: bytes read from the disk per sequence, with the
  advice that places are random, as tellapart gives it, and without. Linux only.
- **Tokenising**: tokens per second of one process, its peak memory for a short and a long text, and bytes per token.

The plan for 10¹¹ tokens is arithmetic on these figures. Results go to benchmarks/results/corpus_plan.json.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import math
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evidence import RESULTS
from memory import Peak
from pairs import command_of, write
from tellapart.data.reading.rows import read_data
from tellapart.encoders.loading import load_tokenizer
from tellapart.fitting.environment import environment
from tellapart.pretraining.arrangement import Arrangement, EarlierArrangement, StepSize, WindowedArrangement
from tellapart.pretraining.batches import MaskedSequences, Position, StepSampler
from tellapart.pretraining.building import SHARD_MIB
from tellapart.pretraining.corpus import Corpus, ShardedSequences, build_corpus
from tellapart.pretraining.masking import Masking
from tellapart.pretraining.sequences import SequenceBlock
from tellapart.pretraining.shard_writer import ShardFormat, write_part
from tellapart.pretraining.shards import INDEX_FILE, CorpusFacts, CorpusIndex
from tellapart.pretraining.texts import open_texts
from tellapart.threads import share_the_machine

LENGTH = 63
"""Mean tokens of a virtual sequence, without special tokens; lengths are from 1 to 125."""

VOCABULARY = 30_522
SHARD_TOKENS = SHARD_MIB * (1 << 20) // 2
PREFIX, SUFFIX = (101,), (102,)
STEPS = 640
PLANNED = 10**11
"""Tokens of the plan."""

GPU_TOKENS = 1_000_000
"""Tokens per second for which the plan states the reads."""


class Computed:
    """An array that is computed where it is indexed."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._function = function

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        return self._function(places)


class VirtualArrays:
    """Shards of sequences whose starts and tokens are functions of their numbers."""

    def starts(self, shard: int) -> Computed:
        def starts(places: np.ndarray) -> np.ndarray:
            offsets = (places * 40_503 ^ places >> 7) % LENGTH
            return (places * LENGTH + np.where(places == 0, 0, offsets)).astype(np.uint32)

        return Computed(starts)

    def tokens(self, shard: int) -> Computed:
        def tokens(places: np.ndarray) -> np.ndarray:
            return (1000 + (places * 40_503 + shard) % (VOCABULARY - 1000)).astype(np.uint16)

        return Computed(tokens)

    def words(self, shard: int) -> None:
        return None


def virtual(tokens: int) -> ShardedSequences:
    """Returns a corpus of about so many tokens of which nothing is stored."""
    sequences, full = tokens // LENGTH, SHARD_TOKENS // LENGTH
    counts = np.full(math.ceil(sequences / full), full)
    counts[-1] = sequences - full * (len(counts) - 1)
    facts = CorpusFacts("", PREFIX, SUFFIX, sequences, 0, 0, sequences, sequences * LENGTH)
    return ShardedSequences(facts, counts, VirtualArrays())


def masked(corpus: ShardedSequences) -> MaskedSequences:
    return MaskedSequences(corpus, Masking(103, np.arange(1000, VOCABULARY)), 0)


# ---- Measurements, each in a process of its own ----


def measure_size(tokens: int, batch_size: int) -> dict[str, Any]:
    """Returns memory and processor time per step over a virtual corpus."""
    peak, start = Peak("cpu"), time.process_time()
    corpus = virtual(tokens)
    sampler = StepSampler(corpus, STEPS, batch_size=batch_size)
    sequences = masked(corpus)
    opened = time.process_time() - start
    finding = making = 0.0
    requests = iter(sampler)
    for _ in range(STEPS):
        start = time.process_time()
        request = next(requests)
        found = time.process_time()
        assert request is not None
        sequences.batch(request.rows, request.epoch)
        finding, making = finding + found - start, making + time.process_time() - found
    return {
        "tokens": tokens,
        "sequences": len(corpus),
        "shards": corpus.shards,
        "memory": peak.bytes() - peak.before,
        "opening_seconds": opened,
        "finding_seconds": finding / STEPS,
        "making_seconds": making / STEPS,
    }


def measure_earlier(tokens: int, batch_size: int) -> dict[str, Any]:
    """Returns memory and processor time of the first epoch's arrangement in version 0.1."""
    peak, start = Peak("cpu"), time.process_time()
    arrangement: Arrangement = EarlierArrangement(virtual(tokens), StepSize(batch_size=batch_size))
    arrangement.steps(0, 0)
    seconds = time.process_time() - start
    return {"tokens": tokens, "memory": peak.bytes() - peak.before, "seconds": seconds}


def measure_ranks(tokens: int, ranks: int, batch_size: int) -> dict[str, Any]:
    """Returns the processor time per step that each process needs to find its rows."""
    size = StepSize(shares=ranks, batch_size=batch_size)
    arrangement = WindowedArrangement(virtual(tokens), size)
    windows = max(1, 256 // ranks)
    peak, start, steps = Peak("cpu"), time.process_time(), 0
    for window in range(windows):
        steps += len(arrangement.steps(0, window))
    seconds = (time.process_time() - start) / steps
    return {"ranks": ranks, "seconds": seconds, "memory": peak.bytes() - peak.before}


def measure_resuming(tokens: int, ranks: int, batch_size: int) -> dict[str, Any]:
    """Returns the seconds to the first batch after a checkpoint in the middle of the third epoch."""
    corpus = virtual(tokens)
    options: dict[str, Any] = {"batch_size": batch_size, "ranks": ranks}
    first = StepSampler(corpus, 1, **options)
    window = first.arrangement.windows // 2
    step = 2 * first.epoch_steps + window * 64
    start = time.process_time()
    requests = iter(StepSampler(corpus, step + 64, **options, start=Position(step, 2, window)))
    request = next(one for one in requests if one is not None)
    masked(corpus).batch(request.rows, request.epoch)
    return {"step": step, "ranks": ranks, "seconds": time.process_time() - start}


def blocks(sequences: int, shortest: int) -> Iterator[SequenceBlock]:
    """Yields random sequences of `LENGTH` tokens on average."""
    random = np.random.default_rng(0)
    for start in range(0, sequences, 4096):
        lengths = random.integers(shortest, 2 * LENGTH - shortest + 1, min(4096, sequences - start))
        ids = random.integers(1000, VOCABULARY, lengths.sum(), dtype=np.int32)
        yield SequenceBlock(ids, np.ones(len(ids), dtype=np.bool_), lengths, len(lengths), 0, 0)


def write_corpus(folder: Path, sequences: int, shard_tokens: int, shortest: int = 1) -> Corpus:
    """Writes a corpus of random sequences."""
    (folder / "part-000000").mkdir(parents=True)
    shape = ShardFormat(shard_tokens, "uint16", whole_words=False)
    part = write_part(blocks(sequences, shortest), folder / "part-000000", "part-000000", shape)
    counts = [sum(getattr(shard, name) for shard in part.shards) for name in ("sequences", "tokens")]
    facts = CorpusFacts("", PREFIX, SUFFIX, part.texts, 0, 0, *counts)
    index = CorpusIndex(facts=facts, shards=part.shards)
    (folder / INDEX_FILE).write_text(json.dumps(index.model_dump(mode="json"), indent=2))
    return Corpus(folder)


def measure_opening(shards: int) -> dict[str, Any]:
    """Returns the size of the index of a corpus with so many real shards, and the seconds to open it."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus = write_corpus(Path(scratch) / "c", 16 * shards, 16 * LENGTH, shortest=LENGTH)
        assert corpus.shards == shards
        seconds = []
        for _ in range(5):
            start = time.process_time()
            Corpus(corpus.folder)
            seconds.append(time.process_time() - start)
        tracemalloc.start()
        kept = Corpus(corpus.folder)
        memory, _ = tracemalloc.get_traced_memory()
        size = (kept.folder / INDEX_FILE).stat().st_size
        return {
            "shards": shards,
            "seconds": statistics.median(seconds),
            "index_bytes": size,
            "memory": memory,
        }


def measure_reading(sequences: int, advice: bool) -> dict[str, Any]:
    """Returns the bytes that the disk delivers per sequence in the shuffled order, without anything cached."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as scratch:
        corpus = write_corpus(Path(scratch) / "c", sequences, 16 << 20)
        for file in corpus.folder.rglob("*.npy"):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if not advice:
            with contextlib.suppress(AttributeError):
                del mmap.MADV_RANDOM
        dataset, before = masked(corpus), _read_bytes()
        start, rows = time.perf_counter(), 0
        for request in itertools.islice(StepSampler(corpus, 64, batch_size=32), 64):
            assert request is not None
            dataset.batch(request.rows, request.epoch)
            rows += len(request.rows)
        seconds, read = time.perf_counter() - start, _read_bytes() - before
        size = sum(file.stat().st_size for file in corpus.folder.rglob("*.npy"))
    return {"corpus_bytes": size, "sequences": rows, "bytes_per_sequence": read / rows, "seconds": seconds}


def _read_bytes() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["read_bytes"])


def measure_tokenising(data: str, megabytes: int) -> dict[str, Any]:
    """Returns the speed and the peak memory of one process that tokenises real texts, repeated to a size."""
    texts = [text.replace("\n", " ") for text in read_data(data).train.texts]
    tokenizer = load_tokenizer("minilm")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "texts.txt"
        with file.open("w", encoding="utf-8") as opened:
            for text in itertools.cycle(texts):
                opened.write(text + "\n")
                if opened.tell() > megabytes << 20:
                    break
        source = open_texts(file)
        assert source.fingerprint
        tokenizer(texts[:100])
        peak, start = Peak("cpu"), time.process_time()
        corpus = build_corpus(source, tokenizer, Path(scratch) / "c", max_length=128, workers=1)
        seconds = time.process_time() - start
        return {
            "text_bytes": file.stat().st_size,
            "tokens": corpus.facts.tokens,
            "tokens_per_second": corpus.facts.tokens / seconds,
            "text_bytes_per_token": file.stat().st_size / corpus.facts.tokens,
            "memory": peak.bytes() - peak.before,
        }


def measure_checksum() -> dict[str, Any]:
    content = np.random.default_rng(0).bytes(256 << 20)
    start = time.process_time()
    hashlib.sha256(content).hexdigest()
    return {"bytes_per_second": len(content) / (time.process_time() - start)}


# ---- Plan ----


def plan(tokens: int, result: dict[str, Any]) -> dict[str, float]:
    """Returns the figures of a corpus of so many tokens."""
    sequences = tokens // LENGTH
    shards = math.ceil(tokens / SHARD_TOKENS)
    opening, tokenising = result["opening"], result["tokenising"][-1]
    checksum = result["checksum"]["bytes_per_second"]
    text_bytes = tokens * tokenising["text_bytes_per_token"]
    read = result["reading"]["advice"]["bytes_per_sequence"]
    return {
        "tokens": tokens,
        "sequences": sequences,
        "text_bytes": text_bytes,
        "token_bytes": 2 * tokens,
        "starts_bytes": 4 * sequences,
        "shards": shards,
        "files": 2 * shards,
        "open_files": min(2 * shards, 1024 // 2),
        "index_bytes": opening["index_bytes"] / opening["shards"] * shards,
        "index_memory": opening["memory"] / opening["shards"] * shards,
        "earlier_memory": result["earlier"][-1]["memory"] / result["earlier"][-1]["tokens"] * tokens,
        "tokenising_core_hours": tokens / tokenising["tokens_per_second"] / 3600,
        "checksum_core_minutes": (2 * tokens + 4 * sequences) / checksum / 60,
        "texts_core_minutes": text_bytes / checksum / 60,
        "opening_seconds": opening["seconds"] / opening["shards"] * shards,
        "resuming_seconds": result["resuming"]["seconds"],
        "gpu_tokens_per_second": GPU_TOKENS,
        "gpu_sequences_per_second": GPU_TOKENS / LENGTH,
        "gpu_bytes_per_second": GPU_TOKENS / LENGTH * read,
        "gpu_useful_bytes_per_second": 2 * GPU_TOKENS,
    }


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "size": measure_size,
    "earlier": measure_earlier,
    "ranks": measure_ranks,
    "resuming": measure_resuming,
    "opening": measure_opening,
    "reading": measure_reading,
    "tokenising": measure_tokenising,
    "checksum": measure_checksum,
}


def measured(name: str, *values: Any) -> dict[str, Any]:
    """Returns a measurement, made in a process of its own on one thread."""
    print(name, *values, file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--measure", json.dumps([name, *values])]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(given: argparse.Namespace) -> dict[str, Any]:
    sizes = [10**power for power in range(7, given.largest + 1)]
    size = given.batch_size
    result: dict[str, Any] = {
        "command": command_of(given) | {"data": Path(given.data).name},
        "environment": environment() | {"threads": 1},
        "batch_size": size,
        "mean_tokens": LENGTH,
        "shard_mib": SHARD_MIB,
        "steps": STEPS,
        "sizes": [measured("size", tokens, size) for tokens in sizes],
        "earlier": [measured("earlier", tokens, size) for tokens in sizes[: given.earlier]],
        "ranks": [measured("ranks", PLANNED, ranks, size) for ranks in (1, 8, 64, 256)],
        "resuming": measured("resuming", PLANNED, 64, size),
        "opening": measured("opening", math.ceil(PLANNED / SHARD_TOKENS)),
        "reading": {
            name: measured("reading", given.sequences, advice)
            for name, advice in (("advice", True), ("none", False))
        },
        "tokenising": [measured("tokenising", given.data, megabytes) for megabytes in given.megabytes],
        "checksum": measured("checksum"),
    }
    return result | {"plan": plan(PLANNED, result)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="go_emotions", help="Texts to tokenise.")
    parser.add_argument(
        "--largest", type=int, default=12, help="Power of ten of the largest number of tokens."
    )
    parser.add_argument("--earlier", type=int, default=3, help="Sizes at which version 0.1 is measured.")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--sequences", type=int, default=4_000_000, help="Sequences that are read from the disk."
    )
    parser.add_argument("--megabytes", type=int, nargs="+", default=[8, 64], help="Sizes of tokenised texts.")
    parser.add_argument("--output", type=Path, default=RESULTS / "corpus_plan.json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        share_the_machine()
        name, *values = json.loads(given.measure)
        print(json.dumps(MEASURES[name](*values)))
        return
    del given.measure
    write(given.output, run(given))


if __name__ == "__main__":
    main()
