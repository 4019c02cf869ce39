"""Mean and CLS pooling for stock classifiers, in checkpoints that any Transformers tool can load.

Stock sequence classifiers of the BERT family apply a dense layer to one token. Mean pooling is better, but no stock
checkpoint supports it. It is *folded* into one: an extra encoder layer with uniform attention
(query = key = 0, value = I, output = c·I) adds c times the mean over the unmasked tokens to every position, its
layer norms have γ = 1, β = 0 and its feed-forward part adds nothing, so that the first position becomes

    h = LN(LN(x_cls + c · mean(x))),

about LN(mean(x)) for large c. The following dense layer becomes αI, for which the activation is almost linear
(tanh), or I with a large bias (GELU); the classifier's weights invert both. In training the same formula is computed
directly (`Pooling`), without the cost of the layer; `folded` adds the layer and `unfolded` removes it. c and α are
powers of two, so that scaling the classifier is exact in floating point.

MPNet adds a learned relative position bias to the attention logits of every layer, so that query = key = 0 would not
give uniform attention. Its extra layer has query = 1 and key = s in one dimension of each head, for all tokens. Added
to logits of s / sqrt(d_head), a bias of a few units is below half a unit in the last place of float32 (and of
bfloat16), so that it is rounded away: the logits are equal and the attention is exactly uniform.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tellapart.errors import ModelError

PoolingName = Literal["mean", "cls", "stock"]

MEAN_WEIGHT = 64.0
TANH_SCALE = 0.0625
GELU_SHIFT = 16.0

# Keys of the extra layer of families with a position bias. With heads of 64 dimensions the logits are 2^30, where
# neighbouring float32 numbers differ by 64 or more. The query is 1, not large as well: the gradients of the key
# weights are proportional to it, and would otherwise be clipped together with all others when a stock Trainer
# continues from the checkpoint.
BIAS_ROUNDING_KEY = 2.0**33

# Written into config.json, where other tools keep and ignore it.
CONFIG_KEY = "tellapart_pooling"


class _AttentionNames(NamedTuple):
    """Names of the projections of an encoder layer's attention."""

    query: str
    key: str
    value: str
    output: str
    norm: str


_BERT_ATTENTION = _AttentionNames(
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
)
_MPNET_ATTENTION = _AttentionNames(
    "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm"
)


@dataclass(frozen=True)
class _Layout:
    """Names of a family's layers that folding changes."""

    layers: str
    dense: str
    classifier: str
    activation: Literal["tanh", "gelu"]
    attention: _AttentionNames = _BERT_ATTENTION
    position_bias: bool = False

    @property
    def scale(self) -> float:
        return TANH_SCALE if self.activation == "tanh" else 1.0

    @property
    def shift(self) -> float:
        return 0.0 if self.activation == "tanh" else GELU_SHIFT


_ROBERTA = _Layout("roberta.encoder.layer", "classifier.dense", "classifier.out_proj", "tanh")
_LAYOUTS = {
    "bert": _Layout("bert.encoder.layer", "bert.pooler.dense", "classifier", "tanh"),
    "roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": _Layout("electra.encoder.layer", "classifier.dense", "classifier.out_proj", "gelu"),
    "mpnet": _Layout(
        "mpnet.encoder.layer",
        "classifier.dense",
        "classifier.out_proj",
        "tanh",
        _MPNET_ATTENTION,
        position_bias=True,
    ),
}


def default_pooling(model_type: str) -> PoolingName:
    """Returns `mean` for the families that support it and `stock` for the others."""
    return "mean" if model_type in _LAYOUTS or model_type == "modernbert" else "stock"


