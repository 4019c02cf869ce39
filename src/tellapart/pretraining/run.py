"""Pre-training runs: train, then write `model/`, `metrics.json`, `recipe.yaml`, `log.jsonl` and `report.html`."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from tellapart.encoders.precision import default_device
from tellapart.errors import DataError, RecipeError
from tellapart.files import read_kept, write_json, write_text
from tellapart.fitting.environment import connect, environment, is_main_process, process_count
from tellapart.fitting.fingerprints import (
    Fingerprint,
    add_resolved,
    changed_values,
    check_resumed,
    model_contents,
)
from tellapart.fitting.folder import CHECKPOINTS, claim_folder, claimed
from tellapart.fitting.trainer_options import check_trainer_options, trainer_options
from tellapart.inspection.drawing import new_figure, save_png, svg
from tellapart.inspection.figures import curves_figure
from tellapart.inspection.page import write_page
from tellapart.pretraining.batches import MaskedSequences
from tellapart.pretraining.checkpoints import has_position, last_checkpoint
from tellapart.pretraining.corpus import ShardedSequences, stamped
from tellapart.pretraining.masked_statistics import MaskedStatistics, masked_statistics, sampled_rows
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.pretraining.setup import CORPUS, TOKENIZER, Prepared, check_models, prepare
from tellapart.pretraining.texts import TextSource, open_texts
from tellapart.pretraining.trainer import PretrainingTrainer
from tellapart.training.progress import show_phase, text_counter
from tellapart.training.step_bar import ProgressBar

LOG = "log.jsonl"

# Settings that may differ when resuming, since they change neither batches nor weights.
_FREE = (
    "workers",
    "corpus_workers",
    "shard_mib",
    "check_corpus",
    "save_every",
    "save_at",
    "keep_checkpoints",
)

_OWN_ARGUMENTS = {
    "output_dir": "--output",
    "seed": "seed",
    "max_steps": "steps",
    "num_train_epochs": "steps",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "torch_compile": "compile",
    "dataloader_num_workers": "workers",
    "save_steps": "save_every",
}

_STATISTICS_SEQUENCES, _EXAMPLES = 2000, 25

# Panels: title, then each curve's key in the log and its name.
_CURVES: tuple[tuple[str, dict[str, str]], ...] = (
    ("Loss per masked token", {"loss_mlm": "loss"}),
    ("Discriminator loss per token", {"loss_discriminator": "loss"}),
    ("Soft regularisation", {"loss_soft": "words", "loss_sentence": "sentences"}),
    ("Accuracy (%)", {"masked_accuracy": "masked tokens", "discriminator_accuracy": "discriminator"}),
    (
        "Corrected (%)",
        {"corrected_predictions": "of wrong predictions", "corrected_sequences": "of sequences"},
    ),
)

_PER_CENT = ("masked_accuracy", "discriminator_accuracy", "corrected_predictions", "corrected_sequences")


@dataclass(frozen=True)
class PretrainResult:
    """A finished run: its folder, the content of `metrics.json`, the resolved recipe, and remarks for the user."""

    folder: Path
    metrics: dict[str, Any]
    recipe: PretrainRecipe
    notes: tuple[str, ...]


def pretrain(
    recipe: PretrainRecipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> PretrainResult:
    """Pre-trains an encoder on raw texts and writes a run folder.

    An interrupted run continues with `resume=True` from its newest checkpoint to the same weights.

    Args:
        recipe: The recipe.
        output: The run folder.
        resume: Whether to continue the run in the folder.
        overwrite: Whether to delete the run in the folder.
        quiet: Whether to hide progress.
        announce: Called with the notes on the texts and on the model before training begins.

    Raises:
        UserError: The folder is in use, or the recipe, the texts or the encoder cannot be used.
        OutputError: The folder cannot be written.
    """
    quiet = quiet or not is_main_process()
    if recipe.texts is None:
        raise RecipeError("no texts were given", "give a file or a folder as the first argument")
    connect()  # before one of them reads all texts: the others do not wait for long
    check_trainer_options(recipe.trainer, transformers.TrainingArguments, _OWN_ARGUMENTS)
    inputs = (recipe.texts, recipe.encoder, recipe.generator)
    with claimed(output, resume=resume, overwrite=overwrite, inputs=inputs, emptied=False) as folder:
        source = open_texts(recipe.texts, text=recipe.text)
        if overwrite:
            check_models(recipe)
        if is_main_process():
            claim_folder(folder, resume=resume, overwrite=overwrite)
        source = stamped(source, folder / CORPUS)
        if is_main_process():
            check_resumed(folder, _fingerprint(recipe, source), resume=resume, recipe=recipe)
        if resume and (metrics := read_kept(folder / "metrics.json")) is not None:
            return PretrainResult(folder, metrics, recipe, ("the run was already finished",))
        checkpoint = last_checkpoint(folder / CHECKPOINTS) if resume else None
        if announce is not None:
            announce(source.notes)
        show_phase("preparation: model and tokens", quiet=quiet)
        prepared = prepare(recipe, source, folder, resumed=checkpoint is not None, quiet=quiet)
        _check_order(checkpoint, prepared.sequences.corpus, folder)
        if is_main_process():
            write_text(folder / "recipe.yaml", prepared.recipe.to_yaml())
            add_resolved(folder, prepared.recipe)
        if announce is not None:
            announce(prepared.notes)
        trainer = _trainer(prepared, folder, quiet=quiet)
        show_phase(f"pre-training {recipe.objective}, correction {recipe.correction}", quiet=quiet)
        start = time.perf_counter()
        trainer.train(resume_from_checkpoint=checkpoint)
        seconds = time.perf_counter() - start
        metrics = {}
        if is_main_process():
            metrics = _finish(prepared, trainer, folder, seconds, quiet=quiet)
        return PretrainResult(folder, metrics, prepared.recipe, prepared.notes)


def _check_order(checkpoint: str | None, corpus: ShardedSequences, folder: Path) -> None:
    """Refuses to go on in a new order with a run that version 0.1 began, whose order comes with its corpus."""
    if checkpoint is None or has_position(Path(checkpoint)) or getattr(corpus, "earlier", False):
        return
    raise DataError(
        f"version 0.1 began the run in {folder}, and the tokens that it wrote to {folder / CORPUS} are missing",
        "start it again with --overwrite",
    )


def _fingerprint(recipe: PretrainRecipe, source: TextSource) -> Fingerprint:
    """The fingerprint of a run: its settings, texts, encoder and synonyms."""
    settings = {key: value for key, value in changed_values(recipe).items() if key not in _FREE}
    if process_count() > 1:
        settings["processes"] = process_count()
    named = {key: getattr(recipe, key) for key in ("encoder", "generator", "synonyms")}
    contents = {"texts": {"texts": source.fingerprint}} | model_contents(named)
    return Fingerprint(kind="pretrain", settings=settings, contents=contents)


# ---- Training ----


def _trainer(prepared: Prepared, folder: Path, *, quiet: bool) -> PretrainingTrainer:
    recipe = prepared.recipe
    assert recipe.steps is not None
    options: dict[str, Any] = {
        "output_dir": str(folder / CHECKPOINTS),
        "seed": recipe.seed,
        "use_cpu": default_device() == "cpu",
        "max_steps": recipe.steps,
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": recipe.warmup_share,
        "weight_decay": recipe.weight_decay,
        "bf16": recipe.precision == "bf16",
        "torch_compile": recipe.compile,
        "dataloader_num_workers": recipe.workers,
        "save_strategy": "steps",
        "save_steps": recipe.steps if recipe.save_at else recipe.save_every,
        "save_total_limit": None if recipe.keep_checkpoints else 2,
        "logging_steps": max(1, recipe.steps // 50),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "log_level": "error",
        "report_to": "none",
    }
    options |= trainer_options(recipe.trainer, transformers.TrainingArguments, _OWN_ARGUMENTS)
    callbacks: list[TrainerCallback] = [LogFile(folder / LOG)]
    if recipe.save_at:
        callbacks.append(SaveAt(recipe.step_at(share) for share in recipe.save_at))
    if not quiet:
        callbacks.append(ProgressBar("pre-training", "masked_accuracy"))
    if recipe.workers:  # otherwise the tokeniser warns about forking after using threads
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    trainer = PretrainingTrainer(
        prepared.module,
        transformers.TrainingArguments(**options),
        prepared.sequences,
        prepared.tokenizer,
        batch_tokens=recipe.batch_tokens,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class LogFile(TrainerCallback):
    """Writes the log to a file, one JSON object per line.

    Resumed runs rewrite the lines up to their checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writes the log up to the checkpoint."""
        if state.is_world_process_zero:
            write_text(self.path, "".join(map(_json_line, state.log_history)))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        """Appends a line."""
        if state.is_world_process_zero and state.log_history:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_json_line(state.log_history[-1]))


class SaveAt(TrainerCallback):
    """Saves checkpoints after given steps."""

    def __init__(self, steps: Iterable[int]) -> None:
        self._steps = frozenset(steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Requests a checkpoint after the given steps."""
        if state.global_step in self._steps:
            control.should_save = True


