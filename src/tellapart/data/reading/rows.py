"""From whatever the user has to a task: splits of texts and labels, and the names of the classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tellapart.data.benchmarks.base import BenchmarkSet
from tellapart.data.benchmarks.registry import local_folder, named_tables, registered
from tellapart.data.examples import SCORE, LabelSpace, TextData, TextSplit
from tellapart.data.reading.columns import ColumnNames, find_columns, written_columns
from tellapart.data.reading.hub import hub_tables
from tellapart.data.reading.sources import SPLIT_NAMES, as_table, folder_tables, split_tables
from tellapart.data.reading.tables import file_format, read_table
from tellapart.data.reading.values import fractional_numbers, has_label_lists, is_unlabelled, read_examples
from tellapart.errors import DataError, did_you_mean

MOST_FRACTIONS = 20
"""With more different numbers than this, some of them with fractions, labels are taken for scores by mistake."""

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,2}")


@dataclass(frozen=True)
class SourceTables:
    """The rows of a source before anything is said about their columns.

    Args:
        name: What the user named: a path, a registered name, a Hub name; `memory` for objects.
        tables: One table a split; a source without splits is `train`.
        notes: What to know about the source, for the run's log.
        benchmark: What is known of it, if it has the name of a benchmark set.
    """

    name: str
    tables: dict[str, pa.Table]
    notes: tuple[str, ...] = ()
    benchmark: BenchmarkSet | None = None


def read_data(
    source: Any,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    question_id: str | None = None,
    label_delimiter: str | None = None,
    multi_label: bool | None = None,
    regression: bool | None = None,
) -> TextData:
    """Reads a labelled task; the keywords are those of `ColumnNames` and `read_task`."""
    names = ColumnNames(text, text_pair, label, question_id, label_delimiter)
    return read_task(source, names, multi_label=multi_label, regression=regression)


def read_task(
    source: Any,
    names: ColumnNames = ColumnNames(),  # noqa: B008  frozen
    *,
    multi_label: bool | None = None,
    regression: bool | None = None,
) -> TextData:
    """Reads a labelled task.

    Validation and test splits without any label are left out, with a note.

    Args:
        source: Any source that `read_splits` takes.
        names: The columns; those not named are found by `find_columns`.
        multi_label: Whether rows have lists of labels; None to infer it from the delimiter and the column's type.
        regression: Whether the labels are numeric targets; None: only for benchmark sets with such labels.

    Raises:
        DataError: There are no training rows, fewer than two classes, a class outside the training rows, or
            texts or labels that cannot be read; or classes that are many numbers with fractions, unless
            `regression` is False.
    """
    found = read_splits(source)
    if "train" not in found.tables:
        raise DataError(
            f"{found.name} has no training rows, only {', '.join(found.tables)}",
            "add a train split, or name the file to train on",
        )
    train = found.tables["train"]
    columns = find_columns(train.schema, names, where=_where(found, "train"))
    delimiter = names.label_delimiter
    scores = is_regression_set(source) if regression is None else regression
    if scores and (delimiter is not None or multi_label):
        raise DataError(
            "a row has either a score or several labels, and both were asked for",
            "leave out --regression, or --label-delimiter and multi_label",
        )
    if regression is None and not scores and delimiter is None and multi_label is None:
        _refuse_fractions(train, str(columns.label), _where(found, "train"))
    lists = not scores and has_label_lists(
        train, str(columns.label), label_delimiter=delimiter, multi_label=multi_label
    )
    notes = [*found.notes, f"Columns: {columns}."]
    splits: dict[str, TextSplit] = {}
    for name, table in found.tables.items():
        if name != "train" and is_unlabelled(table, str(columns.label)):
            notes.append(f"The {name} split has no labels and is left out.")
            continue
        where = _where(found, name)
        splits[name] = read_examples(
            table,
            written_columns(columns, table.schema, where),
            label_delimiter=delimiter,
            multi_label=lists,
            regression=scores,
            where=where,
        )
    notes += _empty_texts(splits)
    if scores:
        labels = score_space(splits["train"], where=_where(found, "train"))
    else:
        labels = label_space(splits["train"], multi_label=lists, where=_where(found, "train"))
        labels = _with_positive_second(labels, found.benchmark)
        for name in splits.keys() - {"train"}:
            _refuse_unknown(splits[name], labels, _where(found, name))
    return TextData(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        labels=labels,
        source=found.name,
        notes=tuple(notes),
        metric=found.benchmark.metric if found.benchmark is not None else None,
    )


def read_splits(source: Any) -> SourceTables:
    """Finds a source and reads its splits as tables.

    Args:
        source: A path to a file (CSV, TSV, JSON Lines, JSON, Parquet) or to a folder with files named train,
            validation (valid, val, dev) and test, or saved by `datasets.save_to_disk`; the name of a
            benchmark set; a set of the Hugging Face Hub, `organisation/name` or `organisation/name/config`;
            a mapping of split names to tables; or one table: a DataFrame, a `datasets.Dataset`, a dict of
            columns, a list of dicts, a pair (texts, labels). A path that exists comes before a benchmark
            set, and that before the Hub.

    Raises:
        DataError: It does not exist, or cannot be read.
    """
    if isinstance(source, str | Path):
        return _named(str(source))
    if isinstance(source, Mapping) and ("train" in source or SPLIT_NAMES.keys() >= source.keys() > set()):
        return SourceTables("memory", split_tables(source, "the data"))
    return SourceTables("memory", {"train": as_table(source, "the data")})


def label_space(split: TextSplit, *, multi_label: bool, where: str = "the training rows") -> LabelSpace:
    """Collects the classes of the training rows, numbers first and by value, then names by alphabet.

    Args:
        split: The training rows, with labels.
        multi_label: Whether a row has a list of labels.
        where: What to call the rows in messages.

    Raises:
        DataError: There is no label, or only one class in a task of one label a row.
    """
    names = sorted(_label_counts(split), key=_by_number)
    if not names:
        raise DataError(f"{where} has no label in any row", "check the column of the labels")
    if len(names) == 1 and not multi_label:
        raise DataError(
            f'all rows of {where} have the same label, "{names[0]}"', "give rows of at least two classes"
        )
    return LabelSpace(
        tuple(names), "multi_label_classification" if multi_label else "single_label_classification"
    )


def score_space(split: TextSplit, *, where: str = "the training rows") -> LabelSpace:
    """Returns the one output of a task of scores.

    Args:
        split: The training rows, with scores.
        where: What to call the rows in messages.

    Raises:
        DataError: All rows have the same score.
    """
    assert split.labels is not None
    if len(set(map(float, split.labels))) < 2:  # type: ignore[arg-type]
        raise DataError(
            f"all rows of {where} have the same score, {split.labels[0]}", "give rows of different scores"
        )
    return LabelSpace((SCORE,), "regression")


def is_regression_set(source: Any) -> bool:
    """Whether a source is the name of a benchmark set whose rows have scores."""
    return (
        isinstance(source, str)
        and not Path(source).expanduser().exists()
        and source in registered()
        and registered()[source].task == "regression"
    )


def _named(name: str) -> SourceTables:
    path = Path(name).expanduser()
    if path.is_dir():
        return SourceTables(name, folder_tables(path))
    if path.is_file():
        return SourceTables(name, {"train": read_table(path)})
    if local_folder(name) is not None or name in registered():
        return SourceTables(name, *named_tables(name), registered().get(name))
    if file_format(path) is not None:
        read_table(path)  # raises: there is no such file
    if not _HUB_NAME.fullmatch(name):
        raise DataError(f"there is no file or folder {name}", "check the path")
    parts = name.split("/")
    try:
        return SourceTables(name, hub_tables("/".join(parts[:2]), parts[2] if len(parts) == 3 else None))
    except DataError as error:
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        close = did_you_mean(name, [*registered(), *map(str, siblings)])
        raise DataError(
            f"there is no file, folder or registered set {name}{close}, and {error.cause}", error.remedy
        ) from error


def _where(found: SourceTables, split: str) -> str:
    if found.name == "memory":
        return f"the {split} rows"
    return found.name if len(found.tables) == 1 else f"the {split} split of {found.name}"


def _with_positive_second(labels: LabelSpace, known: BenchmarkSet | None) -> LabelSpace:
    """The classes with that last whose F1 the set is judged by, if it is one of two: F1 is the second one's."""
    if known is None or known.positive not in labels.names or len(labels) != 2:
        return labels
    return replace(labels, names=tuple(sorted(labels.names, key=lambda name: name == known.positive)))


