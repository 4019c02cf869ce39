"""Long texts for encoders of limited input length: windows are encoded separately and their vectors pooled.

v = max, mean or attention over the vectors v_i of a text's windows, then dropout and one linear layer. For a text
that fits into one window, cost and v are those of the encoder itself. No stock class exists for such a model: it is
saved as it is, and loads through `AutoModelForSequenceClassification` once this module has been imported
(`tellapart.register()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import can_return_tuple

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace
from tellapart.encoders.classification import token_mask
from tellapart.encoders.composed import (
    ComposedClassifier,
    build_part,
    fresh_part,
    label_settings,
    part_settings,
    remove_classifier,
)
from tellapart.encoders.cutting import WindowPooling, WindowsName, cut_windows, window_counts
from tellapart.encoders.pooling import PoolingName
from tellapart.encoders.pretrained import read_model
from tellapart.encoders.transformer import position_limit
from tellapart.errors import ModelError

WINDOW_LENGTH = 128
"""Default length of a window in tokens, special tokens included."""

WINDOW_STRIDE = 8
"""Default divisor: neighbouring windows share at least 1 / `WINDOW_STRIDE` of their length."""

WINDOW_SETTINGS = ("windows", "window_length", "window_stride", "prefix", "suffix")
"""The entries of a windowed classifier's config that decide how a text is cut and pooled."""

# Why tellapart's own model types cannot be windowed.
_NO_WINDOWS = {
    "tellapart-fused": "it is fused, and its parts would cut a text in different places",
    "tellapart-han": "it reads a document sentence by sentence, however long",
    "tellapart-textcnn": "it reads a text of any length at once",
    "tellapart-windowed": "it reads windows of its own already",
}


class WindowedConfig(PreTrainedConfig):
    """Configuration of a windowed classifier.

    Args:
        part: The encoder's config as a dict with `model_type`; `tellapart_pooling` names its pooling, by default
            `stock`.
        windows: How the windows' vectors are pooled: `max`, `mean` or `learned`.
        window_length: Tokens per window, special tokens included.
        window_stride: Minimum number of text tokens that neighbouring windows share.
        prefix: Special tokens before every text.
        suffix: Special tokens after it.
        classifier_dropout: Dropout rate before the final linear layer.
        options: Labels, problem type and other options of `PreTrainedConfig`.
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
        """Text tokens per window, without special tokens."""
        return self.window_length - len(self.prefix) - len(self.suffix)


class WindowedForSequenceClassification(ComposedClassifier):
    """A classifier on the pooled vectors of a text's windows.

    The encoder is a stock sequence classifier in training form (see `tellapart.encoders.pooling`) without its final
    layer and without dropout in its head: its logits are the vector of a window.

    Args:
        config: The configuration.
        part: A sequence classifier that provides the encoder, with its final layer; modified in place. By default
            it is built from the config with random weights.

    Raises:
        ModelError: The windows leave no room for new text, or are longer than the encoder's maximum input.
    """

    config_class = WindowedConfig
    base_model_prefix = "windowed"

    def __init__(self, config: WindowedConfig, part: Any = None) -> None:
        attention = config._attn_implementation  # before the next line writes a default into it
        super().__init__(config)
        part = part or build_part(config.part, attention)
        _check_windows(config, part.config)
        width = remove_classifier(part)
        self.encoder = part
        self.pooling = WindowPooling(config.windows, width)
        self._add_classifier(width)

    @property
    def parts(self) -> list[Any]:
        """The encoder as a list of one, as in a fused classifier."""
        return [self.encoder]

    @property
    def base_model(self) -> Any:
        """The encoder's pre-trained base model."""
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
            attention_mask: (B, L), 0 at padding; by default computed from the padding id.
            token_type_ids: (B, L); must be all 0 (single texts).
            labels: Class ids (B,) or multi-hot (B, K); adds the loss of the config's problem type.

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
        return self._classify(self.pooling(vectors, windows.counts), labels)


def _check_windows(config: WindowedConfig, part: PreTrainedConfig) -> None:
    if config.windows not in ("max", "mean", "learned"):
        raise ModelError(f'windows cannot be pooled by "{config.windows}"', "use max, mean or learned")
    check_can_window(part.model_type, part.model_type)
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


def check_can_window(encoder: str, model_type: str) -> None:
    """Raises a `ModelError` for tellapart's own model types, which cannot be windowed."""
    if model_type in _NO_WINDOWS:
        raise ModelError(
            f"the encoder {encoder} cannot read windows: {_NO_WINDOWS[model_type]}",
            "leave out --windows, or choose another encoder",
        )


def windowed_classifier(
    part: Any,
    tokenizer: Any,
    labels: LabelSpace,
    *,
    windows: WindowsName,
    window_length: int | None = None,
    window_stride: int | None = None,
    classifier_dropout: float = 0.0,
) -> WindowedForSequenceClassification:
    """Puts a fresh classifier on the encoder of a stock classifier `part`, which is modified in place.

    The other arguments are those of `load_windowed_encoder`.

    Raises:
        ModelError: The encoder cannot read windows of this length, or its tokeniser's texts cannot be cut.
    """
    length = window_length or min(WINDOW_LENGTH, position_limit(part.config))
    prefix, suffix = outer_tokens(tokenizer)
    config = WindowedConfig(
        part_settings(part.config),
        windows,
        length,
        length // WINDOW_STRIDE if window_stride is None else window_stride,
        prefix,
        suffix,
        classifier_dropout,
        pad_token_id=part.config.pad_token_id,
        **label_settings(labels),
    )
    return WindowedForSequenceClassification(config, part)


def with_fresh_classifier(
    folder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> WindowedForSequenceClassification:
    """Loads the base model of a saved windowed classifier under a fresh classifier; arguments as for `load_encoder`.

    Raises:
        ModelError: The encoder does not support this pooling.
    """
    trained = read_model(WindowedForSequenceClassification, folder)
    part = fresh_part(trained.config.part, trained.encoder, pooling)
    if classifier_dropout is None:
        classifier_dropout = trained.config.classifier_dropout
    options: dict[str, Any] = {
        name: getattr(trained.config, name) for name in (*WINDOW_SETTINGS, "pad_token_id")
    }
    config = WindowedConfig(
        part_settings(part.config), classifier_dropout=classifier_dropout, **options, **label_settings(labels)
    )
    return WindowedForSequenceClassification(config, part)


def outer_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Returns the special tokens that a tokeniser adds before and after a single text.

    Raises:
        ModelError: It also inserts special tokens inside the text.
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
    """Returns a log message with the number of windows of the training rows; nothing for other models."""
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
