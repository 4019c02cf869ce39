"""TextCNN (Kim 2014): convolutions over word embeddings and max-over-time pooling."""

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
    """Configuration of a TextCNN; the defaults are those of Kim (2014, §3.1).

    Args:
        vocab_size: Rows of the embedding matrix.
        embedding_size: Width of the embeddings.
        filter_widths: Widths of the filters in words.
        filters: Filters per width.
        embedding_dropout: Rate on the embeddings. The paper has none; without it, two passes over a text are
            identical and objectives of two views have no effect.
        classifier_dropout: Rate on v, before the final linear layer.
        max_norm: Maximum Euclidean norm of each row of the final linear layer, applied after every optimiser step;
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
    """Weight initialisation of a TextCNN."""

    config_class = TextCNNConfig
    base_model_prefix = "textcnn"
    _input_embed_layer = "embeddings"

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, RANDOM_RANGE)


class TextCNNModel(TextCNNPreTrainedModel):
    """Encodes texts by convolutions over embeddings, ReLU and max-over-time pooling (Eq. 2 and 3).

    Padding has no effect. A filter of width h is applied only inside the text; a text of fewer than h words, or none,
    is padded with zeros to h.

    Args:
        config: The configuration.

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
            attention_mask: (B, L), 0 at padding; by default computed from the padding id.

        Returns:
            `pooler_output`: v (B, len(filter_widths) · filters), non-negative.
        """
        padding = self.config.pad_token_id
        mask = token_mask(input_ids, attention_mask, padding)
        tokens = _aligned_left(input_ids.masked_fill(~mask, padding), mask)
        widest = max(self.config.filter_widths)
        # An exported graph has no branches: it pads as if every text had one word.
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
        # max(ReLU(x)) = ReLU(max(x))
        return BaseModelOutputWithPooling(pooler_output=strongest.relu())


class TextCNNForSequenceClassification(TextCNNPreTrainedModel, SequenceClassifier):
    """A TextCNN with dropout and a final linear layer with norm-limited rows."""

    encoder_class = TextCNNModel

    @torch.no_grad()
    def constrain_(self) -> None:
        """Rescales rows of the final layer to a norm of at most `max_norm`; called after each optimiser step."""
        if self.config.max_norm is not None:
            weight = self.classifier.weight
            weight.copy_(torch.renorm(weight, p=2, dim=0, maxnorm=self.config.max_norm))


def _aligned_left(tokens: Tensor, mask: Tensor) -> Tensor:
    """Returns the tokens (B, L) with all padding moved to the right."""
    # An exported graph has no branches; it assumes padding on the right, as from tellapart's tokenisers.
    if torch.compiler.is_exporting():
        return tokens
    # On a GPU, to move them costs less than to wait for whether there is anything to move.
    if not tokens.is_cuda and bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return tokens
    return tokens.gather(1, torch.argsort(~mask, dim=1, stable=True))


AutoConfig.register(TextCNNConfig.model_type, TextCNNConfig, exist_ok=True)
AutoModel.register(TextCNNConfig, TextCNNModel, exist_ok=True)
AutoModelForSequenceClassification.register(TextCNNConfig, TextCNNForSequenceClassification, exist_ok=True)
