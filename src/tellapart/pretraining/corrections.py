"""Corrections of masked language modelling for false negatives: predictions that are synonyms of the masked token.

Hard correction (HC) excludes positions from the loss whose prediction is a synonym of the masked token. Soft
regularisation (SR) pulls the embeddings of the masked and the predicted token together. All functions take tensors,
for use in any training loop.

Labels and predictions are token ids of the same shape: (B, L) for whole sequences, or (M,) for masked positions only.
Positions that were not masked have the label −100.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives.similarity import ZERO_LENGTH
from tellapart.pretraining.synonyms import SynonymTable

IGNORED = -100


def hard_correction(
    labels: Tensor, predictions: Tensor, table: SynonymTable, ignore_index: int = IGNORED
) -> Tensor:
    """Removes the labels of positions whose prediction is a synonym of the masked token (HC, Eq. 2).

    Args:
        labels: The masked tokens, int64 of any shape; `ignore_index` elsewhere.
        predictions: The predicted tokens, int64 of the same shape: those of the highest logit (BERT), or those
            sampled for the discriminator (ELECTRA).
        table: The synonyms of every token.
        ignore_index: Marks positions without a label.

    Returns:
        A new tensor, with `ignore_index` where the prediction is in V[label]. Correct predictions keep their label.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 2.
    """
    return labels.masked_fill(_synonyms(labels, predictions, table, ignore_index), ignore_index)


def masked_mean_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int = IGNORED) -> Tensor:
    """Returns the mean cross entropy over labelled positions; 0 with a finite gradient if there are none.

    Args:
        logits: Logits of the V tokens, (M, V) or (B, L, V).
        labels: int64 (M,) or (B, L).
        ignore_index: Marks positions without a label.

    Returns:
        A scalar, float32 or wider.
    """
    flat = labels.reshape(-1)
    total = functional.cross_entropy(
        _wide(logits.flatten(0, -2)), flat, ignore_index=ignore_index, reduction="sum"
    )
    return total / (flat != ignore_index).sum().clamp_min(1)


def soft_regularisation(
    embedding_weight: Tensor,
    labels: Tensor,
    predictions: Tensor,
    ignore_index: int = IGNORED,
    *,
    sparse: bool = False,
) -> Tensor:
    """Returns the mean of 1 − cos(E[w], E[r]) over the masked positions: soft regularisation of words (SR, Eq. 3).

    Correct predictions, r = w, add 0 and count in the mean. Only the rows of w and r of wrong predictions get
    gradients.

    Args:
        embedding_weight: The model's input embeddings E, (V, d).
        labels: The masked tokens w before any correction, int64 of any shape; `ignore_index` elsewhere.
        predictions: The predicted tokens r, int64 of the same shape.
        ignore_index: Marks positions without a label.
        sparse: Whether the gradient is sparse, as that of `nn.Embedding(sparse=True)`.

    Returns:
        A scalar between 0 and 2, float32 or wider; 0 without a masked position.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 3.
    """
    masked = labels != ignore_index
    # Places instead of a mask, which would be converted to them once per tensor: a GPU is waited for each time.
    wrong = (masked & (labels != predictions)).nonzero(as_tuple=True)
    pairs = torch.stack([labels[wrong], predictions[wrong]])  # (2, P)
    gold, predicted = _wide(functional.embedding(pairs, embedding_weight, sparse=sparse))  # (P, d) each
    distances = 1 - (_unit(gold) * _unit(predicted)).sum(dim=-1)
    return distances.sum() / masked.sum().clamp_min(1)


def sentence_regularisation(
    hidden_substituted: Tensor,
    hidden_original: Tensor,
    attention_mask: Tensor,
    *,
    detach_original: bool = True,
) -> Tensor:
    """Returns KL(softmax H_p ‖ softmax H_s): soft regularisation of sentences.

    The distributions of a token are over its d hidden dimensions; the divergence is averaged over tokens.

    Args:
        hidden_substituted: Last hidden states H_p of the sentence whose masks hold the predicted tokens, (B, L, d).
        hidden_original: Last hidden states H_s of the original sentence, (B, L, d).
        attention_mask: 1 for a token and 0 for padding, (B, L).
        detach_original: Whether H_s is a target without gradient.

    Returns:
        A scalar, float32 or wider; 0 without a token.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, section 5.
    """
    tokens = attention_mask.nonzero(as_tuple=True)
    if detach_original:
        hidden_original = hidden_original.detach()
    log_p = _wide(hidden_substituted[tokens]).log_softmax(dim=-1)  # (T, d)
    log_s = _wide(hidden_original[tokens]).log_softmax(dim=-1)
    divergence = functional.kl_div(
        log_s, log_p, reduction="sum", log_target=True
    )  # kl_div(s, p) is KL(p ‖ s)
    return divergence / max(len(tokens[0]), 1)


def discriminator_labels(
    original_ids: Tensor, sampled_ids: Tensor, table: SynonymTable | None = None
) -> Tensor:
    """Returns the labels of ELECTRA's discriminator: whether each token was replaced.

    Args:
        original_ids: The tokens before masking, int64 of any shape.
        sampled_ids: The discriminator's input, of the same shape.
        table: If given, synonyms of the original count as original (appendix A of the paper).

    Returns:
        int64 of the same shape: 1 for a replaced token, 0 for an original one.
    """
    replaced = original_ids != sampled_ids
    if table is not None:
        replaced &= ~table.contains(original_ids, sampled_ids)
    return replaced.long()


class CorrectionRates:
    """Rates of hard correction over batches, per prediction and per sequence (Table 2 of the paper).

    Attributes:
        counts: int64 (4,): corrected positions, wrong predictions, sequences with at least one correction,
            sequences. To be summed over processes before reading the rates.

    Example:
        >>> rates = CorrectionRates()
        >>> rates.update(labels, logits.argmax(-1), table)
        >>> f"{rates.prediction_level:.2%} of wrong predictions, {rates.iteration_level:.2%} of sequences"
    """

    counts: Tensor

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Sets the counts to zero."""
        self.counts = torch.zeros(4, dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        predictions: Tensor,
        table: SynonymTable,
        rows: Tensor | None = None,
        sequences: int | None = None,
        ignore_index: int = IGNORED,
    ) -> None:
        """Adds a batch to the counts, without synchronising its device.

        Args:
            labels: The masked tokens before any correction, int64 (B, L), or (M,) with `rows` and `sequences`.
            predictions: The predicted tokens, of the same shape.
            table: The synonyms of every token.
            rows: For labels (M,): index of each position's sequence, int64 (M,).
            sequences: For labels (M,): number of sequences B, including those without masks.
            ignore_index: Marks positions without a label.

        Raises:
            RecipeError: Labels (M,) come without `rows` or `sequences`.
        """
        if labels.dim() == 2:
            sequences = len(labels)
            rows = torch.arange(sequences, device=labels.device)[:, None].expand_as(labels)
        elif rows is None or sequences is None:
            raise RecipeError(
                "the sequences of the masked positions are unknown",
                "give rows and sequences, or labels (B, L)",
            )
        corrected = _synonyms(labels, predictions, table, ignore_index)
        mismatched = (labels != ignore_index) & (labels != predictions)
        a_sequence = torch.zeros(sequences, dtype=torch.int64, device=labels.device)
        a_sequence = a_sequence.scatter_add(0, rows.reshape(-1), corrected.reshape(-1).long())
        found = [corrected.sum(), mismatched.sum(), (a_sequence > 0).sum()]
        total = torch.stack([*found, torch.full_like(found[0], sequences)])
        self.counts = self.counts.to(total.device) + total

    @property
    def prediction_level(self) -> float:
        """Share of wrong predictions that were corrected; 0 if there are none."""
        corrected, mismatched, _, _ = self.counts.tolist()
        return corrected / max(mismatched, 1)

    @property
    def iteration_level(self) -> float:
        """Share of sequences with at least one correction; 0 if there are none."""
        _, _, corrected, sequences = self.counts.tolist()
        return corrected / max(sequences, 1)


def _synonyms(labels: Tensor, predictions: Tensor, table: SynonymTable, ignore_index: int) -> Tensor:
    return table.contains(labels, predictions) & (labels != ignore_index)


def _unit(vectors: Tensor) -> Tensor:
    """Normalises vectors; zero vectors, such as that of padding in a new model, stay zero with a finite gradient."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(lengths > ZERO_LENGTH, lengths, 1.0)


def _wide(values: Tensor) -> Tensor:
    """Converts half precision to float32, for sums over a vocabulary or a batch."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
