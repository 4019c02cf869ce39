"""Replaced token detection (ELECTRA) with optional corrections for synonyms.

Clark et al. 2020, ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators; Zhang et al. 2023,
Language Model Pre-training on True Negatives, appendix A.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.errors import ModelError
from tellapart.pretraining.corrections import discriminator_labels
from tellapart.pretraining.language_model import GENERATOR_FOLDER, MODEL_FOLDER, MaskedHead
from tellapart.pretraining.terms import TOKENS, Corrections, PretrainingModel, Term, filled


class ReplacedTokenDetection(PretrainingModel):
    """A generator fills in masked tokens; a discriminator detects the replaced ones.

    Both share the embedding layer. Sampling is not differentiable: the discriminator's loss has no gradient in the
    generator.

    Args:
        generator: An `ElectraForMaskedLM`.
        discriminator: An `ElectraForPreTraining`, whose embedding layer the generator shares.
        corrections: Treatment of predictions that are synonyms of the gold token.
        discriminator_weight: Weight of the discriminator's loss; the generator's is 1.
        predictions: `sample` from the generator's distribution, or its `argmax`.
        temperature: Temperature of the distribution.

    Raises:
        ModelError: The embeddings of the two models have different shapes.
    """

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        corrections: Corrections = Corrections(),  # noqa: B008  frozen
        *,
        discriminator_weight: float = 50.0,
        predictions: Literal["sample", "argmax"] = "sample",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(corrections, discriminator=Term(discriminator_weight, TOKENS))
        _share_embeddings(generator, discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.head = MaskedHead(generator)
        self.checkpoints = {GENERATOR_FOLDER: generator, MODEL_FOLDER: discriminator}
        self.predictions, self.temperature = predictions, temperature

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        labels: Tensor,
        masked_over_kept: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Computes the terms of a batch; arguments as for `MaskedLanguageModelling.forward`.

        Returns:
            The sum of each of `terms`; `correct`, the number of masked tokens predicted correctly; `detected`, the
            number of tokens that the discriminator classified correctly; with hard correction `kept`, the number of
            positions that it leaves.
        """
        logits = self.head(positions, input_ids=input_ids, attention_mask=attention_mask)
        losses, best = self.corrections.token_losses(logits, labels)
        predictions = best if self.predictions == "argmax" else self._sampled(logits.detach())
        self.observe(labels, predictions, positions, input_ids.shape)
        embeddings = self.discriminator.get_input_embeddings().weight
        tied = self.head.tied
        result = self.masked_terms(losses, labels, predictions, embeddings, masked_over_kept, tied=tied)
        original = filled(input_ids, positions, labels)
        sampled = filled(input_ids, positions, predictions)
        hidden = self.discriminator.base_model(input_ids=sampled, attention_mask=attention_mask)[0]
        scores = self.discriminator.discriminator_predictions(hidden).float()  # (B, L)
        replaced = discriminator_labels(original, sampled, self.corrections.hard_table)
        with torch.autocast(input_ids.device.type, enabled=False):
            each = functional.binary_cross_entropy_with_logits(scores, replaced.float(), reduction="none")
            result["discriminator"] = (each * attention_mask).sum()
        if self.corrections.sentence:
            base_model = self.discriminator.base_model
            result["sentence"] = self.sentence_term(base_model, hidden, original, attention_mask)
        detected = ((scores.detach() > 0) == replaced.bool()) & attention_mask.bool()
        return result | {"correct": (predictions == labels).sum(), "detected": detected.sum()}

    def _sampled(self, logits: Tensor) -> Tensor:
        """Returns tokens drawn from the generator's distribution, (P,)."""
        # Inverse transform sampling: one random number per position, where Gumbel noise needs V.
        cumulative = (logits.float() / self.temperature).softmax(-1).cumsum(-1)
        drawn = torch.rand(len(logits), 1, device=logits.device) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, drawn, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def _share_embeddings(generator: Any, discriminator: Any) -> None:
    own, shared = generator.base_model.embeddings, discriminator.base_model.embeddings
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (own, shared)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            "the embeddings of generator and discriminator have different shapes",
            "use a generator with the same embedding_size and vocabulary",
        )
    generator.base_model.embeddings = shared
    generator.generator_lm_head.weight = shared.word_embeddings.weight
