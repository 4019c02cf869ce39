"""Cost of the second stage of two-stage training: a fresh classifier on cached vectors.

    python benchmarks/second_stage.py --data r8

Stage 1 is timed over one epoch of auxiliary labels, without evaluations. Stage 2 is timed as a whole: encoding all
training and validation rows once, ten epochs of AdamW on the cached vectors, and a logistic regression.
The shares are relative to ten epochs of stage 1. Results go to benchmarks/results/second_stage-<data>.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from evidence import RESULTS
from pairs import write
from tellapart.encoders.cache import cached_representations
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.fitting.environment import environment
from tellapart.fitting.heads import train_fresh_head
from tellapart.fitting.objectives import build_objective
from tellapart.fitting.rows import load_data
from tellapart.fitting.stages import run_stage
from tellapart.fitting.tasks import Task
from tellapart.recipes import method_recipe, with_values

EPOCHS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--rows", type=int, help="training rows; all by default")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    recipe = with_values(
        method_recipe("auxiliary-labels"),
        [f"data.source={given.data}", "stages.0.epochs=1", f"stages.1.epochs={EPOCHS}"]
        + ([] if given.rows is None else [f"data.train_rows={given.rows}"]),
    )
    data = load_data(recipe)
    tokenizer = load_tokenizer(recipe.encoder.name)
    model = load_encoder(recipe.encoder.name, data.labels)
    task = Task.of(data, tokenizer, given.max_length)
    without_evaluations = Task(task.labels, task.train, None, None)
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        first, second = recipe.stages
        start = time.perf_counter()
        run_stage(
            first.model_copy(update={"start": "random"}),
            build_objective(first.objective, task.labels),
            model,
            tokenizer,
            without_evaluations,
            folder=Path(folder) / "first",
            seed=0,
            title="stage 1",
            resumable=False,
        )
        seconds["first stage, an epoch"] = time.perf_counter() - start
        bf16 = use_bf16("auto", "cpu")
        vectors = Path(folder) / "second" / "vectors-0"
        start = time.perf_counter()
        cached_representations(model, task.train, vectors / "train", bf16=bf16)
        assert task.validation is not None
        cached_representations(model, task.validation, vectors / "validation", bf16=bf16)
        seconds["encoding every row once"] = time.perf_counter() - start
        for solver in ("adamw", "l-bfgs"):
            stage = second.model_copy(
                update={"solver": solver, "metric": task.main_metric, "precision": "bf16" if bf16 else "fp32"}
            )
            start = time.perf_counter()
            objective = build_objective(stage.objective, task.labels)
            train_fresh_head(stage, objective, model, task, Path(folder) / "second", 0)
            seconds[f"{solver} on the kept vectors"] = time.perf_counter() - start
    first_stage = EPOCHS * seconds["first stage, an epoch"]
    second_stage = sum(value for name, value in seconds.items() if not name.startswith("first stage"))
    shares = {
        "second stage, of ten epochs of the first": second_stage / first_stage,
        "an epoch of AdamW, of an epoch of the first": seconds["adamw on the kept vectors"] / first_stage,
    }
    for name, value in {**seconds, **shares}.items():
        print(f"{name}: {value:.4f}")
    result = {
        "command": {"data": given.data, "rows": given.rows, "max_length": given.max_length, "epochs": EPOCHS},
        "environment": environment(),
        "rows": {"train": len(task.train), "validation": len(task.validation or ())},
        "seconds": seconds,
        "shares": shares,
    }
    write(given.output or RESULTS / f"second_stage-{Path(given.data).name}.json", result)


if __name__ == "__main__":
    main()
