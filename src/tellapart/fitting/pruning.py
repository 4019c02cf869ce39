"""Early stopping of trials of a sweep that lie below the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from tellapart.evaluation.metrics import METRICS
from tellapart.fitting.study import import_optuna

if TYPE_CHECKING:
    import optuna

STEPS_A_SEED = 1000
"""Pruning steps per seed run, independent of its number of evaluations."""


class PruningCallback(TrainerCallback):
    """Reports the validation score at every evaluation and stops the trial when it lies below the others.

    What is reported is the mean over the seeds that are finished and the best score of the one that runs (the last
    one, unless the best evaluation is kept), which is what it would end with if it stopped there.

    Args:
        trial: Optuna's trial.
        metric: Its name in `METRICS`.
        before: The scores of the seeds that are finished.
        stages: How many stages a run has: each is an equal part of its course.
    """

    def __init__(self, trial: optuna.Trial, metric: str, before: Sequence[float], stages: int) -> None:
        self.trial, self.metric, self.before, self.stages = trial, metric, list(before), stages
        self.stage = -1
        self.scores: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes that a stage begins: only the last one's scores say what the run will end with."""
        self.stage += 1
        self.scores = []

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict | None = None, **_: Any) -> None:
        """Reports and perhaps stops.

        Raises:
            optuna.TrialPruned: The trial is to stop.
        """
        score = (metrics or {}).get(f"eval_{self.metric}")
        if score is None:
            return
        self.scores.append(float(score))
        share = (self.stage + state.global_step / max(1, state.max_steps)) / self.stages
        if share < 1:  # the end is reported with the score of the whole run
            scores = self.scores if args.load_best_model_at_end else self.scores[-1:]
            best = max(scores) if METRICS[self.metric].greater_is_better else min(scores)
            step = int(STEPS_A_SEED * (len(self.before) + share))
            report(self.trial, float(np.mean([*self.before, best])), step)


def report(trial: optuna.Trial, score: float, step: int) -> None:
    """Reports a score; raises `optuna.TrialPruned` if the trial is to stop."""
    trial.report(score, step)
    if trial.should_prune():
        raise import_optuna().TrialPruned
