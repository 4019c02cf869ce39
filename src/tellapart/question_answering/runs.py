"""Loads, trains, applies and evaluates extractive question answering models."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModelForQuestionAnswering
from transformers.trainer_callback import PrinterCallback

from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.pooling import CONFIG_KEY, encoder_layers
from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.pretrained import read_config, read_model, read_tokenizer
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import parameter_count, position_limit, readable, without_reports
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.files import check_output_file, replacing, write_json
from tellapart.fitting.environment import environment
from tellapart.fitting.folder import CHECKPOINTS, claimed
from tellapart.question_answering.metrics import answers, qa_metrics
from tellapart.question_answering.squad import SquadExample, read_squad
from tellapart.question_answering.trainer import QATrainer, token_logits
from tellapart.question_answering.windows import qa_windows
from tellapart.training.defaults import default_learning_rate
from tellapart.training.progress import rows_bar
from tellapart.training.step_bar import ProgressBar

SETTINGS = "tellapart_spans"
"""Config key for the settings of prediction: window length, stride, whether answers may be missing."""


def load_qa_encoder(encoder: str) -> tuple[Any, Any]:
    """Loads an encoder with a question answering head, new unless it has one, and its tokeniser.

    Args:
        encoder: `minilm`, a folder, or a Hub name.

    Raises:
        ModelError: It cannot be read, or its architecture has no question answering head.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        config = read_config(path)
        config.num_labels = 2  # start and end logits, whatever it was trained for
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)
        model = read_model(AutoModelForQuestionAnswering, path, config=config)
        return model, load_tokenizer(encoder)


def is_qa_model(model: str | Path) -> bool:
    """Whether a folder or Hub name holds a question answering model; False for anything that cannot be read."""
    try:
        path = resolve_encoder(str(model))
        with readable(str(model), trained=True):
            return _has_qa_head(read_config(path))
    except ModelError:
        return False  # e.g. a TF-IDF model, which is not a Transformers model


def load_qa_model(folder: str | Path) -> tuple[Any, Any]:
    """Loads a trained question answering model and its tokeniser.

    Args:
        folder: Output of `tellapart spans train` or `save_pretrained`, or a Hub name.

    Raises:
        ModelError: It holds no such model.
    """
    path = resolve_encoder(str(folder))
    with readable(str(folder), trained=True):
        config = read_config(path)
        if not _has_qa_head(config):
            kinds = config.architectures or []
            raise ModelError(
                f"{folder} holds {', '.join(kinds) or 'a model without a head'}, which does not answer questions",
                f"train one: tellapart spans train DATA --encoder {folder}",
            )
        model = read_model(AutoModelForQuestionAnswering, path)
        return model.eval(), read_tokenizer(path)


def _has_qa_head(config: Any) -> bool:
    return any(name.endswith("ForQuestionAnswering") for name in config.architectures or [])


