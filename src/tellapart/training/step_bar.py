"""Progress bar of a training loop, as a callback of Transformers' Trainer."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from tellapart.training.progress import run_bar


class ProgressBar(TrainerCallback):
    """Shows steps, the last loss and the last validation metric on one line of stderr.

    Args:
        title: Text before the bar.
        metric: The evaluation metric to show, such as `eval_accuracy`.
    """

    def __init__(self, title: str, metric: str) -> None:
        self.title, self.metric = title, metric
        self.bar: tqdm | None = None
        self.shown: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Opens the bar, at the current step of a resumed run."""
        if state.is_world_process_zero:
            self.bar = run_bar(total=state.max_steps, initial=state.global_step, desc=self.title, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advances the bar to the current step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        """Updates the loss and the metric."""
        short = {"loss": "loss", self.metric: self.metric.removeprefix("eval_")}
        for key, name in short.items():
            if logs and key in logs:
                self.shown[name] = f"{logs[key]:.4g}"
        if self.bar is not None:
            self.bar.set_postfix(self.shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
