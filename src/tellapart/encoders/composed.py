"""Classifiers composed of stock classifiers: base class, and parts described in a config and built without heads."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig

from tellapart.data.examples import LabelSpace
from tellapart.encoders.classification import PooledClassifier
from tellapart.encoders.pooling import CONFIG_KEY, PoolingName, default_pooling, set_pooling
from tellapart.encoders.pretrained import build_model
from tellapart.encoders.transformer import final_linear, head_dropouts

# Keys of a part's config that concern its removed classifier, its files, or the whole model.
_NOT_A_PARTS_OWN = (
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "transformers_version",
)


class ComposedClassifier(PooledClassifier):
    """A classifier whose encoders are stock sequence classifiers without their heads."""

    supports_gradient_checkpointing = True
    # Any attention implementation is passed on to the parts; a part that lacks it raises an error.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The loss is a mean over the batch; arguments that a trainer adds are ignored.
    accepts_loss_kwargs = False


def part_settings(config: PreTrainedConfig) -> dict[str, Any]:
    """Returns a part's own settings, as the config of the composed model stores them."""
    return {key: value for key, value in config.to_diff_dict().items() if key not in _NOT_A_PARTS_OWN}


def label_settings(labels: LabelSpace) -> dict[str, Any]:
    """Returns the config entries that describe the classes."""
    return {"id2label": labels.id2label, "label2id": labels.label2id, "problem_type": labels.problem_type}


def build_part(settings: dict[str, Any], attention: str | None = None) -> Any:
    """Builds a stock classifier with random weights and the pooling that its settings name.

    Args:
        settings: Output of `part_settings`; stock pooling where they name none.
        attention: The requested attention implementation; by default the family's own default.
    """
    config = AutoConfig.for_model(**settings)
    pooling = vars(config).pop(CONFIG_KEY, "stock")
    # SDPA is the default of parts that support it.
    options = {} if attention in (None, "sdpa") else {"attn_implementation": attention}
    part = build_model(AutoModelForSequenceClassification, config, **options)
    set_pooling(part, pooling)
    return part


def fresh_part(settings: dict[str, Any], trained: Any, pooling: PoolingName | None) -> Any:
    """Builds a part with the base model of a trained one and a fresh head.

    Args:
        settings: Of the trained part.
        trained: The part.
        pooling: By default the family's default pooling.
    """
    part = build_part(settings | {CONFIG_KEY: pooling or default_pooling(settings["model_type"])})
    part.base_model.load_state_dict(trained.base_model.state_dict(), strict=False)
    return part


def remove_classifier(part: Any) -> int:
    """Removes a classifier's final layer and its dropout in place, so that logits are v; returns the width of v."""
    linear, dropouts = final_linear(part), head_dropouts(part)
    names = {id(module): name for name, module in part.named_modules()}
    for module in (linear, *dropouts):
        part.set_submodule(names[id(module)], nn.Identity())
    return linear.in_features
