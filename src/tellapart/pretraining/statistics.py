"""How a language model fills masks: right, wrong, or reasonably wrong (Table 2 of Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import token_budget_batches
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.corrections import CorrectionRates
from tellapart.pretraining.language_model import GENERATOR_FOLDER, MaskedHead
from tellapart.pretraining.logits import token_cross_entropy
from tellapart.pretraining.synonyms import SynonymTable

LOOKING_EPOCH = -1
"""The pass whose masks are for looking at: no training step ever sees them."""

_BATCH_TOKENS = 4096
_CONTEXT_TOKENS = 16
_SYNONYMS_SHOWN = 6


@dataclass(frozen=True)
class CorrectedPrediction:
    """A wrong prediction that is a synonym of the right token, in its context (the paper's Figure 3).

    Args:
        before: The original text before it.
        gold: The token that was masked.
        predicted: What the model put there.
        after: The original text after it.
        synonyms: Synonyms of the gold token, the first few.
    """

    before: str
    gold: str
    predicted: str
    after: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class MaskedStatistics:
    """How a model fills masks by its best guess.

    Args:
        sequences: Sequences that were read.
        masked: Masked tokens.
        accuracy: Share of them that were predicted right.
        loss: Mean cross entropy.
        prediction_level: Share of the wrong predictions that are synonyms; None without a table.
        iteration_level: Share of the sequences with such a prediction; None without a table.
        corrected: Some of these predictions.
    """

    sequences: int
    masked: int
    accuracy: float
    loss: float
    prediction_level: float | None = None
    iteration_level: float | None = None
    corrected: tuple[CorrectedPrediction, ...] = field(default=(), repr=False)


def masked_model_folder(checkpoint: str | Path) -> str:
    """Returns where the model that fills masks stands: the generator of an ELECTRA run, else the folder itself."""
    generator = Path(checkpoint).expanduser() / GENERATOR_FOLDER
    return str(generator) if (generator / "config.json").is_file() else str(checkpoint)


@torch.inference_mode()
def masked_statistics(
    model: Any,
    sequences: MaskedSequences,
    table: SynonymTable | None = None,
    *,
    rows: np.ndarray | None = None,
    bf16: bool = False,
    examples: int = 0,
    tokenizer: Any = None,
    progress: Callable[[int], Any] | None = None,
) -> MaskedStatistics:
    """Masks sequences, fills the masks by the model's best guess, and counts.

    Args:
        model: A model of the kind of `AutoModelForMaskedLM`.
        sequences: A corpus and how it is masked.
        table: Synonyms.
        rows: Which sequences; all by default.
        bf16: Whether to run under bf16 autocast.
        examples: Corrected predictions to bring along, at most one a sequence.
        tokenizer: For their words.
        progress: Called with the number of sequences after each batch.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    chosen = np.arange(len(sequences)) if rows is None else np.asarray(rows)
    head = MaskedHead(model)
    rates = CorrectionRates()
    found: list[CorrectedPrediction] = []
    correct = masked = 0
    loss = 0.0
    for places in token_budget_batches(torch.from_numpy(sequences.corpus.widths[chosen]), _BATCH_TOKENS):
        batch = sequences.batch(chosen[places], LOOKING_EPOCH)
        batch = {name: value.to(device) for name, value in batch.items()}
        labels, positions = batch["labels"], batch["positions"]
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = head(positions, input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        losses, predictions = token_cross_entropy(logits, labels)
        loss += float(losses.sum())
        correct += int((predictions == labels).sum())
        masked += len(labels)
        if table is not None:
            in_row = torch.div(positions, batch["input_ids"].shape[1], rounding_mode="floor")
            rates.update(labels, predictions, table, rows=in_row, sequences=len(places))
            if len(found) < examples:
                found += _examples(batch, predictions, table, tokenizer, examples - len(found))
        if progress is not None:
            progress(len(places))
    head.remove()
    model.train(was_training)
    return MaskedStatistics(
        sequences=len(chosen),
        masked=masked,
        accuracy=correct / max(masked, 1),
        loss=loss / max(masked, 1),
        prediction_level=None if table is None else rates.prediction_level,
        iteration_level=None if table is None else rates.iteration_level,
        corrected=tuple(found),
    )


def _examples(
    batch: dict[str, Tensor], predictions: Tensor, table: SynonymTable, tokenizer: Any, wanted: int
) -> list[CorrectedPrediction]:
    labels, positions = batch["labels"], batch["positions"]
    width = batch["input_ids"].shape[1]
    original = batch["input_ids"].flatten().index_copy(0, positions, labels).view(-1, width)
    found: dict[int, CorrectedPrediction] = {}
    for place in torch.nonzero(table.contains(labels, predictions))[:, 0].tolist():
        row, column = divmod(int(positions[place]), width)
        if row in found or len(found) == wanted:
            continue
        ids = original[row].tolist()

        def words(tokens: list[int]) -> str:
            return tokenizer.decode(tokens, skip_special_tokens=True)

        gold = int(labels[place])
        found[row] = CorrectedPrediction(
            words(ids[max(0, column - _CONTEXT_TOKENS) : column]),
            words([gold]),
            words([int(predictions[place])]),
            words(ids[column + 1 : column + 1 + _CONTEXT_TOKENS]),
            tuple(words([token]) for token in table.neighbours(gold)[:_SYNONYMS_SHOWN]),
        )
    return list(found.values())
