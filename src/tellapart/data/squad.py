"""Extractive question answering in the format of SQuAD, versions 1.1 and 2.0, and of the sets that follow it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.data.textfiles import kind_of
from tellapart.errors import DataError, did_you_mean


@dataclass(frozen=True)
class SquadAnswer:
    """An answer that people gave.

    Args:
        text: The answer, a part of the context.
        start: Where it begins in the context, in characters from 0, as published.
    """

    text: str
    start: int


@dataclass(frozen=True)
class SquadExample:
    """A question about a text.

    Args:
        id: The question's own id; no two examples of a file have the same.
        question: The question.
        context: The text that it asks about.
        answers: What counts as right; none where the text does not answer the question (SQuAD 2.0).
    """

    id: str
    question: str
    context: str
    answers: tuple[SquadAnswer, ...]


def read_squad(path: str | Path) -> list[SquadExample]:
    """Reads a file in the format of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822).

    Args:
        path: A JSON file: an object whose `data` lists articles, these `paragraphs` with a `context`, and these
            questions with their `answers` as `qas`.

    Returns:
        The questions in the order of the file, at least one.

    Raises:
        DataError: The file is missing, not in this format, or without questions; two questions have one id; or an
            answer begins outside its context. The message names the place.
    """
    path = Path(path)
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{did_you_mean(path.name, siblings)}", "check the path")
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})", "check how it was written") from error
    examples = [*_examples(content, str(path))]
    if not examples:
        raise DataError(f"{path} has no questions", "give a file with questions")
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f'{path} has two questions with the id "{example.id}"', "remove one of them")
        seen.add(example.id)
    return examples


def _examples(content: Any, where: str) -> Iterator[SquadExample]:
    for article, place in _listed(content, "data", where):
        for paragraph, below in _listed(article, "paragraphs", place):
            context = _value(paragraph, "context", str, below)
            for question, here in _listed(paragraph, "qas", below):
                yield SquadExample(
                    id=_value(question, "id", str, here),
                    question=_value(question, "question", str, here),
                    context=context,
                    answers=tuple(
                        _answer(answer, context, spot) for answer, spot in _listed(question, "answers", here)
                    ),
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
    """Yields the entries of a list with what to call each in messages."""
    for number, entry in enumerate(_value(holder, key, list, place), start=1):
        yield entry, f"{place}, {key} {number}"


def _value(holder: Any, key: str, kind: type, place: str) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = {str: "a text", int: "a number", list: "a list"}[kind]
        found = (
            kind_of(value) if isinstance(holder, dict) else f"not there, since {place} is {kind_of(holder)}"
        )
        raise DataError(
            f'"{key}" of {place} is {found}, not {expected}', "give a file in the format of SQuAD"
        )
    return value
