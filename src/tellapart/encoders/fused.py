"""Several pre-trained encoders under one classifier, each with its own tokeniser.

v = concat, mean or sum of the encoders' pooled vectors v_i, then dropout and one linear layer. With two BERTs this
is M-BERT of the auxiliary-labels paper (§4.3, "MRE-BERT fuses the textual representations"), which does not specify
the fusion. No stock class exists for such a model: it is saved as it is, and loads through
`AutoModelForSequenceClassification` once this module has been imported (`tellapart.register()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from tellapart.data.batches.batching import part_suffix
from tellapart.data.examples import LabelSpace
from tellapart.encoders.composed import (
    ComposedClassifier,
    build_part,
    fresh_part,
    label_settings,
    part_settings,
    remove_classifier,
)
from tellapart.encoders.pooling import PoolingName
from tellapart.encoders.pretrained import read_model
from tellapart.encoders.windowed import WindowedConfig
from tellapart.errors import ModelError

FusionName = Literal["concat", "mean", "sum"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


class FusedConfig(PreTrainedConfig):
    """Configuration of a fused classifier.

    Args:
        parts: The encoders' configs as dicts with `model_type`; `tellapart_pooling` names their pooling, by
            default `stock`.
        fusion: `concat`, `mean` or `sum` of the pooled vectors.
        classifier_dropout: Dropout rate before the final linear layer.
        options: Labels, problem type and other options of `PreTrainedConfig`.
    """

    model_type = "tellapart-fused"

    def __init__(
        self,
        parts: Sequence[dict[str, Any]] | None = None,
        fusion: FusionName = "concat",
        classifier_dropout: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.parts = [dict(part) for part in parts or ()]
        self.fusion = fusion
        self.classifier_dropout = classifier_dropout

    def part_configs(self) -> list[PreTrainedConfig]:
        """Returns the encoders' configs as instances of their config classes."""
        return [AutoConfig.for_model(**part) for part in self.parts]


class FusedForSequenceClassification(ComposedClassifier):
    """A classifier on the fused vectors of several encoders.

    The parts are stock sequence classifiers in training form (see `tellapart.encoders.pooling`) without their
    final layer and without dropout in their heads: their logits are v_i.

    Args:
        config: The configuration.
        parts: Sequence classifiers that provide the encoders, with their final layers; modified in place. By
            default they are built from the config with random weights.

    Raises:
        ModelError: There are fewer than two parts, a part is fused itself, or their widths do not fit the fusion.
    """

    config_class = FusedConfig
    base_model_prefix = "fused"

    def __init__(self, config: FusedConfig, parts: Sequence[Any] | None = None) -> None:
        attention = config._attn_implementation  # before the next line writes a default into it
        super().__init__(config)
        _check_parts(config)
        parts = parts or [build_part(part, attention) for part in config.parts]
        widths = [remove_classifier(part) for part in parts]
        for number, part in enumerate(parts, start=1):
            self.add_module(f"part_{number}", part)
        self._add_classifier(_fused_width(widths, config.fusion))

    @property
    def parts(self) -> list[Any]:
        """The encoders, in order."""
        return [getattr(self, f"part_{number}") for number in range(1, len(self.config.parts) + 1)]

    @property
    def base_model(self) -> nn.ModuleList:
        """The parts' pre-trained base models."""
        return nn.ModuleList(part.base_model for part in self.parts)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Classifies rows.

        Args:
            input_ids: The first part's tokens, int (B, L).
            attention_mask: 1 at tokens and 0 at padding, (B, L).
            token_type_ids: Which text of a pair each token belongs to, (B, L).
            labels: Class ids (B,) or multi-hot (B, K); adds the loss of the config's problem type.
            inputs: `input_ids_2`, `attention_mask_2` … (B, L₂) for the second part, and so on.

        Returns:
            `logits` (B, K) and, with labels, `loss`.

        Raises:
            ModelError: A part has no input.
        """
        inputs |= {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        vectors = [
            part(**_inputs_of(number, inputs), return_dict=True).logits
            for number, part in enumerate(self.parts)
        ]  # N × (B, d_i)
        return self._classify(_fused(vectors, self.config.fusion), labels)


def _inputs_of(number: int, inputs: dict[str, Any]) -> dict[str, Any]:
    suffix = part_suffix(number)
    own = {name: inputs[name + suffix] for name in _INPUTS if inputs.get(name + suffix) is not None}
    if "input_ids" not in own and "inputs_embeds" not in own:
        raise ModelError(
            f"part {number + 1} of the fused encoder got no input_ids{suffix}",
            "tokenise with the tokeniser that was saved with the model (tellapart's load_tokenizer)",
        )
    return own


def _fused(vectors: list[Tensor], fusion: FusionName) -> Tensor:
    if fusion == "concat":
        return torch.cat(vectors, dim=-1)  # (B, Σ d_i)
    stacked = torch.stack(vectors)  # (N, B, d)
    return stacked.mean(0) if fusion == "mean" else stacked.sum(0)


def _fused_width(widths: list[int], fusion: FusionName) -> int:
    if fusion == "concat":
        return sum(widths)
    if len(set(widths)) > 1:
        raise ModelError(
            f"vectors of {' and '.join(map(str, widths))} dimensions have no {fusion}",
            "use the fusion concat (--fusion concat), or encoders of one width",
        )
    return widths[0]


def _check_parts(config: FusedConfig) -> None:
    if config.fusion not in ("concat", "mean", "sum"):
        raise ModelError(f'there is no fusion "{config.fusion}"', "use concat, mean or sum")
    if len(config.parts) < 2:
        raise ModelError(
            f"a fused encoder has two or more parts, not {len(config.parts)}", "name another one"
        )
    if any(part.get("model_type") == FusedConfig.model_type for part in config.parts):
        raise ModelError("a fused encoder cannot be a part of another one", "name its parts one by one")
    if any(part.get("model_type") == WindowedConfig.model_type for part in config.parts):
        raise ModelError("an encoder that reads windows cannot be fused", "name one that does not")


def fused_classifier(
    parts: Sequence[Any], labels: LabelSpace, fusion: FusionName, classifier_dropout: float
) -> FusedForSequenceClassification:
    """Puts a fresh classifier on the encoders of stock classifiers, which are modified in place.

    Raises:
        ModelError: The parts do not fit together.
    """
    settings = [part_settings(part.config) for part in parts]
    config = FusedConfig(settings, fusion, classifier_dropout, **label_settings(labels))
    return FusedForSequenceClassification(config, parts)


def with_fresh_classifier(
    folder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> FusedForSequenceClassification:
    """Loads the base models of a saved fused classifier under a fresh classifier; arguments as for `load_encoder`.

    Raises:
        ModelError: A part does not support this pooling, or the fusion does not fit it.
    """
    trained = read_model(FusedForSequenceClassification, folder)
    parts = [
        fresh_part(settings, part, pooling)
        for settings, part in zip(trained.config.parts, trained.parts, strict=True)
    ]
    if classifier_dropout is None:
        classifier_dropout = trained.config.classifier_dropout
    return fused_classifier(parts, labels, trained.config.fusion, classifier_dropout)


AutoConfig.register(FusedConfig.model_type, FusedConfig, exist_ok=True)
AutoModelForSequenceClassification.register(FusedConfig, FusedForSequenceClassification, exist_ok=True)
