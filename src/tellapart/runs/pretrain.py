"""From raw texts to a better encoder: `model/`, `metrics.json`, `recipe.yaml`, `log.jsonl`, `report.html`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import AutoTokenizer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from tellapart.encoders.precision import use_bf16
from tellapart.errors import ModelError, RecipeError
from tellapart.files import replacing
from tellapart.inspection.pretraining import save_curves, write_pretraining_report
from tellapart.pretraining.batches import MaskedSequences, StepSampler
from tellapart.pretraining.checkpoints import last_checkpoint
from tellapart.pretraining.corpus import Corpus, build_corpus, sequence_notes
from tellapart.pretraining.electra import ReplacedTokenDetection
from tellapart.pretraining.language_model import (
    Loaded,
    check_length,
    find_generator,
    load_discriminator,
    load_language_model,
    new_bert,
    new_discriminator,
    new_generator,
)
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.statistics import MaskedStatistics, masked_statistics
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.tables import WORDNET, synonym_table
from tellapart.pretraining.terms import Corrections, PretrainingModel
from tellapart.pretraining.texts import TextSource, open_texts
from tellapart.pretraining.trainer import PretrainingTrainer
from tellapart.pretraining.wordpiece import train_wordpiece
from tellapart.recipes.pretraining import NEW, PretrainRecipe
from tellapart.runs.environment import environment
from tellapart.runs.folder import CHECKPOINTS, claim_folder
from tellapart.runs.processes import is_main_process
from tellapart.runs.stages import trainer_options
from tellapart.training.progress import ProgressBar

LOG = "log.jsonl"

# Beside the checkpoints, while the run lasts: what tokenising has cost need not be paid again on resuming.
CORPUS, TOKENIZER = f"{CHECKPOINTS}/corpus", f"{CHECKPOINTS}/tokenizer"

PASSES = 3
"""Over the texts, where the number of steps is left open."""

NEW_RATE, FURTHER_RATE = 5e-4, 5e-5
"""Learning rates of the paper: of small models from nothing, and of larger ones that are trained further."""

_NEW_DEFAULTS = {"vocabulary_size": 8000, "lowercase": True, "hidden_size": 256, "layers": 4, "heads": 4}

# What may differ between a run and its resumption: it changes neither the batches nor the weights.
_FREE = ("texts", "workers", "save_every", "keep_checkpoints")

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


@dataclass(frozen=True)
class PretrainResult:
    """A finished run.

    Args:
        folder: The run folder.
        metrics: The content of `metrics.json`.
        recipe: The run with every open value decided.
        notes: What reading the texts and the encoder found.
    """

    folder: Path
    metrics: dict[str, Any]
    recipe: PretrainRecipe
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Prepared:
    """A recipe with every open value decided, and what it speaks of."""

    recipe: PretrainRecipe
    sequences: MaskedSequences
    tokenizer: Any
    module: PretrainingModel
    notes: tuple[str, ...]


def pretrain(
    recipe: PretrainRecipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> PretrainResult:
    """Trains an encoder on raw texts and writes a run folder.

    A run that was killed goes on with `resume=True` from its newest checkpoint to the same weights.

    Args:
        recipe: The run.
        output: The folder to write.
        resume: Whether to go on with what is there.
        overwrite: Whether to throw away what is there.
        quiet: Whether to show no progress.

    Raises:
        UserError: The folder is in use, or the recipe, the texts or the encoder cannot be used.
        OutputError: The folder cannot be written.
    """
    quiet = quiet or not is_main_process()
    if recipe.texts is None:
        raise RecipeError("no texts are named", "give a file or a folder as the first argument")
    folder = Path(output)
    if is_main_process():
        claim_folder(output, resume=resume, overwrite=overwrite)
    if resume and (folder / "metrics.json").is_file():
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return PretrainResult(folder, metrics, recipe, ("the run was finished already",))
    checkpoint = last_checkpoint(folder / CHECKPOINTS) if resume else None
    prepared = _prepare(recipe, folder, resumed=checkpoint is not None, quiet=quiet)
    if is_main_process():
        _claim_recipe(folder / "recipe.yaml", prepared.recipe, resumed=checkpoint is not None)
    trainer = _trainer(prepared, folder, quiet=quiet)
    start = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - start
    metrics = {}
    if is_main_process():
        metrics = _finish(prepared, trainer, folder, seconds, quiet=quiet)
    return PretrainResult(folder, metrics, prepared.recipe, prepared.notes)


# ---- Before training ----


def _prepare(recipe: PretrainRecipe, folder: Path, *, resumed: bool, quiet: bool) -> _Prepared:
    use_cpu = not torch.cuda.is_available()
    source = open_texts(str(recipe.texts), text=recipe.text)
    notes = list(source.notes)
    processes = PartialState(cpu=use_cpu)
    transformers.set_seed(recipe.seed)
    if recipe.encoder == NEW:
        recipe = _described(recipe)
        with processes.main_process_first():
            loaded = _new_model(recipe, source, folder / TOKENIZER, quiet=quiet)
    else:
        load = load_discriminator if recipe.objective == "electra" else load_language_model
        loaded = load(recipe.encoder)
        check_length(loaded.model, recipe.encoder, recipe.max_length)
    notes += loaded.notes
    table = _table(recipe, loaded.tokenizer)
    with processes.main_process_first(), _counter("tokenising", quiet=quiet) as progress:
        corpus = build_corpus(
            source,
            loaded.tokenizer,
            folder / CORPUS,
            max_length=recipe.max_length,
            sequences=recipe.sequences,
            whole_words=recipe.whole_words,
            must_match=resumed,
            progress=progress,
        )
    notes += sequence_notes(corpus.facts, recipe.sequences, recipe.max_length)
    corrections = Corrections.named(recipe.correction, table, recipe.correction_weight)
    module, more = _module(recipe, loaded, corrections)
    recipe = _decided(recipe, corpus, processes)
    masking = masking_for(
        loaded.tokenizer,
        vocabulary_size=loaded.model.get_input_embeddings().num_embeddings,
        share=recipe.mask_share,
        seed=recipe.seed,
        **({"masked": 0.85, "random": 0.0} if recipe.objective == "electra" else {}),
    )
    sequences = MaskedSequences(corpus, masking, loaded.tokenizer.pad_token_id or 0)
    module.to("cpu" if use_cpu else "cuda")
    return _Prepared(recipe, sequences, loaded.tokenizer, module, (*notes, *more))


def _described(recipe: PretrainRecipe) -> PretrainRecipe:
    given = {name: getattr(recipe, name) for name in _NEW_DEFAULTS}
    decided = {name: _NEW_DEFAULTS[name] if value is None else value for name, value in given.items()}
    family = recipe.family or ("electra" if recipe.objective == "electra" else "bert")
    return recipe.model_copy(update={**decided, "family": family})


def _new_model(recipe: PretrainRecipe, source: TextSource, folder: Path, *, quiet: bool) -> Loaded:
    """Makes a model, and a tokeniser where no interrupted run has left one."""
    assert recipe.vocabulary_size is not None
    notes: tuple[str, ...] = ()
    if (folder / "tokenizer.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    else:
        with _counter("learning the vocabulary", quiet=quiet) as progress:
            tokenizer = train_wordpiece(
                source,
                recipe.vocabulary_size,
                max_length=recipe.max_length,
                lowercase=bool(recipe.lowercase),
                progress=progress,
            )
        with replacing(folder) as temporary:
            tokenizer.save_pretrained(temporary)
    if len(tokenizer) < recipe.vocabulary_size:
        notes = (
            f"The texts give a vocabulary of {len(tokenizer):,} tokens, not {recipe.vocabulary_size:,}.",
        )
    sizes: dict[str, Any] = {name: getattr(recipe, name) for name in ("hidden_size", "layers", "heads")}
    if recipe.objective == "electra":
        model: Any = new_discriminator(len(tokenizer), recipe.max_length, **sizes)
    elif recipe.family == "electra":
        config = new_discriminator(len(tokenizer), recipe.max_length, **sizes).config
        model = new_generator(config, share=1.0)
    else:
        model = new_bert(len(tokenizer), recipe.max_length, **sizes)
    return Loaded(model, tokenizer, notes)


def _table(recipe: PretrainRecipe, tokenizer: Any) -> SynonymTable | None:
    hard = recipe.correction in ("hard", "hard+soft")
    source = recipe.synonyms or (WORDNET if hard else None)
    return None if source is None else synonym_table(source, tokenizer)


def _module(
    recipe: PretrainRecipe, loaded: Loaded, corrections: Corrections
) -> tuple[PretrainingModel, tuple[str, ...]]:
    if recipe.objective == "mlm":
        return MaskedLanguageModelling(loaded.model, corrections), ()
    notes: tuple[str, ...] = ()
    beside = None if recipe.encoder == NEW else recipe.generator or find_generator(recipe.encoder)
    if beside is None:
        generator: Any = new_generator(loaded.model.config)
        if recipe.encoder != NEW:
            notes = (f"{recipe.encoder} brings no generator: it starts from a new one.",)
    else:
        generator = load_language_model(beside).model
        if generator.config.model_type != "electra":
            raise ModelError(
                f"the generator {beside} is not of the ELECTRA family", "give an ELECTRA generator"
            )
    module = ReplacedTokenDetection(
        generator,
        loaded.model,
        corrections,
        discriminator_weight=recipe.discriminator_weight,
        predictions=recipe.predictions,
        temperature=recipe.temperature,
    )
    return module, notes


def _decided(recipe: PretrainRecipe, corpus: Corpus, processes: PartialState) -> PretrainRecipe:
    """Fills in what the user left open."""
    epoch_steps = StepSampler(
        corpus.widths,
        1,
        batch_size=recipe.batch_size,
        batch_tokens=recipe.batch_tokens,
        seed=recipe.seed,
        accumulation=recipe.gradient_accumulation_steps,
        ranks=processes.num_processes,
    ).epoch_steps
    steps = recipe.steps or PASSES * epoch_steps
    rate = NEW_RATE if recipe.encoder == NEW else FURTHER_RATE
    return recipe.model_copy(
        update={
            "steps": steps,
            "learning_rate": recipe.learning_rate or rate,
            "precision": "bf16" if use_bf16(recipe.precision, processes.device) else "fp32",
            "save_every": recipe.save_every or max(1, -(-steps // 10)),
            "synonyms": recipe.synonyms or (WORDNET if "hard" in recipe.correction else None),
        }
    )


def _claim_recipe(path: Path, recipe: PretrainRecipe, *, resumed: bool) -> None:
    """Writes the recipe, or compares it with that of the interrupted run.

    Raises:
        RecipeError: They differ.
    """
    if resumed and path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        now = yaml.safe_load(recipe.to_yaml())
        differing = [key for key in now if key not in _FREE and before.get(key) != now[key]]
        if differing:
            key = differing[0]
            raise RecipeError(
                f"the run began with {key}: {before.get(key)}, and now it is {now[key]}",
                "repeat the command that was interrupted, or start anew with --overwrite",
            )
    with replacing(path) as temporary:
        temporary.write_text(recipe.to_yaml(), encoding="utf-8")


# ---- Training ----


def _trainer(prepared: _Prepared, folder: Path, *, quiet: bool) -> PretrainingTrainer:
    recipe = prepared.recipe
    assert recipe.steps is not None
    options: dict[str, Any] = {
        "output_dir": str(folder / CHECKPOINTS),
        "seed": recipe.seed,
        "use_cpu": not torch.cuda.is_available(),
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
        "save_steps": recipe.save_every,
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
    if not quiet:
        callbacks.append(ProgressBar(f"{recipe.objective}, {recipe.correction}", "masked_accuracy"))
    if recipe.workers:  # the tokeniser warns of the processes that are forked after it has used threads
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
    """Writes what is logged to a file, one JSON object a line.

    Args:
        path: The file. A resumed run writes the lines up to its checkpoint anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writes what was logged up to the checkpoint."""
        if state.is_world_process_zero:
            with replacing(self.path) as temporary:
                temporary.write_text("".join(map(_json_line, state.log_history)), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        """Adds a line."""
        if state.is_world_process_zero and state.log_history:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_json_line(state.log_history[-1]))


def _json_line(entry: dict[str, Any]) -> str:
    return json.dumps({"step": entry.get("step"), **entry}) + "\n"


# ---- After training ----


def _finish(
    prepared: _Prepared, trainer: PretrainingTrainer, folder: Path, seconds: float, *, quiet: bool
) -> dict[str, Any]:
    """Writes model, report and, as the sign that all is done, the metrics."""
    recipe, module = prepared.recipe, prepared.module
    module.save(folder, prepared.tokenizer)
    statistics = _statistics(prepared, quiet=quiet)
    log = trainer.state.log_history
    facts = prepared.sequences.corpus.facts
    metrics: dict[str, Any] = {
        "objective": recipe.objective,
        "correction": recipe.correction,
        "steps": trainer.state.global_step,
        "training_seconds": round(seconds, 2),
        "corpus": {name: getattr(facts, name) for name in ("texts", "empty", "cut", "sequences", "tokens")},
        "last": {
            key: value for key, value in _last_logged(log).items() if key.startswith(("loss", "masked_"))
        },
        "statistics": {key: value for key, value in asdict(statistics).items() if key != "corrected"},
        "environment": environment(),
    }
    save_curves(log, folder / "curves.png")
    write_pretraining_report(
        folder / "report.html",
        title=f"{recipe.objective} with correction {recipe.correction} on {recipe.texts}",
        figures=_figures(metrics, log),
        training_log=log,
        corrected=statistics.corrected,
        recipe_yaml=recipe.to_yaml(),
    )
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for name in (CORPUS, TOKENIZER) if recipe.keep_checkpoints else (CHECKPOINTS,):
        shutil.rmtree(folder / name, ignore_errors=True)
    return metrics


def _statistics(prepared: _Prepared, *, quiet: bool) -> MaskedStatistics:
    module, sequences = prepared.module, prepared.sequences
    model = module.model if isinstance(module, MaskedLanguageModelling) else module.generator
    rows = np.random.default_rng(prepared.recipe.seed).permutation(len(sequences))[:_STATISTICS_SEQUENCES]
    # Counted as the paper counts: 80 % of the chosen tokens masked, 10 % another token, 10 % kept.
    stock = replace(sequences.masking, masked=0.8, random=0.1)
    with _counter("counting", quiet=quiet) as progress:
        return masked_statistics(
            model,
            MaskedSequences(sequences.corpus, stock, sequences.pad_id),
            module.corrections.table,
            rows=rows,
            bf16=prepared.recipe.precision == "bf16",
            examples=_EXAMPLES,
            tokenizer=prepared.tokenizer,
            progress=progress,
        )


def _last_logged(log: list[dict[str, Any]]) -> dict[str, Any]:
    return next((entry for entry in reversed(log) if "loss" in entry), {})


def _figures(metrics: dict[str, Any], log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    statistics = metrics["statistics"]
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry]
    figures = [
        ("masked tokens predicted right", f"{100 * statistics['accuracy']:.1f} %"),
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


@contextlib.contextmanager
def _counter(title: str, *, quiet: bool) -> Iterator[Callable[[int], Any] | None]:
    """Yields what is called with the texts done: a counter on stderr, or None when quiet."""
    if quiet:
        yield None
        return
    with tqdm(desc=title, unit="text", leave=False) as bar:
        yield bar.update
