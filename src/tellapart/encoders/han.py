"""HAN, the hierarchical attention network of Yang et al. (2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from tellapart.encoders.classification import SequenceClassifier, initialise, token_mask
from tellapart.encoders.vectors import RANDOM_RANGE


class HANConfig(PreTrainedConfig):
    """Configuration of a HAN; the defaults are those of Yang et al. (2016, §3.3).

    Args:
        vocab_size: Rows of the embedding matrix.
        embedding_size: Width of the embeddings.
        gru_size: Width of each GRU in each direction.
        max_sentence_length: Maximum number of words per sentence; longer sentences are split.
        max_sentences: Maximum number of sentences per document; the rest is ignored.
        embedding_dropout: Rate on the embeddings. Not specified in the paper.
        classifier_dropout: Rate on v, before the final linear layer. Not specified in the paper.
        sep_token_id: The token between sentences.
    """

    model_type = "tellapart-han"

    vocab_size: int = 30_000
    embedding_size: int = 200
    gru_size: int = 50
    max_sentence_length: int = 60
    max_sentences: int = 100
    embedding_dropout: float = 0.1
    classifier_dropout: float = 0.1
    num_hidden_layers: int = 2
    pad_token_id: int | None = 0
    sep_token_id: int | None = 2

    @property
    def hidden_size(self) -> int:
        """Width of v: both directions of the sentence GRU."""
        return 2 * self.gru_size


class AttentiveGRU(nn.Module):
    """A bidirectional GRU with attention over packed sequences of different lengths (Eq. 1 to 7).

    Args:
        input_size: Width of the input vectors.
        size: Width of each direction.
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(input_size, size, bidirectional=True)
        self.projection = nn.Linear(2 * size, 2 * size)
        self.context = nn.Parameter(torch.empty(2 * size))

    def forward(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the attention-weighted mean of the GRU states of each sequence.

        Args:
            vectors: All sequences, concatenated, (T, input_size).
            lengths: Of each sequence, (S,), sum T; 0 is allowed.

        Returns:
            (S, 2 · size), 0 for an empty sequence, and the attention weights (T,), which sum to 1 in each.
        """
        summaries = vectors.new_zeros(len(lengths), self.projection.in_features)
        if not len(vectors):
            # All parameters need a gradient even if every text is empty: ranks wait for each other's.
            nothing = vectors.sum() + 0 * sum(parameter.sum() for parameter in self.parameters())
            return summaries + nothing, vectors.new_zeros(0)
        sequences = torch.arange(len(lengths), device=lengths.device)
        owners = torch.repeat_interleave(sequences, lengths, output_size=len(vectors))
        present = lengths[lengths > 0]
        starts = present.cumsum(0) - present
        # Indices are packed and sorted by length, not vectors, so that no vector is padded.
        places = starts[:, None] + torch.arange(int(present.max()), device=lengths.device)
        packed = pack_padded_sequence(places, present.cpu(), batch_first=True, enforce_sorted=False)
        order = packed.data
        states = self.gru(packed._replace(data=vectors[order]))[0].data  # (T, 2 · size) in packed order
        owners = owners[order]
        scores = torch.tanh(self.projection(states)) @ self.context
        peaks = scores.new_full(summaries.shape[:1], -torch.inf)
        peaks = peaks.scatter_reduce(0, owners, scores.detach(), "amax")
        weights = torch.exp(scores - peaks[owners])
        totals = scores.new_zeros(summaries.shape[:1]).index_add(0, owners, weights)
        weights = weights / totals[owners]
        summaries = summaries.index_add(0, owners, weights[:, None] * states)
        return summaries, torch.empty_like(weights).scatter(0, order, weights)


@dataclass(frozen=True)
class SentenceLayout:
    """The sentences of a batch of documents.

    Args:
        kept: True at words that are read, bool (B, L).
        sentence_lengths: Words per sentence, (S,), in the order of the documents; none is 0.
        document_lengths: Sentences per document, (B,).
        lost: Words per document after the last sentence read, (B,).
    """

    kept: Tensor
    sentence_lengths: Tensor
    document_lengths: Tensor
    lost: Tensor


def sentence_layout(config: HANConfig, input_ids: Tensor, mask: Tensor) -> SentenceLayout:
    """Splits the documents of a batch into sentences, vectorised.

    Args:
        config: The separator and the limits.
        input_ids: (B, L).
        mask: True at tokens, bool (B, L).
    """
    separators = mask & (input_ids == config.sep_token_id)
    words = mask & ~separators
    counts = words.cumsum(1)
    before = torch.where(separators, counts, 0).cummax(1).values  # words in earlier sentences
    starts = words & ((counts - 1 - before) % config.max_sentence_length == 0)
    numbers = starts.cumsum(1) - 1
    kept = words & (numbers < config.max_sentences)
    documents = starts.sum(1).clamp_max(config.max_sentences)
    firsts = documents.cumsum(0) - documents
    sentences = torch.bincount((firsts[:, None] + numbers)[kept], minlength=int(documents.sum()))
    return SentenceLayout(kept, sentences, documents, words.sum(1) - kept.sum(1))


class HANPreTrainedModel(PreTrainedModel):
    """Weight initialisation of a HAN."""

    config_class = HANConfig
    base_model_prefix = "han"
    _input_embed_layer = "embeddings"

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, RANDOM_RANGE)
        if isinstance(module, AttentiveGRU):
            nn.init.uniform_(module.context, -RANDOM_RANGE, RANDOM_RANGE)


class HANModel(HANPreTrainedModel):
    """Encodes documents by a GRU with attention over the words of each sentence and another over the sentences.

    A document is one row of tokens with `[SEP]` between sentences. All sentences of a batch are encoded together.
    Padding and empty sentences have no effect; v is 0 for a document without words.

    Args:
        config: The configuration.

    References:
        Yang et al. (2016), Hierarchical Attention Networks for Document Classification, §2.
    """

    def __init__(self, config: HANConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.words = AttentiveGRU(config.embedding_size, config.gru_size)
        self.sentences = AttentiveGRU(2 * config.gru_size, config.gru_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """Encodes documents.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 0 at padding; by default computed from the padding id.
            output_attentions: Whether to return the attention weights.

        Returns:
            `pooler_output`: v (B, 2 · gru_size). On request, `attentions`: two tensors (B, L), each word's weight in
            its sentence, and that sentence's weight in the document.
        """
        mask = token_mask(input_ids, attention_mask, self.config.pad_token_id)
        layout = sentence_layout(self.config, input_ids, mask)
        # Recurrent sums need float32, and matrices of this size do not benefit from bf16.
        with torch.autocast(input_ids.device.type, enabled=False):
            vectors = self.dropout(self.embeddings(input_ids[layout.kept]))  # (T, d)
            summaries, word_weights = self.words(vectors, layout.sentence_lengths)
            pooled, sentence_weights = self.sentences(summaries, layout.document_lengths)
        attentions = None
        if output_attentions:
            empty = vectors.new_zeros(input_ids.shape)
            spread = sentence_weights.repeat_interleave(layout.sentence_lengths)
            attentions = tuple(
                empty.masked_scatter(layout.kept, weights) for weights in (word_weights, spread)
            )
        return BaseModelOutputWithPooling(pooler_output=pooled, attentions=attentions)


class HANForSequenceClassification(HANPreTrainedModel, SequenceClassifier):
    """A HAN with dropout and a final linear layer."""

    encoder_class = HANModel


AutoConfig.register(HANConfig.model_type, HANConfig, exist_ok=True)
AutoModel.register(HANConfig, HANModel, exist_ok=True)
AutoModelForSequenceClassification.register(HANConfig, HANForSequenceClassification, exist_ok=True)
