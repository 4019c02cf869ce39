"""Masked language modelling: tellapart against the stock implementation, and with and without corrections.

    python benchmarks/pretraining_speed.py --shape both --pairs 5
    python benchmarks/pretraining_speed.py --shape small --steps 16 --pairs 2 --threads 1 --arms stock,tellapart

Arms: `stock` is `BertForMaskedLM`, `DataCollatorForLanguageModeling` and `transformers.Trainer` with its defaults
(float32, batches in random order, padded to their longest text); `tellapart` is the loop of `tellapart pretrain` with
its defaults; `hard`, `soft`, `soft-sentence` and `hard+soft` are the same with a correction. Every arm starts from
the same weights and sees the same texts once, at the same batch size. Tokenisation is not included in the times;
padding and masking are. Padding is not counted as tokens.

Shapes: `small` is a new BERT with 4 layers and hidden size 256; `minilm` is the default encoder, with a new
vocabulary head. Both have the vocabulary of bert-base-uncased. The order of the arms is reversed from pair to pair.
Results go to benchmarks/results/pretraining_speed-<shape>-<device>.json after every pair; `--resume` adds pairs to
those there.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
import transformers

from pairs import settle_device
from tellapart.data.reading.rows import read_data
from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.pretraining.batches import MaskedSequences, StepSampler
from tellapart.pretraining.corpus import Corpus, build_corpus
from tellapart.pretraining.language_model import load_language_model, new_bert
from tellapart.pretraining.masking import masking_for
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.recipe import CorrectionName
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.tables import WORDNET, synonym_table
from tellapart.pretraining.terms import Corrections
from tellapart.pretraining.texts import TextSource
from tellapart.pretraining.trainer import PretrainingTrainer

RESULTS = Path(__file__).parent / "results"

RATE = 1e-4


class Task:
    """Texts tokenised for all arms, and their initial weights."""

    def __init__(self, shape: str, given: argparse.Namespace, folder: Path) -> None:
        transformers.set_seed(0)
        self.shape, self.given = shape, given
        self.tokenizer = load_tokenizer("minilm")
        self.model = _model(shape, len(self.tokenizer), given.max_length)
        texts = read_data(given.data).train.texts
        chosen = np.random.default_rng(0).permutation(len(texts))[: given.steps * given.batch_size]
        source = TextSource(given.data, column=pa.chunked_array([[texts[row] for row in chosen]]))
        self.corpus: Corpus = build_corpus(source, self.tokenizer, folder, max_length=given.max_length)
        self.tokens = int(self.corpus.widths(np.arange(len(self.corpus))).sum())

    def table(self) -> SynonymTable:
        return synonym_table(WORDNET, self.tokenizer)

    def rows(self) -> datasets.Dataset:
        """Returns the same sequences with special tokens, in the format of the stock implementation."""
        prefix, suffix = list(self.corpus.facts.prefix), list(self.corpus.facts.suffix)
        ids, lengths, _ = self.corpus.tokens(np.arange(len(self.corpus)))
        pieces = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        return datasets.Dataset.from_dict({"input_ids": [prefix + piece + suffix for piece in pieces]})

    def arguments(self, folder: str, **options: Any) -> transformers.TrainingArguments:
        """Returns the arguments shared by all arms; other stock arguments keep Transformers' defaults."""
        return transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=self.given.batch_size,
            learning_rate=RATE,
            save_strategy="no",
            report_to="none",
            use_cpu=self.given.device == "cpu",
            disable_tqdm=True,
            log_level="error",
            **options,
        )


def _model(shape: str, vocabulary_size: int, max_length: int) -> Any:
    if shape == "minilm":
        return load_language_model("minilm").model
    return new_bert(vocabulary_size, max_length, hidden_size=256, layers=4, heads=4)


def stock(task: Task, seed: int) -> float:
    """Returns the seconds of one epoch with the code of Transformers' documentation."""
    transformers.set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            copy.deepcopy(task.model),
            task.arguments(folder, num_train_epochs=1, seed=seed),
            train_dataset=task.rows(),
            data_collator=transformers.DataCollatorForLanguageModeling(task.tokenizer),
        )
        return _timed(trainer)


