"""Accuracy, loss and synonym predictions at masked tokens, of one model or of several checkpoints.

Zhang et al. 2023, Language Model Pre-training on True Negatives, Table 2 and Figure 3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import token_budget_batches
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.transformer import position_limit
from tellapart.errors import ModelError
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.corpus import Corpus, build_corpus
from tellapart.pretraining.corrections import CorrectionRates
from tellapart.pretraining.language_model import GENERATOR_FOLDER, MaskedHead, load_language_model
from tellapart.pretraining.logits import token_cross_entropy
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.tables import synonym_table
from tellapart.pretraining.texts import open_texts
from tellapart.training.progress import rows_bar

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


# ---- Several checkpoints on the same texts ----


@dataclass(frozen=True)
class CheckpointStatistics:
    """What was counted for one checkpoint.

    Args:
        checkpoint: As it was named.
        statistics: The counts.
    """

    checkpoint: str
    statistics: MaskedStatistics


def pretrain_stats(
    checkpoints: Sequence[str | Path],
    texts: str | Path,
    *,
    text: str | None = None,
    split: str = "train",
    synonyms: str = "wordnet",
    max_length: int = 128,
    mask_share: float = 0.15,
    limit: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> list[CheckpointStatistics]:
    """Counts right, wrong and reasonable predictions of checkpoints on the same masked texts.

    Args:
        checkpoints: Run folders, checkpoints in them, or any model with a head over the vocabulary.
        texts: What `tellapart.pretraining.texts.open_texts` takes; each line that is not empty is a sequence.
        text: The column of the texts, for a table.
        split: Which split of a table.
        synonyms: `wordnet`, or a file that `tellapart synonyms build` wrote.
        max_length: Longest sequence in tokens.
        mask_share: Share of the tokens that are masked.
        limit: Sequences to read, a sample; all by default.
        seed: Of the sample and of the masks.
        quiet: Whether to show no progress.

    Raises:
        UserError: A checkpoint, the texts or the table cannot be used.
    """
    source = open_texts(texts, text=text, split=split)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for checkpoint in checkpoints:
            model, tokenizer = _loaded(checkpoint)
            length = min(max_length, position_limit(model.config))
            # Rebuilt only when a checkpoint has another tokeniser than the one before.
            corpus = build_corpus(source, tokenizer, Path(scratch) / "corpus", max_length=length)
            results.append(
                CheckpointStatistics(
                    str(checkpoint),
                    _counted(model, tokenizer, corpus, synonyms, mask_share, limit, seed, quiet),
                )
            )
    return results


def _loaded(checkpoint: str | Path) -> tuple[Any, Any]:
    loaded = load_language_model(masked_model_folder(checkpoint))
    if loaded.notes:  # a new head would only guess
        raise ModelError(
            f"{checkpoint} has no head over the vocabulary", "name a checkpoint that pretrain wrote"
        )
    return loaded.model.to("cuda" if torch.cuda.is_available() else "cpu"), loaded.tokenizer


def _counted(
    model: Any,
    tokenizer: Any,
    corpus: Corpus,
    synonyms: str,
    mask_share: float,
    limit: int | None,
    seed: int,
    quiet: bool,
) -> MaskedStatistics:
    size = model.get_input_embeddings().num_embeddings
    masking = masking_for(tokenizer, vocabulary_size=size, share=mask_share, seed=seed)
    rows = np.sort(np.random.default_rng(seed).permutation(len(corpus))[:limit])
    with rows_bar(len(rows), quiet=quiet) as progress:
        return masked_statistics(
            model,
            MaskedSequences(corpus, masking, tokenizer.pad_token_id or 0),
            synonym_table(synonyms, tokenizer),
            rows=rows,
            bf16=use_bf16("auto", next(model.parameters()).device),
            progress=progress,
        )
