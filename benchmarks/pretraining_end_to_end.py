"""Effect of continued pre-training and corrections on the accuracy of a classifier.

    python benchmarks/pretraining_end_to_end.py
    python benchmarks/pretraining_end_to_end.py --steps 100 --trials 2 --corrections none,hard

MiniLM is pre-trained further on the raw training texts of R52, once per correction, with the same steps, seed and
masks. Then the same classifier is trained from each of these encoders, and from the original MiniLM, over paired
seeds with few labelled rows. Interrupted pre-training is resumed, and finished trials are kept in runs/. Results go
to benchmarks/results/pretraining-end-to-end.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from tellapart.evaluation.metrics import METRICS
from tellapart.files import replacing
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.pretraining.run import pretrain
from tellapart.recipes import Recipe, validated
from tellapart.runs.compare import compare

RESULT = Path(__file__).parent / "results" / "pretraining-end-to-end.json"
RUNS = Path("runs") / "pretraining-end-to-end"

SET = "r52"
MAX_LENGTH = 64
CORRECTIONS = ("none", "hard", "soft")
BASELINE = "not-pretrained-further"


def pretrained(correction: str, steps: int) -> dict[str, Any]:
    """Continues pre-training MiniLM on the raw texts and returns the metrics of the run."""
    recipe = PretrainRecipe(
        texts=SET,
        encoder="minilm",
        correction=correction,  # type: ignore[arg-type]
        synonyms="wordnet",  # with all of them, so that corrections are counted where none are made too
        steps=steps,
        max_length=MAX_LENGTH,
        # MiniLM brings no head over the vocabulary, which the usual rate would hardly teach in so few steps.
        learning_rate=3e-4,
    )
    return pretrain(recipe, folder_of(correction, steps), resume=True).metrics


def folder_of(correction: str, steps: int) -> Path:
    return RUNS / f"{correction.replace('+', '-')}-{steps}-steps"


def method_file(name: str, encoder: str | None) -> str:
    """Writes a cross entropy recipe with an encoder, under the name shown in the table."""
    content: dict[str, Any] = {"method": name, "stages": [{"objective": {"name": "cross-entropy"}}]}
    if encoder is not None:
        content["encoder"] = {"name": encoder}
    path = RUNS / "recipes" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def base_recipe(few_shot: int) -> Recipe:
    return validated(
        {
            "data": {"source": SET, "few_shot": few_shot, "test_rows": 1_000},
            "encoder": {"max_length": MAX_LENGTH},
            "stages": [{"epochs": 4, "evaluations": 2}],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300, help="pre-training steps")
    parser.add_argument("--trials", type=int, default=3, help="paired seeds of the classifier")
    parser.add_argument("--few-shot", type=int, default=5, help="labelled rows per class")
    parser.add_argument("--corrections", default=",".join(CORRECTIONS))
    given = parser.parse_args()
    corrections = given.corrections.split(",")
    watched = {}
    for correction in corrections:
        watched[correction] = pretrained(correction, given.steps)
        print(f"pre-trained with correction {correction}", flush=True)
    methods = [method_file(BASELINE, None)]
    methods += [
        method_file(f"correction-{name.replace('+', '-')}", str(folder_of(name, given.steps) / "model"))
        for name in corrections
    ]
    folder = RUNS / f"classifiers-{given.steps}-steps"
    comparison = compare(base_recipe(given.few_shot), methods, folder, trials=given.trials, resume=True)
    for method, result in comparison.methods.items():
        assert result.mean is not None
        print(f"{method}: {METRICS[comparison.metric].display(result.mean)}", flush=True)
    content = comparison.to_dict() | {"steps": given.steps, "pretraining": watched}
    with replacing(RESULT) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
