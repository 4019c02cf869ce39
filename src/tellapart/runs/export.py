"""Exports a trained classifier to ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames, Columns, find_model_columns
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.values import read_examples
from tellapart.deployment.export import Quantization, export_onnx
from tellapart.deployment.manifest import MANIFEST_FILE, Manifest
from tellapart.deployment.onnx_scoring import check_onnx
from tellapart.encoders.windowed import reads_windows
from tellapart.errors import ModelError, UserError
from tellapart.files import replacing
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.loading import load_fitted, trained_columns

FORMATS = ("onnx",)

CHECKED_TEXTS = 256
"""Largest number of texts on which an export is compared with PyTorch."""


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Args:
        folder: The folder written.
        manifest: The content of its `export.json`.
    """

    folder: Path
    manifest: Manifest


def export(
    model: str | Path,
    output: str | Path | None = None,
    *,
    format: str = "onnx",
    quantize: str | None = None,
    check: str | Path | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    overwrite: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Exported:
    """Exports a trained classifier and compares its logits with PyTorch's before the folder appears.

    The folder holds model, tokeniser, config, decision and `export.json`, which records the comparison. It can be
    used as a model in `tellapart predict` and `evaluate`.

    Args:
        model: A run folder or a plain checkpoint.
        output: The folder to write; by default the model's name with the suffix `-onnx`.
        format: `onnx`.
        quantize: `int8` for 8-bit weights; None for float32.
        check: A file with texts for the comparison; by default the run's test rows, or random words of the
            model's vocabulary.
        text: The file's text column; by default that of the model's training, or found by its name if that is
            unknown.
        text_pair: The second text's column, likewise.
        overwrite: Whether to replace an earlier export.
        announce: Called with a note on the columns that are read.

    Returns:
        The folder and its manifest.

    Raises:
        DataError: The file cannot be read.
        MissingDependencyError: A package of the extra `onnx` is not installed.
        ModelError: There is no classifier, it cannot be exported, or the export computes different logits.
        OutputError: The folder cannot be written.
        UserError: An option is unknown, or the output folder holds other files.
    """
    if format not in FORMATS:
        raise UserError(f'"{format}" is no format of exports', f"choose {', '.join(FORMATS)}")
    if quantize is not None and quantize not in get_args(Quantization):
        raise UserError(f'"{quantize}" is no quantisation', f"choose {', '.join(get_args(Quantization))}")
    check_onnx("exporting to ONNX")
    target = _claimed(model, output, overwrite)
    names = ColumnNames(text, text_pair)
    split = None if check is None else _texts(check, names, trained_columns(model), announce)
    fitted = load_fitted(model)
    if not isinstance(fitted.scorer, TransformersScorer):
        raise ModelError(
            f"{model} is {fitted.scorer.kind} and cannot be exported", "export a trained encoder"
        )
    if reads_windows(fitted.model):
        raise ModelError(
            f"{model} reads windows, whose number depends on the text, and cannot be exported",
            "serve it with Transformers after tellapart.register()",
        )
    rows = fitted.scorer.tokenised(split or _texts_of_the_run(model) or _words(fitted))
    with replacing(target) as temporary:
        manifest = export_onnx(
            fitted.model,
            fitted.tokenizer,
            rows,
            temporary,
            labels=fitted.labels,
            decision=fitted.decision,
            max_length=fitted.max_length,
            quantization=cast("Quantization | None", quantize),
            columns=fitted.columns,
        )
    return Exported(target, manifest)


def _claimed(model: str | Path, output: str | Path | None, overwrite: bool) -> Path:
    """Checks and returns the folder to write: new, empty, or an earlier export."""
    source = Path(model).resolve()
    target = source.with_name(f"{source.name}-onnx") if output is None else Path(output)
    if output is None and not source.is_dir():
        raise UserError(f"{model} is not a local folder, so there is no default output", "give --output")
    if target.is_file():
        raise UserError(f"the output {target} is a file", "give a folder")
    if os.path.ismount(target):
        raise UserError(
            f"the output folder {target} is a mount point, which cannot be replaced", "give a folder in it"
        )
    if target.is_dir() and any(target.iterdir()):
        if not (target / MANIFEST_FILE).is_file():
            raise UserError(
                f"the output folder {target} holds files that were not written by an export",
                "choose another --output",
            )
        if not overwrite:
            raise UserError(
                f"the output folder {target} holds an export", "choose another --output, or use --overwrite"
            )
    return target


def _texts(
    file: str | Path,
    names: ColumnNames,
    trained: ColumnNames | None,
    announce: Callable[[Sequence[str]], None] | None,
) -> TextSplit:
    table = read_table(file)
    columns = find_model_columns(table.schema, names, trained, labelled=False, where=str(file))
    if announce is not None:
        announce([f"Columns: {columns}."])
    return _examples(table, columns, str(file))


def _texts_of_the_run(model: str | Path) -> TextSplit | None:
    file = Path(model) / "predictions.parquet"
    if not file.is_file():
        return None
    table = read_table(file)
    second = "text_pair" if "text_pair" in table.column_names else None
    return _examples(table, Columns("text", second), str(file))


def _examples(table: pa.Table, columns: Columns, where: str) -> TextSplit:
    rows = np.linspace(0, len(table) - 1, min(CHECKED_TEXTS, len(table))).astype(int)
    return read_examples(table.take(rows), columns, where=where)


def _words(fitted: Fitted) -> TextSplit:
    """Texts of random vocabulary words, from one word to the model's length."""
    tokenizer: Any = getattr(fitted.tokenizer, "parts", [fitted.tokenizer])[0]
    words = np.array(sorted(word for word in tokenizer.get_vocab() if word.isalpha()), dtype=object)
    random = np.random.default_rng(0)
    longest = min(fitted.max_length, 128)
    lengths = np.linspace(1, longest, CHECKED_TEXTS // 4).astype(int)
    return TextSplit([" ".join(random.choice(words, length)) for length in lengths])
