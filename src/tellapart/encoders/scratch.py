"""Builds encoders trained from scratch, `textcnn` and `han`, with their tokeniser and initial embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.han import HANConfig, sentence_layout
from tellapart.encoders.pretrained import build_model
from tellapart.encoders.textcnn import TextCNNConfig
from tellapart.encoders.transformer import set_classifier_dropout
from tellapart.encoders.vectors import TRAINED, WordVectors, cbow_table, read_vectors
from tellapart.encoders.words import MINIMUM_COUNT, SPECIAL_TOKENS, TokensName, add_words, build_tokenizer
from tellapart.errors import ModelError

CONFIGS: dict[str, Any] = {"textcnn": TextCNNConfig, "han": HANConfig}

# Rows per piece when counting sentences.
_ROWS = 512


class BuiltEncoder(NamedTuple):
    """An untrained encoder with its tokeniser.

    Args:
        model: A Transformers sequence classifier.
        tokenizer: Its tokeniser.
        notes: Messages about vocabulary and embeddings for the run's log.
    """

    model: Any
    tokenizer: Any
    notes: tuple[str, ...]


def build_encoder(
    name: str,
    labels: LabelSpace,
    texts: Sequence[str],
    *,
    further_texts: Sequence[str] = (),
    embeddings: str = "random",
    embedding_size: int | None = None,
    vocabulary_size: int = 30_000,
    tokens: TokensName = "auto",
    classifier_dropout: float | None = None,
    seed: int = 0,
) -> BuiltEncoder:
    """Builds a small untrained encoder: vocabulary from the training texts, initial embeddings, a classifier.

    Args:
        name: `textcnn` or `han`.
        labels: The classes; names and problem type are written into the config.
        texts: The training texts; for pair tasks both texts of each row.
        further_texts: Other texts on which only the embeddings are trained, such as those of the validation rows.
        embeddings: `random`; `cbow`, trained on all these texts (the protocol of negative supervision, §3.3);
            or a file of word vectors, whose words are added to the vocabulary up to its size.
        embedding_size: Width of the embeddings; by default the file's, or the paper's of each encoder.
        vocabulary_size: Maximum number of tokens.
        tokens: As for `learn_tokenizer`.
        classifier_dropout: Rate before the final linear layer; by default the encoder's own.
        seed: Of the embeddings; other weights are drawn from torch's global generator.

    Returns:
        Model, tokeniser and notes.

    Raises:
        ModelError: There is no encoder of that name, or the file cannot be used.
        DataError: No word occurs often enough.
        MissingDependencyError: gensim is required and not installed.
    """
    if name not in CONFIGS:
        raise ModelError(f'"{name}" does not learn from texts alone', "choose from " + ", ".join(CONFIGS))
    vectors = None if embeddings in TRAINED else _read(embeddings, embedding_size)
    # With word vectors, words that occur once are useful too.
    tokenizer = build_tokenizer(
        name,
        texts,
        tokens=tokens,
        vocabulary_size=vocabulary_size,
        minimum_count=MINIMUM_COUNT if vectors is None else 1,
    )
    notes = [f"A vocabulary of {len(tokenizer)} tokens was learned from {len(texts)} texts."]
    if vectors is not None:
        added = add_words(tokenizer, vectors.words, vocabulary_size)
    config = CONFIGS[name](vocab_size=len(tokenizer), id2label=labels.id2label, label2id=labels.label2id)
    config.problem_type = labels.problem_type
    config.embedding_size = vectors.width if vectors else embedding_size or config.embedding_size
    model = build_model(AutoModelForSequenceClassification, config)
    if classifier_dropout is not None:
        set_classifier_dropout(model, classifier_dropout)
    if vectors is not None:
        table, found = vectors.table(tokenizer.get_vocab(), seed=seed)
        _set_embeddings(model, table)
        notes.append(
            _coverage(found - added, len(tokenizer) - len(SPECIAL_TOKENS) - added, added, embeddings)
        )
    elif embeddings == "cbow":
        _set_embeddings(
            model,
            cbow_table(tokenizer, [*texts, *further_texts], width=config.embedding_size, seed=seed),
        )
    return BuiltEncoder(model, tokenizer, tuple(notes))


def texts_of(split: TextSplit | None) -> list[str]:
    """Returns all texts of a split, including the second texts of pairs."""
    return [] if split is None else [*split.texts, *(split.text_pairs or [])]


def scratch_kind(config: Any) -> str | None:
    """Returns the name of a model type that is trained from scratch, `textcnn` or `han`; None for others."""
    return next((name for name, kind in CONFIGS.items() if kind.model_type == config.model_type), None)


def learns_from_scratch(config: Any) -> bool:
    """Returns whether a model is of a type that is trained from scratch."""
    return scratch_kind(config) is not None


def truncation_notes(model: Any, rows: TokenisedDataset) -> tuple[str, ...]:
    """Returns a log message about documents with ignored sentences; nothing if there are none."""
    config = model.config
    if config.model_type != HANConfig.model_type:
        return ()
    lost = torch.cat(
        [
            sentence_layout(config, batch["input_ids"], batch["attention_mask"].bool()).lost
            for start in range(0, len(rows), _ROWS)
            for batch in [rows.batch(range(start, min(start + _ROWS, len(rows))))]
        ]
    )
    if not lost.any():
        return ()
    return (
        f"{int((lost > 0).sum())} of {len(rows)} training documents have more than {config.max_sentences} sentences;"
        f" {int(lost.sum())} words are not read.",
    )


def _read(path: str, width: int | None) -> WordVectors:
    vectors = read_vectors(path)
    if width not in (None, vectors.width):
        raise ModelError(
            f"the vectors in {path} have {vectors.width} dimensions and embedding_size is {width}",
            "leave embedding_size open, or give vectors of that width",
        )
    return vectors


def _coverage(found: int, learned: int, added: int, path: str) -> str:
    if not found:
        raise ModelError(
            f"none of the {learned} tokens of the texts has a vector in {path}",
            "give vectors in the language of the texts, or set tokens: words",
        )
    return (
        f"{found} of {learned} tokens of the texts ({found / learned:.0%}) have a vector in {path};"
        f" {added} further words of it joined the vocabulary."
    )


def _set_embeddings(model: Any, table: np.ndarray) -> None:
    embeddings = model.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight.copy_(torch.from_numpy(table))
        embeddings.weight[embeddings.padding_idx].zero_()