class Pooling(nn.Module):
    """Computes the pooled vector of the folded checkpoint without its extra layer.

    Args:
        pooling: `mean` or `cls`.
        layout: The family's layout.
        epsilon: The layer norms' ε.
    """

    def __init__(self, pooling: PoolingName, layout: _Layout, epsilon: float) -> None:
        super().__init__()
        self.pooling, self.layout, self.epsilon = pooling, layout, epsilon
        self.attention_mask: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Pools hidden states (B, L, d) to v (B, d), in float32."""
        mask, self.attention_mask = self.attention_mask, None
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float() if hidden.dtype in (torch.float16, torch.bfloat16) else hidden
            pooled = hidden[:, 0]
            if self.pooling == "mean":
                pooled = pooled + MEAN_WEIGHT * _masked_mean(hidden, mask)
                for _ in range(2):  # the extra layer has two norms
                    pooled = functional.layer_norm(pooled, pooled.shape[-1:], eps=self.epsilon)
            if self.layout.activation == "tanh":
                return torch.tanh(pooled * self.layout.scale) / self.layout.scale
            return functional.gelu(pooled + self.layout.shift) - self.layout.shift


class _RememberMask:
    """Hook that passes the base model's attention mask to the pooling; an object, so that model copies copy it."""

    def __init__(self, pooling: Pooling) -> None:
        self.pooling = pooling

    def __call__(self, _: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.pooling.attention_mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)


class PooledHead(nn.Module):
    """Replaces the classification heads of RoBERTa and ELECTRA: pooling, dropout, linear layer."""

    def __init__(self, pooling: Pooling, dropout: nn.Module, out_proj: nn.Linear) -> None:
        super().__init__()
        self.pooling, self.dropout, self.out_proj = pooling, dropout, out_proj

    def forward(self, features: Tensor, **_: Any) -> Tensor:
        """Maps hidden states (B, L, d) to logits (B, K)."""
        return self.out_proj(self.dropout(self.pooling(features)))


def _masked_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return hidden.mean(1)
    weights = mask.to(hidden.dtype)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bl,bld->bd", weights, hidden)


def set_pooling(model: Any, pooling: PoolingName) -> None:
    """Sets the pooling of a stock sequence classifier, in place.

    Args:
        model: A Transformers sequence classifier with its stock head.
        pooling: `mean`, `cls` or `stock`.

    Raises:
        ModelError: The family does not support this pooling in a plain checkpoint.
    """
    config = model.config
    if pooling == "stock":
        return
    if config.model_type == "modernbert":
        config.classifier_pooling = pooling
        return
    if config.model_type not in _LAYOUTS:
        raise ModelError(
            f"{pooling} pooling cannot be saved in a plain {config.model_type} checkpoint",
            "use --pooling stock for this encoder",
        )
    layout = _LAYOUTS[config.model_type]
    module = Pooling(pooling, layout, config.layer_norm_eps)
    if layout.dense.endswith("pooler.dense"):
        model.base_model.pooler = module
    else:
        model.classifier = PooledHead(module, model.classifier.dropout, model.classifier.out_proj)
    setattr(config, CONFIG_KEY, pooling)

    model.base_model.register_forward_pre_hook(_RememberMask(module), with_kwargs=True)


def pooling_of(config: Any) -> PoolingName:
    """Returns the pooling of a classifier in training form, from its config."""
    if config.model_type == "modernbert":
        return config.classifier_pooling
    return getattr(config, CONFIG_KEY, "stock")


