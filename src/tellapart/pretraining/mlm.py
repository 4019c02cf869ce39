"""Masked language modelling with optional corrections for synonyms.

Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 1 to 3.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tellapart.pretraining.language_model import MODEL_FOLDER, MaskedHead
from tellapart.pretraining.terms import Corrections, PretrainingModel, filled


class MaskedLanguageModelling(PretrainingModel):
    """A language model trained to predict masked tokens.

    Args:
        model: An `AutoModelForMaskedLM`.
        corrections: Treatment of predictions that are synonyms of the gold token.
    """

    def __init__(self, model: Any, corrections: Corrections = Corrections()) -> None:  # noqa: B008  frozen
        super().__init__(corrections)
        self.model = model
        self.head = MaskedHead(model)
        self.checkpoints = {MODEL_FOLDER: model}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        labels: Tensor,
        masked_over_kept: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Predicts the masked tokens.

        Args:
            input_ids: Masked ids (B, L).
            attention_mask: 1 for a token and 0 for padding, (B, L).
            positions: Flat positions b·L + l of the masked tokens, (P,).
            labels: Gold ids, (P,).
            masked_over_kept: For hard correction over several batches: see `masked_terms`.

        Returns:
            The sum of each of `terms`; `correct`, the number of correct predictions; with hard correction `kept`, the
            number of positions that it leaves.
        """
        logits = self.head(positions, input_ids=input_ids, attention_mask=attention_mask)
        losses, predictions = self.corrections.token_losses(logits, labels)
        self.observe(labels, predictions, positions, input_ids.shape)
        embeddings = self.model.get_input_embeddings().weight
        tied = self.head.tied
        result = self.masked_terms(losses, labels, predictions, embeddings, masked_over_kept, tied=tied)
        if self.corrections.sentence:
            base_model, substituted = self.model.base_model, filled(input_ids, positions, predictions)
            hidden = base_model(input_ids=substituted, attention_mask=attention_mask)[0]
            original = filled(input_ids, positions, labels)
            result["sentence"] = self.sentence_term(base_model, hidden, original, attention_mask)
        return result | {"correct": (predictions == labels).sum()}
