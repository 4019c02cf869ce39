"""Measures the abstention of a trained classifier: coverage, risk, and how well it tells out-of-scope texts apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tellapart.data.examples import TextData, TextSplit
from tellapart.evaluation.abstention import (
    confidence_scores,
    out_of_scope_metrics,
    risk_coverage,
    selective_metrics,
)
from tellapart.evaluation.metrics import predicted_ids
from tellapart.fitting.fitted import Fitted
from tellapart.recipes.decision import AbstainBy


@dataclass(frozen=True)
class AbstentionReport:
    """What abstention gives on one split.

    Args:
        metrics: `coverage` and `selective_risk` if the model abstains; `risk_coverage_area`; with out-of-scope rows
            `out_of_scope_auroc`, `out_of_scope_fpr` and, if the model abstains, `out_of_scope_accepted`, the share of
            these rows on which it decides.
        curve: Pairs of coverage and risk, see `tellapart.evaluation.abstention.RiskCoverage`.
    """

    metrics: dict[str, float]
    curve: list[tuple[float, float]]


def abstention_reports(
    fitted: Fitted, data: TextData, logits: dict[str, np.ndarray]
) -> dict[str, AbstentionReport]:
    """Measures abstention on the scored splits of a run; empty for a run without it and without out-of-scope rows.

    Args:
        fitted: The trained classifier.
        data: Its data.
        logits: Split name to calibrated logits (N, K).
    """
    found = {}
    for name, scores in logits.items():
        others = fitted.outside_scores(data.out_of_scope.get(name), name)
        found[name] = abstention_report(fitted, data.splits[name], scores, others)
    return {name: report for name, report in found.items() if report is not None}


def abstention_report(
    fitted: Fitted, split: TextSplit, logits: np.ndarray, outside: np.ndarray | None
) -> AbstentionReport | None:
    """Measures abstention on labelled rows; None if the model never abstains and there are no out-of-scope rows.

    Args:
        fitted: The classifier. A model without abstention is measured by the highest probability.
        split: The labelled rows, at least one.
        logits: Their calibrated logits (N, K).
        outside: Calibrated logits of out-of-scope rows by the same model (M, K), M at least 1; None without any.
    """
    abstention, labels = fitted.decision.abstention, fitted.labels
    if (abstention is None and outside is None) or labels.multi_label or labels.regression:
        return None
    assert split.labels is not None
    by: AbstainBy = "probability" if abstention is None else abstention.by
    scores = confidence_scores(logits, by)
    right = predicted_ids(labels, logits) == labels.encode(split.labels)
    curve = risk_coverage(scores, right)
    metrics = {} if abstention is None else selective_metrics(scores >= abstention.threshold, right)
    metrics["risk_coverage_area"] = curve.area
    if outside is not None:
        others = confidence_scores(outside, by)
        metrics |= out_of_scope_metrics(scores, others)
        if abstention is not None:
            metrics["out_of_scope_accepted"] = float((others >= abstention.threshold).mean())
    return AbstentionReport(metrics, curve.points)
