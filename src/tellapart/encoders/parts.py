"""Stock classifiers as parts of larger models: described in a config, built from it, and without their last layer."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig

from tellapart.encoders.pooling import CONFIG_KEY, set_pooling
from tellapart.encoders.transformer import final_linear, head_dropouts

# What a part's config says about a classifier that it no longer has, about files, and about the whole model.
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


def settings_of(config: PreTrainedConfig) -> dict[str, Any]:
    """Returns what a part's config has of its own, as the config of the whole model keeps it."""
    return {key: value for key, value in config.to_diff_dict().items() if key not in _NOT_A_PARTS_OWN}


def built_part(settings: dict[str, Any], attention: str | None) -> Any:
    """Builds a stock classifier with random weights, pooled as its settings say.

    Args:
        settings: As `settings_of` gives them; stock pooling where they name none.
        attention: The implementation that was asked for; by default what the family takes by itself.
    """
    config = AutoConfig.for_model(**settings)
    pooling = vars(config).pop(CONFIG_KEY, "stock")
    # SDPA is what a part takes by itself where it has it.
    options = {} if attention in (None, "sdpa") else {"attn_implementation": attention}
    part = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False, **options)
    set_pooling(part, pooling)
    return part


def without_classifier(part: Any) -> int:
    """Lets a classifier return its pooled vector, undropped, in place; returns that vector's width."""
    linear, dropouts = final_linear(part), head_dropouts(part)
    names = {id(module): name for name, module in part.named_modules()}
    for module in (linear, *dropouts):
        part.set_submodule(names[id(module)], nn.Identity())
    return linear.in_features
