"""Masked language modelling, with or without correction of reasonable predictions.

Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 1 to 3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import without_reports
from tellapart.files import replacing
from tellapart.pretraining.corrections import sentence_regularisation
from tellapart.pretraining.language_model import MODEL_FOLDER, MaskedHead
from tellapart.pretraining.logits import token_cross_entropy
from tellapart.pretraining.terms import MASKED, TOKENS, Corrections, PretrainingModel, Term, filled


class MaskedLanguageModelling(PretrainingModel):
    """A language model that learns the tokens that were masked.

    Args:
        model: A model of the kind of `AutoModelForMaskedLM`.
        corrections: What is done about reasonable predictions.
    """

    def __init__(self, model: Any, corrections: Corrections = Corrections()) -> None:  # noqa: B008  frozen
        super().__init__(corrections)
        self.model = model
        self.head = MaskedHead(model)
        self.terms = {"mlm": Term(1.0, MASKED)}
        if corrections.soft:
            self.terms["soft"] = Term(corrections.weight, MASKED)
        if corrections.sentence:
            self.terms["sentence"] = Term(corrections.weight, TOKENS)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Predicts the masked tokens.

        Args:
            input_ids: Masked ids (B, L).
            attention_mask: 1 where there is no padding, (B, L).
            positions: Places b·L + l of the masked tokens, (P,).
            labels: Gold ids, (P,).

        Returns:
            The sum of each of `terms`; `correct`, the number of right predictions.
        """
        logits = self.head(positions, input_ids=input_ids, attention_mask=attention_mask)
        losses, predictions = token_cross_entropy(logits, labels)
        self.observe(labels, predictions, positions, input_ids.shape)
        embeddings = self.model.get_input_embeddings().weight
        with torch.autocast(input_ids.device.type, enabled=False):
            result = self.masked_terms(losses, labels, predictions, embeddings, tied=self.head.tied)
        if self.corrections.sentence:
            result["sentence"] = self._sentence(input_ids, attention_mask, positions, labels, predictions)
        return result | {"correct": (predictions == labels).sum()}

    def _sentence(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        labels: Tensor,
        predictions: Tensor,
    ) -> Tensor:
        base = self.model.base_model
        substituted = base(
            input_ids=filled(input_ids, positions, predictions), attention_mask=attention_mask
        )[0]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.corrections.detach_original):
            original = base(input_ids=filled(input_ids, positions, labels), attention_mask=attention_mask)[0]
        with torch.autocast(input_ids.device.type, enabled=False):
            mean = sentence_regularisation(
                substituted, original, attention_mask, detach_original=self.corrections.detach_original
            )
        return mean * attention_mask.sum()

    def save(self, folder: str | Path, tokenizer: Any) -> None:
        """Writes `model/`: a plain Transformers checkpoint with the tokeniser, whole or not at all."""
        save_plain(self.model, Path(folder) / MODEL_FOLDER, tokenizer)

    def load(self, folder: str | Path) -> None:
        """Reads what `save` wrote, bit for bit."""
        load_plain(self.model, Path(folder) / MODEL_FOLDER)


def save_plain(model: Any, folder: Path, tokenizer: Any) -> None:
    """Writes a plain Transformers checkpoint, whole or not at all.

    Raises:
        OutputError: The folder cannot be written.
    """
    with replacing(folder) as temporary, without_reports():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def load_plain(model: Any, folder: Path) -> None:
    """Reads the weights of a plain checkpoint into a model of the same shape.

    Raises:
        ModelError: There is none.
    """
    with without_reports():
        loaded = type(model).from_pretrained(resolve_encoder(str(folder)), dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
