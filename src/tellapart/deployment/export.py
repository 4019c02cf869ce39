"""Writes a classifier as an ONNX folder and compares it with PyTorch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace
from tellapart.data.reading.columns import ColumnNames
from tellapart.deployment.manifest import (
    Agreement,
    Manifest,
    checksums_of,
    package_versions,
    write_manifest,
)
from tellapart.deployment.onnx_export import OPSET, quantise, write_onnx
from tellapart.deployment.onnx_scoring import OnnxClassifier, check_onnx
from tellapart.encoders.pooling import CONFIG_KEY
from tellapart.encoders.scoring import score
from tellapart.errors import ModelError, TellapartWarning
from tellapart.evaluation.decision import Decision, write_decision
from tellapart.evaluation.metrics import predicted_ids

Quantization = Literal["int8"]

MODEL_FILE = "model.onnx"
INT8_FILE = "model-int8.onnx"

LARGEST_DIFFERENCE = 1e-3
"""Largest allowed difference of float32 logits, relative to the largest logit (at least 1); rounding makes 1e-6."""

FEWEST_EQUAL_LABELS = 0.98
"""Share of texts with the same labels below which an int8 export warns."""


def export_onnx(
    model: Any,
    tokenizer: Any,
    rows: TokenisedDataset,
    folder: Path,
    *,
    labels: LabelSpace,
    decision: Decision,
    max_length: int,
    quantization: Quantization | None = None,
    columns: ColumnNames | None = None,
) -> Manifest:
    """Writes `model.onnx`, optionally `model-int8.onnx`, tokeniser, config, decision and `export.json`.

    Args:
        model: A sequence classifier in training form.
        tokenizer: Its tokeniser.
        rows: Rows on which PyTorch and ONNX Runtime are compared.
        folder: An empty or missing folder; the caller makes the write atomic.
        labels: The classes.
        decision: How logits become labels.
        max_length: Longest input in tokens.
        quantization: `int8` to also write int8 weights, which are then used for scoring.
        columns: The columns that the training rows were read from.

    Returns:
        The content of `export.json`.

    Raises:
        MissingDependencyError: A package of the extra `onnx` is not installed.
        ModelError: The model cannot be exported, or ONNX Runtime computes different logits than PyTorch.
    """
    check_onnx("exporting to ONNX")
    folder.mkdir(parents=True, exist_ok=True)
    inputs = write_onnx(model, tokenizer, rows, folder / MODEL_FILE)
    names = [MODEL_FILE]
    if quantization is not None:
        quantise(folder / MODEL_FILE, folder / INT8_FILE)
        names.append(INT8_FILE)
    config = copy.deepcopy(model.config)
    vars(config).pop(CONFIG_KEY, None)  # of checkpoints, which have a layer more
    config.save_pretrained(folder)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)
    write_decision(folder, decision, labels, columns)

    wanted = score(model, rows)

    def decide(logits: np.ndarray) -> np.ndarray:
        return predicted_ids(labels, decision.calibrated(logits), decision.applied_thresholds)

    agreement = {
        name: _agreement(wanted, OnnxClassifier(folder / name, config).scores(rows), decide) for name in names
    }
    _check(agreement)
    manifest = Manifest(
        model=names[-1],
        format="onnx",
        quantization=quantization,
        opset=OPSET,
        inputs=inputs,
        agreement=agreement,
        versions=package_versions(),
        sha256=checksums_of(folder),
    )
    write_manifest(folder, manifest)
    return manifest


def _agreement(
    wanted: np.ndarray, found: np.ndarray, decide: Callable[[np.ndarray], np.ndarray]
) -> Agreement:
    equal = decide(wanted) == decide(found)
    return Agreement(
        texts=len(wanted),
        largest_difference=float(np.abs(wanted - found).max()),
        largest_logit=float(np.abs(wanted).max()),
        equal_labels=float((equal.all(1) if equal.ndim == 2 else equal).mean()),
    )


def _check(agreement: dict[str, Agreement]) -> None:
    exact = agreement[MODEL_FILE]
    if not exact.largest_difference <= LARGEST_DIFFERENCE * max(1.0, exact.largest_logit):  # NaN fails too
        raise ModelError(
            f"the exported model gives other logits than PyTorch: they differ by {exact.largest_difference:.2g} "
            f"at most, where the largest is {exact.largest_logit:.2g}",
            "score the model with PyTorch: tellapart predict MODEL FILE",
        )
    rounded = agreement.get(INT8_FILE)
    if rounded is not None and rounded.equal_labels < FEWEST_EQUAL_LABELS:
        warnings.warn(
            f"with int8 weights {1 - rounded.equal_labels:.1%} of {rounded.texts} texts get another label than in "
            "float32: evaluate the export on labelled rows, or leave out --quantize.",
            TellapartWarning,
            stacklevel=4,
        )
