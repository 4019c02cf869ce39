"""One progress bar for a training run, with the last loss and score on it and no dictionaries under it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback


class ProgressBar(TrainerCallback):
    """Shows steps, loss and the validation score on one line of stderr.

    Args:
        title: Stands before the bar.
        metric: The evaluation metric shown, such as `eval_accuracy`.
    """

    def __init__(self, title: str, metric: str) -> None:
        self.title, self.metric = title, metric
        self.bar: tqdm | None = None
        self.shown: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Opens the bar at the step that a resumed run has reached."""
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc=self.title, leave=False, unit="step"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Moves on by a step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **_: Any) -> None:
        """Shows the newest loss and score."""
        short = {"loss": "loss", self.metric: self.metric.removeprefix("eval_")}
        for key, name in short.items():
            if logs and key in logs:
                self.shown[name] = f"{logs[key]:.4g}"
        if self.bar is not None:
            self.bar.set_postfix(self.shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextlib.contextmanager
def rows_bar(total: int, *, quiet: bool) -> Iterator[Callable[[int], Any] | None]:
    """Yields what scoring calls with the rows done: a bar on stderr, or None when quiet."""
    if quiet:
        yield None
        return
    with tqdm(total=total, desc="scoring", unit="row", leave=False) as bar:
        yield bar.update


@contextlib.contextmanager
def text_counter(title: str, *, quiet: bool) -> Iterator[Callable[[int], Any] | None]:
    """Yields what is called with the texts done: a counter on stderr, or None when quiet."""
    if quiet:
        yield None
        return
    with tqdm(desc=title, unit="text", leave=False) as bar:
        yield bar.update