def _refuse_fractions(table: pa.Table, label: str, where: str) -> None:
    numbers = fractional_numbers(table, label)
    if numbers > MOST_FRACTIONS:
        raise DataError(
            f'the column "{label}" of {where} holds {numbers} different numbers, with fractions, where classes '
            "are expected",
            "add --regression (data.regression: true) to predict them as scores, or set data.regression=false if "
            "each of them is a class",
        )


def _empty_texts(splits: Mapping[str, TextSplit]) -> list[str]:
    empty = {name: sum(not text.strip() for text in split.texts) for name, split in splits.items()}
    return [f"{count} text(s) of {name} are empty." for name, count in empty.items() if count]


def _label_counts(split: TextSplit) -> Counter[str]:
    return Counter(name for names in split.label_sets() for name in names)


def _by_number(name: str) -> tuple[bool, float, str]:
    number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name)
    return (number is None, float(name) if number else 0.0, name)


def _refuse_unknown(split: TextSplit, labels: LabelSpace, where: str) -> None:
    unknown = {name: count for name, count in _label_counts(split).items() if name not in labels.label2id}
    if unknown:
        first = min(unknown)
        raise DataError(
            f'{where} has {len(unknown)} label(s) that no training row has, among them "{first}" in '
            f"{unknown[first]} row(s){did_you_mean(first, labels.names)}",
            "correct them, remove those rows, or add rows of them to the training split",
        )