def folded(model: Any) -> Any:
    """Returns the model as a stock classifier, with logits equal to about 1e-6 relative.

    A model with stock pooling, or a composed model, which has no stock form, is returned unchanged.
    """
    pooling = getattr(model.config, CONFIG_KEY, None)
    if pooling is None or not _pooling_modules(model):
        return model
    layout = _LAYOUTS[model.config.model_type]
    config = copy.deepcopy(model.config)
    if pooling == "mean":
        config.num_hidden_layers += 1
    with torch.device("meta"):
        plain = type(model)(config)
    state = {
        name.replace("classifier.pooling.", ""): value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    width, like = config.hidden_size, state[f"{layout.classifier}.weight"]
    weight, bias = state[f"{layout.classifier}.weight"], state[f"{layout.classifier}.bias"]
    state[f"{layout.dense}.weight"] = torch.eye(width, dtype=like.dtype) * layout.scale
    state[f"{layout.dense}.bias"] = torch.full((width,), layout.shift, dtype=like.dtype)
    state[f"{layout.classifier}.weight"] = weight / layout.scale
    state[f"{layout.classifier}.bias"] = bias - weight.sum(1) * (layout.shift / layout.scale)
    if pooling == "mean":
        layer = f"{layout.layers}.{config.num_hidden_layers - 1}."
        state |= {layer + name: value for name, value in _mean_layer(config, layout, like.dtype).items()}
    plain.load_state_dict(state, strict=False, assign=True)
    _materialise_buffers(plain, model)
    return plain.eval()


def unfolded(model: Any) -> Any:
    """Returns the training form of a classifier that `folded` returned, possibly saved and loaded since.

    The extra layer is removed, so that scoring and further training do not pay for it. A model that was never folded
    is returned unchanged.
    """
    pooling = getattr(model.config, CONFIG_KEY, None)
    if pooling is None or _pooling_modules(model):
        return model
    layout = _LAYOUTS[model.config.model_type]
    state = model.state_dict()
    if pooling == "mean":
        layers = model.get_submodule(layout.layers)
        del layers[len(layers) - 1]
        model.config.num_hidden_layers -= 1
    set_pooling(model, pooling)
    classifier = model.get_submodule(layout.classifier)
    weight = state[f"{layout.classifier}.weight"] * layout.scale
    with torch.no_grad():
        classifier.weight.copy_(weight)
        classifier.bias.copy_(
            state[f"{layout.classifier}.bias"] + weight.sum(1) * (layout.shift / layout.scale)
        )
    return model


def encoder_layers(config: Any) -> int:
    """Returns the number of encoder layers, without the one that `folded` adds."""
    return config.num_hidden_layers - (getattr(config, CONFIG_KEY, None) == "mean")


def _pooling_modules(model: Any) -> list[Pooling]:
    return [module for module in model.modules() if isinstance(module, Pooling)]


def _mean_layer(config: Any, layout: _Layout, dtype: torch.dtype) -> dict[str, Tensor]:
    """Returns the state of an encoder layer that adds MEAN_WEIGHT times the mean over tokens to each token."""
    width, inner = config.hidden_size, config.intermediate_size
    zeros, ones = torch.zeros(width, dtype=dtype), torch.ones(width, dtype=dtype)
    square, identity = torch.zeros(width, width, dtype=dtype), torch.eye(width, dtype=dtype)
    query = key = zeros
    if layout.position_bias:
        query, key = zeros.clone(), zeros.clone()
        first = slice(None, None, width // config.num_attention_heads)  # of each head
        query[first], key[first] = 1.0, BIAS_ROUNDING_KEY
    names = layout.attention
    weights = {
        names.query: (square, query),
        names.key: (square, key),
        names.value: (identity, zeros),
        names.output: (identity * MEAN_WEIGHT, zeros),
        names.norm: (ones, zeros),
        "intermediate.dense": (torch.zeros(inner, width, dtype=dtype), torch.zeros(inner, dtype=dtype)),
        "output.dense": (torch.zeros(width, inner, dtype=dtype), zeros),
        "output.LayerNorm": (ones, zeros),
    }
    return {
        f"{name}.{part}": value.clone()  # no two tensors of a checkpoint may share memory
        for name, pair in weights.items()
        for part, value in zip(("weight", "bias"), pair, strict=True)
    }


def _materialise_buffers(plain: nn.Module, model: nn.Module) -> None:
    """Replaces unsaved buffers on the meta device (position ids) by the model's own."""
    for name, buffer in model.named_buffers():
        owner, _, attribute = name.rpartition(".")
        parent = plain.get_submodule(owner)
        if attribute in parent._buffers and parent._buffers[attribute].is_meta:  # type: ignore[union-attr]
            parent._buffers[attribute] = buffer.detach().cpu().clone()
