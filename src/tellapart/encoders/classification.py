"""What the encoders of tellapart's own have in common: a classifier on top, and where padding is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple


class SequenceClassifier(PreTrainedModel):
    """v, dropout, one linear layer: the classifier of a base model that returns v as `pooler_output`.

    A subclass sets `base_model_prefix`, `encoder_class`, and its config has `classifier_dropout`.

    Args:
        config: Of the encoder, with `num_labels`.
    """

    encoder_class: type[PreTrainedModel]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        setattr(self, self.base_model_prefix, self.encoder_class(config))
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

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
            attention_mask: (B, L), 0 where there is padding; by default wherever the padding id is.
            labels: Class ids (B,) or multi-hot (B, K); gives the loss that Transformers classifiers give.
            output_attentions: Whether to return the encoder's attentions, where it has some.

        Returns:
            `logits` (B, K), `loss` when there are labels, `attentions` when asked for.
        """
        encoded = self.base_model(
            input_ids, attention_mask, output_attentions=output_attentions, return_dict=True
        )
        logits = self.classifier(self.dropout(encoded.pooler_output))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, attentions=encoded.attentions)


def token_mask(input_ids: Tensor, attention_mask: Tensor | None, padding: int) -> Tensor:
    """Returns where tokens are, bool (B, L); without a mask, wherever the padding id is not."""
    return input_ids != padding if attention_mask is None else attention_mask.bool()


def initialise(module: nn.Module, embedding_range: float) -> None:
    """Gives a module its random start: uniform embeddings, 0 for padding, and torch's own for all else.

    Args:
        module: One module, without its children.
        embedding_range: Embeddings are uniform in ± this.
    """
    # Transformers keeps these functions from overwriting weights that were loaded.
    if isinstance(module, nn.Embedding):
        nn.init.uniform_(module.weight, -embedding_range, embedding_range)
        if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    elif isinstance(module, nn.Linear | nn.Conv1d | nn.GRU):
        module.reset_parameters()
