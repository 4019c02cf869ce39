"""Time of `explain` per text, and how far the effects are from summing to the explained difference.

    python benchmarks/explain_speed.py

A model of banking77 (5 texts per class) on MiniLM explains test texts one by one, as for a command or a page: first
by integrated gradients with each number of points, then as `explain` does by default, and by occlusion. `gap` is the
error of the sum as a share of the absolute effects of all words. CPU seconds are reported beside the elapsed ones,
because other work on the machine changes those less. Results go to benchmarks/results/explain_speed.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from evidence import RESULTS
from pairs import command_of, write
from tellapart.data.examples import TextSplit
from tellapart.data.reading.rows import read_data
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.rows import load_data
from tellapart.inspection import word_effects as explaining
from tellapart.inspection.word_effects import AttributionName, word_effects
from tellapart.inspection.word_gradients import integrated_gradients
from tellapart.recipes import method_recipe, with_values

POINTS = (8, 16, 32, 64)


def trained(folder: Path) -> Fitted:
    """Returns a model of banking77, trained briefly."""
    settings = ["data.source=banking77", "data.few_shot=5", "encoder.max_length=64", "stages.0.epochs=3"]
    recipe = with_values(method_recipe("cross-entropy"), settings)
    return fit(recipe, load_data(recipe), folder, quiet=True)


def measure(fitted: Fitted, texts: list[str], attribution: AttributionName) -> dict[str, Any]:
    """Explains texts one by one."""
    elapsed, used, gaps = [], [], []
    for text in texts:
        start, cpu = time.perf_counter(), time.process_time()
        (found,) = word_effects(fitted, TextSplit([text]), attribution=attribution)
        elapsed.append(time.perf_counter() - start)
        used.append(time.process_time() - cpu)
        if found.error is not None:
            gaps.append(abs(found.error) / sum(map(abs, found.effects)))
    result: dict[str, Any] = {
        "median_seconds": statistics.median(elapsed),
        "longest_seconds": max(elapsed),
        "median_cpu_seconds": statistics.median(used),
        "longest_cpu_seconds": max(used),
    }
    if gaps:
        result |= {"median_gap": statistics.median(gaps), "largest_gap": max(gaps)}
    return {name: round(value, 5) for name, value in result.items()}


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--output", type=Path, default=RESULTS / "explain_speed.json")
    given = parser.parse_args()
    texts = read_data("banking77").test
    assert texts is not None
    chosen = texts.texts[:: len(texts) // given.texts][: given.texts]
    with tempfile.TemporaryDirectory() as folder:
        fitted = trained(Path(folder))
    word_effects(fitted, chosen[:1])  # imports captum
    arms: dict[str, Any] = {}
    for points in POINTS:
        with patch.object(explaining, "integrated_gradients", partial(integrated_gradients, steps=(points,))):
            arms[f"gradients, {points} points"] = measure(fitted, chosen, "gradients")
    arms["gradients, as by default"] = measure(fitted, chosen, "gradients")
    arms["occlusion"] = measure(fitted, chosen, "occlusion")
    tokens = fitted.tokenised(TextSplit(chosen))
    assert tokens is not None
    result = {
        "command": command_of(given),
        "environment": environment(),
        "threads": torch.get_num_threads(),
        "texts": len(chosen),
        "median_tokens": float(tokens.lengths.median()),
        "longest_tokens": int(tokens.lengths.max()),
        "arms": arms,
    }
    write(given.output, result)
    for name, figures in arms.items():
        print(name, figures)


if __name__ == "__main__":
    main()