def _json_line(entry: dict[str, Any]) -> str:
    return json.dumps({"step": entry.get("step"), **entry}) + "\n"


# ---- After training ----


def _finish(
    prepared: Prepared, trainer: PretrainingTrainer, folder: Path, seconds: float, *, quiet: bool
) -> dict[str, Any]:
    """Writes the model, the report and finally the metrics, which mark the run as finished."""
    recipe, module = prepared.recipe, prepared.module
    module.save(folder, prepared.tokenizer)
    show_phase("evaluation: predictions of masked tokens", quiet=quiet)
    statistics = _statistics(prepared, quiet=quiet)
    log = trainer.state.log_history
    last: dict[str, Any] = next((entry for entry in reversed(log) if "loss" in entry), {})
    facts = prepared.sequences.corpus.facts
    metrics: dict[str, Any] = {
        "objective": recipe.objective,
        "correction": recipe.correction,
        "steps": trainer.state.global_step,
        "training_seconds": round(seconds, 2),
        "corpus": {name: getattr(facts, name) for name in ("texts", "empty", "cut", "sequences", "tokens")},
        "last": {key: value for key, value in last.items() if key.startswith(("loss", "masked_"))},
        "statistics": {key: value for key, value in asdict(statistics).items() if key != "corrected"},
        "environment": environment(),
    }
    curves = curves_figure(_panels(log))
    save_png(curves or new_figure(5.0, 3.4), folder / "curves.png")
    write_page(
        folder / "report.html",
        "pretraining/templates/report.html",
        title=f"{recipe.objective} with correction {recipe.correction} on {recipe.texts}",
        subtitle="pre-training",
        figures=_figures(metrics, log),
        curves=curves and svg(curves),
        corrected=statistics.corrected,
        recipe_yaml=recipe.to_yaml(),
    )
    write_json(folder / "metrics.json", metrics)
    for name in (CORPUS, TOKENIZER) if recipe.keep_checkpoints else (CHECKPOINTS,):
        shutil.rmtree(folder / name, ignore_errors=True)
    return metrics


