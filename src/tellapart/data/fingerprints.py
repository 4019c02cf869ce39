"""What tells whether two people had the same rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from tellapart.data.examples import TextData
from tellapart.data.squad import SquadExample


def rows_fingerprint(data: TextData) -> str:
    """Returns the SHA-256 of all rows in their order: texts, labels and question ids of every split.

    Args:
        data: The task as it was read, before rows are split off or drawn.
    """
    digest = hashlib.sha256()
    for name, split in data.splits.items():
        columns = [
            column if column is not None else [None] * len(split)
            for column in (split.texts, split.text_pairs, split.labels, split.question_ids)
        ]
        for row in zip(*columns, strict=True):
            digest.update((json.dumps([name, *row], ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()


def questions_fingerprint(splits: Mapping[str, Sequence[SquadExample]]) -> str:
    """Returns the SHA-256 of all questions in their order: ids, questions, texts and answers of every split."""
    digest = hashlib.sha256()
    for name, examples in splits.items():
        for example in examples:
            digest.update((json.dumps([name, asdict(example)], ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()
