"""Two-stage training with auxiliary labels against cross entropy, on pairs, rankings and Chinese texts.

    python benchmarks/two_stages.py wikiqa
    python benchmarks/two_stages.py mrpc nlpcc2016_kbqa_pairs chnsenticorp --trials 3

English sets use MiniLM. For Chinese ones a small BERT without any pre-training stands in: its tokeniser is learned
from the training texts, its weights are random, so that the figures say what the second stage changes and nothing
of what a pre-trained Chinese encoder reaches. Slices are seeded and the same for all methods. Finished trials are
kept in runs/, so that an interrupted run goes on with the same command. Results go to
benchmarks/results/two-stages-<set>.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizer

from tellapart.data.reading.rows import read_data
from tellapart.recipes import Recipe, validated
from tellapart.runs.compare import compare

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs")
METHODS = ["cross-entropy", "auxiliary-labels"]

SETS = {
    "wikiqa": {"max_length": 48, "epochs": 1},
    "mrpc": {"max_length": 64, "epochs": 1},
    "nlpcc2016_kbqa_pairs": {"max_length": 32, "epochs": 2, "train_rows": 6_000, "test_rows": 3_000},
    "chnsenticorp": {"max_length": 96, "epochs": 2, "train_rows": 3_000},
}
CHINESE = ("nlpcc2016_kbqa_pairs", "chnsenticorp")


def recipe_for(name: str) -> Recipe:
    given = SETS[name]
    stage: dict[str, object] = {"epochs": given["epochs"], "evaluations": 3}
    encoder: dict[str, object] = {"max_length": given["max_length"]}
    if name in CHINESE:
        encoder["name"] = small_encoder(name)
        stage |= {"start": "random", "learning_rate": 5e-4}
    rows = {key: given[key] for key in ("train_rows", "test_rows") if key in given}
    return validated({"data": {"source": name, **rows}, "encoder": encoder, "stages": [stage]})


def small_encoder(name: str) -> str:
    """A BERT of 4 layers and 192 dimensions with random weights, and a tokeniser learned from the training texts."""
    folder = RUNS / f"two-stages-{name}-encoder"
    if not (folder / "config.json").is_file():
        train = read_data(name).train
        learned = BertWordPieceTokenizer()
        learned.train_from_iterator(
            [*train.texts, *(train.text_pairs or [])], vocab_size=8000, show_progress=False
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
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--trials", type=int, default=3)
    given = parser.parse_args()
    for name in given.sets:
        folder = RUNS / f"two-stages-{name}"
        comparison = compare(recipe_for(name), METHODS, folder, trials=given.trials, resume=True)
        for method, result in comparison.methods.items():
            print(f"{name} {method}: {result.mean}", flush=True)
        content = (folder / "comparison.json").read_text(encoding="utf-8")
        (RESULTS / f"two-stages-{name}.json").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
