"""Generates the pages about pre-training from the JSON files of its benchmarks."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from evidence import RESULTS
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.comparison_tables import comparison_rows, comparison_verdicts
from tellapart.inspection.page import markdown_list as bullets
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware

END_TO_END = "pretraining-end-to-end"

PRETRAINING_SHAPES = {
    "small": "A new BERT with 4 layers and hidden size 256",
    "minilm": "MiniLM, the default encoder: 6 layers, hidden size 384",
}


def pretraining_pages() -> dict[str, tuple[str, str]]:
    """Returns title and content of each page with results, by name."""
    pages = {}
    if (RESULTS / f"{END_TO_END}.json").is_file():
        pages[END_TO_END] = (
            "Continued pre-training and corrections: from raw texts to accuracy",
            end_to_end_page(),
        )
    if pretraining_speed_files():
        pages["pretraining-speed"] = (
            "Pre-training speed and the cost of corrections",
            pretraining_speed_page(),
        )
    return pages


def end_to_end_page() -> str:
    result = json.loads((RESULTS / f"{END_TO_END}.json").read_text(encoding="utf-8"))
    comparison = Comparison.from_dict(result)
    sizes = ", ".join(f"{count:,} {split}" for split, count in comparison.split_sizes.items())
    rows = [
        [
            "correction",
            "loss",
            "masked accuracy (%)",
            "wrong predictions that are synonyms (%)",
            "sequences with such a prediction (%)",
        ]
    ]
    for correction, metrics in result["pretraining"].items():
        counted = metrics["statistics"]
        rows.append(
            [
                correction,
                f"{counted['loss']:.3f}",
                f"{100 * counted['accuracy']:.2f}",
                f"{100 * counted['prediction_level']:.2f}",
                f"{100 * counted['iteration_level']:.2f}",
            ]
        )
    return "\n\n".join(
        [
            "# Continued pre-training and corrections: from raw texts to accuracy",
            f"MiniLM is pre-trained on the raw training texts of {comparison.source} for {result['steps']} steps, "
            "once per correction, with the same seed and masks. Then a classifier is fine-tuned with cross entropy "
            "from each of these encoders, and from the original MiniLM, on few labelled rows with the same seeds.",
            "## Pre-training",
            "Evaluated after the last step on 2,000 sequences with other masks.",
            table(rows),
            "## Classification",
            f"Rows: {sizes}. Seeds: {', '.join(map(str, comparison.seeds))}.",
            table(comparison_rows(comparison)),
            bullets(comparison_verdicts(comparison)),
            "```bash\npython benchmarks/pretraining_end_to_end.py\n```",
            hardware(comparison.environment) + f" JSON: `benchmarks/results/{END_TO_END}.json`.",
        ]
    )


def pretraining_speed_files() -> list[Path]:
    return sorted(RESULTS.glob("pretraining_speed-*.json"))


def pretraining_speed_page() -> str:
    parts = [
        "# Pre-training speed and the cost of corrections",
        "One epoch of masked language modelling on the same texts, from the same weights and with the same batch "
        "size, alternating in one process. `stock` is `BertForMaskedLM`, `DataCollatorForLanguageModeling` and "
        "`transformers.Trainer` with its defaults; `tellapart` is the loop of `tellapart pretrain` with its "
        "defaults, and the other arms are the same with a correction. Tokenisation is not included in the times. "
        "Padding is not counted as tokens.",
    ]
    for file in pretraining_speed_files():
        result = json.loads(file.read_text(encoding="utf-8"))
        given = result["command"]
        for shape, measured in result["shapes"].items():
            rows = [["arm", "tokens per second (median)", "time relative to tellapart", "in each pair"]]
            for arm, speeds in measured["tokens_per_second"].items():
                ratios = measured["against"].get(arm, [])
                ratio = f"{measured['median_against'][arm]:.3f}×" if ratios else "1"
                each = ", ".join(f"{value:.2f}" for value in ratios)
                rows.append([arm, f"{statistics.median(speeds):,.0f}", ratio, each])
            parts += [
                f"## {PRETRAINING_SHAPES[shape]}, device {given['device']}",
                f"{measured['parameters'] / 1e6:.1f} M parameters. {Path(given['data']).name}: "
                f"{measured['sequences']:,} sequences of {measured['mean_tokens']:.0f} tokens on average, at most "
                f"{given['max_length']}, in batches of {given['batch_size']}.",
                table(rows),
            ]
        pairs = len(next(iter(measured["tokens_per_second"].values())))
        flags = [f"--{key.replace('_', '-')} {value}" for key, value in given.items()]
        shapes = list(result["shapes"])
        flags.insert(0, f"--shape {shapes[0] if len(shapes) == 1 else 'both'}")
        flags += [f"--pairs {pairs}", f"--threads {result['environment']['threads']}"]
        parts += [
            f"```bash\npython benchmarks/pretraining_speed.py {' '.join(flags)}\n```",
            hardware(result["environment"]) + f" JSON: `benchmarks/results/{file.name}`.",
        ]
    return "\n\n".join(parts)
