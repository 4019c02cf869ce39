"""How often checkpoints are wrong and reasonable: Table 2 of the paper, on one's own texts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.transformer import position_limit
from tellapart.errors import ModelError
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.corpus import Corpus, build_corpus
from tellapart.pretraining.language_model import load_language_model
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.statistics import MaskedStatistics, masked_model_folder, masked_statistics
from tellapart.pretraining.tables import synonym_table
from tellapart.pretraining.texts import open_texts
from tellapart.training.progress import rows_bar


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
    return loaded.model.to(default_device()), loaded.tokenizer


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
