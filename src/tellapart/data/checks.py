"""Data checks before training: leaks between splits, conflicting labels, duplicates, class sizes, truncation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, dataclass
from itertools import chain, combinations, islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tellapart.data.batches.encodings import encodings, is_plain_fast
from tellapart.data.examples import TextData, TextSplit
from tellapart.data.label_spelling import shown_name, similar_names
from tellapart.data.learnable import classes_without_text, has_ids_as_labels, has_one_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Severity = Literal["error", "warning", "info"]
SEVERITIES = get_args(Severity)

EXAMPLES = 5
"""Maximum number of examples per finding."""

SHARED_ERROR = 0.01
"""Share of a split's rows from which texts shared with train are an error: its metrics mean little."""

FEW_TEXTS = 8
"""Classes with fewer training texts than this are reported: they are too small to split."""

IMBALANCE = 10.0
"""Ratio of the largest to the smallest class from which imbalance is reported."""

TRUNCATION_WARNING = 0.05
"""Share of truncated texts from which truncation is a warning."""


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Args:
        kind: Stable key: `one_text`, `textless_classes`, `unique_labels`, `shared_texts`, `conflicting_labels`,
            `similar_labels`, `empty_texts`, `duplicate_texts`, `single_text_classes`, `small_classes`,
            `class_imbalance`, `absent_classes` or `truncation`.
        severity: `error` if metrics would mean little, `warning` or `info`.
        count: Number of affected rows, texts or classes.
        message: One readable sentence.
        examples: At most `EXAMPLES` readable examples.
    """

    kind: str
    severity: Severity
    count: int
    message: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lengths:
    """Lengths of the texts in tokens, special tokens included, before truncation.

    Args:
        max_length: The length at which texts will be truncated.
        truncated: Number of longer texts.
        share: Share of longer texts.
        median: Median length.
        percentile_95: 95th percentile.
        percentile_99: 99th percentile.
        longest: Maximum length.
        suggested: Smallest multiple of 8 that keeps 99 % of the texts whole, at most the model's limit.
    """

    max_length: int
    truncated: int
    share: float
    median: int
    percentile_95: int
    percentile_99: int
    longest: int
    suggested: int


@dataclass(frozen=True)
class DataReport:
    """Result of `check_data`.

    Args:
        source: The source as named by the user.
        problem_type: As in `LabelSpace`.
        rows: Number of rows by split.
        classes: Number of rows by split and class, without empty classes; empty for regression.
        findings: Errors first, then warnings, then the rest.
        lengths: Lengths in tokens, if a tokeniser was given.
        notes: Remarks on how the data were read.
    """

    source: str
    problem_type: str
    rows: dict[str, int]
    classes: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]
    lengths: Lengths | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain values for JSON."""
        return asdict(self)


def check_data(
    data: TextData, *, tokenizer: PreTrainedTokenizerBase | None = None, max_length: int = 128
) -> DataReport:
    """Checks a task for problems that spoil training or its metrics; for regression, without those about classes.

    Shared texts and conflicting labels ignore case and white space, duplicates within a split are exact; empty texts
    count as neither.

    Args:
        data: The task.
        tokenizer: Counts tokens; None to skip the truncation check.
        max_length: The length at which texts will be truncated, in tokens.
    """
    keys = {name: split.keys() for name, split in data.splits.items()}
    lengths = None if tokenizer is None else _lengths(data.splits.values(), tokenizer, max_length)
    classes = {name: _class_counts(split, data.labels.names) for name, split in data.splits.items()}
    findings = [
        *_not_learnable(data),
        *_shared_texts(data, keys),
        *_empty_texts(data),
        *_duplicate_texts(data),
        *_truncation(lengths),
    ]
    if not data.labels.regression:
        findings += [
            *_conflicting_labels(data, keys),
            *_similar_labels(data),
            *_small_classes(data, keys["train"]),
            *_class_imbalance(classes["train"]),
            *_absent_classes(data, classes),
        ]
    return DataReport(
        source=data.source,
        problem_type=data.labels.problem_type,
        rows={name: len(split) for name, split in data.splits.items()},
        classes=classes,
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        lengths=lengths,
        notes=data.notes,
    )


