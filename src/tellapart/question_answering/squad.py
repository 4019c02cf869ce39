"""Reads extractive question answering data in the format of SQuAD 1.1 and 2.0."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tellapart.data.reading.jsontext import parse_json
from tellapart.data.reading.rows import read_splits
from tellapart.data.reading.tables import file_format
from tellapart.data.reading.textfiles import kind_of
from tellapart.errors import DataError, did_you_mean
from tellapart.files import user_path

EVALUATED = ("test", "validation", "train")
"""Splits to evaluate on, in order of preference."""


@dataclass(frozen=True)
class SquadAnswer:
    """A gold answer.

    Args:
        text: The answer, a part of the context.
        start: Published position in the context, in characters from 0.
    """

    text: str
    start: int


@dataclass(frozen=True)
class SquadExample:
    """A question about a text.

    Args:
        id: Id of the question, unique within a file.
        question: The question.
        context: The text.
        answers: The gold answers; empty if the text does not answer the question (SQuAD 2.0).
    """

    id: str
    question: str
    context: str
    answers: tuple[SquadAnswer, ...]


def read_squad(
    source: str | Path, *, split: str | None = None, with_answers: bool = True
) -> list[SquadExample]:
    """Reads questions in the format of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822).

    Args:
        source: A JSON file: an object whose `data` lists articles, these list `paragraphs` with a `context`, and
            these list questions with their `answers` as `qas`. Or a table with one question per row, as in
            `datasets`: a file, a folder of splits, or a Hub name such as `rajpurkar/squad`, with the columns `id`,
            `question`, `context` and `answers`, which holds the lists `text` and `answer_start`.
        split: The split of a table to read; by default the first of `EVALUATED` that exists. Ignored for sources
            without splits.
        with_answers: Whether questions need `answers`; without, those that are there are not read.

    Returns:
        The questions in their order, at least one.

    Raises:
        DataError: The source is missing, not in this format, or without questions; the split does not exist; two
            questions have the same id; or an answer starts outside its context. The message names the place.
    """
    examples = [*_read(source, split, with_answers)]
    if not examples:
        raise DataError(f"{source} has no questions", "give a file with questions")
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f'{source} has two questions with the id "{example.id}"', "remove one of them")
        seen.add(example.id)
    return examples


def _read(source: str | Path, split: str | None, with_answers: bool) -> Iterator[SquadExample]:
    path = user_path(source)
    is_file = path.is_file() or path.suffix.lower() == ".json"
    if not is_file or file_format(path) not in (None, "JSON"):
        return _table_examples(str(source), split, with_answers)
    content = _json(path)
    if isinstance(content, list) and content:
        return _table_examples(str(source), split, with_answers)
    return _examples(content, str(source), with_answers)


def _json(path: Path) -> Any:
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{did_you_mean(path.name, siblings)}", "check the path")
    try:
        return parse_json(path.read_bytes().decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})", "check how it was written") from error


def _table_examples(source: str, split: str | None, with_answers: bool) -> Iterator[SquadExample]:
    """Yields one question per row of a table in the format of `datasets`."""
    found = read_splits(source)
    tables = found.tables
    if len(tables) == 1 and user_path(source).is_file():
        name = next(iter(tables))
    else:
        name = next((one for one in ((split,) if split else EVALUATED) if one in tables), "")
    if not name:
        raise DataError(f"{source} has no {split} split, only {', '.join(tables)}", "name another source")
    where = source if len(tables) == 1 else f"{source} ({name})"
    for number, row in enumerate(tables[name].to_pylist(), start=1):
        place = f"{where}, row {number}"
        context = _value(row, "context", str, place)
        if not with_answers:
            yield _example(row, context, place, with_answers=False)
            continue
        answers = _value(row, "answers", dict, place)
        texts, starts = (_value(answers, key, list, f"{place}, answers") for key in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise DataError(
                f"{place} has {len(texts)} answers and {len(starts)} places of answers", "correct that row"
            )
        row["answers"] = [
            {"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)
        ]
        yield _example(row, context, place)


def _examples(content: Any, where: str, with_answers: bool) -> Iterator[SquadExample]:
    for article, place in _listed(content, "data", where):
        for paragraph, below in _listed(article, "paragraphs", place):
            context = _value(paragraph, "context", str, below)
            for question, here in _listed(paragraph, "qas", below):
                yield _example(question, context, here, with_answers=with_answers)


def _example(question: Any, context: str, place: str, *, with_answers: bool = True) -> SquadExample:
    answers = _listed(question, "answers", place) if with_answers else ()
    return SquadExample(
        id=_value(question, "id", str, place),
        question=_value(question, "question", str, place),
        context=context,
        answers=tuple(_answer(answer, context, spot) for answer, spot in answers),
    )


def _answer(answer: Any, context: str, place: str) -> SquadAnswer:
    found = SquadAnswer(_value(answer, "text", str, place), _value(answer, "answer_start", int, place))
    if not 0 <= found.start < len(context) or not found.text:
        raise DataError(
            f'{place} is the answer "{found.text}" from character {found.start} on, but its context has '
            f"{len(context)}",
            "correct it or remove the question",
        )
    return found


def _listed(holder: Any, key: str, place: str) -> Iterator[tuple[Any, str]]:
    """Yields the entries of a list with their names for messages."""
    for number, entry in enumerate(_value(holder, key, list, place), start=1):
        yield entry, f"{place}, {key} {number}"


def _value(holder: Any, key: str, kind: type, place: str) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = {str: "a text", int: "a number", list: "a list", dict: "an object"}[kind]
        found = (
            kind_of(value) if isinstance(holder, dict) else f"not there, since {place} is {kind_of(holder)}"
        )
        raise DataError(
            f'"{key}" of {place} is {found}, not {expected}', "give a file in the format of SQuAD"
        )
    return value


def questions_fingerprint(splits: Mapping[str, Sequence[SquadExample]]) -> str:
    """Returns the SHA-256 of the ids, questions, texts and answers of all splits, in their order."""
    digest = hashlib.sha256()
    for name, examples in splits.items():
        for example in examples:
            digest.update((json.dumps([name, asdict(example)], ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()
