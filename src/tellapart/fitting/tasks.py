"""Tokenised training and validation rows, with the metrics of the task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.evaluation.metrics import Metric, find_metric, main_metric
from tellapart.evaluation.ranking import WithoutPositive
from tellapart.evaluation.task import is_ranking, task_metrics
from tellapart.training.scale import TargetScale


@dataclass(frozen=True)
class Task:
    """Training rows, validation rows and metrics of a stage.

    Args:
        labels: The classes.
        train: Training rows.
        validation: Rows that select the best checkpoint, or None.
        validation_split: The same rows as texts, with their question ids.
        ranking: Whether rows are answers to be ranked by question.
        without_positive: How questions without a relevant row are counted.
        metric: The official metric of a benchmark set, or None.
        scale: For regression: the standardisation of the targets in `train` and `validation`.
        label_rows: Label texts with their classes, further training rows that count nowhere else; or None.
    """

    labels: LabelSpace
    train: TokenisedDataset
    validation: TokenisedDataset | None
    validation_split: TextSplit | None
    ranking: bool = False
    without_positive: WithoutPositive = "skip"
    metric: str | None = None
    scale: TargetScale | None = None
    label_rows: TokenisedDataset | None = None

    @classmethod
    def of(
        cls,
        data: TextData,
        tokenizer: Any,
        max_length: int,
        without_positive: WithoutPositive = "skip",
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> Task:
        """Tokenises the training and validation rows once and standardises regression targets.

        Args:
            data: The splits.
            tokenizer: That of the model.
            max_length: Longest input in tokens.
            without_positive: How questions without a relevant row are counted.
            targets: Soft targets of the training rows, probabilities (N, K); see `TokenisedDataset.with_targets`.
            weights: Weights of the training rows in losses that are means over rows (N,); None if all are 1.

        Raises:
            DataError: A label is unknown, or the targets do not fit the rows.
        """
        scale = TargetScale.of(data.train) if data.labels.regression else None

        def tokenised(split: TextSplit) -> TokenisedDataset:
            if scale is not None:
                split = scale.standardised(split)
            return tokenise(split, tokenizer, max_length=max_length, labels=data.labels)

        train = tokenised(data.train)
        if weights is not None:
            train.weights = torch.as_tensor(weights, dtype=torch.float32)
        return cls(
            labels=data.labels,
            train=train if targets is None else train.with_targets(targets),
            validation=None if data.validation is None else tokenised(data.validation),
            validation_split=data.validation,
            ranking=is_ranking(data.labels, data.train),
            without_positive=without_positive,
            metric=data.metric,
            scale=scale,
            label_rows=None if data.label_texts is None else tokenised(data.label_texts),
        )

    def weighted_label_rows(self, weight: float) -> TokenisedDataset | None:
        """Returns the label texts as rows of a loss in which they have a weight; None with weight 0."""
        return self.label_rows if weight > 0 else None

    @property
    def cut_shares(self) -> dict[str, float]:
        """Share of truncated rows, by split name."""
        splits = {"train": self.train, "validation": self.validation}
        shares = {name: rows.cut_share for name, rows in splits.items() if rows is not None}
        return {name: share for name, share in shares.items() if share is not None}

    def cut_notes(self, max_length: int) -> tuple[str, ...]:
        """Returns a note on truncated training rows; empty if there are none."""
        if self.train.cut is None or not self.train.cut.any():
            return ()
        count, rows = int(self.train.cut.sum()), len(self.train)
        return (
            f"{count} of {rows} training rows ({count / rows:.1%}) are longer than {max_length} tokens and were cut.",
        )

    @property
    def main_metric(self) -> str:
        """The metric that selects the best checkpoint by default."""
        return self.metric or main_metric(self.labels, ranking=self.ranking)

    def find_metric(self, name: str) -> Metric:
        """Looks up a metric of the task.

        Raises:
            RecipeError: The task has no metric of that name.
        """
        return find_metric(self.labels, name, ranking=self.ranking)

    def validation_metrics(self, logits: np.ndarray) -> dict[str, float]:
        """Computes all metrics of the validation rows from their logits (N, K), targets in their original unit."""
        assert self.validation_split is not None
        if self.scale is not None:
            logits = self.scale.restored(logits)
        split = self.validation_split if self.ranking else replace(self.validation_split, question_ids=None)
        return task_metrics(self.labels, split, logits, without_positive=self.without_positive)

    def metrics_of_prediction(self, prediction: EvalPrediction) -> dict[str, float]:
        """Computes `validation_metrics` as the `compute_metrics` of a Trainer."""
        return self.validation_metrics(prediction.predictions)


def check_rankable(data: TextData, without_positive: WithoutPositive) -> None:
    """Checks before training that validation and test answers can be ranked.

    Raises:
        DataError: A split has no question with a relevant answer, or questions without one are not allowed.
    """
    for name in ("validation", "test"):
        split = data.splits.get(name)
        if split is not None and split.labels is not None and is_ranking(data.labels, split):
            equal = np.zeros((len(split), len(data.labels)))
            task_metrics(data.labels, split, equal, without_positive=without_positive)


def row_weights(train: TextSplit, weights: np.ndarray | None) -> np.ndarray | None:
    """Returns the product of a split's weights and further ones (N,); None if all are 1."""
    if train.weights is None:
        return weights
    own = np.asarray(train.weights, dtype=np.float64)
    return own if weights is None else own * weights
