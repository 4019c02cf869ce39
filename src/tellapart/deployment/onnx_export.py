"""Converts a PyTorch classifier to ONNX, and ONNX weights to int8."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders.transformer import encoders_of
from tellapart.errors import ModelError

OPSET = 20
"""ONNX operator set: the first with GELU as one operator."""

TOKEN_TYPES = "token_type_ids"

_PARTS_OF_A_BATCH = 3


class _Logits(nn.Module):
    """A classifier that takes its inputs as positional tensors."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def write_onnx(model: Any, tokenizer: Any, dataset: TokenisedDataset, path: Path) -> list[str]:
    """Writes a classifier as one float32 ONNX file with dynamic batch size and length.

    Args:
        model: A sequence classifier in training form.
        tokenizer: Its tokeniser.
        dataset: Rows used to trace the model.
        path: The file.

    Returns:
        The names of the inputs.

    Raises:
        ModelError: ONNX cannot express the model, or the model is too large for one file.
    """
    batch = _example(tokenizer, dataset)
    names = list(batch)
    plain = copy.deepcopy(model).cpu().float().eval()
    for encoder in encoders_of(plain):
        # Written out, attention is fewer operations than the decomposition of PyTorch's fused kernel.
        with contextlib.suppress(ValueError, NotImplementedError, AttributeError):
            encoder.set_attn_implementation("eager")
    dynamic = torch.export.Dim.DYNAMIC
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                _Logits(plain, names),
                tuple(batch.values()),
                dynamo=True,
                dynamic_shapes=(tuple({0: dynamic, 1: dynamic} for _ in names),),
                input_names=names,
                output_names=["logits"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            _save_without_traces(program.model_proto, path)
    except OSError:
        raise
    except Exception as error:  # the exporter, torch.export and protobuf raise classes of their own
        raise ModelError(
            f"{type(model).__name__} cannot be written as ONNX ({_reason(error)})",
            "score it with PyTorch: tellapart predict MODEL FILE",
        ) from error
    return names


def quantise(source: Path, target: Path) -> None:
    """Quantises the weights of an ONNX model to int8 per channel, with dynamic scales for activations.

    Args:
        source: A float32 model.
        target: The file to write.

    Raises:
        ModelError: It cannot be quantised.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_model(source, load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    # The exporter notes the types of weights as well; what quantisation makes of them contradicts that.
    kept = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    try:
        with _silence():
            quantize_dynamic(model, target, per_channel=True, weight_type=QuantType.QInt8)
    except OSError:
        raise
    except Exception as error:  # shape inference raises classes of its own
        raise ModelError(
            f"the model cannot be quantised ({_reason(error)})", "export it without --quantize"
        ) from error


def _example(tokenizer: Any, dataset: TokenisedDataset) -> dict[str, Tensor]:
    """A padded batch with all inputs: the longest, the shortest and a medium row."""
    order = np.argsort(dataset.lengths.numpy(), kind="stable")
    rows = np.unique(order[np.linspace(0, len(order) - 1, _PARTS_OF_A_BATCH).astype(int)])
    width = int(dataset.lengths[rows].max())
    # The exporter takes dimensions of one size for the same dimension, and dimensions of size 1 for constants.
    if len(rows) < 2 or width in (1, len(rows)):
        rows = np.concatenate([rows, rows, rows[:1]])
    batch = dataset.batch(rows.tolist())
    batch.pop("labels", None)
    for name in tokenizer.model_input_names:
        if name.startswith(TOKEN_TYPES) and name not in batch:  # rows of single texts come without
            batch[name] = torch.zeros_like(batch[name.replace(TOKEN_TYPES, "input_ids")])
    return batch


def _save_without_traces(model: Any, path: Path) -> None:
    """Writes an ONNX model without metadata: stack traces in it name local files and outweigh small models."""
    import onnx

    _clear([model, *model.functions])
    for function in model.functions:
        _clear(function.value_info)
        _clear_nodes(function.node)
    _clear_graph(model.graph)
    onnx.save_model(model, path)


def _clear_graph(graph: Any) -> None:
    _clear([graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer])
    _clear_nodes(graph.node)


def _clear_nodes(nodes: Iterable[Any]) -> None:
    _clear(nodes)
    for node in nodes:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _clear_graph(graph)


def _clear(messages: Iterable[Any]) -> None:
    for message in messages:
        message.ClearField("doc_string")
        message.ClearField("metadata_props")


def _reason(error: BaseException) -> str:
    """The first line of the root cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppresses the exporters' logs, warnings and output; exceptions are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
