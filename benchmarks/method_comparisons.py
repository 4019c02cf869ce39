"""Compares cross entropy with the methods of the papers on the tasks that they were made for.

    python benchmarks/method_comparisons.py
    python benchmarks/method_comparisons.py textcnn-trec6 two-stages-wikiqa --trials 5

Samples of rows are seeded and the same for all methods of a seed. Finished trials are kept in runs/, so that the same
command continues an interrupted run. Results are written to benchmarks/results/<entry>.json.

For Chinese sets the two-stage entries use a small BERT without pre-training: its tokeniser is trained on the training
texts and its weights are random. The figures show the effect of the second stage, not the quality of a pre-trained
Chinese encoder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

from evidence import RESULTS
from tellapart.data.reading.rows import read_data
from tellapart.files import replacing
from tellapart.recipes import Recipe, validated
from tellapart.runs.compare import compare

RUNS = Path("runs")
SMALL_BERT = "small BERT"
"""Replaced by the folder that `small_encoder` writes."""

_DOCUMENTS = {"train_rows": 1_500, "test_rows": 1_000}
_HAN = {"encoder": {"name": "han", "embeddings": "cbow"}, "stage": {"epochs": 12, "learning_rate": 2e-3}}
_TWO_STAGES = ["cross-entropy", "auxiliary-labels"]
_RANDOM_BERT = {"epochs": 2, "evaluations": 3, "start": "random", "learning_rate": 5e-4}

_LATE_VIEWS = [
    "label-distance",
    *(f"label-distance:stages.0.views_from_layer={layer}" for layer in (2, 3, 4)),
]

_UPPER_LAYERS = [
    "cross-entropy",
    *(f"benchmarks/recipes/cross-entropy-upper-{share}.yaml" for share in ("half", "third")),
]

# Each entry: the sections of a recipe, with one stage, and the methods.
ENTRIES: dict[str, dict[str, Any]] = {
    "han-arxiv": _HAN
    | {
        "data": {"source": "arxiv_aapd_like", **_DOCUMENTS},
        "methods": ["cross-entropy", "negative-supervision"],
    },
    "han-reuters": _HAN
    | {
        "data": {"source": "reuters_modapte", **_DOCUMENTS},
        "methods": ["cross-entropy", "negative-supervision"],
    },
    "textcnn-trec6": {
        "data": {"source": "trec6"},
        "encoder": {"name": "textcnn"},
        "methods": ["cross-entropy", "label-distance", "tfidf"],
    },
    "textcnn-r8": {
        "data": {"source": "r8"},
        "encoder": {"name": "textcnn"},
        "methods": ["cross-entropy", "label-distance", "tfidf"],
    },
    "ordered-sst5": {
        "data": {
            "source": "sst5",
            "few_shot": 40,
            "order": ["very negative", "negative", "neutral", "positive", "very positive"],
        },
        "encoder": {"name": "minilm", "max_length": 64},
        "stage": {"epochs": 5, "evaluations": 5, "metric": "quadratic_kappa"},
        "methods": ["cross-entropy", "label-distance", "label-distance-prior", "negative-supervision-prior"],
    },
    "late-views-trec6": {
        "data": {"source": "trec6", "few_shot": 20},
        "encoder": {"name": "minilm"},
        "methods": _LATE_VIEWS,
    },
    "late-views-banking77": {
        "data": {"source": "banking77", "few_shot": 5},
        "encoder": {"name": "minilm"},
        "methods": _LATE_VIEWS,
    },
    "upper-layers-trec6": {
        "data": {"source": "trec6", "few_shot": 20},
        "encoder": {"name": "minilm"},
        "methods": _UPPER_LAYERS,
    },
    "upper-layers-banking77": {
        "data": {"source": "banking77", "few_shot": 5},
        "encoder": {"name": "minilm"},
        "methods": _UPPER_LAYERS,
    },
    "textcnn-chnsenticorp": {
        "data": {"source": "chnsenticorp"},
        "encoder": {"name": "textcnn"},
        "methods": ["cross-entropy", "tfidf"],
    },
    "two-stages-wikiqa": {
        "data": {"source": "wikiqa"},
        "encoder": {"max_length": 48},
        "stage": {"epochs": 1, "evaluations": 3},
        "methods": _TWO_STAGES,
    },
    "two-stages-mrpc": {
        "data": {"source": "mrpc"},
        "encoder": {"max_length": 64},
        "stage": {"epochs": 1, "evaluations": 3},
        "methods": _TWO_STAGES,
    },
    "two-stages-nlpcc2016_kbqa_pairs": {
        "data": {"source": "nlpcc2016_kbqa_pairs", "train_rows": 6_000, "test_rows": 3_000},
        "encoder": {"name": SMALL_BERT, "max_length": 32},
        "stage": _RANDOM_BERT,
        "methods": _TWO_STAGES,
    },
    "two-stages-chnsenticorp": {
        "data": {"source": "chnsenticorp", "train_rows": 3_000},
        "encoder": {"name": SMALL_BERT, "max_length": 96},
        "stage": _RANDOM_BERT,
        "methods": _TWO_STAGES,
    },
}


def recipe_for(name: str) -> Recipe:
    entry = ENTRIES[name]
    encoder = dict(entry["encoder"])
    if encoder.get("name") == SMALL_BERT:
        encoder["name"] = small_encoder(entry["data"]["source"], RUNS / f"{name}-encoder")
    return validated({"data": entry["data"], "encoder": encoder, "stages": [entry.get("stage", {})]})


def small_encoder(source: str, folder: Path) -> str:
    """Writes a BERT of 4 layers and 192 dimensions with random weights and a tokeniser trained on the set."""
    if not (folder / "config.json").is_file():
        train = read_data(source).train
        learned = BertWordPieceTokenizer()
        learned.train_from_iterator(
            iter([*train.texts, *(train.text_pairs or [])]), vocab_size=8000, show_progress=False
        )
        tokenizer = BertTokenizer(vocab=learned.get_vocab())
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=768,
            max_position_embeddings=256,
        )
        tokenizer.save_pretrained(folder)
        BertModel(config).save_pretrained(folder)
    return str(folder)


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
