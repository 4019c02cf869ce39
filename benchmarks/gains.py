"""Runs the comparisons declared in gains.yaml: label texts, the recommended method, AM, auxiliary labels.

    OMP_NUM_THREADS=1 python benchmarks/gains.py banking77-5 trec6
    OMP_NUM_THREADS=1 python benchmarks/gains.py --trials 3 --arms cross-entropy,recommended
    OMP_NUM_THREADS=1 python benchmarks/gains.py r52 --further

gains.yaml names seeds that no earlier run used, and what changed after its first trials. Finished trials are kept in
runs/gains, so that the same command continues an interrupted run; two commands for different sets can run side by
side. Results are written to benchmarks/results/gains/<set>.json after every few seeds. With --further the trials of
that file are kept where runs/gains has none: its last seed is run again, and has to give the same scores to the last
digit, before others are added.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from evidence import RESULTS, ROOT
from tellapart.evaluation.comparison import Comparison, build_comparison
from tellapart.files import write_json
from tellapart.recipes import Recipe, validated
from tellapart.runs.compare import compare

RUNS = Path("runs") / "gains"
FOLDER = RESULTS / "gains"


def protocol() -> dict[str, Any]:
    """The declared sets, arms and comparisons."""
    return yaml.safe_load((ROOT / "benchmarks" / "gains.yaml").read_text(encoding="utf-8"))


def arms_of(declared: dict[str, Any], name: str) -> dict[str, str]:
    """The arms of a set by name, each as `tellapart compare --methods` takes it."""
    given = declared["sets"][name]
    return {
        arm: declared["arms"][arm].format(label_texts=given["label_texts"], classes=given.get("classes"))
        for arm in given.get("arms", declared["arms"])
    }


def recipe_for(declared: dict[str, Any], name: str) -> Recipe:
    """The data, encoder and schedule that all arms of a set share, with its first seed."""
    given = declared["sets"][name]
    return validated({"seed": given.get("first_seed", declared["first_seed"]), **given["recipe"]})


def run(name: str, arms: dict[str, str], trials: int, further: bool = False) -> None:
    """Runs one set over its first seeds, and writes the result after every second seed."""
    recipe, folder, kept = recipe_for(protocol(), name), RUNS / name, None
    if further:
        kept = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        arms = {arm: arms[arm] for arm in kept["arms"]}
        first = kept["seeds"][-1]
        trials -= first - recipe.seed
        recipe, folder = recipe.model_copy(update={"seed": first}), RUNS / f"{name}-from-{first}"
    for finished in sorted({*range(2, trials, 2), trials}):
        comparison = compare(recipe, list(arms.values()), folder, trials=finished, resume=True, quiet=True)
        if kept is not None:
            comparison = joined(kept, comparison)
        result = {"arms": dict(zip(arms, comparison.methods, strict=True)), **comparison.to_dict()}
        write_json(FOLDER / f"{name}.json", result)
        means = {arm: comparison.methods[method].mean for arm, method in result["arms"].items()}
        print(json.dumps({"set": name, "seeds": len(comparison.seeds), **means}), flush=True)


def joined(kept: dict[str, Any], further: Comparison) -> Comparison:
    """Adds trials to those of a result, whose last seed is the first of the added ones.

    Raises:
        SystemExit: The seed that both have gives other scores now, so that the others would too.
    """
    content = {key: value for key, value in kept.items() if key != "arms"}
    known = [Comparison.from_dict(content).methods[method].trials for method in kept["arms"].values()]
    trials = {}
    for its, (method, new) in zip(known, further.methods.items(), strict=True):
        again = new.trials[0]
        if (its[-1].seed, its[-1].score) != (again.seed, again.score):
            raise SystemExit(f"{method}, seed {again.seed}: {its[-1].score} on record, {again.score} now")
        trials[method] = [*its, *new.trials[1:]]
    return build_comparison(
        trials,
        {},
        class_names=(),
        metric=further.metric,
        source=further.source,
        split_sizes=content["split_sizes"],
        encoder=further.encoder,
        environment=further.environment,
    )


def main() -> None:
    declared = protocol()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", help="sets of gains.yaml; all by default")
    parser.add_argument("--trials", type=int, help="fewer seeds than declared")
    parser.add_argument(
        "--arms", help="some of the declared arms, comma-separated; the first is the baseline"
    )
    parser.add_argument("--further", action="store_true", help="add seeds to the committed results")
    given = parser.parse_args()
    for name in given.sets or declared["sets"]:
        arms = arms_of(declared, name)
        if given.arms:
            arms = {arm: arms[arm] for arm in given.arms.split(",")}
        run(name, arms, given.trials or declared["sets"][name]["trials"], given.further)


if __name__ == "__main__":
    main()
