"""Tables and sentences of a comparison, for the terminal, the report and the documentation."""

from __future__ import annotations

import numpy as np

from tellapart.evaluation.comparison import PAIRS_SHOWN, Comparison, MethodPair
from tellapart.evaluation.metrics import METRICS, RANKING_METRICS, metric_label
from tellapart.evaluation.trials import PairedDifference, verdict

ERRORS_AVOIDED = "errors avoided"
"""Heading of the error-reduction ratio."""


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Returns the table of methods; the first row is the header."""
    metric, level = METRICS[comparison.metric], f"{100 * comparison.confidence:g} % interval"
    pairs = {method: comparison.pair(method) for method in comparison.methods}
    avoided = any(error_reduction_text(pair) for pair in pairs.values())
    rows = [
        [
            "method",
            metric_label(comparison.metric),
            level,
            f"vs {comparison.baseline}",
            level,
            *([ERRORS_AVOIDED] if avoided else []),
            "won / tied / lost",
            "seconds",
        ]
    ]
    for method, result in comparison.methods.items():
        failed = len(result.trials) - len(result.scores)
        note = f" ({failed} of {len(result.trials)} failed)" if failed else ""
        pair = pairs[method]
        rows.append(
            [
                method + note,
                "" if result.mean is None else metric.display(result.mean),
                metric.display_interval(result.interval),
                metric.display(pair.difference, signed=True) if pair else "",
                metric.display_interval(pair.interval, signed=True) if pair else "",
                *([error_reduction_text(pair)] if avoided else []),
                f"{pair.wins} / {pair.ties} / {pair.losses}" if pair else "",
                "" if result.seconds is None else f"{result.seconds:.1f}",
            ]
        )
    return rows


def error_reduction_text(pair: PairedDifference | None) -> str:
    """Formats the error-reduction ratio of a difference: `+12.5 %`; empty without one."""
    return "" if pair is None or pair.error_reduction is None else f"{100 * pair.error_reduction:+.1f} %"


def ranking_rows(comparison: Comparison) -> list[list[str]]:
    """Returns MAP, MRR and P@1 of each method, with changes from the baseline; without rankings only a header."""
    trials = [trial for result in comparison.methods.values() for trial in result.trials]
    names = [name for name in RANKING_METRICS if any(name in trial.metrics for trial in trials)]
    header = ["method", *map(metric_label, names)]
    methods = comparison.methods if names else ()
    return [
        header,
        *([method, *(_mean_and_change(comparison, method, name) for name in names)] for method in methods),
    ]


def _mean_and_change(comparison: Comparison, method: str, name: str) -> str:
    """Formats the mean of any metric, with its change from the baseline over the seeds that both finished."""
    kind = METRICS[name]
    values, before = (
        {trial.seed: trial.metrics[name] for trial in comparison.methods[one].trials if name in trial.metrics}
        for one in (method, comparison.baseline)
    )
    if not values:
        return ""
    mean = kind.display(float(np.mean(list(values.values()))))
    shared = values.keys() & before.keys()
    if method == comparison.baseline or not shared:
        return mean
    change = float(np.mean([values[seed] - before[seed] for seed in shared]))
    return f"{mean} ({kind.display(change, signed=True)})"


def confusable_rows(comparison: Comparison, most_methods: int | None = None) -> list[list[str]]:
    """Returns the table of class pairs with the errors of each method; the first row is the header.

    Args:
        comparison: The comparison.
        most_methods: Maximum number of method columns: the baseline, then the best by mean, with the class
            pairs that these confuse most; None for all.
    """
    if not comparison.confusable_pairs:
        return [["classes"]]
    before, *others = comparison.confusable_pairs[0].errors
    if most_methods is not None:
        sign = 1 if METRICS[comparison.metric].greater_is_better else -1
        ranked = sorted(others, key=lambda name: -sign * (comparison.methods[name].mean or 0.0))
        others = [name for name in others if name in ranked[: most_methods - 1]]
    pairs = list(comparison.confusable_pairs)
    if most_methods is not None:
        pairs = sorted(pairs, key=lambda pair: -max(pair.errors[name] for name in (before, *others)))
        pairs = pairs[:PAIRS_SHOWN]
    rows = [["classes", before, *others]]
    for pair in pairs:
        errors = pair.errors
        changes = [f"{errors[name]:.1f} ({errors[name] - errors[before]:+.1f})" for name in others]
        rows.append([f"{pair.a} ↔ {pair.b}", f"{errors[before]:.1f}", *changes])
    return rows


def comparison_verdicts(comparison: Comparison) -> list[str]:
    """Returns the notes after one sentence per method, which claims only what the seed runs support."""
    verdicts = [
        f"{pair.method} against {pair.baseline}: {verdict(pair, comparison.metric)}{_flips_text(pair)}"
        for pair in comparison.pairs
        if pair.baseline == comparison.baseline
    ]
    return [*verdicts, *comparison.notes]


def significance_rows(comparison: Comparison) -> list[list[str]]:
    """Returns the table of significance tests, one row per method after the header."""
    metric = METRICS[comparison.metric]
    rows = [["method", "t", "Holm", "sign flips", "Wilcoxon", "McNemar", "gained / lost", "detectable"]]
    for pair in comparison.pairs:
        if pair.baseline == comparison.baseline:
            flips, detectable = pair.flips, pair.minimum_detectable_difference
            rows.append(
                [
                    pair.method,
                    _p_text(pair.p_value),
                    _p_text(pair.adjusted_p_value),
                    _p_text(pair.permutation_p_value),
                    _p_text(pair.wilcoxon_p_value),
                    _p_text(flips.p_value if flips else None),
                    f"{flips.gained} / {flips.lost}" if flips else "",
                    "" if detectable is None else metric.display(detectable),
                ]
            )
    return rows


def unseen_sentence(comparison: Comparison) -> str:
    """Returns the mean metrics on rows whose text is not in train; empty if no evaluated text is in train.

    A trial without such a text counts with its score: the means are over the same seeds for all methods.
    """
    trials = [trial for result in comparison.methods.values() for trial in result.trials]
    seen = sorted({trial.seen_rows for trial in trials if trial.seen_rows})
    if not seen:
        return ""
    means = []
    for method, result in comparison.methods.items():
        unseen = (trial.unseen_score if trial.seen_rows else trial.score for trial in result.trials)
        scores = [score for score in unseen if score is not None]
        if scores:
            means.append(f"{method} {METRICS[comparison.metric].display(float(np.mean(scores)))}")
    if not means:
        return "The texts of all evaluated rows are also in train."
    count = str(seen[0]) if len(seen) == 1 else f"{seen[0]} to {seen[-1]}"
    return (
        f"Without the {count} evaluated rows whose text is also in train, {metric_label(comparison.metric)}: "
        f"{', '.join(means)}."
    )


def _p_text(p_value: float | None) -> str:
    return "" if p_value is None else f"{p_value:.2g}"


def _flips_text(pair: MethodPair) -> str:
    if pair.flips is None:
        return ""
    flips = pair.flips
    rows = f"{flips.gained} {'row' if flips.gained == 1 else 'rows'} fixed, {flips.lost} broken"
    texts = f"; by distinct text {flips.texts_gained} fixed, {flips.texts_lost} broken"
    if (flips.gained, flips.lost) == (flips.texts_gained, flips.texts_lost):
        texts = ""
    return f"; {rows}{texts} (McNemar p = {flips.p_value:.2g})"
