"""Training rows followed by label texts, as one data set: further rows of their classes, or anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tellapart.data.batches.batching import JointDataset, TokenisedDataset
from tellapart.errors import DataError, RecipeError


def with_label_rows(
    train: TokenisedDataset, label_rows: TokenisedDataset | None, weight: float
) -> TokenisedDataset:
    """Returns the training rows followed by the label texts; only the training rows with weight 0.

    Args:
        train: The training rows, with labels.
        label_rows: The label texts, with labels of the same kind; or None.
        weight: Weight of a label text in losses that are means over rows; with 1 the data set has no weights.

    Raises:
        RecipeError: The weight is negative.
        DataError: Labels are missing, or numeric targets, or of two kinds; or the inputs differ.
    """
    if weight < 0:
        raise RecipeError(f"label_text_weight is {weight}", "give a weight from 0 up")
    if label_rows is None or weight == 0:
        return train
    _check(train, label_rows)
    rows = concatenated([train, label_rows])
    if weight != 1.0 or train.weights is not None:
        own = torch.ones(len(train)) if train.weights is None else train.weights
        rows.weights = torch.cat([own, torch.full((len(label_rows),), float(weight))])
    return rows


def with_anchors(rows: TokenisedDataset, label_rows: TokenisedDataset) -> TokenisedDataset:
    """Returns rows followed by label texts as anchors, which only belong to a batch in addition to its rows.

    Args:
        rows: Training rows, perhaps with label texts among them.
        label_rows: The label texts, with labels of the same kind.

    Raises:
        DataError: As `with_label_rows`.
    """
    _check(rows, label_rows)
    weights = torch.ones(len(rows)) if rows.weights is None else rows.weights
    anchored = concatenated([rows, label_rows])
    anchored.weights = torch.cat([weights, torch.zeros(len(label_rows))])
    anchored.anchors = torch.arange(len(anchored)) >= len(rows)
    return anchored


def anchor_count(batch: Mapping[str, Tensor]) -> int:
    """Returns the number of anchors in a batch of inputs."""
    return int(batch["anchors"].sum()) if "anchors" in batch else 0


def concatenated(parts: Sequence[TokenisedDataset]) -> TokenisedDataset:
    """Returns the rows of data sets of the same tokeniser one after the other; of fused encoders part by part.

    If some have soft targets, the targets of the others are their labels, with certainty. Weights are left out.

    Args:
        parts: With the same columns and padding, and with labels of one type.
    """
    first = parts[0]
    if isinstance(first, JointDataset):
        rows: TokenisedDataset = JointDataset(
            [
                concatenated([part.parts[number] for part in parts if isinstance(part, JointDataset)])
                for number in range(len(first.parts))
            ]
        )
    else:
        rows = _concatenated_tokens(parts)
    given = next((part.targets for part in parts if part.targets is not None), None)
    if given is not None:
        classes = given.shape[1]
        rows.targets = torch.cat(
            [_certain(part, classes) if part.targets is None else part.targets for part in parts]
        )
    return rows


def _certain(rows: TokenisedDataset, classes: int) -> Tensor:
    """Labels as probabilities, float32 (N, K)."""
    assert rows.labels is not None
    return (rows.labels if rows.labels.dim() == 2 else one_hot(rows.labels, classes)).float()


def _concatenated_tokens(parts: Sequence[TokenisedDataset]) -> TokenisedDataset:
    first = parts[0]
    labels = [part.labels for part in parts if part.labels is not None]
    cuts = [part.cut for part in parts if part.cut is not None]
    return TokenisedDataset(
        {name: torch.cat([part.columns[name] for part in parts]) for name in first.columns},
        torch.cat([part.lengths for part in parts]),
        torch.cat(labels) if len(labels) == len(parts) else None,
        first.padding,
        first.pad_left,
        torch.cat(cuts) if len(cuts) == len(parts) else None,
    )


def _check(train: TokenisedDataset, label_rows: TokenisedDataset) -> None:
    labels = [train.labels, label_rows.labels]
    if any(one is None or (one.dim() == 1 and one.is_floating_point()) for one in labels):
        raise DataError(
            "label texts and training rows need classes as labels",
            "give both with labels, or leave out label_texts",
        )
    kinds = [tuple(one.shape[1:]) for one in labels if one is not None]
    if kinds[0] != kinds[1] or _inputs(train) != _inputs(label_rows):
        raise DataError(
            "the label texts are tokenised in another way than the training rows, or have labels of another form",
            "prepare both by the same steps",
        )


def _inputs(rows: TokenisedDataset) -> list[str]:
    return sorted(name for name in rows.tensors() if not name.startswith("lengths"))
