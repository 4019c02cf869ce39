"""Small encoders and relations between classes on the tasks they are made for.

    python benchmarks/encoders_and_tasks.py
    python benchmarks/encoders_and_tasks.py textcnn-trec6 han-reuters --trials 5

Each entry compares cross entropy with a method of the paper that used the encoder. Slices are seeded and the same for
all methods of a seed. Finished trials are kept in runs/, so that an interrupted run goes on with the same command.
Results go to benchmarks/results/<entry>.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tellapart.files import replacing
from tellapart.recipes import Recipe, validated
from tellapart.runs.compare import compare

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs")

_DOCUMENTS = {"train_rows": 1_500, "test_rows": 1_000}
ENTRIES: dict[str, dict[str, Any]] = {
    "han-arxiv": {
        "data": {"source": "arxiv_aapd_like", **_DOCUMENTS},
        "encoder": "han",
        "embeddings": "cbow",
        "schedule": {"epochs": 12, "learning_rate": 2e-3},
        "methods": ["cross-entropy", "negative-supervision"],
    },
    "han-reuters": {
        "data": {"source": "reuters_modapte", **_DOCUMENTS},
        "encoder": "han",
        "embeddings": "cbow",
        "schedule": {"epochs": 12, "learning_rate": 2e-3},
        "methods": ["cross-entropy", "negative-supervision"],
    },
    "textcnn-trec6": {
        "data": {"source": "trec6"},
        "encoder": "textcnn",
        "methods": ["cross-entropy", "label-distance", "tfidf"],
    },
    "textcnn-r8": {
        "data": {"source": "r8"},
        "encoder": "textcnn",
        "methods": ["cross-entropy", "label-distance", "tfidf"],
    },
    "ordered-sst5": {
        "data": {
            "source": "sst5",
            "few_shot": 40,
            "order": ["very negative", "negative", "neutral", "positive", "very positive"],
        },
        "encoder": "minilm",
        "max_length": 64,
        "schedule": {"epochs": 5, "evaluations": 5, "metric": "quadratic_kappa"},
        "methods": ["cross-entropy", "label-distance", "label-distance-prior", "negative-supervision-prior"],
    },
    "textcnn-chnsenticorp": {
        "data": {"source": "chnsenticorp"},
        "encoder": "textcnn",
        "methods": ["cross-entropy", "tfidf"],
    },
}


def recipe_for(name: str) -> Recipe:
    entry = ENTRIES[name]
    encoder = {"name": entry["encoder"]} | {
        key: entry[key] for key in ("embeddings", "max_length") if key in entry
    }
    return validated({"data": entry["data"], "encoder": encoder, "stages": [entry.get("schedule", {})]})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("entries", nargs="*", default=list(ENTRIES))
    parser.add_argument("--trials", type=int, default=3)
    given = parser.parse_args()
    for name in given.entries:
        folder = RUNS / name
        comparison = compare(
            recipe_for(name), ENTRIES[name]["methods"], folder, trials=given.trials, resume=True
        )
        for method, result in comparison.methods.items():
            print(f"{name} {method}: {result.mean}", flush=True)
        with replacing(RESULTS / f"{name}.json") as temporary:
            temporary.write_text((folder / "comparison.json").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
