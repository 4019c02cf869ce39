"""Several pre-trained encoders as one: each reads the text with its own tokeniser, one classifier sees them all.

v = concat, mean or sum of the encoders' pooled vectors v_i, then dropout and one linear layer. With two BERTs this
is M-BERT of the auxiliary-labels paper (§4.3, "MRE-BERT fuses the textual representations"), which leaves the kind
of fusion open. There is no stock class for such a model: it is saved as it is, and loads through
`AutoModelForSequenceClassification` where this module has been imported (`tellapart.register()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from tellapart.data.batches.batching import part_suffix
from tellapart.data.examples import LabelSpace
from tellapart.encoders.fused_tokenizer import FusedTokenizer
from tellapart.encoders.parts import built_part, settings_of, without_classifier
from tellapart.encoders.pooling import CONFIG_KEY, PoolingName, default_pooling
from tellapart.encoders.transformer import head_dropouts, load_encoder, load_tokenizer
from tellapart.encoders.windowed import WindowedConfig
from tellapart.errors import ModelError

FusionName = Literal["concat", "mean", "sum"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


class FusedConfig(PreTrainedConfig):
    """What a fused classifier is made of.

    Args:
        parts: The encoders' configs as dicts, with their `model_type`; their pooling stands under
            `tellapart_pooling`, stock pooling where there is no such key.
        fusion: `concat`, `mean` or `sum` of the pooled vectors.
        classifier_dropout: The rate before the final linear layer.
        options: Labels, problem type and all else that a config can have.
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
        """Returns the encoders' configs as objects of their own classes."""
        return [AutoConfig.for_model(**part) for part in self.parts]


class FusedForSequenceClassification(PreTrainedModel):
    """A classifier on the fused vectors of several encoders.

    The parts are stock sequence classifiers in training form (see `tellapart.encoders.pooling`) without their
    final layer and without dropout in their heads: what they return as logits is v_i.

    Args:
        config: What it is made of.
        parts: Sequence classifiers to take the encoders from, with their final layers still on; they are changed
            in place. By default they are made from the config, with random weights.

    Raises:
        ModelError: There are fewer than two parts, one is fused itself, or their widths do not fit the fusion.
    """

    config_class = FusedConfig
    base_model_prefix = "fused"
    supports_gradient_checkpointing = True
    # Whatever is asked for goes to the parts; those that cannot do it say so.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The loss is a mean over the batch, whatever a trainer passes on.
    accepts_loss_kwargs = False

    def __init__(self, config: FusedConfig, parts: Sequence[Any] | None = None) -> None:
        attention = config._attn_implementation  # before the next line writes a default into it
        super().__init__(config)
        _check_parts(config)
        parts = parts or [built_part(part, attention) for part in config.parts]
        widths = [without_classifier(part) for part in parts]
        for number, part in enumerate(parts, start=1):
            self.add_module(f"part_{number}", part)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(_fused_width(widths, config.fusion), config.num_labels)
        self.post_init()

    @property
    def parts(self) -> list[Any]:
        """The encoders, in order."""
        return [getattr(self, f"part_{number}") for number in range(1, len(self.config.parts) + 1)]

    @property
    def base_model(self) -> nn.ModuleList:
        """The parts' base models: what was pre-trained."""
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
            attention_mask: 1 at them and 0 at padding, (B, L).
            token_type_ids: Which text of a pair they belong to, (B, L).
            labels: Class ids (B,) or multi-hot (B, K): then `loss` is computed as the config's problem type says.
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
        logits = self.classifier(self.dropout(_fused(vectors, self.config.fusion)))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)


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
            f"a fused encoder has two parts or more, not {len(config.parts)}", "name another one"
        )
    if any(part.get("model_type") == FusedConfig.model_type for part in config.parts):
        raise ModelError("a fused encoder cannot be a part of another one", "name its parts one by one")
    if any(part.get("model_type") == WindowedConfig.model_type for part in config.parts):
        raise ModelError("an encoder that reads windows cannot be fused", "name one that does not")


def load_fused_encoder(
    encoders: Sequence[str],
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    fusion: FusionName = "concat",
    classifier_dropout: float | None = None,
) -> FusedForSequenceClassification:
    """Loads pre-trained encoders side by side under one fresh classifier.

    Args:
        encoders: Two or more of `minilm`, a folder, or a Hub name.
        labels: The classes; names and problem type are written into the config before training.
        pooling: `mean`, `cls` or `stock`, of all parts; by default each part's `mean` where it can have it.
        fusion: `concat`, `mean` or `sum`; the last two need vectors of one width.
        classifier_dropout: The rate before the final linear layer; by default the first checkpoint's own.

    Returns:
        A classifier in training form, its weights float32.

    Raises:
        ModelError: An encoder cannot be read or cannot have this pooling, or they do not fit together.
    """
    parts = [load_encoder(encoder, labels, pooling=pooling) for encoder in encoders]
    if classifier_dropout is None:
        rates = [module.p for part in parts[:1] for module in head_dropouts(part)]
        classifier_dropout = rates[-1] if rates else 0.0
    return _joined(parts, labels, fusion, classifier_dropout)


def load_fused_tokenizer(encoders: Sequence[str]) -> FusedTokenizer:
    """Loads the tokenisers of several encoders as one.

    Raises:
        ModelError: One cannot be read, or belongs to a fused encoder itself.
    """
    return FusedTokenizer([load_tokenizer(encoder) for encoder in encoders])


def with_fresh_classifier(
    folder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> FusedForSequenceClassification:
    """Loads the parts of a saved fused classifier under a fresh one; everything outside base models is new.

    Args:
        folder: What `save_classifier` or `save_pretrained` wrote.
        labels: The classes.
        pooling: As for `load_fused_encoder`.
        classifier_dropout: By default the checkpoint's own.

    Raises:
        ModelError: A part cannot have this pooling, or the fusion does not fit it.
    """
    trained = FusedForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    parts = []
    for settings, source in zip(trained.config.parts, trained.parts, strict=True):
        own_pooling = pooling or default_pooling(settings["model_type"])
        part = built_part(settings | {CONFIG_KEY: own_pooling}, None)
        part.base_model.load_state_dict(source.base_model.state_dict(), strict=False)
        parts.append(part)
    if classifier_dropout is None:
        classifier_dropout = trained.config.classifier_dropout
    return _joined(parts, labels, trained.config.fusion, classifier_dropout)


def _joined(
    parts: list[Any], labels: LabelSpace, fusion: FusionName, classifier_dropout: float
) -> FusedForSequenceClassification:
    config = FusedConfig(
        [settings_of(part.config) for part in parts],
        fusion,
        classifier_dropout,
        id2label=labels.id2label,
        label2id=labels.label2id,
        problem_type=labels.problem_type,
    )
    return FusedForSequenceClassification(config, parts)


AutoConfig.register(FusedConfig.model_type, FusedConfig, exist_ok=True)
AutoModelForSequenceClassification.register(FusedConfig, FusedForSequenceClassification, exist_ok=True)
