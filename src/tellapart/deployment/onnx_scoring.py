"""Scores exported classifiers with ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import TextSplit
from tellapart.deployment.manifest import MANIFEST_FILE, read_manifest
from tellapart.deployment.onnx_export import TOKEN_TYPES
from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.precision import Precision
from tellapart.encoders.pretrained import read_config
from tellapart.encoders.scoring import in_batches
from tellapart.encoders.transformer import position_limit, readable
from tellapart.errors import MissingDependencyError, ModelError, UserError
from tellapart.training.progress import Progress

# Padded tokens per batch. ONNX Runtime reuses the buffers of a batch: what fits into the caches of a CPU is faster.
TOKENS_A_BATCH = 1024


class OnnxClassifier:
    """A sequence classifier in ONNX Runtime, on the CPU.

    Args:
        path: The ONNX file.
        config: The Transformers config of the model, with the names of the labels.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        ModelError: The file is no classifier, or its weights are in other files.
    """

    def __init__(self, path: Path, config: Any) -> None:
        self.config = config
        self._session = _session(path)
        self.inputs = [each.name for each in self._session.get_inputs()]

    def scores(self, dataset: TokenisedDataset, *, progress: Progress = None) -> np.ndarray:
        """Returns the logits of every row, float32 (N, K).

        Args:
            dataset: The rows.
            progress: Called with the number of rows done after each batch.

        Raises:
            ModelError: The rows lack inputs of the model.
        """
        return in_batches(dataset, self._logits, TOKENS_A_BATCH, progress=progress)

    def _logits(self, batch: dict[str, Tensor]) -> np.ndarray:
        feed = {name: values.numpy() for name, values in batch.items() if name in self.inputs}
        for name in self.inputs:
            if name.startswith(TOKEN_TYPES) and name not in feed:  # single texts: all of the first
                feed[name] = np.zeros_like(feed[name.replace(TOKEN_TYPES, "input_ids")])
        try:
            (logits,) = self._session.run(["logits"], feed)
        except Exception as error:  # ONNX Runtime's own classes share no other base
            raise ModelError(
                f"ONNX Runtime cannot score the rows ({_first_line(error)})", "export the model again"
            ) from error
        return np.asarray(logits, dtype=np.float32)


@dataclass(frozen=True)
class ExportedScorer:
    """An export with its tokeniser, as a `tellapart.fitting.fitted.Scorer`.

    Args:
        model: The model in ONNX Runtime.
        tokenizer: Its tokeniser.
        max_length: Longest input in tokens.
    """

    model: OnnxClassifier
    tokenizer: Any
    max_length: int
    kind: str = "an exported model"

    def tokenised(self, split: TextSplit) -> TokenisedDataset:
        """Tokenises a split."""
        return tokenise(split, self.tokenizer, max_length=self.max_length)

    def scores(
        self, split: TextSplit, rows: TokenisedDataset | None = None, *, progress: Progress = None
    ) -> np.ndarray:
        """Computes logits, float32 (N, K)."""
        return self.model.scores(self.tokenised(split) if rows is None else rows, progress=progress)

    def in_precision(self, precision: Precision, *, regression: bool) -> ExportedScorer:
        """Returns itself; refuses bf16."""
        if precision == "bf16":
            raise UserError("an exported model cannot be scored in bf16", "leave out --precision")
        return self

    def save(self, folder: str | Path) -> None:
        """Raises `ModelError`."""
        raise ModelError(
            "an exported model cannot be saved as a checkpoint", "load the run that it was exported from"
        )

    def divide_by_temperature(self, temperature: float) -> None:
        """Raises `ModelError`."""
        raise ModelError("an exported model cannot be changed", "export a model with a folded temperature")

    def add_to_logits(self, shifts: np.ndarray) -> None:
        """Raises `ModelError`."""
        raise ModelError("an exported model cannot be changed", "change the run that it was exported from")


def is_exported(folder: Path) -> bool:
    """Whether `tellapart export` wrote the folder."""
    return (folder / MANIFEST_FILE).is_file()


def load_exported(folder: Path) -> ExportedScorer:
    """Loads an export.

    Args:
        folder: The folder with `export.json`.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        ModelError: Files are missing or have changed.
    """
    manifest = read_manifest(folder)
    with readable(str(folder)):
        config = read_config(folder)
        tokenizer = load_tokenizer(str(folder))
    model = OnnxClassifier(folder / manifest.model, config)
    return ExportedScorer(model, tokenizer, min(tokenizer.model_max_length, position_limit(config)))


def check_onnx(purpose: str) -> None:
    """Checks that the packages of the extra `onnx` are installed.

    Raises:
        MissingDependencyError: One is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "onnx", purpose) from None


def _session(path: Path) -> Any:
    check_onnx("scoring an exported model")
    import onnx
    import onnxruntime
    from onnx.external_data_helper import uses_external_data

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        content = path.read_bytes()
        graph = onnx.load_model_from_string(content).graph
        if any(uses_external_data(tensor) for tensor in graph.initializer):
            raise ModelError(f"{path} has weights in other files", "export the model again")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
    except Exception as error:  # protobuf and ONNX Runtime raise classes of their own
        raise ModelError(
            f"{path} is not a readable ONNX model ({_first_line(error)})", "export the model again"
        ) from error
    if [each.name for each in session.get_outputs()] != ["logits"]:
        raise ModelError(
            f"{path} is no classifier: it has other outputs than logits", "export the model again"
        )
    return session


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