def _not_learnable(data: TextData) -> Iterator[Finding]:
    """What training refuses."""
    if has_one_text(data.train):
        message = "All training rows have the same text: nothing can be learned."
        yield Finding("one_text", "error", len(data.train), message)
    if has_ids_as_labels(data):
        message = (
            f"Every one of the {len(data.train)} rows has a label of its own: name the column of the labels."
        )
        yield Finding(
            "unique_labels", "error", len(data.train), message, _examples(map(shown_name, data.labels.names))
        )
    silent = classes_without_text(data.train)
    if silent:
        message = f"{len(silent)} class(es) have no training row with a text."
        yield Finding("textless_classes", "error", len(silent), message, _examples(map(shown_name, silent)))


def _similar_labels(data: TextData) -> Iterator[Finding]:
    groups = similar_names(data.labels.names)
    if groups:
        count = sum(map(len, groups))
        yield Finding(
            "similar_labels",
            "warning",
            count,
            f"{count} classes differ from another one only in case, white space, Unicode form, invisible "
            "characters, or as 1 and 1.0: they may be one class.",
            _examples(" | ".join(f'"{shown_name(name)}"' for name in group) for group in groups),
        )


def _shared_texts(data: TextData, keys: dict[str, list[str]]) -> Iterator[Finding]:
    for first, second in combinations(data.splits, 2):
        rows_of_first = {key: row for row, key in reversed([*enumerate(keys[first])]) if key.strip()}
        shared = [row for row, key in enumerate(keys[second]) if key in rows_of_first]
        if shared:
            share = len(shared) / len(keys[second])
            rows = f"{len(shared)} of {len(keys[second])} {second} rows ({share:.1%})"
            yield Finding(
                "shared_texts",
                "error" if share >= SHARED_ERROR else "warning",
                len(shared),
                f"{rows} have a text that is also in {first}.",
                _examples(
                    f"{_quoted(data.splits[second], row)}: {second} row {data.splits[second].number(row)}, "
                    f"{first} row {data.splits[first].number(rows_of_first[keys[second][row]])}"
                    for row in shared
                ),
            )


def _conflicting_labels(data: TextData, keys: dict[str, list[str]]) -> Iterator[Finding]:
    counts = Counter(chain.from_iterable(keys.values()))
    seen: dict[str, tuple[TextSplit, int, set[frozenset[str]]]] = {}
    for name, split in data.splits.items():
        for row, (key, labels) in enumerate(zip(keys[name], split.label_sets(), strict=True)):
            if counts[key] > 1 and key.strip():
                seen.setdefault(key, (split, row, set()))[2].add(labels)
    conflicts = [found for found in seen.values() if len(found[2]) > 1]
    if conflicts:
        yield Finding(
            "conflicting_labels",
            "warning",
            len(conflicts),
            f"{len(conflicts)} text(s) have several rows that differ in their label.",
            _examples(
                f"{_quoted(split, row)}: "
                + " | ".join(sorted(", ".join(sorted(names)) or "no label" for names in labels))
                for split, row, labels in conflicts
            ),
        )


def _empty_texts(data: TextData) -> Iterator[Finding]:
    for name, split in data.splits.items():
        texts = enumerate(zip(*split.columns, strict=True))
        rows = [row for row, columns in texts if not all(map(str.strip, columns))]
        if rows:
            yield Finding(
                "empty_texts",
                "warning",
                len(rows),
                f"{len(rows)} row(s) of {name} have an empty text.",
                _examples(f"{name} row {split.number(row)}" for row in rows),
            )


def _duplicate_texts(data: TextData) -> Iterator[Finding]:
    for name, split in data.splits.items():
        texts = [*zip(*split.columns, strict=True)]
        first_rows = {text: row for row, text in reversed([*enumerate(texts)])}
        repeated = [row for row, text in enumerate(texts) if first_rows[text] != row and text[0].strip()]
        if repeated:
            yield Finding(
                "duplicate_texts",
                "info",
                len(repeated),
                f"{len(repeated)} of {len(split)} {name} rows repeat the text of another {name} row.",
                _examples(
                    f"{_quoted(split, row)}: {name} rows {split.number(first_rows[texts[row]])} and "
                    f"{split.number(row)}"
                    for row in repeated
                ),
            )


