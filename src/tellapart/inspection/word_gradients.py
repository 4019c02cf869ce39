"""Integrated gradients of the token embeddings (Sundararajan et al. 2017), by captum."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tellapart.data.batches.batching import part_suffix
from tellapart.encoders.cutting import cut_windows
from tellapart.encoders.han import HANConfig, sentence_layout
from tellapart.encoders.scoring import TOKENS_A_BATCH
from tellapart.encoders.transformer import encoders_of
from tellapart.encoders.windowed import reads_windows
from tellapart.inspection.word_pieces import Attribution, Place

STEPS = (32, 128, 512)
"""Points of the integral (Gauss–Legendre): the next number is tried while the error exceeds `TOLERANCE`."""

TOLERANCE = 0.02
"""Accepted error of the sum of all effects, as a share of the sum of their absolute values."""


def has_captum() -> bool:
    """Whether the package of the extra `explain` is installed."""
    return importlib.util.find_spec("captum") is not None


def has_offsets(tokenizer: Any) -> bool:
    """Whether a tokeniser tells which characters each token stands for."""
    return all(getattr(part, "is_fast", False) for part in _parts(tokenizer))


def integrated_gradients(
    model: Any,
    tokenizer: Any,
    max_length: int,
    columns: Sequence[str],
    inputs: dict[str, Tensor],
    first: int,
    second: int | None,
    *,
    steps: Sequence[int] = STEPS,
) -> Attribution:
    """Attributes an output to the tokens of a row by the gradients of their embeddings.

    The path leads from a baseline, the row with every token of the text replaced by `[PAD]`, to the row; special
    tokens stay. The effects sum to the output of the row minus that of the baseline, up to the error of the
    integral.

    Args:
        model: A sequence classifier; fused and windowed ones, TextCNN and HAN too.
        tokenizer: Its tokeniser.
        max_length: Longest input in tokens; tokens after it are not read and have no effect.
        columns: The text, and the second text of a pair.
        inputs: The tokenised row, `input_ids` … (1, L), `input_ids_2` … for the other parts of a fused encoder.
        first: The output that is explained.
        second: The output that is subtracted; None for none.
        steps: Numbers of points of the integral to try, until the error is within `TOLERANCE`.

    References:
        Sundararajan, Taly, Yan (2017), Axiomatic Attribution for Deep Networks.
    """
    device = next(model.parameters()).device
    inputs = {name: values.to(device) for name, values in inputs.items()}
    layers = [part.get_input_embeddings() for part in encoders_of(model)]
    ids = ["input_ids" + part_suffix(number) for number in range(len(layers))]
    names = [*ids, *(name for name in inputs if name not in ids)]

    def output(*values: Tensor) -> Tensor:
        logits = model(**dict(zip(names, values, strict=True))).logits
        return logits[:, first] if second is None else logits[:, first] - logits[:, second]

    tokens = [
        _tokens(part, columns, max_length, inputs[name])
        for part, name in zip(_parts(tokenizer), ids, strict=True)
    ]
    baselines = [_baseline(part, inputs[name]) for part, name in zip(_parts(tokenizer), ids, strict=True)]
    rest = [inputs[name] for name in names[len(ids) :]]
    positions = [_positions(model, inputs, name) for name in ids]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            both = [torch.cat([inputs[name], one]) for name, one in zip(ids, baselines, strict=True)]
            whole, without = output(*both, *(one.expand(2, -1) for one in rest)).tolist()
        for count in steps:
            found = _gradients(
                output, layers, [inputs[name] for name in ids], baselines, rest, count, positions
            )
            effects = [
                _by_token(one, places, inputs[name].shape[1])
                for one, places, name in zip(found, positions, ids, strict=True)
            ]
            every = torch.cat(effects)
            if abs(every.sum().item() - (whole - without)) <= TOLERANCE * every.abs().sum().item():
                break
    finally:
        model.train(was_training)
    kept = [
        (place, effect)
        for places, part in zip(tokens, effects, strict=True)
        for place, effect in zip(places, part.tolist(), strict=True)
        if place is not None
    ]
    return Attribution(whole, without, [place for place, _ in kept], [effect for _, effect in kept])


def _gradients(
    output: Any,
    layers: list[Any],
    ids: list[Tensor],
    baselines: list[Tensor],
    rest: list[Tensor],
    steps: int,
    positions: list[Tensor],
) -> list[Tensor]:
    """Returns the attributions of the output of each embedding layer, summed over its width."""
    from captum.attr import LayerIntegratedGradients

    with warnings.catch_warnings():  # of layers that depend on each other: fused encoders do not
        warnings.simplefilter("ignore", UserWarning)
        explainer = LayerIntegratedGradients(output, layers)
    tokens = sum(one.numel() for one in positions)
    together = max(1, TOKENS_A_BATCH.get(ids[0].device.type, TOKENS_A_BATCH["cuda"]) // max(1, tokens))
    # cuDNN has no gradients of recurrent layers in evaluation mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        found = explainer.attribute(
            tuple(ids),
            tuple(baselines),
            additional_forward_args=tuple(rest),
            n_steps=steps,
            # captum counts the rows of the layer's output: one, or the windows, or the words of HAN.
            internal_batch_size=None if together >= steps else together * len(positions[0]),
        )
    return [one.detach().sum(-1) for one in found]


def _by_token(effects: Tensor, positions: Tensor, length: int) -> Tensor:
    """Sums the effects of a layer's rows by the token of the row (L,); a position of -1 is no token."""
    used = positions >= 0
    return effects.new_zeros(length).index_add(0, positions[used], effects[used])


def _positions(model: Any, inputs: dict[str, Tensor], name: str) -> Tensor:
    """Returns the token that each output of an embedding layer belongs to; -1 for padding."""
    ids, mask = inputs[name], inputs[name.replace("input_ids", "attention_mask")].bool()
    places = torch.arange(ids.shape[1], device=ids.device)[None]
    config = model.config
    if reads_windows(model):
        return cut_windows(
            places,
            mask,
            length=config.window_length,
            stride=config.window_stride,
            prefix=[-1] * len(config.prefix),
            suffix=[-1] * len(config.suffix),
            padding=-1,
        ).input_ids
    if config.model_type == HANConfig.model_type:
        return places[sentence_layout(config, ids, mask).kept]
    widest = max(getattr(config, "filter_widths", (0,)))
    return torch.nn.functional.pad(places, (0, max(0, widest - ids.shape[1])), value=-1)


def _parts(tokenizer: Any) -> list[Any]:
    return list(getattr(tokenizer, "parts", [tokenizer]))


def _tokens(tokenizer: Any, columns: Sequence[str], max_length: int, ids: Tensor) -> list[Place | None]:
    """Returns the place of each token of a row; None for special tokens."""
    (encoding,) = tokenizer(
        *([column] for column in columns), truncation=True, max_length=max_length
    ).encodings
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return [
        None if sequence is None or token in special else Place(sequence, *offsets)
        for token, sequence, offsets in zip(
            ids[0].tolist(), encoding.sequence_ids, encoding.offsets, strict=True
        )
    ]


def _baseline(tokenizer: Any, ids: Tensor) -> Tensor:
    """Returns the row with padding in place of its tokens; special tokens stay."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    padding = tokenizer.pad_token_id
    stays = torch.isin(ids, ids.new_tensor(sorted(special)))
    return torch.where(stays, ids, 0 if padding is None else padding)