def ours(correction: CorrectionName = "none", precision: str = "auto") -> Callable[[Task, int], float]:
    """Returns the seconds of one epoch with the loop of `tellapart pretrain`."""

    def arm(task: Task, seed: int) -> float:
        transformers.set_seed(seed)
        given = task.given
        model = copy.deepcopy(task.model)
        table = task.table() if "hard" in correction else None
        module = MaskedLanguageModelling(model, Corrections.named(correction, table))
        masking = masking_for(task.tokenizer, vocabulary_size=model.config.vocab_size, seed=seed)
        sequences = MaskedSequences(task.corpus, masking, task.tokenizer.pad_token_id)
        steps = StepSampler(task.corpus, 1, batch_size=given.batch_size, seed=seed).epoch_steps
        options = {
            "max_steps": steps,
            "warmup_steps": 0.1,
            "weight_decay": 0.01,
            "bf16": use_bf16(precision, given.device),
            "logging_steps": max(1, steps // 50),
            "logging_first_step": True,
            "logging_nan_inf_filter": False,
            "seed": seed,
        }
        with tempfile.TemporaryDirectory() as folder:
            arguments = task.arguments(folder, **options)
            return _timed(PretrainingTrainer(module, arguments, sequences, task.tokenizer))

    return arm


ARMS: dict[str, Callable[[Task, int], float]] = {
    "stock": stock,
    "tellapart": ours(),
    "hard": ours("hard"),
    "soft": ours("soft"),
    "soft-sentence": ours("soft-sentence"),
    "hard+soft": ours("hard+soft"),
    "float32": ours(precision="fp32"),
}


def _timed(trainer: transformers.Trainer) -> float:
    gc.collect()  # of the arm before
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    trainer.train()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def summary(task: Task, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Returns the result for a model size: `against` has the seconds divided by those of `tellapart`, per pair."""
    own = seconds["tellapart"]
    against = {
        arm: [one / two for one, two in zip(runs, own, strict=True)]
        for arm, runs in seconds.items()
        if arm != "tellapart"
    }
    return {
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        "sequences": len(task.corpus),
        "tokens": task.tokens,
        "mean_tokens": task.corpus.mean_width,
        "tokens_per_second": {arm: [task.tokens / run for run in runs] for arm, runs in seconds.items()},
        "against": against,
        "median_against": {arm: statistics.median(ratios) for arm, ratios in against.items()},
    }


def earlier(target: Path, command: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns earlier pairs with the same options on the same kind of machine."""
    result = json.loads(target.read_text(encoding="utf-8"))
    if result["command"] != command or result["environment"] != environment():
        raise SystemExit(
            f"{target} holds pairs with other options or from another machine: leave out --resume"
        )
    return result["shapes"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r52", help="data as for read_data; its training texts are used")
    parser.add_argument("--shape", choices=("small", "minilm", "both"), default="both")
    parser.add_argument("--arms", default="stock,tellapart,hard,soft,soft-sentence")
    parser.add_argument(
        "--steps",
        type=int,
        default=64,
        help="steps per epoch (texts / batch size)",
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="number of torch threads; torch's default if not given")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the pairs that were measured before")
    given = parser.parse_args()
    settle_device(given)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU")
    arms = given.arms.split(",")
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown or "tellapart" not in arms:
        parser.error(f"--arms takes tellapart and any of {', '.join(ARMS)}")
    if given.threads:
        torch.set_num_threads(given.threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    target = given.output or RESULTS / f"pretraining_speed-{given.shape}-{given.device}.json"
    kept_out = ("output", "resume", "pairs", "shape", "threads")  # threads stand in the environment
    command = {key: value for key, value in vars(given).items() if key not in kept_out}
    shapes = earlier(target, command) if given.resume and target.is_file() else {}
    for shape in ("small", "minilm") if given.shape == "both" else (given.shape,):
        with tempfile.TemporaryDirectory() as folder:
            task = Task(shape, given, Path(folder) / "corpus")
            seconds: dict[str, list[float]] = {arm: [] for arm in arms}
            if shape in shapes:
                before = shapes[shape]["tokens_per_second"]
                seconds = {arm: [task.tokens / speed for speed in before[arm]] for arm in arms}
            warmed_up = Task(shape, argparse.Namespace(**vars(given) | {"steps": 1}), Path(folder) / "few")
            for arm in arms:  # the first pass of a process also sets up threads and kernels
                ARMS[arm](warmed_up, 0)
            for pair in range(len(seconds["tellapart"]), given.pairs):
                for arm in arms if pair % 2 == 0 else arms[::-1]:
                    seconds[arm].append(ARMS[arm](task, pair))
                    speed = task.tokens / seconds[arm][-1]
                    print(f"{shape}, pair {pair}: {arm:>13} {speed:9.0f} tokens/s", flush=True)
                shapes[shape] = summary(task, seconds)
                result = {"command": command, "environment": environment(), "shapes": shapes}
                with replacing(target) as temporary:
                    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        for arm, ratio in shapes[shape]["median_against"].items():
            print(f"{shape}: {arm} takes {ratio:.3f} times as long (median of {given.pairs})")


if __name__ == "__main__":
    main()
