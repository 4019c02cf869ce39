"""Scores by which a model abstains: how well they tell out-of-scope texts and wrong predictions apart.

    python benchmarks/out_of_scope.py
    python benchmarks/out_of_scope.py --data clinc150 --out-of-scope oos

A few rows per class are fine-tuned. If a label marks the out-of-scope rows, these are used; else a share of the
classes is held out by the seed, and their rows are out of scope. Rows of another data set are out of scope too, from
another domain. All scores see the same models. The validation rows choose a score (highest AUROC against the
out-of-scope rows among them) and the thresholds; everything that is reported is measured on test rows. `mahalanobis`
and `nearest` compare the trained encoder's vectors with those of the training rows. Log loss and calibration error
are measured with and without a temperature. Results go to benchmarks/results/out_of_scope.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import normalize

from evidence import RESULTS
from pairs import command_of, write
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.rows import read_task
from tellapart.data.splits import sample
from tellapart.encoders.scoring import represent
from tellapart.evaluation.abstention import (
    confidence_scores,
    coverage_threshold,
    out_of_scope_metrics,
    precision_threshold,
    risk_coverage,
    selective_metrics,
)
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.metrics import classification_metrics
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.rows import load_data, read_rows, split_data
from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.recipes.decision import AbstainBy

COVERAGE, PRECISION = 0.9, 0.95
LOGITS = get_args(AbstainBy)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--out-of-scope", help="label of the out-of-scope rows; default: held-out classes")
    parser.add_argument("--held-out", type=float, default=0.25, help="share of the classes to hold out")
    parser.add_argument("--far", default="trec6", help="data set of another domain")
    parser.add_argument("--few-shot", type=int, default=10)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "out_of_scope.json")
    given = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for seed in range(given.seeds):
        runs.append(one_run(given, seed))
        result = {"command": command_of(given), "coverage": COVERAGE, "precision": PRECISION}
        write(given.output, {**result, "runs": runs, "environment": environment()})


def one_run(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Trains one model, and measures every score on it."""
    settings = [
        f"data.source={given.data}",
        f"data.few_shot={given.few_shot}",
        f"encoder.name={given.encoder}",
    ]
    recipe = with_values(method_recipe("cross-entropy"), [*settings, f"seed={seed}", "encoder.max_length=64"])
    if given.out_of_scope:
        data = load_data(with_values(recipe, [f"data.out_of_scope={given.out_of_scope}"]))
    else:
        data = without_classes(recipe, given.held_out)
    assert data.validation is not None
    assert data.test is not None
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(recipe, data, folder, quiet=True)
    far = read_task(given.far)
    rows = {
        "train": data.train,
        "validation": data.validation,
        "test": data.test,
        "validation_outside": data.out_of_scope["validation"],
        "near": data.out_of_scope["test"],
        "far": dataclasses.replace(far.test or far.train, labels=None),
    }
    logits = {name: fitted.scores(split) for name, split in rows.items()}
    gold = {name: data.labels.encode(rows[name].labels or []) for name in ("validation", "test")}
    scores = {by: {name: confidence_scores(one, by) for name, one in logits.items()} for by in LOGITS}
    scores |= by_distance(fitted, rows)
    right = {name: logits[name].argmax(axis=1) == gold[name] for name in gold}
    chosen = {
        by: out_of_scope_metrics(one["validation"], one["validation_outside"])["out_of_scope_auroc"]
        for by, one in scores.items()
    }
    return {
        "seed": seed,
        "rows": {name: len(split) for name, split in rows.items()},
        "classes": len(data.labels),
        "validation_auroc": chosen,
        "chosen": max(chosen, key=lambda by: chosen[by]),
        "scores": {by: measured(one, right) for by, one in scores.items()},
        "temperature": calibrated(data.labels, gold, logits),
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def without_classes(recipe: Recipe, share: float) -> TextData:
    """Draws the rows of a run without a share of the classes, whose rows are out of scope."""
    data, random = read_rows(recipe), np.random.default_rng(recipe.seed)
    names = data.labels.names
    held_out = set(random.choice(names, round(share * len(names)), replace=False).tolist())

    def rows(split: TextSplit, outside: bool) -> TextSplit:
        labels = split.labels or []
        return split.select(row for row, label in enumerate(labels) if (label in held_out) == outside)

    assert data.test is not None
    few = sample(rows(data.train, True), len(held_out) * (recipe.data.few_shot or 1), recipe.seed)
    outside = {"validation": few, "test": rows(data.test, True)}
    return split_data(
        recipe,
        dataclasses.replace(
            data,
            train=rows(data.train, False),
            test=rows(data.test, False),
            labels=LabelSpace(tuple(name for name in names if name not in held_out)),
            out_of_scope={name: dataclasses.replace(split, labels=None) for name, split in outside.items()},
        ),
    )


def by_distance(fitted: Fitted, rows: dict[str, TextSplit]) -> dict[str, dict[str, np.ndarray]]:
    """Negative distances of the trained encoder's vectors to the training rows.

    `mahalanobis`: to the nearest class mean, with one covariance for all classes (Lee et al. 2018, arXiv 1807.03888),
    shrunk as by Ledoit and Wolf. `nearest`: cosine to the nearest training row (Sun et al. 2022, arXiv 2204.06507).
    """
    vectors = {}
    for name, split in rows.items():
        tokenised = fitted.tokenised(split)
        assert tokenised is not None
        vectors[name] = represent(fitted.model, tokenised).astype(np.float64)
    classes = fitted.labels.encode(rows["train"].labels or [])
    means = np.stack([vectors["train"][classes == one].mean(axis=0) for one in range(len(fitted.labels))])
    precision = LedoitWolf(assume_centered=True).fit(vectors["train"] - means[classes]).precision_
    train = normalize(vectors["train"])
    found: dict[str, dict[str, np.ndarray]] = {"mahalanobis": {}, "nearest": {}}
    for name, one in vectors.items():
        squares = np.einsum("nd,de,ne->n", one, precision, one)[:, None] - 2 * one @ precision @ means.T
        squares += np.einsum("kd,de,ke->k", means, precision, means)
        found["mahalanobis"][name] = -squares.min(axis=1)
        found["nearest"][name] = (normalize(one) @ train.T).max(axis=1)
    return found


def measured(scores: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the figures of one score on the test rows."""
    test = scores["test"]
    found: dict[str, float] = {}
    for where in ("near", "far"):
        for name, value in out_of_scope_metrics(test, scores[where]).items():
            found[f"{where}_{name.removeprefix('out_of_scope_')}"] = value
    accepted = test >= coverage_threshold(test, COVERAGE)
    found["risk"] = selective_metrics(accepted, right["test"])["selective_risk"]
    found["risk_coverage_area"] = risk_coverage(test, right["test"]).area
    mixed = np.append(right["test"], np.zeros(len(scores["near"]), dtype=bool))
    found["mixed_risk_coverage_area"] = risk_coverage(np.append(test, scores["near"]), mixed).area
    threshold, reached = precision_threshold(scores["validation"], right["validation"], PRECISION)
    kept = selective_metrics(test >= threshold, right["test"])
    return found | {
        "validation_precision": reached,
        "precision": 1 - kept["selective_risk"],
        "coverage": kept["coverage"],
    }


def calibrated(
    labels: LabelSpace, gold: dict[str, np.ndarray], logits: dict[str, np.ndarray]
) -> dict[str, float]:
    """Returns a temperature fitted on the validation rows, and what it changes on the test rows."""
    temperature = fit_temperature(gold["validation"], logits["validation"])
    found = {"temperature": temperature}
    for name, divisor in {"before": 1.0, "after": temperature}.items():
        metrics = classification_metrics(labels, gold["test"], logits["test"] / divisor)
        for metric in ("accuracy", "log_loss", "expected_calibration_error"):
            found[f"{metric}_{name}"] = metrics[metric]
    return found


if __name__ == "__main__":
    main()