def _small_classes(data: TextData, train_keys: list[str]) -> Iterator[Finding]:
    texts: dict[str, set[str]] = {name: set() for name in data.labels.names}
    for key, labels in zip(train_keys, data.train.label_sets(), strict=True):
        for label in labels:
            texts[label].add(key)
    counts = {name: len(keys) for name, keys in texts.items()}
    kinds: tuple[tuple[str, Severity, range, str], ...] = (
        (
            "single_text_classes",
            "warning",
            range(2),
            "at most one training text, so that none can be split off",
        ),
        ("small_classes", "info", range(2, FEW_TEXTS), f"fewer than {FEW_TEXTS} training texts"),
    )
    for kind, severity, sizes, what in kinds:
        names = [name for name, count in counts.items() if count in sizes]
        if names:
            examples = _examples(f"{name}: {counts[name]}" for name in names)
            yield Finding(kind, severity, len(names), f"{len(names)} class(es) have {what}.", examples)


def _class_imbalance(counts: dict[str, int]) -> Iterator[Finding]:
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    ratio = counts[largest] / counts[smallest]
    if ratio >= IMBALANCE:
        yield Finding(
            "class_imbalance",
            "info",
            len(counts),
            f"The largest class has {ratio:.0f} times as many training rows as the smallest.",
            _examples(f"{name}: {counts[name]}" for name in (largest, smallest)),
        )


def _absent_classes(data: TextData, classes: dict[str, dict[str, int]]) -> Iterator[Finding]:
    for split in classes:
        absent = [name for name in data.labels.names if name not in classes[split]]
        if absent:
            message = f"{len(absent)} of {len(data.labels)} classes have no row in {split}."
            yield Finding("absent_classes", "info", len(absent), message, _examples(absent))


def _truncation(lengths: Lengths | None) -> Iterator[Finding]:
    if lengths is None or not lengths.truncated:
        return
    if lengths.percentile_99 <= lengths.max_length:
        advice = f"99 % are whole; the longest has {lengths.longest}"
    elif lengths.suggested >= lengths.percentile_99:
        advice = f"--max-length {lengths.suggested} keeps 99 % whole"
    else:
        advice = f"the model reads at most {lengths.suggested}, or longer texts with --windows"
    yield Finding(
        "truncation",
        "warning" if lengths.share >= TRUNCATION_WARNING else "info",
        lengths.truncated,
        f"{lengths.truncated} text(s) ({lengths.share:.1%}) are longer than {lengths.max_length} tokens and will "
        f"be truncated; 95 % have at most {lengths.percentile_95}, 99 % at most {lengths.percentile_99}: {advice}.",
    )


def _lengths(splits: Iterable[TextSplit], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Lengths:
    tokens = np.concatenate([_token_counts(split, tokenizer) for split in splits])
    truncated = int((tokens > max_length).sum())
    median, at_95, at_99 = np.percentile(tokens, [50, 95, 99], method="higher").astype(int).tolist()
    return Lengths(
        max_length=max_length,
        truncated=truncated,
        share=truncated / len(tokens),
        median=median,
        percentile_95=at_95,
        percentile_99=at_99,
        longest=int(tokens.max()),
        suggested=min(-(-at_99 // 8) * 8, tokenizer.model_max_length),
    )


def _token_counts(split: TextSplit, tokenizer: Any, chunk: int = 1024) -> np.ndarray:
    """Returns the tokens of each row, int (N,); with several tokenisers, the maximum."""
    parts = getattr(tokenizer, "parts", [tokenizer])
    counts = np.zeros(len(split), dtype=np.int64)
    for start in range(0, len(split), chunk):
        rows = split.select(range(start, min(start + chunk, len(split))))
        for part in parts:
            its = [*map(len, _encoded(rows, part))]
            counts[start : start + chunk] = np.maximum(counts[start : start + chunk], its)
    return counts


def _encoded(split: TextSplit, tokenizer: Any) -> Sequence[Sized]:
    """Returns the tokens of each row, in any form that has a length."""
    if is_plain_fast(tokenizer):
        return encodings(split, tokenizer)
    encoded = tokenizer(*split.columns, truncation=False, return_attention_mask=False, verbose=False)
    return encoded["input_ids"]


def _class_counts(split: TextSplit, names: Sequence[str]) -> dict[str, int]:
    counts = Counter(label for labels in split.label_sets() for label in labels)
    return {name: counts[name] for name in names if counts[name]}


def _quoted(split: TextSplit, row: int, width: int = 60) -> str:
    short = (" ".join(column[row].split()) for column in split.columns)
    return " / ".join(f'"{text if len(text) <= width else text[: width - 1] + "…"}"' for text in short)


def _examples(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(found, EXAMPLES))
