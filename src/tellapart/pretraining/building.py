"""Builds the shards of a corpus, part by part, in several processes, and continues where a build was killed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tellapart.errors import DataError, TellapartError
from tellapart.execution.local import end_with_parent
from tellapart.files import left_by_a_kill, replacing, write_json
from tellapart.pretraining.sequences import SequenceMaker
from tellapart.pretraining.shard_writer import PartFacts, ShardFormat, write_part
from tellapart.pretraining.shards import check_files, read_model
from tellapart.pretraining.texts import TextPart, TextSource, write_stamps
from tellapart.threads import processor_quota, usable_cores

SHARD_MIB = 256
"""Default maximum size of a shard's tokens in MiB."""

STAMPS_FILE, PART_FILE = "texts.json", "part.json"
_PLAN_FILE = "plan.json"

# Bytes of text per token of a shard: languages have more, so that a part seldom needs a second shard.
_TEXT_BYTES = 3

Progress = Callable[[int], Any] | None


class _Plan(BaseModel):
    """What determines the shards of an unfinished corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    tokens: int
    dtype: str
    whole_words: bool


@dataclass(frozen=True)
class ShardBuilder:
    """Builds the shards of a corpus; equal texts and settings give equal files, with any number of processes.

    Args:
        maker: Makes sequences from texts.
        shard_mib: Maximum size of a shard's tokens in MiB.
        workers: Number of processes; None for one per core. A table is tokenised by this process alone.
    """

    maker: SequenceMaker
    shard_mib: float = SHARD_MIB
    workers: int | None = None

    @property
    def shape(self) -> ShardFormat:
        """How the shards are written: ids of at most 65,536 tokens take two bytes, others four."""
        largest = max(self.maker.tokenizer.get_vocab().values(), default=0)
        dtype, size = ("uint16", 2) if largest < 1 << 16 else ("int32", 4)
        tokens = min(max(1, int(self.shard_mib * (1 << 20)) // size), (1 << 32) - 1)
        return ShardFormat(tokens, dtype, self.maker.whole_words)

    def build(
        self, source: TextSource, folder: Path, fingerprint: str, progress: Progress = None
    ) -> list[PartFacts]:
        """Writes all parts into a folder; parts that a killed build has finished there are kept.

        Args:
            source: The texts.
            folder: The folder of the unfinished corpus.
            fingerprint: Fingerprint of the corpus.
            progress: Called with numbers of texts.

        Returns:
            The facts of all parts, in order.

        Raises:
            DataError: A file is not text.
            OutputError: The folder cannot be written.
        """
        shape = self.shape
        plan = _Plan(fingerprint=fingerprint, **asdict(shape))
        _prepare(folder, plan)
        write_stamps(source, folder / STAMPS_FILE)
        whole_files = self.maker.sequences == "documents"
        todo: list[tuple[str, TextPart]] = []
        found: dict[str, PartFacts | None] = {}
        for number, part in enumerate(source.parts(_TEXT_BYTES * shape.tokens, whole_files=whole_files)):
            name = f"part-{number:06d}"
            found[name] = _finished(folder, name)
            if found[name] is None:
                todo.append((name, part))
        workers = min(self.workers or default_workers(), len(todo)) if source.column is None else 1
        work = partial(_write, self.maker, folder, shape)
        if workers > 1:
            with _pool(work, workers, preloaded=type(self.maker.tokenizer).__module__) as pool:
                found |= _in_processes(pool, todo, progress)
        else:
            found |= {name: work(name, part, progress) for name, part in todo}
        return [facts for facts in found.values() if facts is not None]


def default_workers() -> int:
    """Returns the number of cores that this process may use."""
    quota = processor_quota()
    return max(1, min(usable_cores(), int(quota) if quota else usable_cores()))


def _prepare(folder: Path, plan: _Plan) -> None:
    """Empties the folder unless a build with the same plan has begun in it, whose unfinished parts are removed."""
    before = None
    with contextlib.suppress(DataError):
        before = read_model(_Plan, folder / _PLAN_FILE)
    if before != plan:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / _PLAN_FILE, plan.model_dump())
    for path in folder.iterdir():
        if left_by_a_kill(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _finished(folder: Path, name: str) -> PartFacts | None:
    """Returns the facts of a part that was written before, if its files are as they were written."""
    with contextlib.suppress(DataError):
        facts = read_model(PartFacts, folder / name / PART_FILE)
        check_files(folder, facts.shards, contents=True)
        return facts
    return None


def _write(
    maker: SequenceMaker,
    folder: Path,
    shape: ShardFormat,
    name: str,
    part: TextPart,
    progress: Progress = None,
) -> PartFacts:
    """Writes a part, which appears whole or not at all."""
    with replacing(folder / name) as temporary:
        temporary.mkdir()
        facts = write_part(maker.blocks(part, progress), temporary, name, shape)
        write_json(temporary / PART_FILE, facts.model_dump())
    return facts


# ---- Several processes ----


@dataclass
class _Worker:
    """State of a worker process: what it does with a part, and an event that tells it to stop."""

    work: Callable[..., PartFacts]
    stop: Any


_worker: _Worker | None = None


class _StoppedError(Exception):
    """The process that started this one needs no more parts."""


def _in_processes(
    pool: concurrent.futures.Executor, todo: Sequence[tuple[str, TextPart]], progress: Progress
) -> dict[str, PartFacts]:
    """Writes parts in the processes of a pool; the order in which they end does not matter."""
    found = {}
    names = {pool.submit(_run, name, part): name for name, part in todo}
    for future in concurrent.futures.as_completed(names):
        facts = found[names[future]] = future.result()
        if progress is not None:
            progress(facts.texts + facts.empty)
    return found


@contextlib.contextmanager
def _pool(
    work: Callable[..., PartFacts], workers: int, preloaded: str = __name__
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Yields a pool of processes that are no forks of this one, whose threads could leave them waiting for ever.

    Args:
        work: Writes a part.
        workers: Number of processes, which use the cores evenly.
        preloaded: A module that takes long to import.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__, preloaded])
    stop = context.Event()
    threads = max(1, default_workers() // workers)
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(_Worker(work, stop), threads)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise TellapartError(
            "a process that tokenises the texts has ended",
            "set corpus_workers to a smaller number if the memory is full; a script of your own must call pretrain "
            'under if __name__ == "__main__"',
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _begin(worker: _Worker, threads: int) -> None:
    """Begins a worker process, which ends with the process that started it."""
    global _worker
    _worker = worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it says when to stop
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizers library
    end_with_parent()


def _run(name: str, part: TextPart) -> PartFacts:
    assert _worker is not None
    return _worker.work(name, part, _go_on)


def _go_on(_: int) -> None:
    assert _worker is not None
    if _worker.stop.is_set():
        raise _StoppedError
