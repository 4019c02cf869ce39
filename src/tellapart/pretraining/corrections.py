"""Corrections of masked language modelling where a prediction is no true negative, for any training loop.

Hard correction (HC) takes positions out of the loss whose prediction is a synonym of the masked token. Soft
regularisation (SR) draws the embeddings of the masked and of the predicted token together. Nothing here owns a
model: every function takes tensors and returns one.

Labels and predictions are token ids of one shape: (B, L) for whole sequences, or (M,) for the masked positions alone.
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
    """Returns the labels without those whose prediction is a synonym of the masked token (HC, Eq. 2).

    Args:
        labels: The masked tokens, int64 of any shape; `ignore_index` elsewhere.
        predictions: What the model predicts there, int64 of the same shape: the token of the highest logit (BERT),
            or the token that was sampled for the discriminator (ELECTRA).
        table: The synonyms of every token.
        ignore_index: What stands for no label.

    Returns:
        A new tensor, with `ignore_index` where the prediction is in V[label]. A prediction that equals the label
        keeps it.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 2.
    """
    return labels.masked_fill(_synonyms(labels, predictions, table, ignore_index), ignore_index)


def masked_mean_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int = IGNORED) -> Tensor:
    """Returns the mean cross entropy over the positions that have a label; 0 with a finite gradient for none.

    Args:
        logits: Scores of the V tokens, (M, V) or (B, L, V).
        labels: int64 (M,) or (B, L).
        ignore_index: What stands for no label.

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

    A correct prediction, r = w, adds 0 and counts in the mean. The gradient reaches the rows of w and r of the
    other positions, and no others.

    Args:
        embedding_weight: The model's input embeddings E, (V, d).
        labels: The masked tokens w before any correction, int64 of any shape; `ignore_index` elsewhere.
        predictions: The predicted tokens r, int64 of the same shape.
        ignore_index: What stands for no label.
        sparse: Whether the gradient is to be a sparse tensor, as that of `nn.Embedding(sparse=True)`.

    Returns:
        A scalar between 0 and 2, float32 or wider; 0 without a masked position.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, Eq. 3.
    """
    masked = labels != ignore_index
    wrong = masked & (labels != predictions)
    pairs = torch.stack([labels[wrong], predictions[wrong]])  # (2, P): only these rows are ever touched
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

    The divergence is that of two distributions over the d hidden dimensions of a token, the mean over the tokens.

    Args:
        hidden_substituted: Last hidden states H_p of the sentence whose masks hold the predicted tokens, (B, L, d).
        hidden_original: Last hidden states H_s of the original sentence, (B, L, d).
        attention_mask: 1 for a token and 0 for padding, (B, L).
        detach_original: H_s is the target and gets no gradient.

    Returns:
        A scalar, float32 or wider; 0 without a token.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, section 5.
    """
    tokens = attention_mask.bool()
    if detach_original:
        hidden_original = hidden_original.detach()
    log_p = _wide(hidden_substituted[tokens]).log_softmax(dim=-1)  # (T, d)
    log_s = _wide(hidden_original[tokens]).log_softmax(dim=-1)
    divergence = functional.kl_div(
        log_s, log_p, reduction="sum", log_target=True
    )  # kl_div(s, p) is KL(p ‖ s)
    return divergence / tokens.sum().clamp_min(1)


def discriminator_labels(
    original_ids: Tensor, sampled_ids: Tensor, table: SynonymTable | None = None
) -> Tensor:
    """Returns for each token of a corrupted input whether it was replaced, as ELECTRA's discriminator learns it.

    Args:
        original_ids: The tokens before masking, int64 of any shape.
        sampled_ids: The tokens that the discriminator sees, of the same shape: where nothing was masked they are
            the original ones.
        table: With it a synonym of the original counts as original (appendix A of the paper).

    Returns:
        int64 of the same shape: 1 for a replaced token, 0 for an original one.
    """
    replaced = original_ids != sampled_ids
    if table is not None:
        replaced &= ~table.contains(original_ids, sampled_ids)
    return replaced.long()


class CorrectionRates:
    """How often hard correction takes place, counted over batches, in the two ways of the paper's Table 2.

    Attributes:
        counts: int64 (4,): corrected positions, mismatched positions, sequences with at least one correction,
            sequences. Sum it over processes before reading the rates.

    Example:
        >>> rates = CorrectionRates()
        >>> rates.update(labels, logits.argmax(-1), table)
        >>> f"{rates.prediction_level:.2%} of wrong predictions, {rates.iteration_level:.2%} of sequences"
    """

    counts: Tensor

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts again at zero."""
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
        """Counts a batch, without waiting for its device.

        Args:
            labels: The masked tokens before any correction, int64 (B, L), or (M,) with `rows` and `sequences`.
            predictions: The predicted tokens, of the same shape.
            table: The synonyms of every token.
            rows: For labels (M,): which sequence of the batch each position is in, int64 (M,).
            sequences: For labels (M,): how many sequences B the batch has, those without a mask too.
            ignore_index: What stands for no label.

        Raises:
            RecipeError: Labels (M,) come without `rows` or `sequences`.
        """
        if labels.dim() == 2:
            sequences = len(labels)
            rows = torch.arange(sequences, device=labels.device)[:, None].expand_as(labels)
        elif rows is None or sequences is None:
            raise RecipeError(
                "the sequences of the masked positions are not known",
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
        """The share of wrong predictions that were corrected; 0 before the first one."""
        corrected, mismatched, _, _ = self.counts.tolist()
        return corrected / max(mismatched, 1)

    @property
    def iteration_level(self) -> float:
        """The share of sequences with at least one correction; 0 before the first one."""
        _, _, corrected, sequences = self.counts.tolist()
        return corrected / max(sequences, 1)


def _synonyms(labels: Tensor, predictions: Tensor, table: SynonymTable, ignore_index: int) -> Tensor:
    return table.contains(labels, predictions) & (labels != ignore_index)


def _unit(vectors: Tensor) -> Tensor:
    """A zero vector, as that of padding in a fresh model, stays zero: its gradient must not explode."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(lengths > ZERO_LENGTH, lengths, 1.0)


def _wide(values: Tensor) -> Tensor:
    """Half precision is too coarse for sums over a vocabulary, or over a batch."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
