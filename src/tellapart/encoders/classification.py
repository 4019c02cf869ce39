"""Base classes of tellapart's own classifiers: a pooled vector v, dropout and one linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple


class PooledClassifier(PreTrainedModel):
    """A classifier on a pooled vector v; the config has `num_labels` and `classifier_dropout`."""

    def _add_classifier(self, width: int) -> None:
        """Adds dropout and the final linear layer, as the last step of a subclass's `__init__`."""
        self.dropout = nn.Dropout(self.config.classifier_dropout)
        self.classifier = nn.Linear(width, self.config.num_labels)
        self.post_init()

    def _classify(self, vectors: Tensor, labels: Tensor | None, attentions: Any = None) -> Any:
        """Maps v (B, d) to logits, with the loss of the config's problem type when there are labels."""
        logits = self.classifier(self.dropout(vectors))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, attentions=attentions)


class SequenceClassifier(PooledClassifier):
    """A classifier on a base model that returns v as `pooler_output`.

    A subclass sets `base_model_prefix` and `encoder_class`.

    Args:
        config: Of the encoder, with `num_labels`.
    """

    encoder_class: type[PreTrainedModel]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.encoder_class(config))
        self._add_classifier(config.hidden_size)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Classifies texts.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 0 at padding; by default computed from the padding id.
            labels: Class ids (B,) or multi-hot (B, K); adds the loss of the config's problem type.
            output_attentions: Whether to return the encoder's attention weights, if it has any.

        Returns:
            `logits` (B, K), `loss` with labels, `attentions` on request.
        """
        encoded = self.base_model(
            input_ids, attention_mask, output_attentions=output_attentions, return_dict=True
        )
        return self._classify(encoded.pooler_output, labels, encoded.attentions)


def token_mask(input_ids: Tensor, attention_mask: Tensor | None, padding: int) -> Tensor:
    """Returns True at tokens and False at padding, bool (B, L); without a mask, computed from the padding id."""
    return input_ids != padding if attention_mask is None else attention_mask.bool()


def initialise(module: nn.Module, embedding_range: float) -> None:
    """Initialises a module: uniform embeddings, zeros for padding, PyTorch's default for other layers.

    Args:
        module: One module, without its children.
        embedding_range: Embeddings are uniform in ± this.
    """
    # Transformers prevents these functions from overwriting loaded weights.
    if isinstance(module, nn.Embedding):
        nn.init.uniform_(module.weight, -embedding_range, embedding_range)
        if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    elif isinstance(module, nn.Linear | nn.Conv1d | nn.GRU):
        module.reset_parameters()
