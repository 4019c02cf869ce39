"""Predicts the rows of many files in parts, on this machine; an interrupted run keeps its finished parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tellapart.data.reading.columns import ColumnNames, Columns, find_model_columns
from tellapart.encoders.precision import Precision
from tellapart.encoders.resolve import pinned
from tellapart.errors import UserError
from tellapart.execution.places import Place
from tellapart.files import left_by_a_kill
from tellapart.fitting.environment import is_main_process
from tellapart.fitting.fingerprints import Fingerprint, model_contents
from tellapart.fitting.folder import LOCK, claim_folder, claimed
from tellapart.fitting.loading import check_model, trained_columns
from tellapart.scoring.index import (
    INDEX,
    PartsIndex,
    check_same_files,
    encoded_schema,
    indexed_columns,
    indexed_parts,
    read_index,
    run_digest,
    write_index,
)
from tellapart.scoring.inputs import Inputs, check_apart, list_inputs
from tellapart.scoring.scorer import PartScorer, ScoringOptions, check_weights, precision_of
from tellapart.scoring.surveys import Survey, survey
from tellapart.scoring.units import PART_NAME, ROWS_PER_PART, STAMP, Unit, planned_units
from tellapart.scoring.workers import WorkerRequest, scored_by_workers
from tellapart.training.progress import rows_bar

Announce = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class PartsRequest:
    """What the user asks for.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        source: A file, a folder or a glob pattern.
        output: The folder of the parts.
        names: The columns that the user named.
        prefix: Put before the names of the added columns.
        margin: Whether to add `second_label` and `margin`.
        top_k: Number of most probable labels to add.
        precision: As of `ScoringOptions`.
        rows_per_part: The most rows of a part.
    """

    model: str | Path
    source: str | Path
    output: str | Path
    names: ColumnNames = ColumnNames()  # noqa: RUF009  frozen
    prefix: str = ""
    margin: bool = False
    top_k: int = 0
    precision: Precision = "auto"
    rows_per_part: int = ROWS_PER_PART

    def __post_init__(self) -> None:
        if self.rows_per_part < 1:
            raise UserError(f"a part cannot have {self.rows_per_part} rows", "give at least 1")

    def options(self, columns: Columns, schema: pa.Schema) -> ScoringOptions:
        """Returns the options of the scorer for the columns that were found."""
        return ScoringOptions(
            columns, schema, str(self.source), self.prefix, self.margin, self.top_k, self.precision
        )

    def fingerprint(self, columns: Columns) -> Fingerprint:
        """Returns what determines the predictions, besides the rows and the precision."""
        settings = {
            "model": str(self.model),
            "text": columns.text,
            "text_pair": columns.text_pair,
            "prefix": self.prefix,
            "margin": self.margin,
            "top_k": self.top_k,
            "rows_per_part": self.rows_per_part,
        }
        contents = model_contents({"model": str(self.model)})
        return Fingerprint(kind="predict", settings=settings, contents=contents)


class PartsRun:
    """A run of which input, model and folder are checked; some, all or none of its parts may be written.

    Args:
        request: What the user asked for.
        inputs: The files.
        surveyed: Their columns and rows.
        folder: The folder of the parts, locked.
        index: The index of the run that is resumed; None for a new one, for which the model is loaded and the index
            written.
        overwrite: Whether to delete an earlier run, once the model of the new one is loaded.

    Raises:
        UserError: As for `PartScorer`.
        OutputError: The index cannot be written.
    """

    def __init__(
        self,
        request: PartsRequest,
        inputs: Inputs,
        surveyed: Survey,
        folder: Path,
        index: PartsIndex | None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.request, self.inputs, self.surveyed, self.folder = request, inputs, surveyed, folder
        self.options = request.options(surveyed.columns, surveyed.schema)
        self.rows = sum(file.rows for file in surveyed.files)
        self._weights = None if index is None else index.weights
        self.index = self._new_index(overwrite=overwrite) if index is None else index
        if request.precision == "auto":  # other processes score as this run was begun, whatever their machine
            self.options = replace(self.options, precision=precision_of(self.index.weights))

    @cached_property
    def scorer(self) -> PartScorer:
        """The model, loaded when it is first needed.

        Raises:
            RecipeError: Its weights are of another type than those that the run was begun with.
        """
        scorer = PartScorer(self.request.model, self.options)
        if self._weights is not None:
            check_weights(scorer, self._weights, self.folder)
        return scorer

    def units(self) -> Iterator[Unit]:
        """Yields all units, in order."""
        return self._planned(self.index.run)

    def is_written(self, unit: Unit) -> bool:
        """Whether the part of a unit is there and whole; one that is damaged or of another run is removed."""
        part = Path(unit.output)
        if part.is_file():
            if self._is_own(unit):
                return True
            part.unlink()
        return self._is_lost()

    def for_workers(self) -> WorkerRequest:
        """Returns what other processes need to score units of the run; this one no longer keeps the model."""
        self.__dict__.pop("scorer", None)
        model = pinned(str(self.request.model))
        return WorkerRequest(model, self.options, self.index.weights, str(Path.cwd()))

    def finish(self) -> PartsIndex:
        """Marks the index as finished, after all parts are written.

        Raises:
            UserError: A part that a worker has written is not to be seen here, or another run wrote to the folder.
            OutputError: The index cannot be written.
        """
        if not self.index.finished:
            for unit in self.units():
                if not Path(unit.output).is_file():
                    raise UserError(
                        f"{unit.output} was written by another machine and is not here",
                        "use an --output that all nodes share",
                    )
                if not self._is_own(unit):  # a process of an earlier run that outlived its command
                    raise UserError(
                        f"{unit.output} was overwritten by another run",
                        "end the processes of that run, and go on with --resume",
                    )
            _check_only_parts_of(self)
            self.index = self.index.model_copy(update={"finished": True})
            write_index(self.folder, self.index)
        return self.index

    def _planned(self, run: str) -> Iterator[Unit]:
        per_part = self.request.rows_per_part
        return planned_units(self.inputs.root, self.surveyed.files, per_part, self.folder, run)

    def _is_own(self, unit: Unit) -> bool:
        """Whether the part of a unit is whole, and bears the stamp of the unit.

        Columns and number of rows alone are also those of another model's part, which a process that outlived its
        command may write into the folder that a new run has emptied.
        """
        with (
            contextlib.suppress(OSError, pa.ArrowException),
            pyarrow.parquet.ParquetFile(unit.output) as part,
        ):
            schema = part.schema_arrow
            return (
                part.metadata.num_rows == unit.rows
                and schema.names == [column.name for column in self.index.columns]
                and (schema.metadata or {}).get(STAMP, b"") == unit.stamp
            )
        return False

    def _is_lost(self) -> bool:
        """Returns False, after marking a run that lost a part after its end as unfinished."""
        if self.index.finished:
            self.index = self.index.model_copy(update={"finished": False})
            write_index(self.folder, self.index)
        return False

    def _new_index(self, *, overwrite: bool) -> PartsIndex:
        columns = self.surveyed.columns
        fingerprint = self.request.fingerprint(columns)
        weights, schema = self.scorer.weights, encoded_schema(self.surveyed.schema)
        index = PartsIndex(
            rows=self.rows,
            fingerprint=fingerprint,
            weights=weights,
            text=columns.text,
            text_pair=columns.text_pair,
            columns=indexed_columns(self.scorer.schema),
            input_schema=schema,
            files=list(self.surveyed.files),
            parts=indexed_parts(self._planned("")),
            run=run_digest(fingerprint, weights, schema),
        )
        if overwrite and is_main_process():
            claim_folder(self.folder, resume=False, overwrite=True)
        write_index(self.folder, index)
        return index


def predict_parts(
    request: PartsRequest,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    announce: Announce | None = None,
    place: Place | None = None,
) -> PartsIndex:
    """Predicts all rows of files in parts.

    Args:
        request: Model, files, folder and options.
        resume: Whether to keep the parts that an interrupted run of the same request has written.
        overwrite: Whether to replace an earlier run.
        quiet: Whether to show no progress.
        announce: Called with notes on what is read.
        place: Where parts are scored; by default in this process, one after the other, or one process per GPU where
            there are several. The nodes of a cluster must see model, files and folder under the same paths.

    Raises:
        UserError: As for `begun_run` and `PartScorer`; or a process died, or no cluster answers.
        OutputError: A part cannot be written.
    """
    with (
        (place or Place()).engine() as engine,
        begun_run(request, resume=resume, overwrite=overwrite, quiet=quiet, announce=announce) as run,
        engine,  # closed before the folder is released
        rows_bar(run.rows, quiet=quiet) as progress,
    ):
        kept = 0
        if announce is not None and engine.notes:
            announce(engine.notes)

        def left() -> Iterator[Unit]:
            nonlocal kept
            for unit in run.units():
                if not (resume and run.is_written(unit)):  # a new run has no parts
                    yield unit
                    continue
                kept += 1
                if progress is not None:
                    progress(unit.rows)

        if engine.isolated:
            for summary in scored_by_workers(engine, run.for_workers(), left()):
                if progress is not None:
                    progress(summary.rows)
        else:
            for unit in left():
                run.scorer(unit, progress=progress)
        if resume and announce is not None:
            announce([f"{kept} of {len(run.index.parts)} part(s) had been written before."])
        return run.finish()


@contextlib.contextmanager
def begun_run(
    request: PartsRequest,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    announce: Announce | None = None,
) -> Iterator[PartsRun]:
    """Claims the folder of the parts, and checks all files before the model is loaded.

    Args:
        request: Model, files, folder and options.
        resume: Whether the folder may hold parts of the same request; its files are then not read again.
        overwrite: Whether to replace an earlier run, which is deleted when all is checked and the model is loaded.
        quiet: Whether to show no progress.
        announce: Called with notes on what is read.

    Raises:
        DataError: A file cannot be read, differs from the others, or was changed since the run was begun.
        RecipeError: The folder holds parts of another request.
        UserError: The folder is in use, cannot be used, or holds what the run reads.
        OutputError: The folder cannot be written.
    """
    inputs = list_inputs(request.source)
    check_apart(inputs, request.output)
    check_model(request.model)
    trained = trained_columns(request.model)
    reads = (request.model, inputs.given)
    how = {"resume": resume, "overwrite": overwrite}
    with claimed(request.output, **how, inputs=reads, emptied=False) as folder:
        before = _earlier_index(folder) if resume else None
        if before is None:
            with rows_bar(len(inputs.names), quiet=quiet, title="checking", unit="file") as progress:
                surveyed = survey(inputs, request.names, trained, progress=progress)
        else:
            surveyed = _surveyed_before(request, inputs, folder, before, trained)
        if announce is not None:
            rows = sum(file.rows for file in surveyed.files)
            counted = f"Rows: {rows} in {len(surveyed.files)} file(s)."
            announce([f"Columns: {surveyed.columns}.", counted, *inputs.notes, *surveyed.notes])
        run = PartsRun(request, inputs, surveyed, folder, before, overwrite=overwrite)
        if before is not None:
            _check_only_parts_of(run)
        yield run


def _surveyed_before(
    request: PartsRequest, inputs: Inputs, folder: Path, before: PartsIndex, trained: ColumnNames | None
) -> Survey:
    """Returns what the run that is resumed found in its files, after checking that it was the same run."""
    columns = find_model_columns(
        before.schema, request.names, trained, labelled=False, where=str(request.source)
    )
    request.fingerprint(columns).check(before.fingerprint, f"the run in {folder}")
    check_same_files(before, inputs, folder)
    return Survey(columns, before.schema, tuple(before.files))


def _earlier_index(folder: Path) -> PartsIndex | None:
    """Returns the index of the run to resume; removes what an interrupted process left half-written.

    Raises:
        UserError: There are other files, but no index.
    """
    others = []
    for path in folder.iterdir():
        if _is_part(left_by_a_kill(path.name) or ""):
            path.unlink()
        elif path.name != LOCK:
            others.append(path.name)
    index = read_index(folder)
    if index is None and others:
        raise UserError(
            f"the output folder {folder} holds {min(others)} but no {INDEX}, so that no run in it can be resumed",
            "choose another --output",
        )
    return index


def _is_part(name: str) -> bool:
    return name == INDEX or PART_NAME.fullmatch(name) is not None


def _check_only_parts_of(run: PartsRun) -> None:
    """Refuses a folder with further parts: a reader of the folder would take their rows for those of the run."""
    planned = {Path(unit.output).name for unit in run.units()}
    for path in run.folder.glob("part-*.parquet"):
        if path.name not in planned:
            raise UserError(f"{path} is no part of the run in {run.folder}", "move it elsewhere")
