"""Names of the columns that hold texts, labels and question ids: as given by the user, and as found in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa

from tellapart.data.reading.types import is_string
from tellapart.errors import DataError, did_you_mean

SECOND_TEXTS = {
    "text": ("text_pair",),
    "text1": ("text2",),
    "text_a": ("text_b",),
    "sentence1": ("sentence2",),
    "sentence_a": ("sentence_b",),
    "premise": ("hypothesis",),
    "question1": ("question2",),
    "question": ("answer", "sentence", "passage"),
    "query": ("passage", "document", "answer"),
    "sentence": (),
    "content": (),
    "document": (),
    "utterance": (),
    "review": (),
    "body": (),
    "title": (),
}
"""Usual names of text columns, most likely first, each with the usual names of its second text."""

LABELS = (
    "label",
    "labels",
    "category",
    "class",
    "intent",
    "target",
    "topic",
    "sentiment",
    "emotion",
    "tags",
    "score",
)
QUESTION_IDS = ("question_id", "qid")


@dataclass(frozen=True)
class ColumnNames:
    """The column names that a user gave; None for columns to be found by their usual names.

    Args:
        text: The texts.
        text_pair: The second texts of pair tasks.
        label: The labels; several columns of 0 and 1 with commas between them, one per label.
        question_id: The question of each row in ranking tasks.
        label_delimiter: Separates the labels in a cell; makes the task multi-label.
        label_names: The labels of the positions of vectors of 0 and 1, or of several label columns, in order.
        out_of_scope: The label of rows that belong to no class.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    question_id: str | None = None
    label_delimiter: str | None = None
    label_names: tuple[str, ...] | None = None
    out_of_scope: str | None = None


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a task is read from.

    Args:
        text: The texts.
        text_pair: The second texts of pair tasks.
        label: The labels, or None for unlabelled rows.
        question_id: The question of each row in ranking tasks.
    """

    text: str
    text_pair: str | None = None
    label: str | None = None
    question_id: str | None = None

    def __str__(self) -> str:
        roles = {
            "texts": self.text,
            "second texts": self.text_pair,
            "labels": self.label,
            "question ids": self.question_id,
        }
        return ", ".join(f'{role} from "{name}"' for role, name in roles.items() if name is not None)


def find_columns(
    schema: pa.Schema,
    names: ColumnNames = ColumnNames(),
    *,
    labelled: bool = True,
    where: str = "the data",
) -> Columns:
    """Finds the columns of a task: first by the given names, then by usual names, then as the only candidate.

    Case and surrounding spaces are ignored. A second text is looked for only if neither text was named.

    Args:
        schema: The columns of the table.
        names: The names that the user gave.
        labelled: Whether labels are needed. If not, `label` of the result is None.
        where: Name of the data in messages.

    Raises:
        DataError: A named column does not exist, or is named twice, or the column to use is ambiguous.
    """
    first, second, gold, group = (
        None if wanted is None else match_column(schema, wanted, where)
        for wanted in (names.text, names.text_pair, names.label, names.question_id)
    )
    _check_roles({"text": first, "text_pair": second, "label": gold}, where)
    _check_roles({"label": gold, "question_id": group}, where)  # a question may be its own id
    free = [name for name in schema.names if name not in (first, second, gold, group)]

    def take(found: str | None) -> str | None:
        if found is not None:
            free.remove(found)
        return found

    group = group or take(_by_name(QUESTION_IDS, free))
    gold = gold or take(_by_name(LABELS, free))
    if first is None:
        strings = [name for name in free if is_string(schema.field(name).type)]
        first = take(_by_name(SECOND_TEXTS, free) or (_only(strings) if gold else None))
        if first is not None and second is None:
            second = take(_by_name(SECOND_TEXTS.get(_plain(first), ()), free))
    if first is not None and labelled:
        gold = gold or take(_only(free))
    if first is None or (labelled and gold is None):
        role, option = ("texts", "text") if first is None else ("labels", "label")
        usual = {*SECOND_TEXTS, *chain(*SECOND_TEXTS.values()), *LABELS, *QUESTION_IDS}
        unnamed = not usual.intersection(map(_plain, schema.names))
        raise DataError(
            f"it is not clear which column of {where} holds the {role}",
            f"name it with --{option} (in Python {option}=...), one of {', '.join(schema.names)}"
            + ("; or begin the file with a line of column names, if it has none" if unnamed else ""),
        )
    return Columns(first, second, gold if labelled else None, group)


_ROLES = {
    "text": "texts",
    "text_pair": "second texts",
    "label": "labels",
    "question_id": "question ids",
}


def _check_roles(named: Mapping[str, str | None], where: str) -> None:
    """Refuses one column for two roles; the names are those of the table."""
    roles: dict[str, str] = {}
    for role, name in named.items():
        if name is not None and roles.setdefault(name, role) != role:
            first, second = (one.replace("_", "-") for one in (roles[name], role))
            raise DataError(
                f'the column "{name}" of {where} is to hold the {_ROLES[roles[name]]} and the {_ROLES[role]}',
                f"name different columns with --{first} and --{second}",
            )


def find_model_columns(
    schema: pa.Schema,
    given: ColumnNames,
    trained: ColumnNames | None,
    *,
    labelled: bool = True,
    where: str = "the data",
) -> Columns:
    """Finds the columns that a trained model reads: those that the user names, else those of its training.

    Args:
        schema: The columns of the table.
        given: The names that the user gave.
        trained: What the training read; None if it is unknown, to find columns as `find_columns` does.
        labelled: Whether labels and question ids are needed. If not, only the texts are in the result.
        where: Name of the data in messages.

    Raises:
        DataError: A column does not exist, and the user named no other in its place; only one of the input and
            the training data has text pairs; or as for `find_columns`.
    """
    names = given
    for role, described in _ROLES.items():
        known = getattr(trained, role, None)
        if (
            known is None
            or getattr(given, role) is not None
            or not (labelled or role in ("text", "text_pair"))
        ):
            continue
        if written_name(schema, known) is None:
            option = role.replace("_", "-")
            raise DataError(
                f'{where} has no column "{known}", from which the training of the model read the {described}',
                f"name the column with --{option} (in Python {role}=...), one of {', '.join(schema.names)}",
            )
        names = replace(names, **{role: known})
    found = find_columns(schema, names, labelled=labelled, where=where)
    check_form(found.text_pair is not None, trained)
    return found if labelled else Columns(found.text, found.text_pair)


def check_form(pairs: bool, trained: ColumnNames | None) -> None:
    """Checks that the input has text pairs if and only if the model's training data had.

    Args:
        pairs: Whether the input has text pairs.
        trained: Columns of the training data; nothing is checked if they are unknown (None).

    Raises:
        DataError: Only one of the two has text pairs.
    """
    if trained is None or trained.text is None or pairs == (trained.text_pair is not None):
        return
    if pairs:
        raise DataError(
            "the texts are pairs, and the model was trained on single texts", "leave out the second texts"
        )
    raise DataError(
        "the texts are single ones, and the model was trained on pairs", "give each its second text as well"
    )


def label_column_to_fill(schema: pa.Schema, named: str | None, texts: Columns) -> str:
    """Returns the column for labels that are not there yet: as named, else by its usual names, else a new one.

    Args:
        schema: The columns of the table.
        named: The name that the user gave, or that of the training; None if it is unknown.
        texts: The columns of the texts, which are not taken.
    """
    found = (written_name(schema, name) for name in ([named] if named is not None else LABELS))
    taken = (None, texts.text, texts.text_pair)
    return next((name for name in found if name not in taken), None) or named or LABELS[0]


def written_name(schema: pa.Schema, wanted: str) -> str | None:
    """Returns the table's spelling of a column name, ignoring case and surrounding spaces; None if there is none."""
    return wanted if wanted in schema.names else _by_name([_plain(wanted)], schema.names)


def match_column(schema: pa.Schema, wanted: str, where: str) -> str:
    """Returns the table's spelling of a column name, as `written_name`.

    Raises:
        DataError: There is no such column.
    """
    found = written_name(schema, wanted)
    if found is None:
        raise DataError(
            f'{where} has no column "{wanted}"{did_you_mean(wanted, schema.names)}',
            f"choose one of its columns: {', '.join(schema.names)}",
        )
    return found


def written_columns(columns: Columns, schema: pa.Schema, where: str) -> Columns:
    """Returns the columns with the table's spelling of their names.

    Raises:
        DataError: One of them is missing.
    """
    written = {role: name and match_column(schema, name, where) for role, name in vars(columns).items()}
    return replace(columns, **written)


def _by_name(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    written = {_plain(name): name for name in reversed(names)}
    return next((written[name] for name in wanted if name in written), None)


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _plain(name: str) -> str:
    return name.strip().lower()
