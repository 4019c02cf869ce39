"""Reads any source of labelled rows into `TextData`: splits and classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tellapart.data.benchmarks.base import BenchmarkSet
from tellapart.data.benchmarks.registry import local_folder, named_tables, registered
from tellapart.data.examples import SCORE, LabelSpace, TextData, TextSplit
from tellapart.data.label_spelling import known_labels, shown_name
from tellapart.data.out_of_scope import check_found, without_label
from tellapart.data.reading.columns import ColumnNames, find_columns, written_columns, written_name
from tellapart.data.reading.hub import hub_tables
from tellapart.data.reading.label_lists import named_lists, one_label_column
from tellapart.data.reading.sources import SPLIT_NAMES, as_table, folder_tables, split_tables
from tellapart.data.reading.tables import file_format, read_table
from tellapart.data.reading.types import is_string, plain_column
from tellapart.data.reading.values import fractional_numbers, has_label_lists, is_unlabelled, read_examples
from tellapart.errors import DataError, did_you_mean
from tellapart.files import user_path

MOST_FRACTIONS = 20
"""More distinct fractional labels than this are refused: the task is probably a regression."""

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,2}")


@dataclass(frozen=True)
class SourceTables:
    """The tables of a source, one per split, before their columns are chosen.

    Args:
        name: The source as named by the user: a path, a registered name, a Hub name; `memory` for objects.
        tables: One table per split; a source without splits is `train`.
        notes: Remarks on the source, for the run's log.
        benchmark: The description of a benchmark set; None for other sources.
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
    label_names: Sequence[str] | None = None,
    multi_label: bool | None = None,
    regression: bool | None = None,
) -> TextData:
    """Reads a labelled task; the keywords are those of `ColumnNames` and `read_task`."""
    labels = None if label_names is None else tuple(label_names)
    names = ColumnNames(text, text_pair, label, question_id, label_delimiter, labels)
    return read_task(source, names, multi_label=multi_label, regression=regression)


