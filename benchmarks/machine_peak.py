"""Share of the machine's matrix multiplication rate that a training step reaches.

    python benchmarks/machine_peak.py --data r8

The shapes, strides and types of all matrix products of one training step of MiniLM are recorded, forward and
backward. Each product is then timed in isolation, on prepared matrices. Their floating-point operations divided by
their seconds is the rate of the machine for the shapes of the step; square products of size 2,048 are timed too. The
share is the rate of the whole step, including everything that is not a matrix product, divided by that rate. Steps
are those of `tellapart train`: bf16 if the machine supports it, dropout, clipping, AdamW. The operations of attention
in a single kernel are counted, but not timed separately. Results go to benchmarks/results/machine_peak-<data>.json.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from evidence import RESULTS
from objective_overhead import BASELINE, Arm, batches
from pairs import add_device, command_of, now, settle_device, write
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import prepare_splits
from tellapart.encoders.loading import load_tokenizer
from tellapart.fitting.environment import environment

Matrix = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]  # shape, strides, type
_PRODUCTS = {"aten::mm": 0, "aten::bmm": 0, "aten::addmm": 1, "aten::baddbmm": 1}  # where the matrices begin


class Products(TorchDispatchMode):
    """Counts matrix products by the shapes of their matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[Matrix, Matrix]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = _PRODUCTS.get(function._schema.name)
        if first is not None:
            one, two = ((tuple(m.shape), m.stride(), m.dtype) for m in args[first : first + 2])
            self.found[one, two] += 1
        return function(*args, **(kwargs or {}))


def operations(one: Matrix, two: Matrix) -> int:
    """Returns the floating-point operations of a product."""
    *batch, rows, inner = one[0]
    return 2 * (batch[0] if batch else 1) * rows * inner * two[0][-1]


def seconds_of(one: Matrix, two: Matrix, device: str, repeats: int) -> float:
    """Returns the median time of a product in isolation."""
    first, second = (
        torch.empty_strided(shape, strides, dtype=kind, device=device).normal_()
        for shape, strides, kind in (one, two)
    )
    # A GPU works through a queue: alone, a product would be timed with its launch and the synchronisation.
    times, queued = [], 1 if device == "cpu" else 50
    for _ in range(repeats + 1):
        start = now(device)
        for _ in range(queued):
            torch.matmul(first, second)
        times.append((now(device) - start) / queued)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=9, help="repetitions of each product in isolation")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    add_device(parser)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    settle_device(given)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    data = prepare_splits(read_data(given.data), seed=0)
    rows = tokenise(
        data.train, load_tokenizer(given.encoder), max_length=given.max_length, labels=data.labels
    )
    arm = Arm(BASELINE, rows, data.labels, given)
    source = batches(rows, given.batch_size)
    # Of the widths that batches have, the one in the middle.
    batch = sorted((next(source) for _ in range(25)), key=lambda each: each["input_ids"].shape[1])[12]
    arm.step(batch)
    with Products() as products:
        arm.step(batch)
    with FlopCounterMode(display=False) as counter:
        arm.step(batch)
    step = statistics.median(arm.step(batch) for _ in range(given.steps))

    alone = in_products = 0.0
    for (one, two), count in products.found.items():
        alone += count * seconds_of(one, two, given.device, given.repeats)
        in_products += count * operations(one, two)
    kind = Counter[torch.dtype]()
    for (one, two), count in products.found.items():
        kind[one[2]] += count * operations(one, two)
    precision = kind.most_common(1)[0][0]
    square: Matrix = ((2048, 2048), (2048, 1), precision)
    peaks = {
        "the step's products": in_products / alone,
        "square products of 2,048": operations(square, square) / seconds_of(square, square, given.device, 5),
    }
    rate = counter.get_total_flops() / step
    result = {
        "command": command_of(given),
        "environment": environment(),
        "batch": list(batch["input_ids"].shape),
        "precision": str(precision).removeprefix("torch."),
        "operations_a_step": counter.get_total_flops(),
        "operations_in_products": in_products,
        "seconds_a_step": step,
        "seconds_in_products_alone": alone,
        "rate": rate,
        "peaks": peaks,
        "shares": {name: rate / peak for name, peak in peaks.items()},
    }
    write(given.output or RESULTS / f"machine_peak-{Path(given.data).name}.json", result)
    print(f"step: {1000 * step:.0f} ms, {rate / 1e9:.0f} GFLOP/s in {result['precision']}")
    for name, peak in peaks.items():
        print(f"{name}: {peak / 1e9:.0f} GFLOP/s, of which the step reaches {rate / peak:.1%}")


if __name__ == "__main__":
    main()
