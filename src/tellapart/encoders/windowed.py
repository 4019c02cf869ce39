"""An encoder that reads long texts window by window: every window is encoded, and their vectors are pooled.

v = max, mean or attention over the vectors v_i of a text's windows, then dropout and one linear layer. A text that
fits into one window costs what it costs the encoder alone, and has the same v. There is no stock class for such a
model: it is saved as it is, and loads through `AutoModelForSequenceClassification` where this module has been
imported (`tellapart.register()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace
from tellapart.encoders.classification import token_mask
from tellapart.encoders.cutting import WindowPooling, WindowsName, cut_windows, window_counts
from tellapart.encoders.parts import built_part, settings_of, without_classifier
from tellapart.encoders.pooling import CONFIG_KEY, PoolingName, default_pooling
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import (
    head_dropouts,
    load_encoder,
    load_tokenizer,
    position_limit,
    readable,
)
from tellapart.errors import ModelError

WINDOW_LENGTH = 128
"""Tokens of a window unless the user says otherwise, special tokens included."""

WINDOW_STRIDE = 8
"""The share of a window that its neighbour has too unless the user says otherwise: one part in so many."""

# Why an encoder of tellapart's own reads no windows.
_NO_WINDOWS = {
    "tellapart-fused": "it is fused, and its parts cut a text in different places",
    "tellapart-han": "it reads a document sentence by sentence, however long",
    "tellapart-textcnn": "it reads a text of any length at once",
    "tellapart-windowed": "it has windows of its own already",
}


class WindowedConfig(PreTrainedConfig):
    """What a windowed classifier is made of.

    Args:
        part: The encoder's config as a dict, with its `model_type`; its pooling stands under `tellapart_pooling`,
            stock pooling where there is no such key.
        windows: How the windows' vectors are pooled: `max`, `mean` or `learned`.
        window_length: Tokens of a window, special tokens included.
        window_stride: Tokens of the text that two neighbouring windows share, at least.
        prefix: The special tokens in front of every text.
        suffix: Those behind.
        classifier_dropout: The rate before the final linear layer.
        options: Labels, problem type and all else that a config can have.
    """

    model_type = "tellapart-windowed"

    def __init__(
        self,
        part: dict[str, Any] | None = None,
        windows: WindowsName = "max",
        window_length: int = WINDOW_LENGTH,
        window_stride: int = WINDOW_LENGTH // WINDOW_STRIDE,
        prefix: Sequence[int] = (),
        suffix: Sequence[int] = (),
        classifier_dropout: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.part = dict(part or {})
        self.windows = windows
        self.window_length = window_length
        self.window_stride = window_stride
        self.prefix, self.suffix = list(prefix), list(suffix)
        self.classifier_dropout = classifier_dropout

    @property
    def room(self) -> int:
        """Tokens of a text that a window has room for."""
        return self.window_length - len(self.prefix) - len(self.suffix)


class WindowedForSequenceClassification(PreTrainedModel):
    """A classifier on the pooled vectors of a text's windows.

    The encoder is a stock sequence classifier in training form (see `tellapart.encoders.pooling`) without its final
    layer and without dropout in its head: what it returns as logits is the vector of a window.

    Args:
        config: What it is made of.
        part: A sequence classifier to take the encoder from, with its final layer still on; it is changed in place.
            By default it is made from the config, with random weights.

    Raises:
        ModelError: The windows leave no room for new text, or are longer than the encoder reads.
    """

    config_class = WindowedConfig
    base_model_prefix = "windowed"
    supports_gradient_checkpointing = True
    # Whatever is asked for goes to the encoder; one that cannot do it says so.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The loss is a mean over the batch, whatever a trainer passes on.
    accepts_loss_kwargs = False

    def __init__(self, config: WindowedConfig, part: Any = None) -> None:
        attention = config._attn_implementation  # before the next line writes a default into it
        super().__init__(config)
        part = part or built_part(config.part, attention)
        _check_windows(config, part.config)
        width = without_classifier(part)
        self.encoder = part
        self.pooling = WindowPooling(config.windows, width)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(width, config.num_labels)
        self.post_init()

    @property
    def parts(self) -> list[Any]:
        """The encoder, alone: the same place where a fused classifier has several."""
        return [self.encoder]

    @property
    def base_model(self) -> Any:
        """The encoder's base model: what was pre-trained."""
        return self.encoder.base_model

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, WindowPooling):
            if module.query is not None:
                nn.init.zeros_(module.query)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Classifies texts.

        Args:
            input_ids: Texts of any length with their special tokens, (B, L).
            attention_mask: (B, L), 0 where there is padding; by default wherever the padding id is.
            token_type_ids: (B, L); all 0, for single texts.
            labels: Class ids (B,) or multi-hot (B, K): then `loss` is computed as the config's problem type says.

        Returns:
            `logits` (B, K) and, with labels, `loss`.

        Raises:
            ModelError: The rows are pairs of texts.
        """
        if token_type_ids is not None and bool(token_type_ids.any()):
            raise ModelError("the model reads windows of single texts, not of pairs", "join the two texts")
        config = self.config
        padding = 0 if config.pad_token_id is None else config.pad_token_id
        windows = cut_windows(
            input_ids,
            token_mask(input_ids, attention_mask, padding),
            length=config.window_length,
            stride=config.window_stride,
            prefix=config.prefix,
            suffix=config.suffix,
            padding=padding,
        )
        vectors = self.encoder(
            input_ids=windows.input_ids, attention_mask=windows.attention_mask, return_dict=True
        ).logits  # (N, d)
        logits = self.classifier(self.dropout(self.pooling(vectors, windows.counts)))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=config)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _check_windows(config: WindowedConfig, part: PreTrainedConfig) -> None:
    if config.windows not in ("max", "mean", "learned"):
        raise ModelError(f'windows cannot be pooled by "{config.windows}"', "use max, mean or learned")
    if part.model_type in _NO_WINDOWS:
        raise ModelError(
            f"a {part.model_type} reads no windows: {_NO_WINDOWS[part.model_type]}", "choose another encoder"
        )
    if not 0 <= config.window_stride < config.room:
        raise ModelError(
            f"windows of {config.window_length} tokens, {config.window_length - config.room} of them special, that"
            f" share {config.window_stride} leave no room for new text",
            "use a larger window_length or a smaller window_stride",
        )
    limit = position_limit(part)
    if config.window_length > limit:
        raise ModelError(
            f"windows of {config.window_length} tokens are longer than the {limit} that the encoder reads at once",
            f"use a window_length of {limit} or less",
        )


def load_windowed_encoder(
    encoder: str,
    labels: LabelSpace,
    *,
    windows: WindowsName,
    window_length: int | None = None,
    window_stride: int | None = None,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> tuple[WindowedForSequenceClassification, Any]:
    """Loads a pre-trained encoder that reads windows, under a fresh classifier, and its tokeniser.

    Args:
        encoder: `minilm`, a folder, or a Hub name.
        labels: The classes; names and problem type are written into the config before training.
        windows: How the windows' vectors are pooled: `max`, `mean` or `learned`.
        window_length: Tokens of a window, special tokens included; by default 128, or what the encoder reads.
        window_stride: Tokens that two neighbours share, at least; by default an eighth of a window.
        pooling: Of the tokens of a window: `mean`, `cls` or `stock`, as for `load_encoder`.
        classifier_dropout: The rate before the final linear layer; by default the checkpoint's own.

    Returns:
        A classifier in training form, its weights float32; and the tokeniser.

    Raises:
        ModelError: The encoder cannot be read or cannot read windows, or windows of this length.
    """
    with readable(encoder):
        kind = AutoConfig.from_pretrained(resolve_encoder(encoder)).model_type
    if kind in _NO_WINDOWS:
        raise ModelError(
            f"the encoder {encoder} reads no windows: {_NO_WINDOWS[kind]}", "leave out --windows"
        )
    part, tokenizer = load_encoder(encoder, labels, pooling=pooling), load_tokenizer(encoder)
    if classifier_dropout is None:
        classifier_dropout = next((module.p for module in reversed(head_dropouts(part))), 0.0)
    length = window_length or min(WINDOW_LENGTH, position_limit(part.config))
    prefix, suffix = outer_tokens(tokenizer)
    config = WindowedConfig(
        settings_of(part.config),
        windows,
        length,
        length // WINDOW_STRIDE if window_stride is None else window_stride,
        prefix,
        suffix,
        classifier_dropout,
        pad_token_id=part.config.pad_token_id,
        **_naming(labels),
    )
    return WindowedForSequenceClassification(config, part), tokenizer


def with_fresh_classifier(
    folder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> WindowedForSequenceClassification:
    """Loads the encoder of a saved windowed classifier under a fresh one; everything outside the base model is new.

    Args:
        folder: What `save_classifier` or `save_pretrained` wrote.
        labels: The classes.
        pooling: Of the tokens of a window, as for `load_encoder`.
        classifier_dropout: By default the checkpoint's own.

    Raises:
        ModelError: The encoder cannot have this pooling.
    """
    trained = WindowedForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    settings = trained.config.part
    part = built_part(settings | {CONFIG_KEY: pooling or default_pooling(settings["model_type"])}, None)
    part.base_model.load_state_dict(trained.base_model.state_dict(), strict=False)
    if classifier_dropout is None:
        classifier_dropout = trained.config.classifier_dropout
    kept = ("windows", "window_length", "window_stride", "prefix", "suffix", "pad_token_id")
    options: dict[str, Any] = {name: getattr(trained.config, name) for name in kept} | _naming(labels)
    config = WindowedConfig(settings_of(part.config), classifier_dropout=classifier_dropout, **options)
    return WindowedForSequenceClassification(config, part)


def _naming(labels: LabelSpace) -> dict[str, Any]:
    return {"id2label": labels.id2label, "label2id": labels.label2id, "problem_type": labels.problem_type}


def outer_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Returns the special tokens that a tokeniser puts in front of a single text and behind it.

    Raises:
        ModelError: It puts some into the text.
    """
    whole = tokenizer("a")["input_ids"]
    inside = tokenizer("a", add_special_tokens=False)["input_ids"]
    for start in range(len(whole) - len(inside) + 1):
        if whole[start : start + len(inside)] == inside:
            return whole[:start], whole[start + len(inside) :]
    raise ModelError(
        "the tokeniser does not keep a text together between its special tokens, so it cannot be cut",
        "leave out --windows",
    )


def reads_windows(model: Any) -> bool:
    """Whether a classifier cuts texts into windows."""
    return getattr(model.config, "model_type", None) == WindowedConfig.model_type


def window_notes(model: Any, rows: TokenisedDataset) -> tuple[str, ...]:
    """Returns a sentence about how many windows the training rows are, or nothing where the model reads none."""
    if not reads_windows(model):
        return ()
    config = model.config
    inside = rows.lengths - (config.window_length - config.room)
    counts = window_counts(inside, config.room, config.window_stride)
    return (
        f"{int((counts > 1).sum())} of {len(rows)} training rows are longer than a window of {config.window_length}"
        f" tokens; together the rows are {int(counts.sum())} windows, one of them {int(counts.max())} at most.",
    )


AutoConfig.register(WindowedConfig.model_type, WindowedConfig, exist_ok=True)
AutoModelForSequenceClassification.register(WindowedConfig, WindowedForSequenceClassification, exist_ok=True)
