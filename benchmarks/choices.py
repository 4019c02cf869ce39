"""Settings of the recommended method on rows that no comparison uses: steps with few rows, weights with many.

    OMP_NUM_THREADS=1 python benchmarks/choices.py trec6 cr
    OMP_NUM_THREADS=1 python benchmarks/choices.py banking77 --seeds 3

For a data set that gains.yaml declares, training and validation rows are drawn with seeds that no comparison uses. A
method is scored on training rows that were not drawn: the test rows stay unseen until a comparison is declared. All
variants of a seed see the same rows. Results go to benchmarks/results/choices.json after every trial; finished trials
are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence import RESULTS
from gains import protocol, recipe_for
from pairs import write
from tellapart.data.examples import TextData
from tellapart.data.splits import sample
from tellapart.data.unlabelled import undrawn_rows
from tellapart.fitting.environment import environment
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.trials import run_trial
from tellapart.recipes import Recipe, compared_recipes

FILE = RESULTS / "choices.json"
FIRST_SEED, ROWS = 300, 1500
_TRAINED_TWICE = "data.validation_in_training=true:stages.0.evaluations=4"
ARMS = {
    "1 epoch": "{recommended}:stages.0.epochs=1",
    "2 epochs": "{recommended}:stages.0.epochs=2",
    "3 epochs": "{recommended}:stages.0.epochs=3",
    "5 epochs": "{recommended}:stages.0.epochs=5",
    "10 epochs": "{recommended}:stages.0.epochs=10",
    "20 epochs": "{recommended}:stages.0.epochs=20",
    "40 epochs": "{recommended}:stages.0.epochs=40",
    "batches of 8": "{recommended}:stages.0.epochs=10:stages.0.batch_size=8",
    "batches of 8, 20 epochs": "{recommended}:stages.0.epochs=20:stages.0.batch_size=8",
    "random start, 20 epochs": "{recommended}:stages.0.epochs=20:stages.0.start=random",
    "stock pooling, 20 epochs": "{recommended}:stages.0.epochs=20:encoder.pooling=stock",
    "without label texts": "contrast:data.label_texts=none:stages.0.epochs=10",
    "cross entropy": f"cross-entropy:{_TRAINED_TWICE}:stages.0.selection=average:stages.0.epochs=10",
    "as transformers.Trainer": f"cross-entropy:{_TRAINED_TWICE}:stages.0.selection=last:stages.0.epochs=30"
    ":stages.0.batch_size=8:stages.0.start=random:encoder.pooling=stock:stages.0.learning_rate=5e-5"
    ":stages.0.head_learning_rate=5e-5",
}
"""Variants of the recommended method; and cross entropy, the last one with settings near the stock Trainer's."""

MANY = "data.train_rows=5000"
ARMS_OF_MANY = {
    "cross entropy": f"cross-entropy:{MANY}",
    "contrast": f"{{recommended}}:{MANY}",
    "contrast, best evaluation": f"{{recommended}}:{MANY}:stages.0.selection=best:stages.0.evaluations=10",
    "contrast, without label texts": f"contrast:data.label_texts=none:{MANY}",
}
"""Variants with many rows, of banking77."""


def rows_of(recipe: Recipe, read: TextData) -> TextData:
    """The rows of a seed, with training rows that it leaves out in place of the test rows."""
    drawn = split_data(recipe, read)
    left = undrawn_rows(read.train, drawn.train, drawn.validation, drawn.test)
    most = len(left) if recipe.data.train_rows else ROWS
    return replace(drawn, test=sample(left, min(most, len(left)), seed=recipe.seed))


def run_trials(name: str, arms: dict[str, str], seeds: range) -> None:
    """Runs the arms that are missing in the results."""
    declared = protocol()
    base = recipe_for(declared, name)
    label_texts = declared["sets"][name]["label_texts"]
    recommended = declared["arms"]["recommended"].format(label_texts=label_texts)
    methods = [arm.format(recommended=recommended, label_texts=label_texts) for arm in arms.values()]
    recipes = dict(zip(arms, compared_recipes(base, methods).values(), strict=True))
    read = read_rows(next(iter(recipes.values())))
    for seed in seeds:
        for arm, recipe in recipes.items():
            done = _written()
            if any((run["set"], run["arm"], run["seed"]) == (name, arm, seed) for run in done["runs"]):
                continue
            seeded = recipe.model_copy(update={"seed": seed})
            data = rows_of(seeded, read)
            with tempfile.TemporaryDirectory() as folder:
                trial = run_trial(seeded, data, Path(folder), "accuracy", quiet=True)
            run = {"set": name, "arm": arm, "seed": seed, "method": methods[list(arms).index(arm)]}
            run |= {"score": trial["score"], "seconds": trial["seconds"], "rows": len(data.test or ())}
            done = _written()  # another set may have run at the same time
            write(FILE, {"runs": [*done["runs"], run], "environment": environment()})
            print(json.dumps(run), flush=True)


def _written() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"runs": []}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", help="sets of gains.yaml")
    parser.add_argument("--arm", action="append", help="a variant; may be given several times. Default: all")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for name in given.sets:
        known = ARMS_OF_MANY if name == "banking77" else ARMS
        arms = {arm: known[arm] for arm in given.arm or known}
        run_trials(name, arms, range(FIRST_SEED, FIRST_SEED + given.seeds))


if __name__ == "__main__":
    main()
