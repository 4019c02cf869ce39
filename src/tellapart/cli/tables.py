"""Results on standard output, as tables or JSON."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.cli.encodings import has_all_characters
from tellapart.cli.layout import show_table
from tellapart.cli.messages import echo, print_notes
from tellapart.files import finite_json

if TYPE_CHECKING:
    from tellapart.data.benchmarks.base import BenchmarkSet
    from tellapart.data.checks import DataReport
    from tellapart.evaluation.audit import Audit
    from tellapart.evaluation.comparison import Comparison
    from tellapart.evaluation.sweeps import SweepResult
    from tellapart.inspection.word_effects import WordEffects
    from tellapart.pretraining.run import PretrainResult
    from tellapart.reproduction.figures import Reproduction
    from tellapart.reproduction.protocols import Protocol
    from tellapart.reproduction.run import TablePlan
    from tellapart.runs.train import RunResult

_CONTROLS = re.compile(r"[\x7f-\x9f]")

_AUDIT_ROWS = 10  # the page and the files have more
_TEXTS_SHOWN, _WORDS_SHOWN = 5, 40
_PAIRS_SHOWN = 3  # of a run; its page has all
_BAR = 20  # characters of the largest effect
_METHODS_BESIDE_EACH_OTHER = 4  # fits a terminal; the page and the JSON have all methods


def print_json(content: Any) -> None:
    """Prints a JSON document; characters that the encoding of standard output lacks as JSON's own escapes.

    So are the control characters beyond ASCII, which JSON allows in texts and terminals obey.
    """
    written = json.dumps(finite_json(content), indent=2, ensure_ascii=not has_all_characters(sys.stdout))
    print(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", written))


def report_run(
    result: RunResult | PretrainResult,
    show: Callable[[Any], None],
    *,
    as_json: bool,
    quiet: bool,
    announced: Collection[str] = (),
) -> None:
    """Prints the notes and the metrics of a run; under torchrun, only in the main process.

    Args:
        result: The run.
        show: Prints its metrics as a table.
        as_json: Whether to print JSON instead.
        quiet: Whether to print no notes.
        announced: Notes that were printed before the run.
    """
    from tellapart.fitting.environment import is_main_process

    if not is_main_process():
        return
    if not quiet:
        print_notes(note for note in result.notes if note not in announced)
    if as_json:
        print_json({"folder": str(result.folder), **result.metrics})
    else:
        show(result)


def show_run(result: RunResult) -> None:
    """Prints the metrics of a run, its most confused classes, its duration, its files, and the next command."""
    splits: dict[str, dict[str, float]] = {
        name: result.metrics[name] for name in ("validation", "test", "test_unseen") if name in result.metrics
    }
    if splits:
        show_metrics(splits)
    _show_confusions(result.folder / "errors.json")
    echo(f"trained in {duration(result.metrics['training_seconds'])}")
    if (page := result.folder / "report.html").is_file():
        echo(f"report: {page}")
    echo(f"written to {result.folder}")
    if serving := _serving_line(result.folder / "model"):
        echo(serving)
    echo(f"next: tellapart predict {shlex.quote(str(result.folder))} FILE --output predictions.csv")


def _show_confusions(file: Path) -> None:
    """Prints the most confused pairs of a run, from its `errors.json`; nothing without classes."""
    from tellapart.inspection.page import abbreviate
    from tellapart.inspection.workbench import worst_pairs

    if not file.is_file():
        return
    pairs, confusions = worst_pairs(file, _PAIRS_SHOWN)
    if pairs:
        echo(f"most confused classes, of {confusions:,} {'confusion' if confusions == 1 else 'confusions'}:")
        for one in pairs:
            echo(f"  {abbreviate(one.a)} ↔ {abbreviate(one.b)}: {one.errors:,}")


def duration(seconds: float) -> str:
    """Returns a length of time in words: `4.2 s`, `48 s`, `3 min 5 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _serving_line(model: Path) -> str | None:
    """Returns the Python expression that loads a model without the command line; None for TF-IDF."""
    from tellapart.encoders.fused import FusedConfig
    from tellapart.encoders.pretrained import is_stock

    config = model / "config.json"
    if not config.is_file():
        return None
    load = f'transformers.pipeline("text-classification", "{model}")'
    if is_stock(model):
        return f"anywhere: {load}"
    if json.loads(config.read_text(encoding="utf-8"))["model_type"] == FusedConfig.model_type:
        load = f'transformers.AutoModelForSequenceClassification.from_pretrained("{model}")'
    return f"in Python: tellapart.register(); {load}"


def show_metrics(splits: Mapping[str, Mapping[str, float]]) -> None:
    """Prints metrics, one column per split.

    Args:
        splits: Column name to metrics by name; the rows are the metrics of all columns.
    """
    from tellapart.evaluation.metrics import METRICS

    rows = [["metric", *(name.replace("_", " ") for name in splits)]]
    for name in dict.fromkeys(name for metrics in splits.values() for name in metrics):
        metric = METRICS.get(name)
        if metric is None:  # times and counts in metrics.json
            continue
        unit = " (%)" if metric.percentage else ""
        values = (split.get(name) for split in splits.values())
        shown = ("–" if value is None else metric.display(value) for value in values)
        rows.append([name.replace("_", " ") + unit, *shown])
    show_table(rows)


def show_comparison(comparison: Comparison, folder: Path) -> None:
    """Prints the verdicts, the table of methods, the most confused pairs before and after, and the files."""
    from tellapart.evaluation.comparison_tables import (
        comparison_rows,
        comparison_verdicts,
        confusable_rows,
        ranking_rows,
        unseen_sentence,
    )

    for sentence in comparison_verdicts(comparison):
        echo(sentence)
    show_table(comparison_rows(comparison))
    if (rankings := ranking_rows(comparison))[1:]:
        show_table(rankings)
    if unseen := unseen_sentence(comparison):
        echo(unseen)
    if comparison.confusable_pairs:
        echo("\nMost confused classes (errors per trial, both directions; change from the first method):")
        show_table(confusable_rows(comparison, _METHODS_BESIDE_EACH_OTHER))
    _show_files(folder, {".html", ".json", ".png"})


def show_sweep(result: SweepResult, folder: Path) -> None:
    """Prints the table of trials, the summary, the files, and the command to train with the best values."""
    from tellapart.evaluation.sweeps import space_names, sweep_rows, sweep_sentences

    show_table(sweep_rows(result), slice(len(space_names(result.spaces)), None))
    for sentence in sweep_sentences(result):
        echo(sentence)
    _show_files(folder, {".html", ".json", ".png", ".yaml"})
    echo(f"next: tellapart train --recipe {shlex.quote(str(folder / 'best.yaml'))}")


def show_protocols(protocols: Mapping[str, Protocol]) -> None:
    """Prints the tables that can be reproduced."""
    rows = [["table", "description", "paper", "measures", "rows", "columns", "trials"]]
    for name, one in protocols.items():
        paper = f"{one.paper.split(':')[0]}, {one.table}" if one.paper else ""
        sizes = [str(count) for count in (len(one.rows), len(one.columns), one.trials)]
        rows.append([name, one.title, paper, one.measures, *sizes])
    show_table(rows, numbers=slice(4, None))
    echo("run one: tellapart reproduce TABLE --encoder minilm --budget 30m")


def show_plan(plan: TablePlan) -> None:
    """Prints the numbers of finished, failed and remaining cells per column."""
    parts = [*plan.columns.items(), ("total", plan.total)]
    show_table(
        [
            ["column", "cells", "finished", "failed", "left"],
            *([name, *map(str, (one.cells, one.finished, one.failed, one.left))] for name, one in parts),
        ]
    )
    echo(f"run it: {plan.command}")


def show_reproduction(result: Reproduction, folder: Path) -> None:
    """Prints the table, what each column's trials show, what is missing and why, and the files."""
    from tellapart.reproduction.pages import overview_rows, reproduction_parts

    show_table(overview_rows(result))
    for part in reproduction_parts(result)[2:]:
        if part.points:
            echo(f"{part.heading}:")
            for point in part.points:
                echo(f"  {point}")
    echo(f"written to {folder}: {result.table}.html, {result.table}.json, {result.table}.md")


def _show_files(folder: Path, suffixes: set[str]) -> None:
    echo(f"written to {folder}:")
    for file in sorted(path for path in folder.iterdir() if path.suffix in suffixes):
        echo(f"  {file.name}")


def show_word_effects(effects: Sequence[WordEffects]) -> None:
    """Prints the words of the first texts with their effects, and how they were computed."""
    from tellapart.inspection.page import shorten
    from tellapart.inspection.word_page import method_sentence, signed, summary

    for one in effects[:_TEXTS_SHOWN]:
        echo(f"{shorten(one.text if one.text_pair is None else f'{one.text} | {one.text_pair}', 78)}")
        echo(summary(one))
        shown = sorted(sorted(range(len(one.words)), key=lambda word: -abs(one.effects[word]))[:_WORDS_SHOWN])
        columns = [effects for effects in (one.effects, one.other_effects) if effects is not None]
        largest = max(map(abs, one.effects), default=0.0) or 1.0
        rows = [["word", "effect", *(["other model"] if len(columns) > 1 else []), ""]]
        for word in shown:
            sign = "+" if one.effects[word] > 0 else "−"
            bar = sign * round(_BAR * abs(one.effects[word]) / largest)
            rows.append([shorten(one.words[word], 30), *(signed(column[word]) for column in columns), bar])
        if shown:
            show_table(rows, slice(1, 1 + len(columns)))
        if len(shown) < len(one.words):
            echo(f"the {len(shown)} words of {len(one.words)} with the largest effects")
    echo(method_sentence(effects))
    if len(effects) > _TEXTS_SHOWN:
        echo(f"{len(effects) - _TEXTS_SHOWN} more texts: --output words.html or --json has them all")


def show_report(report: DataReport) -> None:
    """Prints the size of the data and the findings of a check, most severe first, with examples."""
    rows = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    scores = report.problem_type == "regression"
    kinds = "numeric labels" if scores else f"classes: {len(report.classes['train'])}"
    echo(f"{report.source}: rows: {rows}; {kinds}")
    if report.lengths:
        tokens = report.lengths
        echo(
            f"tokens per text: median {tokens.median}, 95 % up to {tokens.percentile_95}, longest {tokens.longest}"
        )
    for note in report.notes:
        echo(f"note: {note}")
    for finding in report.findings:
        echo(f"\n{finding.severity}: {finding.message}")
        for example in finding.examples:
            echo(f"    {example}")
    if not report.findings:
        echo("\nno findings: the data are ready for training.")


def show_audit(audit: Audit, folder: Path, options: Sequence[str]) -> None:
    """Prints what an audit found, the first rows of its tables, the files, and the next command.

    Args:
        audit: The result.
        folder: Its files.
        options: Those by which the rows were read, which the next command needs too.
    """
    from tellapart.evaluation.audit import audit_sentences, duplicate_rows, pair_rows, suspect_rows

    echo()
    for sentence in audit_sentences(audit):
        echo(sentence)
    tables = (
        (
            "Most suspect labels (score: quality of the label, 0 to 1)",
            suspect_rows(audit, _AUDIT_ROWS),
            slice(1),
        ),
        ("Classes that overlap most", pair_rows(audit, _AUDIT_ROWS), slice(2, None)),
        ("Near-duplicates in two classes or two splits", duplicate_rows(audit, _AUDIT_ROWS // 2), slice(1)),
    )
    for title, rows, numbers in tables:
        if rows[1:]:
            echo(f"\n{title}:")
            show_table(rows, numbers)
    _show_files(folder, {".html", ".json", ".csv"})
    if audit.suspects:
        echo(f"next: edit {folder / 'suspects.csv'}, then")
        paths = [audit.source, str(folder / "suspects.csv")]
        echo(shlex.join(["tellapart", "relabel", *paths, *options, "--output", "CLEANED"]))


def show_sets(sets: Iterable[BenchmarkSet]) -> None:
    """Prints the benchmark sets."""
    rows = [["name", "classes", "rows", "description"]]
    for one in sets:
        sizes = " / ".join(f"{count:,}" for count in one.sizes.values())
        rows.append([one.name, str(one.classes) if one.classes else "scores", sizes, one.description])
    show_table(rows, numbers=slice(1, 3))
    echo("fetch one: tellapart data fetch NAME")


def show_methods(methods: Mapping[str, str]) -> None:
    """Prints the methods with their descriptions."""
    show_table([["method", "loss"], *([name, text] for name, text in methods.items())], slice(0))
    echo("as YAML: tellapart recipes show METHOD")
