"""Generates the documentation pages with measured numbers from the JSON files in benchmarks/results.

    python benchmarks/pages.py

A test compares the committed pages with the output of this script, so that no number in docs is stale.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from active_learning_pages import TITLE as ACTIVE_LEARNING
from active_learning_pages import active_learning_page
from audit_pages import TITLE as AUDIT
from audit_pages import audit_page
from choices_pages import choices_section
from classes_pages import TITLE as CLASSES
from classes_pages import classes_page
from cluster_pages import TITLE as CLUSTER
from cluster_pages import cluster_page
from comparisons import COMPARISONS
from corpus_pages import FILE as CORPUS_PLAN
from corpus_pages import PAGE as CORPUS_PAGE
from corpus_pages import corpus_tables
from encoder_pages import encoders_table
from evidence import RESULTS, ROOT
from gains_pages import TITLE as GAINS
from gains_pages import gains_page, gains_table, peers_table, recommended_table
from out_of_scope_pages import TITLE as OUT_OF_SCOPE
from out_of_scope_pages import out_of_scope_page
from pretraining_pages import pretraining_pages
from rows_pages import ROWS_FIGURE, draw_rows, rows_page
from rows_pages import TITLE as ROWS
from serving_pages import TITLE as SERVING
from serving_pages import serving_page
from speed_pages import GROWTH_FIGURE, draw_growth, speed_pages
from targets import headline_rows
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.comparison_tables import comparison_rows, comparison_verdicts, confusable_rows
from tellapart.evaluation.trials import verdict
from tellapart.inspection.page import markdown_list as bullets
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.figures import Reproduction
from tellapart.reproduction.pages import environment_sentence as hardware
from tellapart.reproduction.pages import reproduction_markdown
from tellapart.training import defaults


def comparison_page(name: str) -> str:
    title, command, remark = COMPARISONS[name]
    comparison = Comparison.from_dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
    sizes = ", ".join(f"{count:,} {split}" for split, count in comparison.split_sizes.items())
    return "\n\n".join(
        [
            f"# {title}",
            remark,
            f"Rows: {sizes}. Encoder: {comparison.encoder}. Seeds: {', '.join(map(str, comparison.seeds))}.",
            table(comparison_rows(comparison)),
            bullets(comparison_verdicts(comparison)),
            *against_cross_entropy(comparison),
            "## Most confused classes",
            "Errors per trial in both directions, for the first method and the best others; in brackets the change "
            "compared with the first method.",
            table(confusable_rows(comparison, 4)),
            f"```bash\n{command}\n```",
            hardware(comparison.environment) + f" JSON: `benchmarks/results/{name}.json`.",
        ]
    )


def against_cross_entropy(comparison: Comparison) -> list[str]:
    """Differences to cross entropy, if another method is the baseline of the table."""
    pairs = [pair for pair in comparison.pairs if pair.baseline == "cross-entropy"]
    if comparison.baseline == "cross-entropy" or not pairs:
        return []
    sentences = [f"{pair.method}: {verdict(pair, comparison.metric)}" for pair in pairs]
    return ["## Compared with cross entropy", bullets(sentences)]


def speed_page() -> str:
    parts = [
        "# Training speed compared with the stock Trainer",
        "One epoch of fine-tuning MiniLM on the same rows in batches of 32, alternating in one process. `stock` is "
        "`transformers.Trainer` with its defaults, `expert` the same with bf16 and batches of similar length; "
        "the other arms are `tellapart.Trainer` with the defaults of `tellapart train`, some with one optimisation "
        "disabled. Accuracy is measured after the epoch, on the test rows.",
    ]
    for file in sorted(RESULTS.glob("training_speed-*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        given = result["command"]
        rows = [["arm", "texts per second (median)", "ratio of the medians", "accuracy (%)"]]
        base = statistics.median(run["texts_per_second"] for run in result["arms"]["stock"])
        for arm, runs in result["arms"].items():
            speed = statistics.median(run["texts_per_second"] for run in runs)
            accuracy = statistics.mean(run["accuracy"] for run in runs)
            rows.append([arm, f"{speed:.1f}", f"{speed / base:.2f}×", f"{100 * accuracy:.2f}"])
        arms = ",".join(result["arms"])
        flags = [f"--data {Path(given['data']).name}", f"--pairs {given['pairs']}", f"--arms {arms}"]
        flags += [
            f"--{key.replace('_', '-')} {given[key]}" for key in ("rows", "test_rows") if given.get(key)
        ]
        if file.name != f"training_speed-{Path(given['data']).name}.json":
            flags.append(f"--output benchmarks/results/{file.name}")
        padding = ", ".join(f"{share:.1%} in {name}" for name, share in result["padding"].items())
        name, count = Path(given["data"]).name, result["rows"]["train"]
        parts += [
            f"## {name}: {count:,} texts of at most {given['max_length']} tokens",
            table(rows),
            f"Ratio to stock in each pair: {', '.join(f'{ratio:.2f}' for ratio in result['ratios'])}; "
            f"median {statistics.median(result['ratios']):.2f}. "
            f"Padding: {padding}.",
            f"```bash\npython benchmarks/training_speed.py {' '.join(flags)}\n```",
            hardware(result["environment"]) + f" JSON: `benchmarks/results/{file.name}`.",
        ]
    return "\n\n".join(parts)


def second_stage_page() -> str:
    result = json.loads((RESULTS / "second_stage-r8.json").read_text(encoding="utf-8"))
    seconds = [["part", "seconds"], *([name, f"{value:.2f}"] for name, value in result["seconds"].items())]
    shares = [["share", "%"], *([name, f"{100 * value:.2f}"] for name, value in result["shares"].items())]
    return "\n\n".join(
        [
            "# Cost of the second stage",
            "Two-stage training with auxiliary labels on R8 with MiniLM. The second stage encodes every row once and "
            "trains a fresh classifier on the cached vectors: here with ten epochs of AdamW, and with a regression.",
            table(seconds),
            table(shares),
            "```bash\npython benchmarks/second_stage.py\n```",
            hardware(result["environment"]) + " JSON: `benchmarks/results/second_stage-r8.json`.",
        ]
    )


def encoder_speed_page() -> str:
    result = json.loads((RESULTS / "encoder_speed.json").read_text(encoding="utf-8"))
    given, tokens = result["command"], result["mean_tokens"]
    flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())
    parts = [
        "# Training speed of TextCNN and HAN",
        "Two pairs, alternating in one process. Only the ratio within a pair is meaningful.",
    ]
    sections = {
        "textcnn": (
            f"TextCNN and MiniLM: {given['data']}, {result['textcnn']['texts']} texts",
            "One epoch each with the defaults of `tellapart train`, on the same rows in batches of "
            f"{given['batch_size']}, texts of at most {given['max_length']} tokens, on average "
            f"{tokens['textcnn']:.0f} words for TextCNN and {tokens['minilm']:.0f} word pieces for MiniLM.",
        ),
        "han": (
            f"HAN and a loop over sentences: {given['document_data']}, {result['han']['texts']} documents",
            "The same training steps of the same network, with all sentences of a batch in one packed GRU, or one "
            f"after the other; {tokens['han']:.0f} words per document on average.",
        ),
    }
    for key, (heading, text) in sections.items():
        rows = [["encoder", "texts per second (median)"]]
        for name, speeds in result[key]["texts_per_second"].items():
            rows.append([name, f"{statistics.median(speeds):.1f}"])
        ratios = ", ".join(f"{ratio:.1f}" for ratio in result[key]["ratios"])
        parts += [f"## {heading}", text, table(rows), f"Ratio in each pair: {ratios}."]
    parts += [
        f"```bash\npython benchmarks/encoder_speed.py {flags}\n```",
        hardware(result["environment"]) + " JSON: `benchmarks/results/encoder_speed.json`.",
    ]
    return "\n\n".join(parts)


def defaults_page() -> str:
    result = json.loads((RESULTS / "defaults.json").read_text(encoding="utf-8"))
    scores: dict[str, dict[tuple[str, float], list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in result["cells"]:
        scores[cell["task"]][cell["start"], cell["learning_rate"]].append(100 * cell["accuracy"])
    parts = [
        "# Defaults, and how they were chosen",
        "Values that a recipe leaves open are set by `tellapart.training.defaults`:",
        table(
            [
                ["setting", "default"],
                [
                    "learning rate of the encoder",
                    "; ".join(
                        f"{rate:g} below {limit / 1e6:g} M parameters"
                        if limit < float("inf")
                        else f"{rate:g} above"
                        for limit, rate in defaults.RATES
                    ),
                ],
                ["learning rate of the classifier", f"{defaults.HEAD_RATE_FACTOR:g} times the encoder's"],
                [
                    "initialisation of the classifier",
                    "a logistic regression on the encoder's vectors (`start: probe`)",
                ],
                [
                    "epochs",
                    f"enough for {defaults.MINIMUM_STEPS} steps, from {defaults.MINIMUM_EPOCHS} to "
                    f"{defaults.MAXIMUM_EPOCHS}",
                ],
                ["batch size, warm-up, weight decay", "32; 10 % of the steps; 0.01"],
                ["maximum input length in tokens", f"{defaults.MAX_LENGTH}"],
                [
                    "weights that are kept",
                    "those of the best evaluation on the validation rows; without any, the last (`selection`)",
                ],
            ]
        ),
        "Encoders that are trained from scratch (`textcnn`, `han`) have other defaults: a learning rate of "
        + " and ".join(f"{rate:g} for {kind}" for kind, rate in defaults.SCRATCH_RATES.items())
        + ", the same for the classifier, random initialisation, enough epochs for "
        f"{defaults.SCRATCH_MINIMUM_STEPS} steps, from {defaults.SCRATCH_MINIMUM_EPOCHS} to "
        f"{defaults.SCRATCH_MAXIMUM_EPOCHS}, and {defaults.SCRATCH_MAX_LENGTH} tokens. Only the learning rates "
        "were chosen by measurement.",
        "Parameters are counted without embeddings. The learning rates of larger encoders are the usual ones for "
        "BERT base and large; only MiniLM was measured here. Accuracy (%) on **validation** rows, mean over seeds:",
    ]
    for task, cells in scores.items():
        rates = sorted({rate for _, rate in cells})
        rows = [["start"] + [f"rate {rate:g}" for rate in rates]]
        for start in sorted({start for start, _ in cells}):
            row = [start]
            for rate in rates:
                values = cells[start, rate]
                row.append(f"{statistics.mean(values):.1f} ({len(values)})")
            rows.append(row)
        parts += [f"## {task}", table(rows)]
    parts += [
        "The regression's C of 10 was not chosen in these runs: it was selected on test texts of banking77 (seed 0), "
        "where the initialisation with the regression was first tried too, before these runs on validation rows.",
        "The number of seeds is in brackets. Differences of one point between cells with one seed are not "
        "meaningful, so the default is a rate from the middle of the range. With few rows the initialisation "
        "matters more than the learning rate.",
        "```bash\npython benchmarks/defaults.py\n```",
        "Measured on "
        + " and ".join(sorted({cell["processor"] for cell in result["cells"]}))
        + f"; the last cells used torch {result['environment']['torch']} and transformers "
        f"{result['environment']['transformers']}. JSON: `benchmarks/results/defaults.json`.",
        *choices_section(),
        *threads_section(),
    ]
    return "\n\n".join(parts)


_RUNTIMES = {"gnu": "GNU", "intel": "Intel"}


def threads_section() -> list[str]:
    """Returns the section on waiting threads, from the results of shared_machine.py."""
    parts = []
    for file in sorted(RESULTS.glob("shared_machine-*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        given, pairs = result["command"], result["command"]["pairs"]
        rows = [["beside", "threads wait busily (s)", "asleep (s)", "ratio (median of the pairs)"]]
        for load, found in result["summary"].items():
            rows.append(
                [load, f"{found['busy']:.1f}", f"{found['asleep']:.1f}", f"{found['busy_over_asleep']:.2f}"]
            )
        flags = f"--data {given['data']} --few-shot {given['few_shot']} --epochs {given['epochs']}"
        parts += [
            "## Threads that wait",
            "OpenMP's threads wait for each other busily by default. Beside other programs they take the time that "
            "the thread they wait for would need, so tellapart lets them sleep, unless a variable of the user says "
            f"otherwise (`OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`, `KMP_BLOCKTIME`). Seconds of training, medians of "
            f"{pairs} pairs, with {_RUNTIMES[given['runtime']]}'s runtime; *two trainings at once* is the "
            "mean of the two:",
            table(rows),
            f"```bash\npython benchmarks/shared_machine.py {flags} --pairs {pairs}\n```",
            hardware(result["environment"]) + f" JSON: `benchmarks/results/{file.name}`.",
        ]
    return parts


PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "audit": (AUDIT, audit_page),
    "rows": (ROWS, rows_page),
    "classes": (CLASSES, classes_page),
    "out-of-scope": (OUT_OF_SCOPE, out_of_scope_page),
    "cluster": (CLUSTER, cluster_page),
    "serving": (SERVING, serving_page),
    "active-learning": (ACTIVE_LEARNING, active_learning_page),
}
"""Title and content of the pages on one benchmark each, by name."""

# Generated tables inside hand-written pages: the page, and the comparisons in its table.
EXCERPTS = {
    "how-to/small-encoders.md": (
        "textcnn-trec6",
        "textcnn-r8",
        "textcnn-chnsenticorp",
        "han-reuters",
        "han-arxiv",
    ),
    "how-to/ordered-labels.md": ("ordered-sst5",),
}
_BEGIN, _END = "<!-- generated by benchmarks/pages.py -->", "<!-- end -->"


def with_excerpt(page: str, names: Sequence[str]) -> str:
    """Returns a page with its generated table updated."""
    rows = [["run", "method", "metric", "score", "difference", "95 % interval"]]
    for name in names:
        if (RESULTS / f"{name}.json").is_file():
            rows += excerpt(name)
    return between_marks(page, table(rows))


def between_marks(page: str, *contents: str) -> str:
    """Returns a page with what is between its pairs of markers replaced, in their order."""
    written, *rest = page.split(_BEGIN)
    for content, part in zip(contents, rest, strict=True):
        written += f"{_BEGIN}\n\n{content}\n\n{_END}{part.split(_END)[1]}"
    return written


def excerpt(name: str) -> list[list[str]]:
    """Returns one row per method of a comparison, with the difference to the first method."""
    comparison = Comparison.from_dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
    header, *rows = comparison_rows(comparison)
    return [
        [f"[{name}](../evidence/{name}.md)" if number == 0 else "", row[0], header[1], *row[1:2], *row[3:5]]
        for number, row in enumerate(rows)
    ]


def index_page() -> str:
    lines = [f"- [{COMPARISONS[name][0]}]({name}.md)" for name in available()]
    lines += [f"- [{one.protocol.title}]({name}.md)" for name, one in reproductions().items()]
    return "\n\n".join(
        [
            "# Evidence",
            "Every number here is generated by `python benchmarks/pages.py` from a JSON file in "
            "`benchmarks/results/`, which was written by the command on the page. Results without a gain are "
            "included.",
            "\n".join(
                [
                    f"- [{GAINS}](gains.md)",
                    *lines,
                    *(f"- [{title}]({name}.md)" for name, (title, _) in speed_pages().items()),
                    "- [Training speed compared with the stock Trainer](training-speed.md)",
                    "- [Cost of the second stage](second-stage.md)",
                    "- [Training speed of TextCNN and HAN](encoder-speed.md)",
                    *(f"- [{title}]({name}.md)" for name, (title, _) in pretraining_pages().items()),
                    *(f"- [{title}]({name}.md)" for name, (title, _) in PAGES.items()),
                ]
            ),
            "The defaults of `tellapart train` and the runs they are based on: [defaults](../reference/defaults.md).",
        ]
    )


def available() -> list[str]:
    return [name for name in COMPARISONS if (RESULTS / f"{name}.json").is_file()]


def reproductions() -> dict[str, Reproduction]:
    """Returns the results of `tellapart reproduce` in benchmarks/results/reproduce, by the name of the table."""
    files = sorted((RESULTS / "reproduce").glob("*.json"))
    return {file.stem: Reproduction.from_dict(json.loads(file.read_text(encoding="utf-8"))) for file in files}


def reproduction_page(name: str, result: Reproduction) -> str:
    return f"{reproduction_markdown(result)}\nJSON: `benchmarks/results/reproduce/{name}.json`."


def pages() -> dict[Path, str]:
    """Returns every generated page by its path."""
    evidence = ROOT / "docs" / "evidence"
    contents = {evidence / f"{name}.md": comparison_page(name) for name in available()}
    contents |= {
        evidence / f"{name}.md": reproduction_page(name, one) for name, one in reproductions().items()
    }
    contents[evidence / "training-speed.md"] = speed_page()
    contents[evidence / "second-stage.md"] = second_stage_page()
    contents[evidence / "encoder-speed.md"] = encoder_speed_page()
    contents |= {evidence / f"{name}.md": content for name, (_, content) in pretraining_pages().items()}
    contents |= {evidence / f"{name}.md": content for name, (_, content) in speed_pages().items()}
    contents[evidence / "gains.md"] = gains_page()
    contents |= {evidence / f"{name}.md": written() for name, (_, written) in PAGES.items()}
    contents[evidence / "README.md"] = index_page()
    for name, comparisons in EXCERPTS.items():
        path = ROOT / "docs" / name
        contents[path] = with_excerpt(path.read_text(encoding="utf-8"), comparisons)
    encoders = ROOT / "docs" / "how-to" / "encoders.md"
    contents[encoders] = between_marks(encoders.read_text(encoding="utf-8"), encoders_table())
    if CORPUS_PLAN.is_file():
        corpora = ROOT / "docs" / CORPUS_PAGE
        contents[corpora] = between_marks(corpora.read_text(encoding="utf-8"), *corpus_tables())
    choosing = ROOT / "docs" / "how-to" / "choosing-methods.md"
    contents[choosing] = between_marks(choosing.read_text(encoding="utf-8"), gains_table())
    readme = ROOT / "README.md"
    contents[readme] = between_marks(
        readme.read_text(encoding="utf-8"), recommended_table(), peers_table(), table(headline_rows(RESULTS))
    )
    contents[ROOT / "docs" / "reference" / "defaults.md"] = defaults_page()
    return {path: content.rstrip() + "\n" for path, content in contents.items()}


def figures() -> dict[Path, Callable[[Path], None]]:
    """Returns the drawing function of each figure, by its path."""
    return {GROWTH_FIGURE: draw_growth, ROWS_FIGURE: draw_rows}


def main() -> None:
    for path, content in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path.relative_to(ROOT))
    for path, draw in figures().items():
        draw(path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
