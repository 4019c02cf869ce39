"""Texts that describe the classes: readable class names, or descriptions that the user gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import written_name
from tellapart.data.reading.jsontext import parse_json
from tellapart.data.reading.tables import explaining, file_format, read_table, readable_file
from tellapart.data.reading.textfiles import kind_of
from tellapart.errors import DataError, shortened
from tellapart.files import user_path
from tellapart.plain_yaml import MAX_SIZE, parse_yaml

NONE, NAMES, AUTO = "none", "names", "auto"

LabelTexts = str | Mapping[str, Any]
"""`none`, `names`, `auto`, the path of a file, or a mapping of class names to one or several texts."""

_CLASS_COLUMNS = ("class", "label", "category", "intent", "name")
_TEXT_COLUMNS = ("text", "texts", "description", "descriptions", "label_text")
_YAML = {".yaml": "YAML", ".yml": "YAML"}

# Share of the class names that must consist of words.
_WORD_SHARE = 2 / 3


def readable_name(name: str) -> str:
    """Returns a class name as words: split at `_ - / . :` and camel case, in lower case.

    Args:
        name: Such as `card_lost`, `rec.sport.hockey` or `CardLost`; these give `card lost`, `rec sport hockey` and
            `card lost`.
    """
    return " ".join(" ".join(_camel_parts(part)) for part in re.split(r"[_\-/.:\s]+", name) if part).lower()


def names_are_words(names: Iterable[str]) -> bool:
    """Returns whether class names say what the classes are, by their form; no dictionary is used.

    At least two thirds of the names must have more words than other parts. Words are letters only, at least two, and
    in the Latin alphabet with a vowel. Capitals of up to four letters count as an abbreviation. Numbers, codes
    (`c12`), single letters and numbered names (`label_3`) are not words.
    """
    described = [_is_described(name) for name in names]
    return bool(described) and sum(described) >= _WORD_SHARE * len(described)


def read_label_texts(given: LabelTexts, labels: LabelSpace, *, pairs: bool = False) -> TextSplit | None:
    """Returns the texts that describe the classes, in the order of the classes.

    Args:
        given: `names` for the readable class names; `auto` for the same if `names_are_words`, no two are equal and
            the rows are no pairs; `none`; or descriptions, one or several for each class: a mapping, or a file. A
            table (CSV, TSV, JSON Lines, JSON, Parquet) has the columns class and text, or exactly two columns; JSON
            and YAML may also hold a mapping of classes to texts.
        labels: The classes.
        pairs: Whether the rows of the task are pairs; label texts then have an empty second text.

    Returns:
        One row per text, labelled with its class; None for `none`, and for `auto` if the names are no words.

    Raises:
        DataError: The labels are numeric targets; a class is unknown or has no text; a text is empty, or describes
            two classes; the file cannot be read.
    """
    if given == NONE:
        return None
    if given == AUTO and (pairs or labels.regression):  # the name of a relation is no pair of texts
        return None
    if labels.regression:
        raise DataError("numeric targets have no label texts", "leave out --label-texts (data.label_texts)")
    if given == AUTO and not _usable(labels.names):
        return None
    if given in (NAMES, AUTO):
        texts = {name: [readable_name(name)] for name in labels.names}
        where, remedy = "the class names", "give descriptions in a file: --label-texts FILE"
    elif isinstance(given, Mapping):
        texts, where = _of_mapping(given, "label_texts"), "label_texts"
        remedy = "describe every class by words of its own"
    else:
        texts, where = _of_file(given, labels), str(given)
        remedy = "describe every class by words of its own"
    texts = _trimmed(texts, labels)
    _check(texts, labels, where, remedy)
    rows = [(text, name) for name in labels.names for text in dict.fromkeys(texts[name])]
    return TextSplit(
        [text for text, _ in rows],
        [""] * len(rows) if pairs else None,
        [[name] for _, name in rows] if labels.multi_label else [name for _, name in rows],
    )


def decided(given: LabelTexts, texts: TextSplit | None) -> LabelTexts:
    """Returns `names` or `none` for `auto`, by what `read_label_texts` returned; other values as they are."""
    return (NONE if texts is None else NAMES) if given == AUTO else given


def label_text_note(given: LabelTexts, texts: TextSplit | None, labels: LabelSpace) -> str:
    """Returns a sentence on the label texts in use and their origin, or on why `auto` uses none."""
    if texts is None and labels.regression:
        return "Numeric targets have no label texts."
    if texts is None:
        return (
            f'The class names are no distinct words (such as "{labels.names[0]}"): no label texts are used.'
        )
    origin = "the class names"
    if given not in (NAMES, AUTO):
        origin = "the descriptions given" if isinstance(given, Mapping) else str(given)
    examples = " and ".join(f'"{text}"' for text in texts.texts[:2])
    return f"{len(texts)} label texts from {origin} join the training rows, such as {examples}."


def with_rows(split: TextSplit, further: TextSplit) -> TextSplit:
    """Returns a labelled split with further labelled rows at its end, without question ids."""
    assert split.labels is not None
    assert further.labels is not None
    pairs = None
    if split.text_pairs is not None:
        pairs = [*split.text_pairs, *(further.text_pairs or [""] * len(further))]
    labels: Any = [*split.labels, *further.labels]
    return TextSplit([*split.texts, *further.texts], pairs, labels)


def _camel_parts(part: str) -> list[str]:
    """Splits before a capital after a small letter, and before the last of several capitals (`HTTPError`)."""
    starts = [
        place
        for place, (before, letter) in enumerate(pairwise(part), start=1)
        if letter.isupper()
        and (before.islower() or (before.isupper() and part[place + 1 : place + 2].islower()))
    ]
    return [part[start:end] for start, end in zip([0, *starts], [*starts, len(part)], strict=True)]


def _is_described(name: str) -> bool:
    parts = [word for part in re.split(r"[_\-/.:\s]+", name) for word in _camel_parts(part) if word]
    words = sum(map(_is_word, parts))
    return words > len(parts) - words


def _is_word(part: str) -> bool:
    if not part.isalpha():
        return False
    if not part.isascii():
        return True  # one character can be a word, as in Chinese
    abbreviation = part.isupper() and len(part) <= 4
    return len(part) > 1 and not abbreviation and re.search("[aeiouy]", part, re.IGNORECASE) is not None


def _usable(names: Sequence[str]) -> bool:
    readable = [readable_name(name) for name in names]
    return names_are_words(names) and all(readable) and len(set(readable)) == len(readable)


def _of_file(path: str, labels: LabelSpace) -> dict[str, list[str]]:
    """Reads the texts of each class from a file."""
    file = user_path(path)
    kind = _YAML.get(file.suffix.lower()) or file_format(file)
    if kind is None and not file.exists():
        raise DataError(
            f'label_texts is "{path}", which is no file', "give names, auto, none or the path of a file"
        )
    if kind not in ("JSON", "YAML"):
        return _of_table(file, labels)
    readable_file(file, kind)
    with explaining(file, kind):
        written = file.read_bytes().decode("utf-8-sig")
        # All values of YAML stay strings: a class called no or 1 is a name here.
        most = max(MAX_SIZE, 2 * len(written))  # data may be large; what aliases stand for may not
        parse = (
            partial(parse_yaml, error=DataError, strings=True, most=most) if kind == "YAML" else parse_json
        )
        content = parse(written, path)
    if isinstance(content, Mapping):
        return _of_mapping(content, path)
    if isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        return _of_records(content, path)
    raise DataError(
        f"{path} holds neither a mapping of classes to texts nor a list of records",
        "write each class with its text, such as lost: my card is lost",
    )


def _of_mapping(given: Mapping[Any, Any], where: str) -> dict[str, list[str]]:
    texts = {}
    for name, value in given.items():
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list | tuple) or not all(isinstance(text, str) for text in several):
            raise DataError(
                f'{where} describes the class "{shortened(name)}" by {shortened(repr(value))}, which is no text',
                "give one text, or a list of texts",
            )
        texts[str(name)] = list(several)
    return texts


def _of_records(rows: Sequence[Mapping[str, Any]], where: str) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for number, row in enumerate(rows, start=1):
        written = {str(key).strip().lower(): value for key, value in row.items()}
        name = next((written[key] for key in _CLASS_COLUMNS if key in written), None)
        text = next((written[key] for key in _TEXT_COLUMNS if key in written), None)
        if name is None or text is None:
            raise DataError(
                f"record {number} of {where} lacks a class or a text",
                "write records with the keys class and text",
            )
        _add(texts, name, text, where)
    return texts


def _add(texts: dict[str, list[str]], name: Any, text: Any, where: str) -> None:
    """Adds the texts of a class to those that it has."""
    if isinstance(name, list | dict):
        raise DataError(f"{where} has {kind_of(name)} as the name of a class", "write one name per row")
    for added, values in _of_mapping({name: text}, where).items():
        texts.setdefault(added, []).extend(values)


def _of_table(file: Path, labels: LabelSpace) -> dict[str, list[str]]:
    table = read_table(file)
    names = table.schema.names
    columns = [
        next((found for known in kinds if (found := written_name(table.schema, known))), None)
        for kinds in (_CLASS_COLUMNS, _TEXT_COLUMNS)
    ]
    rows: list[tuple[Any, Any]] = []
    if None in columns:
        if len(names) != 2:
            raise DataError(
                f"{file} has the columns {', '.join(names)}, and label texts need class and text",
                "name the columns class and text, or keep only these two",
            )
        columns = list(names)
        if names[0] in labels.label2id:  # the file has no header, and this is its first row
            rows.append((names[0], names[1]))
    rows += zip(*(table[column].to_pylist() for column in columns), strict=True)
    texts: dict[str, list[str]] = {}
    for name, text in rows:
        _add(texts, name, text, str(file))
    return texts


def _trimmed(texts: dict[str, list[str]], labels: LabelSpace) -> dict[str, list[str]]:
    """Removes the spaces around class names that the data have without them."""
    trimmed: dict[str, list[str]] = {}
    for name, several in texts.items():
        trimmed.setdefault(name if name in labels.label2id else name.strip(), []).extend(several)
    return trimmed


def _check(texts: dict[str, list[str]], labels: LabelSpace, where: str, remedy: str) -> None:
    """Checks that every class has texts of its own, and no other class has any."""
    labels.check_names(texts, f"{where} describes")
    missing = [name for name in labels.names if not texts.get(name)]
    if missing:
        others = "" if len(missing) == 1 else f" and {len(missing) - 1} other class(es)"
        raise DataError(f'{where} has no text for the class "{missing[0]}"{others}', "describe every class")
    owners: dict[str, str] = {}
    for name, several in texts.items():
        for text, key in zip(several, TextSplit(several).keys(), strict=True):
            if not key:
                raise DataError(f'the text of the class "{name}" in {where} is empty', remedy)
            if owners.setdefault(key, name) != name:
                raise DataError(
                    f'the classes "{owners[key]}" and "{name}" have the same text "{text}" in {where}', remedy
                )
