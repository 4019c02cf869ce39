"""SHA-256 fingerprints of data sets."""

from __future__ import annotations

import hashlib
import json

from tellapart.data.examples import TextData


def rows_fingerprint(data: TextData) -> str:
    """Returns the SHA-256 of the texts, labels and question ids of every split, in order.

    Args:
        data: The task as read, before splitting or sampling.
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
