from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerState

from tellapart.training.arguments import TrainingArguments
from tellapart.training.optimising import wins_tie
from tellapart.training.trainer import Trainer


def _best_step(history, tmp_path, tiny_model, *, greater=True, resume_after=None):
    """Plays evaluations (score, loss) to a trainer and returns the step that it holds best."""
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        eval_strategy="steps",
        eval_steps=10,
        save_steps=10,
        save_strategy="steps",
        metric_for_best_model="accuracy",
        greater_is_better=greater,
        load_best_model_at_end=True,
    )
    trainer = Trainer(tiny_model(), arguments, eval_dataset=[{"input_ids": [1], "labels": 0}])
    for number, (score, loss) in enumerate(history, start=1):
        trainer.state.global_step = 10 * number
        metrics = {"eval_accuracy": score, "eval_loss": loss}
        trainer.log(dict(metrics))
        is_best = trainer._determine_best_metric(metrics, None)
        assert is_best == (trainer.state.best_global_step == 10 * number)
        if number == resume_after:
            file = tmp_path / "state.json"
            trainer.state.save_to_json(str(file))
            trainer.state = TrainerState.load_from_json(str(file))
    return trainer.state.best_global_step


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([(0.5, 1.0), (0.5, 0.9)], 20),  # lower loss
        ([(0.5, 0.9), (0.5, 1.0)], 10),  # higher loss
        ([(0.5, 0.9), (0.5, 0.9)], 20),  # later of two that are equal
        ([(0.5, 0.9), (0.6, 2.0), (0.5, 0.1)], 20),  # the score comes first
        ([(0.5, 0.9), (0.5, 1.0), (0.5, 0.95)], 10),  # held against the best one, not the one before
        ([(0.5, 0.9), (0.5, 0.7), (0.5, 0.8)], 20),
        ([(0.5, 0.9), (0.5, float("nan"))], 10),
    ],
)
@pytest.mark.parametrize("resume_after", [None, 1])
def test_ties_go_to_the_lower_loss_then_to_the_later_evaluation(
    history, best, resume_after, tiny_model, tmp_path
):
    assert _best_step(history, tmp_path, tiny_model, resume_after=resume_after) == best


def test_ties_of_a_metric_that_should_be_low_are_broken_the_same_way(tiny_model, tmp_path):
    history = [(0.5, 1.0), (0.4, 0.9), (0.4, 0.8), (0.5, 0.1)]
    assert _best_step(history, tmp_path, tiny_model, greater=False) == 30


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([1.0, 2.0, 3.0])), min_size=1, max_size=8
    )
)
def test_the_best_of_any_history_is_that_of_a_sort(history):
    state = TrainerState()
    for step, (score, loss) in enumerate(history, start=1):
        state.global_step = step
        metrics = {"eval_accuracy": score, "eval_loss": loss}
        state.log_history.append({**metrics, "step": step})
        if state.best_metric is None or score > state.best_metric:
            state.best_metric, state.best_global_step = score, step
        else:
            wins_tie(state, "accuracy", metrics)
        state = TrainerState(**json.loads(json.dumps(state.__dict__, default=lambda _: None)))
    ranked = [(score, -loss, step) for step, (score, loss) in enumerate(history, start=1)]
    assert state.best_global_step == max(ranked)[2]


def test_without_a_metric_there_is_no_best_evaluation():
    assert not wins_tie(TrainerState(), None, {"eval_loss": 1.0})
    assert not wins_tie(TrainerState(), "accuracy", {"eval_loss": 1.0, "eval_accuracy": 1.0})
