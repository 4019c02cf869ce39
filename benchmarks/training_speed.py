"""One epoch of fine-tuning: tellapart against the stock Trainer, alternating in one process.

    python benchmarks/training_speed.py --data r8 --pairs 5
    python benchmarks/training_speed.py --data trec6 --pairs 5
    python benchmarks/training_speed.py --data banking77 --pairs 5
    python benchmarks/training_speed.py --data r8 --rows 1024 --pairs 5 --arms stock,tellapart,slow-dropout

Arms: `stock` is `transformers.Trainer` with its defaults (rows in random order, padded to the batch's longest, the
model's own pooler, float32); `expert` is the same with bf16 and batches of similar length; `tellapart` is
`tellapart.Trainer` with the defaults of `tellapart train`; the others disable one optimisation. Every arm starts from
the same encoder, uses the same rows and batch size and is evaluated on the same test rows. Only the training loop is
timed. Results go to benchmarks/results/training_speed-<data>.json after every pair; `--resume` adds pairs
to existing ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers

from evidence import RESULTS
from pairs import add_device, command_of, earlier, now, settle_device, write
from tellapart.data.batches.batching import LengthBucketBatchSampler, TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import prepare_splits
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.scoring import score
from tellapart.encoders.transformer import parameter_count
from tellapart.fitting.environment import environment
from tellapart.training.arguments import TrainingArguments
from tellapart.training.defaults import default_head_learning_rate, default_learning_rate
from tellapart.training.trainer import Trainer


class Task:
    """Rows tokenised for both sides."""

    def __init__(self, data: TextData, encoder: str, max_length: int, batch_size: int) -> None:
        self.encoder, self.max_length, self.batch_size = encoder, max_length, batch_size
        self.labels: LabelSpace = data.labels
        self.tokenizer = load_tokenizer(encoder)
        self.train: TextSplit = data.train
        assert data.test is not None
        self.rows = tokenise(data.train, self.tokenizer, max_length=max_length, labels=data.labels)
        self.test = tokenise(data.test, self.tokenizer, max_length=max_length, labels=data.labels)

    def accuracy(self, model: Any) -> float:
        assert self.test.labels is not None
        return float((score(model, self.test).argmax(1) == self.test.labels.numpy()).mean())


def padding_share(dataset: TokenisedDataset, batches: Iterable[Sequence[int] | np.ndarray]) -> float:
    """Returns the share of padding tokens in the batches."""
    real = total = 0
    for rows in batches:
        lengths = dataset.lengths[torch.as_tensor(rows)]
        real += int(lengths.sum())
        total += int(lengths.max()) * len(rows)
    return 1 - real / total


def stock(**options: Any) -> Callable[[Task, str, int], tuple[float, float]]:
    """`transformers.Trainer` as in its documentation, with further options."""

    def arm(task: Task, device: str, seed: int) -> tuple[float, float]:
        transformers.set_seed(seed)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            resolve_encoder(task.encoder), num_labels=len(task.labels)
        )
        assert task.train.labels is not None
        rows = datasets.Dataset.from_dict(
            {"text": task.train.texts, "label": task.labels.encode(task.train.labels)}
        )
        rows = rows.map(
            lambda batch: task.tokenizer(batch["text"], truncation=True, max_length=task.max_length),
            batched=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            trainer = transformers.Trainer(
                model,
                transformers.TrainingArguments(
                    output_dir=folder,
                    per_device_train_batch_size=task.batch_size,
                    num_train_epochs=1,
                    save_strategy="no",
                    use_cpu=device == "cpu",
                    disable_tqdm=True,
                    seed=seed,
                    **options,
                ),
                train_dataset=rows,
                processing_class=task.tokenizer,
            )
            return _timed(trainer), task.accuracy(model)

    return arm


def ours(**changes: Any) -> Callable[[Task, str, int], tuple[float, float]]:
    """`tellapart.Trainer` with the defaults of `tellapart train`, or with some of them changed."""

    def arm(task: Task, device: str, seed: int) -> tuple[float, float]:
        transformers.set_seed(seed)
        model = load_encoder(task.encoder, task.labels)
        rate = default_learning_rate(parameter_count(model))
        options: dict[str, Any] = {
            "per_device_train_batch_size": task.batch_size,
            "num_train_epochs": 1,
            "learning_rate": rate,
            "head_learning_rate": default_head_learning_rate(rate),
            "warmup_steps": 0.1,
            "weight_decay": 0.01,
            "bf16": use_bf16("auto", device),
            "save_strategy": "no",
            "use_cpu": device == "cpu",
            "disable_tqdm": True,
            "logging_nan_inf_filter": False,
            "seed": seed,
        }
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(output_dir=folder, **options | changes)
            trainer = Trainer(model, arguments, train_dataset=task.rows, processing_class=task.tokenizer)
            return _timed(trainer), task.accuracy(model)

    return arm


ARMS: dict[str, Callable[[Task, str, int], tuple[float, float]]] = {
    "stock": stock(),
    "expert": stock(bf16=True, train_sampling_strategy="group_by_length"),
    "tellapart": ours(),
    "slow-dropout": ours(fast_dropout=False),
    "random-order": ours(bucket_window=1),
    "float32": ours(bf16=False),
    "whole-embeddings": ours(trim_embeddings=False),
}


def _timed(trainer: transformers.Trainer) -> float:
    device = str(trainer.args.device)
    start = now(device)
    trainer.train()
    return now(device) - start


def ratios_to(measured: dict[str, list[dict[str, float]]], other: str) -> list[float]:
    """Seconds of another arm divided by ours, for each pair."""
    return [
        theirs["seconds"] / own["seconds"]
        for theirs, own in zip(measured[other], measured["tellapart"], strict=True)
    ]


def padding(rows: TokenisedDataset, batch_size: int) -> dict[str, float]:
    """Returns the share of padding in the batches of one epoch: random order and length buckets."""
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return {
        "random order": padding_share(rows, shuffled),
        "length buckets": padding_share(rows, list(LengthBucketBatchSampler(rows.lengths, batch_size))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--test-rows", type=int, help="test rows; all by default")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--arms", default="stock,tellapart")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    add_device(parser)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the pairs that were measured before")
    given = parser.parse_args()
    settle_device(given)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    data = prepare_splits(read_data(given.data), seed=0)
    random = np.random.default_rng(0)
    train = data.train.select(random.permutation(len(data.train))[: given.rows])
    assert data.test is not None
    test = data.test.select(random.permutation(len(data.test))[: given.test_rows])
    task = Task(TextData(train, None, test, data.labels), given.encoder, given.max_length, given.batch_size)
    arms = given.arms.split(",")
    target = given.output or RESULTS / f"training_speed-{Path(given.data).name}.json"
    command = command_of(given)
    before = earlier(target, command) if given.resume else None
    measured: dict[str, list[dict[str, float]]] = before["arms"] if before else {arm: [] for arm in arms}
    shares = padding(task.rows, given.batch_size)
    print("padding: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    for pair in range(len(measured[arms[0]]), given.pairs):
        for arm in arms if pair % 2 == 0 else arms[::-1]:
            seconds, accuracy = ARMS[arm](task, given.device, pair)
            measured[arm].append(
                {"seconds": seconds, "texts_per_second": len(train) / seconds, "accuracy": accuracy}
            )
            print(
                f"pair {pair}: {arm:>13} {len(train) / seconds:8.1f} texts/s, accuracy {accuracy:.4f}",
                flush=True,
            )
        ratios = ratios_to(measured, arms[0])
        others = {arm: statistics.median(ratios_to(measured, arm)) for arm in arms[1:] if arm != "tellapart"}
        result = {
            "command": command | {"pairs": len(ratios)},
            "environment": environment(),
            "rows": {"train": len(train), "test": len(test)},
            "padding": shares,
            "arms": measured,
            "ratios": ratios,
            "median_ratio": statistics.median(ratios),
            "median_ratios_of_others": others,
        }
        write(target, result)
        print(f"tellapart against {arms[0]}: {statistics.median(ratios):.2f}x (median of {len(ratios)})")


if __name__ == "__main__":
    main()
