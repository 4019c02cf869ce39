"""A tiny classifier, and rows in which the first token tells the class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders.pooling import set_pooling


@pytest.fixture
def tiny_model() -> Any:
    def make(
        classes: int = 3, *, pooling: str = "mean", dropout: float = 0.1, multi_label: bool = False
    ) -> Any:
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            num_labels=classes,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            problem_type="multi_label_classification" if multi_label else "single_label_classification",
        )
        model = BertForSequenceClassification(config)
        set_pooling(model, pooling)
        return model

    return make


@pytest.fixture
def rows() -> Any:
    def make(
        count: int = 64, classes: int = 3, *, multi_label: bool = False, seed: int = 0
    ) -> TokenisedDataset:
        random = np.random.default_rng(seed)
        lengths = random.integers(3, 12, count)
        labels = random.integers(0, classes, count)
        tokens = random.integers(10, 40, lengths.sum())
        starts = np.cumsum(lengths) - lengths
        tokens[starts] = labels + 1
        tokens[starts + 1] = labels + 1
        gold = np.eye(classes, dtype=np.float32)[labels] if multi_label else labels
        return TokenisedDataset({"input_ids": tokens}, lengths, gold)

    return make
