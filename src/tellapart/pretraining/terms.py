"""Base class of pre-training models: loss terms as sums with their denominators, and correction counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from tellapart.pretraining.corrections import (
    IGNORED,
    CorrectionRates,
    hard_correction,
    sentence_regularisation,
    soft_regularisation,
)
from tellapart.pretraining.language_model import MaskedHead, load_weights, save_checkpoint
from tellapart.pretraining.logits import token_cross_entropy
from tellapart.pretraining.recipe import CorrectionName
from tellapart.pretraining.synonyms import SynonymTable

MASKED: Final = "masked"
TOKENS: Final = "tokens"
KEPT: Final = "kept"
"""Number of masked positions that hard correction leaves in the loss."""


@dataclass(frozen=True)
class Corrections:
    """Treatment of predictions that are synonyms of the gold token.

    Args:
        table: The synonyms of every token; required for `hard`, and for counting them.
        hard: Whether to exclude synonyms from the loss (Eq. 2).
        soft: Whether to add 1 − cos of the embeddings of the gold and the predicted token (Eq. 3).
        sentence: Whether to add the divergence between the sentence with the predictions filled in and the original.
        weight: Weight of `soft` and `sentence`.
        detach_original: Whether `sentence` has no gradient in the states of the original sentence.
        loss_temperature: Softmax temperature of the cross entropy: the alternative regularisation of footnote 13.
    """

    table: SynonymTable | None = None
    hard: bool = False
    soft: bool = False
    sentence: bool = False
    weight: float = 1.0
    detach_original: bool = True
    loss_temperature: float = 1.0

    @classmethod
    def named(
        cls,
        name: CorrectionName,
        table: SynonymTable | None = None,
        weight: float = 1.0,
        loss_temperature: float = 1.0,
    ) -> Corrections:
        """Returns the corrections of a recipe's `correction`; the other arguments are those of the class."""
        return cls(
            table=table,
            hard=name in ("hard", "hard+soft"),
            soft=name in ("soft", "hard+soft"),
            sentence=name == "soft-sentence",
            weight=weight,
            loss_temperature=loss_temperature,
        )

    def token_losses(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the cross entropy at the temperature, and the most probable token, of each position (P,).

        Args:
            logits: (P, V).
            labels: Gold ids, int64 (P,).
        """
        tempered = logits if self.loss_temperature == 1 else logits / self.loss_temperature
        return token_cross_entropy(tempered, labels)

    @property
    def hard_table(self) -> SynonymTable | None:
        """The table if hard correction is on, else None."""
        return self.table if self.hard else None


@dataclass(frozen=True)
class Term:
    """Weight and denominator of a term of the loss.

    Args:
        weight: Its weight.
        over: Denominator of its sum: the number of `masked` tokens of the whole step, or of all `tokens`.
    """

    weight: float
    over: Literal["masked", "tokens"]


class PretrainingModel(nn.Module):
    """Base class of masked language modelling and ELECTRA; `forward` returns the sums of the terms.

    Args:
        corrections: Treatment of predictions that are synonyms of the gold token.
        terms: Terms beside `mlm` and those of the corrections.

    Attributes:
        terms: Weight and denominator of each term, by name.
        rates: Correction rates since the last reset, if there is a table.
        head: The vocabulary head of the model that predicts the masked tokens.
        checkpoints: The models to save, by their folder.
    """

    head: MaskedHead
    checkpoints: dict[str, Any]

    def __init__(self, corrections: Corrections, **terms: Term) -> None:
        super().__init__()
        self.corrections = corrections
        self.rates = CorrectionRates()
        self.terms = {"mlm": Term(1.0, MASKED), **terms}
        if corrections.soft:
            self.terms["soft"] = Term(corrections.weight, MASKED)
        if corrections.sentence:
            self.terms["sentence"] = Term(corrections.weight, TOKENS)

    def masked_terms(
        self,
        losses: Tensor,
        labels: Tensor,
        predictions: Tensor,
        embeddings: Tensor,
        masked_over_kept: Tensor | None = None,
        *,
        tied: bool = False,
    ) -> dict[str, Tensor]:
        """Returns the sums of `mlm` and, if requested, `soft` over this batch's P masked positions, without autocast.

        With hard correction also `kept`, the number of positions in `mlm`. Eq. 2 is a mean over these, but a step
        divides by the masked positions, whose number is known in advance: `mlm` is multiplied by their ratio.

        Args:
            losses: Cross entropy of each position, (P,).
            labels: The masked tokens, int64 (P,).
            predictions: The predicted tokens, int64 (P,).
            embeddings: The input embeddings, (V, d).
            masked_over_kept: Masked over kept positions of the whole step, a scalar; by default of this batch on all
                ranks.
            tied: Whether the head shares the embeddings. Their gradient is dense then in any case, and autograd adds
                the sparse gradient of `soft` in place.
        """
        with torch.autocast(losses.device.type, enabled=False):
            table = self.corrections.hard_table
            if table is None:
                sums = {"mlm": losses.sum()}
            else:
                kept = hard_correction(labels, predictions, table) != IGNORED
                factor = _masked_over_kept(kept) if masked_over_kept is None else masked_over_kept
                sums = {"mlm": torch.where(kept, losses, 0.0).sum() * factor, KEPT: kept.sum()}
            if self.corrections.soft:
                # Neither the compiler nor PyTorch before 2.9 on Apple GPUs supports sparse gradients.
                sparse = tied and not torch.compiler.is_compiling() and losses.device.type != "mps"
                mean = soft_regularisation(embeddings, labels, predictions, sparse=sparse)
                sums["soft"] = mean * len(labels)
        return sums

    def sentence_term(
        self, base_model: nn.Module, hidden: Tensor, original: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """Returns the sum of `sentence` over this batch's tokens.

        `hidden` (B, L, d) are the last hidden states of the sentences with the predictions filled in.
        """
        detach = self.corrections.detach_original
        with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
            target = base_model(input_ids=original, attention_mask=attention_mask)[0]
        with torch.autocast(hidden.device.type, enabled=False):
            mean = sentence_regularisation(hidden, target, attention_mask, detach_original=detach)
        return mean * attention_mask.sum()

    def observe(self, labels: Tensor, predictions: Tensor, positions: Tensor, shape: torch.Size) -> None:
        """Counts corrections in a batch of `shape` (B, L), if there is a table."""
        table = self.corrections.table
        if table is not None:
            rows = torch.div(positions, shape[1], rounding_mode="floor")
            self.rates.update(labels, predictions, table, rows=rows, sequences=shape[0])

    def save(self, folder: str | Path, tokenizer: Any) -> None:
        """Writes plain Transformers checkpoints with the tokeniser into a folder, each atomically."""
        for name, model in self.checkpoints.items():
            save_checkpoint(model, Path(folder) / name, tokenizer)

    def load(self, folder: str | Path) -> None:
        """Restores the weights written by `save`, bit for bit."""
        for name, model in self.checkpoints.items():
            load_weights(model, Path(folder) / name)


def _masked_over_kept(kept: Tensor) -> Tensor:
    """Returns masked over kept positions of a batch on all ranks, a float32 scalar."""
    left = kept.sum()
    counts = torch.stack([left, torch.full_like(left, len(kept))])
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(counts)
    left, masked = counts
    return masked / left.clamp(min=1)


def filled(input_ids: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
    """Returns the ids (B, L) with `tokens` (P,) at `positions` (P,)."""
    return input_ids.flatten().index_copy(0, positions, tokens).view_as(input_ids)
