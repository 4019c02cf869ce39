"""What a step of pre-training adds up: terms of the loss, each a sum with what it is to be divided by, and counts."""

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
from tellapart.pretraining.recipe import CorrectionName
from tellapart.pretraining.synonyms import SynonymTable

MASKED: Final = "masked"
TOKENS: Final = "tokens"


@dataclass(frozen=True)
class Corrections:
    """What is done about predictions that are wrong and reasonable.

    Args:
        table: Synonyms; needed for `hard`, and for counting them.
        hard: Whether predictions that are synonyms of the gold token leave the loss (Eq. 2).
        soft: Whether 1 − cos of the gold and the predicted token's embeddings is added (Eq. 3).
        sentence: Whether the divergence of the sentence with the predictions filled in from the original is added.
        weight: Of `soft` and `sentence`.
        detach_original: Whether the original sentence's states take no gradient in `sentence`.
    """

    table: SynonymTable | None = None
    hard: bool = False
    soft: bool = False
    sentence: bool = False
    weight: float = 1.0
    detach_original: bool = True

    @classmethod
    def named(
        cls, name: CorrectionName, table: SynonymTable | None = None, weight: float = 1.0
    ) -> Corrections:
        """Returns the corrections with a name.

        Args:
            name: `none`, `hard`, `soft`, `soft-sentence` or `hard+soft`.
            table: Synonyms.
            weight: Of what is added to the loss.
        """
        return cls(
            table=table,
            hard=name in ("hard", "hard+soft"),
            soft=name in ("soft", "hard+soft"),
            sentence=name == "soft-sentence",
            weight=weight,
        )

    @property
    def hard_table(self) -> SynonymTable | None:
        """The table where predictions are corrected by it, else None."""
        return self.table if self.hard else None


@dataclass(frozen=True)
class Term:
    """How a term enters the loss.

    Args:
        weight: Its factor.
        over: What its sum is divided by: the `masked` places of the whole step, or all its `tokens`.
    """

    weight: float
    over: Literal["masked", "tokens"]


class PretrainingModel(nn.Module):
    """A model that returns the sums of its terms; base of masked language modelling and ELECTRA.

    Args:
        corrections: Treatment of predictions that are synonyms of the gold token.
        terms: Terms beside `mlm` and those of the corrections.

    Attributes:
        terms: How each term enters the loss, by name.
        rates: Corrected predictions since the last reset, when there is a table.
    """

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
        self, losses: Tensor, labels: Tensor, predictions: Tensor, embeddings: Tensor, *, tied: bool = False
    ) -> dict[str, Tensor]:
        """Returns the sums of `mlm` and, if asked for, `soft`, over this batch's masked places.

        Args:
            losses: Cross entropy of each place, (P,).
            labels: Gold ids (P,).
            predictions: What stands in for them, (P,).
            embeddings: The input embedding table (V, d).
            tied: Whether the losses come from a head that shares the table. Then the table's gradient is dense in any
                case, and autograd adds the few rows of `soft` to it in place, without a tensor of its size.
        """
        table = self.corrections.hard_table
        if table is None:
            sums = {"mlm": losses.sum()}
        else:
            kept = hard_correction(labels, predictions, table) != IGNORED
            sums = {"mlm": torch.where(kept, losses, 0.0).sum() * _masked_over_left(kept)}
        if self.corrections.soft:
            sparse = tied and not torch.compiler.is_compiling()  # which knows no sparse gradients
            mean = soft_regularisation(embeddings, labels, predictions, sparse=sparse)
            sums["soft"] = mean * len(labels)
        return sums

    def sentence_term(
        self, base_model: nn.Module, hidden: Tensor, original: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """Returns the sum of `sentence` over this batch's tokens.

        Args:
            base_model: The encoder.
            hidden: Its last hidden states of the sentences with the predictions filled in, (B, L, d).
            original: The original ids (B, L).
            attention_mask: 1 for a token and 0 for padding, (B, L).
        """
        detach = self.corrections.detach_original
        with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
            target = base_model(input_ids=original, attention_mask=attention_mask)[0]
        with torch.autocast(hidden.device.type, enabled=False):
            mean = sentence_regularisation(hidden, target, attention_mask, detach_original=detach)
        return mean * attention_mask.sum()

    def observe(self, labels: Tensor, predictions: Tensor, positions: Tensor, shape: torch.Size) -> None:
        """Counts corrections in a batch of `shape` (B, L), when there is a table."""
        table = self.corrections.table
        if table is not None:
            rows = torch.div(positions, shape[1], rounding_mode="floor")
            self.rates.update(labels, predictions, table, rows=rows, sequences=shape[0])

    def save(self, folder: str | Path, tokenizer: Any) -> None:
        """Writes plain Transformers checkpoints with the tokeniser below a folder, each whole or not at all."""
        raise NotImplementedError

    def load(self, folder: str | Path) -> None:
        """Reads what `save` wrote, bit for bit."""
        raise NotImplementedError


def _masked_over_left(kept: Tensor) -> Tensor:
    """Returns what a rank's sum is multiplied by so that all ranks' sums, over the masked places, are the mean.

    The mean of Eq. 2 is over the places that are left, on all ranks; a step divides by the places that were masked,
    which is known before. So each sum is scaled by masked over left, both counted on all ranks.
    """
    counts = torch.stack([kept.sum(), torch.tensor(len(kept), device=kept.device)]).double()
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(counts)
    left, masked = counts
    return (masked / left.clamp(min=1)).float()


def filled(input_ids: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
    """Returns the ids (B, L) with `tokens` (P,) at `positions` (P,)."""
    return input_ids.flatten().index_copy(0, positions, tokens).view_as(input_ids)