def read_task(
    source: Any,
    names: ColumnNames = ColumnNames(),  # noqa: B008  frozen
    *,
    multi_label: bool | None = None,
    regression: bool | None = None,
) -> TextData:
    """Reads a labelled task.

    Validation and test splits without any label are left out, with a note. Rows with the label `names.out_of_scope`
    are in `TextData.out_of_scope` and not in their split.

    Args:
        source: Any source that `read_splits` takes.
        names: The columns; those not named are found by `find_columns`.
        multi_label: Whether rows have lists of labels; None to infer it from the delimiter and the column's type.
        regression: Whether the labels are numeric targets; None: only for benchmark sets with such labels.

    Raises:
        DataError: There are no training rows or fewer than two classes, another split has a class that the
            training rows lack, texts or labels cannot be read, or the labels look like numeric targets and
            `regression` is None; or no row has the label `names.out_of_scope`, or the rows have several labels or
            numbers.
    """
    found = read_splits(source)
    if "train" not in found.tables:
        raise DataError(
            f"{found.name} has no training rows, only {', '.join(found.tables)}",
            "add a train split, or name the file to train on",
        )
    scores = is_regression_set(source) if regression is None else regression
    if not scores:
        found, names = _with_label_lists(found, names, multi_label)
    train = found.tables["train"]
    columns = find_columns(train.schema, names, where=_where(found, "train"))
    delimiter = names.label_delimiter
    if scores and (delimiter is not None or multi_label):
        raise DataError(
            "a row has either a numeric target or several labels, and both were requested",
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
    if lists and delimiter is not None:
        notes += _unused_delimiter(found.tables.values(), str(columns.label), delimiter)
    outside: dict[str, TextSplit] = {}
    if names.out_of_scope is not None:
        splits, outside = without_label(splits, names.out_of_scope)
        check_found(outside, splits, names.out_of_scope)
        if "train" not in splits:
            raise DataError(f"all training rows of {found.name} are out of scope", "add rows of classes")
    if scores:
        labels = score_space(splits["train"], where=_where(found, "train"))
    else:
        labels = label_space(splits["train"], multi_label=lists, where=_where(found, "train"))
        if names.label_names is not None:  # in their order, also those without a row
            labels = replace(labels, names=names.label_names)
        labels = _with_positive_second(labels, found.benchmark)
        for name in splits.keys() - {"train"}:
            splits[name] = known_labels(splits[name], labels, _where(found, name), "the training rows")
    return TextData(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        labels=labels,
        source=found.name,
        notes=tuple(notes),
        metric=found.benchmark.metric if found.benchmark is not None else None,
        columns=ColumnNames(
            **vars(columns),
            label_delimiter=delimiter,
            label_names=names.label_names,
            out_of_scope=names.out_of_scope,
        ),
        out_of_scope=outside,
    )


def read_splits(source: Any) -> SourceTables:
    """Reads the splits of a source as tables.

    Args:
        source: A path to a file (CSV, TSV, JSON Lines, JSON, Parquet), or to a folder with files named train,
            validation (valid, val, dev) and test, or saved by `datasets.save_to_disk`; the name of a
            benchmark set; a Hugging Face Hub data set, `organisation/name` or `organisation/name/config`;
            a mapping of split names to tables; or one table: a DataFrame, a `datasets.Dataset`, a dict of
            columns, a list of dicts, a pair (texts, labels). Existing paths take precedence over benchmark
            sets, and these over the Hub.

    Raises:
        DataError: The source does not exist, or cannot be read.
    """
    if isinstance(source, str | Path):
        return _named(str(source))
    if isinstance(source, Mapping) and ("train" in source or SPLIT_NAMES.keys() >= source.keys() > set()):
        return SourceTables("memory", split_tables(source, "the data"))
    return SourceTables("memory", {"train": as_table(source, "the data")})


def label_space(split: TextSplit, *, multi_label: bool, where: str = "the training rows") -> LabelSpace:
    """Collects the classes of the training rows: numbers first, sorted by value, then names in alphabetical order.

    Args:
        split: The training rows, with labels.
        multi_label: Whether each row has a list of labels.
        where: Name of the rows in messages.

    Raises:
        DataError: There is no label, or only one class in a single-label task.
    """
    names = sorted(_label_counts(split), key=_by_number)
    if not names:
        raise DataError(f"there are no labels in {where}", "check the label column")
    if len(names) == 1 and not multi_label:
        name = shown_name(names[0])
        raise DataError(f'all rows of {where} have the same label, "{name}"', "add rows of other classes")
    return LabelSpace(
        tuple(names), "multi_label_classification" if multi_label else "single_label_classification"
    )


def score_space(split: TextSplit, *, where: str = "the training rows") -> LabelSpace:
    """Returns the label space of a regression task.

    Args:
        split: The training rows, with targets.
        where: Name of the rows in messages.

    Raises:
        DataError: All rows have the same target.
    """
    assert split.labels is not None
    if len(set(map(float, split.labels))) < 2:  # type: ignore[arg-type]
        raise DataError(
            f"all rows of {where} have the same target, {split.labels[0]}", "add rows with other targets"
        )
    return LabelSpace((SCORE,), "regression")


def is_regression_set(source: Any) -> bool:
    """Whether a source is the name of a benchmark set with numeric targets."""
    return (
        isinstance(source, str)
        and not user_path(source).exists()
        and source in registered()
        and registered()[source].task == "regression"
    )


def _named(name: str) -> SourceTables:
    path = user_path(name)
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


def _with_label_lists(
    found: SourceTables, names: ColumnNames, multi_label: bool | None
) -> tuple[SourceTables, ColumnNames]:
    """Returns the tables with one column of label lists, where the training rows have several labels in another form.

    The form of the training rows decides: a few test rows may look like another one.
    """
    joined = {
        name: one_label_column(table, names, _where(found, name)) for name, table in found.tables.items()
    }
    tables = {name: table for name, (table, _) in joined.items()}
    train, names = joined["train"]
    where = _where(found, "train")
    label = str(find_columns(train.schema, names, where=where).label)
    tables["train"], names, notes = named_lists(train, label, names, multi_label=multi_label, where=where)
    for name in tables.keys() - {"train"}:
        own = written_name(tables[name].schema, label)
        if notes and own is not None:
            where = _where(found, name)
            tables[name], _, _ = named_lists(tables[name], own, names, multi_label=multi_label, where=where)
    return replace(found, tables=tables, notes=(*found.notes, *notes)), names


def _where(found: SourceTables, split: str) -> str:
    if found.name == "memory":
        return f"the {split} rows"
    return found.name if len(found.tables) == 1 else f"the {split} split of {found.name}"


def _with_positive_second(labels: LabelSpace, known: BenchmarkSet | None) -> LabelSpace:
    """Puts the positive class of a binary benchmark set second, since F1 is that of the second class."""
    if known is None or known.positive not in labels.names or len(labels) != 2:
        return labels
    return replace(labels, names=tuple(sorted(labels.names, key=lambda name: name == known.positive)))


def _refuse_fractions(table: pa.Table, label: str, where: str) -> None:
    numbers = fractional_numbers(table, label, where)
    if numbers > MOST_FRACTIONS:
        raise DataError(
            f'the column "{label}" of {where} holds {numbers} distinct fractional numbers instead of classes',
            "add --regression (data.regression: true) to predict them as targets, with a decimal point; or set "
            "data.regression=false to treat each number as a class",
        )


def _empty_texts(splits: Mapping[str, TextSplit]) -> list[str]:
    empty = {name: sum(not text.strip() for text in split.texts) for name, split in splits.items()}
    return [f"{count} text(s) of {name} are empty." for name, count in empty.items() if count]


def _unused_delimiter(tables: Iterable[pa.Table], label: str, delimiter: str) -> list[str]:
    named = [(table, written_name(table.schema, label)) for table in tables]
    columns = [plain_column(table, name, "the data") for table, name in named if name is not None]
    cells = [column for column in columns if is_string(column.type)]
    if not cells or any(pc.any(pc.match_substring(column, delimiter)).as_py() for column in cells):
        return []
    return [f'No cell of the column "{label}" contains the separator "{delimiter}": each row has one label.']


def _label_counts(split: TextSplit) -> Counter[str]:
    return Counter(name for names in split.label_sets() for name in names)


def _by_number(name: str) -> tuple[bool, float, str]:
    number = re.fullmatch(r"[+-]?\d+(\.\d+)?", name)
    return (number is None, float(name) if number else 0.0, name)
