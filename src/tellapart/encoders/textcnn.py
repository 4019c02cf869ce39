"""TextCNN (Kim 2014): windows of words, the strongest answer of each filter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from tellapart.encoders.classification import SequenceClassifier, initialise, token_mask
from tellapart.encoders.convolution import max_over_time
from tellapart.encoders.vectors import RANDOM_RANGE


class TextCNNConfig(PreTrainedConfig):
    """The sizes of a TextCNN; the defaults are Kim's (2014, §3.1).

    Args:
        vocab_size: Rows of the embedding table.
        embedding_size: Width of the embeddings.
        filter_widths: Words that the filters of each kind see.
        filters: Filters of each kind.
        embedding_dropout: Rate on the embeddings. The paper has none; without it two passes over a text give
            one representation, and objectives that compare two have nothing to compare.
        classifier_dropout: Rate on v, before the final linear layer.
        max_norm: Largest Euclidean norm of each row of the final linear layer, held after every optimiser step;
            None for no limit.
    """

    model_type = "tellapart-textcnn"

    vocab_size: int = 30_000
    embedding_size: int = 300
    filter_widths: list[int] | tuple[int, ...] = (3, 4, 5)
    filters: int = 100
    embedding_dropout: float = 0.1
    classifier_dropout: float = 0.5
    max_norm: float | None = 3.0
    num_hidden_layers: int = 1
    pad_token_id: int | None = 0

    @property
    def hidden_size(self) -> int:
        """Width of v."""
        return len(self.filter_widths) * self.filters


class TextCNNPreTrainedModel(PreTrainedModel):
    """Where a TextCNN's weights start."""

    config_class = TextCNNConfig
    base_model_prefix = "textcnn"
    _input_embed_layer = "embeddings"

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, RANDOM_RANGE)


class TextCNNModel(TextCNNPreTrainedModel):
    """Texts to v: convolutions over embeddings, ReLU, and the maximum over time (Eq. 2 and 3).

    Padding never changes a result. A filter of width h sees the windows that lie inside the text; a text of fewer
    than h words is one window, filled up with zeros; so is an empty text.

    Args:
        config: The sizes.

    References:
        Kim (2014), Convolutional Neural Networks for Sentence Classification, §2.
    """

    def __init__(self, config: TextCNNConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.embedding_size, config.filters, width) for width in config.filter_widths
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPooling:
        """Encodes texts.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 0 where there is padding; by default wherever the padding id is.

        Returns:
            `pooler_output`: v (B, len(filter_widths) · filters), not negative.
        """
        padding = self.config.pad_token_id
        mask = token_mask(input_ids, attention_mask, padding)
        tokens = _aligned_left(input_ids.masked_fill(~mask, padding), mask)
        widest = max(self.config.filter_widths)
        # An exported graph has no branches: it pads as if every text were of one word.
        shortfall = widest - (1 if torch.compiler.is_exporting() else tokens.shape[1])
        if shortfall > 0:
            tokens = functional.pad(tokens, (0, shortfall), value=padding)
        vectors = self.dropout(self.embeddings(tokens))  # (B, L, d), 0 at padding
        strongest = max_over_time(
            vectors,
            [convolution.get_parameter("weight") for convolution in self.convolutions],
            [convolution.get_parameter("bias") for convolution in self.convolutions],
            mask.sum(1),
        )
        # The maximum of ReLUs is the ReLU of the maximum.
        return BaseModelOutputWithPooling(pooler_output=strongest.relu())


class TextCNNForSequenceClassification(TextCNNPreTrainedModel, SequenceClassifier):
    """A TextCNN with dropout and a final linear layer, whose rows' norms are limited.

    Args:
        config: The sizes, with `num_labels`.
    """

    encoder_class = TextCNNModel

    @torch.no_grad()
    def constrain_(self) -> None:
        """Shortens rows of the final layer that are longer than `max_norm`; for after each optimiser step."""
        if self.config.max_norm is not None:
            weight = self.classifier.weight
            weight.copy_(torch.renorm(weight, p=2, dim=0, maxnorm=self.config.max_norm))


def _aligned_left(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens (B, L) with all padding behind them, wherever it was."""
    # An exported graph has no branches. It is for rows that are padded behind, as tellapart's tokenisers do.
    if torch.compiler.is_exporting() or bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return tokens
    return tokens.gather(1, torch.argsort(~mask, dim=1, stable=True))


AutoConfig.register(TextCNNConfig.model_type, TextCNNConfig, exist_ok=True)
AutoModel.register(TextCNNConfig, TextCNNModel, exist_ok=True)
AutoModelForSequenceClassification.register(TextCNNConfig, TextCNNForSequenceClassification, exist_ok=True)
