"""Step time of the objectives relative to cross entropy, on the same batches of real texts.

    python benchmarks/objective_overhead.py --data r8
    python benchmarks/objective_overhead.py --data banking77 --pairs 2 --steps 4

Every objective has its own model and optimiser, all from the same encoder, and is trained by `tellapart.Trainer` as
in `tellapart train`. All objectives process a batch before the next one, in rotating order, so that disturbances of
the machine affect all of them equally. A pair is a block of such batches, with the ratio of the blocks' seconds. A
step is the forward and backward pass, gradient clipping and the optimiser step; loading rows is not timed. Results go
to benchmarks/results/objective_overhead-<data>.json after every block.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor

from evidence import RESULTS
from pairs import add_device, command_of, earlier, now, settle_device, write
from tellapart.data.batches.batching import LengthBucketBatchSampler, TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import prepare_splits
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.transformer import parameter_count
from tellapart.fitting.environment import environment
from tellapart.fitting.objectives import build_objective
from tellapart.recipes import method_recipe, with_values
from tellapart.training.arguments import TrainingArguments
from tellapart.training.defaults import default_head_learning_rate, default_learning_rate
from tellapart.training.trainer import Trainer

BASELINE = "cross-entropy"
# The matrix of an adaptive distance changes only between steps; a fixed one takes the same time.
UNIFORM = "stages.0.objective.distance=uniform"
HALF = "stages.0.views_from_layer=3"  # of six layers
METHODS: dict[str, tuple[str, list[str]]] = {
    "negative-supervision": ("negative-supervision", []),
    "negative-supervision-am": ("negative-supervision-am", []),
    "negative-supervision-ace": ("negative-supervision-ace", []),
    "label-distance": ("label-distance", [UNIFORM]),
    "label-distance, views from layer 3": ("label-distance", [UNIFORM, HALF]),
    "r-drop": ("r-drop", []),
    "r-drop, views from layer 3": ("r-drop", [HALF]),
    "supcon": ("supcon", []),
}


class Arm:
    """A model, its objective and its optimiser."""

    def __init__(
        self, method: str, rows: TokenisedDataset, labels: LabelSpace, given: argparse.Namespace
    ) -> None:
        transformers.set_seed(0)
        name, settings = METHODS.get(method, (method, []))
        recipe = with_values(method_recipe(name), settings)
        model = load_encoder(given.encoder, labels)
        rate = default_learning_rate(parameter_count(model))
        arguments = TrainingArguments(
            output_dir=tempfile.gettempdir(),
            per_device_train_batch_size=given.batch_size,
            learning_rate=rate,
            head_learning_rate=default_head_learning_rate(rate),
            views_from_layer=recipe.stages[0].views_from_layer,
            bf16=use_bf16("auto", given.device),
            use_cpu=given.device == "cpu",
            save_strategy="no",
            disable_tqdm=True,
        )
        objective = build_objective(recipe.stages[0].objective, labels)
        self.trainer = Trainer(model, arguments, objective=objective, train_dataset=rows)
        self.device, self.limit = given.device, arguments.max_grad_norm
        learning = contextlib.ExitStack()
        learning.enter_context(self.trainer.without_unused_embeddings())  # as in `train`
        atexit.register(learning.close)
        prepare = self.trainer.accelerator.prepare
        self.model, self.optimizer = prepare(self.trainer.model, self.trainer.create_optimizer())

    def step(self, batch: dict[str, Tensor]) -> float:
        """Returns the seconds of one step on a batch."""
        start = now(self.device)
        self.trainer.training_step(self.model, dict(batch), len(batch["labels"]))
        self.trainer.accelerator.clip_grad_norm_(self.model.parameters(), self.limit)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return now(self.device) - start


def batches(rows: TokenisedDataset, batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Yields full batches, epoch after epoch."""
    sampler = LengthBucketBatchSampler(rows.lengths, batch_size, drop_last=True)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        for chosen in sampler:
            yield rows.batch(chosen)


def block(arms: dict[str, Arm], source: Iterator[dict[str, Tensor]], steps: int) -> dict[str, float]:
    """Returns the seconds of each arm on the same batches."""
    seconds = dict.fromkeys(arms, 0.0)
    names = list(arms)
    for number in range(steps):
        batch = next(source)
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            seconds[name] += arms[name].step(batch)
    return seconds


def summary(blocks: list[dict[str, float]], steps: int) -> dict[str, Any]:
    """Returns the result for the JSON file."""
    ratios = {
        name: [seconds[name] / seconds[BASELINE] for seconds in blocks]
        for name in blocks[0]
        if name != BASELINE
    }
    return {
        "blocks": blocks,
        "milliseconds_a_step": {
            name: statistics.median(1000 * seconds[name] / steps for seconds in blocks) for name in blocks[0]
        },
        "ratios": ratios,
        "median_ratios": {name: statistics.median(values) for name, values in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--pairs", type=int, default=5, help="blocks")
    parser.add_argument("--steps", type=int, default=14, help="batches per block")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    add_device(parser)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the blocks that were measured before")
    given = parser.parse_args()
    settle_device(given)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    target = given.output or RESULTS / f"objective_overhead-{Path(given.data).name}.json"
    command = command_of(given)
    before = earlier(target, command) if given.resume else None
    blocks: list[dict[str, float]] = before["blocks"] if before else []
    data = prepare_splits(read_data(given.data), seed=0)
    rows = tokenise(
        data.train, load_tokenizer(given.encoder), max_length=given.max_length, labels=data.labels
    )
    names = [BASELINE, *given.methods.split(";")]
    arms = {name: Arm(name, rows, data.labels, given) for name in names}
    source = batches(rows, given.batch_size)
    block(
        arms, source, 2
    )  # the first steps of a process also set up threads, memory and the optimisers' state
    for _ in range(len(blocks) * given.steps):
        next(source)
    while len(blocks) < given.pairs:
        blocks.append(block(arms, source, given.steps))
        result = {
            "command": command | {"pairs": len(blocks)},
            "environment": environment(),
            "rows": len(rows),
            "mean_tokens": float(rows.lengths.float().mean()),
            **summary(blocks, given.steps),
        }
        write(target, result)
        print(", ".join(f"{name} {ratio:.3f}" for name, ratio in result["median_ratios"].items()), flush=True)


if __name__ == "__main__":
    main()
