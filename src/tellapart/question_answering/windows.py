"""Splits long texts into overlapping windows, with the answer positions in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.errors import ModelError, RecipeError
from tellapart.question_answering.squad import SquadExample

LONGEST_QUESTION = 64
"""Longest question in tokens, as in BERT's experiments; at most a quarter of a window is used."""


class QAWindows(TokenisedDataset):
    """Windows, each a question and a part of its text: `[CLS] question [SEP] part [SEP]`, or the tokeniser's format.

    Args:
        columns: As for `TokenisedDataset`.
        lengths: Tokens per window, int (W,).
        padding: Padding id per column.
        examples: Index of the question of each window, int (W,), ascending.
        offsets: Start and end character (exclusive) of each token of the text, −1 for other tokens; flat like the
            columns, int (T, 2).
        no_answer: Position of the "no answer" token in each window, int (W,).
        positions: First and last token of the answer in each window, int (W, 2), or None.
    """

    def __init__(
        self,
        columns: dict[str, np.ndarray],
        lengths: np.ndarray,
        padding: dict[str, int],
        *,
        examples: np.ndarray,
        offsets: np.ndarray,
        no_answer: np.ndarray,
        positions: np.ndarray | None = None,
    ) -> None:
        super().__init__(columns, lengths, positions, padding)
        self.examples, self.offsets, self.no_answer = examples, offsets, no_answer

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns padded tensors (B, L), with `start_positions` and `end_positions` (B,) if known."""
        batch = super().batch(indices)
        if "labels" in batch:
            batch["start_positions"], batch["end_positions"] = batch.pop("labels").unbind(dim=1)
        return batch

    def tokens(self, window: int) -> slice:
        """Returns the slice of a window's tokens in the flat arrays."""
        start = int(self.starts[window])
        return slice(start, start + int(self.lengths[window]))


def qa_windows(
    examples: Sequence[SquadExample],
    tokenizer: Any,
    *,
    max_length: int = 384,
    stride: int = 128,
    with_answers: bool = False,
) -> QAWindows:
    """Tokenises questions and splits their texts into windows.

    Args:
        examples: The questions.
        tokenizer: A fast Transformers tokeniser, which provides character offsets.
        max_length: Longest window in tokens, including the question and special tokens.
        stride: Tokens by which consecutive windows overlap.
        with_answers: Whether to find the first answer of each question. Windows without the whole answer point to the
            "no answer" token.

    Raises:
        ModelError: The tokeniser is not a fast one.
        RecipeError: Question and stride leave no room for new text in a window.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            "the model's tokeniser provides no character offsets", "choose a model with a fast tokeniser"
        )
    longest = min(LONGEST_QUESTION, max_length // 4)
    if stride < 0:
        raise RecipeError(f"windows cannot share {stride} tokens", "use a --stride of 0 or more")
    if max_length - longest - tokenizer.num_special_tokens_to_add(pair=True) <= stride:
        raise RecipeError(
            f"windows of {max_length} tokens that share {stride} leave no room for new text beside a question",
            "use a larger --max-length or a smaller --stride",
        )
    encoded = tokenizer(
        [_cut(example.question.strip(), tokenizer, longest) for example in examples],
        [example.context for example in examples],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
    )
    questions = np.array(encoded["overflow_to_sample_mapping"], dtype=np.int64)
    offsets = []
    for window, mapping in enumerate(encoded["offset_mapping"]):
        of_text = np.array([part == 1 for part in encoded.sequence_ids(window)])
        offsets.append(np.where(of_text[:, None], np.array(mapping, dtype=np.int64), -1))
    cls = tokenizer.cls_token_id
    no_answer = np.array([ids.index(cls) if cls in ids else 0 for ids in encoded["input_ids"]])
    positions = None
    if with_answers:
        found = [
            _positions(examples[question], offset, none)
            for question, offset, none in zip(questions, offsets, no_answer, strict=True)
        ]
        positions = np.array(found, dtype=np.int64)
    ragged = {name: encoded[name] for name in ("input_ids", "token_type_ids") if name in encoded}
    return QAWindows(
        {
            name: np.concatenate([np.array(row, dtype=np.int32) for row in rows])
            for name, rows in ragged.items()
        },
        np.array([len(ids) for ids in encoded["input_ids"]]),
        {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id or 0},
        examples=questions,
        offsets=np.concatenate(offsets),
        no_answer=no_answer,
        positions=positions,
    )


def _cut(question: str, tokenizer: Any, longest: int) -> str:
    mapping = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(mapping) <= longest else question[: mapping[longest - 1][1]]


def _positions(example: SquadExample, offsets: np.ndarray, no_answer: int) -> tuple[int, int]:
    """First and last token of the answer, or twice the "no answer" token."""
    if not example.answers:
        return no_answer, no_answer
    text = example.answers[0].text
    # White space around an answer belongs to no token.
    start = example.answers[0].start + len(text) - len(text.lstrip())
    end = start + len(text.strip())
    if start == end:
        return no_answer, no_answer
    of_text = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    first = [place for place in of_text if offsets[place, 0] <= start < offsets[place, 1]]
    last = [place for place in of_text if offsets[place, 0] < end <= offsets[place, 1]]
    return (int(first[0]), int(last[-1])) if first and last else (no_answer, no_answer)
