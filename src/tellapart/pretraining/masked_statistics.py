"""Accuracy, loss and synonym predictions at masked tokens, of one model or of several checkpoints.

Zhang et al. 2023, Language Model Pre-training on True Negatives, Table 2 and Figure 3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import token_budget_batches
from tellapart.data.batches.transfer import on_device
from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.transformer import position_limit
from tellapart.errors import ModelError
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.corpus import build_corpus
from tellapart.pretraining.corrections import CorrectionRates
from tellapart.pretraining.language_model import GENERATOR_FOLDER, MaskedHead, load_language_model
from tellapart.pretraining.logits import token_cross_entropy
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.permutation import KeyedPermutation
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.tables import synonym_table
from tellapart.pretraining.texts import open_texts
from tellapart.training.progress import rows_bar

LOOKING_EPOCH = -1
"""Epoch number of the masks for statistics, which training never uses."""

_BATCH_TOKENS = 4096
_ROWS_AT_ONCE = 1 << 16  # sequences that are sorted by length together
_CONTEXT_TOKENS = 16
_SYNONYMS_SHOWN = 6


@dataclass(frozen=True)
class CorrectedPrediction:
    """A wrong prediction that is a synonym of the masked token, in its context (the paper's Figure 3).

    Args:
        before: The original text before it.
        gold: The masked token.
        predicted: The predicted token.
        after: The original text after it.
        synonyms: Some synonyms of the gold token.
    """

    before: str
    gold: str
    predicted: str
    after: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class MaskedStatistics:
    """Statistics of a model's predictions (argmax) of masked tokens.

    Args:
        sequences: Number of sequences.
        masked: Number of masked tokens.
        accuracy: Share of correct predictions.
        loss: Mean cross entropy.
        prediction_level: Share of wrong predictions that are synonyms; None without a table.
        iteration_level: Share of sequences with such a prediction; None without a table.
        corrected: Examples of such predictions.
    """

    sequences: int
    masked: int
    accuracy: float
    loss: float
    prediction_level: float | None = None
    iteration_level: float | None = None
    corrected: tuple[CorrectedPrediction, ...] = field(default=(), repr=False)


def masked_model_folder(checkpoint: str | Path) -> str:
    """Returns the folder of the masked language model: the generator of an ELECTRA run, else the folder itself."""
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
    """Computes statistics of a model's predictions of masked tokens.

    Args:
        model: An `AutoModelForMaskedLM`.
        sequences: The masked corpus.
        table: The synonyms of every token.
        rows: Numbers of the sequences; all by default.
        bf16: Whether to run under bf16 autocast.
        examples: Number of corrected predictions to return, at most one per sequence.
        tokenizer: Decodes the examples.
        progress: Called with the number of sequences after each batch.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    total = len(sequences) if rows is None else len(rows)
    head = MaskedHead(model)
    rates = CorrectionRates()
    found: list[CorrectedPrediction] = []
    # Of each batch, and read in the end: a GPU would be waited for each time.
    losses_of, correct_of = (
        [torch.zeros((), device=device)],
        [torch.zeros((), dtype=torch.int64, device=device)],
    )
    masked = 0
    for numbers in _batches(sequences, rows):
        batch = on_device(sequences.batch(numbers, LOOKING_EPOCH), device)
        labels, positions = batch["labels"], batch["positions"]
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = head(positions, input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        losses, predictions = token_cross_entropy(logits, labels)
        losses_of.append(losses.sum())
        correct_of.append((predictions == labels).sum())
        masked += len(labels)
        if table is not None:
            in_row = torch.div(positions, batch["input_ids"].shape[1], rounding_mode="floor")
            rates.update(labels, predictions, table, rows=in_row, sequences=len(numbers))
            if len(found) < examples:
                found += _examples(batch, predictions, table, tokenizer, examples - len(found))
        if progress is not None:
            progress(len(numbers))
    head.remove()
    model.train(was_training)
    return MaskedStatistics(
        sequences=total,
        masked=masked,
        accuracy=sum(torch.stack(correct_of).tolist()) / max(masked, 1),
        loss=sum(torch.stack(losses_of).tolist()) / max(masked, 1),
        prediction_level=None if table is None else rates.prediction_level,
        iteration_level=None if table is None else rates.iteration_level,
        corrected=tuple(found),
    )


def _batches(sequences: MaskedSequences, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yields the numbers of the sequences of each batch; None for all sequences."""
    total = len(sequences) if rows is None else len(rows)
    for start in range(0, total, _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, total)
        chosen = np.arange(start, end) if rows is None else np.asarray(rows[start:end])
        widths = torch.from_numpy(sequences.corpus.widths(chosen))
        yield from (chosen[places] for places in token_budget_batches(widths, _BATCH_TOKENS))


def sampled_rows(total: int, limit: int | None, seed: int) -> np.ndarray | None:
    """Returns the numbers of a random sample of sequences; None if that is all of them."""
    if limit is None or limit >= total:
        return None
    return KeyedPermutation(total, seed, LOOKING_EPOCH)(np.arange(limit))


def _examples(
    batch: dict[str, Tensor], predictions: Tensor, table: SynonymTable, tokenizer: Any, wanted: int
) -> list[CorrectedPrediction]:
    labels, positions = batch["labels"], batch["positions"]
    width = batch["input_ids"].shape[1]
    original = batch["input_ids"].flatten().index_copy(0, positions, labels).view(-1, width)
    words = partial(tokenizer.decode, skip_special_tokens=True)
    found: dict[int, CorrectedPrediction] = {}
    for place in torch.nonzero(table.contains(labels, predictions))[:, 0].tolist():
        row, column = divmod(int(positions[place]), width)
        if row in found or len(found) == wanted:
            continue
        ids, gold = original[row].tolist(), int(labels[place])
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
    """Statistics of one checkpoint, which is named as by the user."""

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
    """Computes statistics of several checkpoints on the same masked texts.

    Args:
        checkpoints: Run folders, their checkpoints, or any masked language models.
        texts: Any source that `tellapart.pretraining.texts.open_texts` takes; each non-empty line is a sequence.
        text: The text column of a table.
        split: The split of a table.
        synonyms: `wordnet`, or a file written by `tellapart synonyms build`.
        max_length: Maximum length of a sequence in tokens.
        mask_share: Share of the tokens to mask.
        limit: Size of a sample of sequences; all by default.
        seed: Seed of the sample and of the masks.
        quiet: Whether to hide progress.

    Raises:
        UserError: A checkpoint, the texts or the table cannot be used.
    """
    source = open_texts(texts, text=text, split=split)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for checkpoint in checkpoints:
            loaded = load_language_model(masked_model_folder(checkpoint))
            if loaded.notes:  # its head has random weights
                raise ModelError(
                    f"{checkpoint} has no masked language modelling head",
                    "give a checkpoint written by pretrain",
                )
            model, tokenizer = loaded.model.to(default_device()), loaded.tokenizer
            length = min(max_length, position_limit(model.config))
            # Rebuilt only if the tokeniser differs from that of the previous checkpoint.
            corpus = build_corpus(source, tokenizer, Path(scratch) / "corpus", max_length=length)
            size = model.get_input_embeddings().num_embeddings
            masking = masking_for(tokenizer, vocabulary_size=size, share=mask_share, seed=seed)
            rows = sampled_rows(len(corpus), limit, seed)
            with rows_bar(len(corpus) if rows is None else len(rows), quiet=quiet) as progress:
                statistics = masked_statistics(
                    model,
                    MaskedSequences(corpus, masking, tokenizer.pad_token_id or 0),
                    synonym_table(synonyms, tokenizer),
                    rows=rows,
                    bf16=use_bf16("auto", default_device()),
                    progress=progress,
                )
            results.append(CheckpointStatistics(str(checkpoint), statistics))
    return results
