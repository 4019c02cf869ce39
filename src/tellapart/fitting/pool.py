"""Scores a pool of unlabelled texts in bounded memory and chooses those to label next."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.preprocessing import normalize

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.label_texts import NONE
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.streams import RowStream, one_ahead
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.values import has_labels, read_examples
from tellapart.encoders.scoring import represent
from tellapart.errors import DataError, ModelError, TellapartError, TellapartWarning
from tellapart.evaluation.active_learning import (
    CANDIDATES,
    PAIR,
    TopTwo,
    diverse_rows,
    expected_confusions,
    informativeness,
    pair_weights,
    suggestion_table,
    top_two,
)
from tellapart.evaluation.confusions import Confusions, as_confusions, count_cells
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.loading import run_folder
from tellapart.fitting.nearest import word_vectors
from tellapart.fitting.rows import read_rows
from tellapart.inspection.confusion import confusion_matrix
from tellapart.recipes import DataRecipe, Recipe, load_recipe
from tellapart.training.progress import Progress

KNOWN, FILLED, EMPTY = "in the run's data", "with a label", "empty"
"""Reasons for which rows of a pool are left out."""


@dataclass(frozen=True)
class RunRows:
    """What a run folder tells of labelled rows.

    Args:
        source: Name of the training data; None if unknown.
        keys: Keys of all labelled and out-of-scope texts, see `TextSplit.keys`.
        confusions: Sparse confusion counts (K, K) of the predicted rows, rows are gold; None if there are none.
    """

    source: str | None = None
    keys: Collection[str] = frozenset()
    confusions: Confusions | None = None


@dataclass(frozen=True)
class Suggestions:
    """The rows to label next, the least margin first.

    Args:
        table: Their columns, an empty label column, and those of `suggestion_table`.
        split: Their texts.
        columns: The columns of texts and labels.
        new_rows: Number of rows of the pool that they were chosen from.
        left_out: Reason to number of rows of the pool that were not scored.
        source: The training data of the run; None if unknown.
    """

    table: pa.Table
    split: TextSplit
    columns: Columns
    new_rows: int
    left_out: dict[str, int]
    source: str | None

    @property
    def pairs(self) -> dict[str, int]:
        """The two most probable classes of a row, as `a / b`, to the number of rows, most first."""
        return dict(Counter(self.table[PAIR].to_pylist()).most_common())


def read_run_rows(model: str | Path, labels: LabelSpace) -> RunRows:
    """Reads the labelled texts and the confusions of a run; a warning says what cannot be read.

    Args:
        model: A run folder, its folder `model`, or any other model.
        labels: The classes of the model.
    """
    folder = run_folder(model)
    if folder is None:
        _warn(f"{model} is no run folder, so that texts which it was trained on may be suggested")
        return RunRows()
    keys: set[str] = set()
    recipe = load_recipe(folder / "recipe.yaml")
    source = recipe.data.source
    try:
        if source is None:
            raise DataError("they were in memory", "give a run on a file")
        keys |= _labelled_keys(recipe.data)
    except TellapartError as error:
        _warn(
            f"the rows that {folder} was trained on cannot be read ({error.cause}), "
            "so that some of them may be suggested"
        )
        if recipe.data.out_of_scope is not None:  # their file may be gone, and the others are still there
            with contextlib.suppress(TellapartError):
                keys |= _labelled_keys(recipe.data.model_copy(update={"out_of_scope": None}))
    confusions = None
    if (folder / "predictions.parquet").is_file():
        table = read_table(folder / "predictions.parquet")
        columns = {name: table[name].to_pylist() for name in table.column_names}
        keys.update(TextSplit(columns["text"], columns.get("text_pair")).keys())
        gold, predicted = columns["label"], columns["predicted_label"]
        confusions = confusion_matrix(labels, labels.encode(gold), labels.encode(predicted))
    return RunRows(source, keys, confusions)


def _labelled_keys(given: DataRecipe) -> set[str]:
    """Returns the keys of all rows that have a label or were declared to be of no class, sampled or not."""
    data = read_rows(Recipe(data=given.model_copy(update={"unlabelled": None, "label_texts": NONE})))
    return set().union(*(split.keys() for split in (*data.splits.values(), *data.out_of_scope.values())))


def _warn(message: str) -> None:
    warnings.warn(f"{message}.", TellapartWarning, stacklevel=4)


def check_suggests(labels: LabelSpace) -> None:
    """Checks that rows have one class each.

    Raises:
        ModelError: The model predicts numbers or several labels.
    """
    if labels.regression or labels.multi_label:
        kind = "numbers" if labels.regression else "several labels per text"
        raise ModelError(
            f"the model predicts {kind}, and texts are suggested by the margin between two classes",
            "give a model that predicts one class per text",
        )


def suggest_rows(
    fitted: Fitted,
    stream: RowStream,
    columns: Columns,
    count: int,
    run: RunRows,
    *,
    label: str,
    progress: Progress = None,
) -> Suggestions:
    """Chooses rows of a pool that have small margins, look-alike classes and different vectors.

    The pool is scored in parts, and only the `CANDIDATES` · `count` different texts with the least margins are kept.
    They are clustered by k-means, in which pairs of classes are weighted by the confusions of the run; without any,
    by those that the probabilities of the pool let expect. Vectors are those of the model's encoder; TF-IDF vectors
    for TF-IDF models and exports.

    Args:
        fitted: The model.
        stream: The pool.
        columns: Its text columns.
        count: Rows to choose.
        run: The labelled rows.
        label: The label column; rows with a label in it are left out. It need not exist.
        progress: Called with the number of rows done.

    Raises:
        DataError: No row is new, or the pool has a column of the name of an added one.
        ModelError: The model predicts numbers or several labels.
    """
    check_suggests(fitted.labels)
    pool = _Pool(stream, columns, label, run.keys)
    classes = len(fitted.labels)
    expected = count_cells([], [], classes, np.zeros(0))
    candidates = _Candidates(stream.schema.empty_table(), columns, CANDIDATES * count)
    where = str(stream.path)
    # Before the pool is scored: refuses columns of the names of added ones.
    suggestion_table(candidates.table, label, fitted.labels, candidates.top, where=where)
    new_rows = 0
    for table, split, keys, tokenised in one_ahead(pool.new_parts(fitted, progress)):
        top = top_two(fitted.labels, fitted.scores(split, rows=tokenised, progress=progress))
        expected = as_confusions(expected + expected_confusions(top, classes))
        candidates.add(table, split, keys, top)
        new_rows += len(split)
    if not new_rows:
        raise DataError(
            f"{stream.path} has no new texts ({_listed(pool.left_out)})",
            f"give unlabelled texts; labels are read from the column {label}, another is named with --label",
        )
    weights = pair_weights(expected if run.confusions is None else run.confusions)
    informative = informativeness(candidates.top, weights if weights.nnz else pair_weights(expected))
    chosen = diverse_rows(_vectors(fitted, candidates.split), informative, count)
    chosen = chosen[np.argsort(candidates.top.margin[chosen], kind="stable")]
    rows, top = candidates.table.take(pa.array(chosen)), candidates.top.select(chosen)
    return Suggestions(
        suggestion_table(rows, label, fitted.labels, top, where=where),
        candidates.split.select(chosen),
        replace(columns, label=label),
        new_rows,
        dict(pool.left_out),
        run.source,
    )


@dataclass
class _Pool:
    """A pool, and why rows of it are left out."""

    stream: RowStream
    columns: Columns
    label: str
    known: Collection[str]
    left_out: Counter[str] = field(default_factory=Counter)

    def new_parts(
        self, fitted: Fitted, progress: Progress
    ) -> Iterator[tuple[pa.Table, TextSplit, list[str], TokenisedDataset | None]]:
        """Yields the new rows of each part with their keys, tokenised."""
        where = str(self.stream.path)
        for table in self.stream.parts():
            split = read_examples(table, self.columns, where=where)
            labelled = self.label in table.column_names
            filled = has_labels(table, self.label, where).to_pylist() if labelled else [False] * len(table)
            keys = split.keys()
            reasons = [
                KNOWN if key in self.known else FILLED if is_filled else None if key.strip() else EMPTY
                for key, is_filled in zip(keys, filled, strict=True)
            ]
            self.left_out.update(reason for reason in reasons if reason is not None)
            new = [row for row, reason in enumerate(reasons) if reason is None]
            if progress is not None:
                progress(len(table) - len(new))
            if new:
                rows = split.select(new)
                yield table.take(pa.array(new)), rows, [keys[row] for row in new], fitted.tokenised(rows)


@dataclass
class _Candidates:
    """The different texts of a stream with the least margins, in ascending order."""

    table: pa.Table
    columns: Columns
    most: int
    split: TextSplit = field(init=False)
    keys: list[str] = field(init=False, default_factory=list)
    top: TopTwo = field(init=False)

    def __post_init__(self) -> None:
        self.split = TextSplit([], None if self.columns.text_pair is None else [])
        none = np.empty(0, dtype=np.int64)
        self.top = TopTwo(none, none, none.astype(np.float64), none.astype(np.float64))

    def add(self, table: pa.Table, split: TextSplit, keys: Sequence[str], top: TopTwo) -> None:
        """Adds rows with their keys, and drops duplicates and those with the largest margins."""
        table = pa.concat_tables([self.table, table]).unify_dictionaries()
        split, keys, top = self.split.joined(split), [*self.keys, *keys], self.top.joined(top)
        seen: dict[str, int] = {}
        for row in np.argsort(top.margin, kind="stable").tolist():
            if len(seen) == self.most:
                break
            seen.setdefault(keys[row], row)
        kept = np.fromiter(seen.values(), dtype=np.int64)
        self.keys = list(seen)
        self.table, self.split, self.top = table.take(pa.array(kept)), split.select(kept), top.select(kept)


def _vectors(fitted: Fitted, split: TextSplit) -> Any:
    """Returns unit vectors of texts: of the model's encoder, or of character n-grams if it has none."""
    if isinstance(fitted.scorer, TransformersScorer):
        tokenised = fitted.scorer.tokenised(split)
        return normalize(represent(fitted.model, tokenised))
    return word_vectors(split, split)[0]


def _listed(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())
