"""A trained classifier as a folder for ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import Columns, find_columns
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.values import read_examples
from tellapart.deployment.export import Quantization, export_onnx
from tellapart.deployment.manifest import MANIFEST_FILE, Manifest
from tellapart.deployment.onnx_scoring import check_onnx
from tellapart.encoders.windowed import reads_windows
from tellapart.errors import ModelError, UserError
from tellapart.files import replacing
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.loading import load_fitted

FORMATS = ("onnx",)

CHECKED_TEXTS = 256
"""Texts that an export is held against PyTorch on, at most."""


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Args:
        folder: Where.
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
) -> Exported:
    """Exports a trained classifier, and compares it with the original before the folder appears.

    The folder holds the model, tokeniser, config and decision, and `export.json`, which says how its answers compare
    with PyTorch's. `tellapart predict` and `evaluate` take it as a model.

    Args:
        model: A run folder or a plain checkpoint.
        output: The folder to write; by default the model's with `-onnx` at its end.
        format: `onnx`.
        quantize: `int8` for weights of 8 bits; None for float32.
        check: A file with texts like those that will be scored; by default the run's test rows, or words of the
            model's vocabulary.
        text: The file's text column; found by its name when not given.
        text_pair: The second text's column.
        overwrite: Whether to replace an earlier export.

    Returns:
        The folder, and what was found.

    Raises:
        DataError: The file cannot be read.
        MissingDependencyError: A package of the extra `onnx` is not installed.
        ModelError: There is no classifier, it cannot be exported, or the export gives other logits.
        OutputError: The folder cannot be written.
        UserError: An option is unknown, or the output holds something else.
    """
    if format not in FORMATS:
        raise UserError(f'"{format}" is no format of exports', f"choose {', '.join(FORMATS)}")
    if quantize is not None and quantize not in get_args(Quantization):
        raise UserError(f'"{quantize}" is no quantisation', f"choose {', '.join(get_args(Quantization))}")
    check_onnx("exporting to ONNX")
    target = _claimed(model, output, overwrite)
    split = None if check is None else _texts(check, text, text_pair)
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
        )
    return Exported(target, manifest)


def _claimed(model: str | Path, output: str | Path | None, overwrite: bool) -> Path:
    """The folder to write: a new or empty one, or an earlier export."""
    source = Path(model).resolve()
    target = source.with_name(f"{source.name}-onnx") if output is None else Path(output)
    if output is None and not source.is_dir():
        raise UserError(f"{model} is no folder, so that there is no place beside it", "give --output")
    if target.is_file():
        raise UserError(f"the output {target} is a file", "give a folder")
    if target.is_dir() and any(target.iterdir()):
        if not (target / MANIFEST_FILE).is_file():
            raise UserError(
                f"the output folder {target} holds files that no export wrote", "choose another --output"
            )
        if not overwrite:
            raise UserError(
                f"the output folder {target} holds an export", "choose another --output, or use --overwrite"
            )
    return target


def _texts(file: str | Path, text: str | None, text_pair: str | None) -> TextSplit:
    table = read_table(file)
    columns = find_columns(table.schema, text=text, text_pair=text_pair, labelled=False, where=str(file))
    return _examples(table, columns, str(file))


def _texts_of_the_run(model: str | Path) -> TextSplit | None:
    file = Path(model) / "predictions.parquet"
    if not file.is_file():
        return None
    table = read_table(file)
    second = "text_pair" if "text_pair" in table.column_names else None
    return _examples(table, Columns("text", second), str(file))


def _examples(table: pa.Table, columns: Columns, where: str) -> TextSplit:
    chosen = Columns(columns.text, columns.text_pair)
    rows = np.linspace(0, len(table) - 1, min(CHECKED_TEXTS, len(table))).astype(int)
    return read_examples(table.take(rows), chosen, where=where)


def _words(fitted: Fitted) -> TextSplit:
    """Random words of the vocabulary, from one to as many as the model reads."""
    tokenizer: Any = getattr(fitted.tokenizer, "parts", [fitted.tokenizer])[0]
    words = np.array(sorted(word for word in tokenizer.get_vocab() if word.isalpha()), dtype=object)
    random = np.random.default_rng(0)
    longest = min(fitted.max_length, 128)
    lengths = np.linspace(1, longest, CHECKED_TEXTS // 4).astype(int)
    return TextSplit([" ".join(random.choice(words, length)) for length in lengths])
