"""Tiny random classifiers of the families that users bring."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.encoders import han, textcnn  # noqa: F401  known to the Auto classes

SMALL = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
DISTILBERT = {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
MODERNBERT = SMALL | {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
OPTIONS = {
    "distilbert": DISTILBERT | {"max_position_embeddings": 40},
    "albert": SMALL | {"embedding_size": 8},
    "electra": SMALL | {"embedding_size": 16},
    "modernbert": MODERNBERT,
    "tellapart-textcnn": {"vocab_size": 60, "embedding_size": 8, "filters": 6},
    "tellapart-han": {"vocab_size": 60, "embedding_size": 8, "gru_size": 5},
}


@pytest.fixture
def make_model() -> Any:
    def make(family: str, classes: int = 3, **options: Any) -> Any:
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, num_labels=classes, **OPTIONS.get(family, SMALL) | options)
        model = AutoModelForSequenceClassification.from_config(config)
        for parameter in model.parameters():  # biases and norms that are not 0 and 1 show what is left out
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    """Four rows of different lengths, padded."""
    torch.manual_seed(1)
    lengths = torch.tensor([9, 4, 1, 7])
    mask = (torch.arange(9) < lengths[:, None]).long()
    return {"input_ids": torch.randint(5, 60, (4, 9)) * mask, "attention_mask": mask}
