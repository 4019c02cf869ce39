"""SHA-256 fingerprints of data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from tellapart.data.examples import TextData

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` builds an encoder for every value


def rows_fingerprint(data: TextData) -> str:
    """Returns the SHA-256 of the texts, labels and question ids of every split, in order.

    Args:
        data: The task as read, before splitting or sampling.
    """
    columns = [
        (name, [column if column is not None else [None] * len(split) for column in _columns(split)])
        for name, split in data.splits.items()
    ]
    return _sha256([name, *row] for name, named in columns for row in zip(*named, strict=True))


def column_fingerprints(data: TextData) -> dict[str, dict[str, str]]:
    """Returns the SHA-256 of each column that a run trains or is evaluated on, by the key of its recipe.

    Args:
        data: The task as read, before splitting or sampling.

    Returns:
        `data.source`, `data.unlabelled`, `data.label_texts` and `data.out_of_scope`, as far as there are such rows:
        what is fingerprinted, such as "labels of train", to its fingerprint. Labels of unlabelled texts are left out.
    """
    classes = [*data.labels.names, data.labels.problem_type]
    found = {"data.source": {"classes": _sha256(classes)}}
    for name, split in data.splits.items():
        for what, column in zip(
            ("texts", "second texts", "labels", "question ids"), _columns(split), strict=True
        ):
            if column is not None:
                found["data.source"][f"{what} of {name}"] = _sha256(column)
    if data.unlabelled is not None:
        found["data.unlabelled"] = {"unlabelled texts": _sha256(zip(*data.unlabelled.columns, strict=True))}
    if data.label_texts is not None:
        described = zip(data.label_texts.texts, data.label_texts.labels or (), strict=True)
        found["data.label_texts"] = {"label texts": _sha256(described)}
    if data.out_of_scope:
        found["data.out_of_scope"] = {
            f"out-of-scope texts of {name}": _sha256(zip(*split.columns, strict=True))
            for name, split in data.out_of_scope.items()
        }
    return found


def _columns(split: Any) -> tuple[Any, ...]:
    return split.texts, split.text_pairs, split.labels, split.question_ids


def _sha256(values: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update((_ENCODE(value) + "\n").encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
