"""The pages about pre-training, from the JSON of its benchmarks."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from evidence import RESULTS
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.comparison_tables import comparison_rows, comparison_verdicts
from tellapart.inspection.page import markdown_list as bullets
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.tables import environment_sentence as hardware

END_TO_END = "pretraining-end-to-end"

PRETRAINING_SHAPES = {
    "small": "A new BERT of 4 layers, 256 wide",
    "minilm": "MiniLM, the default encoder: 6 layers, 384 wide",
}


def pretraining_pages() -> dict[str, tuple[str, str]]:
    """Returns each page that has its JSON: name to title and content."""
    pages = {}
    if (RESULTS / f"{END_TO_END}.json").is_file():
        pages[END_TO_END] = (
            "From raw texts to accuracy: further pre-training and corrections",
            end_to_end_page(),
        )
    if pretraining_speed_files():
        pages["pretraining-speed"] = (
            "Pre-training speed and what corrections cost",
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
            "masked tokens right (%)",
            "wrong ones that are synonyms (%)",
            "sequences with one (%)",
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
            "# From raw texts to accuracy: further pre-training with and without corrections",
            f"MiniLM reads the raw training texts of {comparison.source} for {result['steps']} steps, once for each "
            "correction, with the same seed and the same masks; then cross entropy trains a classifier from each of "
            "these encoders, and from MiniLM as it is, on few labelled rows over the same seeds.",
            "## Pre-training",
            "Counted after the last step on 2,000 sequences with other masks.",
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
        "# Pre-training speed against the stock way, and what corrections cost",
        "One pass of masked language modelling over the same texts, from the same weights, in batches of the same "
        "size, in turn in one process. `stock` is `BertForMaskedLM`, `DataCollatorForLanguageModeling` and "
        "`transformers.Trainer` with its defaults; `tellapart` is the loop of `tellapart pretrain` with its "
        "defaults, and the other arms are the same with a correction. The texts are tokenised before the clock "
        "starts, for all arms. Padding does not count as tokens.",
    ]
    for file in pretraining_speed_files():
        result = json.loads(file.read_text(encoding="utf-8"))
        given = result["command"]
        for shape, measured in result["shapes"].items():
            rows = [["arm", "tokens a second (median)", "time against tellapart", "pair by pair"]]
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