def train_qa(
    source: str | Path,
    output: str | Path,
    *,
    encoder: str = "minilm",
    validation: str | Path | None = None,
    max_length: int = 384,
    stride: int = 128,
    epochs: float = 2.0,
    batch_size: int = 16,
    learning_rate: float | None = None,
    seed: int = 0,
    precision: str = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains a stock question answering model and writes a folder with `model/` and `metrics.json`.

    AdamW with warm-up over a tenth of the steps, then linear decay; the last weights are kept. Questions whose first
    answer is not at its `answer_start` are left out.

    Args:
        source: As for `tellapart.question_answering.squad.read_squad`; the training split of several.
        output: The folder to write.
        encoder: `minilm`, a folder, or a Hub name.
        validation: A second source, evaluated at the end; its answers are written to `predictions.json`.
        max_length: Longest window in tokens.
        stride: Tokens by which consecutive windows overlap.
        epochs: Passes over the windows.
        batch_size: Windows per step.
        learning_rate: By default depends on the encoder's size.
        seed: Random seed.
        precision: `auto`, `fp32` or `bf16`.
        overwrite: Whether to replace the output of another run.
        quiet: Whether to show no progress.

    Returns:
        The content of `metrics.json`.

    Raises:
        DataError: A file cannot be read, or has no usable training question.
        ModelError: The encoder cannot be used.
        RecipeError: The windows are too long for the encoder, or a number is out of range.
        TellapartError: The loss is no longer finite.
        UserError: The folder is in use.
    """
    _check_numbers(epochs, batch_size, learning_rate)
    examples = [example for example in read_squad(source, split="train") if _well_placed(example)]
    if not examples:
        raise DataError(f"no answer in {source} is at its answer_start", "correct the file")
    held_out = None if validation is None else read_squad(validation)
    transformers.set_seed(seed)
    model, tokenizer = load_qa_encoder(encoder)
    limit = position_limit(model.config)
    if max_length > limit:
        raise RecipeError(
            f"windows of {max_length} tokens are too long: the encoder {encoder} reads at most {limit}",
            f"use --max-length {limit} or less",
        )
    windows = qa_windows(examples, tokenizer, max_length=max_length, stride=stride, with_answers=True)
    with claimed(output, overwrite=overwrite, inputs=(encoder, source, validation)) as folder:
        settings = {
            "max_length": max_length,
            "stride": stride,
            "may_be_missing": not all(example.answers for example in examples),
        }
        setattr(model.config, SETTINGS, settings)
        device = default_device()
        rate = learning_rate or default_learning_rate(parameter_count(model))
        arguments = transformers.TrainingArguments(
            output_dir=str(folder / CHECKPOINTS),
            seed=seed,
            use_cpu=device == "cpu",
            num_train_epochs=epochs,
            per_device_train_batch_size=batch_size,
            learning_rate=rate,
            warmup_steps=0.1,
            weight_decay=0.01,
            bf16=use_bf16(precision, device),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
        )
        callbacks = [] if quiet else [ProgressBar(f"question answering, seed {seed}", "eval_loss")]
        trainer = QATrainer(model, arguments, windows, callbacks=callbacks)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        try:
            trainer.train()
        finally:
            shutil.rmtree(
                folder / CHECKPOINTS, ignore_errors=True
            )  # the Trainer creates it but writes nothing
        seconds = time.perf_counter() - start
        with replacing(folder / "model") as temporary, without_reports():
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        metrics: dict[str, Any] = {
            "training_seconds": round(seconds, 2),
            "rows": {"train": len(examples), "windows": len(windows)},
            "settings": {**settings, "encoder": encoder, "epochs": epochs, "batch_size": batch_size}
            | {"learning_rate": rate, "seed": seed, "precision": "bf16" if arguments.bf16 else "fp32"},
        }
        if held_out is not None:
            predictions = answer(model, tokenizer, held_out, quiet=quiet)
            metrics["validation"] = qa_metrics(held_out, predictions)
            write_json(folder / "predictions.json", predictions)
        metrics["environment"] = environment()
        write_json(folder / "metrics.json", metrics)
        return metrics


def predict_qa(
    model: str | Path, source: str | Path, output: str | Path, *, no_answer: bool = False, quiet: bool = False
) -> dict[str, str]:
    """Answers the questions of a SQuAD file and writes the format of SQuAD's scripts.

    Args:
        model: Output folder of `train_qa`, or any extractive question answering checkpoint.
        source: As for `tellapart.question_answering.squad.read_squad`; answers are neither needed nor read.
        output: The JSON file to write: question id to answer, empty for "no answer". An existing file is replaced.
        no_answer: Whether a question may have no answer, for models that `train_qa` did not train; for its own
            models that is recorded.
        quiet: Whether to show no progress.

    Returns:
        The content of the file.

    Raises:
        DataError: The file cannot be read.
        ModelError: There is no such model.
        UserError: The output is the file of the questions.
    """
    check_output_file(output, [source], overwrite=True)
    examples = read_squad(source, with_answers=False)
    loaded, tokenizer = load_qa_model(model)
    no_answer = no_answer or bool(_recorded_no_answer(loaded))
    predictions = answer(loaded, tokenizer, examples, no_answer=no_answer, quiet=quiet)
    write_json(Path(output), predictions)
    return predictions


def evaluate_qa(model: str | Path, source: str | Path, *, quiet: bool = False) -> dict[str, float]:
    """Evaluates a question answering model; the arguments and errors are those of `predict_qa`.

    Of models that `train_qa` did not train, questions may have no answer if one of the source has none.

    Returns:
        As for `tellapart.question_answering.metrics.qa_metrics`.
    """
    examples = read_squad(source)
    loaded, tokenizer = load_qa_model(model)
    return qa_metrics(examples, answer(loaded, tokenizer, examples, quiet=quiet))


def answer(
    model: Any,
    tokenizer: Any,
    examples: Sequence[SquadExample],
    *,
    no_answer: bool | None = None,
    quiet: bool = True,
) -> dict[str, str]:
    """Answers questions.

    Args:
        model: From `load_qa_model`.
        tokenizer: From `load_qa_model`, a fast one.
        examples: The questions.
        no_answer: Whether a question may have no answer. By default as `train_qa` recorded, and for other models
            whether one of the examples has none.
        quiet: Whether to show no progress.

    Returns:
        Question id to answer; empty for "no answer".
    """
    model.to(default_device())
    known = getattr(model.config, SETTINGS, {})
    length = known.get("max_length", min(384, position_limit(model.config)))
    windows = qa_windows(examples, tokenizer, max_length=length, stride=known.get("stride", length // 3))
    with rows_bar(len(windows), quiet=quiet) as progress:
        logits = token_logits(model, windows, progress=progress)
    if no_answer is None:
        no_answer = _recorded_no_answer(model)
    if no_answer is None:
        no_answer = any(not example.answers for example in examples)
    return answers(examples, windows, logits, may_be_missing=no_answer)


def _recorded_no_answer(model: Any) -> bool | None:
    """Returns whether questions of the training had no answer; None if `train_qa` did not train the model."""
    recorded: bool | None = getattr(model.config, SETTINGS, {}).get("may_be_missing")
    return recorded


def _check_numbers(epochs: float, batch_size: int, learning_rate: float | None) -> None:
    """Refuses, before an earlier run is deleted, numbers that the Trainer does not check."""
    for name, number, known, remedy in (
        ("number of epochs", epochs, 0 <= epochs < math.inf, "use 0 or more"),
        ("batch size", batch_size, batch_size >= 1, "use 1 or more"),
        ("learning rate", learning_rate, 0 < (learning_rate or 1) < math.inf, "use a number above 0"),
    ):
        if not known:
            raise RecipeError(f"the {name} cannot be {number:g}", remedy)


def _well_placed(example: SquadExample) -> bool:
    """Whether the first answer, if any, is at its `answer_start`."""
    return all(example.context.startswith(first.text, first.start) for first in example.answers[:1])
