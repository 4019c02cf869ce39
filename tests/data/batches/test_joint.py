from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from tellapart.data.batches.batching import (
    BucketDataLoader,
    JointDataset,
    LengthBucketBatchSampler,
    TokenisedDataset,
    token_budget_batches,
)
from tellapart.data.batches.tokenising import tokenise, tokenised_rows
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError


class _Tokenizer:
    """Numbers for words, or for letters."""

    pad_token_type_id = 0

    def __init__(self, letters: bool, pad_token_id: int, padding_side: str = "right") -> None:
        self.letters, self.pad_token_id, self.padding_side = letters, pad_token_id, padding_side

    def __call__(
        self, texts: list[str], pairs: list[str] | None, *, max_length: int | None = None, **_: Any
    ) -> dict[str, list[list[int]]]:
        pieces = [list(text) if self.letters else text.split() for text in texts]
        return {"input_ids": [[len(piece) + 10 for piece in row][:max_length] for row in pieces]}


WORDS_AND_LETTERS = SimpleNamespace(parts=[_Tokenizer(False, 1), _Tokenizer(True, 2, "left")])
LABELS = LabelSpace(("a", "b"))
SPLIT = TextSplit(["one three", "two", "a an and"], labels=["b", "a", "a"])


@pytest.fixture
def rows() -> TokenisedDataset:
    return tokenise(SPLIT, WORDS_AND_LETTERS, max_length=6, labels=LABELS)


def test_a_batch_holds_every_tokenisation_padded_for_itself(rows):
    assert isinstance(rows, JointDataset)
    batch = rows.batch([1, 0])
    assert list(batch) == ["attention_mask", "input_ids", "attention_mask_2", "input_ids_2", "labels"]
    assert batch["input_ids"].tolist() == [[13, 1], [13, 15]]
    assert batch["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert batch["input_ids_2"].tolist() == [[2, 2, 2, 11, 11, 11], [11] * 6]
    assert batch["attention_mask_2"].tolist() == [[0, 0, 0, 1, 1, 1], [1] * 6]
    assert batch["labels"].tolist() == [0, 1]
    assert rows.lengths.tolist() == [2 + 6, 1 + 3, 3 + 6]
    assert rows.labels.tolist() == [1, 0, 0]


def test_rows_are_taken_one_by_one_several_and_by_a_loader(rows):
    assert len(rows) == 3
    assert rows[2]["input_ids"].tolist() == [[11, 12, 13]]
    assert torch.equal(rows.__getitems__([0, 2])["input_ids_2"], rows.batch([0, 2])["input_ids_2"])
    seen = [
        label
        for batch in BucketDataLoader(rows, LengthBucketBatchSampler(rows.lengths, 2))
        for label in batch["labels"].tolist()
    ]
    assert sorted(seen) == [0, 0, 1]
    assert sum(map(len, token_budget_batches(rows.lengths, 10))) == 3


def test_without_labels_a_batch_has_none(rows):
    unlabelled = tokenise(SPLIT, WORDS_AND_LETTERS, max_length=6)
    assert unlabelled.labels is None
    assert "labels" not in unlabelled.batch([0, 1])
    assert torch.equal(unlabelled.batch([0])["input_ids_2"], rows.batch([0])["input_ids_2"])


def test_one_part_more_is_one_name_more(rows):
    three = JointDataset([*rows.parts, rows.parts[0]])
    batch = three.batch([0])
    assert torch.equal(batch["input_ids_3"], batch["input_ids"])
    assert int(three.lengths[0]) == 2 + 6 + 2


def test_what_the_rows_are_made_of_differs_where_any_part_differs(rows):
    tensors = rows.tensors()
    assert set(tensors) == {"lengths", "input_ids", "lengths_2", "input_ids_2"}
    other = JointDataset([rows.parts[0], rows.parts[0]]).tensors()
    assert torch.equal(tensors["input_ids"], other["input_ids"])
    assert not torch.equal(tensors["lengths_2"], other["lengths_2"])


@pytest.mark.parametrize("kind", ["list", "datasets"])
def test_rows_of_a_transformers_script_are_taken_over(kind):
    dicts: Any = [
        {"input_ids": [5, 6], "input_ids_2": [7], "token_type_ids_2": [1], "label": 1, "other": "x"},
        {"input_ids": [5], "input_ids_2": [7, 8], "token_type_ids_2": [0, 1], "label": 0, "other": "y"},
    ]
    dataset = tokenised_rows(
        datasets.Dataset.from_list(dicts) if kind == "datasets" else dicts, WORDS_AND_LETTERS
    )
    assert isinstance(dataset, JointDataset)
    batch = dataset.batch([0, 1])
    assert batch["input_ids"].tolist() == [[5, 6], [5, 1]]
    assert batch["input_ids_2"].tolist() == [[2, 7], [7, 8]]
    assert batch["token_type_ids_2"].tolist() == [[0, 1], [0, 1]]
    assert "token_type_ids" not in batch
    assert batch["labels"].tolist() == [1, 0]


def test_tokenisations_of_different_rows_are_refused():
    first = TokenisedDataset({"input_ids": np.array([1, 2, 3])}, np.array([1, 2]))
    with pytest.raises(DataError, match="2 and 1 rows"):
        JointDataset([first, TokenisedDataset({"input_ids": np.array([1])}, np.array([1]))])


def test_a_row_is_cut_where_any_part_cut_it(rows):
    parts = [part.cut.tolist() for part in rows.parts]
    assert parts == [[False, False, False], [True, False, True]]  # three words at most, up to nine letters
    assert rows.cut.tolist() == [True, False, True]
    assert rows.cut_share == pytest.approx(2 / 3)