def _statistics(prepared: Prepared, *, quiet: bool) -> MaskedStatistics:
    module, sequences = prepared.module, prepared.sequences
    rows = sampled_rows(len(sequences), _STATISTICS_SEQUENCES, prepared.recipe.seed)
    # As in the paper: 80 % of the chosen tokens masked, 10 % random, 10 % kept.
    stock = replace(sequences.masking, masked=0.8, random=0.1)
    with text_counter("counting", quiet=quiet) as progress:
        return masked_statistics(
            module.head.model,
            MaskedSequences(sequences.corpus, stock, sequences.pad_id),
            module.corrections.table,
            rows=rows,
            bf16=prepared.recipe.precision == "bf16",
            examples=_EXAMPLES,
            tokenizer=prepared.tokenizer,
            progress=progress,
        )


def _figures(metrics: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    statistics = metrics["statistics"]
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry]
    figures = [
        ("masked tokens predicted correctly", f"{100 * statistics['accuracy']:.1f} %"),
        ("loss over masked tokens", f"{statistics['loss']:.3f}"),
        ("steps", f"{metrics['steps']:,}"),
        ("tokens a second (median)", f"{float(np.median(speeds)):,.0f}" if speeds else "–"),
    ]
    if statistics["prediction_level"] is not None:
        figures += [
            ("wrong predictions that are synonyms", f"{100 * statistics['prediction_level']:.2f} %"),
            ("sequences with one", f"{100 * statistics['iteration_level']:.2f} %"),
        ]
    return figures


def _panels(log: list[dict[str, Any]]) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """Returns the title and the curves of each panel, as (epoch, value) points."""

    def points(key: str) -> list[tuple[float, float]]:
        factor = 100.0 if key in _PER_CENT else 1.0
        return [(entry["epoch"], factor * entry[key]) for entry in log if key in entry]

    return [(caption, {name: points(key) for key, name in keys.items()}) for caption, keys in _CURVES]
